"""From a delivered file to a register that can be judged: container, members, canonical tables, header, totals."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

import duckdb

from oms_batch.errors import Problem, Refusal, SetupError, refuse
from oms_batch.exchange import Profile
from oms_batch.formats import canon, dbf_parcel, federal_head, federal_xml, reestr_xml
from oms_batch.formats.container import Limits
from oms_batch.formats.layout import load_layout
from oms_batch.formats.members import Scratch, open_members
from oms_batch.formats.reading import ReadLimits, ReadResult
from oms_batch.intake import head
from oms_batch.model import NamedFile

Head = Callable[[duckdb.DuckDBPyConnection, NamedFile, Profile], list[Problem]]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in: the container's kind, what the reader counted, which members there were."""

    kind: str
    result: ReadResult
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """A file that is read together with the one delivered: its other half, or the register that it answers."""

    stream: BinaryIO
    size: int
    named: NamedFile


def read_register(
    stream: BinaryIO,
    size: int,
    named: NamedFile,
    profile: Profile,
    con: duckdb.DuckDBPyConnection,
    *,
    scratch: Scratch | None = None,
    workers: int = 1,
    limits: Limits | None = None,
    cut: ReadLimits | None = None,
    beside: Iterable[Beside] = (),
    checked: bool = True,
) -> Taken:
    """Open, read and check one delivered file; its canonical tables are then in ``con``.

    ``scratch(role)`` takes an unpacked member and must stay open as long as it is spliced (memory when absent).
    ``checked`` off: the head is not compared, for an answer that is read over the register it speaks of.
    Raises ``Refusal``: ``FILE_…``, ``ZIP_…``, ``XML_…``, ``DBF_…``, ``PAIR_MISSING`` or all ``HDR_…`` problems at once.
    """
    place = scratch or (lambda _role: io.BytesIO())
    streams: dict[str, BinaryIO] = {}
    layouts: dict[str, str] = {}
    with ExitStack() as stack:
        kind, needed = "", set()
        for one in (Beside(stream, size, named), *beside):
            wanted = [member for member in profile.members_of(one.named.stage) if member.role not in streams]
            if not wanted:
                continue  # a half that waited; the whole has come since
            opened = stack.enter_context(open_members(one.stream, one.size, wanted, one.named.parts, place, limits))
            kind = kind or opened.kind
            streams |= opened.streams
            needed |= {member.role for member in wanted if member.required}
            side = {"layout": profile.stages[one.named.stage].layout}
            for member in wanted:
                layouts.setdefault(member.role, member.layout.format_map({**one.named.parts, **side}))
        if missing := sorted(needed - set(streams)):
            raise refuse("PAIR_MISSING", expected=" ".join(sorted(needed)), found=" ".join(missing))
        # a member without a layout may lie there, and nobody reads it
        streams = {role: found for role, found in streams.items() if layouts[role]}
        read = _READERS[profile.data["format"]]
        result = read(streams, {role: layouts[role] for role in streams}, profile, con, workers=workers, limits=cut)
    canon.apply(con, profile.rules, profile.id, named)
    checks = _HEADS.get(profile.data["format"], ()) if checked else ()
    problems = [problem for check in checks for problem in check(con, named, profile)]
    if problems:
        raise Refusal(problems)
    return Taken(kind, result, tuple(streams))


def _reestr(
    members: Mapping[str, BinaryIO],
    layouts: Mapping[str, str],
    profile: Profile,
    con: duckdb.DuckDBPyConnection,
    *,
    workers: int = 1,
    limits: ReadLimits | None = None,
) -> ReadResult:
    """The one document of the numbered exchange."""
    ((role, stream),) = members.items()
    layout = load_layout(profile.rules, profile.id, layouts[role])
    encodings = tuple(profile.data["encodings"])
    return reestr_xml.read(stream, layout, con, workers=workers, limits=limits, encodings=encodings)


# How the bytes of each format become tables, and what is compared at its head afterwards.
_READERS: Mapping[str, Any] = {
    "reestr_xml": _reestr,
    "federal_xml": federal_xml.read_members,
    "dbf": dbf_parcel.read_members,
}
_HEADS: Mapping[str, tuple[Head, ...]] = {
    "reestr_xml": (head.check_header, head.check_totals),
    "federal_xml": (federal_head.head_problems,),
}


def check_format(profile: Profile) -> None:
    """``SetupError`` when the profile names a format that nobody reads."""
    if profile.data["format"] not in _READERS:
        raise SetupError(f"{profile.id}: format {profile.data['format']}")
