"""For every rule a change of one field of its pass example turns it red: none is proved by another kind of document."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from oms_batch.exchange import Profile, load_profile, shipped
from oms_batch.judge import proof
from oms_batch.judge.example import Bases, Document, document, known, load_bases
from oms_batch.judge.rule import Rule
from oms_batch.judge.rulebook import COMMON, Rulebook, load
from oms_batch.ruledata import RuleData

RULES = RuleData()
Place = tuple[str, int, str]


def places(one: Document, other: Document) -> list[Place]:
    """Cells in which two documents differ; a row that only one of them has is one place without a column."""
    found: list[Place] = []
    for table in sorted({*one, *other}):
        left, right = one.get(table, []), other.get(table, [])
        for i in range(max(len(left), len(right))):
            if i >= len(left) or i >= len(right):
                found.append((table, i, ""))
                continue
            names = sorted({*left[i], *right[i]})
            found += [(table, i, name) for name in names if left[i].get(name) != right[i].get(name)]
    return found


def changed(one: Document, other: Document, place: Place) -> Document:
    """``one`` with the cell (or the row) of ``other``."""
    table, i, column = place
    rows = [dict(row) for row in one.get(table, [])]
    theirs = other.get(table, [])
    if column:
        rows[i][column] = theirs[i].get(column)
    elif i < len(theirs):
        rows = [*rows[:i], dict(theirs[i])]
    else:
        rows = rows[:i]
    return {**one, table: rows}


def documents(rule: Rule, book: Rulebook, bases: Bases) -> tuple[list[Document], list[Document]]:
    spoken = rule.parts().tables if "here" in rule.needs else rule.parts().names | rule.parts().tables
    found = []
    for listed in (rule.passes, rule.fails):
        rows = [document(one, bases, rule.code) for one in listed]
        if rule.set_name.split("/")[0] == COMMON and bases.partial:
            rows = [known(one, book.tables, spoken) for one in rows]
        found.append(rows)
    return found[0], found[1]


def sets_of(profile: Profile) -> list[str]:
    """All rule sets that any line of the profile runs."""
    return list(dict.fromkeys(one for line in (*profile.hops, *profile.sends) for one in line.rules))


def turns_red(con: object, rule: Rule, book: Rulebook, bases: Bases) -> bool:
    passes, fails = documents(rule, book, bases)
    steps: Iterator[tuple[Document, Document]] = product(passes, fails)
    differing = [(one, other, places(one, other)) for one, other in steps]
    if any(len(cells) == 1 for *_, cells in differing):
        return True  # the fail example itself is that change
    for one, other, cells in sorted(differing, key=lambda each: len(each[2])):
        for cell in cells:
            case = proof._Case("fail", "", None, changed(one, other, cell))
            counts, _undecided = proof._try_cases(con, rule, book, [case])  # type: ignore[arg-type]
            if counts.get(0):
                return True
    return False


@pytest.mark.parametrize("name", shipped())
def test_a_change_of_one_field_turns_every_rule_red(name: str) -> None:
    profile = load_profile(name)
    book = load(RULES, sets_of(profile), profile.id)
    bases = load_bases(RULES, profile.id)
    con = proof.proving_ground(book, RULES)
    looked, pale = 0, []
    for rule in book.rules:
        if rule.built_in or rule.status != "active" or book.tables.lacks(rule.on, rule.parts()):
            continue
        looked += 1
        if not turns_red(con, rule, book, bases):
            pale.append(rule.code)
    con.close()
    assert looked >= 45
    assert pale == []
