"""Source cases from a CSV file (``docs/source_csv.md``): lines that nest, read one person at a time."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from oms_batch.desk import fragment
from oms_batch.desk.sources import AccountPart, PatientPart, Problems, Sums
from oms_batch.desk.wire import Attribute, Element, Wire, canonical, kopecks

PERSON, ACCOUNT, SERVICE = "pers", "z_sl", "usl"
KINDS = {"person": PERSON, "account": ACCOUNT, "service": SERVICE, "diagnosis": "ds"}
KEYS = {PERSON: "id_pac", ACCOUNT: "xkey", SERVICE: "idserv"}
SHORT_SUMS = {"sumv": (ACCOUNT, "z_sl_sum"), "sumv_usl": (SERVICE, "usl_sum")}
SUM_TABLES = {ACCOUNT: "z_sl_sum", SERVICE: "usl_sum"}
_MARK = "\x00"
_BLOCK = 1 << 18


@dataclass(slots=True)
class Record:
    """One line: its values by path and attribute, and the lines inside it by path."""

    table: str
    key: str
    line: int
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    inside: dict[str, list[Record]] = field(default_factory=dict)

    def put(self, attribute: Attribute, value: str) -> None:
        self.values.setdefault(attribute.path, {})[attribute.name] = value

    def get(self, attribute: Attribute) -> str:
        return self.values.get(attribute.path, {}).get(attribute.name, "")


@dataclass(frozen=True, slots=True)
class Reading:
    """The layout, the defaults (``table.column`` → value), the tariff part of ``sumv``, the code page."""

    wire: Wire
    defaults: Mapping[str, str]
    main_part: str
    encoding: str


def code_page(stream: BinaryIO, problems: Problems, label: str) -> str:
    """``utf-8-sig`` or ``cp1251``, by trying the whole stream; the stream is put back to its start."""
    for name in ("utf-8-sig", "cp1251"):
        stream.seek(0)
        decoder = codecs.getincrementaldecoder(name)("strict")
        try:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            continue
        stream.seek(0)
        return name
    problems.add("SRC_ENCODING", label)
    problems.raise_if_any()
    return ""


def read_csv(stream: BinaryIO, label: str, reading: Reading, problems: Problems) -> Iterator[PatientPart]:
    """The patients of a CSV source in its order. What is wrong goes to ``problems``, with line and column."""
    text = io.TextIOWrapper(stream, encoding=code_page(stream, problems, label), newline="")
    try:
        rows = csv.reader(text, delimiter=";", strict=True)
        person: Record | None = None
        nest = Nest(reading, label, problems)
        try:
            head = [one.strip() for one in next(rows, [])]
            nest.columns_are(head)
            for cells in rows:
                if not any(cells):
                    continue
                record = nest.take(rows.line_num, cells)
                if record is not None and record.table == PERSON:
                    if person is not None and (done := nest.finish(person)) is not None:
                        yield done
                    person = record
        except csv.Error:
            problems.add("SRC_QUOTE", f"{label}:{rows.line_num}")
        if person is not None and (done := nest.finish(person)) is not None:
            yield done
    finally:
        text.detach()


class Nest:
    """The open lines of one file: who stands inside whom."""

    def __init__(self, reading: Reading, label: str, problems: Problems) -> None:
        self.reading, self.label, self.problems = reading, label, problems
        self.open: list[Record] = []
        self.tables = reading.wire.below(PERSON)
        self.parents = {table: reading.wire.parent_table(table) for table in self.tables}
        self.head: list[str] = []
        self.columns: dict[str, dict[int, Attribute]] = {table: {} for table in self.tables}
        self.kind_at = self.up_at = -1

    def columns_are(self, head: list[str]) -> None:
        """Take in the header line; a bad one ends the reading."""
        wire = self.reading.wire
        known = {column for _table, column in wire.fields} | {"row", "up", *SHORT_SUMS}
        for number, name in enumerate(head, 1):
            if name not in known or head.count(name) > 1:
                found = name if name.isascii() else number
                self.problems.add("SRC_HEADER", f"{self.label}:1", expected="table.column", found=found)
        for name in ("row", "up"):
            if name not in head:
                self.problems.add("SRC_HEADER", f"{self.label}:1", expected=name)
        self.problems.raise_if_any()
        self.head, self.kind_at, self.up_at = head, head.index("row"), head.index("up")
        for (table, column), attribute in wire.fields.items():
            if column in head and table in self.columns:
                self.columns[table][head.index(column)] = attribute

    def bad(self, code: str, line: int, column: str = "") -> None:
        self.problems.add(code, f"{self.label}:{line}" + (f" {column}" if column else ""))

    def take(self, line: int, cells: list[str]) -> Record | None:
        """One line as a record hung under its parent; ``None`` when it cannot be placed."""
        if len(cells) != len(self.head):
            self.bad("SRC_WIDTH", line)
            return None
        kind = cells[self.kind_at].strip()
        table = KINDS.get(kind, kind)
        if table not in self.tables:
            self.bad("SRC_ROW", line, "row")
            return None
        record = Record(table, "", line)
        self._fill(record, cells)
        if table in KEYS:
            record.key = record.get(self.reading.wire.attribute(table, KEYS[table]))
            if not record.key:
                self.bad("SRC_KEY", line, KEYS[table])
        return record if self._hang(record, cells[self.up_at].strip()) else None

    def _fill(self, record: Record, cells: list[str]) -> None:
        columns = self.columns[record.table]
        for at, cell in enumerate(cells):
            if not cell or at == self.kind_at or at == self.up_at or cell.isspace():
                continue
            attribute = columns.get(at)
            if attribute is None:
                column = self.head[at]
                if column in SHORT_SUMS and SHORT_SUMS[column][0] == record.table:
                    self._short_sum(record, column, cell)
                else:
                    self.bad("SRC_COLUMN", record.line, column)
                continue
            value, code = canonical(attribute, cell)
            if code:
                self.bad(code, record.line, self.head[at])
            else:
                record.put(attribute, value)

    def _short_sum(self, record: Record, column: str, cell: str) -> None:
        table = SHORT_SUMS[column][1]
        wire = self.reading.wire
        value, code = canonical(wire.attribute(table, "suml"), cell)
        if code:
            self.bad(code, record.line, column)
            return
        part = Record(table, "", record.line)
        part.put(wire.attribute(table, "type_acc"), self.reading.main_part)
        part.put(wire.attribute(table, "suml"), value)
        record.inside.setdefault(wire.rows[table], []).append(part)

    def _hang(self, record: Record, up: str) -> bool:
        """Close what this line ends, check ``up``, and hang the line under its parent."""
        if record.table == PERSON:
            self.open = [record]
            return True
        parent = self.parents[record.table]
        depth = next((at for at in range(len(self.open) - 1, -1, -1) if self.open[at].table == parent), -1)
        if depth < 0:
            self.bad("SRC_ORDER", record.line, "row")
            return False
        keyed = next(one for one in reversed(self.open[: depth + 1]) if one.table in KEYS)
        if not up:
            self.bad("SRC_KEY", record.line, "up")
        elif up != keyed.key:
            self.bad("SRC_ORDER", record.line, "up")
        self.open[depth + 1 :] = [record]
        path = self.reading.wire.rows[record.table]
        self.open[depth].inside.setdefault(path, []).append(record)
        return True

    def finish(self, person: Record) -> PatientPart | None:
        """The person's lines as elements; his accounts with sums. ``None`` when anything of him is bad."""
        wire = self.reading.wire
        path = wire.rows[ACCOUNT]
        accounts = person.inside.pop(path, [])
        if not accounts:
            self.bad("SRC_ORDER", person.line, "row")
        sums = [self._sums(one) for one in accounts]
        if self.problems.rows:
            return None
        parts = []
        for one, money in zip(accounts, sums, strict=True):
            for name, value in self.reading.defaults.items():
                attribute = wire.attribute(*name.split("."))
                if attribute.table == ACCOUNT and not one.get(attribute):
                    one.put(attribute, value)
            number = one.get(wire.attribute(ACCOUNT, "idcase"))
            data = fragment.encode(render(wire, one), self.reading.encoding)
            parts.append(AccountPart(data, one.key, number, money, f"{self.label}:{one.line}"))
        holder = path.rpartition("/")[0]
        person.values.setdefault(holder, {})
        head, _, tail = render(wire, person, holder).partition(_MARK)
        encoding = self.reading.encoding
        return PatientPart(
            fragment.encode(head, encoding), fragment.encode(tail, encoding), parts, f"{self.label}:{person.line}"
        )

    def _sums(self, account: Record) -> Sums:
        """The account's sums by part of the tariff; an account without sums gets those of its services."""
        wire = self.reading.wire
        services = account.inside.get(wire.rows[SERVICE], [])
        of_services: Sums = {}
        for service in services:
            for part, (claimed, accepted) in self._own_sums(service).items():
                before = of_services.get(part, (0, 0))
                of_services[part] = (before[0] + claimed, before[1] + accepted)
        own = self._own_sums(account)
        if own:
            return own
        if not of_services:
            self.bad("SRC_SUM", account.line, "sumv")
        table = SUM_TABLES[ACCOUNT]
        for part, (claimed, accepted) in of_services.items():
            record = Record(table, "", account.line)
            record.put(wire.attribute(table, "type_acc"), part)
            record.put(wire.attribute(table, "suml"), f"{claimed // 100}.{claimed % 100:02d}")
            record.put(wire.attribute(table, "sum_acc"), f"{accepted // 100}.{accepted % 100:02d}")
            account.inside.setdefault(wire.rows[table], []).append(record)
        return of_services

    def _own_sums(self, record: Record) -> Sums:
        table = SUM_TABLES[record.table]
        wire = self.reading.wire
        part_name, claimed_name, accepted_name = (wire.attribute(table, one) for one in ("type_acc", "suml", "sum_acc"))
        found: Sums = {}
        for one in record.inside.get(wire.rows[table], []):
            part, claimed = one.get(part_name), one.get(claimed_name)
            if not part or not claimed or part in found:
                self.bad("SRC_SUM", one.line, "sumv" if record.table == ACCOUNT else "sumv_usl")
                continue
            if not one.get(accepted_name):
                one.put(accepted_name, claimed)
            found[part] = (kopecks(claimed), kopecks(one.get(accepted_name)))
        return found


def render(wire: Wire, record: Record, marked: str = "") -> str:
    """A record and the lines inside it as an element, in the order of the layout; ``marked`` gets the cutting mark."""
    out: list[str] = []
    needed = _needed(record)
    _write(wire.row(record.table), record, wire, needed, marked, out)
    return "".join(out)


def _needed(record: Record) -> set[str]:
    found: set[str] = set()
    for path in (*record.values, *record.inside):
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _write(element: Element, record: Record, wire: Wire, needed: set[str], marked: str, out: list[str]) -> None:
    given = record.values.get(element.path, {})
    shown = "".join(
        f' {one.name}="{fragment.quoted(given[one.name])}"' for one in element.attributes if one.name in given
    )
    out.append(f"\n<{element.name}{shown}")
    place = len(out)
    out.append(">")
    if element.path == marked:
        out.append(_MARK)
    for child in element.children:
        if child.path in record.inside:
            for one in record.inside[child.path]:
                _write(child, one, wire, _needed(one), "", out)
        elif child.path in needed and not child.table:
            _write(child, record, wire, needed, marked, out)
    if len(out) == place + 1:
        out[place] = "/>"
    else:
        out.append(f"</{element.name}>")
