"""What the sense pass may see: views over the register without what is refused already.

The views live in the schema ``sense`` under the names of the tables, and a search path puts them first;
so one rule text serves both passes.
"""

from __future__ import annotations

import duckdb

from oms_batch.judge.tables import ACCOUNT, PERSON, Tables

_REJECTED = "FROM main.findings WHERE severity = 'reject'"


def hide_refused(con: duckdb.DuckDBPyConnection, tables: Tables) -> bool:
    """Hide every account with a rejecting finding; ``True`` when a finding refuses the whole register.

    A person's finding hides all accounts of that person. A finding above the persons is the register's.
    """
    whole = con.execute(f"SELECT count(*) {_REJECTED} AND {register_wide()}").fetchone()
    if whole and whole[0]:
        return True
    con.execute(
        f"""CREATE OR REPLACE TABLE main.hidden_account AS
        SELECT DISTINCT z_sl_n {_REJECTED} AND z_sl_n IS NOT NULL
        UNION SELECT a.n FROM main.{ACCOUNT} a SEMI JOIN
          (SELECT pers_n {_REJECTED} AND {person_wide()}) f ON f.pers_n = a.pers_n"""
    )
    con.execute(
        f"""CREATE OR REPLACE TABLE main.hidden_person AS
        SELECT DISTINCT pers_n {_REJECTED} AND {person_wide()}
        UNION SELECT pers_n FROM main.{ACCOUNT} a LEFT JOIN main.hidden_account h ON h.z_sl_n = a.n
          GROUP BY pers_n HAVING bool_and(h.z_sl_n IS NOT NULL)"""
    )
    con.execute("CREATE SCHEMA IF NOT EXISTS sense")
    names = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'"
    present = {row[0] for row in con.execute(names).fetchall()}
    for table in sorted({*tables.columns, "ident"} & present):
        chain = [table, ACCOUNT] if table == "ident" else tables.chain(table)
        if ACCOUNT in chain:
            key = "n" if table == ACCOUNT else "z_sl_n"
            hidden = f"ANTI JOIN main.hidden_account h ON h.z_sl_n = t.{key}"
        elif PERSON in chain:
            hidden = f"ANTI JOIN main.hidden_person h ON h.pers_n = t.{'n' if table == PERSON else 'up_n'}"
        else:
            continue
        con.execute(f'CREATE OR REPLACE VIEW sense."{table}" AS SELECT t.* FROM main."{table}" t {hidden}')
    con.execute("SET search_path = 'sense,main'")
    return False


def show_all(con: duckdb.DuckDBPyConnection) -> None:
    """Back to the whole register."""
    con.execute("SET search_path = 'main'")
    con.execute("DROP SCHEMA IF EXISTS sense CASCADE")
    con.execute("DROP TABLE IF EXISTS main.hidden_account")
    con.execute("DROP TABLE IF EXISTS main.hidden_person")


def register_wide() -> str:
    """Condition on findings: it refuses the whole register."""
    return "(refuses = 'register' OR (z_sl_n IS NULL AND pers_n IS NULL))"


def person_wide() -> str:
    """Condition on findings: it refuses all accounts of its person."""
    return "(pers_n IS NOT NULL AND (refuses = 'person' OR z_sl_n IS NULL) AND refuses <> 'register')"
