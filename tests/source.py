"""The source of the package for the guards: parsed once, with the questions that they ask of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "oms_batch"


@dataclass(frozen=True)
class Module:
    """One parsed module; ``name`` is dotted below ``oms_batch``: ``intake.names``, ``model``."""

    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The top folder or module that it belongs to: ``intake``, ``model``."""
        return self.name.split(".")[0]


def parse(name: str, text: str) -> Module:
    return Module(name, text, ast.parse(text))


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package but ``oms_batch/__init__.py`` itself."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts:
            found.append(parse(".".join(parts), path.read_text("utf-8")))
    return tuple(found)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """All imports, also those inside functions and under ``if``: (line, full dotted name)."""
    package = ("oms_batch." + module.name).split(".")[:-1]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            start = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                yield node.lineno, f"{start}.{alias.name}"


def dotted(node: ast.expr) -> str:
    """``os.path.join`` for such an expression, ``""`` for anything that is not a plain dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def names_used(module: Module) -> Iterator[tuple[int, str]]:
    """All dotted names, with local import aliases put back: ``from os import remove as r`` → ``os.remove``."""
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            aliases.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            aliases.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    parts = {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(module.tree):
        # Whole names only: ``os.path`` inside ``os.path.basename`` is not a use of its own.
        if id(node) in parts and dotted(node):  # type: ignore[arg-type]
            continue
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            first, _dot, rest = name.partition(".")
            full = aliases.get(first, first)
            yield node.lineno, f"{full}.{rest}" if rest else full
