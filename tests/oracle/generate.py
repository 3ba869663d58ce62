"""Valid documents from a schema: random optional elements, repeats and values at the edges; the same for one seed."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

from lxml import etree

from tests.oracle.schema import Element, Schema, Simple

LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБЁЯ ABCxyz0123456789.,-№«»&<>\"'/"
ENOUGH = (40, 150, 150, 600)  # elements, after which only what is required comes


def decimal_text(value: Decimal) -> str:
    """Without an exponent."""
    return format(value, "f")


def word(chance: random.Random, size: int) -> str:
    """Text of so many characters, no space at either end."""
    text = "".join(chance.choice(LETTERS) for _ in range(size))
    return (chance.choice("АБxyz09") + text[1:-1] + chance.choice("АБxyz09"))[:size]


def number(kind: Simple, chance: random.Random) -> str:
    step = Decimal(1).scaleb(-kind.fraction)
    most = min(kind.below - step, (Decimal(10) ** kind.total - 1) * step)
    at = chance.randrange(6)
    if at == 0:
        return decimal_text(kind.lowest)
    if at == 1:
        return decimal_text(most)
    size = chance.randint(1, kind.total)
    value = min(most, max(kind.lowest, Decimal(chance.randrange(10**size)) * step))
    return decimal_text(value)


def day(kind: Simple, chance: random.Random) -> str:
    first, last = kind.after + timedelta(days=1), kind.before - timedelta(days=1)
    edges = [first, last, date(2020, 2, 29), date(2000, 2, 29), date(2021, 12, 31)]
    some = first + timedelta(days=chance.randrange((last - first).days + 1))
    return chance.choice([*(one for one in edges if first <= one <= last), some, some, some]).isoformat()


def value(kind: Simple, chance: random.Random, *, blank: bool = True) -> str:
    """A valid value. ``blank``: also no text at all where the type has room for that."""
    if kind.base == "date":
        return day(kind, chance)
    if kind.values:
        return chance.choice(kind.values)
    if kind.base == "decimal":
        return number(kind, chance)
    longest = min(kind.longest, 300)
    shortest = kind.shortest if blank else max(1, kind.shortest)
    if chance.randrange(5) == 0:
        return word(chance, chance.choice((shortest, longest)))
    return word(chance, chance.randint(max(1, shortest), min(longest, 12)))


class _Writer:
    def __init__(self, chance: random.Random, whole: bool) -> None:
        self.chance = chance
        self.left = 10_000 if whole else chance.choice(ENOUGH)
        self.full = 1.0 if whole else chance.choice((0.0, 0.1, 0.3, 0.6, 1.0))
        self.more = 0.0 if whole else chance.choice((0.0, 0.2, 0.5))

    def element(self, one: Element) -> etree._Element:
        self.left -= 1
        node = etree.Element(one.name)
        if one.simple is not None:
            node.text = value(one.simple, self.chance)
        for kid in one.kids:
            for _ in range(self.times(kid)):
                node.append(self.element(kid))
        return node

    def times(self, one: Element) -> int:
        count = one.least
        if count < one.most and self.left > 0 and self.chance.random() < (self.full if not count else self.more):
            count += 1
            while count < min(one.most, one.least + 3) and self.chance.random() < self.more:
                count += 1
        return count


def make_unique(one: Element, node: etree._Element, chance: random.Random) -> None:
    """New values where a key of an ``xs:unique`` came twice."""
    for rule in one.uniques:
        kind = one
        for step in [*rule.selector.split("/"), rule.field]:
            kind = kind.kid(step)
        assert kind.simple is not None
        seen: set[object] = set()
        for place in node.findall(rule.selector):
            for leaf in place.findall(rule.field):
                for _ in range(1000):
                    key = Decimal(leaf.text or "0") if kind.simple.base == "decimal" else leaf.text or ""
                    if key not in seen:
                        break
                    leaf.text = value(kind.simple, chance, blank=False)
                seen.add(key)
    for kid in one.kids:
        if kid.kids:
            for below in node.findall(kid.name):
                make_unique(kid, below, chance)


def document(schema: Schema, chance: random.Random, *, whole: bool = False) -> etree._Element:
    """A valid document without a namespace, as a tree; ``whole``: with every declared element, once."""
    root = _Writer(chance, whole).element(schema.root)
    make_unique(schema.root, root, chance)
    return root


def dress(root: etree._Element, chance: random.Random) -> None:
    """Line ends and blanks between elements, as programs write them."""
    if chance.randrange(2):
        etree.indent(root, space=chance.choice(("", " ", "\t", "  ")))


def in_namespace(data: bytes, schema: Schema) -> bytes:
    """The same document in the namespace that the schema asks for, mostly none."""
    head = b"<" + schema.root.name.encode()
    return data.replace(head, head + b" xmlns='" + schema.namespace.encode() + b"'", 1) if schema.namespace else data


def as_bytes(root: etree._Element, encoding: str = "windows-1251") -> bytes:
    """The document with its declaration."""
    return bytes(etree.tostring(root, encoding=encoding, xml_declaration=True))  # type: ignore[arg-type]
