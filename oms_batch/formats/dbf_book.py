"""Reference books in DBF, also those of FoxPro and with memo fields: through dbfread, behind the gate.

dbfread alone opens files by their name, the memo file of a neighbour too, and is lenient; here it is given streams,
whose bounds are checked, and takes apart only what the gate has let through. Text, numbers, dates and logical fields
are read by ourselves, strictly. Registers are never read this way, see ``dbf_parcel``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, BinaryIO

from dbfread.field_parser import FieldParser
from dbfread.memo import BinaryMemo, DB3MemoFile, DB4MemoFile, VFPMemoFile

from oms_batch.errors import refuse
from oms_batch.formats.dbf_gate import FOXPRO, MEMO, Column, Table, blocks, check, check_flags
from oms_batch.formats.dbf_text import PADDING

BLOCK = 1_048_576
FOXPRO_MEMO, DBASE3_MEMO = {0x30, 0x31, 0x32, 0xF5, 0xFB}, {0x83}
FPT_BLOCK, DB4_BLOCK = struct.Struct(">H"), struct.Struct("<H")  # sizes of blocks in the heads
FPT_MEMO, DB4_MEMO = struct.Struct(">LL"), struct.Struct("<4sL")
DB4_SIGN = b"\xff\xff\x08\0"
DBT_BLOCK = 512
END_OF_MEMO = b"\x1a"
NULLS = "0"  # the hidden field with a bit per value that is NULL
LONGEST_MEMO = 16 * 1_048_576
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_LOGICAL = {**dict.fromkeys("TtYy", True), **dict.fromkeys("FfNn", False), "?": None, "": None}
Memo = Callable[[int, str], Any]


def read_book(
    stream: BinaryIO, memo: BinaryIO | None = None, *, skip_deleted: bool = False
) -> Iterator[dict[str, Any]]:
    """Records of a book in the order of the file: field name → ``str`` (without blanks behind it), ``int``,
    ``Decimal``, ``date``, ``datetime``, ``bool``, ``bytes`` of a picture, or ``None``.

    ``memo`` is its ``.fpt`` or ``.dbt``; both are seekable streams. Refuses what the gate refuses, ``DBF_MEMO`` (the
    memo file is missing, damaged, or pointed beyond), ``DBF_VALUE`` (a value is not of its field's type),
    ``DBF_CODEPAGE``, ``DBF_FLAG``, and ``DBF_DELETED`` unless records marked as deleted are to be left out. Take
    effect only after the last record.
    """
    table = check(stream, book=True)
    fields = [*zip(table.columns, table.offsets, strict=True)]
    get_memo: Memo | None = None
    if any(_is_memo(one, table) for one, _ in fields):
        if memo is None:
            raise refuse("DBF_MEMO", "byte 0", found="no memo file")
        get_memo = _memo_reader(memo, table.version)
    parser = FieldParser(
        SimpleNamespace(
            header=SimpleNamespace(dbversion=table.version), encoding=table.encoding, char_decode_errors="strict"
        )
    )
    for first, block in blocks(stream, table, max(1, BLOCK // table.record)):
        alive = check_flags(first, block, skip_deleted=skip_deleted)
        for number, raw in enumerate(block, first):
            if alive is not None and not alive[number - first]:
                continue
            record = raw.tobytes()
            yield {
                one.name: _value(one, record[at : at + one.size], table, parser, get_memo, f"record {number}")
                for one, at in fields
                if one.type != NULLS or record[at : at + one.size].strip(b"\0")
            }


def _is_memo(one: Column, table: Table) -> bool:
    return one.type in MEMO and not (one.type == "B" and table.version in FOXPRO)


def _value(one: Column, raw: bytes, table: Table, parser: Any, get_memo: Memo | None, place: str) -> Any:
    where = f"{place}, field {one.name}"
    try:
        if get_memo is not None and _is_memo(one, table):
            index = int.from_bytes(raw, "little") if one.size == 4 else int(raw.strip(b" \0") or b"0")
            found = get_memo(index, where)
            return found if found is None or isinstance(found, BinaryMemo) else found.decode(table.encoding)
        if one.type == NULLS:  # a value that is NULL would be read as zero
            raise ValueError(one.name)
        if one.type in "CNFDL":
            return _OURS[one.type](raw.decode(table.encoding), one)
        found = parser.parse(SimpleNamespace(name=one.name, type=one.type, length=one.size), raw)
        return Decimal(repr(found)) if isinstance(found, float) else found
    except UnicodeDecodeError:
        raise refuse("DBF_CODEPAGE", where, expected=table.encoding) from None
    except (ValueError, OverflowError, struct.error):
        raise refuse("DBF_VALUE", where, expected=one.type) from None


def _text(text: str, one: Column) -> str:
    return text.rstrip(PADDING)


def _number(text: str, one: Column) -> int | Decimal | None:
    text = text.strip(PADDING)
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise ValueError(one.name)
    return Decimal(text) if one.decimals or "." in text else int(text)


def _date(text: str, one: Column) -> date | None:
    if not text.strip(PADDING):
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(one.name)
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _logical(text: str, one: Column) -> bool | None:
    if text.strip(PADDING) not in _LOGICAL:
        raise ValueError(one.name)
    return _LOGICAL[text.strip(PADDING)]


_OURS: dict[str, Callable[[str, Column], Any]] = {
    "C": _text, "N": _number, "F": _number, "D": _date, "L": _logical
}  # fmt: skip


def _memo_reader(memo: BinaryIO, version: int) -> Memo:
    """The memo of a number, by dbfread; ``DBF_MEMO`` when it does not lie whole within the file."""
    size = memo.seek(0, 2)
    memo.seek(0)
    head = memo.read(DBT_BLOCK)
    foxpro, oldest = version in FOXPRO_MEMO, version in DBASE3_MEMO
    kind = VFPMemoFile if foxpro else DB3MemoFile if oldest else DB4MemoFile
    block = FPT_BLOCK.unpack_from(head, 6)[0] if foxpro and len(head) == DBT_BLOCK else DBT_BLOCK
    stated = DB4_BLOCK.unpack_from(head, 20)[0] if not foxpro and not oldest and len(head) == DBT_BLOCK else 0
    if len(head) < DBT_BLOCK or not block or stated not in (0, DBT_BLOCK):
        raise refuse("DBF_MEMO", "memo byte 0", expected=DBT_BLOCK, found=stated or len(head))
    source = object.__new__(kind)  # its own way would open a file by name
    source.file, source._read, source._seek = memo, memo.read, memo.seek
    memo.seek(0)
    source._init()

    def get(index: int, where: str) -> Any:
        if index == 0:
            return None
        start = index * block
        length = _length(memo, start, size, version) if DBT_BLOCK <= start < size else -1
        if not 0 <= length <= LONGEST_MEMO:
            raise refuse("DBF_MEMO", where, expected=f"< {size // block}", found=index)
        found = source[index]  # of dBase IV it reads on behind the end
        return found if foxpro else found[:length]

    return get


def _length(memo: BinaryIO, start: int, size: int, version: int) -> int:
    """How long the memo is that begins there; -1 when it is none, or not whole."""
    memo.seek(start)
    if version in DBASE3_MEMO:
        read = 0
        while read <= LONGEST_MEMO and (data := memo.read(DBT_BLOCK)):
            if (end := data.find(END_OF_MEMO)) >= 0:
                return read + end
            read += len(data)
        return -1
    head = memo.read(FPT_MEMO.size)
    if len(head) != FPT_MEMO.size:
        return -1
    if version in FOXPRO_MEMO:
        type_, length = FPT_MEMO.unpack(head)
        behind = start + len(head) + length
    else:
        sign, length = DB4_MEMO.unpack(head)
        type_, behind, length = 0 if sign == DB4_SIGN else -1, start + length, length - len(head)
    return length if type_ in (0, 1, 2) and behind <= size else -1
