"""Profiles of the exchange as objects, read from ``rules/<profile>/profile.toml``.

Nothing here decides anything by itself: which file is which stage, who may send it and
what the receiver does with it are lines of the profile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.ruledata import RuleData

MO, FUND, INSURER, PAYER = "mo", "fund", "insurer", "payer"
ROLES = {"mo": MO, "tfoms": FUND, "smo": INSURER}


@dataclass(frozen=True, slots=True)
class Payer:
    """One payer letter: an insurer, or the fund for those insured elsewhere."""

    code: str
    smo: str
    ogrn: str
    name: str
    kind: str
    valid_from: date
    valid_to: date | None

    def open_in(self, first: date, last: date) -> bool:
        return self.valid_from <= last and (self.valid_to is None or self.valid_to >= first)

    def open_on(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage means, whether its file is for all payers or for one, and how its name is built.

    ``name`` is a template over the parts of a name: what a file of this stage is called; ``layout`` is which side of
    a layout its members follow, ``writer`` who writes it where it is no register, ``kinds`` which payers get one,
    ``empty`` whether it goes out without accounts.
    """

    code: str
    payers: str
    title: str
    title_en: str
    name: str = ""
    layout: str = ""
    writer: str = ""
    kinds: tuple[str, ...] = ("insurer", "fund")
    empty: bool = True


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a delivered file: its role, the mask of its name (parts of the file's name put in), its layout."""

    role: str
    mask: str
    name: str
    layout: str
    required: bool = True
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hop:
    """One line of the exchange: this stage from this party to that one, and what happens to it."""

    stage: str
    sender: str
    receiver: str
    handler: str
    rules: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    passed: str = ""
    refused: str = ""
    after: str = ""
    with_: str = ""
    enters_next_as: str = ""
    again: str = "NAME_REUSED"
    source: str = ""
    source_is: str = ""
    proved_by: str = ""
    identifies: bool = False
    rejected: str = ""
    over: str = ""
    pair: str = ""
    holds: str = ""
    when: str = ""

    @property
    def awaits(self) -> tuple[str, ...]:
        """Stages one of which must be known before this file can be taken in; none: it waits for nothing."""
        return tuple(self.after.split())


@dataclass(frozen=True)
class Profile:
    """A profile: the names, stages, hops and choices of one dialect of the exchange."""

    id: str
    data: dict[str, Any]
    rules: RuleData

    def __hash__(self) -> int:
        return hash((self.id, self.rules))

    @cached_property
    def forms(self) -> tuple[tuple[re.Pattern[str], str, str], ...]:
        """The forms of names: mask, the stage that it means (empty: the name says it itself), form of the register."""
        usual = self.data["name"].get("register", "")
        rows = self.data["name"].get("form") or [{"mask": self.data["name"]["mask"]}]
        return tuple(
            (re.compile(row["mask"], re.ASCII), row.get("stage", ""), row.get("register", usual)) for row in rows
        )

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """What may lie in a delivered file; of a profile with one document: that document."""
        rows = self.data.get("member_of") or []
        found = tuple(Member(**_as_tuples(row)) for row in rows)
        one = str(self.data.get("member", ""))
        return found or (Member("main", re.escape(one), one, str(self.data.get("layout", ""))),)

    def members_of(self, stage: str) -> tuple[Member, ...]:
        """The members that a file of this stage has."""
        return tuple(one for one in self.members if not one.stages or stage in one.stages)

    @cached_property
    def stages(self) -> dict[str, Stage]:
        rows = [
            Stage(**{**row, **({"kinds": tuple(row["kinds"])} if "kinds" in row else {})}) for row in self.data["stage"]
        ]
        found = {row.code: row for row in rows}
        if len(found) != len(rows):
            raise SetupError(f"{self.id}: a stage stands twice in profile.toml")
        return found

    @cached_property
    def hops(self) -> tuple[Hop, ...]:
        """The lines that hold for the way of work which the profile has set (``[mek]``)."""
        way = self.data.get("mek", {}).get("by", "")
        return tuple(_hop(row) for row in self.data["hop"] if row.get("when", way) == way)

    @cached_property
    def sends(self) -> tuple[Hop, ...]:
        return tuple(_hop(row) for row in self.data["send"])

    @cached_property
    def payers(self) -> tuple[Payer, ...]:
        return tuple(
            Payer(
                row["code"],
                row["smo"],
                row["ogrn"],
                row["name"],
                row["kind"],
                date.fromisoformat(row["valid_from"]),
                date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            )
            for row in self.rules.table(f"{self.id}/books/payers.csv")
        )

    @cached_property
    def buckets(self) -> dict[str, str]:
        """State of an account → the bucket of ``ledger verify`` that counts it."""
        return {state: bucket for bucket, states in self.data["buckets"].items() for state in states}

    @property
    def life(self) -> dict[str, list[str]]:
        """State of an account → the states that may follow it."""
        return dict(self.data["life"])

    def payer(self, code: str, day: date) -> Payer | None:
        """The payer who had this letter on that day."""
        return next((one for one in self.payers if one.code == code and one.open_on(day)), None)

    def payer_in(self, code: str, first: date, last: date) -> Payer | None:
        """The payer who had this letter on some day of a span; the latest when there were several."""
        found = [one for one in self.payers if one.code == code and one.open_in(first, last)]
        return max(found, key=lambda one: one.valid_from, default=None)

    def hop(self, stage: str, sender: str, receiver: str) -> Hop | None:
        """The line for a file of this stage between these parties; ``None``: not allowed."""
        return next(
            (one for one in self.hops if (one.stage, one.sender, one.receiver) == (stage, sender, receiver)), None
        )

    def send(self, stage: str, sender: str) -> Hop | None:
        """The line for a file of this stage that this party makes itself."""
        return next((one for one in self.sends if (one.stage, one.sender) == (stage, sender)), None)


def _hop(row: dict[str, Any]) -> Hop:
    named = {"from": "sender", "to": "receiver", "with": "with_"}
    return Hop(**{named.get(key, key): value for key, value in _as_tuples(row).items()})


def _as_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def shipped(rules: RuleData | None = None) -> tuple[str, ...]:
    """Ids of the profiles that there are, the usual one first."""
    data = (rules if rules is not None else RuleData()).toml("profiles.toml")
    return tuple(sorted(data["shipped"], key=lambda name: name != data["default"]))


def load_profile(name: str = "", rules: RuleData | None = None) -> Profile:
    """Read a profile by its id (the usual one where none is named); ``SetupError`` says what is missing in it."""
    source = rules if rules is not None else RuleData()
    name = name or shipped(source)[0]
    data = source.toml(f"{name}/profile.toml")
    try:
        profile = Profile(name, data, source)
        _check(profile)
    except (KeyError, TypeError, re.error) as error:
        raise SetupError(f"{name}/profile.toml: {error}") from None
    return profile


def _check(profile: Profile) -> None:
    states = set(profile.life)
    for follow in profile.life.values():
        states.update(follow)
    if missing := states - set(profile.buckets):
        raise SetupError(f"{profile.id}: states without a bucket: {', '.join(sorted(missing))}")
    for line in (*profile.hops, *profile.sends):
        named = (line.stage, *line.awaits, *line.emits, *filter(None, (line.with_, line.over, line.pair, line.source)))
        if strange := set(named) - set(profile.stages):
            raise SetupError(f"{profile.id}: stage {min(strange)} of a hop is not described")
        for state in filter(None, (line.passed, line.refused, line.rejected)):
            if state not in states:
                raise SetupError(f"{profile.id}: state {state} of a hop is not in [life]")
