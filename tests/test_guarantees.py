"""The table of guarantees names tests that exist, and says why where there is none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/guarantees.md").read_text("utf-8")
NAMED = re.compile(r"`(test_\w+)::(test_\w+)`")


def lines() -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| (G?\d|—)", line)]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_named_test_is_there() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 90
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}(" not in (path.read_text("utf-8") if (path := ROOT / f"tests/{file}.py").exists() else "")
    ]
    assert missing == []


def test_every_guarantee_and_row_has_its_line_with_a_test_or_a_reason() -> None:
    rows = lines()
    assert [row[0] for row in rows if row[0].startswith("G")] == [f"G{number}" for number in range(1, 46)]
    told: set[int] = set()
    for row in rows:
        for part in re.findall(r"\d+(?:–\d+)?", "" if row[0].startswith("G") else row[0]):
            first, _, last = part.partition("–")
            told.update(range(int(first), int(last or first) + 1))
    assert told >= {*range(1, 116)}
    assert [row[0] for row in rows if len(row) != 4 or not (row[2] or row[3])] == []
