"""Archives of returned accounts in tables: made from the returns that we took in, one for each payer and register.

What happens, in order: which accounts wait · the return they came back in · a free number of the month · the archive ·
reading it back, so that what goes out is what the receiver will read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, BinaryIO

from oms_batch.desk import dbf_again
from oms_batch.errors import Fault, WrongState
from oms_batch.exchange import MO, Hop, Profile
from oms_batch.formats import container
from oms_batch.intake import names, register
from oms_batch.model import NamedFile, Totals, last_day
from oms_batch.store import fsio, ledger, tables
from oms_batch.store.engine import Ledger

Fixes = Callable[[int], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive ready to send: its name, where it lies, what it claims, (old key, new key, kind) of its accounts,
    and (account of the ledger, register, new key) for the list of accounts that wait."""

    named: NamedFile
    path: str
    totals: Totals
    lineage: tuple[tuple[str, str, str], ...]
    placed: tuple[tuple[int, str, str], ...]


def in_tables(profile: Profile) -> bool:
    """Whether this profile bills returned accounts again by archives of their own."""
    return "again" in profile.data


def archives(
    book: Ledger, profile: Profile, period: str, fixes: Fixes, folder: str, when: datetime
) -> Iterator[Archive]:
    """An archive for each payer and register whose accounts wait on the list; ``fixes`` gives an account's corrections.

    Its day is the last one of the period.

    ``WrongState`` NOTHING_TO_BILL when nobody waits, NAME_REUSED when the numbers of the month are all taken,
    FIELD_… and VALUE_TYPE for corrections that cannot be made.
    """
    waiting = ledger.waiting_resubmissions(book)
    if not waiting:
        raise WrongState("NOTHING_TO_BILL", period)
    back = next(line for line in profile.hops if line.receiver == MO and line.refused)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in waiting:
        groups.setdefault((row["payer"], row["register"]), []).append(row)
    taken: set[str] = set()
    for (payer, known), rows in sorted(groups.items()):
        found = ledger.find_file(book, known, back.stage, payer, "in")
        if found is None:
            raise WrongState("STAGE_ORDER", known)
        named = _free_name(book, profile, back, found["name"], period, taken)
        path = f"{folder}/{named.canonical}"
        corrections = {row["xkey"]: fixes(row["account_id"]) for row in rows}
        _repack(profile, found, named, last_day(period), corrections, folder, path, when)
        pairs, totals = _read_back(profile, path, named, folder)
        new = dict(pairs)
        if set(new) != set(corrections):
            raise Fault("an archive of accounts billed again does not hold them")
        placed = tuple((row["account_id"], named.register, new[row["xkey"]]) for row in rows)
        lineage = tuple((row["xkey"], new[row["xkey"]], row["kind"]) for row in rows)
        yield Archive(named, path, totals, lineage, placed)


def _free_name(book: Ledger, profile: Profile, back: Hop, came: str, period: str, taken: set[str]) -> NamedFile:
    """The name of the next archive to this payer: the first number of the month that no file of ours has."""
    parts = dict(names.identify(came, profile).parts) | {"yy": period[2:4], "mm": period[5:]}
    for number in range(1, 10):
        named = names.build(back.after, parts | {"number": str(number)}, _extension(profile), profile)
        if named.register in taken or ledger.find_file(book, named.register, named.stage, named.payer, "out"):
            continue
        taken.add(named.register)
        return named
    raise WrongState("NAME_REUSED", period)


def _extension(profile: Profile) -> str:
    return str(profile.data["name"]["extensions"][0])


def _repack(
    profile: Profile,
    found: Mapping[str, Any],
    named: NamedFile,
    day: date,
    corrections: Mapping[str, Sequence[tuple[str, str]]],
    folder: str,
    path: str,
    when: datetime,
) -> None:
    made: dict[str, str] = {}

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        made[member] = f"{folder}/{named.stem}-{len(made)}"
        with fsio.create(made[member]) as out:
            yield out

    with _opened(profile, str(found["path"]), names.identify(str(found["name"]), profile), folder) as (con, sources):
        dbf_again.write(con, sources, open_out, profile, named, day, sorted(corrections), corrections)
    with ExitStack() as stack:
        members = [(member, stack.enter_context(fsio.open_read(plain))) for member, plain in made.items()]
        out = stack.enter_context(fsio.create(path))
        kind = profile.data["containers"][named.extension]
        container.pack_members(kind, members, out, when)
        fsio.fsync_file(out)
    for plain in made.values():
        fsio.unlink(plain)


@contextmanager
def _opened(profile: Profile, path: str, named: NamedFile, folder: str) -> Iterator[tuple[Any, dict[str, BinaryIO]]]:
    """A file of the exchange as tables, and its members."""
    sources: dict[str, BinaryIO] = {}

    def scratch(role: str) -> BinaryIO:
        sources[role] = io.BytesIO()
        return sources[role]

    name = f"{folder}/{named.stem}.duckdb"
    con = tables.open_tables(name, {})
    try:
        with fsio.open_read(path) as packed:
            register.read_register(packed, fsio.stat_open(packed).size, named, profile, con, scratch=scratch)
        yield con, sources
    finally:
        con.close()
        fsio.unlink(name)


def _read_back(profile: Profile, path: str, named: NamedFile, folder: str) -> tuple[list[tuple[str, str]], Totals]:
    with _opened(profile, path, named, folder) as (con, _sources):
        pairs = con.execute("SELECT x_key2, xkey FROM z_sl ORDER BY n").fetchall()
        row = con.execute("SELECT count(*), CAST(COALESCE(sum(sumv), 0) AS BIGINT) FROM z_sl").fetchone()
    return [(str(old), str(new)) for old, new in pairs], Totals(int(row[0]), int(row[1]))
