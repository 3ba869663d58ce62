"""The layout of an XML register as objects: which element goes into which table and column.

A layout is a table of data (``rules/<profile>/layouts/*.csv``), one line per element and
attribute; the tables of the working database and the structural checks follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from oms_batch.errors import SetupError
from oms_batch.ruledata import RuleData

TYPES = ("text", "code", "date", "money", "quantity", "int")
_MARKS = ("О", "У", "Н")
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute: where it is read into and what form it must have."""

    name: str
    table: str
    column: str
    type: str
    size: int  # characters; for quantity all digits
    scale: int  # decimals of a quantity
    required: bool


@dataclass(slots=True)
class Node:
    """One element. With ``table`` each occurrence is a row there; without, its attributes
    (if any) belong to the row above it and it may stand once only."""

    path: str
    name: str
    table: str
    required: bool
    multiple: bool
    vg: frozenset[str]
    parent: Node | None
    label: str = ""
    fields: dict[str, Field] = field(default_factory=dict)
    kids: dict[str, Node] = field(default_factory=dict)

    def walk(self) -> Iterator[Node]:
        """This element and all below it, in document order."""
        yield self
        for kid in self.kids.values():
            yield from kid.walk()


@dataclass(slots=True)
class Layout:
    """``root`` is the outermost element; ``tables`` gives the columns of each table in order."""

    root: Node
    nodes: dict[str, Node]
    tables: dict[str, list[Field]]

    def node(self, path: str) -> Node:
        """The element at this path; ``SetupError`` when the layout lacks it."""
        try:
            return self.nodes[path]
        except KeyError:
            raise SetupError(f"layout: no element {path}") from None


def load_layout(rules: RuleData, profile: str, name: str) -> Layout:
    """Read ``<profile>/layouts/<name>.csv``; ``SetupError`` names the line that is wrong.

    Columns: path, kind (element|attribute), name, table, column, type, size, mark (О/У/Н),
    multiple (1 = may repeat), vg (register types, ``|`` between), note.
    """
    relative = f"{profile}/layouts/{name}.csv"
    nodes: dict[str, Node] = {}
    tables: dict[str, list[Field]] = {}
    for row in rules.table(relative):
        place = f"{relative}: {row['path']} {row['name']}"
        if row["mark"] not in _MARKS:
            raise SetupError(f"{place}: mark {row['mark']!r}")
        if row["kind"] == "element":
            _add_element(nodes, row, place)
            if row["table"]:
                tables.setdefault(row["table"], [])
        elif row["kind"] == "attribute":
            one = _field(row, place)
            known = nodes.get(row["path"])
            if known is None or one.name in known.fields:
                raise SetupError(f"{place}: its element is missing above it, or it stands twice")
            if one.table not in tables or any(other.column == one.column for other in tables[one.table]):
                raise SetupError(f"{place}: table {one.table} unknown or column {one.column} taken")
            known.fields[one.name] = one
            tables[one.table].append(one)
        else:
            raise SetupError(f"{place}: kind {row['kind']!r}")
    if not nodes:
        raise SetupError(f"{relative}: empty")
    _label(nodes)
    _check_folds(nodes, relative)
    return Layout(next(iter(nodes.values())), nodes, tables)


def _add_element(nodes: dict[str, Node], row: dict[str, str], place: str) -> None:
    path = row["path"]
    above, _, name = path.rpartition("/")
    parent = nodes.get(above)
    if name != row["name"] or path in nodes or (parent is None) != (not nodes):
        raise SetupError(f"{place}: wrong name, a second line, or its parent is missing above it")
    if row["table"] and not _NAME.fullmatch(row["table"]):
        raise SetupError(f"{place}: table {row['table']!r}")
    vg = frozenset(filter(None, row["vg"].split("|")))
    one = Node(path, name, row["table"], row["mark"] == "О", row["multiple"] == "1", vg, parent)
    nodes[path] = one
    if parent is not None:
        parent.kids[name] = one


def _field(row: dict[str, str], place: str) -> Field:
    if row["type"] not in TYPES or not _NAME.fullmatch(row["column"]):
        raise SetupError(f"{place}: type {row['type']!r} or column {row['column']!r}")
    size, _, scale = row["size"].partition(".")
    if not (size.isdecimal() or (row["type"] == "date" and not size)) or bool(scale) != (row["type"] == "quantity"):
        raise SetupError(f"{place}: size {row['size']!r}")
    return Field(
        row["name"], row["table"], row["column"], row["type"], int(size or 10), int(scale or 0), row["mark"] == "О"
    )


def _label(nodes: dict[str, Node]) -> None:
    """The shortest end of its path that no other element shares: ``personal_account``, ``manipulation/sum``."""
    for one in nodes.values():
        parts = one.path.strip("/").split("/")
        for take in range(1, len(parts) + 1):
            tail = "/".join(parts[-take:])
            if sum(other.endswith("/" + tail) for other in nodes) == 1:
                one.label = tail
                break
        else:
            one.label = one.path.strip("/")


def _check_folds(nodes: dict[str, Node], relative: str) -> None:
    for one in nodes.values():
        row: Node | None = one
        while row is not None and not row.table:
            if row.multiple and row.fields:
                raise SetupError(f"{relative}: {one.path} may repeat but has no table of its own")
            row = row.parent
        for attribute in one.fields.values():
            if row is None or attribute.table != row.table:
                raise SetupError(f"{relative}: {one.path}@{attribute.name} must go into the row that it stands in")
