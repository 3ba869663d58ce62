"""Tags and attributes as bytes, for rewriting one element without touching its neighbours.

Holds for documents that the reader has let through: well-formed, windows-1251 or utf-8, no
comments, CDATA or processing instructions inside the root. So ``<`` always opens a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TAG = re.compile(rb"""<(/?)([^\s/>]+)([^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*)>""")
_ATTRIBUTE = re.compile(rb"""([^\s=/<>"']+)\s*=\s*("[^"]*"|'[^']*')""")
# What XML 1.0 cannot carry at all, even as a character reference.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile('[\x00-\x1f&<>"\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    9: "&#9;",
    10: "&#10;",
    13: "&#13;",
}


@dataclass(frozen=True, slots=True)
class Child:
    """A direct child of an element: its name and byte range."""

    name: bytes
    start: int
    end: int


def escaped(value: str) -> str:
    """A value for use between double quotes, still as text."""
    if _SPECIAL.search(value) is None:
        return value
    return NOT_XML.sub(" ", value).translate(_ESCAPES)


def text(value: str, encoding: str) -> bytes:
    """A value for use between double quotes; letters that the encoding lacks become references, never ``?``."""
    return escaped(value).encode(encoding, "xmlcharrefreplace")


def element(name: str, attributes: Mapping[str, str], encoding: str, content: bytes = b"") -> bytes:
    """An element with its attributes in the given order; those that are empty are left out."""
    inside = "".join([f' {key}="{escaped(value)}"' for key, value in attributes.items() if value])
    tag = f"<{name}{inside}".encode(encoding, "xmlcharrefreplace")
    return tag + b">" + content + b"</" + name.encode("ascii") + b">" if content else tag + b"/>"


def set_attribute(tag: bytes, name: str, value: str, encoding: str) -> bytes:
    """The start tag with one attribute set; all its other bytes, quotes included, stay."""
    new = text(value, encoding).replace(b"'", b"&apos;")
    for found in _ATTRIBUTE.finditer(tag):
        if found[1] == name.encode("ascii"):
            start, end = found.span(2)
            return tag[: start + 1] + new + tag[end - 1 :]
    end = len(tag) - (2 if tag.endswith(b"/>") else 1)
    while tag[end - 1 : end].isspace():
        end -= 1
    return tag[:end] + b" " + name.encode("ascii") + b'="' + new + b'"' + tag[end:]


def attributes(tag: bytes) -> dict[bytes, bytes]:
    """The attributes of a start tag, raw."""
    return {found[1]: found[2][1:-1] for found in _ATTRIBUTE.finditer(tag)}


def children(raw: bytes) -> Iterator[Child]:
    """The direct children of the element that ``raw`` is, from its start tag to its end tag."""
    depth = 0
    name, start = b"", 0
    for found in TAG.finditer(raw):
        if found[1]:
            depth -= 1
            if depth == 1:
                yield Child(name, start, found.end())
            continue
        if depth == 1:
            name, start = found[2], found.start()
            if found[3].endswith(b"/"):
                yield Child(name, start, found.end())
        if not found[3].endswith(b"/"):
            depth += 1


def spaces_before(raw: bytes, end: int) -> int:
    """Where the white space that ends at ``end`` begins."""
    return len(raw[:end].rstrip(b" \t\r\n"))
