"""A request about the persons of a register, as the table that the profile's layout describes.

What is asked of whom is ``rules/<profile>/request.sql``: a SELECT over the tables of the register, one column for each
field of the layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import duckdb

from oms_batch.errors import Fault
from oms_batch.exchange import Profile
from oms_batch.formats import dbf_write
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.members import name_of
from oms_batch.model import NamedFile
from oms_batch.reply.answers import OpenOut

BATCH = 4096


def write(
    registers: Iterable[duckdb.DuckDBPyConnection],
    profile: Profile,
    named: NamedFile,
    open_out: OpenOut,
    when: date,
    page: str = "cp866",
) -> int:
    """Write the one member of the request ``named`` about the persons of these registers; the number of its records.

    ``when`` stands in the head of the table. ``Fault`` when request.sql does not give the fields of the layout, or a
    value does not fit its field.
    """
    (member,) = profile.members_of(named.stage)
    layout = load_dbf_layout(profile.rules, profile.id, member.layout)
    known = {one.name: Column(one.name, one.kind, one.size, one.decimals) for one in layout.fields}
    rows = (row for con in registers for row in _rows(con, profile, list(known)))
    with open_out(name_of(member, named.parts)) as out:
        return dbf_write.write(out, list(known.values()), rows, page, when)


def _rows(con: duckdb.DuckDBPyConnection, profile: Profile, fields: list[str]) -> Iterator[tuple[Any, ...]]:
    place = f"{profile.id}/request.sql"
    try:
        con.execute(profile.rules.read(place).decode("utf-8"))
    except duckdb.Error as error:  # its text may carry a value of the register
        raise Fault(f"{place}: {type(error).__name__}") from None
    found = [str(one[0]) for one in con.description or ()]
    if found != fields:
        raise Fault(f"{place}: its columns are not the fields of the layout")
    while rows := con.fetchmany(BATCH):
        yield from rows
