"""DBF (dBase III and FoxPro without memo): a strict gate over header and size, then records as text.

Nothing is guessed: a file whose size is not what its header says, whose fields do not add up or whose text
is in another code page than it seems is refused with ``DBF_…`` and never read in part. A money table must
not lose a record silently.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO

from oms_batch.errors import Fault, refuse

HEAD = struct.Struct("<B3BLHH20x")
FIELD = struct.Struct("<11sc4xBB14x")
PLAIN = {0x03, 0x30, 0x31, 0x32}
WITH_MEMO = {0x83, 0x8B, 0xCB, 0xF5, 0xFB}
FOXPRO = {0x30, 0x31, 0x32}
BACKLINK = 263  # bytes that FoxPro keeps behind the field table
PAGES = {0x26: "cp866", 0x65: "cp866", 0xC9: "cp1251", 0x57: "cp1251"}
LONGEST_RECORD = 4000
MOST_FIELDS = 255
SAMPLE = 1_048_576
_NEUTRAL = (0x85, 0x93, 0x94, 0x96, 0x97, 0xA0, 0xA8, 0xAB)
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{0,9}")


@dataclass(frozen=True, slots=True)
class Column:
    """A field: name in upper case, type (C N F D L), bytes, decimals."""

    name: str
    type: str
    size: int
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """What the gate found: number of records, bytes of header and record, code page, fields."""

    records: int
    header: int
    record: int
    encoding: str
    columns: tuple[Column, ...]


def check(stream: BinaryIO) -> Table:
    """The gate. ``stream`` is seekable. Refuses ``DBF_HEADER HDRLEN RECLEN COUNT SIZE FIELD MEMO CODEPAGE``."""
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        raise refuse("DBF_HEADER", "byte 0", expected=HEAD.size, found=len(head))
    version, _, _, _, records, header, record = HEAD.unpack(head)
    if version in WITH_MEMO:
        raise refuse("DBF_MEMO", "byte 0", found=f"{version:02x}")
    if version not in PLAIN:
        raise refuse("FILE_FORMAT", "byte 0", expected="DBF", found=f"{version:02x}")
    columns = _columns(stream.read(MOST_FIELDS * FIELD.size + 1))
    real = HEAD.size + 32 * len(columns) + 1
    if header not in (real, real + 1, real + BACKLINK if version in FOXPRO else real):
        raise refuse("DBF_HDRLEN", "byte 8", expected=real, found=header)
    width = 1 + sum(one.size for one in columns)
    if record != width or record > LONGEST_RECORD:
        raise refuse("DBF_RECLEN", "byte 10", expected=width, found=record)
    _check_size(stream, size, header, record, records)
    stream.seek(header)
    encoding = _encoding(head[29], stream.read(min(SAMPLE, records * record)))
    return Table(records, header, record, encoding, columns)


def _columns(data: bytes) -> tuple[Column, ...]:
    found: list[Column] = []
    at = 0
    while True:
        if data[at : at + 1] == b"\r":
            break
        if at + FIELD.size > len(data) or len(found) >= MOST_FIELDS:
            raise refuse("DBF_HEADER", f"byte {HEAD.size + at}", found="field table without end")
        raw, kind, length, decimals = FIELD.unpack_from(data, at)
        name = raw.split(b"\0")[0]
        place = f"field {len(found) + 1}"
        if not _NAME.fullmatch(name):
            raise refuse("DBF_FIELD", place, found="name")
        if kind not in b"CNFDL":
            raise refuse("DBF_MEMO" if kind in b"MGPB" else "DBF_FIELD", place, found=kind.hex())
        wrong = length == 0 or (kind == b"D" and length != 8) or (kind == b"L" and length != 1)
        if wrong or (kind in b"NF" and (length > 20 or decimals >= max(length, 1))):
            raise refuse("DBF_FIELD", place, found=f"{kind.decode()}{length}.{decimals}")
        found.append(Column(name.decode().upper(), kind.decode(), length, decimals))
        at += FIELD.size
    if not found:
        raise refuse("DBF_HEADER", f"byte {HEAD.size}", found="no fields")
    if len({one.name for one in found}) != len(found):
        raise refuse("DBF_FIELD", found="a name stands twice")
    return tuple(found)


def _check_size(stream: BinaryIO, size: int, header: int, record: int, records: int) -> None:
    expected = header + records * record
    rest = size - expected
    if rest == 0:
        return
    stream.seek(max(min(expected, size - 1), 0))
    if rest == 1 and stream.read(1) == b"\x1a":
        return
    whole, part = divmod(size - header, record)
    if part in (0, 1) and whole != records:
        raise refuse("DBF_COUNT", "byte 4", expected=records, found=whole)
    raise refuse("DBF_SIZE", f"byte {size}", expected=expected, found=size)


def _encoding(mark: int, sample: bytes) -> str:
    """The code page by its mark and by the letters; they must not contradict each other.

    Bytes 80-AF are letters in cp866 and rare signs in cp1251; C0-DF are capitals in cp1251 and line drawing in cp866.
    Signs of cp1251 that Russian text does hold (Ё № « » and dashes) speak for neither.
    """
    counts = [0] * 256
    for byte in sample:
        counts[byte] += 1
    oem = sum(counts[0x80:0xB0]) - sum(counts[sign] for sign in _NEUTRAL)
    ansi = sum(counts[0xC0:0xE0]) + sum(counts[0xF2:0x100])
    seen = "cp866" if oem > 10 * ansi else "cp1251" if ansi > 10 * oem else ""
    stated = PAGES.get(mark, "")
    if not oem and not ansi:
        if stated or not sum(counts[0xE0:0xF2]):
            return stated or "cp866"
        raise refuse("DBF_CODEPAGE", "byte 29", found=f"{mark:02x}")
    if not seen or (stated and stated != seen):
        raise refuse("DBF_CODEPAGE", "byte 29", expected=stated, found=seen)
    return seen


def read_dbf(stream: BinaryIO) -> Iterator[dict[str, str]]:
    """Records in file order: field name → text. Numbers stay as written, dates become ``YYYY-MM-DD``, blanks "".

    The gate runs first; a deleted record (``DBF_DELETED``), a wrong flag (``DBF_FLAG``) or a byte outside the
    code page (``DBF_CODEPAGE``) ends the reading, so take effect only after the last record.
    """
    table = check(stream)
    cut = struct.Struct("<1s" + "".join(f"{one.size}s" for one in table.columns))
    stream.seek(table.header)
    at_once = max(1, SAMPLE // table.record)
    for start in range(0, table.records, at_once):
        take = min(at_once, table.records - start)
        data = stream.read(take * table.record)
        if len(data) != take * table.record:
            raise refuse("DBF_SIZE", f"record {start + 1}", expected=table.records)
        for number, (flag, *values) in enumerate(cut.iter_unpack(data), start + 1):
            if flag != b" ":
                raise refuse("DBF_DELETED" if flag == b"*" else "DBF_FLAG", f"record {number}", found=flag.hex())
            yield _record(table, values, number)


def _record(table: Table, values: Sequence[bytes], number: int) -> dict[str, str]:
    row = {}
    for one, raw in zip(table.columns, values, strict=True):
        try:
            text = raw.decode(table.encoding)
        except UnicodeDecodeError:
            raise refuse("DBF_CODEPAGE", f"record {number}, field {one.name}", expected=table.encoding) from None
        text = text.rstrip(" \0") if one.type == "C" else text.strip(" \0")
        if one.type == "D" and len(text) == 8:
            text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
        row[one.name] = text
    return row


def write_dbf(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], out: BinaryIO, when: date, encoding: str = "cp866"
) -> int:
    """Write dBase III records of text (dates as ``YYYY-MM-DD`` or blank); the number of records.

    ``out`` is seekable. ``Fault`` when a value does not fit its field: nothing is cut off silently.
    """
    marks = {page: mark for mark, page in reversed(PAGES.items())}
    header, width = HEAD.size + 32 * len(columns) + 1, 1 + sum(one.size for one in columns)
    out.write(bytes(header))
    count = 0
    for row in rows:
        count += 1
        out.write(b" " + b"".join(_packed(one, text, encoding) for one, text in zip(columns, row, strict=True)))
    out.write(b"\x1a")
    out.seek(0)
    head = bytearray(HEAD.pack(0x03, when.year % 100, when.month, when.day, count, header, width))
    head[29] = marks[encoding]
    out.write(head)
    for one in columns:
        out.write(FIELD.pack(one.name.encode("ascii"), one.type.encode("ascii"), one.size, one.decimals))
    out.write(b"\r")
    out.seek(0, 2)
    return count


def _packed(one: Column, text: str, encoding: str) -> bytes:
    if one.type == "D":
        text = text.replace("-", "")
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        raise Fault(f"field {one.name}: a letter that {encoding} does not have") from None
    if len(raw) > one.size:
        raise Fault(f"field {one.name}: {len(raw)} bytes for {one.size}")
    return raw.rjust(one.size) if one.type in "NF" else raw.ljust(one.size)
