"""``convert``: a file rewritten in another version or another dialect, with all that did not go over told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from oms_batch import clock
from oms_batch.desk import migrate
from oms_batch.doors import convert_between
from oms_batch.errors import SetupError, WrongState
from oms_batch.exchange import Profile, shipped
from oms_batch.formats import container, elements, federal_xml
from oms_batch.formats.federal_document import verdict
from oms_batch.formats.members import OpenedMembers, open_members
from oms_batch.i18n import pick
from oms_batch.intake import names
from oms_batch.model import NamedFile
from oms_batch.store import fsio

LISTED = 1000


@dataclass
class Told:
    """What is told of a conversion: per member and account."""

    lost: dict[str, int] = field(default_factory=dict)
    fill_in: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    records: int = 0
    confirmed: bool = True  # types and order of all layouts written are known


def run(profile: Profile, file: str, to: str, out: str, beside: Sequence[str] = (), mo: str = "") -> dict[str, Any]:
    """Rewrite a file in version ``to`` of its own type and side, or as the profile ``to`` has it (then ``beside`` are
    other halves of it and tables of what it lacks, ``mo`` the organisation there); gives the JSON of ``convert``.

    A new version has the old name; the new file lies in the folder ``out``. Raises ``Refusal`` when the file cannot be
    read, ``WrongState`` CONVERT when there is no such layout or the format has no versions, FILE_EXISTS when a file of
    that name lies in ``out``.
    """
    if to in shipped():
        return convert_between.run(profile, [file, *beside], to, out, mo)
    if profile.data["format"] != "federal_xml" or beside:
        raise WrongState("CONVERT", profile.id)
    named = names.identify(fsio.basename(file), profile)
    target = f"{fsio.absolute(out)}/{named.canonical}"
    if fsio.exists(target):
        raise WrongState("FILE_EXISTS", named.canonical)
    told = Told()
    with fsio.scratch_folder() as scratch, ExitStack() as stack:
        packed = stack.enter_context(fsio.open_read(file))
        size = fsio.stat_open(packed).size

        def place(role: str) -> BinaryIO:
            return stack.enter_context(fsio.create(f"{scratch}/old-{role}"))

        wanted = profile.members_of(named.stage)
        opened = stack.enter_context(open_members(packed, size, wanted, named.parts, place))
        made = []
        for role, source in opened.streams.items():
            new = stack.enter_context(fsio.create(f"{scratch}/new-{role}"))
            _member(profile, named, role, source, new, to, told)
            made.append((_called(named, opened, role), new))
        fsio.mkdirs(fsio.absolute(out))
        for _name, stream in made:
            stream.seek(0)
        with fsio.create(target) as result:
            container.pack_members(opened.kind, made, result, clock.now())
            fsio.fsync_file(result)
    return _report(named, target, to, told)


def _called(named: NamedFile, opened: OpenedMembers, role: str) -> str:
    return opened.names[role] or named.canonical


def _member(
    profile: Profile, named: NamedFile, role: str, source: BinaryIO, new: BinaryIO, to: str, told: Told
) -> None:
    member = next(one for one in profile.members_of(named.stage) if one.role == role)
    wanted = member.layout.format_map({**named.parts, "layout": profile.stages[named.stage].layout})
    kind, _, side = wanted.partition(":")
    encodings = tuple(profile.data["encodings"])
    old = federal_xml.layout_of(source, profile.rules, profile.id, wanted, encodings)
    try:
        layout = elements.nearest(profile.rules, profile.id, kind, side, to, named.period)
        if layout.version != to:  # a version of the future, or of the past: what would break in it?
            layout = elements.nearest(profile.rules, profile.id, kind, side, to, "")
    except SetupError:
        raise WrongState("CONVERT", f"{kind} {to}") from None
    if layout.version != to and role == "main":
        raise WrongState("CONVERT", f"{kind} {to}")
    moves = migrate.moves_between(profile.rules, profile.id, old.version, layout.version)
    report = migrate.rewrite(source, layout, new, moves, {"VERSION": layout.version}, encodings)
    for path, count in report.lost.items():
        told.lost[path] = told.lost.get(path, 0) + count
    for path, count in report.fill_in.items():
        told.fill_in[path] = told.fill_in.get(path, 0) + count
    told.confirmed = told.confirmed and layout.confirmed
    if role == "main":
        told.records = report.records
    new.seek(0)
    for fault in verdict(new, layout, encodings):
        told.accounts.setdefault(report.key_at(fault.line), []).append(
            {"code": fault.rule, "element": fault.element, "line": str(fault.line)}
        )


def _report(named: NamedFile, target: str, to: str, told: Told) -> dict[str, Any]:
    return {
        "file": named.canonical,
        "to": to,
        "written": target,
        "records": told.records,
        "types_confirmed": told.confirmed,
        "no_place": [{"element": path, "values": count} for path, count in sorted(told.lost.items())],
        "fill_in": [{"element": path, "records": count} for path, count in sorted(told.fill_in.items())],
        "broken": [{"account": key, "problems": problems} for key, problems in sorted(told.accounts.items())[:LISTED]],
        "broken_total": len(told.accounts),
    }


def titles(profile: Profile) -> dict[str, str]:
    """Structural code or problem of a source → what it means, in the language in force."""
    problems = profile.rules.toml("common/problems.toml")
    found = {code: pick(str(row["title"]), str(row["title_en"])) for code, row in problems.items()}
    for name in profile.rules.list("common/structure", ".toml"):
        row = profile.rules.toml(name)
        found[str(row["code"])] = pick(str(row["title"]), str(row["title_en"]))
    return found
