"""``convert`` between exchanges: a register of one profile rewritten as another has it, through canonical tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO

import duckdb

from oms_batch import clock, foreign
from oms_batch.desk import bridge, bridge_xml, build
from oms_batch.desk.source_federal import Tables, Told
from oms_batch.desk.sources import Problems
from oms_batch.errors import SetupError, WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import container, elements
from oms_batch.formats.federal_document import verdict
from oms_batch.intake import names
from oms_batch.model import NamedFile
from oms_batch.store import fsio

FUND = "fund"
LISTED = 1000


@dataclass
class Result:
    """What is told of a conversion: values without a place, places to be filled in, faults per account."""

    records: int = 0
    no_place: dict[str, int] = field(default_factory=dict)
    fill_in: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def fault(self, account: str, code: str, element: str, line: int) -> None:
        self.accounts.setdefault(account, []).append({"code": code, "element": element, "line": str(line)})

    def document(self, named: NamedFile, to: str, target: str) -> dict[str, Any]:
        """The JSON of ``convert``."""
        return {
            "file": named.canonical,
            "to": to,
            "written": target,
            "records": self.records,
            "types_confirmed": True,
            "no_place": [{"element": one, "values": count} for one, count in sorted(self.no_place.items())],
            "fill_in": [{"element": one, "records": count} for one, count in sorted(self.fill_in.items())],
            "broken": [{"account": key, "problems": found} for key, found in sorted(self.accounts.items())[:LISTED]],
            "broken_total": len(self.accounts),
        }


def run(profile: Profile, files: Sequence[str], to: str, out: str, mo: str = "") -> dict[str, Any]:
    """Write the register of ``files`` (a container, or halves and tables beside it) as profile ``to`` has it, into the
    folder ``out``. ``mo``: the organisation as names of that profile tell it, where its books do not.

    ``WrongState`` CONVERT when that profile cannot be written, FILE_EXISTS; ``Refusal`` when the source cannot be read.
    """
    other = load_profile(to, profile.rules)
    if to == profile.id or not profile.rules.exists(bridge.plan_name(to)):
        raise WrongState("CONVERT", to)
    plan = bridge.load_plan(profile.rules, to)
    with fsio.scratch_folder() as folder, ExitStack() as stack:
        if other.data["format"] == "reestr_xml":
            return _as_reestr(profile, other, plan, files, folder, out, mo)
        read = stack.enter_context(foreign.tables_of(files, profile, folder))
        named = _named(read.con, read.named, other, plan, mo)
        target = _free(out, named)
        result = Result(no_place={})
        encoding = str(other.data["encodings"][0])

        def made(name: str) -> BinaryIO:
            return stack.enter_context(fsio.create(f"{folder}/{name}"))

        members = _as_federal(read.con, named, other, plan, encoding, made, result)
        for rule, element, line, account in read.con.execute(
            """SELECT f.rule, f.element, f.line, z_sl.idcase FROM findings f LEFT JOIN z_sl ON z_sl.n = f.z_sl_n
            ORDER BY f.line, f.element"""
        ).fetchall():
            result.fault(account or "", rule, element or "", line or 0)
        _pack(target, named, other, members)
        return result.document(read.named, to, target)


def _as_federal(
    con: duckdb.DuckDBPyConnection,
    named: NamedFile,
    other: Profile,
    plan: bridge.Plan,
    encoding: str,
    made: Callable[[str], BinaryIO],
    result: Result,
) -> list[tuple[str, BinaryIO]]:
    """The documents of a federal register, by the plan; what they lack goes to ``result``."""
    roles = {one.role: one for one in other.members_of(named.stage)}
    layouts = {role: elements.load(other.rules, other.id, name) for role, name in plan.data["version"].items()}
    stems = {role: roles[role].name.format_map(named.parts) for role in layouts}
    head = {**plan.data["defaults"], "version": layouts["main"].version, "persons_version": layouts["persons"].version}
    head |= {role: name.rpartition(".")[0] for role, name in stems.items()}
    head |= {"mo": named.mo, "fund": named.parts["fund"], "day": clock.today().isoformat()}
    head["code"] = f"{named.period[2:4]}{named.period[5:]}{int(named.number):04d}"
    bridge.give(con, head)
    bridge.give_books(con, plan, other.rules)
    known = {path: one.type for layout in layouts.values() for path, one in layout.elements.items()}
    bridge.lay_out(con, plan, lambda place, name: known.get(f"{place}/{name}") == "money")
    result.no_place |= bridge.no_place(con, plan)
    keys = dict(con.execute("SELECT n, idcase FROM z_sl").fetchall())
    for code, element, line, n in bridge.faults(con, plan):
        result.fault(keys.get(n) or "", code, element, line)
    written: list[tuple[str, BinaryIO]] = []
    for role, layout in layouts.items():
        stream: BinaryIO = made(role)
        report = bridge_xml.write(con, plan, layout, plan.data["version_keys"][role], stream, encoding)
        if role == foreign.MAIN:
            result.records = report.records
        for path, count in report.fill_in.items():
            result.fill_in[path] = result.fill_in.get(path, 0) + count
        for fault in verdict(stream, layout, tuple(other.data["encodings"])):
            result.fault(report.key_at(fault.line), fault.rule, fault.element, fault.line)
        written.append((stems[role], stream))
    return written


def _as_reestr(
    profile: Profile, other: Profile, plan: bridge.Plan, files: Sequence[str], folder: str, out: str, mo: str
) -> dict[str, Any]:
    """The one document of the numbered exchange, by the desk that builds registers."""
    told = Told(Problems())
    with foreign.sources(files, other, folder, lambda _key: ("", ""), profile) as sources, ExitStack() as stack:
        tables = [one for one in sources if isinstance(one, Tables)]
        if len(tables) != 1 or len(sources) != 1:
            raise WrongState("CONVERT", other.id)
        source = names.identify(fsio.basename(files[0]), profile)
        named = _named(tables[0].con, source, other, plan, mo)
        target = _free(out, named)
        bill = tables[0].con.execute("SELECT CAST(dschet AS VARCHAR), nschet FROM register").fetchone()
        day, number = bill if bill is not None else (None, None)
        header = build.Header(named, date.fromisoformat(day) if day else clock.today(), number or named.number, "-")
        patients = stack.enter_context(fsio.create(f"{folder}/patients"))
        document = stack.enter_context(fsio.create(f"{folder}/document"))
        report = build.build_register(
            other, header, [foreign.trusted(tables[0])], [], document, scratch=patients, told=told
        )
        lost = {**told.lost, **told.left}
        result = Result(report.accounts, lost)
        for account, faults in told.accounts.items():
            for code, element, line in faults:
                if code == "SRC_LACKS":
                    result.fill_in[element] = result.fill_in.get(element, 0) + 1
                result.fault(account, code, element, line)
        _pack(target, named, other, [(str(other.data["member"]), document)])
        return result.document(source, other.id, target)


def _named(con: duckdb.DuckDBPyConnection, source: NamedFile, other: Profile, plan: bridge.Plan, mo: str) -> NamedFile:
    """The name of the register in the other exchange; ``WrongState`` CONVERT when its books lack the organisation."""
    rules = plan.data["name"]
    row = con.execute("SELECT CAST(ogrn_mo AS VARCHAR) FROM register").fetchone()
    own = str(row[0]) if row is not None else ""
    parts: dict[str, str] = {"yy": source.period[2:4], "mm": source.period[5:], "number": source.number or "1"}
    parts |= {"payer": str(other.data["name"]["all_payers"]), **rules.get("parts", {})}
    parts |= {"fund": next((one.code for one in other.payers if one.kind == FUND), "")}
    if mo:
        ogrn, _, kpp = mo.partition("-")
        parts |= {"mo": mo, "ogrn_mo": ogrn, "kpp_mo": kpp}
    else:
        found: Mapping[str, str] | None = next(
            (one for one in other.rules.table(rules["mo"]) if own and own in (one["code"], one.get("ogrn", ""))), None
        )
        if found is None:
            raise WrongState("CONVERT", f"{rules['mo']}: {own}; --mo")
        parts |= {"mo": found["code"], **found}
    try:
        return names.build(rules["stage"], parts, rules["extension"], other)
    except SetupError:
        raise WrongState("CONVERT", f"{other.id}: --mo") from None


def _free(out: str, named: NamedFile) -> str:
    target = f"{fsio.absolute(out)}/{named.canonical}"
    if fsio.exists(target):
        raise WrongState("FILE_EXISTS", named.canonical)
    return target


def _pack(target: str, named: NamedFile, other: Profile, members: Sequence[tuple[str, BinaryIO]]) -> None:
    fsio.mkdirs(target.rpartition("/")[0])
    for _name, stream in members:
        stream.seek(0)
    with fsio.create(target) as result:
        container.pack_members(other.data["containers"][named.extension], list(members), result, clock.now())
        fsio.fsync_file(result)
