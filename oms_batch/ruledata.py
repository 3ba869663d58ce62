"""Where rules, books, layouts and texts are read from: data only, never written.

They lie in ``rules/`` of a checkout or beside the package when installed; a participant's
own folder (``rules/`` of its home) is laid over them, file by file.
"""

from __future__ import annotations

import builtins
import csv
import io
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from oms_batch.errors import SetupError


def _shipped() -> Traversable:
    package = files("oms_batch")
    inside = package.joinpath("rules")
    return inside if inside.is_dir() else Path(str(package)).parent / "rules"


@dataclass(frozen=True)
class RuleData:
    """The shipped rules with at most one overlay folder on top (absolute path, may be absent)."""

    overlay: str = ""

    @cached_property
    def _roots(self) -> tuple[Traversable, ...]:
        own = Path(self.overlay) if self.overlay else None
        return (own, _shipped()) if own is not None and own.is_dir() else (_shipped(),)

    def exists(self, relative: str) -> bool:
        """Whether such a file is there."""
        return any(root.joinpath(*relative.split("/")).is_file() for root in self._roots)

    def read(self, relative: str) -> bytes:
        """The bytes of a data file such as ``common/books/icd10.csv``; ``SetupError`` when absent."""
        for root in self._roots:
            entry = root.joinpath(*relative.split("/"))
            if entry.is_file():
                return entry.read_bytes()
        raise SetupError(f"rule data: no file {relative}")

    def list(self, folder: str, suffix: str) -> builtins.list[str]:
        """Sorted relative names of the files of one folder with this suffix (not below it)."""
        found: set[str] = set()
        for root in self._roots:
            entry = root.joinpath(*folder.split("/"))
            if entry.is_dir():
                found.update(f"{folder}/{item.name}" for item in entry.iterdir() if item.name.endswith(suffix))
        return sorted(found)

    def toml(self, relative: str) -> dict[str, Any]:
        """A TOML file as a dict; ``SetupError`` names the file and line when it is not valid."""
        try:
            return tomllib.loads(self.read(relative).decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SetupError(f"{relative}: {error}") from None

    def table(self, relative: str) -> builtins.list[dict[str, str]]:
        """A ``;``-separated UTF-8 table as rows of text; lines that start with ``#`` are comments."""
        text = self.read(relative).decode("utf-8")
        lines = io.StringIO("".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")))
        reader = csv.DictReader(lines, delimiter=";", strict=True)
        rows: builtins.list[dict[str, str]] = []
        for row in reader:
            if None in row or None in row.values():
                raise SetupError(f"{relative}: data line {reader.line_num} has another number of columns than the head")
            rows.append(row)
        return rows
