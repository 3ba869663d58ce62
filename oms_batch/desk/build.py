"""The main register of a medical organisation: source cases and accounts billed again, in one document.

One pass over the sources writes the patients to ``scratch``; only when nothing is wrong does the
document go to ``out``: head, totals, patients, tail. Memory holds one patient, the accounts
billed again, and eight bytes for each key and number.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from typing import BinaryIO

from oms_batch.desk import fragment, source_federal
from oms_batch.desk.again import Again, Resubmission, bill_again, set_column
from oms_batch.desk.source_csv import Reading, Record, read_csv, render
from oms_batch.desk.source_federal import Tables, Told
from oms_batch.desk.source_xml import Expected, read_xml
from oms_batch.desk.sources import AccountPart, PatientPart, Problems, Sums
from oms_batch.desk.wire import Wire, canonical, load_wire
from oms_batch.errors import SetupError, WrongState
from oms_batch.exchange import Profile
from oms_batch.model import NamedFile, Totals, roubles

__all__ = ["BuildReport", "Header", "Resubmission", "Source", "build_register"]
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """The head of the register: its file name taken apart, its date, its number, who made it."""

    named: NamedFile
    day: date
    number: str
    creator: str
    phone: str = "-"
    encoding: str = ""  # empty: the first that the profile names


@dataclass(frozen=True, slots=True)
class Source:
    """A source of accounts: a CSV file or a register document, told apart by its first character."""

    stream: BinaryIO
    label: str


@dataclass(slots=True)
class BuildReport:
    """What was built. ``lineage``: (old key, new key, kind) of each account billed again."""

    encoding: str
    persons: int = 0
    accounts: int = 0
    kopecks: int = 0
    merged: int = 0
    skipped: int = 0  # patients of a MIS register who have no account
    sources: list[tuple[str, Totals]] = field(default_factory=list)
    lineage: list[tuple[str, str, str]] = field(default_factory=list)
    aside: list[PatientPart] = field(default_factory=list)  # left out as asked, whole
    joined: list[str] = field(default_factory=list)  # keys of accounts put aside before that are in now
    told: Told | None = None  # of registers of another exchange: what has no place here


def build_register(
    profile: Profile,
    header: Header,
    sources: Iterable[Source | Tables],
    resubmitted: Iterable[Resubmission],
    out: BinaryIO,
    *,
    scratch: BinaryIO | None = None,
    renumber: bool = False,
    limit: int = 1000,
    told: Told | None = None,
    later: Iterable[PatientPart] = (),
    without: Collection[str] = (),
) -> BuildReport:
    """Write the register document to ``out``; no source and nothing billed again gives a zero register.

    ``scratch`` is a seekable stream for the patients (memory when absent). ``renumber`` numbers all
    accounts anew; else sources keep their numbers. ``later``: accounts that an earlier register left out; one that a
    source has again comes from the source. ``without``: keys of accounts to be left out, of whatever they came from;
    the report has them. ``told`` collects what registers of another exchange (``Tables``)
    lack; without it that is wrong like all else. ``Refusal`` names every bad place (``SRC_…``,
    ``VALUE_…``, ``XML_…``, ``HDR_…``), and then nothing has been written to ``out``.
    """
    wire = load_wire(profile)
    desk = profile.rules.toml(f"{profile.id}/desk.toml")
    encoding = header.encoding or profile.data["encodings"][0]
    if encoding not in profile.data["encodings"]:
        raise WrongState("ENCODING", encoding)
    builder = _Builder(wire, encoding, BuildReport(encoding), Problems(limit), scratch or io.BytesIO(), renumber)
    builder.without = frozenset(without)
    again = [bill_again(one, profile, desk, wire, encoding, header.named.register) for one in resubmitted]
    again = [one for one in again if one.part.xkey not in builder.without]
    builder.report.lineage = [(one.old, one.part.xkey, one.kind) for one in again]
    builder.wait_for(again)
    primary = profile.data["account_kind"]["primary"]
    reading = Reading(wire, {**desk["defaults"], "z_sl.pr_nov": primary}, desk["sums"]["main_part"], encoding)
    expected = _expected(profile, header)
    beside = _beside(wire)
    told = builder.report.told = told or Told(builder.problems)
    for source in sources:
        before = Totals(builder.report.accounts, builder.report.kopecks)
        if isinstance(source, Tables):
            if source.checked:
                source_federal.check_head(source, profile, header.named, builder.problems)
            patients: Iterable[PatientPart] = source_federal.read_tables(
                source, profile, reading, builder.problems, told
            )
        else:
            patients = _open(source, reading, expected, builder.problems, beside)
        for patient in patients:
            builder.take(patient)
        after = Totals(builder.report.accounts, builder.report.kopecks)
        builder.report.sources.append((source.label, after - before))
    for patient in later:
        builder.take_later(patient)
    builder.take_rest(again)
    for path in _once(wire):
        if len(beside[path]) > 1:
            builder.problems.add("SRC_DUPLICATE", wire.elements[path].name, expected=1, found=len(beside[path]))
    builder.problems.raise_if_any()
    head, tail = _frame(wire, profile, desk, header, builder.sums, encoding)
    sums_end = head.rindex(b"</", 0, head.rindex(b"<"))
    out.write(head[:sums_end] + b"".join(piece for path in _once(wire) for piece in beside[path]) + head[sums_end:])
    builder.copy(out)
    after_patients = tail.index(b">") + 1
    staff = b"".join(b"\n" + piece for piece in beside[wire.rows["personal"]])
    out.write(tail[:after_patients] + staff + tail[after_patients:])
    return builder.report


@dataclass(slots=True)
class _Builder:
    wire: Wire
    encoding: str
    report: BuildReport
    problems: Problems
    scratch: BinaryIO
    renumber: bool
    sums: Sums = field(default_factory=dict)
    keys: set[int] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    last: int = 0
    waiting: dict[bytes, list[Again]] = field(default_factory=dict)
    inserts: list[tuple[int, list[Again]]] = field(default_factory=list)
    size: int = 0
    without: frozenset[str] = frozenset()

    def write(self, data: bytes) -> None:
        self.scratch.write(data)
        self.size += len(data)

    def wait_for(self, again: list[Again]) -> None:
        for one in again:
            self.waiting.setdefault(_shell(one.head, one.tail), []).append(one)

    def take(self, patient: PatientPart) -> None:
        """A patient of a source; accounts billed again of the very same patient go in with his."""
        if not patient.accounts:
            self.report.skipped += 1
            return
        if self.without and (out := [part for part in patient.accounts if part.xkey in self.without]):
            self.report.aside.append(PatientPart(patient.head, patient.tail, out, patient.place))
            kept = [part for part in patient.accounts if part.xkey not in self.without]
            patient = PatientPart(patient.head, patient.tail, kept, patient.place)
            if not kept:
                return
        for part in patient.accounts:
            self.count(part)
        if self.problems.rows:
            return
        self.report.persons += 1
        self.write(patient.head)
        for part in patient.accounts:
            self.write(self.numbered(part))
        if self.waiting and (same := self.waiting.pop(_shell(patient.head, patient.tail), None)):
            self.inserts.append((self.size, same))
            self.report.merged += len(same)
        self.write(patient.tail)

    def take_later(self, patient: PatientPart) -> None:
        """A patient whose accounts were put aside, without what the sources have anew."""
        known = {part.xkey for one in self.report.aside for part in one.accounts} if self.without else set()
        fresh = [part for part in patient.accounts if _hash(part.xkey) not in self.keys and part.xkey not in known]
        self.report.joined += [part.xkey for part in patient.accounts if part.xkey not in self.without]
        if fresh:
            self.take(PatientPart(patient.head, patient.tail, fresh, patient.place))

    def take_rest(self, again: list[Again]) -> None:
        """Number the accounts billed again, and give those who found no patient one of their own."""
        for one in again:
            if _hash(one.old) in self.keys:  # a source bills it once more under its old key
                self.problems.add("SRC_DUPLICATE", f"{one.part.place} xkey")
            self.count(one.part)
            if not self.problems.rows:
                one.part.data = self.numbered(one.part)
        for group in self.waiting.values():
            self.report.persons += 1
            self.report.merged += len(group) - 1
            self.write(group[0].head)
            for one in group:
                self.write(one.part.data)
            self.write(group[0].tail)

    def count(self, part: AccountPart) -> None:
        key = _hash(part.xkey)
        if key in self.keys:
            self.problems.add("SRC_DUPLICATE", f"{part.place} xkey")
        self.keys.add(key)
        self.report.accounts += 1
        for name, (claimed, accepted) in part.sums.items():
            before = self.sums.get(name, (0, 0))
            self.sums[name] = (before[0] + claimed, before[1] + accepted)
            self.report.kopecks += claimed

    def numbered(self, part: AccountPart) -> bytes:
        """The account's bytes with a number that no other account of the register has."""
        number = part.number
        if number and not self.renumber:
            value = int(number) if number.isascii() and number.isdigit() else None
            if value is None or value in self.numbers:
                code = "VALUE_TYPE" if value is None else "SRC_DUPLICATE"
                self.problems.add(code, f"{part.place} idcase")
                return part.data
        else:
            value = self.last + 1
        self.numbers.add(value)
        self.last = max(self.last, value)
        if number == str(value):
            return part.data
        return set_column(part.data, self.wire, "idcase", str(value), self.encoding)

    def copy(self, out: BinaryIO) -> None:
        """The patients from the scratch stream, with the accounts billed again put into their places."""
        self.scratch.seek(0)
        at = 0
        for place, group in [*self.inserts, (self.size, [])]:
            while at < place:
                block = self.scratch.read(min(_BLOCK, place - at))
                out.write(block)
                at += len(block)
            for one in group:
                out.write(one.part.data)


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest())


