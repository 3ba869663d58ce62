"""Returned accounts billed again: corrected, under the repeat kind, with the day of their return."""

from __future__ import annotations

from collections.abc import Mapping

from oms_batch.exchange import Profile
from oms_batch.synth.krasnodar import Account, Archive, archives, number_of, settle
from oms_batch.synth.world import Spec, World, build


def again(profile: Profile, spec: Spec, earlier: Spec, returned: Mapping[str, str]) -> dict[str, Archive]:
    """Payer → an archive of the accounts of an earlier month that came back, now without fault.

    ``returned``: key of the account → day of its return (``YYYY-MM-DD``). Keys that the month does not have are left
    out.
    """
    world = build(profile, spec)
    found: dict[str, Archive] = {}
    for payer, archive in archives(profile, earlier).items():
        chosen = [one for one in archive.accounts if one.key in returned]
        if chosen:
            found[payer] = Archive(payer, [_repeat(world, one, returned[one.key]) for one in chosen])
            settle(world, found[payer])
    return found


def _repeat(world: World, one: Account, day: str) -> Account:
    was, number = one.p["NS"], str(int(number_of(world)))
    for row in (one.p, *one.u, *one.r):
        row["NS"] = number
    last = world.last.isoformat()
    one.p |= {"VS": str(world.defaults["repeat"]), "DATS": last, "DATPS": last, "COMMENT": was, "COMENTSL": was}
    one.p["DVOZVRAT"] = day
    return one
