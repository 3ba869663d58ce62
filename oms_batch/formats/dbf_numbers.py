"""Fields of dates, sums and numbers of many records → Arrow columns, without floats and by whole columns.

What is of no usual form (a sign, no decimals, a dot elsewhere) is looked at by itself, by the same functions as the
values of XML. What is wrong becomes NULL; what is beyond its limits stays; both are told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from oms_batch.formats import values
from oms_batch.formats.columns import LONG, MISSING, WRONG
from oms_batch.formats.dbf_gate import Bytes, Column
from oms_batch.formats.dbf_layout import DbfField
from oms_batch.formats.dbf_text import BLANKS, PADDING, RANGE, ZERO, Made, Mask, tell_unlisted

DOT = 0x2E
WIDEST = 18  # digits that surely fit 64 bits
FIRST_YEAR, LAST_YEAR = 1800, 2199  # of the table of days
OLDEST, NEWEST = "1900-01-01", "2199-12-31"  # unless the layout says otherwise
CHEAPEST, DEAREST = "0", "1000000000"  # roubles, unless the layout says otherwise
MONEY_DECIMALS = 2
NO_YEAR = np.int32(-1 << 31)  # a date that would be right in a likely year
NO_DAY = NO_YEAR + 1
_SHORT = re.compile(r"(-?)(\.\d+)", re.ASCII)  # FoxPro leaves the zero out where it has no room
_ZEROS = re.compile(r"^(-?)0+(?=\d)", re.ASCII)
_DOTTED = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})", re.ASCII)
_POWERS = (1000, 100, 10, 1, 10, 1, 10, 1)
Ints = npt.NDArray[np.int64]


# --- dates


@cache
def _days() -> npt.NDArray[np.int32]:
    """(year - FIRST_YEAR) * 512 + month * 32 + day → days since 1970-01-01."""
    found = np.full((LAST_YEAR - FIRST_YEAR + 1) * 512, NO_DAY, dtype=np.int32)
    days = np.arange(f"{FIRST_YEAR}-01-01", f"{LAST_YEAR + 1}-01-01", dtype="datetime64[D]")
    months = days.astype("datetime64[M]")
    day = (days - months).astype(np.int64) + 1
    since = months.astype(np.int64) - (FIRST_YEAR - 1970) * 12  # months since the first of the table
    found[since // 12 * 512 + (since % 12 + 1) * 32 + day] = days.astype(np.int64)
    return found


def dates(matrix: Bytes, wanted: DbfField) -> Made:
    """``YYYYMMDD`` → date32. Not the zero date, no other separators; ten characters: see ``written_dates``."""
    columns = np.ascontiguousarray(matrix.T)
    digits = columns - np.uint8(ZERO)
    fine = (digits < 10).all(axis=0)
    blank = _blank(columns)
    year, month, day = (_number(digits, span) for span in (range(4), range(4, 6), range(6, 8)))
    likely = fine & (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (month < 16) & (day < 32)
    index = np.where(likely, (year - FIRST_YEAR) * 512 + month * 32 + day, 0)
    found = _days()[index]
    odd = fine & ~likely & (month > 0) & (month < 13) & (day > 0) & (day < 32) & (year > 0)
    return _made_dates(np.where(odd, NO_YEAR, found), blank, wanted)


def _number(digits: Bytes, places: range) -> npt.NDArray[np.int32]:
    total = np.zeros(digits.shape[1], dtype=np.int32)
    for place in places:
        total += digits[place] * np.int32(_POWERS[place])
    return total


def written_dates(matrix: Bytes, wanted: DbfField) -> Made:
    """Dates as text of ten characters: ``DD.MM.YYYY`` or ``YYYY-MM-DD``."""

    def day(text: str) -> int | None:
        match = _DOTTED.fullmatch(text)
        found = values.day(f"{match[3]}-{match[2]}-{match[1]}" if match else text)
        if found is None:
            return None
        start, end = (values.day(f"{year}-{edge}") or 0 for year, edge in ((FIRST_YEAR, "01-01"), (LAST_YEAR, "12-31")))
        return found if start <= found <= end else int(NO_YEAR)

    found, _ = _one_by_one(matrix, day, int(NO_DAY))
    return _made_dates(found.astype(np.int32), _blank(matrix.T), wanted)


def _made_dates(found: npt.NDArray[np.int32], blank: Mask, wanted: DbfField) -> Made:
    wrong, no_year = (found == NO_DAY) & ~blank, (found == NO_YEAR) & ~blank
    made = Made(pa.array(found, pa.int32(), mask=blank | wrong | no_year).cast(pa.date32()))
    made.tell(WRONG, wrong)
    low, high = (values.day(text) or 0 for text in (wanted.low or OLDEST, wanted.high or NEWEST))
    made.tell(RANGE, no_year | (~blank & ~wrong & ((found < low) | (found > high))))
    if wanted.required:
        made.tell(MISSING, blank)
    return made


def _blank(columns: Bytes) -> Mask:
    found: Mask = ((columns == BLANKS[0]) | (columns == BLANKS[1])).all(axis=0)
    return found


# --- sums and numbers


def numbers(matrix: Bytes, column: Column, wanted: DbfField) -> Made:
    """Money → int64 kopecks, quantity → decimal of the layout's size, int → int32."""
    decimals = {"money": MONEY_DECIMALS, "quantity": wanted.decimals}.get(wanted.type, 0)
    written = column.decimals if column.type in "NF" else 0
    columns = np.ascontiguousarray(matrix.T)
    blank = _blank(columns)
    found, plain = _plain(columns, written)
    if written > decimals or column.size > WIDEST - decimals:
        plain[:] = False  # each by itself
    found *= 10 ** max(decimals - written, 0)
    wrong: Mask = ~(plain | blank)
    if wrong.any():
        rows = np.flatnonzero(wrong)
        found[rows], wrong[rows] = _one_by_one(matrix[rows], _reader(column, wanted, decimals), 0)
    long: Mask = np.abs(found) >= 10 ** min(_digits(wanted), WIDEST) if wanted.type != "money" else np.zeros_like(blank)
    made = Made(_typed(found, blank | wrong | long, wanted))
    made.tell(WRONG, wrong)
    made.tell(LONG, long)
    made.tell(RANGE, _beyond(found, wanted, decimals) & ~(blank | wrong | long))
    if wanted.required:
        made.tell(MISSING, blank)
    tell_unlisted(made, wanted)
    return made


