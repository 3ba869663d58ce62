"""Our own layouts as the model that documents are made from, and what lxml reads where a layout says.

So the reading of federal documents is spoiled and compared without any reference data.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from lxml import etree

from oms_batch.formats import elements
from oms_batch.formats.element_values import Facets
from tests.oracle.schema import MANY, Element, Schema, Simple, Unique

WHITE = " \t\r\n"
ENDLESS = Context(prec=300)
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
Row = dict[str, tuple[str, str]]  # column → path of the leaf, value as text


def simple(one: Facets) -> Simple:
    """The limits of a leaf in the words of a schema."""
    if one.type == "date":
        low, high = one.low or date(1900, 1, 1), one.high or date(2030, 12, 31)
        return Simple(
            "date",
            after=low - timedelta(days=1) if one.low_in else low,
            before=high + timedelta(days=1) if one.high_in else high,
        )
    if one.pattern is not None:
        return _by_pattern(one.pattern.pattern)
    if one.number:
        total = one.total if one.total > 0 else 9
        below = one.high if one.high is not None else Decimal(10) ** (total - max(one.fraction, 0))
        return Simple(
            "decimal",
            total=total,
            fraction=max(one.fraction, 0),
            lowest=one.low or Decimal(0),
            below=below,
            values=one.values,
        )
    return Simple("string", one.shortest, one.longest if one.longest >= 0 else 50, values=one.values)


def _by_pattern(pattern: str) -> Simple:
    """Numbers that a pattern allows: all of a list, or those of so many digits; enough to write documents with."""
    if not pattern.strip("0123456789|"):
        return Simple("decimal", total=2, below=Decimal(100), values=tuple(pattern.split("|")))
    found = re.search(r"\{([0-9]+)(?:,([0-9]+))?\}", pattern)
    least, most = (int(found[1]), int(found[2] or found[1])) if found is not None else (1, 9)
    return Simple(
        "decimal", total=most, lowest=Decimal(10) ** (least - 1) if least > 1 else Decimal(0), below=Decimal(10) ** most
    )


def _element(one: elements.Element) -> Element:
    uniques = [
        Unique("/".join(steps[:-1]), steps[-1])
        for steps in (
            each.path.removeprefix(one.path + "/").split("/") for each in one.walk() if each.unique == one.path
        )
    ]
    return Element(
        one.name,
        one.least,
        one.most or MANY,
        one.nil,
        simple(one.facets) if one.facets is not None else None,
        tuple(_element(kid) for kid in one.kids.values()),
        tuple(uniques),
    )


def model(layout: elements.Layout) -> Schema:
    """A layout as a schema that nobody judges by."""
    return Schema(f"/{layout.id}.xsd", _element(layout.root), layout.namespace, None)  # type: ignore[arg-type]


def meant(one: Facets, text: str, scale: int) -> str:
    """The value of a text as our tables show it, by other means than theirs; blank for none."""
    if not one.number:
        if one.type == "date":
            text = text.strip(WHITE)
            try:
                return text if date.fromisoformat(text).isoformat() == text else ""
            except ValueError:
                return ""
        return re.sub("[ \t\r\n]+", " ", text).strip(" ") if one.trim else text
    try:
        number = Decimal(text.strip(WHITE))
    except InvalidOperation:
        return ""
    if not number.is_finite() or "e" in text.lower():
        return ""
    if one.type in ("money", "int"):
        whole = number.scaleb(2) if one.type == "money" else number
        return str(int(whole)) if whole == int(whole) else ""
    if one.type == "quantity":
        return format(number.quantize(Decimal(1).scaleb(-scale), context=ENDLESS) + 0, "f")
    shown = format(number, "f")
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown == "-0" else shown


def rows(layout: elements.Layout, data: bytes, scales: dict[tuple[str, str], int]) -> dict[str, list[Row]]:
    """Rows of all tables as an lxml tree shows them. Elements that the layout does not know are left out."""
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    found: dict[str, list[Row]] = {}

    def visit(node: etree._Element, kind: elements.Element, row: Row) -> None:
        if kind.starts_row:
            row = {}
            found.setdefault(kind.table, []).append(row)
        if kind.facets is not None and node.get(NIL, "").strip(WHITE) not in ("true", "1"):
            value = meant(kind.facets, node.text or "", scales.get((kind.table, kind.column), 0))
            if value:
                row.setdefault(kind.column, (kind.path, value))
        if node.get(NIL, "").strip(WHITE) in ("true", "1"):
            return  # what it holds all the same is told by findings
        for below in node.iterchildren(etree.Element):
            inside = kind.kids.get(_local(below.tag, layout.namespace))
            if inside is not None and kind.facets is None:
                visit(below, inside, row)

    visit(root, layout.root, {})
    return found


def _local(tag: Any, namespace: str) -> str:
    return str(tag).removeprefix(f"{{{namespace}}}") if namespace else str(tag)
