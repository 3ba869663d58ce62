"""Returned accounts billed again in DBF: their records out of the return, corrected, as an archive of their own.

What their records get anew (number and kind of the register, days) is ``rules/<profile>/again.sql``; which members are
cut by accounts and which go along stands in ``[mark]`` and ``[again]`` of profile.toml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import BinaryIO

import duckdb

from oms_batch.errors import Fault, WrongState
from oms_batch.exchange import Profile
from oms_batch.formats import dbf_write
from oms_batch.formats.dbf_gate import Column, check
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.members import name_of
from oms_batch.model import NamedFile

Corrections = Mapping[str, Sequence[tuple[str, str]]]
Changes = dict[str, dict[int, dict[str, dbf_write.Value]]]
Columns = Mapping[str, Mapping[str, tuple[Column, str]]]
_FIELD = re.compile(r"([A-Z])(?:\[(\d{1,4})\])?\.([A-Z_][A-Z0-9_]*)", re.ASCII)


def write(
    con: duckdb.DuckDBPyConnection,
    sources: Mapping[str, BinaryIO],
    open_out: Callable[[str], AbstractContextManager[BinaryIO]],
    profile: Profile,
    named: NamedFile,
    day: date,
    keys: Sequence[str],
    corrections: Corrections | None = None,
) -> int:
    """Write the members of the archive ``named`` (of that ``day``) with the accounts of ``keys``; their number.

    ``con`` and ``sources`` are the return as it was read. A correction is ``("P.FIO", value)``, or ``("U[2].KUSL",
    value)`` for the second service; an empty value leaves the field blank. ``WrongState`` ACC_UNKNOWN for a key that
    is not there, ACC_NOT_REFUSED for an account that was not returned, FIELD_UNKNOWN for a field that is not there,
    VALUE_TYPE for a value that does not fit it.
    """
    again = profile.data["again"]
    follows = {str(profile.data["mark"]["member"]): "z_sl", **profile.data["mark"].get("follows", {})}
    _chosen(con, keys)
    number = str(int(str(again["number"]).format_map(named.parts)))
    con.execute("CREATE OR REPLACE TEMP TABLE next AS SELECT ? AS ns, ?::DATE AS day", [number, day])
    columns = {role: _columns(source) for role, source in sources.items() if role in follows}
    changes = _anew(con, profile, columns)
    _correct(con, changes, follows, columns, corrections or {})
    for member in profile.members_of(named.stage):
        source = sources.get(member.role)
        if source is None or not (member.role in follows or member.role in again["copies"]):
            continue
        keep = _lines(con, follows[member.role]) if member.role in follows else None
        if keep == [] and not member.required:
            continue
        with open_out(name_of(member, named.parts)) as out:
            dbf_write.rewrite(source, out, changes.get(member.role, {}), keep)
    return len(set(keys))


def check_field(name: str, text: str, profile: Profile, fixed: Iterable[str] = ()) -> None:
    """Whether a correction can be made at all. ``WrongState`` FIELD_UNKNOWN, FIELD_FIXED, VALUE_TYPE."""
    match = _FIELD.fullmatch(name)
    roles = {profile.data["mark"]["member"], *profile.data["mark"].get("follows", {})}
    layouts = {one.role: one.layout for one in profile.members if one.role in roles}
    if match is None or match[1] not in layouts:
        raise WrongState("FIELD_UNKNOWN", name)
    fields = {one.name: one for one in load_dbf_layout(profile.rules, profile.id, layouts[match[1]]).fields}
    if match[3] not in fields:
        raise WrongState("FIELD_UNKNOWN", name)
    if f"{match[1]}.{match[3]}" in fixed:
        raise WrongState("FIELD_FIXED", name)
    one = fields[match[3]]
    _fits(Column(one.name, one.kind, one.size, one.decimals), text, str(profile.data["encodings"][0]), name)


def _fits(column: Column, text: str, page: str, place: str) -> None:
    try:
        dbf_write.pack(column, text, page)
    except Fault:
        raise WrongState("VALUE_TYPE", place) from None


def _chosen(con: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """The accounts meant; of several with one key the first that came back."""
    con.execute("CREATE OR REPLACE TEMP TABLE wanted (xkey VARCHAR)")
    if keys:
        con.executemany("INSERT INTO wanted VALUES (?)", [[key] for key in sorted(set(keys))])
    for code, rest in (("ACC_UNKNOWN", "TRUE"), ("ACC_NOT_REFUSED", "z.pay IS NOT NULL")):
        row = con.execute(
            f"SELECT min(w.xkey) FROM wanted w ANTI JOIN (SELECT xkey FROM z_sl z WHERE {rest}) z USING (xkey)"
        ).fetchone()
        if row and row[0]:
            raise WrongState(code, str(row[0]))
    con.execute(
        """CREATE OR REPLACE TEMP TABLE chosen AS SELECT min(z.n) AS n, z.xkey FROM z_sl z
        SEMI JOIN wanted w USING (xkey) WHERE z.pay IS NOT NULL GROUP BY z.xkey"""
    )


def _anew(con: duckdb.DuckDBPyConnection, profile: Profile, columns: Columns) -> Changes:
    """What again.sql says of the fields that these tables have: versions differ in some."""
    place = f"{profile.id}/again.sql"
    try:
        rows = con.execute(profile.rules.read(place).decode("utf-8")).fetchall()
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"{place}: {type(error).__name__}") from None
    found: Changes = {}
    for role, line, field, value in rows:
        if field not in columns.get(role, {}):
            continue
        found.setdefault(role, {}).setdefault(int(line), {})[field] = value
    return found


def _columns(source: BinaryIO) -> dict[str, tuple[Column, str]]:
    table = check(source)
    return {one.name: (one, table.encoding) for one in table.columns}


def _correct(
    con: duckdb.DuckDBPyConnection,
    changes: Changes,
    follows: Mapping[str, str],
    columns: Columns,
    corrections: Corrections,
) -> None:
    for key, wanted in corrections.items():
        for field, value in wanted:
            match = _FIELD.fullmatch(field)
            if match is None or match[3] not in columns.get(match[1], {}):
                raise WrongState("FIELD_UNKNOWN", f"{key}: {field}")
            column, page = columns[match[1]][match[3]]
            _fits(column, value, page, f"{key}: {field}")
            row = con.execute(
                f"""SELECT line FROM (SELECT t.line, row_number() OVER (ORDER BY t.n) AS nth
                    FROM "{follows[match[1]]}" t JOIN chosen c ON c.n = t.z_sl_n WHERE c.xkey = ?) WHERE nth = ?""",
                [key, int(match[2] or 1)],
            ).fetchone()
            if row is None:
                raise WrongState("FIELD_UNKNOWN", f"{key}: {field}")
            changes.setdefault(match[1], {}).setdefault(int(row[0]), {})[match[3]] = value or None


def _lines(con: duckdb.DuckDBPyConnection, table: str) -> list[int]:
    sql = f'SELECT t.line FROM "{table}" t JOIN chosen c ON c.n = t.z_sl_n ORDER BY 1'
    return [int(line) for (line,) in con.execute(sql).fetchall()]
