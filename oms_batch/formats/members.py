"""The members of a delivered file: one document, a pair that belongs together, or a whole parcel of tables.

Which members a file of a stage has, and what they are called, is data of the profile (``[[member_of]]``); the mask of
a member's name may hold parts of the file's own name in braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from oms_batch.errors import refuse
from oms_batch.exchange import Member
from oms_batch.formats import container
from oms_batch.formats import zipfile_strict as zips
from oms_batch.formats.container import Limits

Scratch = Callable[[str], BinaryIO]
_PART = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class OpenedMembers:
    """Seekable streams by role, their names as they stood in the container, what it was (``zip``, ``7z``, ``xml``)."""

    streams: Mapping[str, BinaryIO]
    names: Mapping[str, str]
    kind: str


def mask_of(member: Member, parts: Mapping[str, str]) -> re.Pattern[str]:
    """The mask of a member's name with the parts of the file's name put in, letter case aside."""
    text = _PART.sub(lambda match: re.escape(parts.get(match[1], "")), member.mask)
    return re.compile(text, re.ASCII | re.IGNORECASE)


def name_of(member: Member, parts: Mapping[str, str]) -> str:
    """What we call this member."""
    return member.name.format_map(parts)


@contextmanager
def open_members(
    stream: BinaryIO,
    size: int,
    wanted: Sequence[Member],
    parts: Mapping[str, str],
    scratch: Scratch,
    limits: Limits | None = None,
) -> Iterator[OpenedMembers]:
    """The members of a delivered file. Packed ones are written to ``scratch(role)``, a bare one is given as it is.

    Refuses ``FILE_…`` and ``ZIP_…``; ``ZIP_CONTENT`` lists what is expected, when a required member is missing,
    one is foreign or two have one role. Of a bare file the caller sees which roles are not there.
    """
    limits = limits or Limits()
    kind = container.kind_of(stream, size, limits)
    if kind == "xml":
        stream.seek(0)
        yield OpenedMembers({wanted[0].role: stream}, {wanted[0].role: ""}, kind)
    elif kind == "7z" or (len(wanted) == 1 and not _PART.search(wanted[0].mask)):
        if len(wanted) != 1:
            raise refuse("FILE_FORMAT", "byte 0", expected="ZIP", found="7z")
        role, name = wanted[0].role, name_of(wanted[0], parts)
        with container.open_register(stream, size, name, limits, scratch(role)) as opened:
            yield OpenedMembers({role: opened.stream}, {role: name}, kind)
    else:
        yield _unzip(stream, size, wanted, parts, scratch, limits)


def _unzip(
    stream: BinaryIO, size: int, wanted: Sequence[Member], parts: Mapping[str, str], scratch: Scratch, limits: Limits
) -> OpenedMembers:
    inside = zips.listed(stream, size, limits.ratio)
    masks = [(one, mask_of(one, parts)) for one in wanted]
    found: dict[str, zips.Member] = {}
    expected = " ".join(name_of(one, parts) or one.role for one in wanted if one.required)
    for entry in inside:
        role = next((one.role for one, mask in masks if mask.fullmatch(entry.name)), "")
        if not role or role in found:
            raise zips.unexpected(inside, expected)
        found[role] = entry
    if any(one.required and one.role not in found for one in wanted):
        raise zips.unexpected(inside, expected)
    zips.gapless(stream, size, inside)
    streams: dict[str, BinaryIO] = {}
    left = limits.raw
    for role, entry in found.items():
        target = scratch(role)
        left -= zips.inflate(stream, entry, limits.ratio, left, target)
        container.check_not_nested(target, role)
        streams[role] = target
    return OpenedMembers(streams, {role: entry.name for role, entry in found.items()}, "zip")
