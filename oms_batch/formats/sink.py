"""Arrow batches → the tables of the working DuckDB; local ordinals become ordinals of the register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from oms_batch.formats import columns
from oms_batch.formats.layout import Field, Layout, Node

FLUSH_BYTES = 64 * 1_048_576
MOST_FOUND = 50_000  # findings kept back before they are inserted
SQL = {"text": "VARCHAR", "code": "VARCHAR", "date": "DATE", "money": "BIGINT", "int": "INTEGER"}
MORE = {  # columns that are not in the file: sums, geometry, links
    "pers": ["byte_from", "byte_to", "accounts_from", "accounts_to"],
    "z_sl": ["sumv", "sump", "ds1", "byte_from", "byte_to", "digest", "pers_n"],
    "usl": ["sumv_usl", "sump_usl"],
}
TEXTS = ("ds1", "digest")
SPOT = "CREATE TABLE spot (what VARCHAR, byte_from BIGINT, byte_to BIGINT)"
FINDINGS = """CREATE TABLE findings (rule VARCHAR, run_pass VARCHAR, severity VARCHAR, unit VARCHAR,
    n BIGINT, z_sl_n BIGINT, pers_n BIGINT, element VARCHAR, value VARCHAR, line INTEGER, refuses VARCHAR)"""


class Sink:
    """Collects batches and inserts them when there are enough."""

    def __init__(self, con: duckdb.DuckDBPyConnection, layout: Layout) -> None:
        self.con = con
        self.layout = layout
        self.rows = dict.fromkeys(layout.tables, 0)
        self.findings = 0
        self.found: list[tuple[object, ...]] = []
        self.waiting: dict[str, list[pa.RecordBatch]] = {}
        self.bytes = 0
        self.created = False
        self.parent = {node.table: _row_above(node) for node in layout.nodes.values() if node.table}

    def create(self) -> None:
        """All tables of the layout, empty, and ``spot`` and ``findings``."""
        statements = [FINDINGS, SPOT]
        for table, fields in self.layout.tables.items():
            kinds = {one.column: _sql(one) for one in fields}
            kinds |= {name: "VARCHAR" if name in TEXTS else "BIGINT" for name in MORE.get(table, [])}
            body = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
            statements.append(f"CREATE TABLE {table} (n BIGINT, up_n BIGINT, z_sl_n BIGINT, line INTEGER, {body})")
        self.con.execute("BEGIN")
        try:
            for statement in statements:
                self.con.execute(statement)
        except BaseException:
            self.con.execute("ROLLBACK")
            raise
        self.con.execute("COMMIT")
        self.created = True

    def drop(self) -> None:
        """Undo ``create`` and all that came after it; tables that stood there before stay."""
        for table in [*self.layout.tables, "spot", "findings"] if self.created else []:
            self.con.execute(f"DROP TABLE {table}")

    def add(self, tables: Mapping[str, pa.RecordBatch], faults: Sequence[columns.Fault]) -> None:
        """The batches of one piece, and its findings."""
        base = dict(self.rows)
        for table, batch in tables.items():
            self.waiting.setdefault(table, []).append(self._numbered(table, batch, base))
            self.rows[table] = base[table] + batch.num_rows
            self.bytes += batch.nbytes
        if faults:
            self._add_findings(faults, base)
        if self.bytes > FLUSH_BYTES:
            self._flush()

    def _numbered(self, table: str, batch: pa.RecordBatch, base: Mapping[str, int]) -> pa.RecordBatch:
        above = self.parent[table]
        arrays = {name: batch.column(name) for name in batch.schema.names}
        arrays["n"] = pc.add(arrays["n"], base[table] + 1)
        if not above:
            arrays["up_n"] = pa.nulls(batch.num_rows, pa.int64())
        elif above == columns.ROOT:
            arrays["up_n"] = pa.array([1] * batch.num_rows, pa.int64())
        else:
            arrays["up_n"] = pc.add(arrays["up_n"], base[above] + 1)
        account = arrays["z_sl_n"]
        inside = pc.greater_equal(account, 0)
        arrays["z_sl_n"] = pc.if_else(inside, pc.add(account, base[columns.ACCOUNT] + 1), pa.scalar(None, pa.int64()))
        if "pers_n" in arrays:
            arrays["pers_n"] = pc.add(arrays["pers_n"], base[columns.PERSON] + 1)
        return pa.RecordBatch.from_pydict(arrays)

    def _add_findings(self, faults: Sequence[columns.Fault], base: Mapping[str, int]) -> None:
        for one in faults:
            account = base[columns.ACCOUNT] + one.account + 1 if one.account >= 0 else None
            person = base[columns.PERSON] + one.person + 1 if one.person >= 0 else None
            refuses = "account" if account else "person" if person else "register"
            n = base[one.unit] + one.n + 1
            place = (one.unit, n, account, person, one.element, one.value, one.line)
            self.found.append((one.rule, "structure", "reject", *place, refuses))
        self.findings += len(faults)
        if len(self.found) > MOST_FOUND:
            self._flush_findings()

    def _flush_findings(self) -> None:
        rows, self.found = self.found, []
        if not rows:
            return
        names = ("rule", "run_pass", "severity", "unit", "n", "z_sl_n", "pers_n", "element", "value", "line", "refuses")
        kinds = (*[pa.string()] * 4, *[pa.int64()] * 3, pa.string(), pa.string(), pa.int32(), pa.string())
        arrays = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
        self._insert("findings", pa.table(dict(zip(names, arrays, strict=True))))

    def add_spots(self, spots: Mapping[str, tuple[int, int]]) -> None:
        """Places for splicing."""
        self.con.executemany("INSERT INTO spot VALUES (?, ?, ?)", [(what, *place) for what, place in spots.items()])

    def _flush(self) -> None:
        self._flush_findings()
        for table, batches in self.waiting.items():
            self._insert(table, pa.Table.from_batches(batches))
        self.waiting.clear()
        self.bytes = 0

    def _insert(self, table: str, data: pa.Table) -> None:
        # what nobody filled needs no column: most elements of the layout are rare
        data = data.select([name for name in data.schema.names if data.column(name).null_count < data.num_rows])
        self.con.register("_incoming", data)
        names = ", ".join(f'"{name}"' for name in data.schema.names)
        self.con.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM _incoming")  # noqa: S608 - names of the layout
        self.con.unregister("_incoming")

    def finish(self) -> dict[str, int]:
        """Insert what is waiting; rows per table and ``findings``."""
        self._flush()
        return {**self.rows, "findings": self.findings}


def _sql(one: Field) -> str:
    return f"DECIMAL({one.size},{one.scale})" if one.type == "quantity" else SQL[one.type]


def _row_above(node: Node) -> str:
    above = node.parent
    while above is not None and not above.table:
        above = above.parent
    return above.table if above is not None else ""
