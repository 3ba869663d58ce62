"""From hits of a scan to rows of ``findings``: account, person and line come from the unit's own row.

What reading has already refused an element for, an official check of form does not tell a second time: an
element that is missing or unreadable is NULL in the tables, and checks that demand it would find it so. A mere
warning of reading refuses nothing, so it silences nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from oms_batch.judge.rule import Rule
from oms_batch.judge.tables import ACCOUNT, PERSON, Tables

HITS = "CREATE OR REPLACE TEMP TABLE hits (n BIGINT, r BIGINT, undecided BOOLEAN, value VARCHAR, element VARCHAR)"
_SAID = "CREATE OR REPLACE TEMP TABLE said (unit VARCHAR, n BIGINT, name VARCHAR)"
_FIRED = (
    "CREATE OR REPLACE TEMP TABLE fired (r BIGINT, rule VARCHAR, run_pass VARCHAR, severity VARCHAR, "
    "element VARCHAR, refuses VARCHAR, repeats BOOLEAN)"
)


def store_hits(
    con: duckdb.DuckDBPyConnection, tables: Tables, table: str, good: Sequence[tuple[int, Rule]], kept: int
) -> None:
    """Append the hits of these rules on ``table``: the first ``kept`` per rule, in the order of the document.

    Beyond that a rejecting rule keeps one finding for everything that it refuses, so that no refusal is lost.
    """
    con.execute(_FIRED)
    con.executemany(
        "INSERT INTO fired VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            [index, rule.code, rule.run_pass, rule.effective, rule.element, rule.refuses, _repeats(rule)]
            for index, rule in good
        ],
    )
    _already_said(con, tables, table)
    account, person, join = unit_keys(tables, table)
    refused = f"CASE WHEN f.refuses = 'account' THEN COALESCE({account}, -{person}) ELSE {person} END"
    con.execute(
        f"""INSERT INTO main.findings
        SELECT rule, run_pass, severity, '{table}', n, z_sl_n, pers_n, shown, value, line, refuses FROM (
          SELECT f.rule, f.run_pass, f.severity, f.refuses, h.n, {account} AS z_sl_n, {person} AS pers_n,
            COALESCE(h.element, f.element) AS shown, h.value, t.line,
            row_number() OVER (PARTITION BY f.r ORDER BY h.n, h.element, h.value) AS nth,
            row_number() OVER (PARTITION BY f.r, {refused} ORDER BY h.n, h.element, h.value) AS nth_refused
          FROM hits h JOIN fired f ON f.r = h.r AND NOT h.undecided JOIN main."{table}" t ON t.n = h.n {join}
          LEFT JOIN said s ON f.repeats AND s.unit = '{table}' AND s.n = h.n
            AND s.name = COALESCE(h.element, f.element)
          WHERE s.n IS NULL
        ) WHERE nth <= {int(kept)} OR (severity = 'reject' AND nth_refused = 1)"""
    )
    con.execute("DROP TABLE fired")
    con.execute("DROP TABLE said")


def _repeats(rule: Rule) -> bool:
    return rule.run_pass == "form" and bool(rule.files)


def _already_said(con: duckdb.DuckDBPyConnection, tables: Tables, table: str) -> None:
    """Table ``said``: rows of this table with elements (``table.column``) that reading refused."""
    con.execute(_SAID)
    own = f"pers_n IS NOT NULL AND z_sl_n IS NULL AND '{table}' = '{PERSON}'"
    units = ", ".join(f"'{one}'" for one in (table, *(raw for raw, here in tables.same.items() if here == table)))
    where = f"run_pass = 'structure' AND severity = 'reject' AND (unit IN ({units}) OR {own})"
    elements = con.execute(f"SELECT DISTINCT element FROM main.findings WHERE {where}").fetchall()
    names = [[element, tables.name_of(table, element)] for (element,) in elements if element]
    if not names:
        return
    con.execute("CREATE OR REPLACE TEMP TABLE named_element (element VARCHAR, name VARCHAR)")
    con.executemany("INSERT INTO named_element VALUES (?, ?)", names)
    con.execute(
        f"""INSERT INTO said SELECT DISTINCT '{table}', CASE WHEN unit IN ({units}) THEN n ELSE pers_n END, e.name
        FROM main.findings f JOIN named_element e ON e.element = f.element WHERE {where}"""
    )
    con.execute("DROP TABLE named_element")


def unit_keys(tables: Tables, table: str) -> tuple[str, str, str]:
    """SQL of the account and the person of a row ``t`` of this table, and the join that they need."""
    chain = tables.chain(table)
    nothing = "CAST(NULL AS BIGINT)"
    if ACCOUNT in chain:
        account = "t.n" if table == ACCOUNT else "t.z_sl_n"
        return account, "a.pers_n", f'LEFT JOIN main."{ACCOUNT}" a ON a.n = {account}'
    if table == PERSON:
        return nothing, "t.n", ""
    return nothing, "t.up_n" if chain[1:2] == [PERSON] else nothing, ""
