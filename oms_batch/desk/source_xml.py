"""The register of a MIS as a source of accounts: its patients taken over byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers import expat

from oms_batch.desk import fragment
from oms_batch.desk.sources import AccountPart, PatientPart, Problems, Sums
from oms_batch.desk.wire import Wire, kopecks
from oms_batch.errors import refuse

_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Expected:
    """What the document must say of itself: column of ``register`` → values allowed, code of the refusal."""

    register: dict[str, tuple[tuple[str, ...], str]]
    encodings: tuple[str, ...]


def read_xml(
    stream: BinaryIO,
    label: str,
    wire: Wire,
    expected: Expected,
    encoding: str,
    problems: Problems,
    beside: dict[str, list[bytes]],
) -> Iterator[PatientPart]:
    """The patients of a register document, in the code page ``encoding``.

    ``beside`` names (by path) elements outside the patients that are to be taken over; their bytes are added to it.

    Refuses a document that is not well-formed, has a DOCTYPE, text, comments or another code page
    than the profile allows, or whose head is not ours (codes ``XML_…``, ``HDR_…``).
    """
    walk = _Walk(label, wire, expected, encoding, problems, beside)
    while block := stream.read(_BLOCK):
        walk.feed(block)
        yield from walk.ready
        walk.ready.clear()
    walk.feed(b"", last=True)
    yield from walk.ready


class _Walk:
    """One parse: the offsets of patients and accounts, and the bytes since the open patient began."""

    def __init__(
        self,
        label: str,
        wire: Wire,
        expected: Expected,
        encoding: str,
        problems: Problems,
        beside: dict[str, list[bytes]],
    ) -> None:
        self.label, self.wire, self.expected, self.target, self.problems = label, wire, expected, encoding, problems
        self.beside = beside
        self.beside_at = {tuple(path.split("/")[1:]) for path in beside}
        self.beside_depths = {len(path) for path in self.beside_at}
        self.source = "utf-8"
        self.ready: list[PatientPart] = []
        self.stack: list[str] = []
        self.person = wire.rows["pers"].split("/")[1:]
        self.account = wire.rows["z_sl"].split("/")[1:]
        self.sum = wire.rows["z_sl_sum"].split("/")[1:]
        self.register = wire.rows["register"].split("/")[1:]
        self.sum_names = [wire.attribute("z_sl_sum", one).name for one in ("type_acc", "suml", "sum_acc")]
        self.key_names = [wire.attribute("z_sl", one).name for one in ("xkey", "idcase")]
        self.headed = False
        self.buffer = bytearray()
        self.base = 0
        self.start = -1
        self.holder = -1
        self.accounts: list[tuple[int, str, str, Sums, str]] = []
        self.sums: Sums = {}
        self.key = ("", "")
        self.parser = expat.ParserCreate()
        self.parser.ordered_attributes = True
        self.parser.StartElementHandler = self.on_start
        self.parser.EndElementHandler = self.on_end
        self.parser.CharacterDataHandler = self.on_text
        self.parser.XmlDeclHandler = self.on_declaration
        self.parser.StartDoctypeDeclHandler = self.on_doctype
        self.parser.CommentHandler = self.on_mixed
        self.parser.ProcessingInstructionHandler = self.on_mixed

    def feed(self, block: bytes, last: bool = False) -> None:
        if not self.base and not self.buffer and block[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise refuse("XML_ENCODING", self.label)
        self.buffer += block
        try:
            self.parser.Parse(block, last)
        except expat.ExpatError as error:
            raise refuse("XML_SYNTAX", f"{self.label}:{error.lineno}") from None
        except LookupError:
            raise refuse("XML_ENCODING", self.label) from None
        keep = self.start if self.start >= 0 else max(self.parser.CurrentByteIndex, self.base)
        del self.buffer[: keep - self.base]
        self.base = keep
        if last and not self.headed:
            raise refuse("XML_ROOT", self.label)

    def on_declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        self.source = (encoding or "utf-8").lower()
        if self.source not in self.expected.encodings:
            raise refuse("XML_ENCODING", self.label)

    def on_doctype(self, *_rest: object) -> None:
        raise refuse("XML_DTD", self.place)

    def on_mixed(self, *_rest: object) -> None:
        if self.stack:
            raise refuse("XML_MIXED", self.place)

    def on_text(self, text: str) -> None:
        if not text.isspace():
            raise refuse("XML_MIXED", self.place)

    @property
    def place(self) -> str:
        return f"{self.label}:{self.parser.CurrentLineNumber}"

    def on_start(self, name: str, attributes: list[str]) -> None:
        self.stack.append(name)
        depth = len(self.stack)
        if "xmlns" in attributes[::2] or ":" in name:
            raise refuse("XML_NAMESPACE", self.place)
        if depth == len(self.register) and self.stack == self.register:
            self.check_head(dict(zip(attributes[::2], attributes[1::2], strict=True)))
        elif depth == len(self.person) and self.stack == self.person:
            self.start, self.accounts = self.parser.CurrentByteIndex, []
        elif self.start < 0 and depth in self.beside_depths and tuple(self.stack) in self.beside_at:
            self.start = self.parser.CurrentByteIndex
        elif depth == len(self.account) - 1 and self.stack == self.account[:-1]:
            self.holder = self.parser.CurrentByteIndex
        elif depth == len(self.account) and self.stack == self.account:
            values = dict(zip(attributes[::2], attributes[1::2], strict=True))
            self.key = (values.get(self.key_names[0], ""), values.get(self.key_names[1], ""))
            self.sums = {}
            if not self.key[0]:
                self.problems.add("SRC_KEY", f"{self.place} {self.key_names[0]}")
        elif depth == len(self.sum) and self.stack == self.sum:
            self.take_sum(dict(zip(attributes[::2], attributes[1::2], strict=True)))

    def on_end(self, _name: str) -> None:
        depth = len(self.stack)
        if depth == len(self.account) and self.stack == self.account:
            self.accounts.append((self.end(), *self.key, self.sums, self.place))
        elif depth == len(self.person) and self.stack == self.person:
            self.finish()
        elif self.start >= 0 and depth in self.beside_depths and tuple(self.stack) in self.beside_at:
            self.beside["/" + "/".join(self.stack)].append(self.piece(self.start, self.end()))
            self.start = -1
        self.stack.pop()

    def end(self) -> int:
        """The offset after the element that ends here (an empty element has ended already)."""
        index = self.parser.CurrentByteIndex
        at = index - self.base
        if self.buffer[at : at + 2] == b"</":
            return self.base + self.buffer.index(b">", at) + 1
        return index

    def take_sum(self, values: dict[str, str]) -> None:
        part, claimed, accepted = (values.get(one, "") for one in self.sum_names)
        try:
            before = self.sums.get(part, (0, 0))
            self.sums[part] = (before[0] + kopecks(claimed), before[1] + kopecks(accepted or claimed))
        except ValueError:
            self.problems.add("SRC_SUM", self.place)

    def check_head(self, values: dict[str, str]) -> None:
        self.headed = True
        for column, (allowed, code) in self.expected.register.items():
            found = values.get(self.wire.attribute("register", column).name, "")
            if found not in allowed and found.zfill(2) not in allowed:
                self.problems.add(code, self.place, expected=" | ".join(allowed), found=found[:20])
        self.problems.raise_if_any()

    def piece(self, start: int, end: int) -> bytes:
        return fragment.transcode(bytes(self.buffer[start - self.base : end - self.base]), self.source, self.target)

    def finish(self) -> None:
        """The patient's element has ended: cut it at its accounts."""
        end = self.end()
        if self.accounts:
            tag = fragment.TAG.match(self.buffer, self.holder - self.base)
            if tag is None:
                raise refuse("XML_SYNTAX", self.place)
            at = self.base + tag.end()
            head, tail = self.piece(self.start, at), self.piece(self.accounts[-1][0], end)
            parts = []
            for stop, xkey, number, sums, place in self.accounts:
                parts.append(AccountPart(self.piece(at, stop), xkey, number, sums, place))
                at = stop
        else:
            head, tail, parts = self.piece(self.start, end), b"", []
        self.ready.append(PatientPart(b"\n" + head, tail, parts, self.place))
        self.start = -1
