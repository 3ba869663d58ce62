"""Changes of a ZIP: blind ones, and such as know where its headers are."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zipfile
import zlib

from tests.oracle.change_bytes import bytewise

Entry = tuple[str, bytes]
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
# signature → (offset, width) of its fields
FIELDS = {
    LOCAL: ((4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    CENTRAL: (
        *((4, 2), (6, 2), (8, 2), (10, 2), (12, 2), (14, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2)),
        *((34, 2), (36, 2), (38, 4), (42, 4)),
    ),
    END: ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}
# The same fact in the local and in the central header: (offset there, offset here, width)
TWINS = ((6, 8, 2), (8, 10, 2), (14, 16, 4), (18, 20, 4), (22, 24, 4), (26, 28, 2))


class Pipe(io.RawIOBase):
    """Makes zipfile write sizes behind the data, as streaming programs do."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def packed(entries: list[Entry], way: int) -> bytes:
    """The members as one of several programs would pack them: way 0-5."""
    method = zipfile.ZIP_STORED if way % 3 == 0 else zipfile.ZIP_DEFLATED
    out: io.BytesIO | Pipe = io.BytesIO() if way < 3 else Pipe()
    with warnings.catch_warnings(action="ignore"):
        with zipfile.ZipFile(out, "w", method, compresslevel=9 if way % 3 == 1 else 1) as archive:
            for name, data in entries:
                archive.writestr(zipfile.ZipInfo(name, (2026, 2, 3, 4, 5, 6)), data, method)
    return bytes(out.data) if isinstance(out, Pipe) else out.getvalue()


def _places(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def _put(data: bytes, at: int, width: int, value: int) -> bytes:
    new = struct.pack("<H" if width == 2 else "<L", value % (1 << 8 * width))
    return data[:at] + new + data[at + width :]


def _odd(before: int, width: int, size: int, chance: random.Random) -> int:
    top = 1 << 8 * width
    return chance.choice(
        (0, 1, 8, before + 1, before - 1, top - 1, top >> 1, size, size + 1, before ^ 1 << chance.randrange(8 * width))
    )


def field(data: bytes, chance: random.Random) -> bytes:
    """One field of one header."""
    mark = chance.choice((LOCAL, CENTRAL, END))
    places = _places(data, mark)
    if not places:
        return data
    at, (offset, width) = chance.choice(places), chance.choice(FIELDS[mark])
    before = int.from_bytes(data[at + offset : at + offset + width], "little")
    return _put(data, at + offset, width, _odd(before, width, len(data), chance))


def twin_fields(data: bytes, chance: random.Random) -> bytes:
    """The same lie in both headers of a member."""
    here, there = _places(data, LOCAL), _places(data, CENTRAL)
    if not here or len(here) != len(there):
        return data
    which, (local, central, width) = chance.randrange(len(here)), chance.choice(TWINS)
    at = here[which] + local
    value = _odd(int.from_bytes(data[at : at + width], "little"), width, len(data), chance)
    return _put(_put(data, at, width, value), there[which] + central, width, value)


def junk(data: bytes, chance: random.Random) -> bytes:
    """Bytes before, between or behind, with the offsets set right or not."""
    more = chance.choice((b"junk", b"\0", data, b"PK\x03\x04" + bytes(26), b"<?xml version='1.0'?>", b"\x1a" * 40))
    place = chance.randrange(4)
    if place == 0:
        return data + more
    if place == 1:
        return more + data
    end = data.rfind(END)
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    if place == 2:  # before the directory, which is found all the same
        moved = _put(data, end + 16, 4, start + len(more))
        return moved[:start] + more + moved[start:]
    return _put(data, end + 20, 2, len(more)) + more  # as the comment


def other_members(entries: list[Entry], chance: random.Random) -> list[Entry]:
    """Members that are missing, foreign, doubled, nested, or badly named."""
    made = list(entries)
    name, data = chance.choice(entries)
    kind = chance.randrange(9)
    if kind == 0:
        made.remove((name, data))
    elif kind == 1:
        made.append((chance.choice((name, name.lower(), name.upper(), "more.xml", "a/" + name, "thumbs.db")), b"<a/>"))
    elif kind == 2:
        bad = (
            "../" + name,
            "/" + name,
            "C:" + name,
            "a\\" + name,
            name + "\0",
            name + " ",
            "реестр.xml",
            "",
            ".",
            name[:-1],
        )
        made[made.index((name, data))] = (chance.choice(bad), data)
    elif kind == 3:
        made[made.index((name, data))] = (name, packed(entries, 2))
    elif kind == 4:
        made.append(("inside.zip", packed(entries, 2)))
    elif kind == 5:
        made.append(("folder/", b""))
    elif kind == 6:
        made[made.index((name, data))] = (name, chance.choice((b"", bytes(3_000_000), b"<a>" + b" " * 2_000_000)))
    elif kind == 7:
        made.reverse()
    else:
        made = [(one, other) for (one, _), (_, other) in zip(made, [*made[1:], made[0]], strict=True)]
    return made


def body(data: bytes, chance: random.Random) -> bytes:
    """Another body under the CRC of before, or with the CRC set right but not the size."""
    at = data.find(LOCAL)
    name, extra = (int.from_bytes(data[at + 26 + i : at + 28 + i], "little") for i in (0, 2))
    begin = at + 30 + name + extra
    end = max(begin + 1, data.find(b"PK", begin))
    spot = chance.randrange(begin, end)
    made = data[:spot] + bytes([data[spot] ^ 1 << chance.randrange(8)]) + data[spot + 1 :]
    if chance.randrange(2):
        return made
    central = made.find(CENTRAL)
    crc = zlib.crc32(made[begin:end])  # the right one of a stored member
    return _put(_put(made, at + 14, 4, crc), central + 16, 4, crc)


def mutated(entries: list[Entry], chance: random.Random) -> bytes:
    """A ZIP of these members, packed in some way and then spoiled in some way."""
    way = chance.randrange(6)
    kind = chance.randrange(12)
    if kind == 0:
        return packed(other_members(entries, chance), way)
    data = packed(entries, way)
    if kind < 4:
        return bytewise(data, chance)
    change = chance.choice((field, field, twin_fields, junk, body))
    made = change(data, chance)
    return field(made, chance) if change is not body and chance.randrange(6) == 0 else made
