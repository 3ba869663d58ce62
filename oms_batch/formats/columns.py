"""What was met in a piece of a document → typed Arrow columns of the tables, and structural findings.

Ordinals here count from 0 within the piece; the reader adds what came before. All work is per column
and per shape, never per element, except where something is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from oms_batch.formats import values
from oms_batch.formats.layout import Field, Layout, Node

Ints = npt.NDArray[np.int64]
MISSING, EXTRA, WRONG, LONG, DUPLICATE, ELSEWHERE = (f"S.00.00{n}0" for n in range(1, 7))
Part = tuple[Ints, Ints, pa.Array]  # of a column: its rows, the ordinals of the occurrences, the values
SHOWN = 200  # characters of a bad value that a finding keeps
ACCOUNT, PERSON, ROOT = "z_sl", "pers", "register"


@dataclass(slots=True)
class Group:
    """Occurrences of one element with the same attribute names; ``columns[j][i]`` is attribute j of ``at[i]``."""

    names: tuple[str, ...]
    at: Ints
    columns: list[pa.Array]


@dataclass(slots=True)
class Seen:
    """All occurrences of one element; ``ups`` are the ordinals of their parents, ``lines`` only for rows."""

    node: Node
    ups: Ints
    lines: Ints
    groups: list[Group]


@dataclass(slots=True)
class Fault:
    """A structural finding with piece-local ordinals (-1: none)."""

    rule: str
    unit: str
    n: int
    account: int
    person: int
    element: str
    value: str
    line: int


@dataclass(slots=True)
class Batch:
    """Typed columns per table (without ordinals), the ordinals, and the findings of one piece."""

    columns: dict[str, dict[str, pa.Array]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    up: dict[str, Ints] = field(default_factory=dict)
    account: dict[str, Ints] = field(default_factory=dict)
    person: dict[str, Ints] = field(default_factory=dict)
    lines: dict[str, Ints] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


ARROW = {"text": pa.string(), "code": pa.string(), "date": pa.date32(), "money": pa.int64(), "int": pa.int32()}


def arrow_type(one: Field) -> pa.DataType:
    """The column type of an attribute."""
    return pa.decimal128(one.size, one.scale) if one.type == "quantity" else ARROW[one.type]


class Builder:
    """Builds batches for one layout; keeps the memories of parsed values between pieces."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        every = [one for fields in layout.tables.values() for one in fields]
        self.readers = {(one.table, one.column): values.reader(one) for one in every}
        self.types = frozenset().union(*(node.vg for node in layout.nodes.values()))

    def build(self, seen: dict[str, Seen], strays: list[tuple[str, int, str, int]], exotic: bool) -> Batch:
        """``seen`` by path in document order of the layout; ``strays``: unknown elements (parent's path and ordinal,
        own name, line); ``exotic``: the piece may hold characters that are no plain letters or digits."""
        batch = Batch()
        rows: dict[str, tuple[str, Ints]] = {}
        for path, one in seen.items():
            rows[path] = self._place(batch, one, seen, rows)
        parts: dict[tuple[str, str], list[Part]] = {}
        for path, one in seen.items():
            self._structure(batch, one, rows[path])
            for group in one.groups:
                self._group(batch, one, group, rows[path], parts, exotic)
        for table, count in batch.rows.items():
            for attribute in self.layout.tables[table]:
                found = parts.get((table, attribute.column), [])
                batch.columns.setdefault(table, {})[attribute.column] = _scatter(found, count, arrow_type(attribute))
        for path, n, name, line in strays:
            table, row = rows[path]
            label = self.layout.nodes[path].label
            self._fault(batch, EXTRA, table, int(row[n]) if len(row) else 0, f"{label}/{name}", "", line)
        self._register_types(batch, seen, rows)
        _derive(batch)
        return batch

    def _place(
        self, batch: Batch, one: Seen, seen: dict[str, Seen], rows: dict[str, tuple[str, Ints]]
    ) -> tuple[str, Ints]:
        """The table in whose row each occurrence stands, and the ordinal of that row."""
        node = one.node
        above = rows.get(node.parent.path) if node.parent is not None else None
        table, up = (above[0], above[1][one.ups]) if above is not None and len(above[1]) else ("", one.ups)
        if not node.table:
            return table, up
        count = len(one.ups)
        batch.rows[node.table] = count
        batch.up[node.table] = up
        batch.lines[node.table] = one.lines
        own = np.arange(count, dtype=np.int64)
        nothing = np.full(count, -1, dtype=np.int64)
        for top, links in ((ACCOUNT, batch.account), (PERSON, batch.person)):
            links[node.table] = own if node.table == top else links[table][up] if table in links else nothing
        return node.table, own

    def _fault(self, batch: Batch, rule: str, table: str, row: int, element: str, value: str, line: int = 0) -> None:
        if not table:
            batch.faults.append(Fault(rule, ROOT, 0, -1, -1, element, value[:SHOWN], line))
            return
        account, person = int(batch.account[table][row]), int(batch.person[table][row])
        at = line or int(batch.lines[table][row])
        batch.faults.append(Fault(rule, table, row, account, person, element, value[:SHOWN], at))

    def _structure(self, batch: Batch, one: Seen, placed: tuple[str, Ints]) -> None:
        """Elements that stand twice, and elements without any attribute that need some."""
        node, (table, row) = one.node, placed
        if not node.multiple and len(one.ups):
            _, first = np.unique(one.ups, return_index=True)
            again = np.ones(len(one.ups), dtype=bool)
            again[first] = False
            for i in np.flatnonzero(again):
                self._fault(batch, DUPLICATE, table, int(row[i]), node.label, "")
        needed = [name for name, attribute in node.fields.items() if attribute.required]
        if needed and sum(len(group.at) for group in one.groups) < len(one.ups):
            bare = np.ones(len(one.ups), dtype=bool)
            for group in one.groups:
                bare[group.at] = False
            for i in np.flatnonzero(bare):
                for name in needed:
                    self._fault(batch, MISSING, table, int(row[i]), f"{node.label}/@{name}", "")

    def _group(
        self,
        batch: Batch,
        one: Seen,
        group: Group,
        placed: tuple[str, Ints],
        parts: dict[tuple[str, str], list[Part]],
        exotic: bool,
    ) -> None:
        node, (table, row) = one.node, placed
        target = row[group.at]
        for name, attribute in node.fields.items():
            if attribute.required and name not in group.names:
                for n in target:
                    self._fault(batch, MISSING, table, int(n), f"{node.label}/@{name}", "")
        for name, column in zip(group.names, group.columns, strict=True):
            known = node.fields.get(name)
            if known is None:
                for i, n in enumerate(target):
                    self._fault(batch, EXTRA, table, int(n), f"{node.label}/@{name}", column[i].as_py())
                continue
            typed, wrong = convert(known, column, self.readers[known.table, known.column], exotic)
            for rule, i in wrong:
                self._fault(batch, rule, table, int(target[i]), f"{node.label}/@{name}", column[i].as_py())
            parts.setdefault((known.table, known.column), []).append((target, group.at, typed))

    def _register_types(self, batch: Batch, seen: dict[str, Seen], rows: dict[str, tuple[str, Ints]]) -> None:
        """Elements that the account's register type (``vg``) does not have."""
        kinds = batch.columns.get(ACCOUNT, {}).get("vg")
        if kinds is None:
            return
        known = pc.is_in(kinds, value_set=pa.array(sorted(self.types))).to_numpy(zero_copy_only=False)
        for path, one in seen.items():
            if not one.node.vg or not len(one.ups):
                continue
            table, row = rows[path]
            allowed = pc.is_in(kinds, value_set=pa.array(sorted(one.node.vg))).to_numpy(zero_copy_only=False)
            account = batch.account[table][row]
            shown = kinds.take(pa.array(account))
            for i in np.flatnonzero(known[account] & ~allowed[account]):
                self._fault(batch, ELSEWHERE, table, int(row[i]), one.node.label, shown[int(i)].as_py())


