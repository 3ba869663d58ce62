"""The protocol of format and logic control ``FLK_P``, in any generation that the layouts know.

Order 79, table Д.5: one ``PR`` per fault; no ``PR`` means accepted. What a fault of an account is called and where
it stands comes from the tables (``flk_p_rows``), what refuses a whole file from its problems (``protocol``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from oms_batch.formats import elements
from oms_batch.formats.element_values import judge
from oms_batch.formats.elements import Element, Layout
from oms_batch.reply.federal_tree import leaf
from oms_batch.reply.tags import NOT_XML
from oms_batch.ruledata import RuleData

COMMON = "common/flk_p.toml"
ENCODING = "windows-1251"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, all of it text; empty is unknown. ``official``: the number of the check in a federal book."""

    code: str
    official: str = ""
    field: str = ""
    value: str = ""
    bill: str = ""
    base: str = ""
    record: str = ""
    person: str = ""
    account: str = ""
    case: str = ""
    service: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Form:
    """A generation of the protocol: its layout, and which element says what (``[flk_p]`` of a profile's answers)."""

    layout: Layout
    data: Mapping[str, Any]

    @property
    def extension(self) -> bool:
        """Whether names of files are told with their extension."""
        return bool(self.data["extension"])

    @property
    def strict(self) -> bool:
        """Whether names and codes must fit the layout."""
        return bool(self.data["strict"])


@lru_cache(maxsize=16)
def load_form(rules: RuleData, profile: str) -> Form:
    """The form that a profile asks for: ``common/flk_p.toml`` with what its ``answers.toml`` says over it."""
    data = rules.toml(COMMON)
    own = f"{profile}/answers.toml"
    if rules.exists(own):
        data |= rules.toml(own).get("flk_p", {})
    name = str(data["layout"])
    layout = elements.load(rules, data["profile"], name if ":" in name else f"FLK_P:{name}")
    return Form(layout, data)


def document(form: Form, file: str, protocol: str, faults: Iterable[Fault], *, sha256: str = "") -> Iterator[bytes]:
    """Pieces of the protocol ``protocol`` on ``file``, one line per ``PR``; the same faults give the same bytes.

    An element that the generation lacks is left out, a text too long is cut, what does not fit a number is left
    out. ``sha256`` of the file spoken of goes into an XML comment: a name alone may be used twice.
    """
    yield b'<?xml version="1.0" encoding="windows-1251"?>\n'
    if sha256:
        yield f"<!-- SHA-256 {sha256} -->\n".encode("ascii")
    root = form.layout.root
    tag = root.name.encode("ascii")
    yield b"<" + tag + b">\n"
    names = {"name": _named(protocol, form), "file": _named(file, form), "version": form.layout.version}
    for name, one in root.kids.items():
        if name in form.data["head"]:
            value = names[form.data["head"][name]]
            yield from (piece + b"\n" for piece in _leaf(name, one, value, free=not form.strict))
    record = form.layout.record
    for fault in faults:
        yield _record(form, record, fault)
    yield b"</" + tag + b">\n"


def _named(name: str, form: Form) -> str:
    return name if form.extension else name.partition(".")[0]


def _record(form: Form, record: Element, fault: Fault) -> bytes:
    said: dict[str, str] = asdict(fault)
    tag = record.name.encode("ascii")
    parts = [b"<", tag, b">"]
    for name, one in record.kids.items():
        what = form.data["row"].get(name, "")
        if what == "code":
            parts += _leaf(name, one, _code(form, one, fault), free=not form.strict)
        elif what:
            parts += _leaf(name, one, said[what])
    return b"".join([*parts, b"</", tag, b">\n"])


def _code(form: Form, one: Element, fault: Fault) -> str:
    """What the profile says for our code, the official number of the check, our own code, or the profile's number for
    all else: the first that fits."""
    said = [str(number) for mask, number in form.data["codes"] if fnmatchcase(fault.code, mask)]
    told = [*said, fault.official, fault.code]
    if not form.strict:
        return next(code for code in told if code)
    return next((code for code in told if code and _fits(one, code)), str(form.data["unknown"]))


def _leaf(name: str, one: Element, value: str, *, free: bool = False) -> list[bytes]:
    if not free and one.facets is not None:
        longest = one.facets.longest
        value = NOT_XML.sub(" ", value)
        value = value if longest < 0 or len(value) <= longest else value[: longest - 1] + "…"
        if not value or not _fits(one, value):
            return []
    return [leaf(name, value, ENCODING)] if value else []


def _fits(one: Element, value: str) -> bool:
    return one.facets is not None and not judge(one.facets, value)[1]
