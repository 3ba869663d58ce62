"""A page for people inside an answer: one table, its rows a SELECT of the profile, its words data of the profile."""

from __future__ import annotations

from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Fault
from oms_batch.exchange import Member
from oms_batch.reply import page, people
from oms_batch.reply.answers import Ask
from oms_batch.textform import money


def write(con: duckdb.DuckDBPyConnection, out: BinaryIO, ask: Ask, member: Member) -> int:
    """Write the page of a member (``answers/<role>.sql``, ``[page.<role>]`` of the profile); the number of rows.

    Columns of the SELECT that begin with ``s_`` are kopecks. ``Fault`` when the script does not run or has another
    number of columns than the page has heads.
    """
    place = f"{ask.profile.id}/answers/{member.role}.sql"
    words: dict[str, Any] = ask.profile.data["page"][member.role]
    cursor = con.cursor()
    try:
        cursor.execute(ask.profile.rules.read(place).decode("utf-8"))
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"{place}: {type(error).__name__}") from None
    names = [str(one[0]) for one in cursor.description or ()]
    if len(names) != len(words["heads"]):
        raise Fault(f"{place}: {len(names)} columns for {len(words['heads'])} heads")
    rows = [[_shown(name, cell) for name, cell in zip(names, row, strict=True)] for row in cursor.fetchall()]
    title = str(words["title"]).format_map(ask.told.parts)
    with people.speaking("ru"):
        values = {"title": title, "file": ask.named.canonical, "heads": words["heads"], "rows": rows}
        page.render("table.html.j2", values, out)
    return len(rows)


def _shown(name: str, cell: Any) -> str:
    return money(int(cell)) if name.startswith("s_") else str(cell)
