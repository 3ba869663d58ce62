"""Rows and faults of documents of federal form → the tables of the working DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from oms_batch.formats.element_values import SAME_KEY, TWICE, WRONG
from oms_batch.formats.elements import ACCOUNTS, Described, Layout, row_of
from oms_batch.formats.federal_head import HEADS, add_head
from oms_batch.formats.federal_rows import PERSON, Table
from oms_batch.formats.federal_walk import Fault
from oms_batch.formats.sink import FINDINGS, SPOT

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_ARROW = {"VARCHAR": pa.string(), "DATE": pa.date32(), "BIGINT": pa.int64(), "INTEGER": pa.int32()}
SURELY = (WRONG, TWICE, SAME_KEY)
UNKNOWN_PERSON, NO_CASE, MIXED = "S.00.0120", "S.00.0130", "S.00.0140"
_FOUND = ("rule", "run_pass", "severity", "unit", "n", "z_sl_n", "pers_n", "element", "value", "line", "refuses")
_FOUND_KINDS = (*[pa.string()] * 4, *[pa.int64()] * 3, pa.string(), pa.string(), pa.int32(), pa.string())


def arrow_kind(sql: str) -> pa.DataType:
    """The Arrow type of a column."""
    match = _DECIMAL.fullmatch(sql)
    return pa.decimal128(int(match[1]), int(match[2])) if match is not None else _ARROW[sql]


class Sink:
    """The tables of a profile in ``con``; ``counts``: rows per table so far."""

    def __init__(self, con: duckdb.DuckDBPyConnection, described: Described) -> None:
        self.con = con
        self.described = described
        self.kinds = {
            table: {name: arrow_kind(kind) for name, kind in columns.items()}
            for table, columns in described.columns.items()
        }
        self.counts: dict[str, int] = {}
        self.findings = 0
        self.created: list[str] = []

    def create(self) -> None:
        """All tables, empty, with ``spot`` and ``findings``."""
        made = {"findings": FINDINGS, "spot": SPOT, "heads": HEADS}
        for table, columns in self.described.columns.items():
            made[table] = (
                f'CREATE TABLE "{table}" ({", ".join(f"{chr(34)}{c}{chr(34)} {k}" for c, k in columns.items())})'
            )
        for table, statement in made.items():
            self.con.execute(statement)
            self.created.append(table)

    def drop(self) -> None:
        """Undo ``create`` and all that came after it; tables that stood there before stay."""
        for table in self.created:
            self.con.execute(f'DROP TABLE "{table}"')

    def mark(self) -> tuple[dict[str, int], int]:
        """How many rows there are; for ``back_to``."""
        return dict(self.counts), self.findings

    def back_to(self, mark: tuple[dict[str, int], int]) -> None:
        """Take back what came after the mark."""
        counts, self.findings = mark
        for table in self.counts:
            self.con.execute(f'DELETE FROM "{table}" WHERE n > {counts.get(table, 0)}')  # noqa: S608 - our names
        self.con.execute(f"DELETE FROM findings WHERE rowid >= {self.findings}")  # noqa: S608
        self.counts = counts

    def add(self, name: str, table: Table) -> None:
        """Insert rows."""
        rows = len(table.n)
        if not rows:
            return
        self.counts[name] = self.counts.get(name, 0) + rows
        data: dict[str, pa.Array] = {"n": pa.array(table.n), "line": pa.array(table.line).cast(pa.int32())}
        for column, numbers in (("up_n", table.up), ("z_sl_n", table.account)):
            data[column] = pa.array(numbers, mask=numbers == 0)
        self._insert(name, pa.table(data | table.columns))

    def add_faults(self, faults: Sequence[Fault], layout: Layout) -> None:
        """Structural findings. What is wrong above all rows belongs to the one row of the root. Where the layout is
        not confirmed, only what cannot be read, or stands where another is looked for, is more than a warning."""
        if not faults:
            return
        root = layout.root.table
        self.findings += len(faults)
        rows = []
        for one in faults:
            refuses = "account" if one.account else "person" if one.person else "register"
            place = (one.table or root, one.row or 1, one.account or None, one.person or None)
            severity = "reject" if layout.confirmed or one.rule in SURELY else "warn"
            rows.append((one.rule, "structure", severity, *place, one.element, one.value, one.line, refuses))
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), _FOUND_KINDS, strict=True)]
        self._insert("findings", pa.table(dict(zip(_FOUND, columns, strict=True))))

    def add_spots(self, spots: Mapping[str, tuple[int, int]]) -> None:
        """Places for splicing."""
        self.con.executemany("INSERT INTO spot VALUES (?, ?, ?)", [(what, *place) for what, place in spots.items()])

    def _insert(self, table: str, data: pa.Table) -> None:
        self.con.register("_incoming", data)
        names = ", ".join(f'"{name}"' for name in data.schema.names)
        self.con.execute(f'INSERT INTO "{table}" ({names}) SELECT {names} FROM _incoming')  # noqa: S608 - our names
        self.con.unregister("_incoming")

    def check_keys(self, layout: Layout) -> None:
        """A finding for each row whose key stands in another row before it, within the scope of the key."""
        for one in layout.elements.values():
            if not one.unique:
                continue
            parts = f'"{one.column}"' if layout.elements[one.unique].parent is None else f'up_n, "{one.column}"'
            table = row_of(one)
            doubled = f'SELECT {parts} FROM "{table}" WHERE "{one.column}" IS NOT NULL GROUP BY ALL HAVING count(*) > 1'  # noqa: S608
            if not self.con.execute(f"SELECT 1 FROM ({doubled}) LIMIT 1").fetchall():  # noqa: S608
                continue
            rows = self.con.execute(
                f"""SELECT n, z_sl_n, "{one.column}", line FROM "{table}" WHERE "{one.column}" IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY {parts} ORDER BY n) > 1 ORDER BY n"""  # noqa: S608
            ).fetchall()
            faults = [
                Fault(SAME_KEY, one.path, str(key), line, table, n, account or 0, n if table == PERSON else 0)
                for n, account, key, line in rows
            ]
            self.add_faults(faults, layout)

    def add_head(self, layout: Layout, role: str, before: dict[str, int]) -> None:
        """What the member says of itself."""
        add_head(self.con, self.described, layout, role, before)

    def link_persons(self) -> None:
        """Records whose person the file of persons lacks, persons without a record, first and corrected together."""
        if not self.counts.get("zap"):
            return
        if self.counts.get("l_register"):
            self.con.execute(
                f"""INSERT INTO findings SELECT '{UNKNOWN_PERSON}', 'structure', 'reject', 'zap', n, NULL, NULL,
                'ZL_LIST/ZAP/PACIENT/ID_PAC', id_pac, line, 'register' FROM zap
                WHERE id_pac IS NOT NULL AND id_pac NOT IN (SELECT id_pac FROM l_pers WHERE id_pac IS NOT NULL)"""
            )
            self.con.execute(
                f"""INSERT INTO findings SELECT '{NO_CASE}', 'structure', 'warn', 'l_pers', n, NULL, NULL,
                'PERS_LIST/PERS/ID_PAC', id_pac, line, 'person' FROM l_pers
                WHERE id_pac IS NOT NULL AND id_pac NOT IN (SELECT id_pac FROM zap WHERE id_pac IS NOT NULL)"""
            )
        if "pr_nov" in self.kinds["zap"]:
            self.con.execute(
                f"""INSERT INTO findings SELECT '{MIXED}', 'structure', 'warn', 'register', 1, NULL, NULL,
                'ZL_LIST/ZAP/PR_NOV', NULL, min(line), 'register' FROM zap HAVING count(DISTINCT pr_nov) > 1"""
            )

    def give_to_accounts(self) -> None:
        """What is wrong with a record around its accounts (its number, the patient) is a finding of each of them."""
        present = [table for table in ACCOUNTS if self.counts.get(table)]
        for table in present:
            self.con.execute(
                f"""CREATE TEMP TABLE _shared AS SELECT f.rowid AS place, a.n AS account FROM findings f
                JOIN "{table}" a ON a.up_n = f.n WHERE f.unit = 'zap' AND f.z_sl_n IS NULL"""  # noqa: S608
            )
            names = ", ".join(_FOUND)
            told = names.replace("z_sl_n", "s.account").replace("refuses", "'account'")
            self.con.execute(
                f"INSERT INTO findings ({names}) SELECT {told} FROM _shared s JOIN findings f ON f.rowid = s.place"  # noqa: S608
            )
            self.con.execute("DELETE FROM findings WHERE rowid IN (SELECT place FROM _shared)")
            self.con.execute("DROP TABLE _shared")
        row = self.con.execute("SELECT count(*) FROM findings").fetchone()
        self.findings = int(row[0]) if row else 0
