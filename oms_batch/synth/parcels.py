"""What a play of a month needs of any wire format: files to send, the insured that fit, corrected accounts once more.

``FIRST`` and ``AGAIN`` hold the makers by the name that ``demo.toml`` of a profile gives (``maker``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oms_batch.exchange import Profile
from oms_batch.model import Totals
from oms_batch.synth import federal, federal_planting, krasnodar_parcels, moscow_files, mtr
from oms_batch.synth.insured import Changes
from oms_batch.synth.planting import Plan
from oms_batch.synth.world import Spec

Members = tuple[tuple[str, Iterable[bytes]], ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One file to send: its name and its members with their bytes in blocks."""

    name: str
    members: Members


@dataclass(frozen=True, slots=True)
class Made:
    """The files of a month, what is changed in the register of the insured so that planted defects are found there,
    and how many defects were planted; where the maker tells, what must be found, and accounts and kopecks."""

    parcels: Sequence[Parcel]
    insured: Changes = field(default_factory=dict)
    planted: int = 0
    expected: Mapping[str, Any] | None = None
    totals: Totals | None = None


First = Callable[[Profile, Spec, Mapping[str, Any]], Made]
Again = Callable[[Profile, Spec, Spec, Sequence[Mapping[str, Any]]], Sequence[Parcel]]


def _federal(profile: Profile, spec: Spec, data: Mapping[str, Any]) -> Made:
    """A main document with its L; ``each``: so many of every defect, else a share of the accounts (``per_mille``)."""
    each, share = int(data.get("each") or 0), int(data.get("per_mille") or 0)
    if not each and not share:
        register = federal.register(profile, spec)
        return Made([_pair(profile, register)], totals=register.totals)
    plan = Plan(side=str(data.get("side") or "fund"), each=each, per_mille=0 if each else share)
    planted = federal_planting.plant(profile, spec, plan)
    found, register = planted.expected, planted.register
    return Made([_pair(profile, register)], found["insured"], len(found["accounts"]), found, register.totals)


def _federal_again(
    profile: Profile, spec: Spec, earlier: Spec, refused: Sequence[Mapping[str, Any]]
) -> Sequence[Parcel]:
    """A packet of the accounts that were refused, as the earlier register has them, now without fault."""
    ordinals = tuple(sorted(int(row["idcase"]) - 1 for row in refused))
    return [_pair(profile, federal.again(profile, spec, federal.Again(earlier, ordinals)))] if ordinals else []


def _pair(profile: Profile, made: federal.Register) -> Parcel:
    members = ((f"{made.name}.XML", made.main), (f"{made.persons_name}.XML", made.persons))
    return Parcel(f"{made.name}{profile.data['name']['extensions'][0]}", members)


def _krasnodar(profile: Profile, spec: Spec, data: Mapping[str, Any]) -> Made:
    """An archive of personal accounts for each payer."""
    each, share = int(data.get("each") or 0), int(data.get("per_mille") or 0)
    month = krasnodar_parcels.first(profile, spec, each=each, per_mille=share)
    parcels = [Parcel(name, members) for name, members in month.files]
    return Made(parcels, month.insured, month.planted, month.expected, month.totals)


def _krasnodar_again(
    profile: Profile, spec: Spec, earlier: Spec, refused: Sequence[Mapping[str, Any]]
) -> Sequence[Parcel]:
    """An archive of returned accounts for each payer, under the repeat kind."""
    return [Parcel(name, members) for name, members in krasnodar_parcels.once_more(profile, spec, earlier, refused)]


def _moscow(profile: Profile, spec: Spec, data: Mapping[str, Any]) -> Made:
    """A parcel of tables for each payer; every error that can be planted there ``each`` times, or as a share needs."""
    share = int(data.get("per_mille") or 0)
    files, planted = moscow_files.first(profile, spec, int(data.get("each") or 0), share)
    return Made([Parcel(name, members) for name, members in files], planted=planted)


def _nothing_again(
    _profile: Profile, _spec: Spec, _earlier: Spec, _refused: Sequence[Mapping[str, Any]]
) -> Sequence[Parcel]:
    """An exchange without repeated accounts: a service belongs to its month only."""
    return []


def _mtr(profile: Profile, spec: Spec, data: Mapping[str, Any]) -> Made:
    """A main part between funds: a share of accounts is refused by the payer, another is paid in part by the issuer."""
    spoiled = mtr.share(spec, int(data.get("per_mille") or 0), 1)
    held = dict.fromkeys(mtr.share(spec, int(data.get("held_per_mille") or 0), 2), 1000)
    made = mtr.part(profile, spec, mtr.Order(held=held, spoiled=spoiled))
    return Made([_packed(profile, made)], planted=len(spoiled), totals=Totals(made.accounts, made.billed))


def _mtr_again(profile: Profile, spec: Spec, earlier: Spec, refused: Sequence[Mapping[str, Any]]) -> Sequence[Parcel]:
    """The corrected part of the accounts that were refused, now without fault."""
    ordinals = tuple(sorted(int(row["idcase"]) - 1 for row in refused))
    order = mtr.Order(earlier=earlier, ordinals=ordinals)
    return [_packed(profile, mtr.part(profile, spec, order))] if ordinals else []


def _packed(profile: Profile, made: mtr.Part) -> Parcel:
    return Parcel(f"{made.name}{profile.data['name']['extensions'][0]}", ((f"{made.name}.XML", made.document),))


FIRST: Mapping[str, First] = {"federal": _federal, "krasnodar": _krasnodar, "moscow": _moscow, "mtr": _mtr}
AGAIN: Mapping[str, Again] = {
    "federal": _federal_again,
    "krasnodar": _krasnodar_again,
    "moscow": _nothing_again,
    "mtr": _mtr_again,
}
