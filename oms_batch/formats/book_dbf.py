"""Reference books in DBF → rows of text, behind the gate of all DBF readers."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

from oms_batch.errors import refuse
from oms_batch.formats import dbf_book
from oms_batch.formats.book_rows import BookFile, BookRow
from oms_batch.formats.dbf_gate import HEAD, PLAIN, WITH_MEMO


def looks(data: bytes) -> bool:
    """Whether the first bytes are those of a DBF: a known version, and a date that may be."""
    return len(data) >= HEAD.size and data[0] in PLAIN | WITH_MEMO and data[2] <= 12 and data[3] <= 31


def read(name: str, data: bytes, memo: bytes | None = None) -> BookFile:
    """One table; the date of its last change, which its head holds, is taken for the edition's.

    Refuses what ``dbf_book`` refuses, and ``BOOK_EMPTY``. Records marked as deleted are left out.
    """
    found = dbf_book.read_book(io.BytesIO(data), io.BytesIO(memo) if memo is not None else None, skip_deleted=True)
    rows = [
        BookRow(f"{number}, {number}", {column.upper(): _text(value) for column, value in record.items()})
        for number, record in enumerate(found, 1)
    ]
    if not rows:
        raise refuse("BOOK_EMPTY", name)
    return BookFile("dbf", name, tuple(rows[0].values), tuple(rows), date=_changed(data))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, date):
        return value.isoformat()[:10]
    return str(value).strip()


def _changed(data: bytes) -> str:
    """The day of the last change; the year has two digits, books are younger than 1980."""
    year = data[1] + (2000 if data[1] < 80 else 1900)
    try:
        return date(year, data[2], data[3]).isoformat()
    except ValueError:
        return ""
