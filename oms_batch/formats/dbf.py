"""DBF record by record: ``read_dbf`` for tables that need no layout, all as text.

The gate is ``dbf_gate``, bulk reading into typed tables ``dbf_bulk`` and ``dbf_parcel``, writing ``dbf_write``,
reference books with memo fields ``dbf_book``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from oms_batch.errors import refuse
from oms_batch.formats import dbf_letters
from oms_batch.formats.dbf_bulk import check_page
from oms_batch.formats.dbf_gate import Column as Column
from oms_batch.formats.dbf_gate import Table as Table
from oms_batch.formats.dbf_gate import blocks, check_flags, text_bytes
from oms_batch.formats.dbf_gate import check as check
from oms_batch.formats.dbf_write import write_dbf as write_dbf

PIECE = 1_048_576


def read_dbf(stream: BinaryIO) -> Iterator[dict[str, str]]:
    """Records in file order: field name → text. Numbers stay as written, dates become ``YYYY-MM-DD``, blanks "".

    The gate runs first; a deleted record (``DBF_DELETED``), a wrong flag (``DBF_FLAG``) or a byte outside the
    code page (``DBF_CODEPAGE``) ends the reading, so take effect only after the last record.
    """
    table = check(stream)
    cut = struct.Struct("<1s" + "".join(f"{one.size}s" for one in table.columns))
    texts, counts = text_bytes(table), np.zeros(256, dtype=np.int64)
    for first, block in blocks(stream, table, max(1, PIECE // table.record)):
        check_flags(first, block)
        counts += dbf_letters.count(block[:, texts])
        for number, (_, *values) in enumerate(cut.iter_unpack(block.tobytes()), first):
            yield _record(table, values, number)
    check_page(table, counts)


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
