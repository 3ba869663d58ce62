"""No rule compares every row with every row: what it does with a thousand accounts it must afford with a million."""

from __future__ import annotations

import re

import pytest

from oms_batch.exchange import load_profile, shipped
from oms_batch.judge import proof, rulebook
from oms_batch.judge.engine import span_of
from oms_batch.judge.example import document, insert_sql, load_bases, numbered
from oms_batch.judge.rule import Example
from oms_batch.judge.scan import applies, make_ready, select_scan, wide_scan
from oms_batch.ruledata import RuleData
from tests.bench.rules import SHARE, Cost, over, told
from tests.test_one_field import sets_of

RULES = RuleData()
# joins without an equality; with the one row of the head a cross product is no cost
DEAR = re.compile(r"(NESTED_LOOP_JOIN|BLOCKWISE_NL_JOIN|IE_JOIN|PIECEWISE_MERGE_JOIN)")


@pytest.mark.parametrize("name", shipped())
def test_every_rule_joins_by_equality(name: str) -> None:
    book = rulebook.load(RULES, sets_of(load_profile(name, RULES)), name)
    con = proof.proving_ground(book, RULES)
    bases = load_bases(RULES, name)
    for i in range(40):  # so many that the planner has a choice
        rows = document(Example(why="plan"), bases, "plan")
        for table, listed in numbered(rows, i, book.tables, "plan").items():
            if listed and not (table == "register" and i):
                con.execute(insert_sql(table, listed, {**book.tables.columns.get(table, {}), **_beside(table)}))
    span = span_of(con)
    here = {row[0] for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    dear, looked = [], 0
    for rule in book.rules:
        live = None if rule.built_in or book.tables.lacks(rule.on, rule.parts()) else applies(rule, book.tables, span)
        if live is None or "over_cap" in rule.needs or {f"book_{one}" for one in rule.books()} - here:
            continue
        looked += 1
        ready = [make_ready(0, rule, book.tables, span, live)] if rule.fails_when else []
        query = select_scan(rule, 0) if rule.select else wide_scan(rule.on, ready, book.tables)
        plan = "\n".join(str(row[1]) for row in con.execute(f"EXPLAIN {query}").fetchall())
        if DEAR.search(plan):
            dear.append(rule.code)
    con.close()
    assert looked > 40
    assert dear == []


def _beside(table: str) -> dict[str, str]:
    from oms_batch.judge.tables import FACTS, IDENT

    return {"ident": IDENT, "facts": FACTS}.get(table, {})


def test_a_rule_over_its_share_is_named() -> None:
    cost = Cost(1000, 2.0, 0.1, 1.0, {"K.00.0001": 2.0 * SHARE + 0.01, "K.00.0002": 2.0 * SHARE - 0.01}, 100.0)
    assert over(cost) == ["K.00.0001"]
    assert "K.00.0001" in "\n".join(told(cost, "federal"))
