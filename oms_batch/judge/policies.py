"""Lists of policies beside the register of the insured: the list of policies in force and the stop list.

A policy is known by one text, its key: ``3|ENP``, ``1|series|number`` (without leading zeros), ``2|certificate``.
``numbers(key, smo)`` holds policies in force, ``stopped(key, gone, smo, date_end, vpolis_new, spolis_new,
npolis_new, smo_new, okato_new)`` the cancelled ones; ``gone`` is false where the same number lives on with
another insurer. An insurer stands in the lists by its code or by its letters: ``book_payers`` brings both to one.
"""

from __future__ import annotations

import duckdb

from oms_batch.judge.books import LAST_DAY

STOPPED, NUMBERS = "stopped", "numbers"
LINKS = 3  # how many replacements in a row are followed


def key(vpolis: str, spolis: str, npolis: str) -> str:
    """SQL: the key of a policy from its kind, series and number as they are compared; NULL when it has none."""
    return (
        f"CASE {vpolis} WHEN '1' THEN concat('1|', COALESCE({spolis}, ''), '|', ltrim({npolis}, '0')) "
        f"ELSE concat({vpolis}, '|', {npolis}) END"
    )


def smo_of(column: str) -> str:
    """SQL: the insurer's code where a list has its letters; anything else stays."""
    return f"COALESCE((SELECT min(smo) FROM book_payers WHERE code = {column} AND smo <> {column}), {column})"


def make_lists(con: duckdb.DuckDBPyConnection, insured: str) -> None:
    """Tables ``stop`` and ``listed`` cut down to what this register needs; empty where the home has no such list."""
    schema = insured.rpartition(".")[0]
    have = {row[0] for row in con.execute(_TABLES, [schema.split(".")[0]]).fetchall()} if schema else set()
    con.execute(
        """CREATE OR REPLACE TEMP TABLE stop (key VARCHAR, gone BOOLEAN, smo VARCHAR, date_end DATE,
        vpolis_new VARCHAR, spolis_new VARCHAR, npolis_new VARCHAR, smo_new VARCHAR, okato_new VARCHAR)"""
    )
    if STOPPED in have:
        con.execute(
            f"""INSERT INTO stop SELECT s.key, s.gone, {smo_of("s.smo")}, s.date_end, s.vpolis_new, s.spolis_new,
            s.npolis_new, {smo_of("s.smo_new")}, s.okato_new FROM {schema}.{STOPPED} s"""
        )
    con.execute("CREATE OR REPLACE TEMP TABLE listed (key VARCHAR, smo VARCHAR)")
    if NUMBERS in have:
        con.execute(
            f"""INSERT INTO listed SELECT s.key, {smo_of("min(s.smo)")} FROM {schema}.{NUMBERS} s
            SEMI JOIN who ON who.key = s.key GROUP BY s.key"""
        )
    con.execute("CREATE OR REPLACE TEMP TABLE lists AS SELECT ? AS numbers", [NUMBERS in have])


_TABLES = "SELECT table_name FROM duckdb_tables() WHERE database_name = ?"


def forget(con: duckdb.DuckDBPyConnection) -> None:
    """Drop what ``make_lists`` made."""
    for name in ("stop", "listed", "lists"):
        con.execute(f"DROP TABLE IF EXISTS {name}")


def replaced(con: duckdb.DuckDBPyConnection) -> None:
    """Periods of ``period_of`` as the stop list sees them: what replaced a policy is added, then every period ends
    on the day on which its policy was cancelled, whatever the register of the insured says."""
    if not con.execute("SELECT 1 FROM stop LIMIT 1").fetchall():
        return
    for _link in range(LINKS):
        con.execute(
            f"""INSERT INTO period_of BY NAME
            SELECT DISTINCT ON (r.pers_n, s.date_end, s.npolis_new, s.smo_new) r.* EXCLUDE
              (vpolis, spolis, npolis, enp, smo, date_from, date_to, key, made), s.vpolis_new AS vpolis,
              s.spolis_new AS spolis, s.npolis_new AS npolis,
              CASE WHEN s.vpolis_new = '3' THEN s.npolis_new END AS enp, s.smo_new AS smo, s.date_end AS date_from,
              CAST(NULL AS DATE) AS date_to, {key("s.vpolis_new", "s.spolis_new", "s.npolis_new")} AS key, TRUE AS made
            FROM period_of r JOIN stop s ON s.key = r.key
            WHERE s.npolis_new IS NOT NULL AND NOT EXISTS (SELECT 1 FROM period_of o WHERE o.pers_n = r.pers_n
              AND o.date_from = s.date_end AND o.npolis = s.npolis_new AND o.smo IS NOT DISTINCT FROM s.smo_new)"""
        )
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE period_cut AS SELECT r.* REPLACE (
          CASE WHEN s.ends IS NULL THEN r.date_to ELSE least(COALESCE(r.date_to, {LAST_DAY}), s.ends) END AS date_to)
        FROM period_of r LEFT JOIN (
          SELECT r.pers_n, r.key, r.smo, r.date_from, min(s.date_end) AS ends FROM period_of r JOIN stop s
          ON s.key = r.key AND s.date_end >= r.date_from
          WHERE (s.gone OR s.smo IS NOT DISTINCT FROM r.smo) AND NOT (r.made AND s.date_end = r.date_from)
          GROUP BY ALL) s
        ON s.pers_n = r.pers_n AND s.key = r.key AND s.smo IS NOT DISTINCT FROM r.smo AND s.date_from = r.date_from"""
    )
    con.execute("DROP TABLE period_of")
    con.execute("ALTER TABLE period_cut RENAME TO period_of")
