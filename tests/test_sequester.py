"""Caps on both sides: the organisation puts aside what does not fit, the fund refuses nothing of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from oms_batch import office
from oms_batch.cli.main import program
from oms_batch.errors import Fault, WrongState
from oms_batch.model import Totals
from oms_batch.store import facts, fsio, ledger
from oms_batch.synth.cases import source_csv
from oms_batch.synth.world import Spec
from tests.participants import Exchange

PERIOD = "2026-10"
HEAD = "# origin: made up for a test\nmo:key;usl_ok:key;vidpom:key;profil:key;month:key;volume:int;money:kopecks\n"
CAPS = {"K.00.0610", "K.00.0620"}


def give_caps(exchange: Exchange, lines: Iterable[str], *names: str) -> None:
    """Lay a book of caps into homes."""
    for name in names or exchange.names:
        folder = exchange.root / name / "rules" / "yaroslavl" / "books"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "volumes.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines), "utf-8")


def cases(exchange: Exchange, seed: int, period: str = PERIOD, accounts: int = 24) -> Spec:
    spec = Spec(accounts=accounts, seed=seed, period=period)
    path = exchange.root / f"cases-{seed}.csv"
    path.write_bytes(b"".join(source_csv(exchange.profile, spec)))
    return spec


def built(exchange: Exchange, seed: int, number: str, period: str = PERIOD, **more: Any) -> office.Built:
    with exchange.at("mo") as site:
        return office.build_register(site, period, [str(exchange.root / f"cases-{seed}.csv")], number=number, **more)


def judged(exchange: Exchange) -> None:
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    exchange.carry()
    exchange.sweep("mo")


def states(exchange: Exchange, name: str = "tfoms") -> dict[str, tuple[str, str]]:
    """key -> (state, rule) of every account of a ledger."""
    with exchange.at(name) as site:
        rows = ledger.accounts_in(site.ledger, "fund_passed") + ledger.accounts_in(site.ledger, "fund_refused")
        found = {}
        for row in rows:
            (one,) = ledger.life(site.ledger, row["xkey"])
            found[row["xkey"]] = (one["state"], one["moves"][-1]["rule"])
        return found


def line_of(measured: Any) -> Any:
    (line,) = measured.lines
    return line


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    found = Exchange(tmp_path, ("mo", "tfoms"))
    for seed in (1, 2):
        cases(found, seed)
    for spec in (Spec(accounts=24, seed=1, period=PERIOD),):
        found.insure("tfoms", spec)
    return found


def loose(exchange: Exchange) -> None:
    """A fund that takes care of earlier months and persons of any register: only caps are looked at here."""
    folder = exchange.root / "tfoms" / "rules" / "yaroslavl"
    folder.mkdir(parents=True, exist_ok=True)
    told = [exchange.profile.rules.read("yaroslavl/overlay.toml").decode()]
    for code in ("K.00.0120", "K.76.1010", "K.76.1020"):
        told.append(f'[[retune]]\ncode = "{code}"\nseverity = "warn"\nbecause = "test"\nbasis = "test"\n')
    (folder / "overlay.toml").write_text("\n".join(told), "utf-8")


def test_without_caps_nothing_is_measured_and_nothing_is_put_aside(exchange: Exchange) -> None:
    done = built(exchange, 1, "1", fit=True)
    assert done.caps.lines == () and done.aside == Totals()
    assert done.report.accounts == 24


def test_a_register_beyond_the_caps_is_told_and_the_fund_refuses_what_was_told(exchange: Exchange) -> None:
    loose(exchange)
    give_caps(exchange, [f";;;;{PERIOD};20;"])
    done = built(exchange, 1, "1")
    assert line_of(done.caps).over.accounts == 4 and done.report.accounts == 24
    judged(exchange)
    refused = {key for key, (state, rule) in states(exchange).items() if rule in CAPS}
    assert refused == {one.xkey for one in done.caps.beyond}
    with exchange.at("tfoms") as site:
        paths = facts.listed(site.home.archive, facts.periods(site.home.archive))
    sql = f"SELECT DISTINCT period, live FROM read_parquet({paths}, hive_partitioning = false)"
    row = duckdb.connect().execute(sql).fetchall()
    assert sorted(row) == [(PERIOD, False), (PERIOD, True)]


def test_what_is_put_aside_waits_comes_in_next_month_and_the_fund_refuses_nothing(exchange: Exchange) -> None:
    loose(exchange)
    give_caps(exchange, [f";;;;{PERIOD};30;", ";;;;2026-11;40;"])
    built(exchange, 1, "1")
    judged(exchange)
    first = states(exchange)
    passed = [key for key, (state, _rule) in first.items() if state == "fund_passed"]
    done = built(exchange, 2, "2", fit=True)
    line = line_of(done.caps)  # the cap is reached in the middle of the second register
    assert line.used.accounts == len(passed) and line.used.accounts + line.kept.accounts == 30
    assert line.kept.accounts + line.over.accounts == 24
    assert done.aside.accounts == 24 - done.report.accounts > 0
    assert done.report.kopecks + done.aside.kopecks == sum(
        one.kopecks for one in (line_of(done.caps).kept, line_of(done.caps).over)
    )
    with exchange.at("mo") as site:
        waiting = office.waiting_aside(site)
    assert {row["xkey"] for row in waiting} == {one.xkey for one in done.caps.beyond}
    assert sum(row["sumv"] for row in waiting) == done.aside.kopecks
    judged(exchange)
    second = {key: found for key, found in states(exchange).items() if key not in first}
    assert len(second) == done.report.accounts
    assert not any(rule in CAPS for _state, rule in second.values())
    cases(exchange, 3, "2026-11", 6)
    later = built(exchange, 3, "1", "2026-11")
    assert later.report.accounts == 6 + done.aside.accounts
    assert sorted(later.report.joined) == sorted(row["xkey"] for row in waiting)
    with exchange.at("mo") as site:
        assert office.waiting_aside(site) == []
    judged(exchange)
    third = states(exchange)
    assert {row["xkey"] for row in waiting} <= set(third)
    assert not any(rule in CAPS for _state, rule in third.values())


def test_an_account_put_aside_twice_is_still_there(exchange: Exchange) -> None:
    give_caps(exchange, [f";;;;{PERIOD};20;", ";;;;2026-11;2;", ";;;;2026-12;;"])
    first = built(exchange, 1, "1", fit=True)
    exchange.sweep("mo")
    cases(exchange, 3, "2026-11", 3)
    second = built(exchange, 3, "1", "2026-11", fit=True)
    assert second.report.accounts == 2 and second.aside.accounts == 4 + 3 - 2
    with exchange.at("mo") as site:
        waiting = {row["xkey"] for row in office.waiting_aside(site)}
        # care that ended first goes first: two of October are in, the rest waits
        assert {one.xkey for one in first.caps.beyond} - set(second.report.joined) <= waiting
        assert len(waiting) == 5
        third = office.build_register(site, "2026-12", [], number="1")
        assert third.report.accounts == 5 and office.waiting_aside(site) == []


def test_built_again_after_a_crash_the_same_accounts_are_in(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_caps(exchange, [f";;;;{PERIOD};20;"])
    done = built(exchange, 1, "1", fit=True)
    exchange.sweep("mo")

    def dies(*_rest: object) -> str:
        raise Fault("the power went")

    with monkeypatch.context() as patch:
        patch.setattr("oms_batch.requests.pack_into_inbox", dies)
        with exchange.at("mo") as site, pytest.raises(Fault, match="power"):
            office.build_register(site, "2026-11", [], number="1")
    with exchange.at("mo") as site:
        again = office.build_register(site, "2026-11", [], number="1")
    assert again.report.accounts == done.aside.accounts == 4


def test_a_case_that_the_mis_has_anew_comes_from_the_mis(exchange: Exchange) -> None:
    give_caps(exchange, [f";;;;{PERIOD};20;"], "mo")
    built(exchange, 1, "1", fit=True)
    with exchange.at("mo") as site:
        fsio.unlink(site.home.inbox / next(iter(fsio.listdir(site.home.inbox))))
    give_caps(exchange, [f";;;;{PERIOD};40;"], "mo")
    done = built(exchange, 1, "1", fit=True)
    assert done.report.accounts == 24 and len(done.report.joined) == 4
    with exchange.at("mo") as site:
        assert office.waiting_aside(site) == []


def test_nothing_fits_nothing_is_sent_and_nothing_is_put_aside(exchange: Exchange) -> None:
    give_caps(exchange, [f";;;;{PERIOD};0;"])
    with pytest.raises(WrongState, match="NOTHING_TO_BILL"):
        built(exchange, 1, "1", fit=True)
    with exchange.at("mo") as site:
        assert office.waiting_aside(site) == []


def test_a_cap_of_money_is_exact(exchange: Exchange) -> None:
    plain = built(exchange, 1, "1")
    with exchange.at("mo") as site:
        fsio.unlink(site.home.inbox / next(iter(fsio.listdir(site.home.inbox))))
    half = plain.report.kopecks // 2
    give_caps(exchange, [f";;;;{PERIOD};;{half // 100}.{half % 100:02d}"])
    done = built(exchange, 1, "1", fit=True)
    line = line_of(done.caps)
    assert line.money == half and line.kept.kopecks == done.report.kopecks <= half
    room = half - line.kept.kopecks
    # greedy: whoever was put aside did not fit when his turn came, so he does not fit now
    assert all(one.sumv > room for one in done.caps.beyond)


def test_the_screen_and_the_list(exchange: Exchange) -> None:
    give_caps(exchange, [f";;;;{PERIOD};20;"])
    home = ["--home", str(exchange.root / "mo")]
    source = ["--period", PERIOD, "--source", str(exchange.root / "cases-1.csv")]
    said = CliRunner().invoke(program, [*home, "register", "build", *source])
    assert said.exit_code == 0 and "сверх пределов: 4" in said.output, said.output
    with exchange.at("mo") as site:
        fsio.unlink(site.home.inbox / next(iter(fsio.listdir(site.home.inbox))))
    said = CliRunner().invoke(program, [*home, "--json", "register", "build", *source, "--sequester"])
    document = json.loads(said.output)
    assert document["accounts"] == 20 and document["caps"]["put_aside"]["accounts"] == 4
    listed = CliRunner().invoke(program, [*home, "--json", "register", "sequestered"])
    assert len(json.loads(listed.output)) == 4
    told = CliRunner().invoke(program, [*home, "register", "sequestered"])
    assert "Ждут: 4" in told.output, told.output
