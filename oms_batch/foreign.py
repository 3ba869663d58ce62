"""Registers of other exchanges, read into canonical tables: for building our own out of them, and for conversion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO

import duckdb

from oms_batch.desk.build import Source
from oms_batch.desk.source_federal import Beside, Known, Tables, is_beside, read_beside
from oms_batch.desk.sources import Problems
from oms_batch.desk.wire import load_wire
from oms_batch.errors import refuse
from oms_batch.exchange import Profile, load_profile
from oms_batch.intake import names, register
from oms_batch.model import NamedFile
from oms_batch.store import fsio

_START = 65_536
ARCHIVE = b"PK"
MAIN = "main"


@dataclass(frozen=True, slots=True)
class Read:
    """A register in canonical tables, its name taken apart, and the kind of its container."""

    con: duckdb.DuckDBPyConnection
    named: NamedFile
    kind: str
    encoding: str


@contextmanager
def tables_of(files: Sequence[str], profile: Profile, below: str = "", *, workers: int = 1) -> Iterator[Read]:
    """One register of a profile: a container, or its halves as files of their own, the main one first.

    ``Refusal`` as for a delivered file. ``below``: the folder for what is unpacked. The tables go when the context
    ends.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(fsio.scratch_folder(below or None))
        opened = []
        for file in files:
            stream = stack.enter_context(fsio.open_read(fsio.absolute(file)))
            opened.append(
                register.Beside(stream, fsio.stat_open(stream).size, names.identify(fsio.basename(file), profile))
            )

        def place(role: str) -> BinaryIO:
            return stack.enter_context(fsio.create(f"{folder}/{role}"))

        con = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False})
        stack.callback(con.close)
        main, *halves = opened
        taken = register.read_register(
            main.stream, main.size, main.named, profile, con, scratch=place, workers=workers, beside=halves
        )
        yield Read(con, main.named, taken.kind, taken.result.encoding)


def is_foreign(start: bytes, roots: Iterable[str]) -> bool:
    """Whether a file that begins so is a register of another exchange: an archive, or a document with such a root."""
    if start[:2] == ARCHIVE:
        return True
    body = start.split(b"?>", 1)[-1].lstrip(b"\xef\xbb\xbf \t\r\n")
    return any(body.startswith(f"<{root}".encode()) for root in roots)


def grouped(files: Sequence[str], profile: Profile) -> list[list[str]]:
    """Files of one register together, the main one first; ``Refusal`` PAIR_MISSING when a half comes alone or twice."""
    whole: list[list[str]] = []
    halves: dict[tuple[str, str], dict[str, str]] = {}
    for file in files:
        named = names.identify(fsio.basename(file), profile)
        with fsio.open_read(fsio.absolute(file)) as stream:
            packed = stream.read(2) == ARCHIVE
        if packed:
            whole.append([file])
            continue
        role = profile.members_of(named.stage)[0].role
        pair = halves.setdefault((named.parts.get("type", ""), named.parts.get("tail", "")), {})
        if role in pair:
            raise refuse("PAIR_MISSING", found=role)
        pair[role] = file
    for pair in halves.values():
        if MAIN not in pair or len(pair) < 2:
            raise refuse("PAIR_MISSING", found=" ".join(pair))
        whole.append([pair[MAIN], *(file for role, file in pair.items() if role != MAIN)])
    return whole


@contextmanager
def sources(
    files: Sequence[str], profile: Profile, folder: str, known: Known, other: Profile | None = None
) -> Iterator[list[Source | Tables]]:
    """What ``register build`` gets: documents and tables as they are, registers of another exchange read into tables.

    Which exchange that is, is said by ``[sources]`` of the profile's ``desk.toml``, or it is ``other``, and then all
    but tables beside it are of that. ``Refusal`` as for delivered files.
    """
    told = profile.rules.toml(f"{profile.id}/desk.toml").get("sources", {})
    all_strange = other is not None
    if other is None and told:
        other = load_profile(str(told["profile"]), profile.rules)
    with ExitStack() as stack:
        found: list[Source | Tables] = []
        strange: list[str] = []
        beside: Beside = {}
        wire, problems = load_wire(profile), Problems()
        for file in files:
            stream = stack.enter_context(fsio.open_read(fsio.absolute(file)))
            start = stream.read(_START)
            stream.seek(0)
            if other is not None and is_beside(start):
                read_beside(stream, fsio.basename(file), wire, problems, beside)
            elif all_strange or (told and is_foreign(start, told["roots"])):
                strange.append(file)
            else:
                found.append(Source(stream, fsio.basename(file)))
        problems.raise_if_any()
        if other is not None:
            for group in grouped(strange, other):
                read = stack.enter_context(tables_of(group, other, folder))
                repeated = str(other.data["account_kind"]["repeat"])
                found.append(Tables(read.con, read.named.canonical, repeated, beside, known))
        yield found


def trusted(source: Tables) -> Tables:
    """The same tables, whose head need not be compared with that of the register that is made of them."""
    return replace(source, checked=False)
