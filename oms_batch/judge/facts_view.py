"""Facts: what earlier registers billed and what became of it, for rules that look back.

``facts`` is a view over Parquet files: the latest state of each account of each organisation, without the
register that is being judged. ``select_facts`` gives the rows that this register adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from oms_batch.judge.person import Spelling
from oms_batch.judge.tables import FACTS, create_table


def make_facts(con: duckdb.DuckDBPyConnection, paths: Sequence[str], register: str) -> None:
    """Make ``facts`` from Parquet files (none: an empty table of the right types), without ``register``.

    Latest means the greatest ``seq`` of (``ogrn_mo``, ``xkey``): the ledger's order, not the clock's.
    """
    for kind, listed in (("VIEW", "duckdb_views() WHERE view_name"), ("TABLE", "duckdb_tables() WHERE table_name")):
        if con.execute(f"SELECT 1 FROM {listed} = 'facts'").fetchall():
            con.execute(f"DROP {kind} facts")
    if not paths:
        con.execute(create_table("facts", FACTS))
        return
    files = ", ".join(_quoted(path) for path in paths)
    columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in FACTS.items())
    con.execute(
        f"""CREATE VIEW facts AS SELECT {columns} FROM read_parquet([{files}], union_by_name = true)
        WHERE register IS DISTINCT FROM {_quoted(register)}
        QUALIFY row_number() OVER (PARTITION BY ogrn_mo, xkey ORDER BY seq DESC, register DESC, state DESC) = 1"""
    )


def load_facts(con: duckdb.DuckDBPyConnection, paths: Sequence[str], register: str) -> None:
    """The same as a table of its own, cut down to persons of this register: read once, then no file is needed.

    Rules look for earlier accounts of the same persons only (``person_key`` or ``npolis``).
    """
    make_facts(con, paths, register)
    if paths:
        con.execute(
            """CREATE OR REPLACE TABLE facts_here AS SELECT * FROM facts
            WHERE person_key IN (SELECT person_key FROM person_of) OR npolis IN (SELECT npolis FROM pers)
               OR xkey IN (SELECT xkey FROM z_sl) OR xkey IN (SELECT x_key2 FROM z_sl)"""
        )
        con.execute("DROP VIEW facts")
        con.execute("ALTER TABLE facts_here RENAME TO facts")


def make_person_keys(con: duckdb.DuckDBPyConnection, spelling: Spelling) -> None:
    """Table ``person_of(pers_n, person_key)`` of this register: the key by which facts know a person."""
    con.execute(
        "CREATE OR REPLACE TABLE person_of AS SELECT p.n AS pers_n, "
        f"{spelling.key('p.fam', 'p.im', 'p.ot', 'p.dr')} AS person_key FROM pers p"
    )


def select_facts(register: str, seq: int, passed: str, refused: str) -> str:
    """SQL of the facts of this register after its verdicts; ``passed`` and ``refused`` are states of the stage.

    Needs ``person_of`` and ``facts``. An account that is refused here while its key stands passed in another register
    adds nothing: its refusal takes back no acceptance. The caller writes the rows to Parquet.
    """
    return f"""SELECT r.ogrn_mo, r.kpp_mo, {_quoted(register)} AS register, a.xkey, a.x_key2, k.person_key, p.npolis,
      a.usl_ok, a.date_z_1, a.date_z_2, a.ds1, u.profil, a.sumv,
      CASE WHEN v.refused THEN {_quoted(refused)} ELSE {_quoted(passed)} END AS state, a.pr_nov,
      CAST({int(seq)} AS BIGINT) AS seq
    FROM z_sl a CROSS JOIN register r JOIN verdicts v ON v.z_sl_n = a.n
    LEFT JOIN pers p ON p.n = a.pers_n LEFT JOIN person_of k ON k.pers_n = a.pers_n
    LEFT JOIN (SELECT z_sl_n, min(profil) AS profil FROM usl GROUP BY z_sl_n) u ON u.z_sl_n = a.n
    LEFT JOIN (SELECT DISTINCT ogrn_mo, xkey FROM facts WHERE state = {_quoted(passed)}) stands
      ON v.refused AND stands.xkey = a.xkey AND stands.ogrn_mo = r.ogrn_mo
    WHERE stands.xkey IS NULL ORDER BY a.n"""


def write_facts(con: duckdb.DuckDBPyConnection, path: str, query: str) -> int:
    """Write the rows of ``select_facts`` as one Parquet file; gives their number. Same rows, same bytes."""
    con.execute(f"COPY ({query}) TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd)")
    row = con.execute(f"SELECT count(*) FROM read_parquet({_quoted(path)})").fetchone()
    return int(row[0]) if row else 0


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
