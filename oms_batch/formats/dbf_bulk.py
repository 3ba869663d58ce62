"""DBF in bulk: batches of records of bounded size → typed Arrow columns of the tables that a layout names.

All work is per column of a batch, never per value, except where something is wrong. ``dbf_parcel`` puts the batches
of a parcel of files into the working database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from oms_batch.errors import Problem, Refusal
from oms_batch.formats import dbf_letters, dbf_numbers, dbf_text
from oms_batch.formats.columns import SHOWN
from oms_batch.formats.dbf_gate import Bytes, Column, Table, blocks, check_flags
from oms_batch.formats.dbf_layout import DbfField, DbfLayout
from oms_batch.formats.dbf_text import Made, Rows

PIECE = 8 * 1_048_576  # bytes of records at a time
KIND = {"F": "N"}  # the same thing under two letters


@dataclass(frozen=True, slots=True)
class Wanted:
    """One field that is read: where it lies in a record and what it shall be."""

    column: Column
    at: int
    field: DbfField


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read of a file, per table of the layout, and the file's columns that the layout does not know."""

    tables: Mapping[str, tuple[Wanted, ...]]
    extra: tuple[str, ...]


@dataclass(slots=True)
class Batch:
    """Records of a file: their numbers (from 1), a batch of typed columns per table, faults, letters met.

    ``faults`` has a row per fault: rule, unit (table), at (row of the batch), element (field), value (as written).
    """

    records: pa.Array
    tables: dict[str, pa.RecordBatch]
    faults: pa.RecordBatch
    counts: dbf_letters.Counts


FAULTS = pa.schema(
    {"rule": pa.string(), "unit": pa.string(), "at": pa.int64(), "element": pa.string(), "value": pa.string()}
)


def plan(table: Table, layout: DbfLayout) -> Plan:
    """Match the file's columns with the layout by name: any order is right, a missing column or one of another kind
    is refused (``DBF_STRUCT``), an extra one is told. Widths may differ: what is too long is told value by value."""
    there = {one.name: (one, at) for one, at in zip(table.columns, table.offsets, strict=True)}
    problems = []
    for one in {one.name: one for one in layout.fields}.values():
        if one.absent and one.name not in there:
            continue
        found = there[one.name][0].type if one.name in there else ""
        if KIND.get(found, found) != KIND.get(one.kind, one.kind):
            problems.append(Problem("DBF_STRUCT", f"field {one.name}", one.kind, found))
    if problems:
        raise Refusal(problems)
    known = {one.name for one in layout.fields}
    return Plan(
        {
            name: tuple(Wanted(*there[one.name], one) for one in fields if one.name in there)
            for name, fields in layout.tables.items()
        },
        tuple(one.name for one in table.columns if one.name not in known),
    )


def batches(
    stream: BinaryIO, table: Table, wanted: Plan, *, skip_deleted: bool = False, workers: int = 1, piece: int = PIECE
) -> Iterator[Batch]:
    """All records in batches of about ``piece`` bytes, ``workers`` of them at a time, in the order of the file.

    Refuses ``DBF_FLAG``, ``DBF_DELETED``, and behind the last batch ``DBF_CODEPAGE`` when the letters of the whole
    file speak against the code page that its beginning had: take effect only after the last.
    """
    counts = np.zeros(256, dtype=np.int64)
    for batch in _made(stream, table, wanted, skip_deleted, workers, piece):
        counts += batch.counts
        yield batch
    if counts.any():
        check_page(table, counts)


def check_page(table: Table, counts: dbf_letters.Counts) -> None:
    """All letters of the file speak for the code page that it was read in, or ``DBF_CODEPAGE``."""
    found = dbf_letters.decide(table.mark, counts)
    if found != table.encoding:
        raise Refusal(Problem("DBF_CODEPAGE", "byte 29", table.encoding, found))


def _made(
    stream: BinaryIO, table: Table, wanted: Plan, skip_deleted: bool, workers: int, piece: int
) -> Iterator[Batch]:
    taken = blocks(stream, table, max(1, piece // table.record))
    if workers < 2 or table.records * table.record <= piece:
        for first, block in taken:
            yield make(first, block, table, wanted, skip_deleted)
        return
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(workers) as pool:  # numpy and arrow leave the interpreter's lock alone most of the time
        try:
            for first, block in taken:
                waiting.append(pool.submit(make, first, block, table, wanted, skip_deleted))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def make(first: int, block: Bytes, table: Table, wanted: Plan, skip_deleted: bool = False) -> Batch:
    """The records of one block, the first of which has this number, as typed columns."""
    alive = check_flags(first, block, skip_deleted=skip_deleted)
    numbers = np.arange(first, first + len(block), dtype=np.int32)
    if alive is not None:
        block, numbers = block[alive], numbers[alive]
    counts = np.zeros(256, dtype=np.int64)
    tables: dict[str, pa.RecordBatch] = {}
    faults: list[pa.RecordBatch] = []
    for name, fields in wanted.tables.items():
        columns = []
        for one in fields:
            made = convert(block[:, one.at : one.at + one.column.size], one.column, one.field, table.encoding)
            columns.append(made.column)
            if made.counts is not None:
                counts += made.counts
            faults += [
                _faults(rule, rows, block, name, one, table.encoding) for rule, rows in sorted(made.wrong.items())
            ]
        tables[name] = pa.RecordBatch.from_arrays(columns, [one.field.column for one in fields])
    whole = pa.Table.from_batches(faults, FAULTS).combine_chunks().to_batches()
    return Batch(pa.array(numbers), tables, whole[0] if whole else pa.RecordBatch.from_pylist([], FAULTS), counts)


def convert(matrix: Bytes, column: Column, wanted: DbfField, page: str) -> Made:
    """A field of many records (a record per row of ``matrix``) as the type that its layout wants; blank and wrong
    values are NULL, those beyond their limits stay."""
    if wanted.type in ("text", "code"):
        return dbf_text.flags(matrix, wanted) if column.type == "L" else dbf_text.texts(matrix, column, wanted, page)
    if wanted.type == "date":
        return dbf_numbers.dates(matrix, wanted) if column.size == 8 else dbf_numbers.written_dates(matrix, wanted)
    return dbf_numbers.numbers(matrix, column, wanted)


def _faults(rule: str, rows: Rows, block: Bytes, unit: str, one: Wanted, page: str) -> pa.RecordBatch:
    size = one.column.size
    flat = block[rows, one.at : one.at + size].tobytes()
    written = (flat[at : at + size].decode(page, "replace").strip(dbf_text.PADDING) for at in range(0, len(flat), size))
    count = len(rows)
    arrays = [
        pa.array([rule]).take(pa.array(np.zeros(count, dtype=np.int32))),
        pa.array([unit]).take(pa.array(np.zeros(count, dtype=np.int32))),
        pa.array(rows.astype(np.int64)),
        pa.array([one.field.name]).take(pa.array(np.zeros(count, dtype=np.int32))),
        pa.array([text[:SHOWN] for text in written], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=FAULTS)
