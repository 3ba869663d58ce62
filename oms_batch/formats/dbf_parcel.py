"""A parcel of DBF files → the raw tables of their layouts in the working database. All or nothing.

``rules/<profile>/profile.toml`` may have ``[dbf]``: ``deleted = "refuse"|"skip"`` (records marked as deleted) and
``empty = "accept"|"refuse"`` (a file without records; a list of member roles refuses only those).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from oms_batch import clock
from oms_batch.errors import Fault, SetupError, refuse
from oms_batch.exchange import Profile
from oms_batch.formats import dbf_bulk, dbf_layout
from oms_batch.formats.dbf_gate import Table, check
from oms_batch.formats.reading import ReadLimits, ReadResult
from oms_batch.formats.sink import FINDINGS, FLUSH_BYTES, SPOT

EXTRA = "S.00.0090"
ROOT = "register"
RUN_PASS = "structure"


def read_members(
    members: Mapping[str, BinaryIO],
    layouts: Mapping[str, str],
    profile: Profile,
    con: duckdb.DuckDBPyConnection,
    *,
    workers: int = 1,
    limits: ReadLimits | None = None,
) -> ReadResult:
    """Read the members of a parcel (role → seekable stream) by their layouts (role → name) into ``con``.

    Creates the tables of all DBF layouts of the profile, those of absent members empty: ``n`` (from 1), ``up_n`` and
    ``z_sl_n`` (NULL), ``line`` (the record's number in its file) and the columns of the layout; ``spot`` (empty) and
    ``findings``, whose ``z_sl_n`` and ``pers_n`` stay NULL for the profile's own script to fill, ``unit`` is the raw
    table and ``n`` its row. Raises ``Refusal`` (``DBF_…``), then leaving nothing. The result counts rows per table.
    """
    began = clock.monotonic()
    if unknown := set(members) - set(layouts):
        raise Fault(f"dbf: no layout for member {min(unknown)}")
    sink = _Sink(con, dbf_layout.describe(profile.rules, profile.id))
    pages, size = set(), 0
    try:
        sink.create()
        for role, stream in members.items():
            layout = dbf_layout.load_dbf_layout(profile.rules, profile.id, layouts[role])
            table = _gate(stream, role, profile)
            pages.add(table.encoding)
            size += table.header + table.records * table.record
            _read_one(stream, table, layout, sink, profile, workers, limits)
            sink.flush()
    except BaseException:
        sink.drop()
        raise
    found = "|".join(sorted(pages))
    return ReadResult(found, 0, 0, size, clock.monotonic() - began, sink.findings, dict(sink.rows))


def _gate(stream: BinaryIO, role: str, profile: Profile) -> Table:
    table = check(stream)
    empty = profile.data.get("dbf", {}).get("empty", "accept")
    if not table.records and (empty == "refuse" or (isinstance(empty, list) and role in empty)):
        raise refuse("DBF_COUNT", f"member {role}", expected="> 0", found=0)
    return table


def _read_one(
    stream: BinaryIO,
    table: Table,
    layout: dbf_layout.DbfLayout,
    sink: _Sink,
    profile: Profile,
    workers: int,
    limits: ReadLimits | None,
) -> None:
    deleted = profile.data.get("dbf", {}).get("deleted", "refuse")
    if deleted not in ("refuse", "skip"):
        raise SetupError(f"{profile.id}/profile.toml: dbf.deleted is refuse or skip")
    wanted = dbf_bulk.plan(table, layout)
    sink.tell_extra(wanted.extra)
    piece = limits.piece if limits is not None else dbf_bulk.PIECE
    for batch in dbf_bulk.batches(stream, table, wanted, skip_deleted=deleted == "skip", workers=workers, piece=piece):
        sink.add(batch)


class _Sink:
    """Collects batches and inserts them when there are enough; knows what to take back."""

    def __init__(self, con: duckdb.DuckDBPyConnection, tables: Mapping[str, Mapping[str, str]]) -> None:
        self.con = con
        self.tables = tables
        self.rows = dict.fromkeys(tables, 0)
        self.findings = 0
        self.waiting: dict[str, list[pa.RecordBatch]] = {}
        self.bytes = 0
        self.created: list[str] = []

    def create(self) -> None:
        statements = {"findings": FINDINGS, "spot": SPOT}
        for table, columns in self.tables.items():
            body = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
            statements[table] = f'CREATE TABLE "{table}" ({body})'
        for table, statement in statements.items():
            self.con.execute(statement)
            self.created.append(table)

    def drop(self) -> None:
        for table in self.created:
            self.con.execute(f'DROP TABLE "{table}"')

    def tell_extra(self, names: tuple[str, ...]) -> None:
        """Columns that the layout does not know: one warning each, for the register as a whole."""
        if not names:
            return
        same = {"rule": EXTRA, "unit": ROOT, "severity": "warn", "refuses": ROOT}
        row = {name: [value] * len(names) for name, value in same.items()}
        self._keep("findings", pa.RecordBatch.from_pydict({**row, "element": list(names)}))
        self.findings += len(names)

    def add(self, batch: dbf_bulk.Batch) -> None:
        base = dict(self.rows)
        count = len(batch.records)
        for table, columns in batch.tables.items():
            n = pa.array(np.arange(base[table] + 1, base[table] + count + 1, dtype=np.int64))
            arrays = {"n": n, "line": batch.records, **dict(zip(columns.schema.names, columns.columns, strict=True))}
            self._keep(table, pa.RecordBatch.from_pydict(arrays))
            self.rows[table] += count
        if batch.faults.num_rows:
            self._keep("findings", self._findings(batch, base))
            self.findings += batch.faults.num_rows
        if self.bytes > FLUSH_BYTES:
            self.flush()

    def _findings(self, batch: dbf_bulk.Batch, base: Mapping[str, int]) -> pa.RecordBatch:
        faults = batch.faults
        firsts = pa.array([base[unit] for unit in faults.column("unit").to_pylist()], pa.int64())
        count = faults.num_rows
        arrays = {name: faults.column(name) for name in ("rule", "unit", "element", "value")}
        arrays["n"] = pc.add(pc.add(faults.column("at"), firsts), 1)
        arrays["line"] = batch.records.take(faults.column("at"))
        arrays["severity"], arrays["refuses"] = pa.array(["reject"] * count), pa.array(["account"] * count)
        return pa.RecordBatch.from_pydict(arrays)

    def _keep(self, table: str, batch: pa.RecordBatch) -> None:
        self.waiting.setdefault(table, []).append(batch)
        self.bytes += batch.nbytes

    def flush(self) -> None:
        for table, batches in self.waiting.items():
            for batch in [pa.Table.from_batches(batches)] if table != "findings" else batches:
                self._insert(table, batch)
        self.waiting.clear()
        self.bytes = 0

    def _insert(self, table: str, data: pa.Table | pa.RecordBatch) -> None:
        # what nobody filled needs no column: many fields of a file are never used
        data = data.select([name for name in data.schema.names if data.column(name).null_count < data.num_rows])
        extra = ", run_pass" if table == "findings" else ""
        value = f", '{RUN_PASS}'" if extra else ""
        names = ", ".join(f'"{name}"' for name in data.schema.names)
        self.con.register("_incoming", data)
        self.con.execute(f'INSERT INTO "{table}" ({names}{extra}) SELECT {names}{value} FROM _incoming')  # noqa: S608
        self.con.unregister("_incoming")
