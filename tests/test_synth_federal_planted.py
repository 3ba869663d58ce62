"""Federal registers with planted defects give exactly the findings that the generator promises."""

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
from oms_batch.synth import federal
from oms_batch.synth.defects import catalogue
from oms_batch.synth.federal_planting import kopecks, plant
from oms_batch.synth.insured import Changes, insured
from oms_batch.synth.planting import Plan
from oms_batch.synth.world import Spec
from tests.federal_judged import judge, pair_of, rule_sets
from tests.judged import Judged, keep_insured, promised

PROFILE = load_profile("federal", RuleData())
SPECS = {"fund": Spec(accounts=2500, seed=11), "insurer": Spec(accounts=2500, seed=11, payer="76001")}
# The official checks are planted one by one in test_one_of_each, the story across registers in test_across.
PLANTED_ELSEWHERE = ("common/official", "common/across")
# What no defect in one account can show: codes that the structure of these files lets no farther (lists of values,
# required elements, keys that stand twice), elements that H has not, the head, links of a packet of corrected accounts.
BEYOND = {
    "fund": {
        "F.00.0110", "F.00.0140", "F.00.0670", "F.00.0680", "F.00.0740", "F.99.0360", "F.99.0440", "K.00.0020",
        "K.00.0060", "K.00.0070", "K.99.0310", "K.99.0320", "K.99.0330", "K.99.0340", "K.99.0410", "K.99.0420",
        "K.99.1090", "K.99.1110", "F.00.0420", "F.00.0430", "F.00.0790", "K.00.0510",
    },
    "insurer": {
        "F.00.0110", "F.00.0140", "F.00.0670", "F.00.0680", "F.00.0740", "F.99.0360", "F.99.0440", "F.99.0590",
        "I.99.0020", "K.99.0180", "K.00.0010", "K.00.0020", "K.00.0060", "K.00.0070", "K.00.0420", "K.00.0430",
        "K.99.0310", "K.99.0320", "K.99.0330", "K.99.0340", "K.99.0410", "K.99.0420", "K.99.0430", "F.00.0420",
        "F.00.0430", "F.00.0790", "K.00.0510",
    },
}  # fmt: skip


def database(folder: Path, spec: Spec, changes: Changes | None = None) -> str:
    return keep_insured(str(folder / "insured.duckdb"), PROFILE, insured(PROFILE, spec, changes), changes)


def told(done: Judged) -> dict[str, dict[str, int]]:
    return {xkey: {f"{rule} {how}": n for (rule, how), n in rows.items()} for xkey, rows in done.accounts.items()}


CLEAN = {
    "H at the fund": ("fund", Spec(accounts=500, seed=5)),
    "D at the fund": ("fund", Spec(accounts=200, seed=5, kind="DO")),
    "H at the insurer": ("insurer", Spec(accounts=500, seed=5, payer="76001")),
    "H 3.1": ("fund", Spec(accounts=500, seed=5, period="2021-05")),
    "C": ("fund", Spec(accounts=500, seed=5, kind="C")),
    "T": ("fund", Spec(accounts=500, seed=5, kind="T")),
    "D of 2020": ("fund", Spec(accounts=500, seed=5, kind="DO", period="2020-08")),
}


@pytest.mark.parametrize("name", [one if "fund" in one else pytest.param(one, marks=pytest.mark.slow) for one in CLEAN])
def test_a_clean_register_gives_no_finding_at_all(name: str, tmp_path: Path) -> None:
    side, spec = CLEAN[name]
    register = federal.register(PROFILE, spec)
    done = judge(PROFILE, pair_of(register), register.name, side, database(tmp_path, spec), payer=spec.payer)
    assert done.failed == []
    assert told(done) == {}
    assert "passed" in done.outcomes.values()


@pytest.mark.parametrize("side", sorted(SPECS))
def test_each_defect_once_gives_exactly_what_it_promises(side: str, tmp_path: Path) -> None:
    spec = SPECS[side]
    earlier = replace(spec, period="2022-02")
    planted = plant(PROFILE, spec, Plan(side=side, earlier=earlier))
    promise, past = planted.expected, federal.register(PROFILE, earlier)
    done = judge(
        PROFILE,
        pair_of(planted.register),
        planted.register.name,
        side,
        database(tmp_path, spec, promise["insured"]),
        (pair_of(past), past.name),
        promise["earlier"],
        payer=spec.payer,
    )
    assert done.failed == []
    assert done.accounts == promised(promise)
    assert done.refused == promise["refused"]
    meant = [one for one in catalogue(PROFILE) if one.side in (side, "both") and "H-3.2" in one.kinds]
    assert len(promise["planted"]) == len(meant) > 90


@pytest.mark.parametrize("side", sorted(SPECS))
def test_every_rule_that_an_account_can_break_has_a_defect(side: str) -> None:
    book = rulebook.load(PROFILE.rules, rule_sets(PROFILE, side), PROFILE.id)
    planted = {code for one in catalogue(PROFILE) for code, _, _ in one.gives if one.side in (side, "both")}
    own = [rule for rule in book.rules if rule.status == "active" and not rule.built_in]
    live = {rule.code for rule in own if rule.set_name not in PLANTED_ELSEWHERE}
    live -= {rule.code for rule in book.rules if rule.set_name == "common/across"}  # other registers: test_across
    assert live - planted - BEYOND[side] == set()
    assert BEYOND[side] & planted == set()


