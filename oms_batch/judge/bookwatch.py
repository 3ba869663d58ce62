"""Whether the books that rules need are there and not too old: told before anything is judged.

Age is measured against the last day of the register's period, never against the wall clock: the same register is
judged the same way on every day. Limits are data: ``common/books/watch.toml`` of the home, else what the importer has
written into the table itself (``# watched: 400 days``).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import islice

from oms_batch.errors import Problem, SetupError
from oms_batch.judge.bookindex import Edition, Entry, edition_of, load_index
from oms_batch.judge.rulebook import COMMON
from oms_batch.problems import problem_text
from oms_batch.ruledata import RuleData

WATCH = f"{COMMON}/books/watch.toml"
_WATCHED = re.compile(rb"^# watched: (\d{1,5}) days\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Age:
    """A book in force: its edition as far as its table says it, the limit in days (``None``: not watched)."""

    name: str
    edition: Edition | None
    limit: int | None
    empty: bool = False
    file: str = ""

    def stale_on(self, day: date) -> bool:
        """Whether the edition is older than the limit allows on that day; of one that is not told nobody knows."""
        return bool(self.limit and (self.edition is None or (day - self.edition.day).days > self.limit))


def watched_line(days: int) -> str:
    """The line by which the importer marks a table."""
    return f"# watched: {days} days"


def age_of(rules: RuleData, profile: str, name: str, entry: Entry | None = None) -> Age | None:
    """The age of a book in force; ``None`` when there is no such table."""
    places = entry.places(profile) if entry else ()
    usual = (f"{profile}/books/{name}.csv", f"{COMMON}/books/{name}.csv", f"{COMMON}/calendar/{name}.csv")
    file = next((place for place in (*usual, *places) if rules.exists(place)), "")
    if not file:
        return None
    data = rules.read(file)
    match = _WATCHED.search(data[:4096])
    limits = rules.toml(WATCH).get("days", {}) if rules.exists(WATCH) else {}
    limit = limits.get(name, int(match[1]) if match else None)
    return Age(name, edition_of(data), limit, _head_only(data), file)


def _head_only(data: bytes) -> bool:
    lines = (line for line in io.BytesIO(data) if line.strip() and not line.startswith(b"#"))
    return len(list(islice(lines, 2))) < 2


def faults(rules: RuleData, profile: str, needed: Iterable[str], day: date) -> list[Problem]:
    """What is wrong with the needed books on that day: missing, empty though it must be there, too old."""
    index = load_index(rules, profile)
    found = []
    for name in sorted(set(needed)):
        entry = index.get(name)
        age = age_of(rules, profile, name, entry)
        if age is None:
            found.append(Problem("BOOK_MISSING", name))
        elif age.empty and (age.limit is not None or (entry is not None and entry.mandatory)):
            found.append(Problem("BOOK_MISSING", name, found="0"))
        elif age.stale_on(day):
            found.append(Problem("BOOK_STALE", name, f"{age.limit}", f"{age.edition or '-'}; {day.isoformat()}"))
    return found


def check(rules: RuleData, profile: str, needed: Iterable[str], day: date) -> None:
    """``SetupError`` with every fault of the needed books, in the language in force."""
    if found := faults(rules, profile, needed, day):
        raise SetupError("\n".join(problem_text(one, rules) for one in found))
