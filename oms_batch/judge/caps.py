"""Caps of volume and money: which accounts of a register fit under them. First come, first kept.

The commission gives an organisation, for a month, so many accounts and so many kopecks of a kind of care (book
``volumes``; an empty cell of a line means any). What the organisation has billed in that month already, and what was
not refused, has its place. The accounts of the register follow by the day on which care ended, then by key. An account
is kept when every line that it falls under has room for it; one that is not kept takes no room, so a smaller one after
it may still fit. All sums are whole kopecks, and the same tables give the same answer.

The fund's rules and the builder of registers at the organisation ask this one function, so what the one keeps the other
does not refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from oms_batch.errors import SetupError
from oms_batch.judge.books import read_book
from oms_batch.judge.rulebook import COMMON
from oms_batch.judge.tables import OVER_CAP, create_table
from oms_batch.ruledata import RuleData

BOOK = "volumes"
VOLUME, MONEY = "volume", "money"
CUT = ("usl_ok", "vidpom", "profil")
_BLOCK = 20_000


@dataclass(slots=True)
class Line:
    """One line of the book for this organisation and month, and what came under it (accounts, kopecks).

    ``volume`` and ``money`` are the caps, ``None``: no such cap. ``used``: had its place before; ``kept`` and
    ``over``: of this register.
    """

    number: int
    cut: tuple[str | None, ...]
    volume: int | None
    money: int | None
    used: tuple[int, int] = (0, 0)
    kept: tuple[int, int] = (0, 0)
    over: tuple[int, int] = (0, 0)

    def covers(self, cut: tuple[str | None, ...]) -> bool:
        """Whether an account of this kind of care falls under the line."""
        return all(mine is None or mine == its for mine, its in zip(self.cut, cut, strict=True))

    def lacks(self, kopecks: int) -> str:
        """What has no room for one more account of this sum: ``volume``, ``money`` or nothing."""
        if self.volume is not None and self.used[0] + self.kept[0] + 1 > self.volume:
            return VOLUME
        if self.money is not None and kopecks > 0 and self.used[1] + self.kept[1] + kopecks > self.money:
            return MONEY
        return ""


@dataclass(frozen=True, slots=True)
class Over:
    """An account that does not fit: its row, what lacks, the first line that lacks it."""

    n: int
    what: str
    line: Line


def allot(rows: Iterable[tuple[int, tuple[str | None, ...], int]], lines: list[Line]) -> Iterator[Over]:
    """Accounts (row, cut, kopecks) in their order held against the lines, which keep count; gives what does not fit.

    A lack of volume is told before a lack of money.
    """
    under: dict[tuple[str | None, ...], list[Line]] = {}
    for n, cut, kopecks in rows:
        if cut not in under:
            under[cut] = [line for line in lines if line.covers(cut)]
        mine = under[cut]
        lacking = [(what, line) for line in mine if (what := line.lacks(kopecks))]
        for line in mine:
            if lacking:
                line.over = (line.over[0] + 1, line.over[1] + kopecks)
            else:
                line.kept = (line.kept[0] + 1, line.kept[1] + kopecks)
        if lacking:
            what, line = next((one for one in lacking if one[0] == VOLUME), lacking[0])
            yield Over(n, what, line)


def at_hand(rules: RuleData, profile: str) -> bool:
    """Whether there is a book of caps: where there is none, nothing is held against caps."""
    return any(rules.exists(f"{root}/books/{BOOK}.csv") for root in (profile, COMMON))


def load(con: duckdb.DuckDBPyConnection, rules: RuleData, profile: str) -> dict[str, str]:
    """Make ``book_volumes`` where the book is at hand; gives its edition, or nothing: then no cap is known.

    ``SetupError`` for a month that is not YYYY-MM or a cap below zero.
    """
    if not at_hand(rules, profile):
        con.execute(f"DROP TABLE IF EXISTS book_{BOOK}")
        return {}
    book = read_book(rules, profile, BOOK)
    con.register("volumes_read", book.rows)
    con.execute(f"CREATE OR REPLACE TABLE book_{BOOK} AS SELECT * FROM volumes_read")
    con.unregister("volumes_read")
    wrong = con.execute(
        f"""SELECT 1 FROM book_{BOOK} WHERE volume < 0 OR money < 0
        OR (regexp_full_match(month, '[0-9]{{4}}-(0[1-9]|1[0-2])')) IS NOT TRUE LIMIT 1"""
    ).fetchone()
    if wrong:
        raise SetupError(f"book {BOOK}: month is not YYYY-MM, or a cap is below zero")
    return {BOOK: book.edition}


def hold(con: duckdb.DuckDBPyConnection) -> list[Line]:
    """Make ``over_cap``: accounts of ``here`` still in the register (``z_sl``) that do not fit; gives the lines.

    Needs ``register``, ``here`` and ``book_volumes``; ``used_month`` where something was billed before.
    """
    con.execute(create_table("over_cap", OVER_CAP))
    lines = lines_of(con)
    _use(con, lines)
    if not lines or _all_fit(con, lines):
        return lines
    found = con.execute(
        """SELECT z_sl.n, here.usl_ok, here.vidpom, here.profil, COALESCE(here.money, 0)
        FROM here JOIN z_sl ON z_sl.n = here.z_sl_n ORDER BY z_sl.date_z_2, z_sl.xkey, z_sl.n"""
    )
    over = list(allot(_rows(found.fetchmany), lines))
    if over:
        told = {
            "z_sl_n": pa.array([one.n for one in over], pa.int64()),
            "what": pa.array([one.what for one in over]),
            "line": pa.array([one.line.number for one in over], pa.int64()),
            "shown": pa.array([_shown(one.line) for one in over]),
        }
        con.register("over_now", pa.table(told))
        con.execute("INSERT INTO over_cap BY NAME SELECT * FROM over_now")
        con.unregister("over_now")
    return lines


def lines_of(con: duckdb.DuckDBPyConnection) -> list[Line]:
    """The lines of ``book_volumes`` for the organisation and month of ``register``, without use."""
    rows = con.execute(
        f"""SELECT row_number() OVER (ORDER BY v.usl_ok, v.vidpom, v.profil, v.mo NULLS LAST),
          v.usl_ok, v.vidpom, v.profil, v.volume, v.money
        FROM book_{BOOK} v JOIN register r ON v.month = concat(r.year, '-', lpad(CAST(r.month AS VARCHAR), 2, '0'))
          AND (v.mo = r.ogrn_mo OR v.mo IS NULL) ORDER BY 1"""
    ).fetchall()
    return [Line(row[0], tuple(row[1:4]), row[4], row[5]) for row in rows]


def _use(con: duckdb.DuckDBPyConnection, lines: list[Line]) -> None:
    """What was billed before takes its room, also when it is more than the cap."""
    if not con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'used_month'").fetchall():
        return
    for *cut, accounts, kopecks in con.execute(
        "SELECT usl_ok, vidpom, profil, accounts, kopecks FROM used_month"
    ).fetchall():
        for line in lines:
            if line.covers(tuple(cut)):
                line.used = (line.used[0] + accounts, line.used[1] + kopecks)


def _all_fit(con: duckdb.DuckDBPyConnection, lines: list[Line]) -> bool:
    """Most months everything fits: then sums tell it, and nobody has to stand in line."""
    sums = con.execute(
        """SELECT here.usl_ok, here.vidpom, here.profil, count(*), CAST(sum(COALESCE(here.money, 0)) AS BIGINT)
        FROM here JOIN z_sl ON z_sl.n = here.z_sl_n GROUP BY ALL"""
    ).fetchall()
    for line in lines:
        mine = [row for row in sums if line.covers(tuple(row[:3]))]
        line.kept = (sum(row[3] for row in mine), sum(row[4] for row in mine))
    fit = all(
        (line.volume is None or not line.kept[0] or line.used[0] + line.kept[0] <= line.volume)
        and (line.money is None or not line.kept[1] or line.used[1] + line.kept[1] <= line.money)
        for line in lines
    )
    if not fit:
        for line in lines:
            line.kept = (0, 0)
    return fit


def _rows(
    fetch: Callable[[int], list[tuple[int, str | None, str | None, str | None, int]]],
) -> Iterator[tuple[int, tuple[str | None, ...], int]]:
    while block := fetch(_BLOCK):
        for n, usl_ok, vidpom, profil, kopecks in block:
            yield n, (usl_ok, vidpom, profil), kopecks


def _shown(line: Line) -> str:
    """The line as a finding shows it: what it is cut by, and its caps."""
    parts = [f"{name}={value}" for name, value in zip(CUT, line.cut, strict=True) if value is not None]
    if line.volume is not None:
        parts.append(f"volume={line.volume}")
    if line.money is not None:
        parts.append(f"money={line.money // 100}.{line.money % 100:02d}")
    return " ".join(parts)


def hold_known(con: duckdb.DuckDBPyConnection) -> None:
    """``hold``, where the book of caps is at hand; else there is no ``over_cap``, and rules that need it do not run."""
    con.execute("DROP TABLE IF EXISTS over_cap")
    if con.execute(f"SELECT 1 FROM duckdb_tables() WHERE table_name = 'book_{BOOK}'").fetchall():
        hold(con)
