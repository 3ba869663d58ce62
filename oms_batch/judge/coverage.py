"""Which official checks (Q015, Q016) are carried by which rule, which are not applicable and why, which are missing.

The list of the checks is ``common/official/ids.csv``; rules name theirs in ``official``, reading has ``structure.csv``,
reasons stand in ``absent.csv``. A check that a rule carries only where no layout has the element is not carried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from oms_batch.judge.rulebook import Rulebook
from oms_batch.judge.structure_proof import official_by_structure
from oms_batch.ruledata import RuleData

IDS, ABSENT = "common/official/ids.csv", "common/official/absent.csv"
IMPLEMENTED, NOT_APPLICABLE, MISSING = "implemented", "not_applicable", "missing"


@dataclass(frozen=True)
class Check:
    """One official check: ``state``, the rules that carry it, the exchanges in which they run, or the reason."""

    official: str
    book: str
    element: str
    files: str
    state: str
    rules: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    reason: str = ""
    reason_en: str = ""


def coverage(rules: RuleData, books: Iterable[Rulebook]) -> list[Check]:
    """All official checks in the order of their numbers, over the rulebooks of these exchanges."""
    carried, where = _carried(books)
    structure = official_by_structure(rules)
    absent = {one.strip(): row for row in rules.table(ABSENT) for one in row["official"].split("|")}
    found = []
    for row in rules.table(IDS):
        number = row["official"]
        own = dict.fromkeys(carried.get(number, ()))
        places = dict.fromkeys(where.get(number, ()))
        for line in structure.get(number, ()):
            own[line["finding"]] = None
            places[line["layout"].split("/")[0]] = None
        reason = absent.get(number, {})
        state = IMPLEMENTED if own else NOT_APPLICABLE if reason.get("reason") else MISSING
        found.append(
            Check(
                number, row["book"], row["element"], row["files"], state, tuple(own), tuple(places),
                "" if own else reason.get("reason", ""), "" if own else reason.get("reason_en", ""),
            )
        )  # fmt: skip
    return found


def _carried(books: Iterable[Rulebook]) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """Official number -> codes of the live rules that carry it, and the exchanges where they can run."""
    codes: dict[str, list[str]] = {}
    places: dict[str, list[str]] = {}
    for book in books:
        for rule in book.rules:
            if rule.status != "active" or (not rule.built_in and book.tables.lacks(rule.on, rule.parts())):
                continue
            for number in rule.official:
                codes.setdefault(number, []).append(rule.code)
                places.setdefault(number, []).append(book.profile)
    return codes, places


def counted(checks: Iterable[Check]) -> dict[str, int]:
    """How many in all, implemented, not applicable and missing."""
    found = {"official": 0, IMPLEMENTED: 0, NOT_APPLICABLE: 0, MISSING: 0}
    for one in checks:
        found["official"] += 1
        found[one.state] += 1
    return found
