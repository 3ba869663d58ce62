"""No register, however odd, may stop the rules: every shipped rule decides on junk, on emptiness and on extremes.

A rule that breaks on a value would leave the sender without an answer, and one value would be enough.
"""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import duckdb
import pytest

from oms_batch.judge.engine import RuleFailed, run
from oms_batch.judge.example import Document, document, insert_sql, load_bases, numbered
from oms_batch.judge.rule import Example
from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.tables import FACTS, IDENT
from oms_batch.ruledata import RuleData
from tests.judge_tools import register
from tests.test_rulebook import SHIPPED

KEYS = {"n", "up_n", "z_sl_n", "pers_n", "line", "byte_from", "byte_to", "accounts_from", "accounts_to", "digest"}
TEXTS = [
    *["", " ", "x", "0", "-1", "1.5", "1e5", "'", '"', "%", "_", "\\", "|", "[", "Ы", "ёж", "1 2", "01"],
    *["9" * 16, "9" * 40],
    *["2026-02-30", "№ 5", "112-233-445 99", "00000000000", "A00.0000000001", "NaN", "null"],
]
DATES = [date(1, 1, 1), date(1899, 12, 31), date(2000, 2, 29), date(2026, 10, 15), date(9999, 12, 31)]
# Money and counts as the layout lets them in: up to 15 characters.
NUMBERS = [0, 1, -1, 5, 10**11, -(10**11), 99_999_999_999_999]
QUANTITIES = ["0", "0.01", "-1", "1", "9999999999.99"]


def junk(kind: str, chance: random.Random) -> Any:
    pools: dict[str, list[Any]] = {
        "VARCHAR": TEXTS,
        "DATE": DATES,
        "BIGINT": NUMBERS,
        "INTEGER": NUMBERS,
        "BOOLEAN": [True, False],
    }
    return chance.choice([None, *pools.get(kind, QUANTITIES)])


def spoiled(rows: Document, rulebook: Rulebook, chance: random.Random, share: float) -> Document:
    """The document with every column replaced by junk now and then, and some rows gone or doubled."""
    found: Document = {}
    for table, listed in rows.items():
        columns = rulebook.tables.columns.get(table) or IDENT
        times = (1,) if table in ("pers", "z_sl") or chance.random() > share * 10 else (0, 1, 2)
        kept = [dict(row) for row in listed for _ in range(chance.choice(times))]
        found[table] = [
            {**row, **{name: junk(kind, chance) for name, kind in columns.items()
                       if name not in KEYS and chance.random() < share}}
            for row in kept
        ]  # fmt: skip
    return found


def fill(con: duckdb.DuckDBPyConnection, rulebook: Rulebook, seed: int, share: float, count: int) -> None:
    chance = random.Random(seed)
    bases = load_bases(RuleData(), rulebook.profile)
    names = sorted(bases.base)
    for i in range(count):
        rows = document(Example(why="junk", base=chance.choice(names)), bases, "junk")
        for table, column in (("pers", "id_pac"), ("z_sl", "xkey"), ("z_sl", "idcase"), ("z_sl", "nhistory")):
            for row in rows[table]:
                row[column] = f"{row[column]}{i}"
        for table, listed in numbered(spoiled(rows, rulebook, chance, share), i + 1, rulebook.tables, "junk").items():
            if listed and table != "register":
                con.execute(insert_sql(table, listed, rulebook.tables.columns.get(table) or IDENT))


def junk_register(share: float, count: int) -> duckdb.DuckDBPyConnection:
    con = register(RuleData(), SHIPPED)
    fill(con, SHIPPED, seed=int(share * 1000), share=share, count=count)
    chance = random.Random(1)
    facts = [{name: junk(kind, chance) for name, kind in FACTS.items()} for _ in range(50)]
    con.execute(insert_sql("facts", facts, FACTS))
    structural(con, SHIPPED)
    return con


def structural(con: duckdb.DuckDBPyConnection, rulebook: Rulebook) -> None:
    """What reading would find: a required value that is not there rejects its account or its person."""
    for table, columns in rulebook.tables.columns.items():
        required = [name for name in columns if name not in KEYS and (table, name) not in rulebook.tables.optional]
        if "pers" not in rulebook.tables.chain(table) or not required:
            continue
        person = "n" if table == "pers" else "up_n"
        account = "NULL" if table in ("pers", "address", "an_p") else "n" if table == "z_sl" else "z_sl_n"
        person = "NULL" if account != "NULL" else person
        absent = " OR ".join(f'"{name}" IS NULL' for name in required)
        con.execute(
            f"INSERT INTO findings SELECT 'S.00.0010', 'structure', 'reject', '{table}', n, {account}, {person}, "
            f"'{table}', NULL, 1, 'account' FROM \"{table}\" WHERE {absent}"
        )


@pytest.mark.parametrize(
    ("share", "passes", "reached"),
    [(0.2, ("form",), 0), (1.0, ("form",), 0), (0.001, ("form", "sense"), 8), (0.005, ("form", "sense"), 3)],
)
def test_shipped_rules_decide_on_junk(share: float, passes: tuple[str, ...], reached: int) -> None:
    con = junk_register(share, 25)
    try:
        plan = run(con, SHIPPED, pass_order=passes)
    except RuleFailed as failed:
        pytest.fail(str(failed))
    assert any(row.outcome == "found" for row in plan)
    if "sense" in passes:
        sense = {rule.code for rule in SHIPPED.rules if rule.run_pass == "sense" and rule.on == "z_sl"}
        assert max(row.total for row in plan if row.code in sense) >= reached


def test_wide_scans_find_what_each_rule_finds_alone() -> None:
    con = junk_register(0.02, 25)
    found = []
    for width in (1, 48):
        con.execute("DELETE FROM findings WHERE run_pass <> 'structure'")
        plan = run(con, SHIPPED, width=width)
        found.append((plan, con.execute("SELECT * FROM findings ORDER BY ALL").fetchall()))
    assert found[0] == found[1]
    assert len(found[0][1]) > 25


def test_shipped_rules_decide_on_an_empty_register() -> None:
    con = register(RuleData(), SHIPPED)
    for table in SHIPPED.tables.columns:
        if table != "register":
            con.execute(f'DELETE FROM "{table}"')
    con.execute("DELETE FROM ident")
    run(con, SHIPPED)
