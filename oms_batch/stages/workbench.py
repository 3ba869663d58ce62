"""What every stage begins and ends with: one register read into tables, files put into the box."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, BinaryIO

import duckdb

from oms_batch import clock, i18n
from oms_batch.errors import Fault
from oms_batch.exchange import Hop, Profile, load_profile
from oms_batch.formats import container
from oms_batch.intake import register
from oms_batch.model import NamedFile, Reply, Totals, WorkOrder
from oms_batch.ruledata import RuleData
from oms_batch.store import fsio, tables
from oms_batch.store.tables import save

__all__ = ["Bench", "effects_path", "hop_of", "key_of", "last_day", "save", "workbench"]


def key_of(alias: str) -> str:
    """SQL of an account's key: its xkey; where the sender gave none, its number in the register."""
    return f"COALESCE(NULLIF({alias}.xkey, ''), '#' || COALESCE({alias}.idcase, ''))"


@dataclass
class Bench:
    """One register on the table: its document on disk, its tables, and the time each step took."""

    order: WorkOrder
    profile: Profile
    named: NamedFile
    con: duckdb.DuckDBPyConnection
    document: str
    encoding: str
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
            f"SELECT count(*), CAST(COALESCE(sum(sumv), 0) AS BIGINT) FROM z_sl WHERE {where}"
        ).fetchone()
        if row is None:
            raise Fault("totals: no row")
        return Totals(int(row[0]), int(row[1]))

    def source(self) -> BinaryIO:
        """The document as it was received, unpacked."""
        return fsio.open_read(self.document)

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
        write: Callable[[BinaryIO], Any],
        prove: Callable[[BinaryIO], object] = lambda _document: None,
    ) -> Any:
        """Write a register document, prove it, and pack it as the extension of its name asks.

        Gives what ``write`` gives; what ``prove`` raises stops the answer before it is packed.
        """
        plain = f"{self.order.scratch}/out-{len(self.replies)}.xml"
        with fsio.create(plain) as out:
            told = write(out)
        with fsio.open_read(plain) as document:
            prove(document)
        kind = self.profile.data["containers"][name[name.rindex(".") :]]
        level, workers = int(self.order.options.get("zip_level", 6)), int(self.order.limits.get("workers", 1))

        def pack(out: BinaryIO) -> None:
            with fsio.open_read(plain) as document:
                member = self.profile.data["member"]
                container.pack(kind, member, document, out, self.received_at, level, workers)

        self.put(name, partner, "answer", pack)
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

    ``source`` is the path of a packed file, ``label`` tells several registers of one order apart.
    Raises ``Refusal`` with all that makes the file unreadable.
    """
    i18n.set_language(order.lang)
    profile = load_profile(order.profile, RuleData(order.options.get("overlay", "")))
    packed_path, document = source or order.source, f"{order.scratch}/{label}.xml"
    con = tables.open_tables(f"{order.scratch}/{label}.duckdb", order.limits)
    started = clock.monotonic()
    about, limits = named or order.named, _container_limits(order)
    try:
        with fsio.open_read(packed_path) as packed, fsio.create(document) as unpacked:
            size = fsio.stat_open(packed).size
            workers = int(order.limits.get("workers", 1))
            taken = register.read_register(
                packed, size, about, profile, con, scratch=unpacked, workers=workers, limits=limits
            )
        bare = taken.kind == "xml"
        bench = Bench(order, profile, about, con, packed_path if bare else document, taken.result.encoding)
        bench.seconds["unpack"] = clock.monotonic() - started - taken.result.seconds
        bench.seconds["read"] = taken.result.seconds
        yield bench
    finally:
        con.close()


def _container_limits(order: WorkOrder) -> container.Limits:
    most = container.Limits()
    packed, raw = (int(order.limits.get(name, 0)) << 20 for name in ("packed_mb", "raw_mb"))
    return container.Limits(packed or most.packed, raw or most.raw, most.ratio)


def last_day(period: str) -> date:
    """The last day of a period ``YYYY-MM``."""
    year, month = int(period[:4]), int(period[5:])
    return date(year, month, monthrange(year, month)[1])


def effects_path(order: WorkOrder) -> str:
    """Where the effects of this job lie until they are committed."""
    return f"{order.scratch}/effects.parquet"
