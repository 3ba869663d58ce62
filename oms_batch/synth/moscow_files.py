"""Synthetic parcels as files: the bytes of every table, the archive's name, the parcels of a month."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from oms_batch.errors import Fault
from oms_batch.exchange import Profile
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.dbf_write import write
from oms_batch.model import last_day
from oms_batch.synth.moscow import Order, Parcel, parcel
from oms_batch.synth.world import Spec

Members = tuple[tuple[str, Iterable[bytes]], ...]


def members(profile: Profile, made: Parcel) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every member of the parcel, as the profile calls them; tables without rows stay empty files."""
    _name, stage, parts = name_of(profile, made)
    for member in profile.members_of(stage):
        rows = made.tables.get({"RIN": "R"}.get(member.role, member.role))
        if rows is None or (not rows and not member.required):
            continue
        fields = load_dbf_layout(profile.rules, profile.id, member.layout).fields
        columns = [Column(one.name, one.kind, one.size, one.decimals) for one in fields]
        out = io.BytesIO()
        when = last_day(made.period) + timedelta(days=3)
        write(out, columns, ([_value(row, one.name) for one in fields] for row in rows), "cp866", when)
        yield member.name.format_map(parts), out.getvalue()


def first(profile: Profile, spec: Spec, each: int, per_mille: int = 0) -> tuple[list[tuple[str, Members]], int]:
    """The parcels of a month, one per payer of the spec: file name with its members; and how many errors they carry.

    ``each``: how many times every error is planted; ``per_mille``: as many times as this share of the services needs.
    """
    if per_mille and not each:
        kinds = len(profile.rules.toml(f"{profile.id}/synth/defects.toml")["defect"])
        each = max(1, spec.accounts * per_mille // 1000 // kinds)
    total, planted = sum(spec.payers.values()), 0
    found: list[tuple[str, Members]] = []
    for payer, weight in spec.payers.items():
        made = parcel(profile, Order(spec.accounts * weight // total, spec.seed, spec.period, payer=payer, each=each))
        found.append((name_of(profile, made)[0], tuple((name, (data,)) for name, data in members(profile, made))))
        planted += len(made.expected)
    return found, planted


def name_of(profile: Profile, made: Parcel) -> tuple[str, str, dict[str, str]]:
    """What the archive of a parcel is called, its stage and the parts of the name."""
    year, month = made.period.split("-")
    stem = str(profile.data["stage"][0]["name"]).format(mo=made.mo, payer=made.payer, mm=month, yy=year[2:])
    for form in profile.forms:
        stage = form[1]
        if match := form[0].fullmatch(stem):
            parts = match.groupdict()
            return stem + str(profile.data["name"]["extensions"][0]), stage or parts["stage"], parts
    raise Fault("synth: the profile has no such name")


def _value(row: Mapping[str, str], name: str) -> str | None:
    # non-residents: the same value under the name that their table has
    return row.get(name) or row.get({"Q": "QQ"}.get(name, name)) or None
