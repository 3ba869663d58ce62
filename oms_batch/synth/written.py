"""Canonical rows → documents: the way back of reading, for registers that are made of the examples of rules.

Rows are as ``judge.example.numbered`` gives them (``n``, ``up_n``), money in kopecks, dates as dates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from oms_batch.formats.elements import Element
from oms_batch.formats.elements import Layout as Elements
from oms_batch.formats.layout import Layout, Node
from oms_batch.model import roubles

Row = Mapping[str, Any]
Rows = Mapping[str, list[dict[str, Any]]]


class _Below:
    """Rows of each table by the row above them."""

    def __init__(self, rows: Rows) -> None:
        self.found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for table, listed in rows.items():
            for row in listed:
                self.found.setdefault((table, int(row.get("up_n") or 0)), []).append(row)

    def of(self, table: str, above: Row) -> list[dict[str, Any]]:
        return self.found.get((table, int(above.get("n") or 0)), [])


def text_of(value: Any, kind: str, fraction: int = 2) -> str:
    """A value as it stands in a document; nothing is an empty text."""
    if value is None:
        return ""
    if kind == "money" and isinstance(value, int):
        return roubles(value)
    if isinstance(value, date):
        return value.isoformat()
    if kind == "quantity" and fraction > 0:
        return f"{value:.{fraction}f}" if isinstance(value, int | float) else str(value)
    return str(value)


def element_document(layout: Elements, rows: Rows, encoding: str = "windows-1251") -> bytes:
    """A document of elements; the root's row is the first of its table."""
    below = _Below(rows)
    head = rows[layout.root.table][0]
    body = "".join(_element(layout.root, head, below))
    return f'<?xml version="1.0" encoding="{encoding}"?>\n{body}\n'.encode(encoding)


def _element(one: Element, row: Row, below: _Below) -> Iterator[str]:
    inner = "".join(part for kid in one.kids.values() for part in _kid(kid, row, below))
    if inner or one.starts_row:
        yield f"<{one.name}>{inner}</{one.name}>\n"


def _kid(kid: Element, row: Row, below: _Below) -> Iterator[str]:
    """Each occurrence of a child: rows of its own table, else the columns of the row above."""
    listed: Iterable[Row] = below.of(kid.table, row) if kid.starts_row else [row]
    for own in listed:
        if kid.facets is None:
            yield from _element(kid, own, below)
        elif text := text_of(own.get(kid.column), kid.facets.type, kid.facets.fraction):
            yield f"<{kid.name}>{escape(text)}</{kid.name}>"


def attribute_document(layout: Layout, rows: Rows, encoding: str = "windows-1251") -> bytes:
    """A document of attributes (the register of Yaroslavl)."""
    below = _Below(rows)
    head = rows["register"][0]
    body = "".join(_node(layout.root, head, below))
    return f'<?xml version="1.0" encoding="{encoding}"?>\n{body}\n'.encode(encoding)


def _node(node: Node, row: Row, below: _Below) -> Iterator[str]:
    fields = ((field.name, text_of(row.get(field.column), field.type, field.scale)) for field in node.fields.values())
    attributes = "".join(f" {name}={quoteattr(text)}" for name, text in fields if text)
    inner = "".join(part for kid in node.kids.values() for part in _node_kid(kid, row, below))
    if attributes or inner or node.required or node.table:
        yield f"<{node.name}{attributes}>{inner}</{node.name}>"


def _node_kid(kid: Node, row: Row, below: _Below) -> Iterator[str]:
    if not kid.table or kid.table == "register":
        yield from _node(kid, row, below)
        return
    for own in below.of(kid.table, row):
        yield from _node(kid, own, below)
