"""ZIP read with one meaning only: what is ambiguous, hidden or exotic is refused.

Own code on purpose: the headers are compared with each other and with the bytes before anything is
inflated, and inflating stops at the limits. Only stored and deflated members, no ZIP64, no encryption.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from oms_batch.errors import Refusal, refuse

BLOCK = 1_048_576
GRACE = 1_048_576  # so many bytes may come out before the ratio counts
MOST_MEMBERS = 1000
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_NESTED = re.compile(r"(?i).*\.(zip|7z|rar|gz|bz2|xz|tar|arj)")


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the central directory."""

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


def find_end(stream: BinaryIO, size: int) -> int:
    """The offset of the end record, -1 when there is none in the last 64 KiB."""
    take = min(size, 65_535 + _END.size)
    stream.seek(size - take)
    at = stream.read(take).rfind(b"PK\x05\x06")
    return -1 if at < 0 else size - take + at


def only_member(stream: BinaryIO, size: int, wanted: str, ratio: int) -> Member:
    """The one member of a strictly correct archive. Refuses ``ZIP_…``."""
    members = listed(stream, size, ratio)
    if len(members) != 1 or members[0].name.lower() != wanted.lower():
        raise unexpected(members, wanted)
    return members[0]


def unexpected(members: Sequence[Member], wanted: str) -> Refusal:
    """The refusal of an archive that holds something else than it should."""
    nested = any(_NESTED.fullmatch(one.name.lower()) for one in members)
    return refuse("ZIP_NESTED" if nested else "ZIP_CONTENT", expected=wanted, found=len(members))


def listed(stream: BinaryIO, size: int, ratio: int) -> list[Member]:
    """All members of a strictly correct archive, in the order of its directory. Refuses ``ZIP_…``."""
    members = _central(stream, size)
    names = [one.name.lower() for one in members]
    for one in members:
        _check_entry(one)
    if len(set(names)) != len(names):
        raise refuse("ZIP_DUPLICATE", found=len(names) - len(set(names)))
    for one, after in pairwise(sorted(members, key=lambda member: member.offset)):
        if after.offset < one.offset + _LOCAL.size + len(one.raw_name) + one.packed:
            raise refuse("ZIP_OVERLAP", f"byte {after.offset}")
    for one in members:
        _local_end(stream, one)
    for one in members:
        if one.size > GRACE and one.size > ratio * max(one.packed, 1):
            raise refuse("ZIP_RATIO", expected=f"{ratio}:1", found=f"{one.size // max(one.packed, 1)}:1")
    return members


def gapless(stream: BinaryIO, size: int, members: Sequence[Member]) -> None:
    """Members fill the archive up to its directory: nothing hidden before, between or behind them."""
    at = 0
    for one in sorted(members, key=lambda member: member.offset):
        if one.offset != at:
            raise refuse(
                "ZIP_AMBIGUOUS" if at <= one.offset else "ZIP_OVERLAP", f"byte {at}", expected=one.offset, found=at
            )
        at = _local_end(stream, one)
    central = _central_offset(stream, size)
    if at != central:
        raise refuse("ZIP_AMBIGUOUS" if at <= central else "ZIP_OVERLAP", f"byte {at}", expected=central, found=at)


def _central(stream: BinaryIO, size: int) -> list[Member]:
    at = find_end(stream, size)
    if at < 0 or at + _END.size > size:
        raise refuse("ZIP_TRUNCATED", f"byte {size}")
    stream.seek(at)
    _, disk, start_disk, here, count, length, offset, comment = _END.unpack(stream.read(_END.size))
    if at + _END.size + comment != size:
        raise refuse("ZIP_TRUNCATED" if at + _END.size + comment > size else "ZIP_AMBIGUOUS", f"byte {at}")
    stream.seek(at + _END.size)
    if b"PK" in stream.read(comment):
        raise refuse("ZIP_AMBIGUOUS", f"byte {at}", found="archive in the comment")
    if disk or start_disk or here != count or 0xFFFF in (count, disk) or 0xFFFFFFFF in (length, offset):
        raise refuse("ZIP_METHOD", f"byte {at}", found="several disks or ZIP64")
    if offset + length != at:
        code = "ZIP_AMBIGUOUS" if offset + length < at else "ZIP_HEADER"
        raise refuse(code, f"byte {at}", expected=at, found=offset + length)
    if count == 0:
        raise refuse("ZIP_EMPTY")
    if count > MOST_MEMBERS:
        raise refuse("ZIP_CONTENT", expected=1, found=count)
    stream.seek(offset)
    return _entries(stream.read(length), count, offset)


