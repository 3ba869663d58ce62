"""Registers for the tests of reading: a document that holds all of a layout, and its plain reading."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import quoteattr

import duckdb
from lxml import etree

from oms_batch.exchange import load_profile
from oms_batch.formats import reestr_xml
from oms_batch.formats.layout import Field, Layout, Node, load_layout
from oms_batch.formats.reestr_xml import ReadLimits, ReadResult
from oms_batch.ruledata import RuleData

RULES = RuleData()
PROFILE = load_profile("yaroslavl", RULES)
LAYOUT = load_layout(RULES, "yaroslavl", "reestr_6_15")
HEAD = '<?xml version="1.0" encoding="{}"?>\n'
FIXED = {
    "version": "6.15", "protocol": "Reestr", "ogrn_mo": "1027600000108", "kpp_mo": "760401001", "year": "2018",
    "month": "9", "sex": "1", "sex_p": "2", "type_polis": "3", "type_acc": "1", "pay": "1", "ogrn_smo": "1027600000405",
}  # fmt: skip


def value(one: Field, number: int) -> str:
    """A valid value of this attribute, different for each occurrence."""
    if one.name in FIXED:
        return FIXED[one.name]
    if one.type == "money":
        return f"{number % 7}{number % 10}.{number % 100:02d}"
    if one.type == "date":
        return f"2018-09-{number % 28 + 1:02d}"
    if one.type == "int":
        return str(number % 900)
    if one.type == "quantity":
        return f"{number % 9 + 1}.{number % 10}"
    return (f"Ё{number}" if one.type == "text" and one.size > 20 else str(number))[: one.size]


class Maker:
    """Writes documents; every attribute gets a valid value, ``vg`` decides which restricted elements are there."""

    def __init__(self, layout: Layout = LAYOUT, gap: str = "\n") -> None:
        self.layout, self.gap, self.number = layout, gap, 0

    def element(self, node: Node, vg: str, full: bool, people: int) -> str:
        if node.vg and vg not in node.vg:
            return ""
        text = []
        for one in node.fields.values():
            self.number += 1
            if full or one.required or one.type == "money":
                text.append(f" {one.name}={quoteattr(vg if one.name == 'vg' else value(one, self.number))}")
        inside = ""
        for kid in node.kids.values():
            if kid.name == "patient":
                kinds = sorted(self.layout_types())
                inside += "".join(self.element(kid, kinds[i % len(kinds)], i % 4 != 1, people) for i in range(people))
            elif full or kid.required or kid.name in ("sum", "elem", "register_accounts", "personal_account"):
                inside += self.element(kid, vg, full, people) * 1
                if kid.multiple and kid.name != "elem":
                    inside += self.element(kid, vg, False, people)
        head = f"<{node.name}{''.join(text)}"
        return f"{head}>{self.gap}{inside}</{node.name}>{self.gap}" if inside else f"{head}/>{self.gap}"

    def layout_types(self) -> set[str]:
        return set().union(*(node.vg for node in self.layout.nodes.values()))

    def document(self, people: int = 11, encoding: str = "windows-1251") -> bytes:
        text = HEAD.format(encoding) + self.element(self.layout.root, "", True, people)
        return text.encode("cp1251" if encoding == "windows-1251" else encoding)


def read(
    data: bytes, *, workers: int = 1, con: duckdb.DuckDBPyConnection | None = None, **cut: Any
) -> tuple[duckdb.DuckDBPyConnection, ReadResult]:
    """Read bytes into a fresh database."""
    con = con or duckdb.connect()
    return con, reestr_xml.read(io.BytesIO(data), LAYOUT, con, workers=workers, limits=ReadLimits(**cut))


def dump(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """All tables, rows in order."""
    return {
        table: con.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
        for table in [*LAYOUT.tables, "spot", "findings"]
    }


def plain_rows(data: bytes) -> dict[str, list[dict[str, str]]]:
    """Rows per table as an lxml document tree shows them: texts by column, blanks left out. The oracle."""
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    rows: dict[str, list[dict[str, str]]] = {table: [] for table in LAYOUT.tables}

    def visit(element: Any, node: Node, row: dict[str, str]) -> None:
        if node.table:
            row = {}
            rows[node.table].append(row)
        for name, text in element.attrib.items():
            if name in node.fields and text:
                row.setdefault(node.fields[name].column, text)
        for child in element:
            if child.tag in node.kids:
                visit(child, node.kids[child.tag], row)

    visit(root, LAYOUT.root, {})
    return rows


def read_rows(con: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, str]]]:
    """The same from the tables: typed values as text again, in document order."""
    found = {}
    for table, fields in LAYOUT.tables.items():
        cells = con.execute(f"SELECT {', '.join(one.column for one in fields)} FROM {table} ORDER BY n").fetchall()
        found[table] = [
            {one.column: str(cell) for one, cell in zip(fields, row, strict=True) if cell is not None} for row in cells
        ]
    return found