@pytest.mark.parametrize(
    "spec", [Spec(accounts=300, seed=11, kind="DO"), Spec(accounts=1200, seed=11, period="2021-05")], ids=["DO", "3.1"]
)
def test_other_files_and_versions_are_planted_too(spec: Spec, tmp_path: Path) -> None:
    planted = plant(PROFILE, spec, Plan(each=0, per_mille=100))
    path = database(tmp_path, spec, planted.expected["insured"])
    done = judge(PROFILE, pair_of(planted.register), planted.register.name, "fund", path)
    assert done.failed == []
    assert done.accounts == promised(planted.expected)
    assert done.refused == planted.expected["refused"]
    assert done.accounts


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_defects_at_a_share_of_a_bigger_register(seed: int, tmp_path: Path) -> None:
    spec = Spec(accounts=20_000, seed=seed)
    planted = plant(PROFILE, spec, Plan(per_mille=40))
    path = database(tmp_path, spec, planted.expected["insured"])
    done = judge(PROFILE, pair_of(planted.register), planted.register.name, "fund", path)
    assert done.failed == []
    assert done.accounts == promised(planted.expected)
    assert done.refused == planted.expected["refused"]
    assert len(done.accounts) > 300


def test_totals_stay_true_and_the_promise_counts_refused_money() -> None:
    planted = plant(PROFILE, SPECS["fund"], Plan())
    root = etree.fromstring(pair_of(planted.register)[0])
    sums = [kopecks(account.findtext("SUMV") or "") for account in root.iterfind("ZAP/Z_SL")]
    assert kopecks(root.findtext("SCHET/SUMMAV") or "") == sum(sums)
    assert root.findtext("ZGLV/SD_Z") == "2500"
    expected = planted.expected
    assert expected["register"] == {"accounts": 2500, "kopecks": str(sum(sums)), "period": "2022-03"}
    rejected = [rows for rows in expected["accounts"].values() if any(row["severity"] == "reject" for row in rows)]
    assert expected["refused"]["accounts"] == len(rejected)
    assert 0 < int(expected["refused"]["kopecks"]) < sum(sums)
    assert json.loads(json.dumps(expected)) == expected


def test_planting_is_repeatable_and_touches_nothing_else() -> None:
    spec = replace(SPECS["fund"], accounts=300)
    plan = Plan(names=("way_of_payment_unknown", "surname_sign"), each=2)
    data = pair_of(plant(PROFILE, spec, plan).register)
    assert data == pair_of(plant(PROFILE, spec, plan).register)
    for ours, clean in zip(data, pair_of(federal.register(PROFILE, spec)), strict=True):
        rows = zip(ours.splitlines(), clean.splitlines(), strict=True)
        assert len([line for line, other in rows if line != other]) == 2


def test_a_register_too_small_for_all_defects_is_refused() -> None:
    with pytest.raises(SetupError):
        plant(PROFILE, Spec(accounts=10), Plan())


def judged_again(
    edits: tuple[tuple[str, str], ...], states: tuple[str, ...], folder: Path
) -> dict[str, dict[str, int]]:
    """Findings of a packet of corrected accounts, by their place in it, after edits of its text."""
    spec = Spec(accounts=40, seed=4)
    ordinals = tuple(range(3, 3 + len(states)))
    past = federal.register(PROFILE, spec)
    again = federal.again(PROFILE, replace(spec, period="2022-04", number="2"), federal.Again(spec, ordinals))
    known = {f"760001-202203-{past.code}-{ordinal + 1}": state for ordinal, state in zip(ordinals, states, strict=True)}
    main, persons = pair_of(again)
    for old, new in edits:
        assert old.encode() in main
        main = main.replace(old.encode(), new.encode())
    earlier = (pair_of(past), past.name)
    done = judge(PROFILE, (main, persons), again.name, "fund", database(folder, spec), earlier, known)
    assert done.failed == []
    return {key.rpartition("-")[2]: rows for key, rows in told(done).items()}


def test_a_corrected_account_is_judged_by_its_predecessor(tmp_path: Path) -> None:
    states = ("fund_refused", "stage1_refused", "final_refused", "accepted", "fund_refused")
    found = judged_again((("<FIRST_IDCASE>8<", "<FIRST_IDCASE>999<"),), states, tmp_path)
    assert found == {"4": {"K.99.0410 reject": 1}, "5": {"K.99.1090 warn": 1}}


def test_wrong_links_of_corrected_accounts(tmp_path: Path) -> None:
    edits = (
        ("<FIRST_IDCASE>5<", "<FIRST_IDCASE>4<"),
        ("<N_ZAP>3</N_ZAP>\n  <PR_NOV>1<", "<N_ZAP>3</N_ZAP>\n  <PR_NOV>0<"),
    )
    found = judged_again(edits, ("fund_refused",) * 3, tmp_path)
    assert found.pop("") == {"S.00.0140 warn": 1}
    assert found == {"2": {"K.99.0330 reject": 1}, "3": {"K.99.0320 reject": 1, "K.99.0120 reject": 1}}


@pytest.mark.slow
def test_a_packet_without_links_is_told_and_one_that_names_itself_is_refused(tmp_path: Path) -> None:
    bare = (
        ("  <REF>\n   <FIRST_CODE>22030101</FIRST_CODE>\n", ""),
        ("   <FIRST_YEAR>2022</FIRST_YEAR>\n   <FIRST_MONTH>3</FIRST_MONTH>\n  </REF>\n", ""),
    )
    assert judged_again(bare, ("fund_refused",), tmp_path) == {"1": {"K.99.0310 warn": 1}}
    itself = (
        ("<FIRST_CODE>22030101<", "<FIRST_CODE>22040102<"),
        ("<FIRST_MONTH>3<", "<FIRST_MONTH>4<"),
        ("<FIRST_IDCASE>4<", "<FIRST_IDCASE>1<"),
    )
    assert judged_again(itself, ("fund_refused",), tmp_path) == {"1": {"K.99.0340 reject": 1}}
