"""The order of search of a profile (``rules/<profile>/identification.toml``): steps, days, comparison, vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.judge.person import Spelling, load_spelling
from oms_batch.ruledata import RuleData

INSURED_COLUMNS: Mapping[str, str] = {
    "n": "BIGINT",
    "enp": "VARCHAR",
    "vpolis": "VARCHAR",
    "spolis": "VARCHAR",
    "npolis": "VARCHAR",
    "fam": "VARCHAR",
    "im": "VARCHAR",
    "ot": "VARCHAR",
    "dr": "DATE",
    "w": "VARCHAR",
    "snils": "VARCHAR",
    "smo": "VARCHAR",
    "date_from": "DATE",
    "date_to": "DATE",
    "person_key": "UBIGINT",
    "person": "VARCHAR",
}
NAMES = ("fam", "im", "ot")
PERSONAL = (*NAMES, "dr", "w")
NUMBERS = ("enp", "npolis")
REGISTER_OF_INSURED, NUMBER_LIST = "register", "numbers"
MONTH_END, MONTH_START = "month_end", "month_start"
STATES = ("in_force", "ended", "later", "before", "ambiguous", "unknown", "incomplete")
TOKENS = (*PERSONAL, "im1", "ot1", "year")  # im1, ot1: the first letter; year: of birth
_WORD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class Step:
    """One way to search: ``match`` maps columns of the insured to columns of the person.

    ``source``: the register of the insured, or the list of policies in force, which knows numbers only.
    ``doubt``: whom this step finds is matched only when a person has said so.
    """

    name: str
    kinds: tuple[str, ...]
    match: tuple[tuple[str, str], ...]
    person: bool
    ties: str
    differences: int
    source: str = REGISTER_OF_INSURED
    doubt: bool = False

    @property
    def by_number(self) -> bool:
        """Whether the policy itself led to the person: such a step never runs for a cancelled policy."""
        return any(theirs in NUMBERS for theirs, _ in self.match)


@dataclass(frozen=True)
class Vector:
    """One sign of an answer: what led to the person, what is equal, what became of the policy."""

    code: str
    by: str
    same: tuple[str, ...]
    state: str


@dataclass(frozen=True)
class Search:
    """The order of search of a profile.

    ``day`` is the day of care (column of an account); ``days`` are the days on which a policy is looked for, in
    this order. ``doubts``: what must differ that a person is asked; ``most``: of how many who fit partly nobody is.
    """

    day: str
    days: tuple[str, ...]
    compare: tuple[str, ...]
    spelling: Spelling
    steps: tuple[Step, ...]
    doubts: tuple[str, ...] = ()
    most: int = 3
    vectors: tuple[Vector, ...] = ()


def load_search(rules: RuleData, profile: str) -> Search:
    """Read identification.toml; ``SetupError`` names the key that is wrong."""
    file = f"{profile}/identification.toml"
    data = rules.toml(file)
    try:
        allowed = int(data["same_person"]["differences"])
        asked = data.get("doubt", {})
        found = Search(
            data["day"],
            tuple(data.get("days", [data["day"]])),
            tuple(data["same_person"]["compare"]),
            load_spelling(rules, profile),
            tuple(_step(row, allowed) for row in data["step"]),
            tuple(asked.get("differs", ())),
            int(asked.get("most", 3)),
            _vectors(rules, profile, str(data.get("vectors", ""))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"{file}: {error}") from None
    _check(found, file)
    return found


def _step(row: Mapping[str, Any], allowed: int) -> Step:
    return Step(
        str(row["name"]),
        tuple(row.get("kinds", ())),
        tuple(sorted(row.get("match", {}).items())),
        bool(row.get("person", False)),
        str(row.get("ties", "")),
        int(row.get("differences", allowed)),
        str(row.get("source", REGISTER_OF_INSURED)),
        bool(row.get("doubt", False)),
    )


def _vectors(rules: RuleData, profile: str, book: str) -> tuple[Vector, ...]:
    if not book:
        return ()
    file = f"{profile}/{book}.csv"
    found = tuple(
        Vector(row["vector"], row["by"], tuple(row["same"].split()), row["state"]) for row in rules.table(file)
    )
    for one in found:
        if one.by not in ("", "number", "person") or one.state not in STATES or not set(one.same) <= set(TOKENS):
            raise SetupError(f"{file}: {one.code}: by, same or state is not known")
    return found


def _check(found: Search, file: str) -> None:
    for step in found.steps:
        columns = {name for name, _ in step.match} | ({step.ties} if step.ties else set())
        if columns - set(INSURED_COLUMNS) or bool(step.match) == step.person:
            raise SetupError(f"{file}: step {step.name}: match columns of the insured, or person = true")
        if step.source not in (REGISTER_OF_INSURED, NUMBER_LIST):
            raise SetupError(f"{file}: step {step.name}: source is {REGISTER_OF_INSURED} or {NUMBER_LIST}")
    if not set(found.compare) <= set(PERSONAL) or not set(found.doubts) <= set(PERSONAL):
        raise SetupError(f"{file}: same_person.compare, doubt.differs: not columns")
    if not found.days or not all(_WORD.fullmatch(one) for one in (found.day, *found.days)):
        raise SetupError(f"{file}: day, days: not columns")
