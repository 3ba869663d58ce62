"""Files of a play of a month with personal accounts: one archive for each payer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.model import Totals
from oms_batch.synth.insured import Changes
from oms_batch.synth.krasnodar import Archive, archives
from oms_batch.synth.krasnodar_again import again
from oms_batch.synth.krasnodar_files import file_name, members
from oms_batch.synth.krasnodar_planting import Planted, plant
from oms_batch.synth.world import Spec, build

File = tuple[str, tuple[tuple[str, Iterable[bytes]], ...]]


@dataclass(frozen=True, slots=True)
class Month:
    """The archives of a month, what differs among the insured, what must be found (JSON-ready), and the totals."""

    files: list[File]
    insured: Changes
    planted: int
    expected: dict[str, Any] | None
    totals: Totals


def first(profile: Profile, spec: Spec, *, each: int = 0, per_mille: int = 0) -> Month:
    """A month with ``each`` of every defect, or with ``per_mille`` of its accounts, or without any."""
    if not each and not per_mille:
        valid = archives(profile, spec)
        return Month(_files(profile, spec, valid), {}, 0, None, _totals(valid))
    found = plant(profile, spec, each=each, per_mille=0 if each else per_mille)
    count = sum(map(len, found.planted.values()))
    files = _files(profile, spec, found.archives)
    return Month(
        files, found.insured, count, _expected(found, [name for name, _members in files]), _totals(found.archives)
    )


def _totals(found: Mapping[str, Archive]) -> Totals:
    return sum((one.totals for one in found.values()), Totals())


def _expected(found: Planted, names: Sequence[str]) -> dict[str, Any]:
    """By archive: each account with a defect, the findings that it must give and the codes it must come back with."""
    told = {}
    for name, (payer, archive) in zip(names, found.archives.items(), strict=True):
        rows = [
            {"account": key, "nth": nth, "defect": one.name, "findings": dict(one.gives), "pv": one.pv}
            for (key, nth), one in found.planted[payer].items()
        ]
        totals = {"accounts": archive.totals.accounts, "kopecks": archive.totals.kopecks}
        told[name] = {"accounts": rows, "register": totals}
    return {"archives": told, "insured": found.insured}


def once_more(profile: Profile, spec: Spec, earlier: Spec, refused: Sequence[Mapping[str, Any]]) -> list[File]:
    """Archives of returned accounts; ``refused`` are rows of the ledger (``xkey``, ``at``)."""
    days = {str(row["xkey"]): str(row["at"])[:10] for row in refused}
    return _files(profile, spec, again(profile, spec, earlier, days))


def _files(profile: Profile, spec: Spec, found: Mapping[str, Archive]) -> list[File]:
    world = build(profile, spec)
    return [
        (file_name(world, payer), tuple((member, [data]) for member, data in members(world, archive).items()))
        for payer, archive in found.items()
    ]
