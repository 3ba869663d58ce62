"""What a code means: of a rule, of a defect, of a file that could not be judged."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from oms_batch.desk import defects
from oms_batch.desk.defects import find as defect_rows
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile
from oms_batch.i18n import _, pick
from oms_batch.ruledata import RuleData

DEFECTS = defects.BOOK
PROBLEMS = "common/problems.toml"
STRUCTURE = "common/structure"
BY_READING, NOT_CHECKED = "common/official/structure.csv", "common/official/absent.csv"
SHOWN = 4  # values of an example that are told


class Example(Protocol):
    """What differs from a right document in an example of a rule."""

    @property
    def rows(self) -> Mapping[str, Any]: ...
    @property
    def empty(self) -> tuple[str, ...]: ...
    @property
    def why(self) -> str: ...


class Described(Protocol):
    """What is told of a rule of a rulebook."""

    @property
    def code(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def title_en(self) -> str: ...
    @property
    def advice(self) -> str: ...
    @property
    def advice_en(self) -> str: ...
    @property
    def basis(self) -> str: ...
    @property
    def official(self) -> tuple[str, ...]: ...
    @property
    def severity(self) -> str: ...
    @property
    def defect(self) -> str: ...
    @property
    def valid_from(self) -> date: ...
    @property
    def valid_to(self) -> date | None: ...
    @property
    def file(self) -> str: ...
    @property
    def passes(self) -> Sequence[Example]: ...
    @property
    def fails(self) -> Sequence[Example]: ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about one code, in the language in force. ``resubmit`` is ``None`` where it makes no sense.

    Of a defect also: ``kod`` (F014) and ``osn`` (ground), ``not_paid`` and ``fine`` (К_НО, К_ШТ; empty where the book
    has none), ``who`` puts it right, ``again`` in words, ``found_by`` which control, ``same``: other codes of it.
    """

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
    wrong: str = ""
    right: str = ""
    kod: str = ""
    osn: str = ""
    not_paid: str = ""
    fine: str = ""
    who: tuple[str, ...] = ()
    again: str = ""
    found_by: str = ""
    same: tuple[str, ...] = ()


def explain(
    profile: Profile, code: str, day: date | None = None, rules: Iterable[Described] | None = None
) -> list[Explanation]:
    """All that carries this code: rules by code or official number, defects by key, F014 code or ground, problems.

    A rule is followed by its defect. ``day``: only what was in force then. ``rules``: those of a loaded rulebook, with
    their examples; without them the files are read as they stand. ``WrongState("CODE_UNKNOWN")`` names near codes.
    """
    wanted = code.strip().casefold()
    found: list[Explanation] = []
    known = list(_rules(profile) if rules is None else map(of_rule, rules))
    for one in known:
        if wanted in (one.code.casefold(), *(number.casefold() for number in one.official)):
            found.append(one)
            found += [
                of_defect(profile.rules, row) for row in defect_rows(profile.rules, one.defect, day) if one.defect
            ]
    found = found or list(_official(profile.rules, code.strip(), known))
    found += [of_defect(profile.rules, row) for row in defect_rows(profile.rules, wanted, day)]
    found += [one for one in problems(profile.rules) if one.code.casefold() == wanted]
    if day is not None:
        found = [one for one in found if defects.in_force(_days(one), day)]
    if not found:
        raise WrongState("CODE_UNKNOWN", ", ".join(_near(profile, code, known)))
    return list(dict.fromkeys(found))


def _official(rules: RuleData, number: str, known: Iterable[Explanation]) -> Iterator[Explanation]:
    """An official check that no rule names: what reading itself finds, or why it is not checked here."""
    if rules.exists(BY_READING):
        by_code = {one.code: one for one in known}
        for row in rules.table(BY_READING):
            if number.upper() in row["official"].split("|") and (one := by_code.get(row["finding"])):
                bad, good = (_("(empty)") if row[name] == "-" else row[name] for name in ("bad", "ok"))
                path = row["path"]
                yield replace(one, official=(number.upper(),), wrong=f"{path} = {bad}", right=f"{path} = {good}")
    if rules.exists(NOT_CHECKED):
        for row in rules.table(NOT_CHECKED):
            if number.upper() in row["official"].split("|"):
                yield Explanation("official", number.upper(), _("not checked here"), _text(row, "reason"), "")


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
                return next((row for row in rows if row["key"] == key), None) or defects.joined(rows)
    return None


def rule_titles(profile: Profile, rules: Iterable[Described] | None = None) -> dict[str, Explanation]:
    """Rule code, or the official number by which another party names the check → its explanation; the first wins.

    ``rules``: those of a loaded rulebook; without them lines whose texts are built have none.
    """
    found: dict[str, Explanation] = {}
    known = list(_rules(profile) if rules is None else map(of_rule, rules))
    for one in known:
        found.setdefault(one.code, one)
    for one in known:
        for number in one.official:
            found.setdefault(number, one)
    return found


def labels() -> dict[str, str]:
    """What the fields of an explanation are called, in the order in which they are told."""
    return {
        "means": _("What it means"),
        "advice": _("What to do"),
        "who": _("Who puts it right"),
        "again": _("May be billed again"),
        "wrong": _("Wrong"),
        "right": _("Right"),
        "found_by": _("Found by"),
        "not_paid": _("Share not paid (K_NO)"),
        "fine": _("Fine (K_SHT)"),
        "defect": _("Defect"),
        "same": _("Other codes of the same fault"),
        "basis": _("Basis"),
        "official": _("Official checks"),
        "valid": _("In force"),
    }


