"""Caps of volume and money: first come, first kept, to the kopeck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.errors import SetupError
from oms_batch.judge import caps, facts_view
from oms_batch.judge.caps import Line, allot
from oms_batch.judge.engine import NOT_AT_HAND, run
from oms_batch.judge.rulebook import load
from oms_batch.judge.tables import VOLUMES, create_table
from oms_batch.ruledata import RuleData
from tests.judge_tools import put, register

HEAD = "# origin: test\nmo:key;usl_ok:key;vidpom:key;profil:key;month:key;volume:int;money:kopecks\n"
CUTS = st.tuples(
    st.sampled_from([None, "1", "3"]), st.sampled_from([None, "12", "31"]), st.sampled_from([None, "97", "53"])
)
ACCOUNTS = st.lists(
    st.tuples(
        st.tuples(st.sampled_from(["1", "3"]), st.sampled_from(["12", "31"]), st.sampled_from(["97", "53", None])),
        st.integers(0, 10_000),
    ),
    max_size=40,
)
LINES = st.lists(
    st.tuples(
        CUTS,
        st.none() | st.integers(0, 20),
        st.none() | st.integers(0, 60_000),
        st.integers(0, 10),
        st.integers(0, 30_000),
    ),
    max_size=4,
)


def lines_of(made: list[tuple[Any, ...]]) -> list[Line]:
    return [
        Line(n, cut, volume, money, (used, kopecks)) for n, (cut, volume, money, used, kopecks) in enumerate(made, 1)
    ]


@settings(max_examples=300, deadline=None)
@given(ACCOUNTS, LINES)
def test_nothing_is_lost_no_cap_is_broken_and_nobody_is_put_off_without_need(
    accounts: list[tuple[Any, int]], made: list[tuple[Any, ...]]
) -> None:
    rows = [(n, cut, kopecks) for n, (cut, kopecks) in enumerate(accounts)]
    lines = lines_of(made)
    over = {one.n: one for one in allot(rows, lines)}
    kept = [row for row in rows if row[0] not in over]
    for line in lines:
        mine = [row for row in rows if line.covers(row[1])]
        mine_kept = [row for row in kept if line.covers(row[1])]
        # every account of the line is kept or over, and the sums say the same
        assert line.kept == (len(mine_kept), sum(row[2] for row in mine_kept))
        assert (line.kept[0] + line.over[0], line.kept[1] + line.over[1]) == (len(mine), sum(row[2] for row in mine))
        if line.volume is not None:
            assert not mine_kept or line.used[0] + line.kept[0] <= line.volume
        if line.money is not None:
            assert not line.kept[1] or line.used[1] + line.kept[1] <= line.money
    # who is over did not fit when his turn came: after those kept before him, one of his lines had no room
    fresh = lines_of(made)
    for n, cut, kopecks in rows:
        mine_lines = [line for line in fresh if line.covers(cut)]
        if n in over:
            lacking = [what for line in mine_lines if (what := line.lacks(kopecks))]
            assert over[n].what in lacking
            assert over[n].what == ("volume" if "volume" in lacking else "money")
        else:
            assert not any(line.lacks(kopecks) for line in mine_lines)
            for line in mine_lines:
                line.kept = (line.kept[0] + 1, line.kept[1] + kopecks)


@settings(max_examples=200, deadline=None)
@given(ACCOUNTS, LINES)
def test_what_was_kept_once_is_kept_whole_when_it_comes_alone(
    accounts: list[tuple[Any, int]], made: list[tuple[Any, ...]]
) -> None:
    """So the fund refuses nothing of a register from which the organisation has put aside what does not fit."""
    rows = [(n, cut, kopecks) for n, (cut, kopecks) in enumerate(accounts)]
    over = {one.n for one in allot(rows, lines_of(made))}
    kept = [row for row in rows if row[0] not in over]
    assert list(allot(kept, lines_of(made))) == []
    assert list(allot(kept[::2], lines_of(made))) == []


@settings(max_examples=100, deadline=None)
@given(ACCOUNTS, LINES, st.integers(0, 40))
def test_one_register_or_two_come_to_the_same(
    accounts: list[tuple[Any, int]], made: list[tuple[Any, ...]], at: int
) -> None:
    rows = [(n, cut, kopecks) for n, (cut, kopecks) in enumerate(accounts)]
    whole = [one.n for one in allot(rows, lines_of(made))]
    lines = lines_of(made)
    first = [one.n for one in allot(rows[:at], lines)]
    for line in lines:  # the fund counts what it has kept as used
        line.used, line.kept = (line.used[0] + line.kept[0], line.used[1] + line.kept[1]), (0, 0)
    assert first + [one.n for one in allot(rows[at:], lines)] == whole


def held(
    accounts: list[dict[str, Any]],
    volumes: list[dict[str, Any]],
    former: list[dict[str, Any]] = [],  # noqa: B006
) -> tuple[list[tuple[str, str]], list[Line]]:
    """Accounts of one federal organisation held against a book; gives (key, what) of those over."""
    rules = RuleData()
    rulebook = load(rules, ["common/across"], "federal")
    con = register(rules, rulebook, *accounts)
    con.execute(create_table("book_volumes", VOLUMES))
    for table, rows in (("book_volumes", volumes), ("facts", former)):
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            con.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    facts_view.count_used(con)
    facts_view.make_here(con)
    lines = caps.hold(con)
    found = con.execute(
        "SELECT z.xkey, o.what FROM over_cap o JOIN z_sl z ON z.n = o.z_sl_n ORDER BY z.xkey"
    ).fetchall()
    return found, lines


def bill(key: str, day: int, sumv: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "z_sl": {"xkey": key, "date_z_1": f"2026-10-{day:02d}", "date_z_2": f"2026-10-{day:02d}", "sumv": sumv, **more}
    }


FORMER = {"ogrn_mo": "760001", "period": "2026-10", "usl_ok": "3", "vidpom": "12", "profil": "97", "live": True}


def test_the_order_is_the_day_of_the_end_then_the_key() -> None:
    accounts = [bill("c", 5), bill("b", 7), bill("a", 7)]
    assert held(accounts, [{"month": "2026-10", "volume": 2}])[0] == [("b", "volume")]
    assert held(accounts[::-1], [{"month": "2026-10", "volume": 2}])[0] == [("b", "volume")]


def test_a_smaller_account_after_one_that_does_not_fit_is_kept() -> None:
    accounts = [bill("a", 1, 90), bill("b", 2, 20), bill("c", 3, 10)]
    found, (line,) = held(accounts, [{"month": "2026-10", "money": 100}])
    assert found == [("b", "money")] and line.kept == (2, 100) and line.over == (1, 20)


def test_an_account_needs_room_under_every_line_that_it_falls_under() -> None:
    accounts = [bill("a", 1), bill("b", 2, profil="53"), bill("c", 3, profil="53")]
    volumes = [{"month": "2026-10", "usl_ok": "3", "volume": 2}, {"month": "2026-10", "profil": "53", "volume": 0}]
    assert held(accounts, volumes)[0] == [("b", "volume"), ("c", "volume")]
    found, lines = held([*accounts, bill("d", 4)], volumes)
    assert found == [("b", "volume"), ("c", "volume")]  # those refused under one line take no room under the other
    assert [line.kept[0] for line in lines] == [2, 0]


def test_lines_of_another_organisation_or_month_are_not_ours() -> None:
    accounts = [bill("a", 1)]
    assert held(accounts, [{"mo": "760002", "month": "2026-10", "volume": 0}])[0] == []
    assert held(accounts, [{"mo": "760001", "month": "2026-09", "volume": 0}])[0] == []
    assert held(accounts, [{"mo": "760001", "month": "2026-10", "volume": 0}])[0] == [("a", "volume")]


@pytest.mark.parametrize(
    ("former", "fits"),
    [
        ({}, False),
        ({"live": False}, True),
        ({"period": "2026-09"}, True),
        ({"ogrn_mo": "760002"}, True),
        ({"usl_ok": "1"}, True),
    ],
)
def test_what_stands_of_the_month_has_its_place_before(former: dict[str, Any], fits: bool) -> None:
    found, _ = held(
        [bill("a", 1)], [{"month": "2026-10", "usl_ok": "3", "volume": 1}], [{**FORMER, "xkey": "F", **former}]
    )
    assert (found == []) is fits


def test_an_account_that_was_replaced_takes_no_room() -> None:
    old, new = {**FORMER, "xkey": "F1"}, {**FORMER, "xkey": "F2", "x_key2": "F1"}
    volumes = [{"month": "2026-10", "volume": 2}]
    assert held([bill("a", 1)], volumes, [old, new])[0] == []
    assert held([bill("a", 1)], volumes, [old, {**new, "x_key2": None}])[0] == [("a", "volume")]
    # nor one that an account of this register replaces
    assert held([bill("a", 1, x_key2="F1")], [{"month": "2026-10", "volume": 1}], [old])[0] == []


def test_money_counts_what_was_accepted_of_an_account() -> None:
    former = [{**FORMER, "xkey": "F", "sumv": 100, "money": 40}]
    assert held([bill("a", 1, 60)], [{"month": "2026-10", "money": 100}], former)[0] == []
    assert held([bill("a", 1, 61)], [{"month": "2026-10", "money": 100}], former)[0] == [("a", "money")]


def test_without_the_book_the_rules_are_skipped_with_the_reason_and_with_it_they_run(tmp_path: Path) -> None:
    plans = {}
    for told in (False, True):
        if told:
            put(
                tmp_path,
                "federal/books/volumes.csv",
                HEAD + "760001;;;;2026-10;;0.01\n",
            )
        rules = RuleData(str(tmp_path))
        rulebook = load(rules, ["common/across"], "federal")
        con = register(rules, rulebook, {"z_sl": {"sumv": 5}})
        assert bool(caps.load(con, rules, "federal")) is told
        plans[told] = {row.code: row for row in run(con, rulebook)}
        if told:
            assert con.execute("SELECT rule, refuses, value FROM findings").fetchall() == [
                ("K.00.0620", "account", "money=0.01")
            ]
    for code in ("K.00.0610", "K.00.0620"):
        assert (plans[False][code].outcome, plans[False][code].reason) == ("skipped", NOT_AT_HAND)
        assert plans[True][code].outcome in ("passed", "found")


def test_an_account_refused_for_another_reason_takes_no_room(tmp_path: Path) -> None:
    put(
        tmp_path,
        "federal/books/volumes.csv",
        HEAD + ";;;;2026-10;1;\n",
    )
    rules = RuleData(str(tmp_path))
    rulebook = load(rules, ["common/across"], "federal")
    con = register(rules, rulebook, bill("a", 1, for_pom="3"), bill("b", 20))
    caps.load(con, rules, "federal")
    columns = {
        "xkey": "F",
        "npolis": "7656910834000012",
        "usl_ok": "1",
        "date_z_1": "2026-09-29",
        "date_z_2": "2026-10-05",
    }
    columns |= {"live": True, "ogrn_mo": "760002", "ds1": "I21.0"}
    con.execute(
        f"INSERT INTO facts ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", list(columns.values())
    )
    run(con, rulebook)
    assert con.execute("SELECT rule, z_sl_n FROM findings ORDER BY rule").fetchall() == [("K.00.0550", 1)]


@pytest.mark.parametrize("line", [";;;;2026-13;1;", ";;;;202610;1;", ";;;;2026-10;-1;", ";;;;2026-10;;-0.01"])
def test_a_bad_line_of_the_book_is_an_error_at_start(tmp_path: Path, line: str) -> None:
    put(
        tmp_path,
        "federal/books/volumes.csv",
        HEAD + f"{line}\n",
    )
    with pytest.raises(SetupError, match="volumes"):
        caps.load(duckdb.connect(), RuleData(str(tmp_path)), "federal")


def test_two_lines_of_one_kind_and_month_are_an_error(tmp_path: Path) -> None:
    put(
        tmp_path,
        "federal/books/volumes.csv",
        HEAD + ";3;;;2026-10;1;\n;3;;;2026-10;2;\n",
    )
    with pytest.raises(SetupError, match="two rows"):
        caps.load(duckdb.connect(), RuleData(str(tmp_path)), "federal")
