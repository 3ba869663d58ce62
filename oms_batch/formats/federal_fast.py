"""Reading a big document of federal form: head and tail by the machine, the records between them in pieces by arrays.

Records that the arrays are not sure of go through the machine one by one. Whatever goes wrong on the way, ``Declined``
is raised, and the document is read again from its beginning by the machine alone, which then says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO
from xml.parsers import expat

import numpy as np
import pyarrow as pa

from oms_batch.errors import Refusal
from oms_batch.formats import geometry, strict
from oms_batch.formats.elements import ACCOUNTS, PLACED, Layout
from oms_batch.formats.federal_columns import column, unescaped
from oms_batch.formats.federal_rows import LONGEST_RECORD, Collector, Rows, Table
from oms_batch.formats.federal_sink import Sink
from oms_batch.formats.federal_tokens import Ints, Level, Tokenizer
from oms_batch.formats.federal_walk import Judged, Machine
from oms_batch.formats.tokens import Unsure

LONGEST_HEAD = 1_048_576
MOST_CUTS = 12  # records of one piece that are read apart
DEEPEST_CUT = 3


class Declined(Exception):
    """Not this way."""


class Fast:
    """Reads records for one machine; ``kinds``: Arrow types of the columns."""

    def __init__(self, machine: Machine, watch: Collector, sink: Sink, tables: Mapping[str, Rows]) -> None:
        self.machine = machine
        self.watch = watch
        self.sink = sink
        self.tables = tables
        self.layout: Layout = machine.layout
        self.tokenizer = Tokenizer(self.layout)
        self.judged = {one.path: Judged(one) for one in self.layout.elements.values() if one.facets is not None}
        name = self.layout.record.name.encode("ascii")
        self.opening = re.compile(rb"<" + name + rb"(?=[\s/>])")
        self.closing = b"</" + name + b">"
        self.root = self.layout.root.name.encode("ascii")

    def read(self, stream: BinaryIO, encodings: Sequence[str], piece: int) -> str:
        """The whole document; gives its encoding."""
        stream.seek(0)
        head = stream.read(LONGEST_HEAD)
        try:
            encoding = strict.encoding_of(head[: strict.HEAD], encodings)
            return self._read(stream, head, encoding, piece)
        except (Refusal, expat.ExpatError, UnicodeError) as error:
            raise Declined from error

    def _read(self, stream: BinaryIO, head: bytes, encoding: str, piece: int) -> str:
        first = self.opening.search(head)
        if first is None:
            raise Declined
        parser = self.machine.parser(encoding)
        self.watch.see(head[: first.start()], 0)
        parser.Parse(head[: first.start()], False)
        if self.machine.here is not self.machine.plan or self.machine.stack:
            raise Declined
        pairs = [strict.utf8_pairs(head[: first.start()])]
        end, line = first.start(), strict.newlines(head[: first.start()])
        skipped = 0
        for data in _pieces(stream, end, piece, self.closing, b"</" + self.root):
            self._piece(stream, data, end, line, encoding, 0)
            pairs.append(strict.utf8_pairs(data) if encoding != "utf-8" else (0, 0))
            end, more = end + len(data), strict.newlines(data)
            line, skipped = line + more, skipped + more
        self.machine.driver, self.machine.shift, self.machine.lines = parser, end - first.start(), skipped
        stream.seek(end)
        tail = stream.read(LONGEST_HEAD)
        if stream.read(1):
            raise Declined
        self.watch.see(tail, end)
        parser.Parse(tail, True)
        if strict.is_mojibake(sum(high for high, _ in pairs), sum(paired for _, paired in pairs)):
            raise Declined
        return encoding

    def _piece(self, stream: BinaryIO, data: bytes, offset: int, line: int, encoding: str, cut: int) -> None:
        """Records from ``offset`` on, where ``line`` lines lie before."""
        if not data:
            return
        if cut > DEEPEST_CUT or self.machine.last > self.layout.record.rank:
            self._plain(data, offset, line, encoding)
            return
        try:
            levels, strings, escaped = self.tokenizer.read(data, encoding)
            self._rows(levels, strings, escaped, data, offset, line)
        except Unsure as unsure:
            for start, stop, plain in self._apart(data, unsure.places):
                part, before = data[start:stop], line + strict.newlines(data[:start])
                self._piece(stream, part, offset + start, before, encoding, DEEPEST_CUT + 1 if plain else cut + 1)

    def _apart(self, data: bytes, places: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
        """Stretches of a piece: the records around these places, for the machine, and what lies between them."""
        cuts: list[tuple[int, int]] = []
        for at in sorted(places):
            if cuts and at < cuts[-1][1]:
                continue
            before = data.rfind(self.closing, cuts[-1][1] if cuts else 0, at)
            behind = data.find(self.closing, at)
            start = before + len(self.closing) if before >= 0 else cuts[-1][1] if cuts else 0
            cuts.append((start, behind + len(self.closing) if behind >= 0 else len(data)))
            if len(cuts) > MOST_CUTS:
                break
        if not cuts or len(cuts) > MOST_CUTS:
            cuts = [(0, len(data))]
        at = 0
        for start, stop in cuts:
            yield at, start, False
            stop = stop if data[stop:].strip(b" \t\r\n") else len(data)
            yield start, stop, True
            at = stop
        yield at, len(data), False

    def _plain(self, data: bytes, offset: int, line: int, encoding: str) -> None:
        """Through the machine, as if it stood between the tags of the root."""
        wrapper = b"<" + self.root + b">"
        machine, watch = self.machine, self.watch
        machine.shift, machine.lines = offset - len(wrapper), line
        parser = machine.parser(encoding)
        start, end = parser.StartElementHandler, parser.EndElementHandler
        parser.StartElementHandler = parser.EndElementHandler = None
        parser.Parse(wrapper, False)
        parser.StartElementHandler, parser.EndElementHandler = start, end
        watch.see(data, offset)
        parser.Parse(data, False)
        parser.EndElementHandler = None
        parser.Parse(b"</" + self.root + b">", True)
        if machine.here is not machine.plan or machine.stack:
            raise Declined
        watch.flush()

    def _rows(self, levels: list[Level], strings: pa.Array, escaped: bool, data: bytes, offset: int, line: int) -> None:
        """Rows of all tables of one piece into the sink."""
        made = _Made(self, strings, escaped, data, offset, line)
        for above, one in zip((None, *levels), levels, strict=False):
            made.level(one, above)
        self.watch.flush()
        self.machine.seen |= 1 << self.layout.record.rank
        self.machine.last = max(self.machine.last, self.layout.record.rank)
        for name, table in made.tables.items():
            self.sink.add(name, table)
            rows = self.tables[name]
            rows.count += len(table.n)
            rows.flushed = rows.count


class _Made:
    """The rows of one piece while it goes down the levels."""

    def __init__(self, fast: Fast, strings: pa.Array, escaped: bool, data: bytes, offset: int, line: int) -> None:
        self.fast = fast
        self.strings = strings
        self.escaped = escaped
        self.data = data
        self.offset = offset
        self.line = line
        self.breaks = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
        self.tables: dict[str, Table] = {}
        self.row = np.empty(0, dtype=np.int64)  # of each element of the level above: the row in which it stands
        self.account = np.empty(0, dtype=np.int64)

    def level(self, one: Level, above: Level | None) -> None:
        """Rows and columns of one level. Rows are numbered as in the whole document, 0 = none."""
        size = len(one.node)
        if above is None:
            root = self.fast.tables[self.fast.layout.root.table]
            row, account = np.full(size, root.count, dtype=np.int64), np.zeros(size, dtype=np.int64)
        else:
            row, account = self.row[one.parent], self.account[one.parent]
        for number in np.unique(one.node).tolist():
            element, at = self.fast.tokenizer.nodes[number], np.flatnonzero(one.node == number)
            if element.starts_row:
                rows = self.fast.tables[element.table]
                own = np.arange(rows.count + 1, rows.count + 1 + len(at), dtype=np.int64)
                if element.table in ACCOUNTS:
                    account[at] = own
                lines = np.searchsorted(self.breaks, one.begin[at]) + 1 + self.line
                table = self.tables[element.table] = Table(own, row[at], account[at], lines, {})
                row[at] = own
                if element.table in PLACED and element.facets is None:
                    self._places(table, element.table, one, at)
            if element.facets is not None:
                self._column(number, one, at, row[at])
        self.row, self.account = row, account

    def _places(self, table: Table, name: str, one: Level, at: Ints) -> None:
        begin, end = one.begin[at], one.end[at]
        table.columns["byte_from"] = pa.array(begin + self.offset)
        table.columns["byte_to"] = pa.array(end + self.offset)
        if name in ACCOUNTS:
            table.columns["digest"] = pa.array(geometry.digests(self.data, begin, end), pa.string())

    def _column(self, number: int, one: Level, at: Ints, target: Ints) -> None:
        element = self.fast.tokenizer.nodes[number]
        assert element.facets is not None
        where = pa.array(2 * one.token[at] + 1, mask=one.empty[at])
        texts = self.strings.take(where)
        if texts.null_count:
            texts = texts.fill_null("")
        if self.escaped:
            texts = unescaped(texts)
        kind = self.fast.sink.kinds[element.table][element.column]
        values, odd = column(element.facets, texts, kind, self.fast.judged[element.path])
        if len(odd):
            raise Unsure(one.begin[at[odd]].tolist())
        table = self.tables.get(element.table)
        if table is None:  # of the root's own row, which records do not change
            raise Unsure
        table.columns[element.column] = _scatter(values, target - int(table.n[0]), len(table.n))


def _scatter(values: pa.Array, target: Ints, count: int) -> pa.Array:
    """Values at their rows; of two for one row the first stays."""
    if len(target) == count and target[0] == 0 and target[-1] == count - 1 and np.all(target[1:] > target[:-1]):
        return values
    if values.null_count:  # a blank one is no value
        said = values.is_valid().to_numpy(zero_copy_only=False)
        values, target = values.filter(pa.array(said)), target[said]
    index = np.full(count, -1, dtype=np.int64)
    index[target[::-1]] = np.arange(len(target))[::-1]
    return values.take(pa.array(index, mask=index < 0))


def _pieces(stream: BinaryIO, start: int, size: int, closing: bytes, root: bytes) -> Iterator[bytes]:
    """Records from ``start`` to the end tag of the root, cut behind whole ones."""
    stream.seek(start)
    data, final = b"", False
    while not final:
        block = stream.read(size)
        search = max(0, len(data) - len(root))
        data += block
        stop = data.find(root, search)
        final = stop >= 0 or not block
        if stop < 0:
            stop = data.rfind(closing) + len(closing) if closing in data else 0
        if not stop and not final and len(data) > LONGEST_RECORD:
            raise Declined
        if not block and stop < len(data):
            raise Declined
        ready, data = data[:stop], data[stop:]
        if ready:
            at = stream.tell()
            yield ready
            stream.seek(at)
