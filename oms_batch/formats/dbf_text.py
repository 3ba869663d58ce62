"""Fields of text and codes of many records → Arrow columns, by whole columns: no Python object per value.

A field comes as a matrix of bytes, a record per row. Blanks and NULs behind a value are padding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from oms_batch.formats import dbf_letters
from oms_batch.formats.columns import LONG, MISSING, WRONG
from oms_batch.formats.dbf_gate import Bytes, Column
from oms_batch.formats.dbf_layout import DbfField

LISTED, RANGE = "S.00.0070", "S.00.0080"
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Offsets = npt.NDArray[np.int32]
PADDING = " \0"
BLANKS = np.frombuffer(b" \0", dtype=np.uint8)
ZERO = 0x30


@dataclass(slots=True)
class Made:
    """A typed column, and what is wrong in it: rule → rows (from 0). ``counts``: letters met, for the code page."""

    column: pa.Array
    wrong: dict[str, Rows] = field(default_factory=dict)
    counts: dbf_letters.Counts | None = None

    def tell(self, rule: str, where: Mask | Rows) -> None:
        """Remember rows with a fault, each once."""
        rows: Rows = np.flatnonzero(where) if where.dtype == np.bool_ else where.astype(np.intp)
        if len(rows):
            self.wrong[rule] = np.union1d(self.wrong[rule], rows) if rule in self.wrong else rows


def texts(matrix: Bytes, column: Column, wanted: DbfField, page: str) -> Made:
    """Text (signs that no text has are told) or codes (no blank before them; digits only in a numeric field)."""
    offsets, data = _strings(matrix, both=column.type != "C")
    counts: dbf_letters.Counts | None = None
    bad: Rows | None = None
    high = len(data) > 0 and int(data.max()) >= 0x80
    if high or (len(data) and (data.min() < 0x20 or data.max() == 0x7F)):
        barred = dbf_letters.no_code(page) if wanted.type == "code" else dbf_letters.no_text(page)
        bad = _rows_of(offsets, np.flatnonzero(barred[data]))
    odd_codes = _odd_codes(offsets, data, column) if wanted.type == "code" and len(data) else None
    if high:
        counts = dbf_letters.count(data)
        offsets, data = _as_utf8(offsets, data, page)
    lengths = np.diff(offsets)
    made = Made(_array(offsets, data, lengths), counts=counts)
    for rows in (bad, odd_codes):
        if rows is not None:
            made.tell(WRONG, rows)
    if wanted.required:
        made.tell(MISSING, lengths == 0)
    if column.size > wanted.size:
        long = pc.fill_null(pc.greater(pc.utf8_length(made.column), wanted.size), False)
        made.tell(LONG, long.to_numpy(zero_copy_only=False))
    tell_unlisted(made, wanted)
    return made


def tell_unlisted(made: Made, wanted: DbfField) -> None:
    """Values that are not among those that the layout allows."""
    if wanted.allowed:
        known = pc.is_in(made.column.cast(pa.string()), value_set=pa.array(wanted.allowed))
        made.tell(LISTED, pc.and_(pc.invert(known), pc.is_valid(made.column)).to_numpy(zero_copy_only=False))


def flags(matrix: Bytes, wanted: DbfField) -> Made:
    """A logical field: ``T``, ``F`` or NULL (blank or a question mark)."""
    signs = matrix[:, 0]
    yes, no = np.isin(signs, np.frombuffer(b"TtYy", np.uint8)), np.isin(signs, np.frombuffer(b"FfNn", np.uint8))
    blank = np.isin(signs, np.frombuffer(b" ?\0", np.uint8))
    made = Made(pa.array(["F", "T"]).take(pa.array(yes.astype(np.int32), mask=~(yes | no))))
    made.tell(WRONG, ~(yes | no | blank))
    if wanted.required:
        made.tell(MISSING, blank)
    tell_unlisted(made, wanted)
    return made


def _strings(matrix: Bytes, both: bool) -> tuple[Offsets, Bytes]:
    """Offsets and bytes of the values without the padding behind them (``both``: and before them)."""
    count, size = matrix.shape
    flat = np.ascontiguousarray(matrix).reshape(-1)
    places = np.arange(0, count * size + 1, size, dtype=np.int32)
    raw = pa.StringArray.from_buffers(count, pa.py_buffer(places), pa.py_buffer(flat))  # not UTF-8 yet
    cut = (pc.ascii_trim if both else pc.ascii_rtrim)(raw, characters=PADDING)
    _, found, held = cut.buffers()
    offsets = np.frombuffer(found, dtype=np.int32)[cut.offset : cut.offset + count + 1]
    data = np.frombuffer(held, dtype=np.uint8) if held is not None else np.zeros(0, dtype=np.uint8)
    return offsets - offsets[0], data[offsets[0] : offsets[-1]]


def _rows_of(offsets: Offsets, places: npt.NDArray[np.intp]) -> Rows:
    return np.unique(np.searchsorted(offsets, places, side="right") - 1)


def _odd_codes(offsets: Offsets, data: Bytes, column: Column) -> Rows | None:
    if column.type == "C":
        first = data[np.minimum(offsets[:-1], len(data) - 1)]
        return np.flatnonzero((first == BLANKS[0]) & (offsets[1:] > offsets[:-1]))
    if data.min() >= ZERO and data.max() < ZERO + 10:
        return None
    return _rows_of(offsets, np.flatnonzero((data - np.uint8(ZERO)) > 9))


def _as_utf8(offsets: Offsets, data: Bytes, page: str) -> tuple[Offsets, Bytes]:
    ends = np.zeros(len(data) + 1, dtype=np.int32)
    np.cumsum(dbf_letters.width(page)[data], out=ends[1:])
    text = data.tobytes().decode(page, "replace").encode()
    return ends[offsets], np.frombuffer(text, dtype=np.uint8)


def _array(offsets: Offsets, data: Bytes, lengths: Offsets) -> pa.Array:
    filled = lengths > 0
    valid = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data), valid, -1)
