"""A register with planted defects gives exactly the findings that the generator promises: none missing, none extra."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.judge import rulebook
from oms_batch.ruledata import RuleData
from oms_batch.synth.defects import catalogue
from oms_batch.synth.insured import Changes, insured
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec
from tests.judged import Judged, judge, keep_insured, promised, rule_sets

PROFILE = load_profile("yaroslavl", RuleData())
SPECS = {
    "fund": Spec(accounts=2000, seed=11),
    "insurer": Spec(accounts=2000, seed=11, payer="P"),
    "final": Spec(accounts=500, seed=11, payer="R"),
}
# The official checks are planted one by one in test_one_of_each, the story across registers in test_across.
PLANTED_ELSEWHERE = ("common/official", "common/across")


def database(folder: Path, side: str, changes: Changes | None = None) -> str:
    return keep_insured(str(folder / "insured.duckdb"), PROFILE, insured(PROFILE, SPECS[side], changes), changes)


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
    earlier = replace(SPECS[side], period="2026-09")
    planted = plant(PROFILE, SPECS[side], Plan(side=side, earlier=earlier))
    promise = planted.expected
    data, past = b"".join(planted.blocks), b"".join(register(PROFILE, earlier))
    done = judge(PROFILE, data, side, database(tmp_path, side, promise["insured"]), past, promise["earlier"])
    assert done.failed == []
    assert done.accounts == promised(promise)
    assert done.refused == promise["refused"]
    meant = {"final": ("final",)}.get(side, (side, "both"))
    assert len(promise["planted"]) == len([one for one in catalogue(PROFILE) if one.side in meant])


@pytest.mark.parametrize("side", sorted(SPECS))
def test_every_rule_that_a_register_can_break_has_a_defect(side: str) -> None:
    book = rulebook.load(PROFILE.rules, rule_sets(PROFILE, side), PROFILE.id)
    planted = {code for one in catalogue(PROFILE) for code, _, _ in one.gives if one.side in (side, "both")}
    of_the_file = {rule.code for rule in book.rules if rule.refuses == "register"}
    known = () if side == "final" else tuple(f"S.00.00{n}0" for n in range(1, 7))  # the others are of other forms
    structure = {rule.code for rule in book.rules if rule.built_in and rule.code not in known}
    structure |= {rule.code for rule in book.rules if rule.set_name == "common/across"}  # other registers: test_across
    own = {rule.code for rule in book.rules if rule.set_name not in PLANTED_ELSEWHERE}
    assert own - planted - of_the_file - structure == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_defects_at_a_share_of_a_bigger_register(seed: int, tmp_path: Path) -> None:
    spec = Spec(accounts=20_000, seed=seed)
    planted = plant(PROFILE, spec, Plan(per_mille=40))
    data = b"".join(planted.blocks)
    rows = insured(PROFILE, spec, planted.expected["insured"])
    path = keep_insured(str(tmp_path / "insured.duckdb"), PROFILE, rows)
    done = judge(PROFILE, data, "fund", path)
    assert done.failed == []
    assert done.accounts == promised(planted.expected)
    assert done.refused == planted.expected["refused"]
    assert len(done.accounts) > 300


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
    assert expected["register"] == {"accounts": 2000, "kopecks": str(sum(claimed.values())), "period": "2026-10"}
    rejected = [rows for rows in expected["accounts"].values() if any(row["severity"] == "reject" for row in rows)]
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
