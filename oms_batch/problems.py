"""Texts of problem codes: what is wrong with a file as a whole and what to do (``rules/common/problems.toml``)."""

from __future__ import annotations

from functools import lru_cache

from oms_batch.errors import Problem
from oms_batch.i18n import _, pick
from oms_batch.ruledata import RuleData

TABLE = "common/problems.toml"
BLANK = {"outcome": "", "title": "", "title_en": "", "advice": "", "advice_en": ""}


@lru_cache(maxsize=4)
def _table(rules: RuleData) -> dict[str, dict[str, str]]:
    return rules.toml(TABLE)


def problem_row(problem: Problem, rules: RuleData) -> dict[str, str]:
    """``outcome title title_en advice advice_en`` of a problem; a code without texts stands for itself."""
    return _table(rules).get(problem.code, {**BLANK, "title": problem.code, "title_en": problem.code})


def problem_text(problem: Problem, rules: RuleData) -> str:
    """One line for people: title, place, expected and found, what to do, in the language in force."""
    row = problem_row(problem, rules)
    parts = [f"{problem.code}: {pick(row['title'], row['title_en'])}"]
    if problem.place:
        parts.append(_("place: {place}").format(place=problem.place))
    if problem.expected:
        parts.append(_("expected: {what}").format(what=problem.expected))
    if problem.found:
        parts.append(_("found: {what}").format(what=problem.found))
    advice = pick(row["advice"], row["advice_en"])
    return "; ".join(parts) + (f". {advice}" if advice else "")
