"""An archived register judged once more: under other rules, another edition of a book, another version of format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oms_batch import clock, i18n
from oms_batch.doors import convert
from oms_batch.errors import Refusal, WrongState
from oms_batch.exchange import INSURER, MO, PAYER, ROLES, Hop, load_profile
from oms_batch.intake import names
from oms_batch.judge.bookindex import load_index
from oms_batch.model import NamedFile, WorkOrder
from oms_batch.ruledata import RuleData
from oms_batch.site import Site
from oms_batch.store import editions, facts, fsio, queue, sandbox

NOW, SHIPPED = "now", "shipped"
_KEPT = re.compile(r"(?P<name>.+)\.[0-9a-f]{16}")
_BOOK = re.compile(r"(?P<book>[a-z][a-z0-9_]*)@(?P<version>[\w.-]+)")


@dataclass(frozen=True)
class Side:
    """What a register is judged under: a folder of rules laid over the shipped ones, the version it is brought to."""

    said: str
    overlay: str
    version: str = ""


@dataclass(frozen=True)
class Old:
    """An archived main register: its path, and the line by which its receiver judged it."""

    path: str
    named: NamedFile
    line: Hop


def side_of(site: Site, text: str, scratch: str) -> Side:
    """``now``, ``shipped``, a folder of rules, ``book@version`` (an edition that the home keeps), ``version=3.2``, with
    commas between. ``WrongState`` COMPARE_SIDE when it is none of these.
    """
    overlay, version = site.overlay, ""
    for part in (one.strip() for one in text.split(",")):
        if part == NOW:
            continue
        if part == SHIPPED:
            overlay = ""
        elif part.startswith("version="):
            version = part.removeprefix("version=")
        elif match := _BOOK.fullmatch(part):
            overlay = _with_edition(site, overlay, match["book"], match["version"], f"{scratch}/{match['book']}")
        elif _is_folder(part):
            overlay = fsio.absolute(part)
        else:
            raise WrongState("COMPARE_SIDE", part)
    return Side(text, overlay, version)


def _with_edition(site: Site, overlay: str, book: str, version: str, folder: str) -> str:
    """A copy of the overlay in which this book is the edition of that version, wherever its table is looked for."""
    found = [one for one in editions.kept(overlay, book) if version in (one.version, one.day)] if overlay else []
    if not found:
        raise WrongState("COMPARE_SIDE", f"{book}@{version}")
    for path in _files(overlay):
        target = folder + fsio.absolute(path).removeprefix(fsio.absolute(overlay))
        fsio.mkdirs(target.rpartition("/")[0])
        fsio.copy_hash(path, target)
    entry = load_index(site.rules, site.profile.id).get(book)
    places = entry.places(site.profile.id) if entry else (f"common/books/{book}.csv",)
    editions.lay(folder, [(place, fsio.read_bytes(found[-1].path)) for place in places])
    return folder


def archived(site: Site, places: list[str]) -> Iterator[Old]:
    """The registers among these files and folders that we judge, or as an organisation have judged; told by name."""
    profile, party = site.profile, ROLES[site.settings.role]
    for place in places:
        if not fsio.exists(place):
            raise WrongState("COMPARE_OVER", fsio.basename(place))
        for path in _files(place) if _is_folder(place) else [place]:
            kept = _KEPT.fullmatch(fsio.basename(path))
            try:
                named = names.identify(kept["name"] if kept else fsio.basename(path), profile)
            except (Refusal, names.Ignored):
                continue
            judged = (one for one in profile.hops if one.stage == named.stage and one.emits and one.rules)
            lines = [one for one in judged if party in _judges(one, party)]
            if lines:
                yield Old(path, named, lines[0])


def _judges(line: Hop, party: str) -> tuple[str, ...]:
    """Who has the file of this line judged: its receiver, and the organisation that sends it."""
    if party == MO:
        return (line.sender,)
    return (INSURER,) if line.receiver == PAYER else (line.receiver,)


def _is_folder(path: str) -> bool:
    found = fsio.stat(path)
    return found is not None and found.kind == "folder"


def _files(folder: str) -> Iterator[str]:
    """All files of a folder and below it, in order of their names."""
    for item in fsio.scandir(folder):
        if item.kind == "folder":
            yield from _files(item.path)
        elif item.kind == "file":
            yield item.path


def replay(site: Site, old: Old, side: Side, folder: str) -> dict[str, Any]:
    """Judge one archived register under a side; its tables lie in ``folder``. Later registers are not looked at."""
    fsio.mkdirs(f"{folder}/box")
    path = f"{folder}/{old.named.canonical}"
    fsio.copy_hash(old.path, path)
    profile = load_profile(site.profile.id, RuleData(side.overlay))
    if side.version:
        convert.run(profile, path, side.version, f"{folder}/made")
        path = f"{folder}/made/{old.named.canonical}"
    sha256, size = fsio.hash_file(path)
    insured = str(site.home.insured) if fsio.exists(site.home.insured) else ""
    before = [one for one in facts.periods(site.home.archive) if one < old.named.period]
    order = WorkOrder(
        handler="replay",
        home=folder,
        profile=profile.id,
        role=site.settings.role,
        own=site.settings.own.model_dump(),
        named=old.named,
        source=path,
        sha256=sha256,
        size=size,
        box=f"{folder}/box",
        scratch=folder,
        received_at=clock.now().isoformat(),
        lang=i18n.language(),
        facts=facts.listed(site.home.archive, before),
        limits=site.settings.limits.model_dump(),
        options={
            "hop": {"stage": old.line.stage, "sender": old.line.sender, "receiver": old.line.receiver},
            "overlay": side.overlay,
            "insured": insured,
            "decided": queue.export_decided(site.ledger, f"{folder}/decided.parquet") if insured else "",
            "without_insured": not insured,
            "job": 0,
        },
    )
    asked = site.settings.limits
    limits = sandbox.Limits(asked.memory_mb, asked.cpu_seconds, asked.wall_seconds, asked.isolate)
    return sandbox.run("oms_batch.stages.replay:work", order.as_json(), limits)
