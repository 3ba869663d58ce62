"""Records of a plan written as a document of federal form, in the order of its layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from xml.sax.saxutils import escape

import duckdb

from oms_batch.desk import bridge
from oms_batch.desk.bridge import Plan, Row
from oms_batch.desk.migrate import Report
from oms_batch.formats.elements import Element, Layout

WHOLE = "."  # the place itself: an element that repeats and holds a value


def write(con: duckdb.DuckDBPyConnection, plan: Plan, layout: Layout, key: str, out: BinaryIO, encoding: str) -> Report:
    """Write the document of a layout out of what ``bridge.lay_out`` has made. ``key``: place below a record whose value
    names it. Gives records, elements that lack a value, and the record that begins at each line."""
    writer = _Writer(layout, out, encoding)
    root = layout.root
    writer.line(f'<?xml version="1.0" encoding="{encoding}"?>')
    writer.line(f"<{root.name}{f' xmlns={chr(34)}{layout.namespace}{chr(34)}' if layout.namespace else ''}>")
    head = next(bridge.rows(con, plan, root.path), None)
    for kid in root.kids.values():
        if kid is not layout.record and head is not None:
            writer.inside(kid, head, root.path, 1)
    for row in bridge.rows(con, plan, layout.record.path):
        writer.report.records += 1
        writer.report.lines.append(writer.at)
        writer.report.keys.append(row.values.get(key, ""))
        writer.group(layout.record, row, layout.record.path, 1)
    writer.line(f"</{root.name}>")
    return writer.report


class _Writer:
    """Counts its lines, so that what is wrong can be told by record."""

    def __init__(self, layout: Layout, out: BinaryIO, encoding: str) -> None:
        self.layout, self.out, self.encoding = layout, out, encoding
        self.report = Report()
        self.at = 1

    def line(self, text: str) -> None:
        self.out.write((text + "\n").encode(self.encoding, "xmlcharrefreplace"))
        self.at += 1

    def group(self, element: Element, row: Row, base: str, depth: int) -> None:
        """An element with what the row has for it; ``base``: the place that the row fills."""
        pad = " " * depth
        self.line(f"{pad}<{element.name}>")
        for kid in element.kids.values():
            self.inside(kid, row, base, depth + 1)
        self.line(f"{pad}</{element.name}>")

    def inside(self, element: Element, row: Row, base: str, depth: int) -> None:
        """All occurrences of an element in what the row fills."""
        held = row.inside.get(element.path, [])
        place = element.path[len(base) + 1 :]
        if held:
            for one in held:
                if element.kids:
                    self.group(element, one, element.path, depth)
                else:
                    self.leaf(element, one.values[WHOLE], depth)
        elif element.kids and _says(row, place, element.path):
            self.group(element, row, base, depth)
        elif not element.kids and place in row.values:
            self.leaf(element, row.values[place], depth)
        elif element.least and not element.nil:
            self.report.fill_in[element.path] += 1

    def leaf(self, element: Element, text: str, depth: int) -> None:
        clean = " ".join(text.split("\n")).replace("\r", " ")
        self.line(f"{' ' * depth}<{element.name}>{escape(clean)}</{element.name}>")


def _says(row: Row, place: str, path: str) -> bool:
    """Whether the row has anything inside this group."""
    return any(_starts(row.values, place + "/")) or any(_starts(row.inside, path + "/"))


def _starts(names: dict[str, str] | dict[str, list[Row]], start: str) -> Iterator[bool]:
    return (True for name in names if name.startswith(start))
