"""Files of a play of a month with personal accounts: one archive for each payer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.synth.insured import Changes
from oms_batch.synth.krasnodar import Archive, archives, name_parts
from oms_batch.synth.krasnodar_again import again
from oms_batch.synth.krasnodar_files import members
from oms_batch.synth.krasnodar_planting import plant
from oms_batch.synth.world import Spec, build

STAGE = "P"
File = tuple[str, tuple[tuple[str, Iterable[bytes]], ...]]


def first(profile: Profile, spec: Spec, per_mille: int = 0) -> tuple[list[File], Changes, int]:
    """The archives of a month, what differs among the insured, and how many defects were planted."""
    if not per_mille:
        return _files(profile, spec, archives(profile, spec)), {}, 0
    found = plant(profile, spec, per_mille=per_mille)
    return _files(profile, spec, found.archives), found.insured, sum(map(len, found.planted.values()))


def once_more(profile: Profile, spec: Spec, earlier: Spec, refused: Sequence[Mapping[str, Any]]) -> list[File]:
    """Archives of returned accounts; ``refused`` are rows of the ledger (``xkey``, ``at``)."""
    days = {str(row["xkey"]): str(row["at"])[:10] for row in refused}
    return _files(profile, spec, again(profile, spec, earlier, days))


def _files(profile: Profile, spec: Spec, found: Mapping[str, Archive]) -> list[File]:
    world = build(profile, spec)
    files: list[File] = []
    for payer, archive in found.items():
        parts = name_parts(world, payer)
        made = members(profile, STAGE, archive.rows(), parts, world.last)
        name = profile.stages[STAGE].name.format_map(parts) + str(profile.data["name"]["extensions"][0])
        files.append((name, tuple((member, [data]) for member, data in made.items())))
    return files
