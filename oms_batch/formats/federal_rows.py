"""What the machine tells about a document → rows of the tables, with ordinals of the whole document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from oms_batch.errors import refuse
from oms_batch.formats.elements import ACCOUNTS, PLACED, Layout
from oms_batch.formats.federal_walk import SHOWN, Fault, Plan, Watch

Ints = npt.NDArray[np.int64]
PERSON = "l_pers"
FLUSH_ROWS = 50_000
LONGEST_RECORD = 64 * 1_048_576


@dataclass(slots=True)
class Table:
    """Rows of one table, ready to be inserted: ordinals from 1, 0 = none; columns as wide as the table in the base."""

    n: Ints
    up: Ints
    account: Ints
    line: Ints
    columns: dict[str, pa.Array]


@dataclass(slots=True)
class Rows:
    """Rows of one table as they come. ``count``: how many there were so far, ``flushed`` of them handed on."""

    name: str
    above: Rows | None
    inside: Rows | None  # the table of accounts in whose rows these stand
    person: Rows | None
    count: int = 0
    flushed: int = 0
    up: list[int] = field(default_factory=list)
    account: list[int] = field(default_factory=list)
    line: list[int] = field(default_factory=list)
    begin: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    columns: dict[str, tuple[list[int], list[Any]]] = field(default_factory=dict)

    @property
    def placed(self) -> bool:
        """Whether byte places are kept."""
        return self.name in PLACED

    def clear(self) -> None:
        """Forget what was handed on; the lists stay the same objects."""
        for one in (self.up, self.account, self.line, self.begin, self.end):
            one.clear()
        for where, values in self.columns.values():
            where.clear()
            values.clear()
        self.flushed = self.count


def plan_rows(layout: Layout, counts: Mapping[str, int]) -> tuple[Plan, dict[str, Rows]]:
    """The machine's plan of a layout with tables to fill; ``counts``: rows that those tables have already."""
    plan = Plan(layout.root, not layout.confirmed)
    tables: dict[str, Rows] = {}
    _set(plan, None, tables, counts)
    return plan, tables


def _set(plan: Plan, above: Rows | None, tables: dict[str, Rows], counts: Mapping[str, int]) -> None:
    one, rows = plan.one, above
    if one.starts_row:
        inside = above.inside if above is not None else None
        person = above.person if above is not None else None
        rows = Rows(one.table, above, inside, person, counts.get(one.table, 0), counts.get(one.table, 0))
        rows.inside = rows if one.table in ACCOUNTS else inside
        rows.person = rows if one.table == PERSON else person
        tables[one.table] = rows
    plan.rows = rows
    if one.facets is not None and rows is not None:
        plan.where, plan.values = rows.columns.setdefault(one.column, ([], []))
    for kid in plan.kids.values():
        _set(kid, rows, tables, counts)


