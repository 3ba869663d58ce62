"""What the heads of the members say of themselves, against the name of the file and what was read of them."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from oms_batch.errors import Problem
from oms_batch.exchange import Profile
from oms_batch.formats.elements import ACCOUNTS, Described, Layout
from oms_batch.formats.members import name_of
from oms_batch.model import NamedFile, roubles

HEADS = """CREATE TABLE heads (role VARCHAR, layout VARCHAR, filename VARCHAR, main VARCHAR, version VARCHAR,
    year BIGINT, month BIGINT, mo VARCHAR, sd_z BIGINT, summav BIGINT, accounts BIGINT, sumv BIGINT, unread BIGINT)"""
DIFFERS = "S.00.0150"
# column of ``heads`` → columns of the root's row that say it, the first that there is
_SAID = {
    "filename": ("filename", "fname"),
    "main": ("filename1", "fname_i"),
    "version": ("version", "vers"),
    "year": ("year",),
    "month": ("month",),
    "mo": ("code_mo",),
    "sd_z": ("sd_z",),
    "summav": ("summav",),
}


def add_head(
    con: duckdb.DuckDBPyConnection, described: Described, layout: Layout, role: str, before: dict[str, int]
) -> None:
    """One row of ``heads`` for a member that was just read; ``before``: rows of the tables before it."""
    root = layout.root.table
    has = {one.column for one in layout.elements.values() if one.table == root}
    said = {name: next((one for one in columns if one in has), "") for name, columns in _SAID.items()}
    cells = ", ".join(f'"{column}" AS "{name}"' if column else f'NULL AS "{name}"' for name, column in said.items())
    own = {one.table for one in layout.elements.values() if one.starts_row}
    table = next((one for one in ACCOUNTS if one in own and "sumv" in described.columns[one]), "")
    counted = "SELECT NULL AS accounts, NULL AS sumv, NULL AS unread"
    if table:
        counted = f"""SELECT count(*) AS accounts, CAST(coalesce(sum(sumv), 0) AS BIGINT) AS sumv,
            count(*) - count(sumv) AS unread FROM "{table}" WHERE n > {before.get(table, 0)}"""  # noqa: S608 - our names
    con.execute(
        f"""INSERT INTO heads SELECT ?, ?, h.*, c.* FROM (SELECT {cells} FROM "{root}" ORDER BY n DESC LIMIT 1) h
        CROSS JOIN ({counted}) c""",  # noqa: S608
        [role, layout.id],
    )


def head_problems(con: duckdb.DuckDBPyConnection, named: NamedFile, profile: Profile) -> list[Problem]:
    """The heads of the members that were read (table ``heads``) against the file's name, their counts and sums.

    ``[head]`` of the profile says for each code ``refuse`` (also when it says nothing), ``warn`` (then it is a finding
    ``S.00.0150`` of the register) or ``off``.
    """
    choice = profile.data.get("head", {})
    found = list(_all(con, named, profile))
    told = [one for one in found if choice.get(one.code, "refuse") == "warn"]
    for one in told:
        con.execute(
            """INSERT INTO findings (rule, run_pass, severity, unit, n, element, value, line, refuses)
            VALUES (?, 'structure', 'warn', 'register', 1, ?, ?, NULL, 'register')""",
            [DIFFERS, one.place, f"{one.expected} / {one.found}"],
        )
    return [one for one in found if choice.get(one.code, "refuse") == "refuse"]


def _all(con: duckdb.DuckDBPyConnection, named: NamedFile, profile: Profile) -> Iterator[Problem]:
    members = {one.role: one for one in profile.members_of(named.stage)}
    rows = con.execute("SELECT * FROM heads").fetchall()
    names = [column[0] for column in con.description or ()]
    heads = {row[0]: dict(zip(names, row, strict=True)) for row in rows}
    leading = next((role for role in members if role in heads), "")
    for role, member in members.items():
        head = heads.get(role)
        if head is None:
            continue
        expected = _stem(name_of(member, named.parts))
        if head["filename"] is not None and _told(head["filename"]) != _told(expected):
            yield _differs("HDR_FILENAME", f"{role}: FILENAME", expected, head["filename"])
        if role != leading:
            if head["main"] is not None and _told(head["main"]) != _told(named.stem):
                yield _differs("HDR_FILENAME", f"{role}: FILENAME1", named.stem, head["main"])
            continue
        yield from _leading(head, named)


def _leading(head: dict[str, object], named: NamedFile) -> Iterator[Problem]:
    """The member that carries the accounts."""
    if head["year"] is not None or head["month"] is not None:
        period = f"{head['year'] or 0:04d}-{head['month'] or 0:02d}"
        if period != named.period:
            yield _differs("HDR_PERIOD", "SCHET/YEAR, SCHET/MONTH", named.period, period)
    if named.has_mo and head["mo"] is not None and head["mo"] != named.mo:
        yield _differs("HDR_SENDER", "SCHET/CODE_MO", named.mo, head["mo"])
    if head["accounts"] is None:
        return
    if head["sd_z"] is not None and head["sd_z"] != head["accounts"]:
        yield _differs("HDR_COUNT", "ZGLV/SD_Z", head["accounts"], head["sd_z"])
    claimed, summed = head["summav"], head["sumv"]
    if isinstance(claimed, int) and isinstance(summed, int) and claimed != summed and not head["unread"]:
        yield _differs("HDR_SUM", "SCHET/SUMMAV", roubles(summed), roubles(claimed))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _told(name: object) -> str:
    """A name as far as it matters: with or without extension, in any letters, with or without the sign between."""
    text = str(name or "").upper()
    return text.removesuffix(".XML").replace("_", "")


def _differs(code: str, place: str, expected: object, found: object) -> Problem:
    return Problem(code, place, str(expected), "" if found is None else str(found)[:60])
