"""The catalogue of plantable defects: lines of data, and the few small changes that they are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.model import roubles
from oms_batch.synth.numbers import luhn
from oms_batch.synth.tree import Node

_PLACE = re.compile(r"\{(\w+)([+-]\d+)?\}")


@dataclass(frozen=True, slots=True)
class Defect:
    """One plantable defect.

    ``side``: whose rules find it, fund, insurer or final; ``both``: those of the fund and of the insurer.
    ``gives``: rule, severity and number of findings. ``unit``: ``person`` defects go to persons with one account only,
    so that what they refuse is one account. ``fits``: what the person or account must be (see ``suits``).
    ``scenes``: register types that the person's accounts, exactly as many, are given first.
    ``earlier``: it needs a register billed before; ``state``: what became of the account in it, accepted if empty.
    ``insured``: rows that stand for the person in the register of the insured, each with what differs.
    ``kinds``: kinds of files that it can be planted in, all if empty.
    """

    name: str
    side: str
    unit: str
    gives: tuple[tuple[str, str, int], ...]
    fits: Mapping[str, Any]
    change: tuple[Mapping[str, Any], ...]
    scenes: tuple[str, ...] = ()
    earlier: bool = False
    state: str = ""
    insured: tuple[Mapping[str, str], ...] | None = None
    kinds: tuple[str, ...] = ()

    @property
    def rejects(self) -> bool:
        return any(severity == "reject" for _, severity, _ in self.gives)


def _resum_parts(root: Node) -> None:
    """The account's sums become the true sums of its services, part by part."""
    total: dict[str, int] = {}
    for elem in root.all("manipulations/manipulation/sum/elem"):
        kind = elem.attributes["type_acc"]
        total[kind] = total.get(kind, 0) + int(elem.attributes["suml"].replace(".", ""))
    for elem in root.all("sum/elem"):
        text = roubles(total[elem.attributes["type_acc"]])
        elem.attributes |= {"suml": text, "sum": text}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where a format keeps what changes speak of: by default the one of protocol Reestr.

    ``dates``: attributes that move with an account; ``identity``: path and attribute of what is an account's own;
    ``stem``: how many signs of the key (the last of ``identity``) stand in the keys of all its parts;
    ``start``, ``end``: path and attribute of the days of care; ``polis``: path of the policy below the person.
    """

    dates: tuple[str, ...] = ("curestart", "cureend", "date_1", "date_2")
    identity: tuple[tuple[str, str], ...] = ((".", "n_pp"), (".", "n_card"), (".", "xkey"))
    stem: int = 23
    start: tuple[str, str] = (".", "curestart")
    end: tuple[str, str] = (".", "cureend")
    polis: str = "polises/polis"
    resum: Callable[[Node], None] = _resum_parts


@dataclass(slots=True)
class Site:
    """Where a defect is planted: the patient with all his accounts, the account meant, and values for ``{places}``."""

    patient: Node
    account: Node
    others: list[Node]
    values: dict[str, str] = field(default_factory=dict)
    former: Node | None = None  # the same account as billed in the earlier register
    dialect: Dialect = field(default_factory=Dialect)

    def own(self, node: Node, place: tuple[str, str]) -> str:
        """The text at a path and attribute of an account."""
        return node.first(place[0]).attributes[place[1]]


def catalogue(profile: Profile) -> tuple[Defect, ...]:
    """All defects of a profile, in the order of its ``synth/defects.toml``."""
    data = profile.rules.toml(f"{profile.id}/synth/defects.toml")
    found = tuple(_defect({"kinds": data.get("kinds", ()), **row}) for row in data["defect"])
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise SetupError("synth/defects.toml: a name stands twice")
    return found


def _defect(row: dict[str, Any]) -> Defect:
    gives = row["gives"] if isinstance(row["gives"], dict) else {row["gives"]: row.get("severity", "reject")}
    return Defect(
        row["name"],
        row.get("side", "both"),
        row.get("unit", "account"),
        tuple(_given(code, what) for code, what in gives.items()),
        row.get("fits", {}),
        tuple(row.get("change", ())),
        tuple(row.get("scenes", ())),
        bool(row.get("earlier")),
        row.get("state", ""),
        tuple(row["insured"]) if "insured" in row else None,
        tuple(row["kinds"]),
    )


def _given(code: str, what: str | int) -> tuple[str, str, int]:
    """A number is that of rejecting findings, a word the severity of one."""
    return (code, what, 1) if isinstance(what, str) else (code, "reject", what)


def suits(defect: Defect, site: Site) -> bool:
    """Whether a defect can be planted here.

    ``fits`` may ask: ``accounts`` (how many the person has, exactly), ``turn`` (which account of the person, from 1),
    ``has`` (paths that must exist in the account), ``not_has`` (paths that must not), ``count`` (path → least number),
    and any attribute as ``account.vg``, ``patient.sex``, ``polis.type_polis``, ``values.age`` or, below the account,
    ``Z_SL.USL_OK`` = list of values.
    """
    return all(_holds(name, wanted, site) for name, wanted in defect.fits.items())


def _holds(name: str, wanted: Any, site: Site) -> bool:
    accounts = [*site.others, site.account]
    if name == "accounts":
        return len(accounts) == int(wanted)
    if name == "turn":
        return len(site.others) + 1 >= int(wanted) and site.values["turn"] == str(wanted)
    if name == "has":
        return all(site.account.all(path) for path in wanted)
    if name == "not_has":
        return not any(site.account.all(path) for path in wanted)
    if name == "count":
        return all(len(site.account.all(path)) >= int(least) for path, least in wanted.items())
    where, _, attribute = name.partition(".")
    if where == "values":
        return site.values[attribute] in wanted
    if where == "first":
        return bool(site.others) and site.others[0].attributes.get(attribute, "") in wanted
    if where == "polis":
        polis = site.patient.all(site.dialect.polis)
        return bool(polis) and polis[0].attributes.get(attribute, "") in wanted
    nodes = {"account": [site.account], "patient": [site.patient]}.get(where) or site.account.all(where)
    return bool(nodes) and nodes[0].attributes.get(attribute, "") in wanted


def apply(defect: Defect, site: Site) -> None:
    """Make all changes of a defect at its site, in place."""
    for change in defect.change:
        first = (site.others or [site.account])[0]
        root = {"patient": site.patient, "first": first}.get(str(change.get("in", "")), site.account)
        verb = next((name for name in _VERBS if name in change), None)
        if verb is None:
            raise SetupError(f"defect {defect.name}: a change without a verb")
        _VERBS[verb](root, change, site)


def insured_rows(defect: Defect, site: Site) -> list[dict[str, str]] | None:
    """The rows that stand for the person in the register of the insured; ``None``: nothing differs."""
    if defect.insured is None:
        return None
    return [{name: _value(text, site) for name, text in one.items()} for one in defect.insured]


def _value(text: str, site: Site) -> str:
    """Fill ``{d1}``, ``{d2+1}``, ``{enp}``: a value of the site, a date moved by days where a shift stands."""

    def fill(match: re.Match[str]) -> str:
        value = site.values[match[1]]
        if not match[2]:
            return value
        return (date.fromisoformat(value) + timedelta(days=int(match[2]))).isoformat()

    return _PLACE.sub(fill, text)


def _nodes(root: Node, change: Mapping[str, Any]) -> list[Node]:
    found = root.all(str(change.get("at", ".")))
    if not found:
        raise LookupError(f"{root.tag}: no {change.get('at')}")
    return found if change.get("every") else found[:1]


def _set(root: Node, change: Mapping[str, Any], site: Site) -> None:
    for node in _nodes(root, change):
        node.attributes |= {name: _value(str(text), site) for name, text in change["set"].items()}


def _drop(root: Node, change: Mapping[str, Any], _site: Site) -> None:
    for node in _nodes(root, change):
        for name in change["drop"]:
            node.attributes.pop(name, None)


def _remove(root: Node, change: Mapping[str, Any], _site: Site) -> None:
    parent, _, tag = str(change["remove"]).rpartition("/")
    holder = root.first(parent) if parent else root
    if not holder.all(tag):
        raise LookupError(f"{root.tag}: no {change['remove']}")
    holder.children = [child for child in holder.children if child.tag != tag]


def _add(root: Node, change: Mapping[str, Any], site: Site) -> None:
    made = Node(str(change["add"]), {name: _value(str(text), site) for name, text in change.get("with", {}).items()})
    holder = _nodes(root, change)[0]
    before = [place for place, child in enumerate(holder.children) if child.tag == change.get("before")]
    holder.children.insert(before[0] if before else len(holder.children), made)


def _twice(root: Node, change: Mapping[str, Any], site: Site) -> None:
    """A second copy of a node right behind it, with the attributes of ``with`` changed."""
    parent, _, tag = str(change["twice"]).rpartition("/")
    holder = root.first(parent) if parent else root
    place = next(index for index, child in enumerate(holder.children) if child.tag == tag)
    made = holder.children[place].copy()
    made.attributes |= {name: _value(str(text), site) for name, text in change.get("with", {}).items()}
    holder.children.insert(place + 1, made)


def _plus(root: Node, change: Mapping[str, Any], _site: Site) -> None:
    """Add kopecks to money attributes."""
    for node in _nodes(root, change):
        for name, kopecks in change["plus"].items():
            now = int(node.attributes[name].replace(".", ""))
            node.attributes[name] = roubles(now + int(kopecks))


def _resum(root: Node, _change: Mapping[str, Any], site: Site) -> None:
    """Make the account's sums the true sums of its services again."""
    site.dialect.resum(root)