def _digits(wanted: DbfField) -> int:
    return wanted.size if wanted.type == "quantity" else 9


def _plain(columns: Bytes, decimals: int) -> tuple[Ints, Mask]:
    """Numbers written as dBase writes them: blanks, digits, and a dot with exactly so many decimals."""
    size, count = columns.shape
    whole = size - decimals - 1 if decimals else size
    total = np.zeros(count, dtype=np.int64)
    if whole < 1:
        return total, np.zeros(count, dtype=np.bool_)
    digits = columns - np.uint8(ZERO)
    is_digit = digits < 10
    head = is_digit[:whole]
    plain: Mask = head[-1] & (head | (columns[:whole] == BLANKS[0])).all(axis=0) & (head[:-1] <= head[1:]).all(axis=0)
    if decimals:
        plain &= (columns[whole] == DOT) & is_digit[whole + 1 :].all(axis=0)
    digits *= is_digit
    for place in range(size):
        if not decimals or place != whole:
            total *= 10
            total += digits[place]
    return total, plain


def _one_by_one(matrix: Bytes, parse: Callable[[str], int | None], blank: int) -> tuple[Ints, Mask]:
    """Each different value once: the numbers, and which of them are none."""
    count, size = matrix.shape
    flat = np.ascontiguousarray(matrix).reshape(-1)
    coded = pa.Array.from_buffers(pa.binary(size), count, [None, pa.py_buffer(flat)]).dictionary_encode()
    texts = [raw.decode("latin-1").strip(PADDING) for raw in coded.dictionary.to_pylist()]
    parsed = [parse(text) if text else None for text in texts]
    numbers_ = np.array([blank if one is None else one for one in parsed], dtype=np.int64)
    bad = np.array([one is None for one in parsed], dtype=np.bool_)
    at = coded.indices.to_numpy()
    return numbers_[at], bad[at]


def _reader(column: Column, wanted: DbfField, decimals: int) -> Callable[[str], int | None]:
    exact: Callable[[str], Any] = (
        values.money if wanted.type == "money" else values.whole if wanted.type == "int" else _quantity(wanted)
    )

    def read(text: str) -> int | None:
        if wanted.comma:
            text = text.replace(",", ".")
        if column.type in "NF" and (short := _SHORT.fullmatch(text)):
            text = f"{short[1]}0{short[2]}"
        found = exact(_ZEROS.sub(r"\1", text))
        return int(found.scaleb(decimals)) if isinstance(found, Decimal) else found

    return read


def _quantity(wanted: DbfField) -> Callable[[str], Decimal | None]:
    return values.quantity(WIDEST, wanted.decimals)


def _typed(found: Ints, null: Mask, wanted: DbfField) -> pa.Array:
    if wanted.type == "money":
        return pa.array(found, mask=null)
    if wanted.type == "int":
        return pa.array(np.where(null, 0, found).astype(np.int32), mask=null)
    halves = np.empty((len(found), 2), dtype=np.int64)  # of 128 bits, the low one first
    halves[:, 0] = found
    halves[:, 1] = found >> 63
    valid = pa.py_buffer(np.packbits(~null, bitorder="little"))
    kind = pa.decimal128(wanted.size, wanted.decimals)
    return pa.Array.from_buffers(kind, len(found), [valid, pa.py_buffer(halves.reshape(-1))])


def _beyond(found: Ints, wanted: DbfField, decimals: int) -> Mask:
    usual = (CHEAPEST, DEAREST) if wanted.type == "money" else ("", "")
    low, high = wanted.low or usual[0], wanted.high or usual[1]
    beyond: Mask = np.zeros(len(found), dtype=np.bool_)
    if low:
        beyond |= found < int(Decimal(low).scaleb(decimals))
    if high:
        beyond |= found > int(Decimal(high).scaleb(decimals))
    return beyond
