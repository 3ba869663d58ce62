"""Archives of personal accounts as files: tables by the layouts of the profile, packed under names of the profile."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import date, datetime
from typing import BinaryIO

from oms_batch.exchange import Member, Profile
from oms_batch.formats import container, dbf_write
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.members import name_of
from oms_batch.synth.krasnodar import Archive, Row, name_parts
from oms_batch.synth.world import Spec, World, build

LATER = "2024"
PAGE = "cp866"


def columns_of(profile: Profile, layout: str, version: str = "") -> list[Column]:
    """The fields of a layout as a table of this version has them (the early one unless told)."""
    early = profile.rules.toml(f"{profile.id}/synth/scenes.toml")["early_fields"].get(layout, [])
    fields = [
        one
        for one in load_dbf_layout(profile.rules, profile.id, layout).fields
        if not one.absent or (one.name in early) is (version != LATER)
    ]
    known = {one.name: Column(one.name, one.kind, one.size, one.decimals) for one in fields}
    return list(known.values())


def table(profile: Profile, layout: str, rows: Iterable[Row], when: date, version: str = "") -> bytes:
    """One DBF in cp866; fields that a row does not have are blank."""
    fields = columns_of(profile, layout, version)
    out = io.BytesIO()
    dbf_write.write(out, fields, ([row.get(one.name) or None for one in fields] for row in rows), PAGE, when)
    return out.getvalue()


def members(world: World, archive: Archive, stage: str = "P") -> dict[str, bytes]:
    """Name of the member → its bytes; an optional member without rows is left out."""
    profile, rows, parts = world.profile, archive.rows(), name_parts(world, archive.payer)
    wanted: list[Member] = [one for one in profile.members_of(stage) if one.required or rows.get(one.role)]
    return {
        name_of(one, parts): table(profile, one.layout, rows.get(one.role, []), world.last, world.spec.version)
        for one in wanted
    }


def file_name(world: World, payer: str, stage: str = "P") -> str:
    """The name of an archive."""
    extension = str(world.profile.data["name"]["extensions"][0])
    return world.profile.stages[stage].name.format_map(name_parts(world, payer)) + extension


def pack(profile: Profile, spec: Spec, archive: Archive, out: BinaryIO, made: datetime) -> str:
    """Write an archive as its payer gets it; gives its name."""
    world = build(profile, spec)
    streams = [(name, io.BytesIO(data)) for name, data in members(world, archive).items()]
    container.pack_members("zip", streams, out, made)
    return file_name(world, archive.payer)
