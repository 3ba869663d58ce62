"""Rules prove themselves, and the proof itself can fail: every shipped rule goes red when it is weakened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from oms_batch.judge.engine import run
from oms_batch.judge.example import Bases, document, load_bases
from oms_batch.judge.proof import ExampleResult, prove, proving_ground, test_rules
from oms_batch.judge.rule import Example, Rule
from oms_batch.ruledata import RuleData
from tests.judge_tools import book, put_rule, register
from tests.test_rulebook import SHIPPED

RULES = RuleData()
LIVE = [
    rule
    for rule in SHIPPED.rules
    if not rule.built_in and rule.status != "retired" and not SHIPPED.tables.lacks(rule.on, rule.parts())
]


def plain(rule: Rule) -> str:
    """A value that needs no lookup: the element itself, or nothing where the element is a group."""
    return "NULL" if rule.value == "NULL" else ""


@pytest.fixture(scope="module")
def ground() -> Iterator[tuple[duckdb.DuckDBPyConnection, Bases]]:
    con = proving_ground(SHIPPED, RULES)
    yield con, load_bases(RULES, SHIPPED.profile)
    con.close()


@pytest.mark.parametrize("rule", LIVE, ids=lambda rule: rule.code)
def test_examples_of_shipped_rules(ground: tuple[duckdb.DuckDBPyConnection, Bases], rule: Rule) -> None:
    con, bases = ground
    results = prove(con, rule, SHIPPED, bases)
    assert [one for one in results if not one.ok] == []
    assert {"pass", "fail"} <= {one.kind for one in results}


@pytest.mark.parametrize("rule", LIVE, ids=lambda rule: rule.code)
def test_weakening_a_shipped_rule_turns_its_own_example_red(
    ground: tuple[duckdb.DuckDBPyConnection, Bases], rule: Rule
) -> None:
    con, bases = ground
    weak = {"fails_when": "FALSE", "lookup": ()} if rule.fails_when else {
        "select": f"SELECT n, 'x' AS element, 'x' AS value FROM ({rule.select}) s WHERE FALSE"}  # fmt: skip
    red = [
        one for one in prove(con, rule.model_copy(update={**weak, "value": plain(rule)}), SHIPPED, bases) if not one.ok
    ]
    assert {one.kind for one in red} == {"fail"}
    assert len(red) == len(rule.fails)


@pytest.mark.parametrize("rule", [rule for rule in LIVE if rule.fails_when], ids=lambda rule: rule.code)
def test_a_rule_that_always_fires_turns_its_passing_example_red(
    ground: tuple[duckdb.DuckDBPyConnection, Bases], rule: Rule
) -> None:
    con, bases = ground
    strict = rule.model_copy(update={"fails_when": f"{rule.on}.n > 0", "lookup": (), "value": plain(rule)})
    assert "pass" in {one.kind for one in prove(con, strict, SHIPPED, bases) if not one.ok}


def test_base_documents_have_all_that_the_layout_requires() -> None:
    bases = load_bases(RULES, SHIPPED.profile)
    own = {"n", "up_n", "z_sl_n", "pers_n", "line", "digest", "byte_from", "byte_to", "accounts_from", "accounts_to"}
    for name in bases.base:
        for table, rows in document(Example(why="base", base=name), bases, name).items():
            columns = set(SHIPPED.tables.columns.get(table, ())) - own
            required = {column for column in columns if (table, column) not in SHIPPED.tables.optional}
            assert [(name, table, required - set(row)) for row in rows if required - set(row)] == []


def test_base_documents_pass_every_shipped_rule() -> None:
    for name in load_bases(RULES, SHIPPED.profile).base:
        plan = run(register(RULES, SHIPPED, {"base": name}), SHIPPED)
        assert [row.code for row in plan if row.found] == []


def proven(folder: Path) -> list[ExampleResult]:
    rules, rulebook = book(folder)
    return test_rules(rulebook, rules)


def outcome(folder: Path) -> set[tuple[str, bool, int, int]]:
    return {(one.kind, one.ok, one.expected, one.found) for one in proven(folder)}


def test_examples_are_counted(tmp_path: Path) -> None:
    put_rule(tmp_path, fail="[[fail]]\nwhy='two'\nexpect=2\n[[fail.z_sl]]\nsumv=100001\n[[fail.z_sl]]\nsumv=100002\n")
    assert outcome(tmp_path) == {("pass", True, 0, 0), ("fail", True, 2, 2), ("empty", True, 0, 0)}
    put_rule(tmp_path, fail="[[fail]]\nwhy='one'\nexpect=2\n[fail.z_sl]\nsumv=100001\n")
    assert ("fail", False, 2, 1) in outcome(tmp_path)


def test_a_rule_undecided_on_an_empty_column_is_red(tmp_path: Path) -> None:
    put_rule(tmp_path, fails_when="z_sl.ishod = '999'", fail="[[fail]]\nwhy='x'\n[fail.z_sl]\nishod='999'\n")
    red = [one for one in proven(tmp_path) if not one.ok]
    assert [(one.kind, one.reason) for one in red] == [("empty", "undecided")]
    assert "z_sl.ishod" in red[0].why


def test_the_sense_pass_may_rely_on_what_the_form_pass_requires(tmp_path: Path) -> None:
    put_rule(tmp_path, fails_when="z_sl.sumv > 100000")
    assert [one.why for one in proven(tmp_path) if not one.ok] == ["ok; z_sl.sumv empty"]
    put_rule(tmp_path, code="F.76.0001", run_pass="form", fails_when="z_sl.sumv IS NULL",
             fail="[[fail]]\nwhy='x'\nempty=['z_sl.sumv']\n")  # fmt: skip
    assert [one for one in proven(tmp_path) if not one.ok] == []


def test_a_failing_example_that_equals_a_passing_one_is_red(tmp_path: Path) -> None:
    put_rule(tmp_path, fail="[[fail]]\nwhy='x'\n")
    (only,) = proven(tmp_path)
    assert not only.ok
    assert "the same rows" in only.reason


@pytest.mark.parametrize(
    ("fail", "named"),
    [
        ("[[fail]]\nwhy='x'\n[fail.z_sl]\nnowhere=1\n", "z_sl.nowhere: no such column"),
        ("[[fail]]\nwhy='x'\n[fail.nowhere]\na=1\n", "no table nowhere"),
        ("[[fail]]\nwhy='x'\nbase='nowhere'\n", "base"),
        ("[[fail]]\nwhy='x'\nempty=['lek_pr.regnum']\n", "has no lek_pr"),
    ],
)
def test_an_example_that_names_what_is_not_there(tmp_path: Path, fail: str, named: str) -> None:
    put_rule(tmp_path, fail=fail)
    assert any(named in one.reason for one in proven(tmp_path) if not one.ok)


def test_parts_carry_their_sums_up(tmp_path: Path) -> None:
    fail = "[[fail]]\nwhy='x'\n[[fail.z_sl_sum]]\ntype_acc='1'\nsuml=100001\n"
    put_rule(tmp_path, fail=fail)
    assert all(one.ok for one in proven(tmp_path) if one.kind == "fail")
    put_rule(tmp_path, fails_when="COALESCE(z_sl.ds1 = 'I10', FALSE)", fail="[[fail]]\nwhy='x'\n[fail.ds]\nmkb='I10'\n")
    assert all(one.ok for one in proven(tmp_path) if one.kind == "fail")


def test_rows_find_their_parents(tmp_path: Path) -> None:
    """A service of the second account of the second person is judged with that account and that person."""
    fail = (
        "[[fail]]\nwhy='x'\n[[fail.pers]]\n[[fail.pers]]\nw='2'\n"
        "[[fail.z_sl]]\n[[fail.z_sl]]\nup=2\nvg='7'\n[[fail.usl]]\n[[fail.usl]]\nup=2\nsumv_usl=7\n"
    )
    put_rule(tmp_path, on="usl", fails_when="pers.w = '2' AND z_sl.vg = '7' AND COALESCE(usl.sumv_usl, 0) = 7",
             element="usl.sumv_usl", fail=fail)  # fmt: skip
    assert [one for one in proven(tmp_path) if not one.ok] == []
