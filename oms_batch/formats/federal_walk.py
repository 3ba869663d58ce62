"""A document of federal form, tag by tag: a state machine over its layout that says what is wrong, and hands on rows.

This is the one place that judges structure; the fast reader only takes what is surely right and leaves the rest to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from oms_batch.errors import refuse
from oms_batch.formats import strict
from oms_batch.formats.element_values import EXTRA, MISSING, ORDER, SAME_KEY, TWICE, WRONG, judge
from oms_batch.formats.elements import Element, Layout

INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
KEPT = 50_000  # values of one element remembered as already judged
SHOWN = 200  # characters of a bad value that a finding keeps


@dataclass(slots=True)
class Fault:
    """One structural fault. ``table`` and ``row``: the nearest row that it belongs to (from 1; 0, blank: none)."""

    rule: str
    element: str
    value: str
    line: int
    table: str = ""
    row: int = 0
    account: int = 0
    person: int = 0


class Judged(dict[str, tuple[Any, str]]):
    """A memory of texts already judged: the same codes and dates come thousands of times."""

    def __init__(self, one: Element) -> None:
        super().__init__()
        assert one.facets is not None
        self.facets = one.facets

    def __missing__(self, text: str) -> tuple[Any, str]:
        if len(self) > KEPT:
            self.clear()
        made = self[text] = judge(self.facets, text)
        return made


class Plan:
    """An element as the machine needs it: bits of its children that must be there, its memory of values."""

    __slots__ = (
        "free",
        "judged",
        "keys",
        "kids",
        "loose",
        "most",
        "needed",
        "one",
        "rank",
        "rows",
        "scoped",
        "values",
        "where",
    )

    def __init__(self, one: Element, loose: bool = False) -> None:
        self.one = one
        self.loose = loose  # the order of its children is not known
        self.rank = one.rank
        self.most = one.most
        self.free = one.type == "choice"
        self.kids = {name: Plan(kid, loose) for name, kid in one.kids.items()}
        self.needed = 0 if self.free else sum(1 << kid.rank for kid in one.kids.values() if kid.least)
        self.judged = Judged(one) if one.facets is not None else None
        self.rows: Any = None  # of the table that it starts, or in which its value stands
        self.values: list[Any] | None = None
        self.where: list[int] | None = None
        self.keys: set[Any] | None = None  # values met within the scope, where none may stand twice
        self.scoped: list[set[Any]] = []  # those whose scope this element is

    def nothing(self) -> Plan:
        """The same element when it is said to be nil: without content."""
        made = Plan(self.one, self.loose)
        made.kids, made.needed, made.rows = {}, 0, self.rows
        return made

    def walk(self) -> Iterator[Plan]:
        yield self
        for kid in self.kids.values():
            yield from kid.walk()


class Watch:
    """What the machine tells: rows that begin and end, and faults. This one keeps the faults and nothing else."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def begin(self, plan: Plan, line: int, at: int) -> None:
        """A row begins; ``at`` is the byte."""
        for keys in plan.scoped:
            keys.clear()

    def end(self, plan: Plan, at: int) -> None:
        """It ends; ``at`` is the byte where its end tag begins."""

    def part(self, plan: Plan, at: int) -> None:
        """A child of the root that is no row begins."""

    def part_end(self, plan: Plan, at: int) -> None:
        """It ends; ``at`` is the byte where its end tag begins."""

    def fault(self, rule: str, plan: Plan, element: str, value: str, line: int) -> None:
        """Something is wrong at ``plan`` or in the row that it belongs to."""
        self.faults.append(Fault(rule, element, value[:SHOWN], line))