def convert(
    one: Field, column: pa.Array, memory: values.Typed | None, exotic: bool
) -> tuple[pa.Array, list[tuple[str, int]]]:
    """A column of text → (typed column with NULL for blank and bad, [(rule, position)])."""
    wrong: list[tuple[str, int]] = []
    if one.required:
        blank = pc.equal(column, "")
        if pc.any(blank).as_py():
            wrong.extend((MISSING, int(i)) for i in np.flatnonzero(blank.to_numpy(zero_copy_only=False)))
    if memory is None:
        return _text(one, column, exotic, wrong), wrong
    coded = column.dictionary_encode()
    if one.type == "money" and (kopecks := _kopecks(coded.dictionary)) is not None:
        return kopecks.take(coded.indices), wrong
    memory.trim()
    distinct = coded.dictionary.to_pylist()
    typed = [memory[text] for text in distinct]
    if memory.bad and (bad := [i for i, text in enumerate(distinct) if text in memory.bad]):
        places = np.flatnonzero(np.isin(coded.indices.to_numpy(), bad))
        wrong.extend((WRONG, int(i)) for i in places)
    kind = arrow_type(one)
    made = pa.array(typed, pa.int32()).cast(kind) if one.type == "date" else pa.array(typed, kind)
    return made.take(coded.indices), wrong