class Collector(Watch):
    """Keeps rows and faults until there are enough of them, then hands them on: to ``flush`` at the end of a record,
    faults alone to ``tell`` at any time."""

    def __init__(self, layout: Layout, flush: Callable[[], None], tell: Callable[[], None]) -> None:
        super().__init__()
        self.record = layout.record.path
        self.record_at = -1  # where the record that is open begins
        self.flush = flush
        self.tell = tell
        self.fresh = 0
        self.data = b""  # the last bytes that the parser was given
        self.base = 0  # and where they begin in the document
        self.parts: dict[str, tuple[int, int]] = {}
        self.root_end = -1
        self.head_end = -1  # the end of the last child of the root before the records

    def see(self, data: bytes, at: int) -> None:
        """What the parser is going to get next; ``XML_LIMIT`` when a record has no end."""
        if 0 <= self.record_at < at - LONGEST_RECORD:
            raise refuse("XML_LIMIT", self.record, expected=LONGEST_RECORD)
        keep = self.data[-len(data) :] if self.base + len(self.data) == at else b""
        self.data, self.base = keep + data, at - len(keep)

    def begin(self, plan: Plan, line: int, at: int) -> None:
        rows: Rows = plan.rows
        rows.count += 1
        self.fresh += 1
        rows.up.append(rows.above.count if rows.above is not None else 0)
        rows.account.append(rows.inside.count if rows.inside is not None else 0)
        rows.line.append(line)
        if rows.placed and plan.judged is None:
            rows.begin.append(at)
        if plan.one.path == self.record:
            self.record_at = at

    def end(self, plan: Plan, at: int) -> None:
        if at < 0:
            return
        if plan.rows.placed:
            plan.rows.end.append(self._behind(plan, at))
        if plan.one.path == self.record:
            self.record_at = -1
            if self.fresh > FLUSH_ROWS:
                self.flush()
                self.fresh = 0
        if plan.one.parent is None:
            self.root_end = at

    def part(self, plan: Plan, at: int) -> None:
        self.parts.setdefault(plan.one.name.lower(), (at, at))

    def part_end(self, plan: Plan, at: int) -> None:
        name = plan.one.name.lower()
        if self.parts[name][0] == self.parts[name][1]:
            self.head_end = self._behind(plan, at)
            self.parts[name] = (self.parts[name][0], self.head_end)

    def _behind(self, plan: Plan, at: int) -> int:
        """The byte behind the end tag that begins at ``at``; what ends with its own tag has ended there."""
        place = at - self.base
        tag = self.data[place : self.data.find(b">", place) + 1]
        closing = tag[:-1].rstrip() == b"</" + plan.one.name.encode("ascii")
        return at + len(tag) if closing else at

    def fault(self, rule: str, plan: Plan, element: str, value: str, line: int) -> None:
        rows: Rows | None = plan.rows
        self.fresh += 1
        made = Fault(rule, element, value[:SHOWN], line)
        if rows is not None:
            made.table, made.row = rows.name, rows.count
            made.account = rows.inside.count if rows.inside is not None else 0
            made.person = rows.person.count if rows.person is not None else 0
        self.faults.append(made)
        if len(self.faults) > FLUSH_ROWS:
            self.tell()


def taken(rows: Rows, kinds: Mapping[str, pa.DataType], source: BinaryIO) -> Table:
    """The rows that have come since the last time, as arrays; forgets them."""
    count = rows.count - rows.flushed
    columns: dict[str, pa.Array] = {}
    for name, (where, values) in rows.columns.items():
        if values:
            columns[name] = _column(where, values, kinds[name], rows.flushed, count)
    if rows.placed:
        columns["byte_from"] = pa.array(rows.begin, pa.int64())
        columns["byte_to"] = pa.array(rows.end, pa.int64())
        if rows.name in ACCOUNTS:
            columns["digest"] = pa.array(_digests(source, rows.begin, rows.end), pa.string())
    up, account, line = (np.array(one, dtype=np.int64) for one in (rows.up, rows.account, rows.line))
    made = Table(np.arange(rows.flushed + 1, rows.count + 1, dtype=np.int64), up, account, line, columns)
    rows.clear()
    return made


def _column(where: list[int], values: list[Any], kind: pa.DataType, flushed: int, count: int) -> pa.Array:
    """Values at their rows; of two for one row the first in the document stays."""
    made = pa.array(values, pa.int32()).cast(kind) if pa.types.is_date(kind) else pa.array(values, kind)
    target = np.array(where, dtype=np.int64) - flushed - 1
    if len(target) == count and np.array_equal(target, np.arange(count)):
        return made
    index = np.full(count, -1, dtype=np.int64)
    index[target[::-1]] = np.arange(len(values))[::-1]
    return made.take(pa.array(index, mask=index < 0))


def _digests(source: BinaryIO, begin: list[int], end: list[int]) -> list[str]:
    """blake2b-16 of each stretch of the document, in hex: equal bytes, equal digest."""
    at = source.tell()
    made = []
    for start, stop in zip(begin, end, strict=True):
        source.seek(start)
        made.append(blake2b(source.read(stop - start), digest_size=16).hexdigest())
    source.seek(at)
    return made
