"""Archives with planted defects, and the findings and codes of return that they must give: none missing, none extra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.model import roubles
from oms_batch.synth.krasnodar import Account, Archive, archives, kopecks
from oms_batch.synth.numbers import base, mix
from oms_batch.synth.world import Spec

Changes = dict[str, list[dict[str, str]]]
_PLACE = re.compile(r"\{(\w+)([+-]\d+)?\}")


@dataclass(frozen=True, slots=True)
class Defect:
    """One plantable defect; ``gives``: rule → severity, ``pv``: codes of the return in their order."""

    name: str
    gives: Mapping[str, str]
    pv: str = ""
    p: Mapping[str, str] = field(default_factory=dict)
    u: Mapping[str, str] = field(default_factory=dict)
    last_u: Mapping[str, str] = field(default_factory=dict)
    every_u: Mapping[str, str] = field(default_factory=dict)
    fits: Mapping[str, Any] = field(default_factory=dict)
    drop: bool = False
    again: bool = False
    insured: Sequence[Mapping[str, str]] | None = None

    @property
    def rejects(self) -> bool:
        return "reject" in self.gives.values()


@dataclass
class Planted:
    """Archives by payer and what their payers must find.

    ``planted``: (key of the account, which of those with that key, from 1) → defect. ``insured``: what differs in the
    register of the insured, as ``synth.insured`` takes it.
    """

    archives: dict[str, Archive]
    planted: dict[str, dict[tuple[str, int], Defect]]
    insured: Changes


def catalogue(profile: Profile) -> tuple[Defect, ...]:
    """All defects of the profile, in their order; ``SetupError`` when a name stands twice."""
    rows = profile.rules.toml(f"{profile.id}/synth/defects.toml")["defect"]
    found = tuple(Defect(**row) for row in rows)
    if len({one.name for one in found}) != len(found):
        raise SetupError("synth/defects.toml: a name stands twice")
    return found


def plant(profile: Profile, spec: Spec, *, each: int = 1, per_mille: int = 0, names: Sequence[str] = ()) -> Planted:
    """A month with ``each`` of every defect (of ``names``), or with ``per_mille`` of the accounts in rotation.

    A person gets one defect, and only a person with one account. ``SetupError`` when the month is too small.
    """
    found = Planted(archives(profile, spec), {}, {})
    chosen = [one for one in catalogue(profile) if not names or one.name in names]
    left = {one.name: each for one in chosen} if not per_mille else {}
    turn = 0
    alone = _alone(found.archives)
    for payer, archive in found.archives.items():
        found.planted[payer] = {}
        for at, account in enumerate(list(archive.accounts)):
            if account.person.ordinal not in alone:
                continue
            if per_mille and mix(base(f"{spec.seed} {account.key}")) % 1000 >= per_mille:
                continue
            order = chosen[turn % len(chosen) :] + chosen[: turn % len(chosen)] if per_mille else chosen
            ready = (one for one in order if (per_mille or left[one.name]) and suits(one, archive, at, account))
            if (defect := next(ready, None)) is not None:
                turn += 1
                if not per_mille:
                    left[defect.name] -= 1
                _apply(found, payer, account, defect)
    if any(left.values()):
        raise SetupError(f"synth: no room for {min(name for name, count in left.items() if count)}")
    return found


def _alone(found: Mapping[str, Archive]) -> set[int]:
    """Persons with one account."""
    seen: dict[int, int] = {}
    for archive in found.values():
        for account in archive.accounts:
            seen[account.person.ordinal] = seen.get(account.person.ordinal, 0) + 1
    return {who for who, count in seen.items() if count == 1}


def suits(defect: Defect, archive: Archive, at: int, account: Account) -> bool:
    """Whether a defect can be planted into this account."""
    first = account.u[0]
    lists = {"vp": first["VP"], "mp": account.p["MP"], "spv": account.p["SPV"], "payer": archive.payer}
    flags = {
        "adult": not account.person.child,
        "single": first["KOLU"] == "1",
        "paid": kopecks(first["TARU"]) > 0,
        "later": at > 0,
    }
    for name, wanted in defect.fits.items():
        if name in lists:
            fine = lists[name] in wanted
        elif name in flags:
            fine = flags[name] is wanted
        elif name in ("services", "least"):
            fine = len(account.u) == wanted if name == "services" else len(account.u) >= wanted
        else:
            raise SetupError(f"defect {defect.name}: fits {name}")
        if not fine:
            return False
    return True


def _apply(found: Planted, payer: str, account: Account, defect: Defect) -> None:
    archive, nth = found.archives[payer], 1
    if defect.again:
        twin = Account(account.person, deepcopy(account.p))
        archive.accounts.insert(archive.accounts.index(account) + 1, twin)
        account, nth = twin, 2
    values = _values(account)
    if account.u:
        account.u[0] |= _filled(defect.u, values)
        account.u[-1] |= _filled(defect.last_u, values)
    for row in account.u:
        row |= _filled(defect.every_u, values)
    account.p |= _filled(defect.p, values)
    if "COMMENT" in defect.p:  # the later version has another field for it
        account.p["COMENTSL"] = account.p["COMMENT"]
    if defect.drop:
        account.u.clear()
    if defect.insured is not None:
        found.insured[account.person.enp] = [dict(row) for row in defect.insured]
    found.planted[payer][account.key, nth] = defect


def _values(account: Account) -> dict[str, str | date | int]:
    p, first = account.p, account.u[0] if account.u else {"SUMM": "0.00", "TARU": "0.00"}
    dats = date.fromisoformat(p["DATS"])
    return {
        "d1": date.fromisoformat(p["DATN"]),
        "d2": date.fromisoformat(p["DATO"]),
        "dats": dats,
        "first": dats.replace(day=1),
        "ns": p["NS"],
        "summ": kopecks(first["SUMM"]),
        "taru": kopecks(first["TARU"]),
    }


def _filled(changes: Mapping[str, str], values: Mapping[str, str | date | int]) -> dict[str, str]:
    def fill(match: re.Match[str]) -> str:
        value, shift = values[match[1]], int(match[2] or 0)
        if isinstance(value, date):
            return (value + timedelta(days=shift)).isoformat()
        return roubles(value + shift) if isinstance(value, int) else value

    return {name: _PLACE.sub(fill, text) for name, text in changes.items()}
