"""A document of one layout rewritten in another: what goes over, what has no place there, what must be filled in.

Elements go over by their own path; what is called otherwise, or stands elsewhere, is data
(``rules/<profile>/convert.csv``: ``from;to;put;take;when;note``). Nothing is invented: a required element that the
source does not have stays out and is told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import escape

from oms_batch.errors import Refusal, refuse
from oms_batch.formats import strict
from oms_batch.formats.elements import Element, Layout
from oms_batch.ruledata import RuleData

BLOCK = 1_048_576
NUMBER = "=#"  # the ordinal of the record
KEYS = ("IDCASE", "ID_PAC", "N_ZAP")  # what a record is called by, the first that it has


@dataclass(slots=True)
class Node:
    """An element of the source: its path, text, and what stands in it."""

    name: str
    path: str
    text: str = ""
    kids: list[Node] = field(default_factory=list)
    by: dict[str, list[Node]] | None = None

    def named(self, name: str) -> list[Node]:
        if self.by is None:  # looked up once for each element of the target's group
            self.by = {}
            for one in self.kids:
                self.by.setdefault(one.name, []).append(one)
        return self.by.get(name, [])

    def leaves(self) -> Iterator[Node]:
        """Leaves with a value, in document order."""
        if not self.kids and self.text.strip():
            yield self
        for kid in self.kids:
            yield from kid.leaves()


@dataclass(frozen=True, slots=True)
class Move:
    """Where an element of the target is taken from: ``take`` alternatives, each a path below its group's source
    (``.``: that group itself), or ``=TEXT``, ``=#`` the ordinal of the record; only where the sibling named in ``when``
    (``NAME=VALUE``) says so."""

    take: tuple[str, ...]
    when: str = ""


@dataclass(slots=True)
class Report:
    """What became of a document: records written; paths without a place in the target and paths to be filled in, each
    with the number of times; ``keys`` the record that begins at each line of what was written."""

    records: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    fill_in: Counter[str] = field(default_factory=Counter)
    lines: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def key_at(self, line: int) -> str:
        """The record in which a line of the written document stands; empty: its head."""
        at = bisect_right(self.lines, line) - 1
        return self.keys[at] if at >= 0 else ""


def moves_between(rules: RuleData, profile: str, old: str, new: str) -> dict[str, Move]:
    """Target path → where it is taken from, between two versions."""
    found: dict[str, Move] = {}
    name = f"{profile}/convert.csv"
    for row in rules.table(name) if rules.exists(name) else ():
        if fnmatchcase(old, row["from"]) and fnmatchcase(new, row["to"]):
            found[row["put"]] = Move(tuple(row["take"].split("|")), row["when"])
    return found


def rewrite(
    source: BinaryIO,
    target: Layout,
    out: BinaryIO,
    moves: Mapping[str, Move],
    head: Mapping[str, str],
    encodings: Sequence[str],
) -> Report:
    """Write the document in the target's layout; ``head`` gives elements of the first part by name (``VERSION``).

    ``Refusal`` ``XML_…`` when the source cannot be read. The source's encoding is kept.
    """
    source.seek(0)
    encoding = strict.encoding_of(source.read(strict.HEAD), tuple(encodings))
    writer = _Writer(target, out, encoding, moves, head)
    writer.line(f'<?xml version="1.0" encoding="{encoding}"?>')
    root = target.root
    writer.line(f"<{root.name}{f' xmlns={chr(34)}{target.namespace}{chr(34)}' if target.namespace else ''}>")
    writer.flush()
    for part in _parts(source, encoding):
        writer.part(part)
        writer.flush()
    writer.line(f"</{root.name}>")
    writer.flush()
    return writer.report


def _parts(source: BinaryIO, encoding: str) -> Iterator[Node]:
    """The elements just below the root, one after another; only one of them is in memory."""
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    stack: list[Node] = []
    done: list[Node] = []

    def start(name: str, _attributes: Mapping[str, str]) -> None:
        one = Node(name, f"{stack[-1].path}/{name}" if stack else name)
        if len(stack) > 1:
            stack[-1].kids.append(one)
        stack.append(one)

    def end(_name: str) -> None:
        one = stack.pop()
        if len(stack) == 1:
            done.append(one)

    def text(chars: str) -> None:
        stack[-1].text += chars

    def doctype(*_: object) -> None:
        raise refuse("XML_DTD")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    source.seek(0)
    try:
        while block := source.read(BLOCK):
            parser.Parse(block, False)
            yield from done
            done.clear()
        parser.Parse(b"", True)
    except Refusal:
        raise
    except expat.ExpatError as error:
        raise refuse("XML_SYNTAX", f"line {error.lineno}") from None
    yield from done


class _Writer:
    """Writes parts of the target; counts its lines, so that what is wrong can be told by record."""

    def __init__(
        self, target: Layout, out: BinaryIO, encoding: str, moves: Mapping[str, Move], head: Mapping[str, str]
    ) -> None:
        self.target, self.out, self.encoding = target, out, encoding
        self.moves, self.head = moves, head
        self.report = Report()
        self.at = 1
        self.used: set[int] = set()
        self.waiting: list[str] = []
        self.taken: dict[str, tuple[str, ...]] = {}
        self.first = next(iter(target.root.kids.values()), None)

    def line(self, text: str) -> None:
        self.waiting.append(text)
        self.at += text.count("\n") + 1

    def flush(self) -> None:
        """What waits goes out."""
        if not self.waiting:
            return
        self.out.write(("\n".join(self.waiting) + "\n").encode(self.encoding, "xmlcharrefreplace"))
        self.waiting.clear()

    def part(self, node: Node) -> None:
        """One part of the source: the same part of the target, or several records where one held several accounts."""
        element = self.target.root.kids.get(node.name)
        if element is None:
            self.report.lost.update(one.path for one in node.leaves())
            return
        if element is self.first:
            for one in node.kids:
                one.text = self.head.get(one.name, one.text)
        record = element is self.target.record
        for one in self._split(node, element) if record else [node]:
            self.used.clear()
            if record:
                self.report.records += 1
                self.report.lines.append(self.at)
                self.report.keys.append(_key(one))
            self._group(element, one, 1)
            self.report.lost.update(leaf.path for leaf in one.leaves() if id(leaf) not in self.used)

    def _split(self, node: Node, element: Element) -> Iterator[Node]:
        """One record per account, where the target's record has place for one only."""
        for kid in element.kids.values():
            source = next((name for name in self._takes(kid) if len(node.named(name)) > 1), "")
            if source and kid.most == 1 and kid.kids:
                rest = [one for one in node.kids if one.name != source]
                yield from (Node(node.name, node.path, "", [*rest, one]) for one in node.named(source))
                return
        yield node

    def _group(self, element: Element, here: Node, depth: int) -> None:
        pad = " " * depth
        self.line(f"{pad}<{element.name}>")
        for kid in element.kids.values():
            found = self._found(kid, here)
            for one in found if kid.most == 0 else found[: kid.most]:
                if kid.kids:
                    self._group(kid, one, depth + 1)
                else:
                    self.used.add(id(one))
                    self.line(f"{pad} <{kid.name}>{escape(one.text.strip())}</{kid.name}>")
            if not found and kid.least and not kid.nil:
                self.report.fill_in[kid.path] += 1
        self.line(f"{pad}</{element.name}>")

    def _found(self, kid: Element, here: Node) -> list[Node]:
        move = self.moves.get(kid.path)
        if move is not None and move.when:
            name, _, value = move.when.partition("=")
            if all(one.text.strip() != value for one in here.named(name)):
                return here.named(kid.name)
        for take in self._takes(kid):
            if take == NUMBER:
                self.used.update(id(one) for one in here.named(kid.name))
                return [Node(kid.name, "", str(self.report.records))]
            if take.startswith("="):
                return [Node(kid.name, "", take[1:])]
            found = _below(here, take)
            if kid.kids:
                found = [one for one in found if any(self._says(each, one) for each in kid.kids.values())]
            else:
                found = [one for one in found if one.text.strip()]
            if found:
                return found
        return []

    def _says(self, kid: Element, here: Node) -> bool:
        """Whether the source has anything for this element of a group, its own words aside."""
        plain = [take for take in self._takes(kid) if not take.startswith("=")]
        below = [one for take in plain for one in _below(here, take)]
        if kid.kids:
            return any(self._says(each, one) for each in kid.kids.values() for one in below)
        return any(one.text.strip() for one in below)

    def _takes(self, kid: Element) -> tuple[str, ...]:
        found = self.taken.get(kid.path)
        if found is None:
            move = self.moves.get(kid.path) or self.moves.get(kid.path.rpartition("/")[0] + "/*")
            found = tuple(take.replace("*", kid.name) for take in move.take) if move is not None else (kid.name,)
            self.taken[kid.path] = found
        return found


def _below(here: Node, path: str) -> list[Node]:
    if "/" not in path and path != ".":
        return here.named(path)
    found = [here]
    for name in path.split("/"):
        found = [kid for one in found for kid in one.named(name)] if name != "." else found
    return found


def _key(node: Node) -> str:
    for name in KEYS:
        for leaf in node.leaves():
            if leaf.name == name:
                return leaf.text.strip()
    return ""
