"""Kinds of control (F006) and what the shares of a ground (К_НО, К_ШТ of F014) come to in kopecks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.ruledata import RuleData

FILE = "common/control.toml"
NORMS = "books/norms.csv"


@dataclass(frozen=True)
class Controls:
    """What ``common/control.toml`` says: groups of kinds by name, and kinds of decisions by ground and day."""

    groups: Mapping[str, Mapping[str, Any]]
    decisions: Sequence[Mapping[str, Any]]
    norm: str

    @staticmethod
    def of(rules: RuleData) -> Controls:
        """Read the file; ``SetupError`` when something is missing in it."""
        data = rules.toml(FILE)
        try:
            return Controls(data["groups"], data["decision"], str(data["money"]["norm"]))
        except KeyError as error:
            raise SetupError(f"{FILE}: no {error}") from None

    def group(self, kind: str) -> str:
        """The name of the group that this number of F006 belongs to; empty where it belongs to none."""
        if not kind.isdecimal():
            return ""
        number = int(kind)
        fits = (name for name, one in self.groups.items() if any(low <= number <= high for low, high in one["kinds"]))
        return next(fits, "")

    def kind(self, ground: str, day: date) -> str:
        """The kind of a decision that does not say it; ``SetupError`` when no line fits."""
        for one in self.decisions:
            in_force = one.get("valid_from", date.min) <= day <= one.get("valid_to", date.max)
            if in_force and re.fullmatch(one["ground"], ground):
                return str(one["code"])
        raise SetupError(f"{FILE}: decision: no kind of control for a ground on {day.isoformat()}")

    def needs_expert(self, kind: str) -> bool:
        """Whether a sanction of this kind must name its expert."""
        return bool(self.groups.get(self.group(kind), {}).get("expert"))


def share_of(kopecks: int, share: str) -> int:
    """A share (``0.3``, not below 0) of a sum in kopecks: exact, rounded to the kopeck, a half up."""
    exact = Decimal(kopecks) * Decimal(share)
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def norm(rules: RuleData, profile: str, code: str, day: date) -> int | None:
    """A norm of the territorial programme on a day, in kopecks; ``None`` where the profile's book has none."""
    file = f"{profile}/{NORMS}"
    if not rules.exists(file):
        return None
    for row in rules.table(file):
        since = date.fromisoformat(row["valid_from"]) if row["valid_from"] else date.min
        until = date.fromisoformat(row["valid_to"]) if row["valid_to"] else date.max
        if row["code"] == code and since <= day <= until:
            return int(Decimal(row["value"]) * 100)
    return None
