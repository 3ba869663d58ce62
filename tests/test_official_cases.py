"""Official checks of completed cases and cases: every branch of a condition, and registers spoiled in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lxml import etree

from oms_batch.exchange import load_profile
from oms_batch.judge import engine, proof, rulebook
from oms_batch.judge.example import Bases, columns_of, document, insert_sql, known, load_bases, numbered
from oms_batch.judge.rule import Example, Rule
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.tables import FINDINGS, create_table
from oms_batch.ruledata import RuleData
from oms_batch.synth import federal
from oms_batch.synth.insured import insured
from oms_batch.synth.world import Spec
from tests.federal_judged import judge, pair_of
from tests.judged import Judged, keep_insured

RULES = RuleData()
PROFILE = load_profile("federal", RULES)


@lru_cache(maxsize=4)
def ground(profile: str) -> tuple[Rulebook, Bases, duckdb.DuckDBPyConnection]:
    every = load_profile(profile, RULES)
    sets = dict.fromkeys(one for line in (*every.hops, *every.sends) for one in line.rules)
    book = rulebook.load(RULES, list(sets), profile)
    return book, load_bases(RULES, profile), proof.proving_ground(book, RULES)


def findings(profile: str, rules: Sequence[Rule], example: dict[str, Any]) -> list[str]:
    """What these rules find in one document, by the judge himself."""
    book, bases, con = ground(profile)
    one = Example.model_validate({"why": "a branch", **example})
    rows = known(document(one, bases, "test"), book.tables, frozenset())
    filled = numbered(rows, 0, book.tables, "test")
    for table, listed in filled.items():
        if listed:
            con.execute(insert_sql(table, listed, columns_of(table, book.tables) or {}))
    try:
        engine.run(con, replace(book, rules=tuple(rules)))
        return [code for (code,) in con.execute("SELECT rule FROM findings ORDER BY ALL").fetchall()]
    finally:
        for table in filled:
            con.execute(f'DELETE FROM "{table}"')
        con.execute("DROP TABLE IF EXISTS findings")


def cell(**rows: Any) -> dict[str, Any]:
    return rows


TWO_CASES = [{"ds1": "J18.9"}, {"ds1": "C34.1", "sl_id": "1-2"}]
# code, base, what the example states, findings
BRANCHES: dict[str, list[tuple[str, dict[str, Any], int]]] = {
    # OS_SLUCH: no patronymic of the patient, none of a newborn's representative, not the first of twins
    "Q.03.0460": [
        ("clinic", cell(pers={"novor": "11508261", "ot_p": "Ильич"}), 0),
        ("clinic", cell(pers={"novor": "11508261"}), 1),
        ("clinic", cell(pers={"novor": "11508262", "ot_p": "Ильич"}), 1),
        ("clinic", cell(pers={"novor": "11508262", "ot_p": "Ильич"}, os_sluch=[{"os_sluch": "1"}]), 0),
        ("clinic", cell(empty=["pers.ot", "pers.l_n"]), 0),
    ],
    "Q.03.0480": [("clinic", cell(pers={"novor": "11508261"}, os_sluch=[{}]), 0)],
    # who sent the patient: planned care in hospital, any care in a day hospital
    "Q.03.0400": [
        ("hospital", cell(z_sl={"for_pom": "1"}, empty=["z_sl.npr_mo"]), 0),
        ("hospital", cell(z_sl={"usl_ok": "2", "for_pom": "2"}, empty=["z_sl.npr_mo"]), 1),
        ("clinic", cell(empty=["z_sl.npr_mo"]), 0),
    ],
    # one missing organisation is one finding, whichever of the two checks demands it
    "Q.03.0401": [("hospital", cell(empty=["z_sl.npr_mo"]), 0)],
    "Q.01.0190": [
        ("hospital", cell(z_sl={"npr_mo": "330001"}), 0),  # another region's: the book at hand has them not
        ("hospital", cell(z_sl={"npr_mo": "76-001"}), 0),  # another rule
    ],
    "Q.03.0500": [("hospital", cell(z_sl={"idsp": "32"}, sl={"p_per": "4"}), 0)],
    "Q.03.0510": [
        ("hospital", cell(z_sl={"vb_p": "1", "idsp": "32"}, sl={"p_per": "4"}), 1),
        ("hospital", cell(z_sl={"vb_p": "1"}, sl=[{"p_per": "1"}, {"p_per": "4", "sl_id": "1-2"}]), 0),
    ],
    "Q.03.2571": [
        ("checkup", cell(z_sl={"p_otk": "1"}, empty=["sl.pr_d_n"]), 1),
        ("checkup", cell(z_sl={"p_otk": "1"}, empty=["sl.pr_d_n", "sl.ds1"]), 0),
        ("checkup", cell(empty=["sl.pr_d_n", "sl.ds1"]), 1),
    ],
    # eighteen on the very day is no child any more
    "Q.06.0395": [
        ("clinic", cell(sl={"det": "1"}, pers={"dr": "2008-10-12"}), 1),
        ("clinic", cell(sl={"det": "1"}, pers={"dr": "2008-10-13"}), 0),
    ],
    # ranges of diagnoses as they were on a day
    "Q.03.0842": [
        ("cancer", cell(sl={"ds1": mkb}, cons=[]), fires)
        for mkb, fires in (("C00.0", 1), ("D09.9", 1), ("D10.0", 0), ("D44.9", 0), ("D45", 1), ("D47.9", 1), ("D48", 0))
    ],
    "Q.03.0841": [("cancer", cell(sl={"ds1": "D45"}, cons=[]), 0)],
    "Q.03.0840": [
        ("cancer", cell(sl={"ds1": "D70"}, ds2=[{"ds2": "C97"}], cons=[]), 1),
        ("cancer", cell(sl={"ds1": "D70"}, ds2=[{"ds2": "C81.0"}], cons=[]), 0),
        ("cancer", cell(sl={"ds1": "D70"}, cons=[]), 0),
    ],
    "Q.03.0833": [("hitech", cell(sl={"ds_onk": "1"}), 1)],
    "Q.03.0853": [("hitech", cell(sl={"ds_onk": "1"}, cons=[{}]), 0)],
    "Q.03.0882": [
        ("cancer", cell(onk_sl=[]), 1),
        ("cancer", cell(onk_sl=[], sl={"ds_onk": "1"}), 0),
        ("cancer", cell(onk_sl=[], sl={"reab": "1"}), 0),
        ("cancer", cell(onk_sl=[], z_sl={"usl_ok": "4"}), 0),
    ],
    "Q.03.0912": [("cancer", cell(sl={"reab": "1"}), 1), ("cancer", cell(z_sl={"usl_ok": "4"}), 1), ("cancer", {}, 0)],
    # a file C: one case of cancer among others is enough
    "Q.03.0062": [
        ("cancer", cell(sl=TWO_CASES), 0),
        ("cancer", cell(sl=[{"ds1": "J18.9"}, {"ds1": "I10", "sl_id": "1-2"}]), 2),
        ("cancer", cell(sl=[{"ds1": "J18.9"}, {"ds1": "I10", "ds_onk": "1", "sl_id": "1-2"}]), 0),
    ],
    "Q.03.0782": [("cancer", cell(z_sl={"usl_ok": "4"}, empty=["sl.c_zab"]), 0)],
    # the diagnosis of another case of the same account is no repetition
    "Q.06.0430": [
        ("clinic", cell(sl=[{"ds1": "J06.9"}, {"ds1": "I11.9", "sl_id": "1-2"}], ds2=[{"ds2": "I11.9"}]), 0),
        ("clinic", cell(sl=[{"ds1": "J06.9"}, {"ds1": "I11.9", "sl_id": "1-2"}], ds2=[{"ds2": "I11.9", "up": 2}]), 1),
    ],
    "Q.06.0350": [("checkup", cell(sl=[{}, {"ds_onk": "1", "sl_id": "1-2"}]), 1)],
    "Q.02.0270": [
        ("clinic", cell(sl={"ds1": "D70"}), 0),
        ("clinic", cell(sl={"ds1": "D70"}, ds2=[{"ds2": "C80.9"}]), 1),
    ],
}
BETWEEN_FUNDS: dict[str, list[tuple[str, dict[str, Any], int]]] = {
    "Q.03.0680": [
        ("clinic", cell(z_sl={"p_disp2": "1"}), 1),
        ("clinic", cell(z_sl={"p_disp2": "1"}, sl={"disp": "1"}), 0),
    ],
    "Q.03.0690": [
        ("clinic", cell(sl={"disp": "1"}), 0),
        ("clinic", cell(sl={"disp": "1"}, z_sl={"usl_ok": "4"}), 1),
    ],
    "Q.03.0834": [
        ("clinic", cell(sl={"ds1": "C34.1", "ds_onk": "0"}), 1),
        ("clinic", cell(sl={"ds1": "C34.1", "ds_onk": "0", "disp": "1"}), 0),
        ("clinic", cell(sl={"ds_onk": "1"}), 1),
    ],
    "Q.03.0922": [("clinic", cell(sl={"ds1": "C34.1", "disp": "1"}, onk_sl=[{}]), 1)],
    "Q.03.0540": [("clinic", cell(sank=[{"s_ist": "1"}]), 1), ("clinic", cell(sank=[{"s_ist": "2"}]), 0)],
    "Q.03.0560": [("clinic", cell(z_sl={"oplata": "3"}, sank=[{"s_ist": "2"}, {"s_ist": "3"}]), 0)],
}


def in_force(profile: str, code: str) -> Rule:
    """The rule, whatever its days are."""
    rule = ground(profile)[0].get(code)
    assert rule is not None, code
    return rule.model_copy(update={"valid_to": None})


@pytest.mark.parametrize("profile", ["federal", "mtr"])
def test_every_branch_of_a_condition(profile: str) -> None:
    for code, branches in (BRANCHES if profile == "federal" else BETWEEN_FUNDS).items():
        rule = in_force(profile, code)
        for base, stated, fires in branches:
            assert findings(profile, [rule], {"base": base, **stated}) == [code] * fires, (code, stated)


@pytest.mark.parametrize("profile", ["federal", "mtr"])
def test_the_base_documents_are_right_by_all_rules(profile: str) -> None:
    """What all examples start from is no accident: each base is a document that nothing refuses."""
    book, bases, _ = ground(profile)
    assert {base: findings(profile, book.rules, {"base": base}) for base in bases.base} == {
        one: [] for one in bases.base
    }


# ---- registers as a fund reads them -------------------------------------------------------------------

Change = Callable[[etree._Element], None]


def drop(path: str) -> Change:
    def change(account: etree._Element) -> None:
        for found in account.findall(path):
            above = found.getparent()
            assert above is not None
            above.remove(found)

    return change


def put(path: str, text: str) -> Change:
    def change(account: etree._Element) -> None:
        found = account.find(path)
        assert found is not None, path
        found.text = text

    return change


def before(path: str, name: str, text: str) -> Change:
    def change(account: etree._Element) -> None:
        found = account.find(path)
        assert found is not None, path
        new = etree.Element(name)
        new.text = text
        found.addprevious(new)

    return change


@pytest.mark.parametrize(("severity", "told"), [("warn", ["Q.06.1040"]), ("reject", [])])
def test_only_what_reading_refused_is_not_told_again(severity: str, told: list[str]) -> None:
    """A warning about the head (``[head]`` HDR_SUM = "warn") must not take the refusal of the official check away."""
    book, bases, con = ground("federal")
    rule = next(one for one in book.rules if one.code == "Q.06.1040")
    rows = known(document(rule.fails[0], bases, "test"), book.tables, frozenset())
    filled = numbered(rows, 0, book.tables, "test")
    for table, listed in filled.items():
        if listed:
            con.execute(insert_sql(table, listed, columns_of(table, book.tables) or {}))
    con.execute(create_table("findings", FINDINGS))
    con.execute(
        """INSERT INTO findings BY NAME SELECT 'S.00.0150' AS rule, 'structure' AS run_pass, ? AS severity,
        'register' AS unit, n, 'SCHET/SUMMAV' AS element, 'register' AS refuses FROM register""",
        [severity],
    )
    try:
        engine.run(con, replace(book, rules=(rule,)))
        assert con.execute("SELECT rule FROM findings WHERE run_pass = 'form'").fetchall() == [(one,) for one in told]
    finally:
        for table in filled:
            con.execute(f'DELETE FROM "{table}"')
        con.execute("DROP TABLE IF EXISTS findings")


# kind of file, which account (XPath of Z_SL), what is done to it, the code that must come out, and nothing else
SPOILED: list[tuple[str, str, Change, str]] = [
    ("H", "USL_OK='1'", drop("SL/KD"), "Q.03.0740"),
    ("H", "USL_OK='1'", drop("SL/P_PER"), "Q.03.0700"),
    ("H", "USL_OK='1'", drop("SL/KSG_KPG"), "Q.03.0800"),
    ("H", "USL_OK='1' and FOR_POM='3'", drop("NPR_DATE"), "Q.03.0410"),
    ("H", "USL_OK='3'", before("SL/DS1", "KD", "3"), "Q.03.0750"),
    ("H", "USL_OK='3'", before("SL/PRVS", "DN", "1"), ""),  # what no check forbids stays free
    ("H", "USL_OK='3'", put("SL/P_CEL", "1.3"), "Q.03.0790"),
    ("H", "USL_OK='3'", before("SL", "OS_SLUCH", "1"), "Q.03.0480"),
    ("H", "USL_OK='3'", put("SL/NHISTORY", "№ 12"), "Q.04.0750"),
    ("H", "USL_OK='3'", drop("IDSP"), "S.00.0010"),  # reading has said it: no second finding
    ("C", "SL/CONS", drop("SL/CONS"), "Q.03.0842"),
    ("C", "SL/ONK_SL", drop("SL/ONK_SL"), "Q.03.0882"),
    ("T", "FOR_POM='3'", put("SL/TAL_NUM", "76.0001.00001.22"), "Q.04.0731"),
    ("T", "FOR_POM='3'", put("SL/TAL_P", "2020-01-01"), "Q.06.0314"),
    ("DO", "RSLT_D='1'", put("SL/DS_ONK", "1"), "Q.06.0350"),
]


@lru_cache(maxsize=4)
def packet(kind: str) -> tuple[Spec, bytes, bytes, str]:
    spec = replace(Spec(accounts=60, seed=5), kind=kind)
    register = federal.register(PROFILE, spec)
    return spec, *pair_of(register), register.name


def judged(kind: str, main: bytes, folder: Path) -> Judged:
    spec, _, persons, name = packet(kind)
    path = folder / "insured.duckdb"
    found = str(path) if path.exists() else keep_insured(str(path), PROFILE, insured(PROFILE, spec))
    done = judge(PROFILE, (main, persons), name, "fund", found, payer=spec.payer)
    assert done.failed == []
    return done


@pytest.mark.parametrize("kind", ["H", "C", "T", "DO"])
def test_accounts_spoiled_in_one_place_give_one_code_each(kind: str, tmp_path: Path) -> None:
    clean = judged(kind, packet(kind)[1], tmp_path).accounts
    root, expected = etree.fromstring(packet(kind)[1]), dict[str, set[str]]()
    for _, where, change, code in (row for row in SPOILED if row[0] == kind):
        account = next(one for one in root.xpath(f"//Z_SL[{where}]") if one.findtext("IDCASE") not in expected)
        change(account)
        expected[account.findtext("IDCASE")] = {code} - {""}
    done = judged(kind, etree.tostring(root, encoding="windows-1251", xml_declaration=True), tmp_path).accounts
    told = {
        key.rsplit("-", 1)[-1]: {rule for rule, _ in set(rows) - set(clean.get(key, ()))} for key, rows in done.items()
    }
    assert {key: rules for key, rules in told.items() if rules} == {
        key: rules for key, rules in expected.items() if rules
    }
