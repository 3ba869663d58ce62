"""From hits of a scan to rows of ``findings``: account, person and line come from the unit's own row."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from oms_batch.judge.rule import Rule
from oms_batch.judge.tables import ACCOUNT, PERSON, Tables

HITS = "CREATE OR REPLACE TEMP TABLE hits (n BIGINT, r BIGINT, undecided BOOLEAN, value VARCHAR, element VARCHAR)"
_FIRED = (
    "CREATE OR REPLACE TEMP TABLE fired (r BIGINT, rule VARCHAR, run_pass VARCHAR, severity VARCHAR, "
    "element VARCHAR, refuses VARCHAR)"
)


def store_hits(
    con: duckdb.DuckDBPyConnection, tables: Tables, table: str, good: Sequence[tuple[int, Rule]], kept: int
) -> None:
    """Append the hits of these rules on ``table``: the first ``kept`` per rule, in the order of the document.

    Beyond that a rejecting rule keeps one finding for everything that it refuses, so that no refusal is lost.
    """
    con.execute(_FIRED)
    con.executemany(
        "INSERT INTO fired VALUES (?, ?, ?, ?, ?, ?)",
        [[index, rule.code, rule.run_pass, rule.effective, rule.element, rule.refuses] for index, rule in good],
    )
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
        ) WHERE nth <= {int(kept)} OR (severity = 'reject' AND nth_refused = 1)"""
    )
    con.execute("DROP TABLE fired")


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
