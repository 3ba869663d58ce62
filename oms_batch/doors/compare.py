"""``rules compare``: archived registers judged under two sides; who newly loses money, how much and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from oms_batch.doors.replay import Old, Side, archived, replay, side_of
from oms_batch.errors import Refusal, WrongState
from oms_batch.i18n import pick
from oms_batch.model import Totals, hundredths, roubles, share_of
from oms_batch.site import Site
from oms_batch.stages.replay import VERDICTS
from oms_batch.store import fsio

LISTED = 1000
_CHANGED = """SELECT COALESCE(o.xkey, n.xkey) AS xkey, COALESCE(n.sumv, o.sumv, 0) AS sumv,
    COALESCE(o.withheld, 0) AS was, COALESCE(n.withheld, 0) AS is_now,
    COALESCE(o.rule, '') AS old_rule, COALESCE(n.rule, '') AS new_rule, COALESCE(n.osn, '') AS osn
    FROM {old} o FULL JOIN {new} n ON n.xkey = o.xkey AND n.nth = o.nth"""


def run(site: Site, old: str, new: str, over: list[str]) -> dict[str, Any]:
    """The document of ``rules compare --json``; sums in roubles, shares in per cent of the accounts.

    ``WrongState`` COMPARE_OVER when there is no main register among ``over``.
    """
    registers: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    with fsio.scratch_folder(site.home.tmp) as scratch:
        left, right = side_of(site, old, f"{scratch}/old"), side_of(site, new, f"{scratch}/new")
        for number, one in enumerate(archived(site, over), 1):
            told, changed = _one(site, one, left, right, f"{scratch}/{number}")
            registers.append(told)
            rows += changed
            fsio.rmtree(f"{scratch}/{number}")
    if not registers:
        raise WrongState("COMPARE_OVER", ", ".join(fsio.basename(place) for place in over))
    return _told(left, right, registers, rows)


def _one(site: Site, one: Old, left: Side, right: Side, folder: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A register under both sides: its totals, and the accounts whose money changed."""
    told: dict[str, Any] = {"file": one.named.canonical, "register": one.named.register, "period": one.named.period}
    try:
        for name, side in (("old", left), ("new", right)):
            told[f"{name}_told"] = replay(site, one, side, f"{folder}/{name}")
    except Refusal as refusal:
        return {**told, "unreadable": refusal.problems[0].code}, []
    con = duckdb.connect()
    try:
        quoted = folder.replace("'", "''")
        places = {name: f"read_parquet('{quoted}/{name}/{VERDICTS}')" for name in ("old", "new")}
        for name, place in places.items():
            told[name] = _refused(con, place)
        con.execute(f"CREATE TABLE changed AS {_CHANGED.format(**places)}")
        changed = con.execute("SELECT * FROM changed WHERE was <> is_now ORDER BY is_now - was DESC, xkey").fetchall()
    finally:
        con.close()
    names = ("account", "sumv", "was", "now", "old_rule", "new_rule", "osn")
    return told, [{"register": one.named.register, **dict(zip(names, row, strict=True))} for row in changed]


def _refused(con: duckdb.DuckDBPyConnection, place: str) -> dict[str, Any]:
    row = con.execute(
        f"SELECT count(*), CAST(COALESCE(sum(sumv), 0) AS BIGINT), count(*) FILTER (refused), "
        f"CAST(COALESCE(sum(withheld), 0) AS BIGINT) FROM {place}"
    ).fetchone()
    accounts, kopecks, refused, withheld = row or (0, 0, 0, 0)
    return {"accounts": accounts, "kopecks": kopecks, "refused": refused, "withheld": withheld}


def _told(left: Side, right: Side, registers: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    losing = [row for row in rows if row["now"] > row["was"]]
    winning = [row for row in rows if row["now"] < row["was"]]
    sides: dict[str, Any] = {}
    shares: list[int] = []
    for name, side in (("old", left), ("new", right)):
        whole = [one[name] for one in registers if name in one]
        total = {key: sum(one[key] for one in whole) for key in ("accounts", "kopecks", "refused", "withheld")}
        sides[name] = {
            "side": side.said,
            "accounts": total["accounts"],
            "sum": roubles(total["kopecks"]),
            "refused": total["refused"],
            "withheld": roubles(total["withheld"]),
            "share": hundredths(share_of(total["refused"], total["accounts"])),
        }
        shares.append(share_of(total["refused"], total["accounts"]))
    titles = {code: both for one in registers for code, both in one.get("new_told", {}).get("titles", {}).items()}
    return {
        **sides,
        "points": hundredths(shares[1] - shares[0]),
        "registers": len(registers),
        "unreadable": [one["file"] for one in registers if "unreadable" in one],
        "newly_lost": _sum(losing),
        "no_longer_lost": _sum(winning),
        "by_rule": _by_rule(losing, titles),
        "accounts": [
            {**{key: row[key] for key in ("register", "account", "old_rule", "new_rule", "osn")},
             "sum": roubles(row["sumv"]), "was": roubles(row["was"]), "now": roubles(row["now"])}
            for row in (*losing, *winning)[:LISTED]
        ],
        "left_out": max(0, len(rows) - LISTED),
    }  # fmt: skip


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    total = Totals(len(rows), sum(abs(row["now"] - row["was"]) for row in rows))
    return {"accounts": total.accounts, "sum": roubles(total.kopecks)}


def _by_rule(rows: list[dict[str, Any]], titles: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Why accounts newly lose, the dearest reason first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["new_rule"], []).append(row)
    listed = []
    for code, own in found.items():
        kopecks = sum(one["now"] - one["was"] for one in own)
        title = pick(*titles.get(code, ("", "")))
        listed.append({"rule": code, "title": title, "osn": own[0]["osn"], **_sum(own), "kopecks": kopecks})
    ordered = sorted(listed, key=lambda one: (-one["kopecks"], one["rule"]))
    return [{key: value for key, value in one.items() if key != "kopecks"} for one in ordered]
