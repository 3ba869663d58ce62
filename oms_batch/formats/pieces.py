"""The expat side of reading: a state machine over the layout's tree that keeps what it meets.

Values are kept per element and per *shape* (the tuple of its attribute names) in flat lists, so that
what costs per element is one dictionary look-up and two list calls; names are checked once per shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from xml.parsers import expat

from oms_batch.errors import refuse
from oms_batch.formats import strict
from oms_batch.formats.layout import Layout, Node

# Elements by which a document is cut and spliced: elsewhere than at their place they are refused.
SKELETON = frozenset(
    ("package", "body", "bill", "account_sum", "patients", "patient", "register_accounts", "personal_account")
)


class Shape:
    """All occurrences of one element with the same attribute names in the same order."""

    __slots__ = ("at", "flat", "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.at: list[int] = []  # ordinals of the occurrences
        self.flat: list[str] = []  # their values, one occurrence after the other


class Store:
    """All occurrences of one element: ``ups[i]`` is the ordinal of the parent of occurrence i."""

    __slots__ = ("kids", "lined", "lines", "node", "parent", "shapes", "ups")

    def __init__(self, node: Node | None, parent: Store | None) -> None:
        self.node = node
        self.parent = parent
        self.kids: dict[str, Store] = {}
        self.ups: list[int] = []
        self.lines: list[int] = []
        self.shapes: dict[tuple[str, ...], Shape] = {}
        self.lined = node is not None and bool(node.table)

    def walk(self) -> Iterator[Store]:
        yield self
        for kid in self.kids.values():
            yield from kid.walk()


def stores(node: Node, parent: Store | None = None) -> Store:
    """Empty stores for this element and all below it."""
    made = Store(node, parent)
    made.kids = {name: stores(kid, made) for name, kid in node.kids.items()}
    return made


class Collector:
    """One parser and what it has met below ``top`` (an element of the layout)."""

    def __init__(self, layout: Layout, top: str, encoding: str) -> None:
        self.top = stores(layout.node(top))
        self.void = Store(None, None)  # unknown elements and all within them
        self.strays: list[tuple[Store, int, str, int]] = []
        self.parser = _parser(encoding)
        self.start, self.end = self._handlers()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end

    def _handlers(self) -> tuple[Callable[[str, list[str]], None], Callable[[str], None]]:
        """The two handlers as closures: they run for every tag and are the whole cost of reading."""
        parser = self.parser
        outside = Store(None, None)
        assert self.top.node is not None
        outside.kids = {self.top.node.name: self.top}
        here, n = outside, 0
        stack: list[tuple[Store, int]] = []
        push, pop = stack.append, stack.pop
        stray = self._stray

        def start(name: str, attributes: list[str]) -> None:
            nonlocal here, n
            push((here, n))
            try:
                here = here.kids[name]
            except KeyError:
                here = stray(name, here, n, len(stack))
            ups = here.ups
            ups.append(n)
            n = len(ups) - 1
            if here.lined:
                here.lines.append(parser.CurrentLineNumber)
            if attributes:
                names = tuple(attributes[::2])
                try:
                    shape = here.shapes[names]
                except KeyError:
                    strict.check_names(names, attributes[1::2], parser.CurrentLineNumber)
                    shape = here.shapes[names] = Shape(names)
                shape.at.append(n)
                shape.flat.extend(attributes[1::2])

        def end(_name: str) -> None:
            nonlocal here, n
            here, n = pop()

        return start, end

    def _stray(self, name: str, parent: Store, n: int, depth: int) -> Store:
        line = self.parser.CurrentLineNumber
        strict.check_name(name, line)
        if name in SKELETON:
            raise refuse("XML_SCHEMA", f"line {line}", found=name)
        if depth > strict.DEEPEST:
            raise refuse("XML_LIMIT", f"line {line}", expected=strict.DEEPEST, found=depth)
        if parent is not self.void:
            self.strays.append((parent, n, name, line))
        return self.void

    def check_lengths(self) -> None:
        """Refuse ``XML_LIMIT`` when some value is beyond all reason."""
        for store in (*self.top.walk(), self.void):
            for shape in store.shapes.values():
                if shape.flat and max(map(len, shape.flat)) > strict.LONGEST_VALUE:
                    raise refuse("XML_LIMIT", store.node.label if store.node else "", expected=strict.LONGEST_VALUE)

    def drop(self) -> int:
        """Forget the values and say how many elements there were; for a pass that only checks."""
        seen = 0
        self.check_lengths()
        for store in (*self.top.walk(), self.void):
            seen += len(store.ups)
            store.ups.clear()
            store.lines.clear()
            store.shapes.clear()
        self.strays.clear()
        return seen


def _parser(encoding: str) -> Any:
    """An expat parser with the strict profile's refusals; the encoding is ours, whatever the bytes declare."""
    parser = expat.ParserCreate(encoding)
    parser.ordered_attributes = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def doctype(*_: object) -> None:
        raise refuse("XML_DTD", f"line {parser.CurrentLineNumber}")

    def mixed(*_: object) -> None:
        raise refuse("XML_MIXED", f"line {parser.CurrentLineNumber}")

    def instruction(target: str, _data: str) -> None:
        code = "XML_FOREIGN" if target == "xml-stylesheet" else "XML_MIXED"
        raise refuse(code, f"line {parser.CurrentLineNumber}")

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = doctype
    parser.CommentHandler = mixed
    parser.StartCdataSectionHandler = mixed
    parser.ProcessingInstructionHandler = instruction
    return parser


def watch_text(collector: Collector) -> None:
    """Refuse any text but white space between the tags; only set when there may be some."""
    parser = collector.parser

    def text(data: str) -> None:
        if data.strip(strict.WHITE):
            raise refuse("XML_MIXED", f"line {parser.CurrentLineNumber}")

    parser.CharacterDataHandler = text


def collect(layout: Layout, top: str, encoding: str, data: bytes) -> Collector:
    """Parse the content of one ``top`` element, given without its own tags.

    Byte ``i`` of ``data`` is byte ``len(wrapper)+i`` for the parser; lines count from 1 in ``data``.
    """
    name = layout.node(top).name.encode("ascii")
    collector = Collector(layout, top, encoding)
    if strict.may_hold_text(b">" + data):
        watch_text(collector)
    collector.parser.Parse(b"<" + name + b">", False)
    collector.parser.Parse(data, False)
    collector.parser.Parse(b"</" + name + b">", True)
    return collector
