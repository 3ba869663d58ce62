"""Writing DBF: whole tables (dBase III), and a received file written back with marks in some fields.

Nothing is cut off and no letter is replaced: what does not fit is a ``Fault`` that names the field, never the value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from oms_batch.errors import Fault
from oms_batch.formats.dbf_gate import (
    BLOCK,
    END,
    FIELD,
    FIXED,
    HEAD,
    LONGEST_NUMBER,
    LONGEST_RECORD,
    MARK,
    MOST_FIELDS,
    TEXTUAL,
    Bytes,
    Column,
    Table,
    blocks,
    check,
)
from oms_batch.formats.dbf_letters import MARKS
from oms_batch.formats.values import CONTROL
from oms_batch.model import parse_date

Value = str | int | date | Decimal | None
COUNT = struct.Struct("<L")
SIZES = struct.Struct("<HH")
_NUMBER = re.compile(r"(-?\d+)(?:\.(\d*))?", re.ASCII)
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,9}", re.ASCII)


def write(
    out: BinaryIO,
    fields: Sequence[Column],
    rows: Iterable[Sequence[Value]] | Iterable[pa.RecordBatch],
    page: str,
    when: date,
    *,
    count: int | None = None,
) -> int:
    """Write a dBase III table (``page``: cp866 or cp1251, told in byte 29); the number of records.

    A row has a value for each field: text as it shall stand there, a number as text or ``Decimal``, a date as ``date``
    or ``YYYY-MM-DD``, ``None`` for blank. An ``int`` in a field with decimals is money in its smallest unit (kopecks
    for two decimals). Record batches name their columns as the fields are named, in either case. ``out`` must be
    seekable unless ``count`` tells beforehand how many records there are. ``Fault`` when a value does not fit.
    """
    _check_fields(fields)
    out.write(bytes(HEAD.size + FIELD.size * len(fields) + 1) if count is None else _head(fields, page, when, count))
    written = 0
    for part in _parts(fields, rows, page):
        written += len(part)
        out.write(b"".join(part))
    out.write(END)
    if count is None:
        out.seek(0)
        out.write(_head(fields, page, when, written))
        out.seek(0, 2)
    elif written != count:
        raise Fault(f"dbf: {written} records for {count}")
    return written


def pieces(
    fields: Sequence[Column], rows: Iterable[Sequence[Value]], page: str, when: date, count: int
) -> Iterator[bytes]:
    """The same table in pieces of bytes, for who has no stream; ``Fault`` too when there are not ``count`` rows."""
    _check_fields(fields)
    yield _head(fields, page, when, count)
    written = 0
    for part in _parts(fields, rows, page):
        written += len(part)
        yield b"".join(part)
    if written != count:
        raise Fault(f"dbf: {written} records for {count}")
    yield END


def write_dbf(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], out: BinaryIO, when: date, encoding: str = "cp866"
) -> int:
    """``write`` in the order of its arguments that rows of text use."""
    return write(out, columns, rows, encoding, when)


def _check_fields(fields: Sequence[Column]) -> None:
    for one in fields:
        wrong = not _NAME.fullmatch(one.name) or one.type not in TEXTUAL or not 0 < one.size < 256
        wrong |= one.type in FIXED and one.size not in FIXED[one.type]
        wrong |= one.type in "NF" and (one.size > LONGEST_NUMBER or not 0 <= one.decimals < one.size)
        if wrong:
            raise Fault(f"field {one.name}: {one.type}{one.size}.{one.decimals} is no field")
    names = {one.name for one in fields}
    if not names or len(names) != len(fields) or len(fields) > MOST_FIELDS:
        raise Fault("dbf: no fields, too many, or a name stands twice")
    if 1 + sum(one.size for one in fields) > LONGEST_RECORD:
        raise Fault("dbf: the record is too long")


def _head(fields: Sequence[Column], page: str, when: date, count: int) -> bytes:
    size = HEAD.size + FIELD.size * len(fields) + 1
    record = 1 + sum(one.size for one in fields)
    head = bytearray(HEAD.pack(0x03, when.year % 100, when.month, when.day, count, size, record))
    head[MARK] = MARKS[page]
    return bytes(head) + b"".join(map(_entry, fields)) + b"\r"


def _entry(one: Column) -> bytes:
    return FIELD.pack(one.name.encode("ascii"), one.type.encode("ascii"), one.size, one.decimals)


def _parts(
    fields: Sequence[Column], rows: Iterable[Sequence[Value]] | Iterable[pa.RecordBatch], page: str
) -> Iterator[list[bytes]]:
    several: list[bytes] = []
    for row in rows:
        if isinstance(row, pa.RecordBatch):
            named = {name.upper(): row.column(at).to_pylist() for at, name in enumerate(row.schema.names)}
            if set(named) != {one.name for one in fields}:
                raise Fault("dbf: the batch has other columns than the table")
            packed = [[pack(one, value, page) for value in named[one.name]] for one in fields]
            yield [b" " + b"".join(record) for record in zip(*packed, strict=True)]
            continue
        several.append(b" " + b"".join(pack(one, value, page) for one, value in zip(fields, row, strict=True)))
        if len(several) >= 4096:
            yield several
            several = []
    yield several


def pack(one: Column, value: Any, page: str) -> bytes:
    """The bytes of a value in its field, of exactly its width; ``Fault`` without the value when it does not fit."""
    if value is None or value == "":
        return b" " * one.size
    if one.type in "NF":
        text = _number(one, value)
    elif one.type == "D":
        text = _day(one, value)
    elif not isinstance(value, str):
        raise Fault(f"field {one.name}: {type(value).__name__} in a field of text")
    else:
        text = value
        if one.type == "L" and text not in ("T", "F", "Y", "N", "?"):
            raise Fault(f"field {one.name}: neither T nor F")
    if CONTROL.search(text):
        raise Fault(f"field {one.name}: a sign that no text has")
    try:
        raw = text.encode(page)
    except UnicodeEncodeError:
        raise Fault(f"field {one.name}: a letter that {page} does not have") from None
    if len(raw) > one.size:
        raise Fault(f"field {one.name}: {len(raw)} bytes for {one.size}")
    return raw.rjust(one.size) if one.type in "NF" else raw.ljust(one.size)


def _number(one: Column, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and one.decimals:
        sign, digits = "-" * (value < 0), str(abs(value)).rjust(one.decimals + 1, "0")
        return f"{sign}{digits[: -one.decimals]}.{digits[-one.decimals :]}"
    text = str(value) if not isinstance(value, Decimal) else f"{value:f}"
    match = _NUMBER.fullmatch(text.strip(" ")) if isinstance(value, str | int | Decimal) else None
    if match is None:
        raise Fault(f"field {one.name}: no number")
    whole, part = match[1], (match[2] or "").rstrip("0").ljust(one.decimals, "0")
    if len(part) > one.decimals:
        raise Fault(f"field {one.name}: more than {one.decimals} decimals")
    return f"{whole}.{part}" if one.decimals else whole


def _day(one: Column, value: Any) -> str:
    found = parse_date(value) if isinstance(value, str) else value
    if not isinstance(found, date):
        raise Fault(f"field {one.name}: no date")
    return f"{found.year:04d}{found.month:02d}{found.day:02d}"


def rewrite(
    source: BinaryIO,
    out: BinaryIO,
    changes: Mapping[int, Mapping[str, Value]] | Iterable[tuple[int, Mapping[str, Value]]],
    keep: Iterable[int] | None = None,
    more: Sequence[Column] = (),
) -> int:
    """A received file again, byte for byte, but for what is named; the number of records written.

    ``changes``: record number (from 1, as in ``line`` of the raw tables) → field → value (``None``: blank); or the
    same as pairs in the order of the file, so that many of them need no memory.
    ``keep``: the records that stay (all when ``None``), in the order of the file; the count in the header follows.
    ``more``: fields behind the last one, blank unless ``changes`` fills them. ``source`` is seekable, ``out`` need not
    be. Refuses what the gate refuses; ``Fault`` when a value does not fit or there is no such record or field.
    """
    table = check(source)
    if clash := {one.name for one in table.columns} & {one.name for one in more}:
        raise Fault(f"field {min(clash)}: is there already")
    columns = (*table.columns, *more)
    _check_fields(columns)
    alive = _kept(table, keep)
    wide = table.record + sum(one.size for one in more)
    offsets = Table(0, 0, wide, "", columns).offsets
    places = {one.name: (one, at) for one, at in zip(columns, offsets, strict=True)}
    count = int(alive.sum())
    out.write(_head_again(source, table, more, wide, count))
    pairs = iter(sorted(changes.items()) if isinstance(changes, Mapping) else changes)
    number, values = next(pairs, (0, {}))
    for first, block in blocks(source, table, max(1, BLOCK // table.record)):
        matrix = np.full((len(block), wide), 0x20, dtype=np.uint8)
        matrix[:, : table.record] = block
        while first <= number < first + len(block):
            _patch(matrix[number - first], values, places, table.encoding)
            before, (number, values) = number, next(pairs, (0, {}))
            if 0 < number <= before:
                raise Fault("dbf: changes stand out of order")
        out.write(matrix[alive[first - 1 : first - 1 + len(block)]].tobytes())
    if number or values:
        raise Fault("dbf: a change of a record that is not there")
    source.seek(table.header + table.records * table.record)
    out.write(source.read(1))
    return count


def _patch(record: Bytes, values: Mapping[str, Value], places: Mapping[str, tuple[Column, int]], page: str) -> None:
    for name, value in values.items():
        if name not in places:
            raise Fault(f"field {name}: is not there")
        one, at = places[name]
        record[at : at + one.size] = np.frombuffer(pack(one, value, page), dtype=np.uint8)


def _kept(table: Table, keep: Iterable[int] | None) -> Any:
    if keep is None:
        return np.ones(table.records, dtype=bool)
    numbers = np.fromiter(keep, dtype=np.int64)
    if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= table.records):
        raise Fault("dbf: a record to keep that is not there")
    alive = np.zeros(table.records, dtype=bool)
    alive[numbers - 1] = True
    return alive


def _head_again(source: BinaryIO, table: Table, more: Sequence[Column], wide: int, count: int) -> bytes:
    source.seek(0)
    head = bytearray(source.read(table.header))
    behind = HEAD.size + FIELD.size * len(table.columns)
    COUNT.pack_into(head, 4, count)
    SIZES.pack_into(head, 8, table.header + FIELD.size * len(more), wide)
    return bytes(head[:behind]) + b"".join(map(_entry, more)) + bytes(head[behind:])
