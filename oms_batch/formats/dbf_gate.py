"""DBF: the strict gate over header and size. Nothing is guessed, nothing is read in part.

A file whose size is not what its header says, whose fields do not add up or whose text may be in either code page is
refused with ``DBF_…``: a money table must not lose a record silently. All readers of DBF stand behind this gate.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from oms_batch.errors import Refusal, refuse
from oms_batch.formats import dbf_letters

HEAD = struct.Struct("<B3BLHH20x")
FIELD = struct.Struct("<11sc4xBB14x")
PLAIN = {0x03, 0x30, 0x31, 0x32}
WITH_MEMO = {0x83, 0x8B, 0xCB, 0xF5, 0xFB}
FOXPRO = {0x30, 0x31, 0x32}
BACKLINK = 263  # bytes that FoxPro keeps behind the field table
ENCRYPTED, FLAGS, MARK = 15, 28, 29  # places in the header
HAS_MEMO = 2  # among FoxPro's flags
LONGEST_RECORD = 4000
LONGEST_NUMBER = 20
MOST_FIELDS = 255
BLOCK = 1_048_576
BLANK, DELETED, END = 0x20, 0x2A, b"\x1a"
TEXTUAL = "CNFDL"
FIXED = {"D": (8,), "L": (1,), "I": (4,), "T": (8,), "Y": (8,), "B": (8, 10), "M": (4, 10), "G": (4, 10), "P": (4, 10)}
MEMO = "MGPB"  # FoxPro's own B is a number
OF_BOOKS = MEMO + "ITY0"
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{0,9}")
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Column:
    """A field: name in upper case, type (C N F D L; of books also M I B T Y …), bytes, decimals."""

    name: str
    type: str
    size: int
    decimals: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """What the gate found: number of records, bytes of header and record, code page, fields; ``mark`` is byte 29."""

    records: int
    header: int
    record: int
    encoding: str
    columns: tuple[Column, ...]
    mark: int = 0
    version: int = 3

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each field begins in a record (byte 0 is the record's flag)."""
        at, found = 1, []
        for one in self.columns:
            found.append(at)
            at += one.size
        return tuple(found)


def check(stream: BinaryIO, *, book: bool = False) -> Table:
    """The gate. ``stream`` is seekable. Refuses ``FILE_FORMAT`` and ``DBF_HEADER HDRLEN RECLEN COUNT SIZE FIELD MEMO
    CODEPAGE``. ``book``: memo fields and the binary types of FoxPro are let through, for reference books."""
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(HEAD.size)
    if head and head[0] not in PLAIN | WITH_MEMO:
        raise refuse("FILE_FORMAT", "byte 0", expected="DBF", found=f"{head[0]:02x}")
    if len(head) < HEAD.size:
        raise refuse("DBF_HEADER", "byte 0", expected=HEAD.size, found=len(head))
    version, _, _, _, records, header, record = HEAD.unpack(head)
    if version in WITH_MEMO and not book:
        raise refuse("DBF_MEMO", "byte 0", found=f"{version:02x}")
    if head[ENCRYPTED] == 1:
        raise refuse("DBF_HEADER", f"byte {ENCRYPTED}", found="encrypted")
    columns = _columns(stream.read(MOST_FIELDS * FIELD.size + 1), header, book)
    says_memo = version in WITH_MEMO or (version in FOXPRO and head[FLAGS] & HAS_MEMO)
    if says_memo and not any(one.type in MEMO for one in columns):
        raise refuse("DBF_MEMO", "byte 0", expected="memo fields", found=0)
    real = HEAD.size + 32 * len(columns) + 1
    longer = {real + BACKLINK} if version in FOXPRO else {real + 1} if _padded(stream, real) else set()
    if header != real and header not in longer:
        raise refuse("DBF_HDRLEN", "byte 8", expected=real, found=header)
    width = 1 + sum(one.size for one in columns)
    if record != width or record > LONGEST_RECORD:
        raise refuse("DBF_RECLEN", "byte 10", expected=width, found=record)
    _check_size(stream, size, header, record, records)
    table = Table(records, header, record, "", columns, head[MARK], version)
    encoding = dbf_letters.decide(table.mark, _evidence(stream, table))
    return Table(records, header, record, encoding, columns, head[MARK], version)


def _padded(stream: BinaryIO, end: int) -> bool:
    """Some programs end the header with a zero behind its last byte; a record begins with no zero."""
    stream.seek(end)
    return stream.read(1) == b"\0"


