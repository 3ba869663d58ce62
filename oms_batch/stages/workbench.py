"""What every stage begins and ends with: one register read into tables, files put into the box."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO

import duckdb

from oms_batch import clock, i18n
from oms_batch.errors import Fault
from oms_batch.exchange import Hop, Profile, load_profile
from oms_batch.formats import canon, container
from oms_batch.intake import names, register
from oms_batch.model import NamedFile, Reply, Totals, WorkOrder, last_day
from oms_batch.reply.answers import OpenOut
from oms_batch.ruledata import RuleData
from oms_batch.store import fsio, tables
from oms_batch.store.tables import save

__all__ = ["Bench", "effects_path", "hop_of", "key_of", "last_day", "save", "workbench"]


def key_of(alias: str) -> str:
    """SQL of an account's key: its xkey; where the sender gave none, its number in the register."""
    return f"COALESCE(NULLIF({alias}.xkey, ''), '#' || COALESCE({alias}.idcase, ''))"


@dataclass
class Bench:
    """One register on the table: its members on disk by role, its tables, and the time each step took."""

    order: WorkOrder
    profile: Profile
    named: NamedFile
    con: duckdb.DuckDBPyConnection
    documents: Mapping[str, str]
    encoding: str
    only: str = "TRUE"  # which accounts of the document the work is about
    seconds: dict[str, float] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)

    @property
    def received_at(self) -> datetime:
        return clock.parse(self.order.received_at)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the time of a step to ``seconds``."""
        started = clock.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + clock.monotonic() - started

    def totals(self, where: str = "TRUE") -> Totals:
        """Accounts and claimed kopecks of the accounts that satisfy a condition over ``z_sl``."""
        row = self.con.execute(
            f"SELECT count(*), CAST(COALESCE(sum(sumv), 0) AS BIGINT) FROM z_sl WHERE ({where}) AND {self.only}"
        ).fetchone()
        if row is None:
            raise Fault("totals: no row")
        return Totals(int(row[0]), int(row[1]))

    def source(self, role: str = "") -> BinaryIO:
        """A member as it was received, unpacked; the first one unless its role is told."""
        return fsio.open_read(self.documents[role] if role else next(iter(self.documents.values())))

    def put(self, name: str, partner: str, kind: str, write: Callable[[BinaryIO], object]) -> Reply:
        """Write one file of the answer into the box, synced and hashed; replies go out in this order."""
        number = len(self.replies) + 1
        path = f"{self.order.box}/{number:03d}-{name}"
        with fsio.create(path) as out:
            write(out)
            fsio.fsync_file(out)
        sha256, size = fsio.hash_file(path)
        reply = Reply(name, partner, number, kind, sha256, size)
        self.replies.append(reply)
        return reply

    def put_register(
        self,
        name: str,
        partner: str,
        write: Callable[[OpenOut], Any],
        prove: Callable[[BinaryIO], object] = lambda _document: None,
    ) -> Any:
        """Write the members of a register, prove the first, and pack them as the extension of the file's name asks.

        ``write`` opens each member by its name. Gives what ``write`` gives; what ``prove`` raises stops the answer
        before it is packed.
        """
        made: dict[str, str] = {}

        @contextmanager
        def open_out(member: str) -> Iterator[BinaryIO]:
            made[member] = f"{self.order.scratch}/out-{len(self.replies)}-{len(made)}"
            with fsio.create(made[member]) as out:
                yield out

        told = write(open_out)
        for plain in list(made.values())[:1]:
            with fsio.open_read(plain) as document:
                prove(document)
        kind = self.profile.data["containers"][name[name.rindex(".") :]]
        level, workers = int(self.order.options.get("zip_level", 6)), int(self.order.limits.get("workers", 1))

        def pack(out: BinaryIO) -> None:
            with ExitStack() as stack:
                members = [(member, stack.enter_context(fsio.open_read(plain))) for member, plain in made.items()]
                container.pack_members(kind, members, out, self.received_at, level, workers)

        self.put(name, partner, "answer", pack)
        for plain in made.values():
            fsio.unlink(plain)
        return told


def hop_of(order: WorkOrder, profile: Profile) -> Hop:
    """The line of the profile that the conductor chose for this file."""
    chosen = order.options["hop"]
    lines = profile.sends if order.options.get("direction") == "out" else profile.hops
    key = (chosen["stage"], chosen["sender"], chosen["receiver"])
    found = next((line for line in lines if (line.stage, line.sender, line.receiver) == key), None)
    if found is None:
        raise Fault(f"no line of the profile for {key}")
    return found


@contextmanager
def workbench(
    order: WorkOrder, source: str = "", label: str = "main", named: NamedFile | None = None
) -> Iterator[Bench]:
    """Read the register of an order, or one of its related files, and keep it on the table.

    ``source`` is the path of a packed file, ``label`` tells several registers of one order apart. With the order's
    own file its other half is read, and of an answer that does not repeat its accounts the file that it answers.
    Raises ``Refusal`` with all that makes the file unreadable.
    """
    i18n.set_language(order.lang)
    profile = load_profile(order.profile, RuleData(order.options.get("overlay", "")))
    con = tables.open_tables(f"{order.scratch}/{label}.duckdb", order.limits)
    started = clock.monotonic()
    about = named or order.named
    try:
        taken, documents = _read(order, profile, about, source, label, con)
        bench = Bench(order, profile, about, con, documents, taken.result.encoding)
        canon.came_on(con, bench.received_at.date())
        bench.seconds["unpack"] = clock.monotonic() - started - taken.result.seconds
        bench.seconds["read"] = taken.result.seconds
        yield bench
    finally:
        con.close()


def _read(
    order: WorkOrder, profile: Profile, about: NamedFile, source: str, label: str, con: duckdb.DuckDBPyConnection
) -> tuple[register.Taken, dict[str, str]]:
    """Read the members of a file, and of what belongs to it; gives where each of them lies unpacked."""
    documents: dict[str, str] = {}
    # what we make out of another file is read under that file's name
    read_as = "" if source else order.related.get("source_name", "")
    files = [(source or order.source, names.identify(read_as, profile) if read_as else about)]
    over = not source and "over" in order.related
    for key in ("pair", "over"):
        if not source and key in order.related:
            files.append((order.related[key], names.identify(order.related[f"{key}_name"], profile)))
    with ExitStack() as stack:

        def scratch(role: str) -> BinaryIO:
            documents[role] = f"{order.scratch}/{label}-{role}"
            return stack.enter_context(fsio.create(documents[role]))

        opened = []
        for path, one in files:
            stream = stack.enter_context(fsio.open_read(path))
            opened.append(register.Beside(stream, fsio.stat_open(stream).size, one))
        first, *others = opened
        taken = register.read_register(
            first.stream,
            first.size,
            first.named,
            profile,
            con,
            scratch=scratch,
            workers=int(order.limits.get("workers", 1)),
            limits=_container_limits(order),
            beside=others,
            checked=not over,
        )
    for path, one in files:  # a bare document is read where it lies
        for member in profile.members_of(one.stage)[:1]:
            documents.setdefault(member.role, path)
    return taken, {role: documents[role] for role in taken.roles}


def _container_limits(order: WorkOrder) -> container.Limits:
    most = container.Limits()
    packed, raw = (int(order.limits.get(name, 0)) << 20 for name in ("packed_mb", "raw_mb"))
    return container.Limits(packed or most.packed, raw or most.raw, most.ratio)


def effects_path(order: WorkOrder) -> str:
    """Where the effects of this job lie until they are committed."""
    return f"{order.scratch}/effects.parquet"
