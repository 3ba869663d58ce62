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
        self.here: Plan | None = None
        self.last = -1
        self.seen = 0
        self.tags = 0
        self.instance = False  # the prefix xsi is declared
        self.shift = 0  # bytes and lines before those that the parser counts
        self.lines = 0
        self.finished = False

    def parser(self, encoding: str) -> Any:
        """A parser with the strict profile's refusals; the encoding is ours, whatever the bytes declare."""
        parser = expat.ParserCreate(encoding)
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        refusals(parser, lambda: self.lines)
        start, end = self._handlers(parser)
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = self.chars.append
        return parser

    def _handlers(self, parser: Any) -> tuple[Callable[[str, list[str]], None], Callable[[str], None]]:
        """The handlers as closures: they run for every tag and are the whole cost of this way of reading."""
        chars, stack, watch = self.chars, self.stack, self.watch
        leaf: Plan | None = None
        nil = False
        void = 0

        def start(name: str, attributes: list[str]) -> None:
            nonlocal leaf, void, nil
            here = self.here
            if chars:
                text(here)
            if void or leaf is not None or here is None:
                leave(name, attributes)
                return
            kid = here.kids.get(name)
            if kid is None:
                stray(here, name)
                void = 1
                return
            rank = kid.rank
            if rank > self.last or (rank == self.last and not kid.most):
                self.last = rank
            elif not here.free:
                if self.seen >> rank & 1 and kid.most:
                    watch.fault(TWICE, here, kid.one.path, "", line())
                elif not here.loose:
                    watch.fault(ORDER, here, kid.one.path, "", line())
            self.seen |= 1 << rank
            nil = bool(attributes) and self.attributes(kid, here, attributes, line())
            if kid.judged is not None:
                leaf = kid
                return
            enter(kid)

        def enter(kid: Plan) -> None:
            if len(stack) > strict.DEEPEST:
                raise refuse("XML_LIMIT", f"line {line()}", expected=strict.DEEPEST, found=len(stack))
            assert self.here is not None
            stack.append((self.here, self.last, self.seen))
            self.here, self.last, self.seen = kid.nothing() if nil else kid, -1, 0
            if kid.one.starts_row:
                watch.begin(kid, line(), parser.CurrentByteIndex + self.shift)
            elif len(stack) == 1:
                watch.part(kid, parser.CurrentByteIndex + self.shift)

        def end(_name: str) -> None:
            nonlocal leaf, void, nil
            if void:
                void -= 1
                chars.clear()
                return
            if leaf is not None:
                one, leaf = leaf, None
                found = "".join(chars)
                chars.clear()
                if len(found) > strict.LONGEST_VALUE:
                    raise refuse("XML_LIMIT", one.one.path, expected=strict.LONGEST_VALUE, found=len(found))
                assert one.judged is not None
                value, rule = one.judged[found] if not nil else (None, WRONG if found else "")
                if one.one.starts_row:
                    watch.begin(one, line(), parser.CurrentByteIndex + self.shift)
                if one.values is not None and one.where is not None and value is not None:
                    one.where.append(one.rows.count)
                    one.values.append(value)
                if one.keys is not None and value is not None:
                    rule = rule or (SAME_KEY if value in one.keys else "")
                    one.keys.add(value)
                if rule:
                    watch.fault(rule, one, one.one.path, found, line())
                if one.one.starts_row:
                    watch.end(one, -1)
                return
            here = self.here
            assert here is not None
            if chars:
                text(here)
            missing = here.needed & ~self.seen
            if missing:
                for kid in here.kids.values():
                    if missing >> kid.rank & 1:
                        watch.fault(MISSING, here, kid.one.path, "", line())
            if here.one.starts_row:
                watch.end(here, parser.CurrentByteIndex + self.shift)
            elif len(stack) == 1:
                watch.part_end(here, parser.CurrentByteIndex + self.shift)
            if stack:
                self.here, self.last, self.seen = stack.pop()
            else:
                self.here, self.finished = None, True

        def leave(name: str, attributes: list[str]) -> None:
            """Anything but a known child of a group: the root, or what stands within a leaf or a stray."""
            nonlocal void
            strict.check_name(name, line())
            if self.here is None:
                if name != self.layout.root.name:
                    raise refuse("XML_SCHEMA", f"line {line()}", expected=self.layout.root.name)
                self.here = self.plan
                self.tags = 1
                self.attributes(self.plan, self.plan, attributes, line())
                if self.plan.one.starts_row:
                    watch.begin(self.plan, line(), parser.CurrentByteIndex + self.shift)
                return
            if len(stack) + void > strict.DEEPEST:
                raise refuse("XML_LIMIT", f"line {line()}", expected=strict.DEEPEST, found=len(stack) + void)
            if not void and leaf is not None:
                watch.fault(EXTRA, leaf, f"{leaf.one.path}/{name}", "", line())
            strict.check_names(attributes[::2], attributes[1::2], line())
            void += 1

        def stray(here: Plan, name: str) -> None:
            strict.check_name(name, line())
            watch.fault(EXTRA, here, f"{here.one.path}/{name}", "", line())

        def text(here: Plan | None) -> None:
            """Text where only elements may be; within a leaf that has a child, or within a stray, it is lost."""
            if not void and leaf is None and here is not None and here.one.type != "mixed" and not blank(chars):
                raise refuse("XML_MIXED", f"line {line()}")
            chars.clear()

        def line() -> int:
            return int(parser.CurrentLineNumber) + self.lines

        def inside() -> bool:
            return leaf is not None

        parser.CommentHandler = _inside_value(inside, line)
        parser.StartCdataSectionHandler = _cdata(inside, chars, line)
        return start, end

    def attributes(self, plan: Plan, above: Plan, attributes: list[str], line: int) -> bool:
        """Refuse or report attributes of an element that is about to begin; whether it says that it is nil."""
        names, nil = attributes[::2], False
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
        if len(names) > strict.MOST_ATTRIBUTES:
            raise refuse("XML_LIMIT", f"line {line}", expected=strict.MOST_ATTRIBUTES, found=len(names))
        return nil

    def too_long(self) -> None:
        """Refuse a text that goes on and on; called between blocks."""
        if sum(map(len, self.chars)) > strict.LONGEST_VALUE:
            raise refuse("XML_LIMIT", "text", expected=strict.LONGEST_VALUE)


_NOT_BLANK = re.compile(r"[^ \t\r\n]")


def blank(chars: list[str]) -> bool:
    """Whether these texts are white space only."""
    return not any(_NOT_BLANK.search(one) for one in chars)


def _inside_value(inside: Callable[[], bool], line: Callable[[], int]) -> Callable[[str], None]:
    def comment(_text: str) -> None:
        if inside():
            raise refuse("XML_MIXED", f"line {line()}")

    return comment


def _cdata(inside: Callable[[], bool], chars: list[str], line: Callable[[], int]) -> Callable[[], None]:
    """CDATA is text like other text where it is the whole value."""

    def cdata() -> None:
        if not inside() or chars:
            raise refuse("XML_MIXED", f"line {line()}")

    return cdata


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
