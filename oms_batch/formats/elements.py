"""Layouts of XML exchange formats as objects: which element may stand where, what it may hold, where it is read into.

A layout is data: ``rules/<profile>/layouts/<TYPE>.csv`` (one line per element in document order, ``in`` says in which
layouts) and ``index.csv`` (which layout a type, direction, VERSION and period have).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache

from oms_batch.errors import Refusal, SetupError, refuse
from oms_batch.formats.element_values import TYPES, Facets, facets_of, sql_type
from oms_batch.ruledata import RuleData

GROUPS = ("group", "choice", "mixed")
KEYS = {"n": "BIGINT", "up_n": "BIGINT", "z_sl_n": "BIGINT", "line": "INTEGER"}
PLACES = {"byte_from": "BIGINT", "byte_to": "BIGINT"}
ACCOUNTS = ("z_sl", "sluch")  # tables with one row per account
PLACED = {"zap": PLACES, "l_pers": PLACES, **{one: {**PLACES, "digest": "VARCHAR"} for one in ACCOUNTS}}


@dataclass(slots=True, eq=False)
class Element:
    """One element. ``kids`` by name in the order of the sequence; ``most`` 0 = any number; ``table`` on a group or on
    a leaf that repeats: each occurrence is a row; a leaf's value goes into ``column`` of ``table``."""

    path: str
    name: str
    rank: int
    parent: Element | None
    least: int
    most: int
    type: str
    table: str
    column: str
    nil: bool
    mark: str
    unique: str  # path within whose occurrence the value must not stand twice; blank: no such demand
    starts_row: bool  # each occurrence is a row of ``table``
    facets: Facets | None = None
    kids: dict[str, Element] = field(default_factory=dict)

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in document order."""
        yield self
        for kid in self.kids.values():
            yield from kid.walk()


@dataclass(slots=True, eq=False)
class Layout:
    """One layout. ``id`` as ``H:from_mo_3.2``; ``confirmed`` False: names of elements are known, no more;
    ``namespace``: the only one its documents declare, mostly none."""

    id: str
    version: str
    confirmed: bool
    namespace: str
    root: Element
    elements: dict[str, Element]

    @property
    def record(self) -> Element:
        """The last element below the root, of which a document mostly consists: ZAP, PERS, PR."""
        return list(self.root.kids.values())[-1]

    def row_above(self, table: str) -> str:
        """The table whose row is the parent of this table's rows; blank for the first."""
        return row_of(next(each for each in self.elements.values() if each.starts_row and each.table == table).parent)


def row_of(one: Element | None) -> str:
    """The table in whose row this element stands; blank outside any."""
    while one is not None and not one.starts_row:
        one = one.parent
    return one.table if one is not None else ""


@lru_cache(maxsize=4)
def index(rules: RuleData, profile: str) -> tuple[Mapping[str, str], ...]:
    """The rows of the profile's ``layouts/index.csv``."""
    return tuple(rules.table(f"{profile}/layouts/index.csv"))


def choose(rules: RuleData, profile: str, kind: str, direction: str, version: str, period: str) -> str:
    """The id of the layout (``H:from_mo_3.2``) for a document's type, direction, VERSION and ``period`` (YYYY-MM).

    ``Refusal`` ``HDR_VERSION`` when this version is not known for that period; ``SetupError`` for an unknown type.
    """
    return candidates(rules, profile, kind, direction, version, period)[0]


def candidates(rules: RuleData, profile: str, kind: str, direction: str, version: str, period: str) -> list[str]:
    """All layouts that it may be, for documents without VERSION several; never none."""
    rows = [row for row in index(rules, profile) if row["type"] == kind and row["direction"] == direction]
    if not rows:
        raise SetupError(f"{profile}/layouts/index.csv: nothing for {kind} {direction}")
    rows = [row for row in rows if not period or _open(row, period)]
    found = [f"{kind}:{row['id']}" for row in rows if row["version"] in ("", version)]
    if not found:
        known = ", ".join(sorted({row["version"] for row in rows}))
        raise refuse("HDR_VERSION", "ZGLV/VERSION", expected=known, found=version[:20])
    return found


def nearest(rules: RuleData, profile: str, kind: str, direction: str, version: str, period: str) -> Layout:
    """The layout of a type and direction for a version and a period ``YYYY-MM``.

    Where the version has none in this direction, that of the nearest version before it is taken: who reads a newer
    register answers in the form that is known. ``SetupError`` when the direction has no layout of the type.
    """
    rows = [row for row in index(rules, profile) if (row["type"], row["direction"]) == (kind, direction)]
    if not rows:
        raise SetupError(f"{profile}/layouts/index.csv: nothing for {kind} {direction}")
    known = sorted({row["version"] for row in rows}, key=_number)
    older = [one for one in known if _number(one) <= _number(version)]
    for one in (*reversed(older), known[0]):
        try:
            return load(rules, profile, choose(rules, profile, kind, direction, one, period))
        except Refusal:
            continue
    raise SetupError(f"{profile}/layouts/index.csv: nothing for {kind} {direction} in {period}")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _open(row: Mapping[str, str], period: str) -> bool:
    return (not row["from"] or row["from"] <= period) and (not row["to"] or period <= row["to"])


