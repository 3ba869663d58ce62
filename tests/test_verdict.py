"""Verdicts: what is refused, by which rule, with the code of the account's own day, and who pays."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oms_batch.errors import SetupError
from oms_batch.judge.engine import run
from oms_batch.judge.facts_view import load_facts, make_facts, make_person_keys, select_facts, write_facts
from oms_batch.judge.person import load_spelling
from oms_batch.judge.verdict import decide
from oms_batch.model import Totals
from oms_batch.ruledata import RuleData
from tests.judge_tools import book, put_rule, register

RICH = {"z_sl": {"sumv": 100001}}
DECISIONS = "z_sl_n, refused, rule, kod, withheld, payer"


def decided(
    folder: Path, *examples: dict[str, Any], payer: str = "", before: str = ""
) -> tuple[duckdb.DuckDBPyConnection, Totals]:
    rules, rulebook = book(folder)
    con = register(rules, rulebook, *examples)
    if before:
        con.execute(before)
    run(con, rulebook)
    return con, decide(con, rulebook, payer=payer)


def rows(con: duckdb.DuckDBPyConnection, columns: str = DECISIONS) -> list[tuple[Any, ...]]:
    return con.execute(f"SELECT {columns} FROM verdicts ORDER BY z_sl_n").fetchall()


def test_a_kept_and_a_refused_account(tmp_path: Path) -> None:
    code = put_rule(tmp_path)
    con, withheld = decided(tmp_path, {}, RICH)
    assert rows(con) == [(1, False, None, None, 0, "P"), (1001, True, code, "208", 100001, "P")]
    assert withheld == Totals(1, 100001)
    assert rows(con, "xkey, idcase, sumv, defect")[1] == (
        "00000000-0000-4000-8000-000000000001", "1", 100001, "sum_wrong")  # fmt: skip


def test_the_defect_code_is_that_of_the_accounts_own_day(tmp_path: Path) -> None:
    put_rule(tmp_path)
    days = (date(2021, 5, 24), date(2021, 5, 25))
    con, _ = decided(tmp_path, *({"z_sl": {"sumv": 100001, "date_z_2": day}} for day in days))
    assert rows(con, "kod, osn") == [("54", "5.1.5"), ("208", "1.4.5")]


def test_an_undated_account_has_the_code_of_the_last_day_of_the_period(tmp_path: Path) -> None:
    put_rule(tmp_path)
    con, _ = decided(tmp_path, {**RICH, "empty": ["z_sl.date_z_2"]})
    assert rows(con, "kod, payer") == [("208", "P")]


def test_the_leading_rule_is_the_first_by_pass_and_code_and_money_goes_once(tmp_path: Path) -> None:
    put_rule(tmp_path, code="K.76.0002")
    first = put_rule(tmp_path, code="K.76.0001", defect="field_wrong")
    con, withheld = decided(tmp_path, RICH)
    assert rows(con, "rule, kod") == [(first, "207")]
    assert withheld == Totals(1, 100001)
    structural = (
        "INSERT INTO findings VALUES ('S.00.0030', 'structure', 'reject', 'usl', 1, 1, 1, 'x', NULL, 1, 'account')"
    )
    con, _ = decided(tmp_path, RICH, before=structural)
    assert rows(con, "rule") == [("S.00.0030",)]


def test_a_warning_refuses_nothing(tmp_path: Path) -> None:
    put_rule(tmp_path, severity="warn")
    con, withheld = decided(tmp_path, RICH)
    assert (rows(con, "refused, withheld"), withheld) == ([(False, 0)], Totals())


def test_a_person_takes_all_accounts_along(tmp_path: Path) -> None:
    code = put_rule(tmp_path, on="pers", refuses="person", element="pers.w", fails_when="COALESCE(pers.w = '5', FALSE)",
                    fail="[[fail]]\nwhy='x'\n[fail.pers]\nw='5'\n")  # fmt: skip
    con, withheld = decided(tmp_path, {"pers": {"w": "5"}, "z_sl": [{"sumv": 1}, {"sumv": 2}]}, {})
    assert rows(con, "z_sl_n, refused, rule") == [(1, True, code), (2, True, code), (1001, False, None)]
    assert withheld == Totals(2, 3)


def test_a_finding_on_an_account_may_refuse_the_person(tmp_path: Path) -> None:
    put_rule(tmp_path, refuses="person")
    con, _ = decided(tmp_path, {"z_sl": [{"sumv": 100001}, {"sumv": 2}]}, {})
    assert rows(con, "refused") == [(True,), (True,), (False,)]


def test_a_finding_on_the_register_refuses_all(tmp_path: Path) -> None:
    put_rule(tmp_path, on="register", refuses="register", element="register.year", fails_when="register.year = 2025",
             fail="[[fail]]\nwhy='x'\n[fail.register]\nyear=2025\n")  # fmt: skip
    con, withheld = decided(tmp_path, {"register": {"year": 2025}}, {})
    assert rows(con, "refused") == [(True,), (True,)]
    assert withheld == Totals(2, 180200)


def test_a_sum_that_cannot_be_read_withholds_nothing(tmp_path: Path) -> None:
    put_rule(tmp_path, fails_when="z_sl.sumv IS NULL", fail="[[fail]]\nwhy='x'\nempty=['z_sl.sumv']\n")
    con, withheld = decided(tmp_path, {"empty": ["z_sl.sumv"]})
    assert (rows(con, "refused, withheld"), withheld) == ([(True, 0)], Totals(1, 0))


def test_a_rule_without_a_code_on_the_day_stops_the_answer(tmp_path: Path) -> None:
    put_rule(tmp_path, defect="no_such_defect")
    with pytest.raises(SetupError, match=r"K\.76\.9010 has no code"):
        decided(tmp_path, RICH)


def test_a_rejecting_finding_of_no_rule_stops_the_answer(tmp_path: Path) -> None:
    put_rule(tmp_path)
    stray = "INSERT INTO findings VALUES ('S.99.9999', 'structure', 'reject', 'z_sl', 1, 1, 1, 'x', NULL, 1, 'account')"
    with pytest.raises(SetupError, match=r"S\.99\.9999"):
        decided(tmp_path, {}, before=stray)


@pytest.mark.parametrize(
    ("ident", "ogrn", "payer"),
    [
        ({"payer": "R"}, "1027600000405", "R"),
        ({"found": False, "payer": "P"}, "1027600000405", "P"),
    ],
)
def test_who_pays_an_identified_account(tmp_path: Path, ident: dict[str, Any], ogrn: str, payer: str) -> None:
    put_rule(tmp_path)
    con, _ = decided(tmp_path, {"ident": ident, "pers": {"smo_ogrn": ogrn}})
    assert rows(con, "payer") == [(payer,)]


@pytest.mark.parametrize(("ogrn", "payer"), [("1027700000503", "R"), ("1027700000999", "F"), ("1027600000504", "F")])
def test_an_account_not_identified_goes_to_the_payer_named_else_to_the_fund(
    tmp_path: Path, ogrn: str, payer: str
) -> None:
    put_rule(tmp_path)
    con, _ = decided(tmp_path, {"empty": ["ident.payer"], "pers": {"smo_ogrn": ogrn}})
    assert rows(con, "payer") == [(payer,)]


def test_the_insurers_side_is_the_only_payer(tmp_path: Path) -> None:
    put_rule(tmp_path)
    con, _ = decided(tmp_path, {}, payer="R", before="DROP TABLE ident")
    assert rows(con, "payer") == [("R",)]


def facts_of(folder: Path, name: str, register_name: str, seq: int, *examples: dict[str, Any]) -> str:
    con, _ = decided(folder, *examples)
    make_person_keys(con, load_spelling(RuleData(), "yaroslavl"))
    path = str(folder / name)
    assert write_facts(con, path, select_facts(register_name, seq, "accepted", "stage1_refused")) == len(examples)
    return path


def test_facts_give_the_latest_state_without_the_register_itself(tmp_path: Path) -> None:
    put_rule(tmp_path)
    paths = [
        facts_of(tmp_path, "a.parquet", "A", 1, RICH, {"z_sl": {"xkey": "k2"}}),
        facts_of(tmp_path, "b.parquet", "B", 2, {}),
        facts_of(tmp_path, "c.parquet", "C", 3, {"z_sl": {"xkey": "k3"}}),
    ]
    con = duckdb.connect(":memory:")
    make_facts(con, paths, "C")
    found = con.execute("SELECT xkey, register, state, seq FROM facts ORDER BY xkey").fetchall()
    assert found == [
        ("00000000-0000-4000-8000-000000000001", "B", "accepted", 2),
        ("k2", "A", "accepted", 1),
    ]
    make_facts(con, paths[:1], "C")
    assert con.execute("SELECT state FROM facts WHERE xkey LIKE '0%'").fetchall() == [("stage1_refused",)]


def test_a_refusal_of_what_stands_accepted_elsewhere_takes_no_acceptance_back(tmp_path: Path) -> None:
    """Else the same account, sent a third time, would find its key refused and be paid again."""
    put_rule(tmp_path)
    accepted = facts_of(tmp_path, "a.parquet", "A", 1, {})
    con, _ = decided(tmp_path, RICH)  # the same key, refused now
    make_person_keys(con, load_spelling(RuleData(), "yaroslavl"))
    load_facts(con, [accepted], "B")
    assert con.execute("SELECT count(*) FROM verdicts WHERE refused").fetchall() == [(1,)]
    assert con.execute(select_facts("B", 2, "accepted", "stage1_refused")).fetchall() == []


def test_no_facts_is_an_empty_table_of_the_same_columns(tmp_path: Path) -> None:
    put_rule(tmp_path)
    path = facts_of(tmp_path, "a.parquet", "A", 1, {})
    con = duckdb.connect(":memory:")
    make_facts(con, [], "C")
    empty = con.execute("DESCRIBE facts").fetchall()
    make_facts(con, [path], "C")
    assert con.execute("DESCRIBE facts").fetchall() == empty


def test_loaded_facts_keep_the_persons_of_this_register(tmp_path: Path) -> None:
    put_rule(tmp_path)
    other = {"pers": {"fam": "Другова", "npolis": "1"}, "z_sl": {"xkey": "other"}}
    path = facts_of(tmp_path, "a.parquet", "A", 1, {"z_sl": {"xkey": "mine"}}, other)
    con, _ = decided(tmp_path, {"pers": {"fam": " ПРИМЕРОВ", "npolis": "2"}})
    make_person_keys(con, load_spelling(RuleData(), "yaroslavl"))
    load_facts(con, [path], "B")
    assert con.execute("SELECT xkey FROM facts").fetchall() == [("mine",)]


def test_equal_facts_are_equal_bytes(tmp_path: Path) -> None:
    put_rule(tmp_path)
    one = facts_of(tmp_path, "a.parquet", "A", 1, RICH, {})
    two = facts_of(tmp_path, "b.parquet", "A", 1, RICH, {})
    assert Path(one).read_bytes() == Path(two).read_bytes()
