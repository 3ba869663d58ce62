"""The book of refusal codes (F014 with its history) with its texts: what a code means, who puts it right, by what law.

``common/books/defects.csv`` says codes, grounds, days and shares; ``common/defect_texts.toml`` says, by topic, all that
people read. A topic joins the codes of the older orders with those of the newer one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from oms_batch.i18n import pick
from oms_batch.ruledata import RuleData

BOOK = "common/books/defects.csv"
TEXTS = "common/defect_texts.toml"
EXPERTS = "f014_"  # keys of codes that only experts use
_SPOKEN = {"explain": "means", "advice": "advice", "wrong": "wrong", "right": "right"}


@dataclass(frozen=True, slots=True)
class Law:
    """A legal source, or a kind of control, of the grounds that fit ``ground`` within these days."""

    ground: str
    since: date
    until: date
    text: str
    text_en: str

    def fits(self, osn: str, since: date, until: date) -> bool:
        """Whether it holds for this ground on some of these days."""
        return bool(re.fullmatch(self.ground, osn)) and self.since <= until and since <= self.until


def in_force(row: Mapping[str, str], day: date) -> bool:
    """Whether a row with ``valid_from`` and ``valid_to`` (ISO, empty: open) holds on this day."""
    since, until = span(row)
    return since <= day <= until


def span(row: Mapping[str, str]) -> tuple[date, date]:
    """The first and the last day of a row."""
    since, until = row["valid_from"], row["valid_to"]
    return date.fromisoformat(since) if since else date.min, date.fromisoformat(until) if until else date.max


@lru_cache(maxsize=8)
def rows(rules: RuleData) -> tuple[dict[str, str], ...]:
    """All rows of the book with the texts of their topics: columns ``explain advice wrong right`` and their ``_en``."""
    topics = _texts(rules)["topic"]
    found = []
    for row in rules.table(BOOK):
        texts: Mapping[str, Any] = topics.get(row.get("topic", ""), {})
        said = {
            f"{name}{end}": str(texts.get(f"{key}{end}", "")) for name, key in _SPOKEN.items() for end in ("", "_en")
        }
        found.append({**said, **row})
    return tuple(found)


def find(rules: RuleData, code: str, day: date | None = None) -> list[dict[str, str]]:
    """Rows with this key, F014 code or ground (``5.1.4``, ``1.4.4.``), in force on ``day``.

    A row that only repeats a code for experts (``f014_…``) is left out when a defect of rules has the same code.
    """
    wanted = code.strip().casefold().rstrip(".")
    met = [row for row in rows(rules) if wanted in (row["key"].casefold(), row["kod"], row["osn"].rstrip("."))]
    if day is not None:
        met = [row for row in met if in_force(row, day)]
    exact = [row for row in met if row["key"].casefold() == wanted]
    told = {row["kod"] for row in met if not row["key"].startswith(EXPERTS)}
    return exact or [row for row in met if not row["key"].startswith(EXPERTS) or row["kod"] not in told]


def joined(found: list[dict[str, str]]) -> dict[str, str]:
    """Rows of one ground as one row: each text once; it may be billed again if one of them allows it."""
    whole = dict(found[0])
    for name, between in (("name", " / "), *((name, " ") for name in _SPOKEN)):
        for column in (name, f"{name}_en"):
            whole[column] = between.join(dict.fromkeys(row[column] for row in found if row[column]))
    whole["resubmit"] = max(row["resubmit"] for row in found)
    return whole


def people(rules: RuleData, topic: str) -> tuple[str, ...]:
    """Who puts a fault of this topic right, in the language in force, the first first."""
    data = _texts(rules)
    return tuple(pick(*data["who"][who]) for who in data["topic"].get(topic, {}).get("who", ()))


def again(rules: RuleData, row: Mapping[str, str]) -> str:
    """Whether an account refused for this may be billed again, and until when or after what, in words."""
    data = _texts(rules)
    words = {name: pick(*both) for name, both in data["again"].items()}
    topic = data["topic"].get(row.get("topic", ""), {})
    if topic.get("again") == "after":
        return words["after"] + pick(topic["after"], topic["after_en"])
    told = words["yes" if row["resubmit"] == "1" else "no"]
    days = row.get("resubmit_days", "")
    return f"{told}; {words['days'].format(n=days)}" if days else told


def same(rules: RuleData, row: Mapping[str, str]) -> tuple[str, ...]:
    """Other codes of the same topic, ``ground (code)``, in the order of the codes."""
    topic = row.get("topic", "")
    met = {int(one["kod"]): one["osn"] for one in rows(rules) if topic and one["topic"] == topic}
    return tuple(f"{osn} ({kod})" for kod, osn in sorted(met.items()) if str(kod) != row["kod"])


def legal(rules: RuleData, row: Mapping[str, str]) -> str:
    """The orders that name this ground on its days; ``;`` between."""
    return "; ".join(dict.fromkeys(_told(rules, "basis", row)))


def found_by(rules: RuleData, row: Mapping[str, str]) -> str:
    """Which control finds it."""
    return next(iter(_told(rules, "control", row)), "")


def _told(rules: RuleData, kind: str, row: Mapping[str, str]) -> Iterable[str]:
    osn = row["osn"].rstrip(".")
    for law in _laws(rules, kind):
        if law.fits(osn, *span(row)):
            yield pick(law.text, law.text_en).format(osn=osn)


@lru_cache(maxsize=16)
def _laws(rules: RuleData, kind: str) -> tuple[Law, ...]:
    return tuple(
        Law(one["ground"], one.get("valid_from", date.min), one.get("valid_to", date.max), one["text"], one["text_en"])
        for one in _texts(rules)[kind]
    )


@lru_cache(maxsize=8)
def _texts(rules: RuleData) -> dict[str, Any]:
    return rules.toml(TEXTS)