def _shell(head: bytes, tail: bytes) -> bytes:
    """What tells one patient's bytes from another's; white space around the element does not count."""
    return blake2b(head.strip() + b"\0" + tail.strip(), digest_size=16).digest()


def _expected(profile: Profile, header: Header) -> Expected:
    named = header.named
    return Expected(
        {
            "protocol": ((profile.data["protocol"],), "XML_ROOT"),
            "version": (tuple(profile.data["versions"]), "HDR_VERSION"),
            "ogrn_mo": ((named.ogrn_mo,), "HDR_SENDER"),
            "kpp_mo": ((named.kpp_mo,), "HDR_SENDER"),
            "year": ((named.period[:4],), "HDR_PERIOD"),
            "month": ((named.period[5:],), "HDR_PERIOD"),
        },
        tuple(profile.data["encodings"]),
    )


def _once(wire: Wire) -> list[str]:
    """Blocks of sums that only the MIS knows (per-capita, by invoice): one of each at most."""
    return [wire.rows[table].rpartition("/")[0] for table in ("sum_f", "sum_s")]


def _beside(wire: Wire) -> dict[str, list[bytes]]:
    """What is taken over from a MIS register beside its patients: those blocks, and the staff."""
    return {path: [] for path in (*_once(wire), wire.rows["personal"])}