def _columns(data: bytes, header: int, book: bool) -> tuple[Column, ...]:
    found: list[Column] = []
    at = 0
    while data[at : at + 1] != b"\r":
        if at + FIELD.size > len(data) or len(found) >= MOST_FIELDS:
            raise refuse("DBF_HEADER", f"byte {HEAD.size + at}", found="field table without end")
        try:
            found.append(_column(FIELD.unpack_from(data, at), f"field {len(found) + 1}", book))
        except Refusal:
            if header - 1 - HEAD.size - at in (0, 1, BACKLINK):  # where the end should stand
                raise refuse("DBF_HEADER", f"byte {HEAD.size + at}", expected="0d", found=f"{data[at]:02x}") from None
            raise
        at += FIELD.size
    if not found:
        raise refuse("DBF_HEADER", f"byte {HEAD.size}", found="no fields")
    names = sorted(one.name for one in found)
    if twice := [name for name, after in pairwise(names) if name == after]:
        raise refuse("DBF_FIELD", f"field {twice[0]}", found="twice")
    return tuple(found)


def _column(entry: tuple[bytes, bytes, int, int], place: str, book: bool) -> Column:
    raw, kind, length, decimals = entry
    name, type_ = raw.split(b"\0")[0], kind.decode("latin-1")
    if not _NAME.fullmatch(name):
        raise refuse("DBF_FIELD", place, found="name")
    if type_ not in (TEXTUAL + OF_BOOKS if book else TEXTUAL):
        raise refuse("DBF_MEMO" if type_ in MEMO else "DBF_FIELD", place, found=kind.hex())
    wrong = length == 0 or (type_ in FIXED and length not in FIXED[type_])
    if wrong or (type_ in "NF" and (length > LONGEST_NUMBER or decimals >= length)):
        raise refuse("DBF_FIELD", place, found=f"{type_}{length}.{decimals}")
    return Column(name.decode().upper(), type_, length, decimals)


def _check_size(stream: BinaryIO, size: int, header: int, record: int, records: int) -> None:
    expected = header + records * record
    rest = size - expected
    if rest == 0:
        return
    stream.seek(size - 1)
    ended = stream.read(1) == END
    if rest == 1 and ended:
        return
    whole, part = divmod(size - header, record)
    # Whole records and the mark of the end, or more of them than said: the count lies. Otherwise the file was cut.
    if whole >= 0 and ((part == 1 and ended) or (part == 0 and whole > records)):
        raise refuse("DBF_COUNT", "byte 4", expected=records, found=whole)
    raise refuse("DBF_SIZE", f"byte {size}", expected=expected, found=size)


def _evidence(stream: BinaryIO, table: Table) -> npt.NDArray[np.int64]:
    """How often each letter stands in text fields: as many records as are needed to see the code page."""
    counts = np.zeros(256, dtype=np.int64)
    texts = text_bytes(table)
    for _, block in blocks(stream, table, max(1, BLOCK // table.record)):
        counts += dbf_letters.count(block[:, texts])
        if dbf_letters.enough(counts):
            break
    return counts


def text_bytes(table: Table) -> npt.NDArray[np.intp]:
    """The places of a record that hold text."""
    fields = zip(table.columns, table.offsets, strict=True)
    places = [np.arange(at, at + one.size) for one, at in fields if one.type == "C"]
    return np.concatenate(places) if places else np.zeros(0, dtype=np.intp)


def blocks(stream: BinaryIO, table: Table, at_once: int) -> Iterator[tuple[int, Bytes]]:
    """Number of the first record (from 1) and the records as a matrix of bytes, flags still unchecked."""
    for start in range(0, table.records, at_once):
        take = min(at_once, table.records - start)
        stream.seek(table.header + start * table.record)
        data = stream.read(take * table.record)
        if len(data) != take * table.record:
            raise refuse("DBF_SIZE", f"record {start + 1}", expected=table.records)
        matrix: Any = np.frombuffer(data, dtype=np.uint8)
        yield start + 1, matrix.reshape(take, table.record)


def check_flags(first: int, block: Bytes, *, skip_deleted: bool = False) -> npt.NDArray[np.bool_] | None:
    """Which records of a block count: ``None`` for all of them. Refuses ``DBF_FLAG``, and ``DBF_DELETED`` unless
    records that are marked as deleted are to be left out."""
    flags = block[:, 0]
    alive: npt.NDArray[np.bool_] = flags == BLANK
    if alive.all():
        return None
    odd = np.flatnonzero(~alive & (flags != DELETED))
    if len(odd):
        raise refuse("DBF_FLAG", f"record {first + int(odd[0])}", found=f"{int(flags[odd[0]]):02x}")
    if not skip_deleted:
        raise refuse("DBF_DELETED", f"record {first + int(np.argmin(alive))}", found=int((~alive).sum()))
    return alive
