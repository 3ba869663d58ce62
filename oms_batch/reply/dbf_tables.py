"""An answer in DBF made anew: tables whose rows are a SELECT of the profile, ``rules/<profile>/answers/<layout>.sql``.

For answers that don't repeat the register (lists of errors), reports to a third party and requests: what stands in
which field is data, this module only knows layouts and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.exchange import Profile
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.dbf_write import write as write_dbf
from oms_batch.formats.members import name_of
from oms_batch.reply import plain_page
from oms_batch.reply.answers import Ask, OpenOut, Part
from oms_batch.ruledata import RuleData

BATCH = 4096


def write(con: duckdb.DuckDBPyConnection, sources: Mapping[str, BinaryIO], open_out: OpenOut, ask: Ask) -> Part:
    """Every member of the answer's stage that has a SELECT; the received register itself does not go back.

    The SELECT sees the tables of the register, ``findings``, ``verdicts``, ``book_defects``, ``given_<book>`` and
    ``rule_said(rule, official, defect)``; it tells of all accounts, so the part is all of ``ask.keep``.
    """
    _rules(con, ask)
    _named(con, ask)
    for one in ask.profile.members_of(ask.stage):
        script = f"{ask.profile.id}/answers/{one.layout or one.role}.sql"
        if not one.required and not ask.profile.rules.exists(script):
            continue
        with open_out(name_of(one, ask.told.parts)) as out:
            if not one.layout:
                plain_page.write(con, out, ask, one)
                continue
            write_table(con, out, ask.profile, one.layout, ask.received_at.date())
    row = con.execute(
        f"""SELECT count(*), CAST(COALESCE(sum(z_sl.sumv), 0) AS BIGINT),
            CAST(COALESCE(sum(COALESCE(z_sl.sumv, 0) - COALESCE(v.withheld, 0)), 0) AS BIGINT)
        FROM z_sl JOIN verdicts v ON v.z_sl_n = z_sl.n WHERE {ask.keep}"""
    ).fetchone()
    if row is None:
        raise Fault("an answer: no row")
    return Part(int(row[0]), int(row[1]), int(row[2]))


def write_table(
    con: duckdb.DuckDBPyConnection, out: BinaryIO, profile: Profile, layout: str, when: date, encoding: str = ""
) -> int:
    """One table by its layout and its SELECT; the number of records.

    The columns of the SELECT carry the names of the fields, in any order and case; money is kopecks. ``Fault`` names
    the script when it does not run, lacks a field or has one too many, without any value of the register.
    """
    name = f"{profile.id}/answers/{layout}.sql"
    fields = load_dbf_layout(profile.rules, profile.id, layout).fields
    columns = [Column(one.name, one.kind, one.size, one.decimals) for one in fields]
    cursor = con.cursor()
    try:
        cursor.execute(profile.rules.read(name).decode("utf-8"))
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"{name}: {type(error).__name__}") from None
    at = {str(one[0]).upper(): place for place, one in enumerate(cursor.description or ())}
    if set(at) != {one.name for one in fields}:
        raise Fault(f"{name}: other fields than the layout {layout}")

    def rows() -> Any:
        while part := cursor.fetchmany(BATCH):
            for row in part:
                yield [row[at[one.name]] for one in fields]

    return write_dbf(out, columns, rows(), encoding or str(profile.data["encodings"][0]), when)


def columns_of(rules: RuleData, profile: str, layout: str) -> tuple[Column, ...]:
    """The fields of a layout as a table of DBF has them."""
    fields = load_dbf_layout(rules, profile, layout).fields
    return tuple(Column(one.name, one.kind, one.size, one.decimals) for one in fields)


def _rules(con: duckdb.DuckDBPyConnection, ask: Ask) -> None:
    """What each rule is called by those who receive the answer: its first official code, and its defect."""
    con.execute("CREATE OR REPLACE TABLE rule_said (rule VARCHAR, official VARCHAR, defect VARCHAR)")
    rows = [[code, (*rule.official, "")[0] or None, rule.defect] for code, rule in sorted(ask.texts.rules.items())]
    if rows:
        con.executemany("INSERT INTO rule_said VALUES (?, ?, ?)", rows)


def _named(con: duckdb.DuckDBPyConnection, ask: Ask) -> None:
    """The parts of the answer's name and the day it is made, for file names and periods inside tables."""
    con.execute("CREATE OR REPLACE TABLE told (part VARCHAR, value VARCHAR)")
    rows = [[name, value] for name, value in sorted({**ask.told.parts, "period": ask.told.period}.items())]
    con.executemany("INSERT INTO told VALUES (?, ?)", [*rows, ["day", ask.received_at.date().isoformat()]])
