"""An XML schema as a small model, enough to write documents that it accepts.

What the model has no words for is an error: a constraint must not be lost in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache

from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"
MANY = 1_000_000
DATE_PATTERN = (
    "((000[1-9])|(00[1-9][0-9])|(0[1-9][0-9]{2})|([1-9][0-9]{3}))-((0[1-9])|(1[012]))-((0[1-9])|([12][0-9])|(3[01]))"
)
_FACETS = {
    *("minLength", "maxLength", "totalDigits", "fractionDigits", "minInclusive", "maxExclusive", "minExclusive"),
    *("enumeration", "pattern"),
}


@dataclass(frozen=True)
class Simple:
    """A simple type: ``base`` is string, decimal or date; bounds of a date are exclusive."""

    base: str
    shortest: int = 0
    longest: int = MANY
    total: int = 0
    fraction: int = 0
    lowest: Decimal = Decimal(0)
    below: Decimal = Decimal(MANY)
    values: tuple[str, ...] = ()
    after: date = date.min
    before: date = date.max


@dataclass(frozen=True)
class Unique:
    """``selector`` and ``field`` are paths below the element that has it."""

    selector: str
    field: str


@dataclass(frozen=True)
class Element:
    """One declared element; ``simple`` is None where it has children (a sequence)."""

    name: str
    least: int
    most: int
    nillable: bool
    simple: Simple | None
    kids: tuple[Element, ...]
    uniques: tuple[Unique, ...]

    def walk(self) -> Iterator[Element]:
        """This one and all below."""
        yield self
        for kid in self.kids:
            yield from kid.walk()

    def kid(self, name: str) -> Element:
        return next(one for one in self.kids if one.name == name)


@dataclass(frozen=True)
class Schema:
    """A schema file: our model of its root, the namespace it asks for, and lxml's judge."""

    path: str
    root: Element
    namespace: str
    judge: etree.XMLSchema

    def paths(self) -> Iterator[tuple[tuple[str, ...], Element]]:
        """All declared elements with their names from the root."""

        def below(one: Element, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Element]]:
            yield (*above, one.name), one
            for kid in one.kids:
                yield from below(kid, (*above, one.name))

        return below(self.root, ())

    @property
    def name(self) -> str:
        """``from_mo/H_3.2``."""
        return "/".join(self.path.split("/")[-2:]).removesuffix(".xsd")


def _children(node: etree._Element) -> list[etree._Element]:
    return [one for one in node if isinstance(one.tag, str) and one.tag != XS + "annotation"]


def _only(node: etree._Element, *allowed: str) -> list[etree._Element]:
    found = _children(node)
    for one in found:
        if one.tag.removeprefix(XS) not in allowed:
            raise NotImplementedError(f"{one.tag} in {node.tag}, line {one.sourceline}")
    return found


class _Reader:
    def __init__(self, root: etree._Element) -> None:
        self.named = {one.get("name"): one for one in root.findall(XS + "simpleType")}

    def simple(self, node: etree._Element) -> Simple:
        (restriction,) = _only(node, "restriction")
        base = (restriction.get("base") or "").split(":")[-1]
        if base not in ("string", "decimal", "date"):
            raise NotImplementedError(f"{base}, line {node.sourceline}")
        facets = {one.tag.removeprefix(XS): one.get("value") or "" for one in _only(restriction, *_FACETS)}
        if facets.get("pattern", DATE_PATTERN) != DATE_PATTERN:
            raise NotImplementedError(f"pattern, line {node.sourceline}")
        if base == "date":
            bounds = date.fromisoformat(facets["minExclusive"]), date.fromisoformat(facets["maxExclusive"])
            return Simple(base, after=bounds[0], before=bounds[1])
        if base == "string":
            return Simple(base, int(facets["minLength"]), int(facets["maxLength"]))
        return Simple(
            base,
            total=int(facets["totalDigits"]),
            fraction=int(facets.get("fractionDigits", 0)),
            lowest=Decimal(facets["minInclusive"]),
            below=Decimal(facets["maxExclusive"]),
            values=tuple(one.get("value") or "" for one in restriction.findall(XS + "enumeration")),
        )

    def element(self, node: etree._Element) -> Element:
        simple, kids = None, []
        inside = _only(node, "simpleType", "complexType", "unique")
        for one in inside:
            if one.tag == XS + "simpleType":
                simple = self.simple(one)
            elif one.tag == XS + "complexType":
                (body,) = _only(one, "sequence", "simpleContent")
                if body.tag == XS + "sequence":
                    kids = [self.element(kid) for kid in _only(body, "element")]
                else:
                    (extension,) = _only(body, "extension")
                    _only(extension)
                    simple = self.simple(self.named[(extension.get("base") or "").split(":")[-1]])
        uniques = []
        for one in inside:
            if one.tag == XS + "unique":
                selector, field = _only(one, "selector", "field")
                uniques.append(Unique(selector.get("xpath") or "", field.get("xpath") or ""))
        most = node.get("maxOccurs", "1")
        least = int(node.get("minOccurs", "1"))
        return Element(
            node.get("name") or "",
            least,
            MANY if most == "unbounded" else int(most),
            node.get("nillable") == "true",
            simple,
            tuple(kids),
            tuple(uniques),
        )


@cache
def load(path: str) -> Schema:
    """Read a schema file; ``NotImplementedError`` where it says more than the model can hold."""
    root = etree.parse(path).getroot()
    (top,) = root.findall(XS + "element")
    return Schema(path, _Reader(root).element(top), root.get("targetNamespace") or "", etree.XMLSchema(file=path))


def all_schemas(folder: str) -> list[str]:
    """The schema files of the federal exchange below the folder of reference data, sorted."""
    found = []
    for part in ("from_mo", "sanctions", "to_mo", "to_smo"):
        inside = os.path.join(folder, "xsd", part)
        if os.path.isdir(inside):
            found += [os.path.join(inside, name) for name in sorted(os.listdir(inside)) if name.endswith(".xsd")]
    return found
