"""Facts: what earlier registers billed and what became of it, for rules that look back.

``facts`` is a view over Parquet files: the latest state of each account of each organisation, without the
register that is being judged. ``here`` tells the accounts of that register in the same columns, whatever its layout
calls them; ``select_facts`` gives the rows that this register adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from oms_batch.judge.person import Spelling
from oms_batch.judge.tables import FACTS, HERE, create_table

# Where a layout keeps what facts tell: the first of these columns that it has. ``s``: the account's services together.
_SOURCES: dict[str, tuple[str, ...]] = {
    "z_sl_n": ("a.n",),
    "ogrn_mo": ("r.ogrn_mo",),
    "kpp_mo": ("r.kpp_mo",),
    "person_key": ("k.person_key",),
    "npolis": ("p.npolis",),
    "novor": ("p.novor", "a.novor"),
    "profil": ("a.profil", "s.profil"),
    "codes": ("s.codes",),
    "n_ksg": ("a.n_ksg", "s.n_ksg"),
    "kind": ("a.vg",),
    "disp": ("r.disp", "a.disp_type"),
    "kd": ("a.kd_z", "s.kd"),
    "det": ("a.det", "s.det"),
}
_SERVICES = {
    "profil": "min(profil)",
    "codes": "string_agg(DISTINCT code_usl, '|' ORDER BY code_usl)",
    "n_ksg": "min(n_ksg)",
    "kd": "CAST(sum(kd) AS BIGINT)",
    "det": "max(det)",
}
_READS = {"codes": "code_usl"}
_LATEST = "QUALIFY row_number() OVER (PARTITION BY ogrn_mo, xkey ORDER BY seq DESC, register DESC, state DESC) = 1"
USED: dict[str, str] = {
    "usl_ok": "VARCHAR",
    "vidpom": "VARCHAR",
    "profil": "VARCHAR",
    "accounts": "BIGINT",
    "kopecks": "BIGINT",
}


def make_facts(con: duckdb.DuckDBPyConnection, paths: Sequence[str], register: str, lost: Sequence[str] = ()) -> None:
    """Make ``facts`` from Parquet files (none: an empty table of the right types), without ``register``.

    Latest means the greatest ``seq`` of (``ogrn_mo``, ``xkey``): the ledger's order, not the clock's. Columns that
    an older file has not are NULL; whether an account of such a file stands is told by its state: ``lost`` ones do not.
    """
    for kind, listed in (("VIEW", "duckdb_views() WHERE view_name"), ("TABLE", "duckdb_tables() WHERE table_name")):
        if con.execute(f"SELECT 1 FROM {listed} = 'facts'").fetchall():
            con.execute(f"DROP {kind} facts")
    if not paths:
        con.execute(create_table("facts", FACTS))
        return
    files = ", ".join(_quoted(path) for path in paths)
    nothing = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in FACTS.items())
    columns = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in FACTS.items() if name != "live")
    gone = ", ".join(_quoted(state) for state in lost) or "NULL"
    con.execute(
        f"""CREATE OR REPLACE VIEW facts_told AS
        SELECT {columns}, CAST(COALESCE(live, (state IN ({gone})) IS NOT TRUE) AS BOOLEAN) AS live FROM (
          SELECT {nothing} WHERE FALSE
          UNION ALL BY NAME
          SELECT * FROM read_parquet([{files}], union_by_name = true, hive_partitioning = false))
        WHERE register IS DISTINCT FROM {_quoted(register)}"""
    )
    con.execute(f"CREATE VIEW facts AS SELECT * FROM facts_told {_LATEST}")


def load_facts(con: duckdb.DuckDBPyConnection, paths: Sequence[str], register: str, lost: Sequence[str] = ()) -> None:
    """The same as a table of its own, cut down to persons of this register: read once, then no file is needed.

    Rules look for earlier accounts of the same persons only (``person_key`` or ``npolis``); one that a later account
    replaced stands no more (``live``). What the organisation has billed in this month, whoever the persons, is kept as
    sums in ``used_month``, where there is a book of caps.
    """
    make_facts(con, paths, register, lost)
    con.execute(create_table("used_month", USED))
    if not paths:
        return
    if con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'book_volumes'").fetchall():
        count_used(con)
    con.execute(  # first the keys, which are narrow; the latest state of an account is known by all of its rows
        """CREATE OR REPLACE TEMP TABLE facts_keys AS SELECT DISTINCT ogrn_mo, xkey FROM facts_told f
        WHERE f.person_key IN (SELECT person_key FROM person_of) OR f.npolis IN (SELECT npolis FROM pers)
           OR f.xkey IN (SELECT xkey FROM z_sl) OR f.xkey IN (SELECT x_key2 FROM z_sl)"""
    )
    con.execute(
        f"""CREATE OR REPLACE TABLE facts_here AS
        SELECT f.* REPLACE (f.live AND later.xkey IS NULL AS live)
        FROM (SELECT * FROM facts_told SEMI JOIN facts_keys USING (ogrn_mo, xkey) {_LATEST}) f
        LEFT JOIN (
          SELECT DISTINCT ogrn_mo, x_key2 AS xkey
          FROM (SELECT * FROM facts_told WHERE x_key2 IS NOT NULL {_LATEST}) WHERE live
        ) later ON later.ogrn_mo = f.ogrn_mo AND later.xkey = f.xkey"""
    )
    con.execute("DROP TABLE facts_keys")
    con.execute("DROP VIEW facts")
    con.execute("DROP VIEW facts_told")
    con.execute("ALTER TABLE facts_here RENAME TO facts")


_THIS_MONTH = "concat(r.year, '-', lpad(CAST(r.month AS VARCHAR), 2, '0'))"
_MINE = """CREATE OR REPLACE TEMP TABLE facts_mine AS
SELECT f.xkey, f.x_key2, f.usl_ok, f.vidpom, f.profil, COALESCE(f.money, f.sumv, 0) AS money,
  COALESCE(f.period, strftime(f.date_z_2, '%Y-%m')) = {month} AS this_month