@lru_cache(maxsize=32)
def _lines(rules: RuleData, relative: str) -> tuple[Mapping[str, str], ...]:
    return tuple(rules.table(relative))


@lru_cache(maxsize=512)
def load(rules: RuleData, profile: str, name: str) -> Layout:
    """The layout of this id (``H:from_mo_3.2``); ``SetupError`` names the line that is wrong."""
    kind, _, own = name.partition(":")
    rows = [row for row in index(rules, profile) if (row["type"], row["id"]) == (kind, own)]
    if not rows:
        raise SetupError(f"{profile}/layouts/index.csv: no layout {name}")
    relative = f"{profile}/layouts/{rows[0]['file']}.csv"
    lines: dict[str, tuple[int, Mapping[str, str]]] = {}
    for number, line in enumerate(_lines(rules, relative)):
        if not line["in"] or any(fnmatchcase(own, each) for each in line["in"].split("|")):
            if line["path"] in lines:
                raise SetupError(f"{relative}: {line['path']} stands twice in {own}")
            lines[line["path"]] = number, line
    root = next(iter(lines.values()))[1]["path"]
    elements: dict[str, Element] = {}
    for path in sorted(lines, key=lambda one: (one.count("/"), lines[one][0])):
        above = elements.get(path.rpartition("/")[0])
        if above is not None or path == root:
            elements[path] = _element(lines[path][1], above, relative)
    ordered = {one.path: one for one in elements[root].walk()}
    confirmed = rows[0]["status"] == "confirmed"
    return Layout(name, rows[0]["version"], confirmed, rows[0]["namespace"], elements[root], ordered)


def _element(line: Mapping[str, str], above: Element | None, relative: str) -> Element:
    place = f"{relative}: {line['path']}"
    if line["type"] not in (*GROUPS, *TYPES) or line["max"] not in ("*", "1") or line["min"] not in ("0", "1"):
        raise SetupError(f"{place}: type {line['type']!r} or occurrence {line['min']}..{line['max']}")
    if (line["type"] in TYPES) != bool(line["column"]):
        raise SetupError(f"{place}: a leaf needs a table and a column, a group no column")
    made = Element(
        path=line["path"],
        name=line["path"].rpartition("/")[2],
        rank=len(above.kids) if above is not None else 0,
        parent=above,
        least=int(line["min"]),
        most=0 if line["max"] == "*" else 1,
        type=line["type"],
        table=line["table"],
        column=line["column"],
        nil=line["nil"] == "nil",
        mark=line["mark"],
        unique=line["unique"],
        starts_row=bool(line["table"]) and (not line["column"] or line["table"] != row_of(above)),
    )
    if line["type"] in TYPES:
        made.facets = facets_of(line, place)
    if above is not None:
        above.kids[made.name] = made
    return made


@dataclass(frozen=True)
class Described:
    """All tables of a profile's layouts: ``columns[table][column] -> SQL type`` with ``n up_n z_sl_n line`` and places,
    ``parents[table] -> tables`` whose rows may stand above, ``optional`` (table, column) that need not be there."""

    columns: Mapping[str, Mapping[str, str]]
    parents: Mapping[str, tuple[str, ...]]
    optional: frozenset[tuple[str, str]]


@lru_cache(maxsize=4)
def describe(rules: RuleData, profile: str) -> Described:
    """Tables and columns of all layouts of a profile; a column is as wide as its widest layout needs."""
    facets: dict[str, dict[str, list[Facets]]] = {}
    parents: dict[str, dict[str, None]] = {}
    optional: set[tuple[str, str]] = set()
    for name in dict.fromkeys(f"{row['type']}:{row['id']}" for row in index(rules, profile)):
        layout = load(rules, profile, name)
        for one in layout.elements.values():
            if one.starts_row:
                facets.setdefault(one.table, {})
                parents.setdefault(one.table, {})[layout.row_above(one.table)] = None
            if one.facets is not None:
                facets.setdefault(one.table, {}).setdefault(one.column, []).append(one.facets)
                if _optional(one):
                    optional.add((one.table, one.column))
    columns = {
        table: KEYS | PLACED.get(table, {}) | {name: sql_type(every, f"{table}.{name}") for name, every in own.items()}
        for table, own in facets.items()
    }
    above = {table: tuple(filter(None, those)) for table, those in parents.items()}
    return Described(columns, above, frozenset(optional))


def _optional(one: Element) -> bool:
    """Whether the value may be absent from its row."""
    if one.mark and not one.mark.startswith("О"):
        return True
    at: Element | None = one
    while at is not None and not at.starts_row:
        if not at.least or at.nil:
            return True
        at = at.parent
    return False