def _open(
    source: Source, reading: Reading, expected: Expected, problems: Problems, beside: dict[str, list[bytes]]
) -> Iterable[PatientPart]:
    start = source.stream.read(64)
    source.stream.seek(0)
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<" or start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return read_xml(source.stream, source.label, reading.wire, expected, reading.encoding, problems, beside)
    return read_csv(source.stream, source.label, reading, problems)


def _frame(
    wire: Wire, profile: Profile, desk: dict[str, dict[str, str]], header: Header, sums: Sums, encoding: str
) -> tuple[bytes, bytes]:
    """The document before and after its patients."""
    named = header.named
    fund = next((one for one in profile.payers if one.kind == "fund" and one.open_on(header.day)), None)
    if fund is None:
        raise SetupError(f"{profile.id}: no fund in books/payers.csv on {header.day}")
    day = header.day.isoformat()
    values = {
        "version": profile.data["versions"][-1],
        "protocol": profile.data["protocol"],
        "creator": header.creator,
        "telcreator": header.phone,
        "ogrn_mo": named.ogrn_mo,
        "kpp_mo": named.kpp_mo,
        "year": named.period[:4],
        "month": str(int(named.period[5:])),
        "dschet": day,
        "t_opl": desk["bill"]["t_opl"],
        "plat_ogrn": fund.ogrn,
        "date_2": day,
        "nschet": header.number,
        "date_in": day,
    }
    register = Record("register", "", 0)
    for column, value in values.items():
        attribute = wire.attribute("register", column)
        shaped, code = canonical(attribute, value)
        if code:
            raise WrongState(code, attribute.field)
        register.put(attribute, shaped)
    for part, (claimed, accepted) in sorted(sums.items()) or [(desk["sums"]["main_part"], (0, 0))]:
        row = Record("sum_t", "", 0)
        for column, value in (("type_acc", part), ("amountl", roubles(claimed)), ("amount", roubles(accepted))):
            row.put(wire.attribute("sum_t", column), value)
        register.inside.setdefault(wire.rows["sum_t"], []).append(row)
    place = wire.rows["pers"].rpartition("/")[0]
    register.values.setdefault(place, {})
    before, _, after = render(wire, register, place).partition("\x00")
    outer = wire.rows["register"].strip("/").split("/")[:-1]
    opened = "".join(f"\n<{name}>" for name in outer)
    closed = "".join(f"</{name}>" for name in reversed(outer))
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>'
    return (
        fragment.encode(declaration + opened + before, encoding),
        fragment.encode("\n" + after + closed + "\n", encoding),
    )
