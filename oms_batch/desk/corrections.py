"""Corrections of a refused account, field by field: only the named attribute changes.

A field is written ``table.column`` (``pers.npolis``, ``z_sl.rslt``); rows that may repeat carry
their number, counted through the account from 1: ``usl[2].code_usl``, ``ds[1].mkb``. The number
after the last one adds a row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oms_batch.desk import fragment
from oms_batch.desk.wire import Attribute, Wire, canonical
from oms_batch.errors import WrongState

PERSON, ACCOUNT = "pers", "z_sl"
_FIELD = re.compile(r"([a-z_0-9]+)(?:\[([1-9]\d{0,3})\])?\.([a-z_0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """A correctable field, for people: ``many`` when its row may repeat and needs a number."""

    name: str
    many: bool
    type: str
    size: str
    required: bool
    note: str


@dataclass(frozen=True, slots=True)
class Place:
    """A field taken apart: its attribute, and the number of the row (0: not given)."""

    attribute: Attribute
    number: int

    @property
    def table(self) -> str:
        return self.attribute.table


def fields(wire: Wire, fixed: Iterable[str] = ()) -> list[Field]:
    """All fields that may be corrected, in the order of the layout; ``fixed`` are set by the program alone."""
    never = set(fixed)
    tables = wire.below(PERSON)
    found = []
    for attribute in wire.fields.values():
        if attribute.table in tables and attribute.field not in never and f"{attribute.table}.*" not in never:
            many = attribute.table not in (PERSON, ACCOUNT)
            name = f"{attribute.table}[N].{attribute.column}" if many else attribute.field
            found.append(Field(name, many, attribute.type, attribute.size, attribute.required, attribute.note))
    return found


def locate(name: str, wire: Wire, fixed: Iterable[str] = ()) -> Place:
    """The place that a field's name means; ``WrongState`` ``FIELD_UNKNOWN`` with near names, ``FIELD_FIXED``."""
    match = _FIELD.fullmatch(name.strip().lower())
    attribute = wire.fields.get((match[1], match[3])) if match else None
    if match is None or attribute is None or attribute.table not in wire.below(PERSON):
        raise WrongState("FIELD_UNKNOWN", ", ".join(_near(name, wire, fixed)))
    never = set(fixed)
    if attribute.field in never or f"{attribute.table}.*" in never:
        raise WrongState("FIELD_FIXED", attribute.field)
    number = int(match[2] or 0)
    if attribute.table in (PERSON, ACCOUNT) and number > 1:
        raise WrongState("FIELD_ABSENT", attribute.field)
    return Place(attribute, number)


def check(name: str, text: str, wire: Wire, fixed: Iterable[str] = ()) -> str:
    """The value in the form of the wire, so that a correction can be refused when it is written down.

    ``WrongState`` with ``FIELD_…`` or ``VALUE_TYPE``, ``VALUE_SIZE``, ``VALUE_CHARACTER``, ``VALUE_EMPTY``.
    """
    attribute = locate(name, wire, fixed).attribute
    shaped, code = canonical(attribute, text)
    if code:
        wanted = f"{attribute.field}: {attribute.type}" + (f"({attribute.size})" if attribute.size else "")
        raise WrongState(code, wanted)
    return shaped


def apply(
    data: bytes,
    corrections: Iterable[tuple[str, str]],
    wire: Wire,
    encoding: str,
    root: str = ACCOUNT,
    fixed: Iterable[str] = (),
) -> bytes:
    """A patient (``root="pers"``) or an account (``"z_sl"``) with the corrections made, in their order.

    An empty value takes an optional attribute out. ``WrongState``: see ``check``; besides
    ``FIELD_AMBIGUOUS`` (several rows and no number) and ``FIELD_ABSENT`` (no such row).
    """
    never = tuple(fixed)
    for name, text in corrections:
        place = locate(name, wire, never)
        data = _one(data, place, check(name, text, wire, never), wire, encoding, root)
    return data


def split(
    corrections: Sequence[tuple[str, str]], wire: Wire, fixed: Iterable[str] = ()
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Corrections of the patient and corrections of the account."""
    never = tuple(fixed)
    inside = wire.below(ACCOUNT)
    ours = [one for one in corrections if locate(one[0], wire, never).table in inside]
    return [one for one in corrections if one not in ours], ours


def _one(data: bytes, place: Place, text: str, wire: Wire, encoding: str, root: str) -> bytes:
    attribute = place.attribute
    row_path = wire.rows[attribute.table]
    root_path = wire.rows[root]
    if row_path != root_path and not row_path.startswith(root_path + "/"):
        raise WrongState("FIELD_ABSENT", attribute.field)
    top = fragment.parse(data, root_path, encoding)
    rows = top.rows(row_path)
    if not place.number and len(rows) > 1:
        raise WrongState("FIELD_AMBIGUOUS", f"{attribute.field}: {len(rows)}")
    number = place.number or 1
    if number > len(rows) + 1:
        raise WrongState("FIELD_ABSENT", f"{attribute.field}: {len(rows)}")
    if number <= len(rows):
        row = rows[number - 1]
        exists = True
    else:
        row, exists = _nearest(top, row_path, attribute), False
    node, rest = row, attribute.path
    while exists and node.path != attribute.path:
        step = attribute.path[len(node.path) + 1 :].split("/")[0]
        child = next((one for one in node.children if one.name == step), None)
        if child is None:
            break
        node = child
    if exists and node.path == attribute.path:
        return fragment.set_attribute(data, node, attribute.name, text, encoding)
    if not text:
        return data
    return fragment.insert(data, wire, node, rest, attribute.name, text, encoding)


def _nearest(top: fragment.Node, row_path: str, attribute: Attribute) -> fragment.Node:
    """The deepest element there is on the way to a row that is to be added; it must be the only one."""
    path = row_path.rpartition("/")[0]
    while path:
        found = top.rows(path)
        if len(found) == 1:
            return found[0]
        if found:
            raise WrongState("FIELD_ABSENT", f"{attribute.field}: {len(found)}")
        path = path.rpartition("/")[0]
    raise WrongState("FIELD_ABSENT", attribute.field)


def _near(name: str, wire: Wire, fixed: Iterable[str]) -> list[str]:
    known = [one.name for one in fields(wire, fixed)]
    column = name.strip().lower().rpartition(".")[2]
    same = [one for one in known if one.rpartition(".")[2] == column]
    plain = {one.replace("[N]", ""): one for one in known}
    close = difflib.get_close_matches(re.sub(r"\[.*?\]", "", name.strip().lower()), list(plain), 5, 0.6)
    return list(dict.fromkeys([*same, *(plain[one] for one in close)]))[:5]
