"""Packets of reference books for tests, right and wrong, and a home that takes them in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from oms_batch import homes
from oms_batch.cli.main import program

Row = Mapping[str, str]


def packet(
    rows: Iterable[Row],
    kind: str = "KoPr",
    version: str = "2.0",
    day: str = "22.01.2026",
    encoding: str = "windows-1251",
) -> bytes:
    """An official packet with these rows."""
    body = "".join(
        "<zap>" + "".join(f"<{key}>{cell}</{key}>" for key, cell in row.items()) + "</zap>\n" for row in rows
    )
    head = f"<zglv><type>{kind}</type><version>{version}</version><date>{day}</date></zglv>"
    return f'<?xml version="1.0" encoding="{encoding}"?>\n<packet>{head}\n{body}</packet>'.encode(encoding)


def beds(many: int = 85, **other: str) -> list[Row]:
    """Rows of V020; ``other`` changes the last of them."""
    rows = [
        {"IDK_PR": str(n), "K_PRNAME": f"койка {n}", "DATEBEG": "01.10.2016", "DATEEND": ""} for n in range(1, many + 1)
    ]
    rows[-1] = {**rows[-1], **other}
    return rows


def make_home(folder: Path, profile: str = "federal") -> Path:
    """A fund's home without partners."""
    own = {"ogrn": "1027600000306", "smo": "76", "name": "Фонд"}
    own |= {"letter": "F"} if profile == "yaroslavl" else {"code": "76"}
    partner = {"folder": "mo", "role": "mo", "ogrn": "1027600000108", "kpp": "760401001", "name": "МО"}
    if profile != "yaroslavl":
        partner["code"] = "760001"
    homes.init(str(folder), "tfoms", own=own, partners=[partner], profile=profile)
    return folder


def run(home: Path, *words: str) -> tuple[int, str]:
    """A command at the home: exit code and what it printed."""
    done = CliRunner().invoke(program, ["--home", str(home), *words])
    return done.exit_code, done.output


def bring(
    home: Path, data: bytes | Sequence[Path], *words: str, name: str = "book.xml"
) -> tuple[int, list[dict[str, Any]]]:
    """``nsi import`` of bytes or files: exit code and what it tells as JSON."""
    files = data
    if isinstance(data, bytes):
        path = home.parent / name
        path.write_bytes(data)
        files = [path]
    code, told = run(home, "nsi", "import", *(str(path) for path in files), *words, "--json")
    return code, json.loads(told)


def faults(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Code and place of every fault."""
    return [(one["code"], one["place"]) for row in told for one in row["problems"]]


def table(home: Path, book: str, folder: str = "common") -> bytes | None:
    """The table that the home has laid over the shipped one."""
    path = home / "rules" / folder / "books" / f"{book}.csv"
    return path.read_bytes() if path.exists() else None


def kept(home: Path, book: str) -> list[str]:
    """Names of the editions that the home keeps."""
    folder = home / "rules" / "editions" / book
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
