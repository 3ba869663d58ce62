"""Archives of personal accounts as files: tables by the layouts of the profile, packed under names of the profile."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import BinaryIO

from oms_batch.exchange import Member, Profile
from oms_batch.formats import container, dbf_write
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.members import name_of
from oms_batch.synth.krasnodar import Archive, Row, name_parts
from oms_batch.synth.world import Spec, build


def columns_of(profile: Profile, layout: str) -> list[Column]:
    """The fields of a layout as a table has them."""
    fields = load_dbf_layout(profile.rules, profile.id, layout).fields
    known = {one.name: Column(one.name, one.kind, one.size, one.decimals) for one in fields}
    return list(known.values())


def table(profile: Profile, layout: str, rows: Iterable[Row], when: date, page: str = "cp866") -> bytes:
    """One DBF; fields that a row does not have are blank."""
    fields = columns_of(profile, layout)
    out = io.BytesIO()
    dbf_write.write(out, fields, ([row.get(one.name) or None for one in fields] for row in rows), page, when)
    return out.getvalue()


def members(
    profile: Profile, stage: str, rows: Mapping[str, list[Row]], parts: Mapping[str, str], when: date
) -> dict[str, bytes]:
    """Name of the member → its bytes; an optional member without rows is left out."""
    wanted: list[Member] = [one for one in profile.members_of(stage) if one.required or rows.get(one.role)]
    return {name_of(one, parts): table(profile, one.layout, rows.get(one.role, []), when) for one in wanted}


def pack(profile: Profile, spec: Spec, archive: Archive, out: BinaryIO, made: datetime, stage: str = "P") -> str:
    """Write an archive as its payer gets it; gives its name."""
    world = build(profile, spec)
    parts = name_parts(world, archive.payer)
    made_of = members(profile, stage, archive.rows(), parts, world.last)
    container.pack_members("zip", [(name, io.BytesIO(data)) for name, data in made_of.items()], out, made)
    return profile.stages[stage].name.format_map(parts) + str(profile.data["name"]["extensions"][0])
