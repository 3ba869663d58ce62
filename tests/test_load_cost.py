"""What every judging child pays before the first account: no query for each rule, no library that it has no use for."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.judge import books, rule, rulebook, sqlguard
from oms_batch.ruledata import RuleData
from oms_batch.store import sandbox
from tests import federal_judged
from tests.bench import rules as bench

RULES = RuleData()


class Counting:
    """A connection that counts what is asked of it."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con, self.asked = con, 0

    def cursor(self) -> Counting:
        return self

    def register(self, name: str, rows: object) -> None:
        self.con.register(name, rows)

    def close(self) -> None:
        pass

    def execute(self, *what: object) -> duckdb.DuckDBPyConnection:
        self.asked += 1
        return self.con.execute(*what)  # type: ignore[arg-type]


def test_the_sql_of_a_rulebook_is_parsed_in_a_few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(duckdb.connect())
    sqlguard._parts.cache_clear()
    monkeypatch.setattr(sqlguard, "_parser", lambda: counting)
    monkeypatch.setattr(sqlguard, "_ahead", {})
    monkeypatch.setattr(sqlguard, "_asked", set())
    rule._together.cache_clear()
    sets = federal_judged.rule_sets(load_profile("federal", RULES), "fund")
    book = rulebook.load(RULES, sets, "federal")
    assert len(book.rules) > 400
    asked = counting.asked
    assert asked <= 3 * (len(sets) + 1)
    rulebook.load(RULES, sets, "federal")
    assert counting.asked == asked  # and not a second time


def test_a_text_parsed_ahead_says_what_it_says_alone() -> None:
    texts = ["z_sl.sumv > 0 AND EXISTS (SELECT 1 FROM usl u WHERE u.up_n = z_sl.n)", "bad bad bad", "pers.w IN ('1')"]
    sqlguard._parts.cache_clear()
    sqlguard.parse_ahead(texts)
    ahead = [sqlguard.expression_parts(texts[0]), sqlguard.expression_parts(texts[2])]
    with pytest.raises(SetupError, match="SQL"):
        sqlguard.expression_parts(texts[1])
    sqlguard._parts.cache_clear()
    assert [sqlguard.expression_parts(texts[0]), sqlguard.expression_parts(texts[2])] == ahead
    assert ahead[0].subquery and ("u", "up_n") in ahead[0].columns


def test_books_are_typed_without_a_query_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    books._parsed.cache_clear()
    counting = Counting(duckdb.connect())
    monkeypatch.setattr(books, "_workshop", lambda: counting)
    profile = load_profile("federal", RULES)
    needed = rulebook.load(RULES, federal_judged.rule_sets(profile, "fund"), "federal").books
    for name in needed:
        books.read_book(RULES, "federal", name)
    assert counting.asked < len(needed) / 2  # only where keys repeat


def test_a_child_that_judges_loads_no_ledger() -> None:
    code = "import sys, oms_batch.stages.precheck; print([m for m in ('sqlalchemy', 'alembic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_child_does_not_load_what_arrow_asks_for() -> None:
    told = sandbox.run("tests.test_load_cost:asks_arrow", {}, sandbox.Limits(memory_mb=0))
    assert told == {"pandas": False}


@pytest.mark.slow
def test_judging_is_cheap_beside_reading_even_of_a_small_register() -> None:
    """With so few accounts planning weighs most, so the limits are wider than those of the bench itself."""
    cost = bench.measured(load_profile("federal", RULES), 3000)
    assert len(cost.rules) > 300
    assert cost.judging < 4 * cost.reading
    assert bench.over(cost, share=0.5) in ([], ["judging"])


def asks_arrow(_order: dict[str, object]) -> dict[str, object]:
    """In the child: a list becomes an array."""
    import pyarrow as pa

    pa.array(["1"], pa.string())
    return {"pandas": "pandas" in sys.modules}