def as_lines(one: Explanation, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """(label, text) pairs of an explanation, without those that are empty; ``names``: labels by field."""
    told = {
        **{name: str(getattr(one, name)) for name in names if name in Explanation.__slots__},
        "who": ", ".join(one.who),
        "official": ", ".join(one.official),
        "same": ", ".join(one.same),
        "valid": days_text(one),
    }
    return [(label, told[name]) for name, label in names.items() if told.get(name)]


def days_text(one: Explanation) -> str:
    """From when to when; the first day of all is no day."""
    since = "" if one.valid_from == date.min.isoformat() else one.valid_from
    if since and one.valid_to:
        return f"{since} — {one.valid_to}"
    return (
        _("from {day}").format(day=since) if since else _("to {day}").format(day=one.valid_to) if one.valid_to else ""
    )


def of_rule(rule: Described) -> Explanation:
    """A rule of a rulebook, with a wrong and a right example."""
    wrong, right = example_texts(rule.fails, rule.passes)
    return Explanation(
        "rule",
        rule.code,
        pick(rule.title, rule.title_en),
        "",
        pick(rule.advice, rule.advice_en),
        rule.basis,
        tuple(rule.official),
        rule.severity,
        rule.defect,
        valid_from=rule.valid_from.isoformat(),
        valid_to=rule.valid_to.isoformat() if rule.valid_to else "",
        source=rule.file,
        wrong=wrong,
        right=right,
    )


def example_texts(wrong: Sequence[Example], right: Sequence[Example]) -> tuple[str, str]:
    """The first wrong and the first right example in words: the values that differ, and under what they are wrong."""
    bad, good = _values(wrong), _values(right)
    changed = [name for name in bad if bad[name] != good.get(name)] or list(bad)
    common = [name for name in bad if name not in changed]
    texts = []
    for examples, values in ((wrong, bad), (right, good)):
        own = [name for name in values if name in changed or name not in bad]
        told = "; ".join(f"{name} = {values[name]}" for name in own[:SHOWN]) + (" …" if len(own) > SHOWN else "")
        if examples is wrong and common and told:
            told += ", " + _("while {values}").format(
                values="; ".join(f"{name} = {bad[name]}" for name in common[:SHOWN])
            )
        why = examples[0].why if examples else ""
        # a line of a table says its value, and its reason is that value again
        reason = "" if ": " in why and " " not in why.rpartition(": ")[0].strip() else why
        texts.append(f"{reason} ({told})" if reason and told else reason or told)
    return texts[0], texts[1]


def _values(examples: Sequence[Example]) -> dict[str, str]:
    """What an example states: ``table.column`` → value; a table without rows or with a row of defaults: its name."""
    found: dict[str, str] = {}
    for one in examples[:1]:
        found = {name: _("(empty)") for name in one.empty}
        for table, rows in one.rows.items():
            if isinstance(rows, Mapping):
                if not rows and not any(name.startswith(f"{table}.") for name in one.empty):
                    found[table] = _("(present)")
                found |= {f"{table}.{name}": str(value) for name, value in rows.items() if name != "up"}
                continue
            if not rows or rows == [{}]:
                found[table] = _("(present)") if rows else _("(absent)")
            for place, row in enumerate(rows, 1):
                at = table if len(rows) == 1 else f"{table}[{place}]"
                found |= {f"{at}.{name}": str(value) for name, value in row.items() if name != "up"}
    return found


def of_defect(rules: RuleData, row: Mapping[str, str]) -> Explanation:
    """A row of book defects, with its texts."""
    return Explanation(
        "defect",
        f"{row['osn']} ({row['kod']})",
        _text(row, "name"),
        _text(row, "explain"),
        _text(row, "advice"),
        basis=defects.legal(rules, row),
        defect=row["key"],
        resubmit=row["resubmit"] == "1",
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        source=DEFECTS,
        wrong=_text(row, "wrong"),
        right=_text(row, "right"),
        kod=row["kod"],
        osn=row["osn"].rstrip("."),
        not_paid=row["k_no"],
        fine=row["k_sh"],
        who=defects.people(rules, row.get("topic", "")),
        again=defects.again(rules, row),
        found_by=defects.found_by(rules, row),
        same=defects.same(rules, row),
    )


def problems(rules: RuleData) -> Iterator[Explanation]:
    """What may be wrong with a file as a whole."""
    if rules.exists(PROBLEMS):
        for code, row in rules.toml(PROBLEMS).items():
            if isinstance(row, dict):
                yield Explanation(
                    "problem", code, _text(row, "title"), _text(row, "text"), _text(row, "advice"), source=PROBLEMS
                )


def _rules(profile: Profile) -> Iterator[Explanation]:
    sets = [name for line in (*profile.hops, *profile.sends) for name in line.rules]
    for folder in dict.fromkeys((STRUCTURE, *sets)):
        for file in profile.rules.list(folder, ".toml"):
            if "code" in (row := profile.rules.toml(file)):
                yield _rule(row, file)
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


def _text(row: Mapping[str, Any], name: str) -> str:
    return pick(str(row.get(name, "")), str(row.get(f"{name}_en", "")))


def _days(one: Explanation) -> dict[str, str]:
    return {"valid_from": one.valid_from, "valid_to": one.valid_to}


def _near(profile: Profile, code: str, rules: Iterable[Explanation]) -> list[str]:
    known = {one.code for one in (*rules, *problems(profile.rules))}
    for row in profile.rules.table(DEFECTS):
        known |= {row["key"], row["osn"], row["kod"]}
    return difflib.get_close_matches(code.strip(), sorted(known), 5, 0.6)
