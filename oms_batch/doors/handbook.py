"""The error handbook of all dialects that are shipped, written into a folder."""

from __future__ import annotations

from oms_batch.desk import handbook
from oms_batch.desk.explain import of_rule
from oms_batch.desk.handbook import Handbook, RuleEntry
from oms_batch.exchange import load_profile, shipped
from oms_batch.judge.rule import Rule
from oms_batch.judge.whole import rules_of
from oms_batch.ruledata import RuleData
from oms_batch.store import fsio

NAME = "handbook"


def gather(rules: RuleData) -> Handbook:
    """The handbook of every profile: a rule that several of them run stands once."""
    found: dict[str, tuple[Rule, list[str]]] = {}
    known, first = shipped(rules), rules.toml(handbook.HEADINGS)["told_by"]
    for name in sorted(known, key=lambda name: first.index(name) if name in first else len(first)):
        for rule in rules_of(load_profile(name, rules)):
            if rule.status != "retired":
                found.setdefault(rule.code, (rule, []))[1].append(name)
    entries = [
        RuleEntry(of_rule(rule), rule.set_name, tuple(sorted(names, key=known.index))) for rule, names in found.values()
    ]
    return handbook.gather(rules, entries)


def write(folder: str, rules: RuleData) -> list[str]:
    """Write ``handbook.md`` and ``handbook.html`` in the language in force; gives their absolute names."""
    book = gather(rules)
    pages = {f"{NAME}.md": handbook.markdown(book), f"{NAME}.html": "".join(handbook.html(book))}
    place = fsio.absolute(folder)
    names = []
    for name, text in pages.items():
        names.append(f"{place}/{name}")
        fsio.write_bytes_durable(names[-1], text.encode("utf-8"))
    return names