def _become(root: Node, change: Mapping[str, Any], site: Site) -> None:
    """The account becomes a copy of the person's first one (``first``) or of the one billed earlier (``former``).

    What is its own (keys, position, card number) stays, apart from the attributes named in ``keep`` that come from
    the copy.
    """
    source = site.others[0] if change["become"] == "first" else site.former
    if source is None:
        raise LookupError("no account to copy")
    keep = change.get("keep", ())
    key, size = site.dialect.identity[-1], site.dialect.stem
    rename = size and key[1] not in keep
    old, new = site.own(source, key)[:size], site.own(root, key)[:size]
    copy = source.copy((lambda text: text.replace(old, new)) if rename else None)
    for path, name in site.dialect.identity:
        if name not in keep:
            copy.first(path).attributes[name] = site.own(root, (path, name))
    root.attributes, root.children = copy.attributes, copy.children
    _days(root, site)


def _move(root: Node, change: Mapping[str, Any], site: Site) -> None:
    """Move the account as a whole so that it starts on a day: its own dates, its services' and directions'."""
    start = date.fromisoformat(_value(str(change["move"]), site))
    shift = start - date.fromisoformat(site.own(root, site.dialect.start))
    for node in root.walk():
        for name in site.dialect.dates:
            if name in node.attributes:
                node.attributes[name] = (date.fromisoformat(node.attributes[name]) + shift).isoformat()
    _days(root, site)


def _days(root: Node, site: Site) -> None:
    site.values |= {"d1": site.own(root, site.dialect.start), "d2": site.own(root, site.dialect.end)}


_VERBS: dict[str, Callable[[Node, Mapping[str, Any], Site], None]] = {
    "set": _set,
    "drop": _drop,
    "remove": _remove,
    "add": _add,
    "twice": _twice,
    "plus": _plus,
    "resum": _resum,
    "become": _become,
    "move": _move,
}


def broken(digits: str) -> str:
    """A policy number with a wrong check digit."""
    return digits[:-1] + str((int(luhn(digits[:-1])) + 1) % 10)
