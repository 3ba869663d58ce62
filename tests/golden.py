"""Golden stories: a month of the exchange played by the real commands, compared byte by byte with ``fixtures/``.

    python -m tests.golden                 compare all stories, show what differs
    python -m tests.golden NAME…           only these
    python -m tests.golden --write NAME…   write the expected files anew; look at the difference before you commit

A story is a folder with ``in/``, ``expect/``, ``README.md`` and ``story.toml``; ``fixtures/README.md`` tells more.
What is written into ``expect/`` is what left a participant. Three things are said shorter than they are, so that a new
rule does not touch every story: numbers that change with any rule or book have a name in braces (``{rulebook}``), the
digest of a file is checked here and written as ``{sha256 of NAME}``, and of a plan of checks only those that are not
simply passed are shown.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner

from oms_batch import clock
from oms_batch.cli.main import program
from oms_batch.formats import container
from tests.participants import Exchange

STORIES = Path(__file__).resolve().parent.parent / "fixtures"
ENDS = {"ledger.json": ("ledger", "verify", "--json"), "status.json": ("status", "--json")}


def stories() -> list[str]:
    """Names of all stories."""
    return sorted(path.parent.name for path in STORIES.glob("*/story.toml"))


@dataclass
class Play:
    """One story being played: homes below ``root``, the courier's bag, and all that is to be compared."""

    source: Path
    root: Path
    exchange: Exchange
    files: dict[str, bytes] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    bag: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    def say(self, text: str) -> None:
        self.told.append(text.rstrip())

    # ---- the acts ----

    def at(self, moment: str) -> None:
        when = datetime.fromisoformat(moment)
        clock.set_wall(lambda: when)

    def carry(self, *pair: str) -> None:
        """The courier takes what lies in outboxes to where it belongs; between two participants or all."""
        pairs = [(pair[0], pair[1])] if pair else [(a, b) for a in self.exchange.names for b in self.exchange.names]
        for sender, receiver in pairs:
            found = self.taken(sender, receiver)
            for name, content in found.items():
                self.exchange.put(receiver, sender, name, content)
            if found:
                self.say(f"  {sender} → {receiver}: {len(found)}")

    def taken(self, sender: str, receiver: str) -> dict[str, bytes]:
        """What lies in an outbox; it is empty afterwards."""
        found = {}
        for path in self.exchange.outbox(sender, receiver):
            content = path.read_bytes()
            self.left(f"{sender}/to-{receiver}/{path.name}", content)
            found[path.name] = content
            path.unlink()
        return found

    def collect(self, sender: str, receiver: str) -> None:
        """The courier takes the files and keeps them in his bag."""
        found = self.taken(sender, receiver)
        self.bag.setdefault((sender, receiver), {}).update(found)
        self.say(f"  {sender} → …: {len(found)}")

    def hand(self, sender: str, receiver: str, *patterns: str) -> None:
        """Files of the bag to their receiver, in this order; they stay in the bag and may be handed again.

        ``RECEIVER=ELSE/SENDER``: the file goes to somebody else, as if it came from SENDER.
        """
        receiver, _sign, other = receiver.partition("=")
        held = self.bag[sender, receiver]
        where, _slash, as_from = other.partition("/") if other else (receiver, "", sender)
        for pattern in patterns:
            found = [name for name in held if fnmatchcase(name, pattern)]
            if not found:
                raise LookupError(f"{pattern}: not in the bag: {sorted(held)}")
            for name in found:
                self.exchange.put(where, as_from, name, held[name])

    def command(self, who: str, *words: str) -> None:
        """A command of a participant's operator, as at the keyboard."""
        place = [str(self.source / word) if word.startswith("in/") else word for word in words]
        done = CliRunner().invoke(program, ["--home", str(self.root / who), *place])
        if done.exit_code not in (0, 1, 3):
            raise AssertionError(f"{who}: {words}: exit {done.exit_code}\n{done.output}") from done.exception
        for line in done.output.splitlines():
            self.say("  " + self.plain(line))

    # ---- what is compared ----

    def plain(self, text: str) -> str:
        return text.replace(f"{self.root}/", "").replace(f"{self.source}/", "")

    def left(self, name: str, content: bytes) -> None:
        """A file left a participant: keep what is to be compared. A second time it must be the same."""
        self.learn(content)
        digest = hashlib.sha256(content).hexdigest()
        name = name.replace(f".{digest[:8]}.", ".{sha256}.")
        for path, text in self.shown(name, content):
            if self.files.setdefault(path, text) != text:
                raise AssertionError(f"{path} left twice with different content")
        self.known.setdefault(digest, Path(name).name)

    def learn(self, content: bytes) -> None:
        """Numbers of a receipt that change with any rule, by their names."""
        if content.startswith(b'{\n  "file"') and b'"rulebook"' in content:
            told = json.loads(content)
            self.known[told["rulebook"]] = "rulebook"
            self.known[told["audit"]] = "audit"

    def shown(self, name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
        """The files of ``expect/`` that stand for one file that left."""
        if name.endswith(".xlsx"):
            yield f"{name}.txt", cells(content)
        elif name.endswith(".report.html"):
            return
        elif name.endswith((".7z", ".zip")):
            yield f"{name}.xml", folded(unpacked(content))
        elif is_register(name):
            yield name, folded(content)
        else:
            yield name, content

    def end(self) -> None:
        """What the ledgers say, what was told, and what the operators have in their own folders."""
        for who in self.exchange.names:
            self.carry_own(who)
            for name, words in ENDS.items():
                done = CliRunner().invoke(program, ["--home", str(self.root / who), *words])
                self.files[f"{who}/{name}"] = done.output.encode()
        self.files["journal.txt"] = ("\n".join(self.told) + "\n").encode()
        self.files = {name: self.named(content) for name, content in sorted(self.files.items())}

    def carry_own(self, who: str) -> None:
        """Papers for the operator lie in the outbox itself."""
        for path in sorted((self.root / who / "outbox").iterdir()):
            if path.is_file():
                self.left(f"{who}/own/{path.name}", path.read_bytes())
        for receiver in self.exchange.names:
            if receiver != who:
                self.taken(who, receiver)

    def named(self, content: bytes) -> bytes:
        """Digests said by name; sizes of packed and of folded files go with them."""
        for digest, what in self.known.items():
            name = what if what in ("rulebook", "audit") else f"sha256 of {what}"
            content = content.replace(digest.encode(), f"{{{name}}}".encode())
        content = re.sub(rb'("books": )\{[^}]*\}', rb'\1"{books}"', content)
        return re.sub(rb'("sha256": "\{sha256 of [^"]*\}",\n *"size": )\d+', rb'\1"{size}"', content)


def is_register(name: str) -> bool:
    return re.fullmatch(r"\d{28}[A-Z]\.xml", Path(name).name) is not None


def folded(document: bytes) -> bytes:
    """A register document: of its plan only the checks that are not simply passed, without their texts."""

    def fold(match: re.Match[bytes]) -> bytes:
        tests = re.findall(rb"<test [^>]*/>", match[0])
        other = [one for one in tests if b'category="passed"' not in one]
        short = [re.sub(rb' (condition|expression|ns)="[^"]*"', b"", one) for one in other]
        return b"\n<plan>\n" + b"".join(one + b"\n" for one in short) + b"</plan>\n"

    document = re.sub(rb'(<flk [^>]*comment=")[0-9a-f]{64}"', rb'\1{rulebook}"', document)
    document = re.sub(rb"<plan>.*?</plan>", fold, document, count=1, flags=re.DOTALL)
    return document.replace(b"<fact ", b"\n<fact ")


def unpacked(content: bytes) -> bytes:
    with container.open_register(io.BytesIO(content), len(content), "bill.xml") as opened:
        return opened.stream.read()


def cells(content: bytes) -> bytes:
    """The cells of a workbook as text, sheet by sheet; of the plan only the checks that are not simply passed."""
    from openpyxl import load_workbook

    lines = []
    for sheet in load_workbook(io.BytesIO(content), read_only=True):
        lines.append(f"== {sheet.title}")
        for row in sheet.iter_rows(values_only=True):
            values = [str(cell) if cell is not None else "" for cell in row]
            if len(values) > 2 and values[2] == "пройдена":
                continue
            if values[0] == "Справочники":
                values[1] = "{books}"
            lines.append(" | ".join(values).rstrip(" |"))
    return ("\n".join(lines) + "\n").encode()


def play(name: str, root: Path) -> dict[str, bytes]:
    """Play a story in an empty folder; gives what must stand in its ``expect/``."""
    source = STORIES / name
    told = tomllib.loads((source / "story.toml").read_text("utf-8"))
    with patch.dict(os.environ, {"LOGNAME": "operator", "COLUMNS": "200"}):
        try:
            clock.set_wall(None)
            exchange = Exchange(root, tuple(told["participants"]))
            stage = Play(source, root, exchange)
            for line in told["steps"].strip().splitlines():
                _step(stage, line.strip())
            stage.end()
        finally:
            clock.set_wall(None)
    return stage.files


def _step(stage: Play, line: str) -> None:
    """One line of a story: ``at``, ``carry``, ``collect``, ``hand``, ``who: command``; ``#`` is told as it stands."""
    if not line:
        return
    stage.say(line if line.startswith("#") else f"> {line}")
    if line.startswith("#"):
        return
    first, *words = shlex.split(line)
    if first.endswith(":"):
        stage.command(first[:-1], *words)
        return
    acts: dict[str, Any] = {"at": stage.at, "carry": stage.carry, "collect": stage.collect, "hand": stage.hand}
    acts[first](*words)


def expected(name: str) -> dict[str, bytes]:
    """What stands in ``expect/`` now."""
    folder = STORIES / name / "expect"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def differences(want: dict[str, bytes], found: dict[str, bytes], limit: int = 200) -> list[str]:
    """Unified differences of two sets of files, file by file; empty when all bytes are equal."""
    lines: list[str] = []
    for name in sorted(want.keys() | found.keys()):
        old, new = want.get(name), found.get(name)
        if old == new:
            continue
        if old is None or new is None:
            lines.append(f"{'only expected' if new is None else 'not expected'}: {name}")
            continue
        part = list(difflib.unified_diff(_lines(old), _lines(new), f"expect/{name}", f"now/{name}", lineterm="", n=1))
        lines += part[:limit] or [f"{name}: line ends or encoding differ"]
        if len(part) > limit:
            lines.append(f"… {len(part) - limit} more lines of {name}")
    return lines


def _lines(content: bytes) -> list[str]:
    encoding = "windows-1251" if b'encoding="windows-1251"' in content[:100] else "utf-8"
    return content.decode(encoding, "replace").splitlines()


def strays(name: str) -> list[str]:
    """Files of ``in/`` that no step uses and files that do not belong into a story."""
    folder = STORIES / name
    steps = tomllib.loads((folder / "story.toml").read_text("utf-8"))["steps"]
    found = []
    for path in sorted(folder.rglob("*")):
        own = str(path.relative_to(folder))
        if path.is_dir() or own in ("README.md", "story.toml") or own.startswith("expect/"):
            continue
        if not own.startswith("in/") or own not in steps:
            found.append(own)
    return found


def write(name: str, files: dict[str, bytes]) -> None:
    folder = STORIES / name / "expect"
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description="Golden stories: compare or write.")
    parser.add_argument("names", nargs="*", default=stories())
    parser.add_argument("--write", action="store_true", help="write expect/ anew")
    chosen = parser.parse_args()
    bad = 0
    for name in chosen.names:
        with tempfile.TemporaryDirectory() as folder:
            found = play(name, Path(folder))
        lines = differences(expected(name), found) + [f"stray: {one}" for one in strays(name)]
        print(f"{name}: {len(found)} files, {'as expected' if not lines else 'DIFFERENT'}")
        print("\n".join(lines))
        if chosen.write:
            write(name, found)
        bad += bool(lines)
    return 1 if bad and not chosen.write else 0


if __name__ == "__main__":
    sys.exit(main())
