"""A register of another exchange as a source of accounts: its canonical tables put into the records of our layout.

Which column goes where is data (``rules/<profile>/convert_canon.toml``). What our layout demands and the source does
not have comes from a table beside it (``Beside``), else it is told account by account; nothing is made up.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import duckdb

from oms_batch.desk import bridge
from oms_batch.desk.bridge import Plan, Row
from oms_batch.desk.source_csv import ACCOUNT, KEYS, PERSON, Nest, Reading, Record, code_page
from oms_batch.desk.sources import PatientPart, Problems
from oms_batch.desk.wire import Attribute, Wire, canonical
from oms_batch.exchange import Profile
from oms_batch.model import NamedFile

Beside = dict[tuple[str, str, str], dict[str, str]]  # (table, key column, key) → column → value
BESIDE_KEYS = {"id_pac": PERSON, "idcase": ACCOUNT, "xkey": ACCOUNT}
Known = Callable[[str], tuple[str, str]]


def _unknown(_key: str) -> tuple[str, str]:
    return "", ""


@dataclass(slots=True)
class Told:
    """What a source could not give: ``left`` places of ours left out with their values, ``lost`` columns of the source
    without a place, each with the number of values; ``lacks`` what must be filled in, per account."""

    lacks: Problems
    left: Counter[str] = field(default_factory=Counter)
    lost: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)

    def lack(self, code: str, label: str, line: int, element: str, account: str) -> None:
        self.lacks.add(code, f"{label}:{line} {element}")
        self.accounts.setdefault(account, []).append((code, element, line))


@dataclass(frozen=True, slots=True)
class Tables:
    """Canonical tables of a register in ``con``. ``known``: key of a predecessor → (register that refused it, kind
    ``primary`` or ``repeat``), empty when it may not be billed again; ``repeated``: values of PR_NOV that mean so."""

    con: duckdb.DuckDBPyConnection
    label: str
    repeated: str
    beside: Mapping[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)
    known: Known = _unknown
    checked: bool = True  # its head must be that of the register which is built


def read_beside(stream: BinaryIO, label: str, wire: Wire, problems: Problems, into: Beside) -> None:
    """A table of what a register lacks: the first column names whom (``id_pac``, ``idcase``, ``xkey``), the others are
    columns of persons or accounts. Bad headers and values go to ``problems``."""
    text = io.TextIOWrapper(stream, encoding=code_page(stream, problems, label), newline="")
    try:
        lines = csv.reader(text, delimiter=";", strict=True)
        head = [one.strip() for one in next(lines, [])]
        key = head[0] if head else ""
        table = BESIDE_KEYS[key]
        for name in head[1:]:
            if (table, name) not in wire.fields:
                problems.add("SRC_HEADER", f"{label}:1", expected="table.column")
        problems.raise_if_any()
        for cells in lines:
            if not any(cells):
                continue
            if len(cells) != len(head):
                problems.add("SRC_WIDTH", f"{label}:{lines.line_num}")
                continue
            row = into.setdefault((table, key, cells[0].strip()), {})
            for name, cell in zip(head[1:], cells[1:], strict=True):
                value, code = canonical(wire.fields[table, name], cell) if cell.strip() else ("", "")
                if code:
                    problems.add(code, f"{label}:{lines.line_num} {name}")
                elif value:
                    row[name] = value
    except csv.Error:
        problems.add("SRC_QUOTE", label)
    finally:
        text.detach()


def is_beside(start: bytes) -> bool:
    """Whether a file that begins so is such a table."""
    head = start.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]
    names = [one.strip().decode("ascii", "replace") for one in head[0].split(b";")] if head else []
    return names[:1] != [] and names[0] in BESIDE_KEYS and "row" not in names  # a source of cases has that column


def check_head(source: Tables, profile: Profile, named: NamedFile, problems: Problems) -> None:
    """The register must be of the organisation and the month that are built: ``HDR_SENDER``, ``HDR_PERIOD``."""
    plan = bridge.load_plan(profile.rules, profile.id)
    head = source.con.execute(
        "SELECT CAST(ogrn_mo AS VARCHAR), printf('%04d-%02d', CAST(year AS INT), CAST(month AS INT)) FROM register"
    ).fetchone()
    mo, period = head if head is not None else ("", "")
    own = {"ogrn_mo": named.ogrn_mo, "kpp_mo": named.kpp_mo}
    books = [row for row in profile.rules.table(plan.data["name"]["mo"]) if row["code"] == mo]
    if not any(all(row[name] == value for name, value in own.items()) for row in books):
        problems.add("HDR_SENDER", source.label, expected=plan.data["name"]["mo"], found=mo)
    if period != named.period:
        problems.add("HDR_PERIOD", source.label, expected=named.period, found=period)
    problems.raise_if_any()


def read_tables(
    source: Tables, profile: Profile, reading: Reading, problems: Problems, told: Told
) -> Iterator[PatientPart]:
    """The patients of a register of another exchange. Values that our layout cannot hold, faults of form of the source
    and predecessors that may not be billed again go to ``problems`` and ``told``."""
    plan = bridge.load_plan(profile.rules, profile.id)
    bridge.give(source.con, plan.data["defaults"])
    bridge.give_books(source.con, plan, profile.rules)
    wire = reading.wire

    def money(table: str, column: str) -> bool:
        return wire.attribute(table, column).type == "money"

    bridge.lay_out(source.con, plan, money)
    told.lost |= bridge.no_place(source.con, plan)
    writer = _Writer(source, plan, profile, Nest(reading, source.label, problems), told)
    writer.tell_faults()
    for row in bridge.rows(source.con, plan, PERSON):
        person = writer.person(row)
        if (part := writer.nest.finish(person)) is not None:
            yield part


@dataclass(slots=True)
class _Writer:
    source: Tables
    plan: Plan
    profile: Profile
    nest: Nest
    told: Told

    def tell_faults(self) -> None:
        """Faults of form that reading found, and what the plan's own checks find."""
        con, label = self.source.con, self.source.label
        keys = dict(con.execute("SELECT n, idcase FROM z_sl").fetchall())
        for element, line, n in con.execute(
            "SELECT element, line, z_sl_n FROM findings ORDER BY line, element"
        ).fetchall():
            self.told.lack("SRC_FORM", label, line or 0, element or "", keys.get(n, ""))
        for code, element, line, n in bridge.faults(con, self.plan):
            self.told.lack(code, label, line, element, keys.get(n, ""))

    def person(self, row: Row) -> Record:
        """A patient with his accounts as records; what they lack is told."""
        record = self._record(PERSON, row)
        accounts = record.inside.get(self.nest.reading.wire.rows[ACCOUNT], [])
        names = [self._text(one, "idcase") for one in accounts]
        for name in names[:1]:  # what a person lacks is told at the first of his accounts
            self._demand(record, name)
        for one, name in zip(accounts, names, strict=True):
            self._again(one, name)
            for each in _inner(one):
                self._demand(each, name)
        return record

    def _record(self, table: str, row: Row) -> Record:
        wire = self.nest.reading.wire
        record = Record(table, "", row.line)
        for column, text in row.values.items():
            attribute = wire.attribute(table, column)
            value, code = canonical(attribute, text)
            if code:
                self.nest.bad(code, row.line, column)
            else:
                record.put(attribute, value)
        if table in KEYS:
            record.key = record.get(wire.attribute(table, KEYS[table]))
        self._fill(record)
        for inner, rows in row.inside.items():
            record.inside[wire.rows[inner]] = [self._record(inner, one) for one in rows]
        return record

    def _fill(self, record: Record) -> None:
        """What stands in the table beside the register, where the register itself says nothing."""
        if not self.source.beside or record.table not in (PERSON, ACCOUNT):
            return
        wire = self.nest.reading.wire
        for key, table in BESIDE_KEYS.items():
            if table != record.table:
                continue
            given = self.source.beside.get((table, key, record.get(wire.attribute(table, key))), {})
            for column, value in given.items():
                attribute = wire.attribute(table, column)
                if not record.get(attribute):
                    record.put(attribute, value)

    def _again(self, record: Record, name: str) -> None:
        """PR_NOV: an account billed again names its predecessor, and the register that refused it."""
        wire = self.nest.reading.wire
        mark, old = wire.attribute(ACCOUNT, "pr_nov"), self._text(record, "x_key2")
        path = record.values.get(mark.path, {})
        repeated = path.pop(mark.name, "") == self.source.repeated
        if not repeated and not old:
            return
        register, kind = self.source.known(old) if old else ("", "")
        if not register:
            record.put(mark, self.profile.data["account_kind"]["repeat"])
            self.told.lack("SRC_PREDECESSOR", self.source.label, record.line, "z_sl.x_key2", name)
            return
        record.put(mark, self.profile.data["account_kind"][kind])
        record.put(wire.attribute(ACCOUNT, "ident_r"), register)

    def _demand(self, record: Record, name: str) -> None:
        """What elements of a record demand and do not have is told; those that may be left out go as a whole."""
        wire = self.nest.reading.wire
        if record.table == ACCOUNT:
            for field_name, value in self.nest.reading.defaults.items():
                attribute = wire.attribute(*field_name.split("."))
                if not record.get(attribute):
                    record.put(attribute, value)
        own = wire.rows[record.table]
        for path in sorted({own, *record.values}):
            given = record.values.get(path, {})
            lacking = [one for one in wire.elements[path].attributes if one.required and not given.get(one.name)]
            if lacking and path != own and wire.elements[path].name in self.plan.leave:
                self._leave(record, path, wire)
            else:
                for one in lacking:
                    self.told.lack("SRC_LACKS", self.source.label, record.line, one.field, name)

    def _leave(self, record: Record, path: str, wire: Wire) -> None:
        gone = [one for one in wire.elements[path].attributes if one.name in record.values[path]]
        self.told.left.update(one.field for one in gone)
        del record.values[path]

    def _text(self, record: Record, column: str) -> str:
        found: Attribute = self.nest.reading.wire.attribute(record.table, column)
        return record.get(found)


def _inner(record: Record) -> Iterator[Record]:
    """A record and all records inside it."""
    yield record
    for rows in record.inside.values():
        for one in rows:
            yield from _inner(one)
