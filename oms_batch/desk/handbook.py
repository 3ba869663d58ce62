"""The error handbook: refusal codes by topic, rules by set, problems of files; as Markdown and as one HTML page.

Everything comes from the data that the program itself works by; nothing of it is written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from oms_batch.desk import defects, explain
from oms_batch.desk.explain import Explanation
from oms_batch.i18n import _, language, pick
from oms_batch.ruledata import RuleData

HEADINGS = "common/handbook.toml"


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """A rule, the set that it stands in, and the profiles that run it."""

    about: Explanation
    set_name: str
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of the handbook as it is shown: ``lines`` are (label, text)."""

    anchor: str
    code: str
    title: str
    lines: tuple[tuple[str, str], ...]
    codes: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Entries under one heading."""

    anchor: str
    title: str
    entries: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Handbook:
    """The whole book, in the language in force."""

    codes: Section
    rules: tuple[Section, ...]
    problems: Section

    @property
    def sections(self) -> tuple[Section, ...]:
        return (self.codes, *self.rules, self.problems)


def gather(rules: RuleData, entries: Iterable[RuleEntry]) -> Handbook:
    """The handbook of the data of ``rules``; ``entries`` are the rules of the loaded rulebooks, each code once."""
    return Handbook(_codes(rules), tuple(_rules(rules, entries)), _problems(rules))


def markdown(book: Handbook) -> str:
    """The book as one Markdown text."""
    parts = [f"# {_('Error handbook')}", _lead(book), _made()]
    parts += [f"- [{one.title}](#{one.anchor}): {len(one.entries)}" for one in book.sections]
    for section in book.sections:
        parts += ["", f'<a id="{section.anchor}"></a>', "", f"## {section.title}"]
        for entry in section.entries:
            code = f"`{entry.code}` " if entry.code else ""
            parts += ["", f"### {code}{_plain(entry.title)}", ""]
            parts += [f"- `{one.kod}` · {_code_line(one)}" for one in entry.codes]
            parts += [f"- {label}: {_plain(text)}" for label, text in entry.lines]
    # a blank line between a paragraph and a list
    text = "\n".join(parts[:1] + ["", parts[1], "", parts[2], ""] + parts[3:])
    return text.rstrip() + "\n"


def html(book: Handbook) -> Iterator[str]:
    """The book as one page that needs nothing else."""
    values = {"book": book, "_": _, "lang": language(), "lead": _lead(book), "made": _made(), "days": explain.days_text}
    yield from _templates().get_template("handbook.html.j2").generate(values)


def _lead(book: Handbook) -> str:
    text = _(
        "{codes} refusal codes of F014 in {topics} topics, {rules} rules, {problems} problems of files. "
        "Search by code, ground, official number or word."
    )
    return text.format(
        codes=len({one.kod for entry in book.codes.entries for one in entry.codes}),
        topics=len(book.codes.entries),
        rules=sum(len(one.entries) for one in book.rules),
        problems=len(book.problems.entries),
    )


def _made() -> str:
    return _("Made from the rules by `oms-batch rules handbook`; do not edit. Sums of examples are in kopecks.")


def _plain(text: str) -> str:
    """A text that Markdown leaves as it is."""
    return text.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _code_line(one: Explanation) -> str:
    shares = ""
    if one.not_paid or one.fine:
        shares = f" · К_НО {one.not_paid}, К_ШТ {one.fine}"
    return f"{_plain(one.title)} · {one.osn} · {explain.days_text(one)}{shares}"


def _codes(rules: RuleData) -> Section:
    """Codes by topic in the order of the newest code of each; only the rows of experts: they are all codes."""
    names = explain.labels()
    topics = rules.toml(defects.TEXTS)["topic"]
    found = []
    rows = [row for row in defects.rows(rules) if row["key"].startswith(defects.EXPERTS)]
    by_topic: dict[str, list[Explanation]] = {}
    for row in sorted(rows, key=lambda row: (int(row["kod"]), row["valid_from"])):
        by_topic.setdefault(row["topic"], []).append(explain.of_defect(rules, row))
    keys = {row["topic"]: row["key"] for row in defects.rows(rules) if not row["key"].startswith(defects.EXPERTS)}
    # what is in force first
    for topic, codes in sorted(by_topic.items(), key=lambda one: (bool(one[1][-1].valid_to), int(one[1][-1].kod))):
        about = codes[-1]
        lines = [(names[name], getattr(about, name)) for name in ("means", "advice")]
        lines += [(names["who"], ", ".join(about.who)), (names["again"], about.again)]
        lines += [(names[name], getattr(about, name)) for name in ("wrong", "right")]
        law = "; ".join(dict.fromkeys(part for one in codes for part in one.basis.split("; ")))
        lines += [(names["found_by"], "; ".join(dict.fromkeys(one.found_by for one in codes))), (names["basis"], law)]
        if topic in keys:
            lines.append((names["defect"], keys[topic]))
        title = pick(topics[topic]["title"], topics[topic]["title_en"])
        found.append(Told(f"topic-{topic}", "", title, tuple(lines), tuple(codes)))
    return Section("codes", _("Refusal codes (F014)"), tuple(found))


def _rules(rules: RuleData, entries: Iterable[RuleEntry]) -> Iterator[Section]:
    words = rules.toml(HEADINGS)
    order = {name: place for place, name in enumerate([*words["owner"], *words["part"]])}

    def place(one: RuleEntry) -> tuple[int, int, str]:
        owner, _sign, part = one.set_name.partition("/")
        return order.get(owner, len(order)), order.get(part, len(order)), one.set_name

    grounds = _grounds(rules)
    listed = sorted(entries, key=lambda one: (place(one), one.about.code))
    for _key, group in groupby(listed, key=place):
        mine = list(group)
        owner, _sign, part = mine[0].set_name.partition("/")
        title = f"{_word(words['part'], part)} ({_word(words['owner'], owner)})"
        told = tuple(_rule(one, grounds, words) for one in mine)
        yield Section(f"rules-{owner}-{part}", title, told)


def _word(words: Mapping[str, Sequence[str]], name: str) -> str:
    return pick(*words[name]) if name in words else name


def _grounds(rules: RuleData) -> dict[str, str]:
    """Defect → its codes, the older first."""
    found: dict[str, list[str]] = {}
    for row in defects.rows(rules):
        found.setdefault(row["key"], []).append(f"{row['osn']} ({row['kod']})")
    return {key: " → ".join(dict.fromkeys(codes)) for key, codes in found.items()}


def _rule(one: RuleEntry, grounds: Mapping[str, str], words: Mapping[str, Mapping[str, Sequence[str]]]) -> Told:
    names = explain.labels()
    about = one.about
    severity = _word(words["severity"], about.severity)
    lines = [
        (names["official"], ", ".join(about.official)),
        (names["advice"], about.advice),
        (names["wrong"], about.wrong),
        (names["right"], about.right),
        (_("If it is wrong"), f"{severity}: {grounds[about.defect]}" if about.defect in grounds else severity),
        (_("Runs in"), ", ".join(_word(words["owner"], name) for name in one.profiles)),
        (names["valid"], explain.days_text(about)),
    ]
    return Told(about.code, about.code, about.title, tuple((label, text) for label, text in lines if text))


def _problems(rules: RuleData) -> Section:
    names = explain.labels()
    told = tuple(
        Told(
            one.code,
            one.code,
            one.title,
            tuple((names[n], getattr(one, n)) for n in ("means", "advice") if getattr(one, n)),
        )
        for one in explain.problems(rules)
    )
    return Section("problems", _("Problems of files"), told)


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("oms_batch.desk", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