FROM facts f WHERE f.ogrn_mo = {mo} AND f.live"""
_USED = """INSERT INTO used_month
SELECT f.usl_ok, f.vidpom, f.profil, count(*), CAST(sum(f.money) AS BIGINT) FROM facts_mine f
WHERE f.this_month AND f.xkey NOT IN (SELECT x_key2 FROM facts_mine WHERE x_key2 IS NOT NULL)
  AND f.xkey NOT IN (SELECT x_key2 FROM z_sl WHERE x_key2 IS NOT NULL)
GROUP BY ALL ORDER BY ALL"""


def count_used(con: duckdb.DuckDBPyConnection) -> None:
    """Make ``used_month``: accounts and kopecks of this organisation in ``facts`` that stand in this month.

    One that another account replaces counts no more.
    """
    con.execute(create_table("used_month", USED))
    ours = con.execute(f"SELECT r.ogrn_mo, {_THIS_MONTH} FROM register r LIMIT 1").fetchone()
    if ours is None or ours[0] is None:
        return
    con.execute(_MINE.format(mo=_quoted(ours[0]), month=_quoted(ours[1])))  # as constants they narrow what is read
    con.execute(_USED)
    con.execute("DROP TABLE facts_mine")


def make_person_keys(con: duckdb.DuckDBPyConnection, spelling: Spelling) -> None:
    """Table ``person_of(pers_n, person_key)`` of this register, the key by which facts know a person; and ``here``."""
    con.execute(
        "CREATE OR REPLACE TABLE person_of AS SELECT p.n AS pers_n, "
        f"{spelling.key('p.fam', 'p.im', 'p.ot', 'p.dr')} AS person_key FROM pers p"
    )
    make_here(con)


def make_here(con: duckdb.DuckDBPyConnection) -> None:
    """View ``here``: the accounts of the register in the columns of facts. What the layout lacks is NULL."""
    for kind, listed in (("VIEW", "duckdb_views() WHERE view_name"), ("TABLE", "duckdb_tables() WHERE table_name")):
        if con.execute(f"SELECT 1 FROM {listed} = 'here'").fetchall():
            con.execute(f"DROP {kind} here")
    have = {
        (table, column)
        for table, column in con.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main'"
        ).fetchall()
    }
    if ("person_of", "pers_n") not in have:
        con.execute(create_table("person_of", {"pers_n": "BIGINT", "person_key": "VARCHAR"}))
        have.add(("person_of", "person_key"))
    of = {"a": "z_sl", "p": "pers", "r": "register", "k": "person_of"}
    services = {name: text for name, text in _SERVICES.items() if ("usl", _READS.get(name, name)) in have}

    def has(source: str) -> bool:
        alias, column = source.split(".")
        return column in services if alias == "s" else (of[alias], column) in have

    columns = []
    for name, kind in HERE.items():
        made = {
            "period": _THIS_MONTH,
            "money": "COALESCE(a.sumv, 0)" + (" - COALESCE(a.held, 0)" if has("a.held") else ""),
        }.get(name)
        text = made or next((one for one in _SOURCES.get(name, (f"a.{name}",)) if has(one)), "NULL")
        columns.append(f'CAST({text} AS {kind}) AS "{name}"')
    listed_services = "".join(f', {text} AS "{name}"' for name, text in services.items())
    con.execute(
        f"""CREATE VIEW here AS SELECT {", ".join(columns)}
        FROM main.z_sl a CROSS JOIN main.register r
        LEFT JOIN main.pers p ON p.n = a.pers_n LEFT JOIN main.person_of k ON k.pers_n = a.pers_n
        LEFT JOIN (SELECT z_sl_n{listed_services} FROM main.usl GROUP BY z_sl_n) s ON s.z_sl_n = a.n"""
    )


def keep_here(con: duckdb.DuckDBPyConnection) -> None:
    """``here`` as a table, where many rules look into it; made from what is there, if nobody has made it yet."""
    if con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'here'").fetchall():
        return
    if not con.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'here'").fetchall():
        make_here(con)
    con.execute("CREATE OR REPLACE TABLE here_kept AS SELECT * FROM here")
    con.execute("DROP VIEW here")
    con.execute("ALTER TABLE here_kept RENAME TO here")


def select_facts(register: str, seq: int, passed: str, refused: str) -> str:
    """SQL of the facts of this register after its verdicts; ``passed`` and ``refused`` are states of the stage.

    Needs ``here`` and ``facts``. An account that is refused here while its key stands passed in another register
    adds nothing: its refusal takes back no acceptance. The caller writes the rows to Parquet.
    """
    outcome = {
        "register": _quoted(register),
        "state": f"CASE WHEN v.refused THEN {_quoted(refused)} ELSE {_quoted(passed)} END",
        "seq": f"CAST({int(seq)} AS BIGINT)",
        "payer": "v.payer",
        "live": "NOT v.refused",
    }
    columns = ", ".join(f'{outcome.get(name) or f"h.{name}"} AS "{name}"' for name in FACTS)
    return f"""SELECT {columns} FROM here h JOIN verdicts v ON v.z_sl_n = h.z_sl_n
    LEFT JOIN (SELECT DISTINCT ogrn_mo, xkey FROM facts WHERE state = {_quoted(passed)}) stands
      ON v.refused AND stands.xkey = h.xkey AND stands.ogrn_mo = h.ogrn_mo
    WHERE stands.xkey IS NULL ORDER BY h.z_sl_n"""


def write_facts(con: duckdb.DuckDBPyConnection, path: str, query: str) -> int:
    """Write the rows of ``select_facts`` as one Parquet file; gives their number. Same rows, same bytes."""
    con.execute(f"COPY ({query}) TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd)")
    row = con.execute(f"SELECT count(*) FROM read_parquet({_quoted(path)})").fetchone()
    return int(row[0]) if row else 0


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
