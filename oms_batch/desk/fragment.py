"""One element of a register (a patient, an account) as bytes that can be changed in one place.

All data of the protocol stand in attributes, so a fragment is tags and white space only. A change
touches the bytes of its own attribute or element; every other byte stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from xml.sax.saxutils import escape

from oms_batch.desk.wire import Element, Wire
from oms_batch.errors import refuse

TAG = re.compile(rb"<(/?)([^\s/>!?\"'=<]+)((?:\s+[^\s=<>\"']+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*)\s*(/?)>")
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_SPECIAL = re.compile('[&<>"\t\n\r]')
_QUOTES = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


@dataclass(slots=True)
class Node:
    """An element with the places of its bytes: ``[start, end)``, start tag to ``tag_end``, end tag from ``close``."""

    name: str
    path: str
    start: int
    tag_end: int
    close: int = 0
    end: int = 0
    empty: bool = False
    attributes: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # before the name, value from, value to
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """This element and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def rows(self, path: str) -> list[Node]:
        """All elements with this full path."""
        return [one for one in self.walk() if one.path == path]


def parse(data: bytes, path: str, encoding: str) -> Node:
    """The tree of a fragment whose outer element has the full path ``path``.

    Refuses with ``XML_SYNTAX`` what is not one balanced element, ``XML_MIXED`` text or comments inside.
    """
    top: Node | None = None
    stack: list[Node] = []
    place = 0
    for match in TAG.finditer(data):
        if data[place : match.start()].strip():
            raise refuse("XML_MIXED", f"byte {place}")
        place = match.end()
        name = match[2].decode(encoding)
        if match[1]:
            if not stack or stack[-1].name != name or match[3]:
                raise refuse("XML_SYNTAX", f"byte {match.start()}")
            node = stack.pop()
            node.close, node.end = match.start(), match.end()
            continue
        if not stack and top is not None:
            raise refuse("XML_SYNTAX", f"byte {match.start()}")
        node = Node(name, f"{stack[-1].path}/{name}" if stack else path, match.start(), match.end())
        for one in _ATTRIBUTE.finditer(data, match.start(3), match.end(3)):
            node.attributes[one[1].decode(encoding)] = (one.start(), one.start(2) + 1, one.end(2) - 1)
        if stack:
            stack[-1].children.append(node)
        else:
            top = node
        if match[4]:
            node.empty, node.close, node.end = True, match.end(), match.end()
        else:
            stack.append(node)
    if data[place:].strip():
        raise refuse("XML_MIXED", f"byte {place}")
    if top is None or stack or top.name != path.rpartition("/")[2]:
        raise refuse("XML_SYNTAX", "byte 0")
    return top


def value(data: bytes, node: Node, name: str, encoding: str) -> str | None:
    """The value of an attribute; ``None`` when it is not there."""
    if name not in node.attributes:
        return None
    _, start, end = node.attributes[name]
    return unescape(data[start:end].decode(encoding))


def encode(text: str, encoding: str) -> bytes:
    """Text as bytes of the register; what the code page lacks becomes character references."""
    return text.encode(encoding, "xmlcharrefreplace")


def quoted(text: str) -> str:
    """A value ready to stand between double quotes."""
    return escape(text, _QUOTES) if _SPECIAL.search(text) else text


def transcode(data: bytes, source: str, target: str) -> bytes:
    """The same fragment in another code page; equal bytes when the code pages are equal."""
    return data if source == target else encode(data.decode(source), target)


def set_attribute(data: bytes, node: Node, name: str, text: str, encoding: str) -> bytes:
    """The fragment with this attribute set, added, or (empty text) taken out."""
    if name in node.attributes:
        before, start, end = node.attributes[name]
        if not text:
            return data[:before] + data[end + 1 :]
        shown = quoted(text).replace("'", "&apos;") if data[start - 1 : start] == b"'" else quoted(text)
        return data[:start] + encode(shown, encoding) + data[end:]
    if not text:
        return data
    place = node.tag_end - 1
    if node.empty:
        place -= 1
    while data[place - 1 : place].isspace():
        place -= 1
    return data[:place] + encode(f' {name}="{quoted(text)}"', encoding) + data[place:]


def remove(data: bytes, path: str, encoding: str, gone: set[str]) -> bytes:
    """The fragment without the elements whose full path is in ``gone``."""
    top = parse(data, path, encoding)
    for node in sorted((one for one in top.walk() if one.path in gone), key=lambda one: one.start, reverse=True):
        if node is not top and node.end <= len(data):
            data = data[: node.start] + data[node.end :]
    return data


def insert(data: bytes, wire: Wire, parent: Node, path: str, name: str, text: str, encoding: str) -> bytes:
    """The fragment with new elements from ``parent`` down to ``path``, the last one carrying one attribute.

    The new element stands where the layout's order puts it, after those of the same name.
    """
    steps = path[len(parent.path) + 1 :].split("/")
    inner = f'<{steps[-1]} {name}="{quoted(text)}"/>'
    for step in reversed(steps[:-1]):
        inner = f"<{step}>{inner}</{step}>"
    piece = encode(inner, encoding)
    if parent.empty:
        tag = data[parent.start : parent.tag_end]
        opened = tag[: tag.rindex(b"/")].rstrip() + b">"
        closing = encode(f"</{parent.name}>", encoding)
        return data[: parent.start] + opened + piece + closing + data[parent.tag_end :]
    order = _order(wire, f"{parent.path}/{steps[0]}")
    place = parent.close
    for child in parent.children:
        if _order(wire, child.path) > order:
            place = child.start
            break
    return data[:place] + piece + data[place:]


def _order(wire: Wire, path: str) -> int:
    known: Element | None = wire.elements.get(path)
    return known.order if known is not None else 1 << 30
