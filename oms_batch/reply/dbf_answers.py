"""An answer in DBF: the tables as they were received, marks put into some fields of some records.

Which member carries the marks is data (``[mark]`` of profile.toml), and which fields of which records get which value
is ``rules/<profile>/mark.sql``: a SELECT of record numbers and fields. All other bytes stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.formats import dbf_write
from oms_batch.formats.members import name_of
from oms_batch.reply.answers import Ask, OpenOut, Part

LINE = "line"  # column of mark.sql: number of the record from 1
BATCH = 4096


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """The members of one answer under the names of the answer's own file, with the accounts of ``ask.keep``.

    ``mark.sql`` sees the tables of the register, ``verdicts``, ``answered(day)``, ``said(z_sl_n, place, rule, defect)``
    and the books of ``canon_books`` (``given_<book>``). ``Fault`` when a mark does not fit its field.
    """
    settings = ask.profile.data["mark"]
    marked, follows = str(settings["member"]), dict(settings.get("follows", {}))
    names = {one.role: name_of(one, ask.told.parts) for one in ask.profile.members_of(ask.told.stage)}
    whole = _all_kept(con, ask.keep)
    for role, source in sources.items():
        if role not in names:
            continue
        table = "z_sl" if role == marked else follows.get(role, "")
        keep = None if whole or not table else _records(con, table, ask.keep)
        changes = dict(marks(con, ask)) if role == marked and ask.mark else {}
        with open_out(names[role]) as out:
            dbf_write.rewrite(source, out, changes, keep)
    return _part(con, ask.keep)


def marks(con: duckdb.DuckDBPyConnection, ask: Ask) -> Iterator[tuple[int, dict[str, Any]]]:
    """Record number → field → value, for every record that is marked."""
    sql = ask.profile.rules.read(f"{ask.profile.id}/mark.sql").decode("utf-8")
    _answered(con, ask.received_at.date())
    _said(con, {code: rule.defect for code, rule in ask.texts.rules.items()})
    try:
        con.execute(sql)
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"{ask.profile.id}/mark.sql: {type(error).__name__}") from None
    columns = [str(one[0]) for one in con.description or ()]
    if LINE not in columns:
        raise Fault(f"{ask.profile.id}/mark.sql: no column {LINE}")
    while rows := con.fetchmany(BATCH):
        for row in rows:
            found = dict(zip(columns, row, strict=True))
            yield int(found.pop(LINE)), found


def _answered(con: duckdb.DuckDBPyConnection, day: date) -> None:
    con.execute("CREATE OR REPLACE TEMP TABLE answered (day DATE)")
    con.execute("INSERT INTO answered VALUES (?)", [day])


def _said(con: duckdb.DuckDBPyConnection, defects: Mapping[str, str]) -> None:
    """The defects of each refused account, each told once: that of the leading rule, then the others by their rules."""
    con.execute("CREATE OR REPLACE TEMP TABLE rule_defect (rule VARCHAR, defect VARCHAR)")
    rows = [[code, defect] for code, defect in sorted(defects.items()) if defect]
    if rows:
        con.executemany("INSERT INTO rule_defect VALUES (?, ?)", rows)
    con.execute(
        """CREATE OR REPLACE TEMP TABLE said AS
        WITH hit AS (
            SELECT v.z_sl_n, v.rule, TRUE AS leads FROM verdicts v WHERE v.refused
            UNION ALL
            SELECT v.z_sl_n, f.rule, FALSE FROM verdicts v JOIN findings f ON f.z_sl_n = v.z_sl_n
                WHERE v.refused AND f.severity = 'reject'
            UNION ALL
            SELECT v.z_sl_n, f.rule, FALSE FROM verdicts v JOIN findings f ON f.pers_n = v.pers_n
                WHERE v.refused AND f.z_sl_n IS NULL AND f.severity = 'reject'
        ), named AS (
            SELECT h.z_sl_n, d.defect, bool_or(h.leads) AS leads,
                arg_min(h.rule, (NOT h.leads, h.rule)) AS rule
            FROM hit h JOIN rule_defect d ON d.rule = h.rule GROUP BY h.z_sl_n, d.defect
        )
        SELECT z_sl_n, row_number() OVER (PARTITION BY z_sl_n ORDER BY NOT leads, rule) AS place, rule, defect
        FROM named"""
    )


def _all_kept(con: duckdb.DuckDBPyConnection, keep: str) -> bool:
    row = con.execute(
        f"SELECT count(*) FROM z_sl LEFT JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE ({keep}) IS NOT TRUE"
    ).fetchone()
    return row == (0,)


def _records(con: duckdb.DuckDBPyConnection, table: str, keep: str) -> list[int]:
    """Numbers of the records of a member that leave with their accounts."""
    kept = f"SELECT z_sl.n FROM z_sl JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE {keep}"
    return [
        int(line)
        for (line,) in con.execute(
            f'SELECT t.line FROM "{table}" t SEMI JOIN ({kept}) k ON k.n = t.z_sl_n ORDER BY 1'
        ).fetchall()
    ]


def _part(con: duckdb.DuckDBPyConnection, keep: str) -> Part:
    row = con.execute(
        f"""SELECT count(*), CAST(COALESCE(sum(z_sl.sumv), 0) AS BIGINT),
            CAST(COALESCE(sum(CASE WHEN v.refused THEN 0 ELSE COALESCE(z_sl.sumv, 0) - COALESCE(v.withheld, 0) END), 0)
                AS BIGINT)
        FROM z_sl JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE {keep}"""
    ).fetchone()
    if row is None:
        raise Fault("an answer: no row")
    return Part(int(row[0]), int(row[1]), int(row[2]))
