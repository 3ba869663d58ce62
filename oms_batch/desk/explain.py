"""What a code means: of a rule, of a defect, of a file that could not be judged."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from oms_batch.errors import WrongState
from oms_batch.exchange import Profile
from oms_batch.i18n import pick
from oms_batch.ruledata import RuleData

DEFECTS = "common/books/defects.csv"
PROBLEMS = "common/problems.toml"
STRUCTURE = "common/structure"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one code, in the language in force. ``resubmit`` is ``None`` where it makes no sense."""

    kind: str  # rule | defect | problem
    code: str
    title: str
    means: str
    advice: str
    basis: str = ""
    official: tuple[str, ...] = ()
    severity: str = ""
    defect: str = ""
    resubmit: bool | None = None
    valid_from: str = ""
    valid_to: str = ""
    source: str = ""


def explain(profile: Profile, code: str, day: date | None = None) -> list[Explanation]:
    """All that carries this code: rules by code or official number, defects by key, F014 code or ground, problems.

    A rule is followed by its defect. ``day``: only what was in force then. ``WrongState("CODE_UNKNOWN")`` names
    near codes.
    """
    wanted = code.strip().casefold()
    found: list[Explanation] = []
    for one in _rules(profile):
        if wanted in (one.code.casefold(), *(number.casefold() for number in one.official)):
            found.append(one)
            found += [_defect(row) for row in defect_rows(profile.rules, one.defect, day)] if one.defect else []
    found += [_defect(row) for row in defect_rows(profile.rules, wanted, day)]
    found += [one for one in _problems(profile.rules) if one.code.casefold() == wanted]
    if day is not None:
        found = [one for one in found if _in_force(one.valid_from, one.valid_to, day)]
    if not found:
        raise WrongState("CODE_UNKNOWN", ", ".join(_near(profile, code)))
    return list(dict.fromkeys(found))


def defect_rows(rules: RuleData, code: str, day: date | None = None) -> list[dict[str, str]]:
    """Rows of book defects with this key, F014 code or ground (``5.1.4``, ``1.4.4.``), in force on ``day``.

    Rows of the same F014 code that only repeat it for experts (``f014_…``) are left out when others are there.
    """
    wanted = code.strip().casefold().rstrip(".")
    rows = [
        row for row in rules.table(DEFECTS) if wanted in (row["key"].casefold(), row["kod"], row["osn"].rstrip("."))
    ]
    if day is not None:
        rows = [row for row in rows if _in_force(row["valid_from"], row["valid_to"], day)]
    exact = [row for row in rows if row["key"].casefold() == wanted]
    plain = [row for row in rows if not row["key"].startswith("f014_")]
    return exact or plain or rows


def defect_of(rules: RuleData, move: Mapping[str, Any], key: str = "") -> dict[str, str] | None:
    """The book row of a refusal: by its ``defect``, else by its F014 ``kod``; then in force.

    One ground stands for several defects (``1.5``): ``key``, the defect of the rule that refused, tells which; without
    it the texts of all of them are joined, and the account may be billed again if one of them allows it.
    """
    day = str(move.get("day") or move.get("date_z_2") or move.get("at") or "")[:10]
    when = date.fromisoformat(day) if day else None
    for name in ("defect", "kod"):
        if code := str(move.get(name) or ""):
            rows = defect_rows(rules, code, when) or defect_rows(rules, code)
            if rows:
                return next((row for row in rows if row["key"] == key), None) or _joined(rows)
    return None


def _joined(rows: list[dict[str, str]]) -> dict[str, str]:
    """Rows of one ground as one row: each text once."""
    found = dict(rows[0])
    for name, between in (("name", " / "), ("explain", " "), ("advice", " ")):
        for column in (name, f"{name}_en"):
            found[column] = between.join(dict.fromkeys(row[column] for row in rows if row[column]))
    found["resubmit"] = max(row["resubmit"] for row in rows)
    return found


def rule_titles(profile: Profile) -> dict[str, Explanation]:
    """Rule code, or the official number by which another party names the check → its explanation; the first wins."""
    found: dict[str, Explanation] = {}
    rules = list(_rules(profile))
    for one in rules:
        found.setdefault(one.code, one)
    for one in rules:
        for number in one.official:
            found.setdefault(number, one)
    return found


def as_lines(one: Explanation, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """(label, text) pairs of an explanation, without those that are empty; ``labels`` by field name."""
    values: dict[str, str] = {
        "means": one.means,
        "advice": one.advice,
        "resubmit": "" if one.resubmit is None else labels["yes"] if one.resubmit else labels["no"],
        "defect": one.defect if one.kind == "rule" else "",
        "basis": one.basis,
        "official": ", ".join(one.official),
        "valid": " — ".join(filter(None, (one.valid_from, one.valid_to))),
    }
    return [(labels[name], text) for name, text in values.items() if text]


def _rules(profile: Profile) -> Iterator[Explanation]:
    sets = [name for line in (*profile.hops, *profile.sends) for name in line.rules]
    for folder in dict.fromkeys((STRUCTURE, *sets)):
        for file in profile.rules.list(folder, ".toml"):
            yield _rule(profile.rules.toml(file), file)
        lines = f"{folder}/fields.csv"
        if profile.rules.exists(lines):
            for row in profile.rules.table(lines):
                yield _rule({**row, "official": [part for part in row["official"].split("|") if part]}, lines)


def _rule(row: Mapping[str, Any], source: str) -> Explanation:
    return Explanation(
        "rule",
        str(row["code"]),
        _text(row, "title"),
        "",
        _text(row, "advice"),
        str(row.get("basis", "")),
        tuple(str(one) for one in row.get("official", ())),
        str(row.get("severity", "")),
        str(row.get("defect", "")),
        None,
        str(row.get("valid_from", "")),
        str(row.get("valid_to", "")),
        source,
    )


def _defect(row: Mapping[str, str]) -> Explanation:
    return Explanation(
        "defect",
        f"{row['osn']} ({row['kod']})",
        _text(row, "name"),
        _text(row, "explain"),
        _text(row, "advice"),
        basis="F014",
        defect=row["key"],
        resubmit=row["resubmit"] == "1",
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        source=DEFECTS,
    )


def _problems(rules: RuleData) -> Iterator[Explanation]:
    if rules.exists(PROBLEMS):
        for code, row in rules.toml(PROBLEMS).items():
            if isinstance(row, dict):
                yield Explanation(
                    "problem", code, _text(row, "title"), _text(row, "text"), _text(row, "advice"), source=PROBLEMS
                )


def _text(row: Mapping[str, Any], name: str) -> str:
    return pick(str(row.get(name, "")), str(row.get(f"{name}_en", "")))


def _in_force(start: str, end: str, day: date) -> bool:
    return (not start or date.fromisoformat(start) <= day) and (not end or day <= date.fromisoformat(end))


def _near(profile: Profile, code: str) -> list[str]:
    known = {one.code for one in (*_rules(profile), *_problems(profile.rules))}
    for row in profile.rules.table(DEFECTS):
        known |= {row["key"], row["osn"], row["kod"]}
    return difflib.get_close_matches(code.strip(), sorted(known), 5, 0.6)
