"""A register of our own, before it is sent, held against the caps of its month as the fund will hold it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa

from oms_batch.desk.sequester import Beyond, CapLine, Measured
from oms_batch.exchange import Profile
from oms_batch.intake import names, register
from oms_batch.judge import caps, facts_view
from oms_batch.judge.tables import create_table
from oms_batch.model import NamedFile, Totals
from oms_batch.store import fsio, tables

Standing = Mapping[str, Mapping[str, int]]  # register -> key of an account that stands -> kopecks withheld of it


def measure(
    profile: Profile,
    path: str,
    named: NamedFile,
    standing: Standing,
    sent: Callable[[str], tuple[str, str]],
    folder: str,
    limits: Mapping[str, Any],
) -> Measured:
    """Which accounts of the document at ``path`` do not fit under the caps, after what stands of this month already.

    ``sent`` gives the path and the name of a register that was sent. Accounts are taken in the fund's order by the
    fund's own function, so what is kept here is not refused there for want of room. No caps for the month: no lines.
    """
    if not caps.at_hand(profile.rules, profile.id):
        return Measured((), ())
    with _opened(profile, path, named, folder, limits) as con:
        facts_view.make_here(con)
        caps.load(con, profile.rules, profile.id)
        if not caps.lines_of(con):
            return Measured((), ())
        con.execute(create_table("used_month", facts_view.USED))
        for earlier, keys in sorted(standing.items()):
            where, name = sent(earlier)
            if used := _used(profile, where, name, keys, folder, limits):
                con.executemany("INSERT INTO used_month VALUES (?, ?, ?, ?, ?)", used)
        lines = caps.hold(con)
        rows = con.execute(
            """SELECT z.xkey, o.what, o.line, o.shown, COALESCE(z.usl_ok, ''),
              COALESCE(CAST(z.date_z_2 AS VARCHAR), ''), CAST(COALESCE(z.sumv, 0) AS BIGINT)
            FROM over_cap o JOIN z_sl z ON z.n = o.z_sl_n ORDER BY z.date_z_2, z.xkey, z.n"""
        ).fetchall()
    return Measured(tuple(_told(line) for line in lines), tuple(Beyond(*row) for row in rows))


def _used(
    profile: Profile, path: str, name: str, keys: Mapping[str, int], folder: str, limits: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """What of a register that was sent stands, by the kinds of care that caps are cut by."""
    with _opened(profile, path, names.identify(name, profile), folder, limits) as con:
        facts_view.make_here(con)
        con.execute("CREATE TABLE stands (xkey VARCHAR, withheld BIGINT)")
        con.register("stands_now", _columns(keys))
        con.execute("INSERT INTO stands SELECT * FROM stands_now")
        return con.execute(
            """SELECT h.usl_ok, h.vidpom, h.profil, count(*), CAST(sum(COALESCE(h.money, 0) - s.withheld) AS BIGINT)
            FROM here h JOIN stands s ON s.xkey = h.xkey GROUP BY ALL ORDER BY ALL"""
        ).fetchall()


def _columns(keys: Mapping[str, int]) -> Any:
    return pa.table({"xkey": pa.array(list(keys), pa.string()), "withheld": pa.array(list(keys.values()), pa.int64())})


def _told(line: caps.Line) -> CapLine:
    usl_ok, vidpom, profil = (value or "" for value in line.cut)
    used, kept, over = (Totals(*pair) for pair in (line.used, line.kept, line.over))
    return CapLine(line.number, usl_ok, vidpom, profil, line.volume, line.money, used, kept, over)


@contextmanager
def _opened(
    profile: Profile, path: str, named: NamedFile, folder: str, limits: Mapping[str, Any]
) -> Iterator[duckdb.DuckDBPyConnection]:
    with fsio.scratch_folder(folder) as inner:
        con = tables.open_tables(f"{inner}/tables.duckdb", limits)
        try:
            with fsio.open_read(path) as packed, fsio.create(f"{inner}/document") as document:
                taken: list[BinaryIO] = [document]
                register.read_register(
                    packed,
                    fsio.stat_open(packed).size,
                    named,
                    profile,
                    con,
                    scratch=lambda _role: taken.pop() if taken else io.BytesIO(),
                    checked=False,
                )
            yield con
        finally:
            con.close()
