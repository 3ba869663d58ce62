"""A register with planted defects gives exactly the findings that the generator promises: none missing, none extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lxml import etree

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.ruledata import RuleData
from oms_batch.synth.defects import catalogue
from oms_batch.synth.insured import insured
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec
from tests.judged import Judged, judge, keep_insured, promised

PROFILE = load_profile("yaroslavl", RuleData())
SPECS = {"fund": Spec(accounts=1500, seed=11), "insurer": Spec(accounts=1500, seed=11, payers={"P": 1})}
EARLIER = Spec(accounts=1500, seed=11, period="2026-09")


def database(folder: Path, side: str) -> str:
    if side != "fund":
        return ""
    return keep_insured(str(folder / "insured.duckdb"), PROFILE, insured(PROFILE, SPECS[side]))


def told(done: Judged) -> dict[str, dict[str, int]]:
    return {xkey: {f"{rule} {how}": n for (rule, how), n in rows.items()} for xkey, rows in done.accounts.items()}


@pytest.mark.parametrize("side", sorted(SPECS))
def test_a_clean_register_gives_no_finding_at_all(side: str, tmp_path: Path) -> None:
    data = b"".join(register(PROFILE, SPECS[side]))
    done = judge(PROFILE, data, side, database(tmp_path, side))
    assert done.failed == []
    assert told(done) == {}
    assert "passed" in done.outcomes.values()


@pytest.mark.parametrize("side", sorted(SPECS))
def test_each_defect_once_gives_exactly_what_it_promises(side: str, tmp_path: Path) -> None:
    earlier = Spec(**{**_fields(SPECS[side]), "period": EARLIER.period})
    planted = plant(PROFILE, SPECS[side], Plan(side=side, earlier=earlier))
    data = b"".join(planted.blocks)
    past = b"".join(register(PROFILE, earlier)) if side == "fund" else b""
    done = judge(PROFILE, data, side, database(tmp_path, side), past)
    assert done.failed == []
    assert done.accounts == promised(planted.expected)
    assert len(planted.expected["planted"]) == len([one for one in catalogue(PROFILE) if one.side == side])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_defects_at_a_share_of_a_bigger_register(seed: int, tmp_path: Path) -> None:
    spec = Spec(accounts=20_000, seed=seed)
    planted = plant(PROFILE, spec, Plan(per_mille=40))
    data = b"".join(planted.blocks)
    path = keep_insured(str(tmp_path / "insured.duckdb"), PROFILE, insured(PROFILE, spec))
    done = judge(PROFILE, data, "fund", path)
    assert done.failed == []
    assert done.accounts == promised(planted.expected)
    assert len(done.accounts) > 300


def _fields(spec: Spec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in Spec.__dataclass_fields__}


def test_totals_in_the_head_stay_true_and_the_promise_counts_refused_money() -> None:
    planted = plant(PROFILE, SPECS["fund"], Plan())
    root = etree.fromstring(b"".join(planted.blocks))
    claimed: dict[str, int] = {}
    sums: dict[str, int] = {}
    for account in root.iter("personal_account"):
        for elem in account.findall("sum/elem"):
            kopecks = int((elem.get("suml") or "").replace(".", ""))
            part = elem.get("type_acc") or ""
            claimed[part] = claimed.get(part, 0) + kopecks
            sums[account.get("n_pp") or ""] = sums.get(account.get("n_pp") or "", 0) + kopecks
    head = {e.get("type_acc"): int((e.get("amountl") or "").replace(".", "")) for e in root.iter("account_elem")}
    assert head == {part: kopecks for part, kopecks in claimed.items() if kopecks}
    expected = planted.expected
    assert expected["register"] == {"accounts": 1500, "kopecks": str(sum(claimed.values())), "period": "2026-10"}
    rejected = [rows for rows in expected["accounts"].values() if rows[0]["severity"] == "reject"]
    assert expected["refused"]["accounts"] == len(rejected)
    assert 0 < int(expected["refused"]["kopecks"]) < sum(claimed.values())
    assert sum(expected["by_rule"].values()) == sum(
        row["count"] for rows in expected["accounts"].values() for row in rows
    )
    assert json.loads(json.dumps(expected)) == expected


def test_planting_is_repeatable_and_touches_nothing_else() -> None:
    spec = SPECS["fund"]
    first = plant(PROFILE, spec, Plan(names=("sex_unknown",), each=2))
    data = b"".join(first.blocks)
    assert data == b"".join(plant(PROFILE, spec, Plan(names=("sex_unknown",), each=2)).blocks)
    assert list(first.expected["planted"].values()) == ["sex_unknown"] * 2
    clean = b"".join(register(PROFILE, spec)).splitlines()
    changed = [line for line, other in zip(data.splitlines(), clean, strict=True) if line.strip() != other.strip()]
    assert len(changed) == 2


def test_a_register_too_small_for_all_defects_is_refused() -> None:
    with pytest.raises(SetupError):
        plant(PROFILE, Spec(accounts=10), Plan())
