"""``make texts``: msgids of the source into the Russian catalogue; further ``.po`` files may be merged in.

New msgids come out empty (tests/test_i18n.py is then red), those that nobody uses are dropped.
"""

from __future__ import annotations

import ast
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment
from jinja2.ext import extract_from_ast

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "oms_batch/locale/ru/LC_MESSAGES/oms_batch.po"


@dataclass(frozen=True)
class Found:
    """Texts of the source: msgid → first place; and the calls of ``_`` that no tool can read."""

    texts: dict[str, str]
    unreadable: list[str]


def scan_source(source: str, place: str) -> Found:
    """The msgids of one Python text: ``_("…")`` and ``N_("…")`` (marked here, translated later)."""
    texts: dict[str, str] = {}
    unreadable: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or _name(node.func) not in ("_", "N_", "_lazy"):
            continue
        argument = node.args[0] if len(node.args) == 1 else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            texts.setdefault(argument.value, f"{place}:{node.lineno}")
        elif _name(node.func) == "_" and isinstance(argument, ast.Name | ast.Attribute | ast.Subscript | ast.BoolOp):
            continue  # the text is marked where it is made
        else:
            unreadable.append(f"{place}:{node.lineno}")
    return Found(texts, unreadable)


def _name(func: ast.expr) -> str:
    return func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""


def scan() -> Found:
    """All texts of the package, Python and page templates."""
    texts: dict[str, str] = {}
    unreadable: list[str] = []
    for path in sorted((ROOT / "oms_batch").rglob("*.py")):
        found = scan_source(path.read_text("utf-8"), str(path.relative_to(ROOT)))
        for text, place in found.texts.items():
            texts.setdefault(text, place)
        unreadable += found.unreadable
    for path in sorted(one for one in (ROOT / "oms_batch").rglob("*") if one.suffix in (".j2", ".html")):
        for text in scan_template(path.read_text("utf-8")):
            texts.setdefault(text, str(path.relative_to(ROOT)))
    return Found(texts, unreadable)


def scan_template(source: str) -> list[str]:
    """The msgids of one jinja2 page."""
    found = extract_from_ast(Environment().parse(source), ("_",))
    return [text for _line, _func, text in found if isinstance(text, str)]


def read_catalogue(path: Path) -> Catalog:
    with path.open("rb") as stream:
        return read_po(stream, locale="ru")


def merged(found: Found, sources: list[Path]) -> Catalog:
    """A catalogue with exactly the found texts; translations from the sources, the later ones win."""
    known: dict[str, str] = {}
    for path in sources:
        for entry in read_catalogue(path):
            if entry.id and entry.string and not entry.fuzzy:
                known[str(entry.id)] = str(entry.string)
    fresh = Catalog(locale="ru", project="oms-batch", charset="utf-8", fuzzy=False)
    for text in sorted(found.texts):
        fresh.add(text, known.get(text, ""))
    return fresh


def as_bytes(catalogue: Catalog) -> bytes:
    """The catalogue as stored: sorted, without places and dates, so that a diff shows texts only."""
    out = io.BytesIO()
    write_po(out, catalogue, width=110, no_location=True, omit_header=True, sort_output=True)
    head = (
        'msgid ""\nmsgstr ""\n"Language: ru\\n"\n"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    )
    return head.encode() + b'"Content-Transfer-Encoding: 8bit\\n"\n\n' + out.getvalue().lstrip(b"\n")


def main(arguments: list[str]) -> int:
    sources = [CATALOGUE] * CATALOGUE.exists() + [Path(one) for one in arguments]
    catalogue = merged(scan(), sources)
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    CATALOGUE.write_bytes(as_bytes(catalogue))
    empty = [str(entry.id) for entry in catalogue if entry.id and not entry.string]
    print(f"{len(catalogue)} texts, {len(empty)} without translation")
    for text in empty:
        print(f"  {text!r}")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