def _entries(data: bytes, count: int, offset: int) -> list[Member]:
    members, at = [], 0
    for _ in range(count):
        if at + _CENTRAL.size > len(data) or not data.startswith(b"PK\x01\x02", at):
            raise refuse("ZIP_HEADER", f"byte {offset + at}")
        fields = _CENTRAL.unpack_from(data, at)
        _, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, disk, _, outer, local = fields
        raw = data[at + _CENTRAL.size : at + _CENTRAL.size + name]
        if disk or 0xFFFFFFFF in (packed, size, local):
            raise refuse("ZIP_METHOD", f"byte {offset + at}", found="several disks or ZIP64")
        text = raw.decode("utf-8" if flags & 0x800 else "cp866", "replace")
        members.append(Member(text, raw, flags, method, crc, packed, size, local, outer >> 16))
        at += _CENTRAL.size + name + extra + comment
    if at != len(data):
        raise refuse("ZIP_HEADER", f"byte {offset + at}")
    return members


def _check_entry(one: Member) -> None:
    if one.flags & 0x2041:
        raise refuse("ZIP_METHOD", found="encrypted")
    if one.method not in (0, 8):
        raise refuse("ZIP_METHOD", expected="0, 8", found=one.method)
    climbs = one.name.startswith("/") or ".." in one.name.split("/") or any(c in one.name for c in "\0:\\")
    if climbs or (one.mode & 0xF000) == 0xA000:
        raise refuse("ZIP_PATH")


def _local_end(stream: BinaryIO, one: Member) -> int:
    """Compare the local header with the central one; the end of the member's bytes."""
    stream.seek(one.offset)
    head = stream.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\x03\x04"):
        raise refuse("ZIP_HEADER", f"byte {one.offset}")
    _, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack(head)
    same = stream.read(name) == one.raw_name and (flags & 0x809, method) == (one.flags & 0x809, one.method)
    sums = (crc, packed, size)
    if not same or (sums != (one.crc, one.packed, one.size) and not (flags & 8 and sums == (0, 0, 0))):
        raise refuse("ZIP_HEADER", f"byte {one.offset}")
    end = int(one.offset + _LOCAL.size + name + extra + one.packed)
    return end + _descriptor(stream, one, end) if flags & 8 else end


def _descriptor(stream: BinaryIO, one: Member, at: int) -> int:
    stream.seek(at)
    data = stream.read(16)
    plain = struct.pack("<3L", one.crc, one.packed, one.size)
    if data.startswith(b"PK\x07\x08" + plain):
        return 16
    if data.startswith(plain):
        return 12
    raise refuse("ZIP_HEADER", f"byte {at}")


def inflate(stream: BinaryIO, one: Member, ratio: int, most: int, out: BinaryIO) -> int:
    """Write the member to ``out`` within the limits and compare size and CRC; the number of bytes."""
    stream.seek(one.offset)
    head = _LOCAL.unpack(stream.read(_LOCAL.size))
    begin = one.offset + _LOCAL.size + head[-2] + head[-1]
    stream.seek(begin)
    engine = zlib.decompressobj(-15) if one.method == 8 else None
    left, made, crc = one.packed, 0, 0
    try:
        while left or (engine is not None and engine.unconsumed_tail):
            if engine is None:
                data = stream.read(min(BLOCK, left))
                left -= len(data)
            else:
                fed = engine.unconsumed_tail or stream.read(min(BLOCK, left))
                left -= 0 if engine.unconsumed_tail else len(fed)
                data = engine.decompress(fed, BLOCK)
            made, crc = made + len(data), zlib.crc32(data, crc)
            if made > most or (made > GRACE and made > ratio * max(one.packed, 1)):
                raise refuse("ZIP_RATIO", expected=f"{ratio}:1, {most}", found=made)
            out.write(data)
            if engine is not None and engine.eof:
                break
    except zlib.error:
        raise refuse("ZIP_CRC", f"byte {begin}") from None
    if left or (engine is not None and (not engine.eof or engine.unused_data)) or made != one.size:
        raise refuse("ZIP_HEADER", f"byte {begin}", expected=one.size, found=made)
    if crc != one.crc:
        raise refuse("ZIP_CRC", f"byte {begin}")
    return made


def _central_offset(stream: BinaryIO, size: int) -> int:
    stream.seek(find_end(stream, size))
    return int(_END.unpack(stream.read(_END.size))[6])