class Machine:
    """The state between two tags; ``parser()`` makes a parser that drives it from where it stands."""

    def __init__(self, layout: Layout, plan: Plan, watch: Watch) -> None:
        self.layout = layout
        self.plan = plan
        self.watch = watch
        self.chars: list[str] = []
        self.stack: list[tuple[Plan, int, int]] = []
        self.here: Plan | None = None  # the group that is open, what stood in it last, and what it has had so far
        self.last = -1
        self.seen = 0
        self.leaf: Plan | None = None  # the leaf that is open, and whether it says that it is nil
        self.nil = False
        self.void = 0  # open elements that the layout does not know
        self.began = False
        self.instance = False  # the prefix xsi is declared
        self.shift = 0  # bytes and lines before those that the parser counts
        self.lines = 0
        self.driver: Any = None

    def parser(self, encoding: str) -> Any:
        """A parser with the strict profile's refusals; the encoding is ours, whatever the bytes declare."""
        parser = self.driver = expat.ParserCreate(encoding)
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        refusals(parser, lambda: self.lines)
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.chars.append
        parser.CommentHandler = self._comment
        parser.StartCdataSectionHandler = self._cdata
        return parser

    def line(self) -> int:
        """The line of the document where the parser is."""
        return int(self.driver.CurrentLineNumber) + self.lines

    def at(self) -> int:
        """The byte where what the parser is at begins."""
        return int(self.driver.CurrentByteIndex) + self.shift

    def start(self, name: str, attributes: list[str]) -> None:
        """A start tag; this and ``end`` run for every tag and are the whole cost of this way of reading."""
        here = self.here
        if self.chars:
            self._text()
        if self.void or self.leaf is not None or here is None:
            self._leave(name, attributes)
            return
        kid = here.kids.get(name)
        if kid is None:
            strict.check_name(name, self.line())
            self.watch.fault(EXTRA, here, f"{here.one.path}/{name}", "", self.line())
            self.void = 1
            return
        rank = kid.rank
        if rank > self.last or (rank == self.last and not kid.most):
            self.last = rank
        elif not here.free:
            if self.seen >> rank & 1 and kid.most:
                self.watch.fault(TWICE, here, kid.one.path, "", self.line())
            elif not here.loose:
                self.watch.fault(ORDER, here, kid.one.path, "", self.line())
        self.seen |= 1 << rank
        self.nil = bool(attributes) and self.attributes(kid, here, attributes, self.line())
        if kid.judged is None:
            self._enter(kid)
            return
        self.leaf = kid
        if kid.one.starts_row:
            self.watch.begin(kid, self.line(), self.at())

    def end(self, _name: str) -> None:
        """An end tag."""
        leaf = self.leaf
        if self.void:
            self.void -= 1
            self.chars.clear()
        elif leaf is not None:
            self.leaf = None
            found = "".join(self.chars)
            self.chars.clear()
            self._value(leaf, found)
        else:
            self._exit()

    def _value(self, leaf: Plan, found: str) -> None:
        if len(found) > strict.LONGEST_VALUE:
            raise refuse("XML_LIMIT", leaf.one.path, expected=strict.LONGEST_VALUE, found=len(found))
        assert leaf.judged is not None
        value, rule = leaf.judged[found] if not self.nil else (None, WRONG if found else "")
        if value is not None:
            if leaf.values is not None and leaf.where is not None:
                leaf.where.append(leaf.rows.count)
                leaf.values.append(value)
            if leaf.keys is not None:
                rule = rule or (SAME_KEY if value in leaf.keys else "")
                leaf.keys.add(value)
        if rule:
            self.watch.fault(rule, leaf, leaf.one.path, found, self.line())
        if leaf.one.starts_row:
            self.watch.end(leaf, -1)

    def _enter(self, kid: Plan) -> None:
        """A group begins."""
        if len(self.stack) > strict.DEEPEST:
            raise refuse("XML_LIMIT", f"line {self.line()}", expected=strict.DEEPEST, found=len(self.stack))
        assert self.here is not None
        self.stack.append((self.here, self.last, self.seen))
        self.here, self.last, self.seen = kid.nothing() if self.nil else kid, -1, 0
        if kid.one.starts_row:
            self.watch.begin(kid, self.line(), self.at())
        elif len(self.stack) == 1:
            self.watch.part(kid, self.at())

    def _exit(self) -> None:
        """A group ends."""
        here = self.here
        assert here is not None
        if self.chars:
            self._text()
        missing = here.needed & ~self.seen
        if missing:
            for kid in here.kids.values():
                if missing >> kid.rank & 1:
                    self.watch.fault(MISSING, here, kid.one.path, "", self.line())
        if here.one.starts_row:
            self.watch.end(here, self.at())
        elif len(self.stack) == 1:
            self.watch.part_end(here, self.at())
        if self.stack:
            self.here, self.last, self.seen = self.stack.pop()
        else:
            self.here = None

    def _leave(self, name: str, attributes: list[str]) -> None:
        """Anything but a child of a group: the root, or what stands within a leaf or an unknown element."""
        strict.check_name(name, self.line())
        if not self.began:
            if name != self.layout.root.name:
                raise refuse("XML_SCHEMA", f"line {self.line()}", expected=self.layout.root.name)
            self.here, self.began = self.plan, True
            self.attributes(self.plan, self.plan, attributes, self.line())
            if self.plan.one.starts_row:
                self.watch.begin(self.plan, self.line(), self.at())
            return
        if len(self.stack) + self.void > strict.DEEPEST:
            raise refuse("XML_LIMIT", f"line {self.line()}", expected=strict.DEEPEST, found=len(self.stack) + self.void)
        if not self.void and self.leaf is not None:
            self.watch.fault(EXTRA, self.leaf, f"{self.leaf.one.path}/{name}", "", self.line())
            self.nil = True  # its own text is no value any more, and no second fault
        strict.check_names(attributes[::2], attributes[1::2], self.line())
        self.void += 1

    def _text(self) -> None:
        """Text where only elements may be; within a leaf that has a child, or within a stray, it is lost."""
        group = not self.void and self.leaf is None and self.here is not None and self.here.one.type != "mixed"
        if group and not blank(self.chars):
            raise refuse("XML_MIXED", f"line {self.line()}")
        self.chars.clear()

    def _comment(self, _text: str) -> None:
        if self.leaf is not None:
            raise refuse("XML_MIXED", f"line {self.line()}")

    def _cdata(self) -> None:
        """CDATA is text like other text where it is the whole value."""
        if self.leaf is None or self.chars:
            raise refuse("XML_MIXED", f"line {self.line()}")

    def attributes(self, plan: Plan, above: Plan, attributes: list[str], line: int) -> bool:
        """Refuse or report attributes of an element that is about to begin; whether it says that it is nil."""
        names, nil = attributes[::2], False
        if len(names) > strict.MOST_ATTRIBUTES:
            raise refuse("XML_LIMIT", f"line {line}", expected=strict.MOST_ATTRIBUTES, found=len(names))
        for name, value in zip(names, attributes[1::2], strict=True):
            if (name == "xmlns:xsi" and value == INSTANCE) or (name == "xsi:nil" and "xmlns:xsi" in names):
                self.instance = True
        for name, value in zip(names, attributes[1::2], strict=True):
            if name == "xmlns" and plan is self.plan and value == self.layout.namespace != "":
                continue
            if name == "xmlns:xsi" and value == INSTANCE:
                continue
            if name == "xsi:nil" and self.instance:
                said = value.strip(strict.WHITE)
                nil = said in ("true", "1")
                if not plan.one.nil or (not nil and said not in ("false", "0")):
                    self.watch.fault(WRONG, above, f"{plan.one.path}/@{name}", value, line)
                continue
            strict.check_names([name], [value], line)
            self.watch.fault(EXTRA, above, f"{plan.one.path}/@{name}", value, line)
        if plan is self.plan and self.layout.namespace and "xmlns" not in names:
            raise refuse("XML_NAMESPACE", f"line {line}")
        return nil

    def too_long(self) -> None:
        """Refuse a text that goes on and on; called between blocks."""
        if sum(map(len, self.chars)) > strict.LONGEST_VALUE:
            raise refuse("XML_LIMIT", "text", expected=strict.LONGEST_VALUE)


_NOT_BLANK = re.compile(r"[^ \t\r\n]")


def blank(chars: list[str]) -> bool:
    """Whether these texts are white space only."""
    return not any(_NOT_BLANK.search(one) for one in chars)


def refusals(parser: Any, before: Callable[[], int]) -> None:
    """Refuse declarations and processing instructions; ``before``: lines before those that the parser counts."""

    def doctype(*_: object) -> None:
        raise refuse("XML_DTD", f"line {parser.CurrentLineNumber + before()}")

    def instruction(target: str, _data: str) -> None:
        code = "XML_FOREIGN" if target == "xml-stylesheet" else "XML_MIXED"
        raise refuse(code, f"line {parser.CurrentLineNumber + before()}")

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = doctype
    parser.ProcessingInstructionHandler = instruction
