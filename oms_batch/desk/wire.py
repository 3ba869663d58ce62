"""The layout as a tree for writing: which table and column stands where on the wire.

The names of elements and attributes are data (``rules/<profile>/layouts/*.csv``); this
module only turns the lines of that table into something that can be walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile
from oms_batch.model import parse_date

_DOTTED = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})", re.ASCII)
_MONEY = re.compile(r"\d{1,13}(?:\.\d{1,2})?", re.ASCII)
_QUANTITY = re.compile(r"\d{1,13}(?:\.\d{1,9})?", re.ASCII)
_INT = re.compile(r"-?\d{1,18}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute on the wire and the column that it fills."""

    path: str
    name: str
    table: str
    column: str
    type: str
    size: str
    mark: str
    note: str

    @property
    def field(self) -> str:
        """The canonical name, ``table.column``."""
        return f"{self.table}.{self.column}"

    @property
    def required(self) -> bool:
        return self.mark == "О"


@dataclass(slots=True)
class Element:
    """One element of the layout; ``table`` is set when an occurrence is a row of its own."""

    path: str
    name: str
    table: str
    order: int
    attributes: list[Attribute] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wire:
    """The layout: elements by path, attributes by (table, column), and where a table's rows start."""

    elements: dict[str, Element]
    fields: dict[tuple[str, str], Attribute]
    rows: dict[str, str]

    def attribute(self, table: str, column: str) -> Attribute:
        """The attribute of a column; ``SetupError`` when the layout has none."""
        try:
            return self.fields[table, column]
        except KeyError:
            raise SetupError(f"layout: no column {table}.{column}") from None

    def row(self, table: str) -> Element:
        """The element that starts a row of this table; ``SetupError`` when the layout has none."""
        try:
            return self.elements[self.rows[table]]
        except KeyError:
            raise SetupError(f"layout: no table {table}") from None

    def parent_table(self, table: str) -> str:
        """The table whose row holds this table's rows; empty at the top."""
        path = self.rows[table].rpartition("/")[0]
        while path:
            if (found := self.elements.get(path)) and found.table:
                return found.table
            path = path.rpartition("/")[0]
        return ""

    def below(self, table: str) -> set[str]:
        """The table itself and all tables whose rows lie inside its rows."""
        top = self.rows[table]
        return {name for name, path in self.rows.items() if path == top or path.startswith(top + "/")}

    def columns(self, table: str) -> list[Attribute]:
        """The attributes that fill this table, in the order of the layout."""
        return [one for (name, _column), one in self.fields.items() if name == table]


def load_wire(profile: Profile) -> Wire:
    """The layout of a profile, ``<profile>/layouts/<layout>.csv``."""
    return wire_of(profile.rules.table(f"{profile.id}/layouts/{profile.data['layout']}.csv"))


def wire_of(lines: Iterable[Mapping[str, str]]) -> Wire:
    """The tree of layout lines; columns ``path kind name table column type size mark note``."""
    elements: dict[str, Element] = {}
    fields: dict[tuple[str, str], Attribute] = {}
    rows: dict[str, str] = {}
    for order, line in enumerate(lines):
        path = line["path"]
        if line["kind"] == "element":
            parent, _, name = path.rpartition("/")
            one = elements[path] = Element(path, name, line["table"], order)
            if parent:
                if parent not in elements:
                    raise SetupError(f"layout: {path} stands before its parent")
                elements[parent].children.append(one)
            if one.table:
                rows.setdefault(one.table, path)
            continue
        attribute = Attribute(
            path, line["name"], line["table"], line["column"], line["type"], line["size"], line["mark"], line["note"]
        )
        if path not in elements:
            raise SetupError(f"layout: attribute {line['name']} of {path} stands before its element")
        elements[path].attributes.append(attribute)
        if attribute.column:
            fields.setdefault((attribute.table, attribute.column), attribute)
    return Wire(elements, fields, rows)


def canonical(attribute: Attribute, text: str) -> tuple[str, str]:
    """A value as it goes on the wire, and the code of what is wrong with it (empty: nothing).

    Dates may come as ``YYYY-MM-DD`` or ``DD.MM.YYYY``; money and quantities with a point or a
    comma. Codes: ``VALUE_CHARACTER``, ``VALUE_TYPE``, ``VALUE_SIZE``, ``VALUE_EMPTY``.
    """
    value = text.strip()
    if not value:
        return "", "VALUE_EMPTY" if attribute.required else ""
    if _CONTROL.search(value):
        return value, "VALUE_CHARACTER"
    shaped = _shape(attribute.type, value)
    if shaped is None:
        return value, "VALUE_TYPE"
    if attribute.type not in ("date",) and not _fits(attribute, shaped):
        return shaped, "VALUE_SIZE"
    return shaped, ""


def _shape(kind: str, value: str) -> str | None:
    if kind == "date":
        if dotted := _DOTTED.fullmatch(value):
            value = f"{dotted[3]}-{dotted[2]}-{dotted[1]}"
        found: date | None = parse_date(value)
        return value if found else None
    if kind in ("money", "quantity"):
        number = value.replace(",", ".").replace(" ", "").replace("\u00a0", "")
        if not (_MONEY if kind == "money" else _QUANTITY).fullmatch(number):
            return None
        return f"{Decimal(number):.2f}" if kind == "money" else number
    if kind == "int":
        return value if _INT.fullmatch(value) else None
    return value


def _fits(attribute: Attribute, value: str) -> bool:
    """Whether a value is no longer than the layout allows; ``size`` is ``N`` or ``N.M`` (M digits after the point)."""
    if not attribute.size:
        return True
    whole, _, part = attribute.size.partition(".")
    if not whole.isdigit():
        return True
    if attribute.type in ("money", "quantity"):
        left, _, right = value.partition(".")
        places = int(part) if part.isdigit() else 0
        return len(left) <= int(whole) - places and (len(right) <= places or not part.isdigit())
    return len(value) <= int(whole)


def kopecks(value: str) -> int:
    """Roubles as on the wire (``123.4``) in kopecks; ``ValueError`` when it is no such number."""
    if not _MONEY.fullmatch(value):
        raise ValueError("not an amount")
    return int(Decimal(value) * 100)