def _kopecks(texts: pa.Array) -> pa.Array | None:
    """Sums that are all plain → kopecks at once; ``None`` when one is blank or odd: then each is looked at."""
    if not pc.all(pc.match_substring_regex(texts, values.PLAIN_MONEY)).as_py():
        return None
    decimals = texts.cast(pa.decimal128(17, 2))  # exact; the low half of its 128 bits is the number of kopecks
    halves = np.frombuffer(decimals.buffers()[1], dtype=np.int64)[0::2]
    return pa.array(halves[decimals.offset : decimals.offset + len(decimals)])


def _text(one: Field, column: pa.Array, exotic: bool, wrong: list[tuple[str, int]]) -> pa.Array:
    long = pc.greater(pc.utf8_length(column), one.size)
    if pc.any(long).as_py():
        wrong.extend((LONG, int(i)) for i in np.flatnonzero(long.to_numpy(zero_copy_only=False)))
    suspect: Ints | None = None
    if exotic:
        suspect = np.arange(len(column), dtype=np.int64)
    elif one.type == "code":
        edge = pc.or_(pc.starts_with(column, " "), pc.ends_with(column, " "))
        if pc.any(edge).as_py():
            suspect = np.flatnonzero(edge.to_numpy(zero_copy_only=False))
    if suspect is not None:
        fits = values.code_ok if one.type == "code" else values.text_ok
        wrong.extend((WRONG, int(i)) for i in suspect if not fits(column[int(i)].as_py()))
    blank = pc.equal(column, "")
    return pc.if_else(blank, pa.scalar(None, pa.string()), column) if pc.any(blank).as_py() else column


def _scatter(parts: list[Part], count: int, kind: pa.DataType) -> pa.Array:
    """One column from the parts of its shapes; of two values for one row the first in the document stays."""
    if not parts:
        return pa.nulls(count, kind)
    if len(parts) == 1:
        target, _, typed = parts[0]
        if len(target) == count and np.array_equal(target, np.arange(count)):
            return typed
    index = np.full(count, -1, dtype=np.int64)
    targets = np.concatenate([target for target, _, _ in parts])
    last_first = np.argsort(np.concatenate([at for _, at, _ in parts]), kind="stable")[::-1]
    index[targets[last_first]] = last_first
    whole = pa.concat_arrays([typed for _, _, typed in parts])
    return whole.take(pa.array(index, mask=index < 0))


def _derive(batch: Batch) -> None:
    """Main diagnosis and sums of accounts, sums of services: facts that every rule and answer needs."""
    if ACCOUNT not in batch.rows:
        return
    columns = batch.columns
    kinds = ((ACCOUNT, "z_sl_sum", "sumv", "sump"), ("usl", "usl_sum", "sumv_usl", "sump_usl"))
    for owner, part, claimed, accepted in kinds:
        for name, source in ((claimed, "suml"), (accepted, "sum_acc")):
            columns[owner][name] = _totals(batch, owner, part, source)
    first = np.full(batch.rows[ACCOUNT], -1, dtype=np.int64)
    main = np.flatnonzero(pc.fill_null(pc.equal(columns["ds"]["ds_type"], "1"), False).to_numpy(zero_copy_only=False))
    first[batch.up["ds"][main][::-1]] = main[::-1]
    columns[ACCOUNT]["ds1"] = columns["ds"]["mkb"].take(pa.array(first, mask=first < 0))


def _totals(batch: Batch, owner: str, part: str, source: str) -> pa.Array:
    """Kopecks per owner row; NULL where there is no part or one without a valid sum."""
    count, up = batch.rows[owner], batch.up[part]
    money: Any = batch.columns[part][source]
    total = np.zeros(count, dtype=np.int64)
    np.add.at(total, up, money.fill_null(0).to_numpy(zero_copy_only=False))
    valid = np.bincount(up, minlength=count) > 0
    valid[up[money.is_null().to_numpy(zero_copy_only=False)]] = False
    return pa.array(total, mask=~valid)
