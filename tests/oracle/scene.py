"""A document being spoiled on purpose, and the changes by name. Which of them a schema minds, the oracle says."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from tests.oracle.generate import as_bytes
from tests.oracle.schema import Element, Schema


@dataclass(frozen=True)
class Spot:
    """A place of a document with its declaration."""

    node: etree._Element
    kind: Element

    @property
    def parent(self) -> etree._Element:
        above = self.node.getparent()
        assert above is not None
        return above


class Scene:
    """A document being spoiled; picking returns None where there is nothing of the kind."""

    def __init__(self, root: etree._Element, schema: Schema, chance: random.Random) -> None:
        self.root, self.schema, self.chance = root, schema, chance
        self.spots: list[Spot] = []
        self._walk(root, schema.root)

    def _walk(self, node: etree._Element, kind: Element) -> None:
        self.spots.append(Spot(node, kind))
        kinds = {one.name: one for one in kind.kids}
        for below in node:
            self._walk(below, kinds[below.tag])

    def pick(self, fits: Callable[[Spot], object] = lambda _: True) -> Spot | None:
        found = [one for one in self.spots if fits(one)]
        return self.chance.choice(found) if found else None

    def leaf(self, *bases: str) -> Spot | None:
        bases = bases or ("string", "decimal", "date")
        return self.pick(lambda one: one.kind.simple is not None and one.kind.simple.base in bases)

    def group(self) -> Spot | None:
        return self.pick(lambda one: one.kind.simple is None)

    def inner(self) -> Spot | None:
        return self.pick(lambda one: one.node.getparent() is not None)


Change = Callable[[Scene], bool | bytes | None]
CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    """Register under the function's name."""
    CHANGES[function.__name__] = function
    return function


def spoil(name: str, root: etree._Element, schema: Schema, chance: random.Random) -> bytes | None:
    """The bytes of the document with this change, None where it cannot be made there. ``root`` is used up."""
    scene = Scene(root, schema, chance)
    made = CHANGES[name](scene)
    if not made:
        return None
    return made if isinstance(made, bytes) else as_bytes(root, "windows-1251")


def set_text(spot: Spot | None, made: Callable[[str], str]) -> bool:
    """A new text; whether it is another one."""
    if spot is None:
        return False
    before = spot.node.text or ""
    spot.node.text = made(before)
    return spot.node.text != before
