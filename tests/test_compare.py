"""Other rules over archived registers, the brake of automatic work, and rules held against what was decided."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from oms_batch.cli.main import program
from oms_batch.doors import compare, quality, replay
from oms_batch.doors.quality import Quality, add
from oms_batch.errors import WrongState
from oms_batch.model import hundredths, share_of
from oms_batch.ruledata import RuleData
from oms_batch.store import editions
from oms_batch.store.outcomes import Outcome
from oms_batch.synth.world import Spec
from tests.participants import Exchange

FIRST = Spec(accounts=60, seed=3, period="2018-08", payers={"P": 1})
SECOND = Spec(accounts=60, seed=3, period="2018-09", payers={"P": 1})  # the same persons a month later
STRICT = """
code = "K.76.9999"
title = "Амбулаторная помощь больше не оплачивается"
title_en = "Out-patient care is not paid any more"
severity = "reject"
defect = "not_in_programme"
basis = "a test"
checked_on = 2026-11-22
run_pass = "sense"
on = "z_sl"
element = "z_sl.usl_ok"
mark = "an_mes"
fails_when = "z_sl.usl_ok = '3'"

[[pass]]
why = "стационар"
base = "hospital"

[[fail]]
why = "поликлиника"
"""


def strict(folder: Path) -> Path:
    place = folder / "yaroslavl/fund/K_76_9999_out_patients.toml"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(STRICT, encoding="utf-8")
    return folder


def settings(home: Path) -> None:
    """A brake that works for small registers."""
    file = home / "oms-batch.toml"
    text = file.read_text("utf-8").replace("points = 25", "points = 10").replace("accounts = 200", "accounts = 50")
    file.write_text(text, encoding="utf-8")


@pytest.fixture
def fund(tmp_path: Path) -> Exchange:
    """A fund that has answered one month, and holds an answer that refuses ten points more than usual."""
    exchange = Exchange(tmp_path)
    settings(tmp_path / "tfoms")
    exchange.insure("tfoms", FIRST)
    exchange.put("tfoms", "mo", *exchange.generated(FIRST))
    assert [one.outcome for one in exchange.sweep("tfoms")] == ["answered"]
    return exchange


def test_who_newly_loses_how_much_and_why(fund: Exchange, tmp_path: Path) -> None:
    place = str(strict(tmp_path / "new-rules"))
    with fund.at("tfoms") as site:
        told = compare.run(site, "now", place, [str(tmp_path / "tfoms/archive")])
        same = compare.run(site, "now", "shipped", [str(tmp_path / "tfoms/archive")])
    assert (told["old"]["accounts"], told["old"]["refused"], told["registers"]) == (60, 0, 1)
    lost = told["newly_lost"]["accounts"]
    assert lost == told["new"]["refused"] > 20
    assert told["points"] == hundredths(share_of(lost, 60))
    assert [(one["rule"], one["accounts"], one["osn"]) for one in told["by_rule"]] == [("K.76.9999", lost, "5.3.1")]
    assert {one["new_rule"] for one in told["accounts"]} == {"K.76.9999"}
    sums = [int(one["now"].replace(".", "")) - int(one["was"].replace(".", "")) for one in told["accounts"]]
    assert hundredths(sum(sums)) == told["newly_lost"]["sum"] == told["by_rule"][0]["sum"] == told["new"]["withheld"]
    assert same["newly_lost"]["accounts"] == same["no_longer_lost"]["accounts"] == 0


def test_an_account_that_stands_twice_is_not_lost_by_the_same_rules(tmp_path: Path) -> None:
    """The second of two with one key is refused, the first is not; and a home may have a quote in its path."""
    root = tmp_path / "d'Arc"
    root.mkdir()
    exchange = Exchange(root)
    exchange.insure("tfoms", FIRST)
    name, content = exchange.generated(FIRST)
    with exchange.at("tfoms") as site:
        place = root / name
        keys = list(dict.fromkeys(re.findall(rb'<personal_account [^>]*xkey="([^"]*)"', content)))
        place.write_bytes(content.replace(keys[5], keys[0]))
        told = compare.run(site, "now", "shipped", [str(place)])
    assert (told["old"]["accounts"], told["old"]["refused"]) == (60, 1)
    assert told["newly_lost"]["accounts"] == told["no_longer_lost"]["accounts"] == 0


def test_a_side_or_a_place_that_is_none_is_said(fund: Exchange, tmp_path: Path) -> None:
    with fund.at("tfoms") as site:
        for side in ("f014@9.9", "nowhere"):
            with pytest.raises(WrongState) as caught:
                compare.run(site, "now", side, [str(tmp_path / "tfoms/archive")])
            assert caught.value.code == "COMPARE_SIDE"
        with pytest.raises(WrongState) as empty:
            compare.run(site, "now", "now", [str(tmp_path / "tfoms/rules")])
        assert empty.value.code == "COMPARE_OVER"


def test_the_brake_holds_what_a_person_must_see(fund: Exchange, tmp_path: Path) -> None:
    strict(tmp_path / "tfoms/rules")
    fund.put("tfoms", "mo", *fund.generated(SECOND))
    held = fund.sweep("tfoms")
    assert [(one.outcome, one.code) for one in held] == [("parked", "BRAKE")]
    assert int(held[0].notes["note"].partition(".")[0]) > 10
    before = fund.outbox("tfoms", "mo")
    assert fund.sweep("tfoms") == []  # it does not go by itself
    assert fund.outbox("tfoms", "mo") == before
    done = CliRunner().invoke(program, ["--home", str(tmp_path / "tfoms"), "release", str(held[0].job)])
    assert done.exit_code == 0, done.output
    twice = CliRunner().invoke(program, ["--home", str(tmp_path / "tfoms"), "release", str(held[0].job)])
    assert twice.exit_code == 3
    assert [one.outcome for one in fund.sweep("tfoms")] == ["answered"]
    assert len(fund.outbox("tfoms", "mo")) > len(before)
    again = CliRunner().invoke(program, ["--home", str(tmp_path / "tfoms"), "release", str(held[0].job)])
    assert again.exit_code == 3


def test_without_a_jump_or_without_a_past_nothing_is_held(fund: Exchange, tmp_path: Path) -> None:
    fund.put("tfoms", "mo", *fund.generated(SECOND))
    assert [one.outcome for one in fund.sweep("tfoms")] == ["answered"]
    other = Exchange(tmp_path / "other")
    settings(tmp_path / "other/tfoms")
    other.insure("tfoms", SECOND)
    strict(tmp_path / "other/tfoms/rules")
    other.put("tfoms", "mo", *other.generated(SECOND))
    assert [one.outcome for one in other.sweep("tfoms")] == ["answered"]


def test_rules_are_held_against_what_was_decided(tmp_path: Path) -> None:
    """The fund refuses by a rule that the organisation has not: missed; then the organisation has it too: caught."""
    exchange = Exchange(tmp_path)
    exchange.insure("tfoms", FIRST)
    strict(tmp_path / "tfoms/rules")
    exchange.put("mo", "", *exchange.generated(FIRST))
    exchange.month()
    missed = told(tmp_path, 1)
    refused = sum(one["accounts"] for one in missed["missed"])
    assert (missed["registers"], missed["undecided"], missed["rules"]) == (1, 0, [])
    assert refused > 20 and {one["defect"] for one in missed["missed"]} == {"5.3.1"}
    strict(tmp_path / "mo/rules")
    caught = told(tmp_path, 0)
    assert caught["missed"] == []
    assert [(one["rule"], one["caught"]["accounts"], one["right"]) for one in caught["rules"]] == [
        ("K.76.9999", refused, "100.00")
    ]


def told(folder: Path, code: int) -> dict[str, Any]:
    done = CliRunner().invoke(program, ["--home", str(folder / "mo"), "rules", "quality", "--json"])
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_alarm_over_an_accepted_account_is_a_false_one() -> None:
    found = Quality()
    meaning = {"accepted": "accepted", "refused": "refused"}
    decided = [
        Outcome("A1", "accepted", 100, "", ""),
        Outcome("A2", "refused", 200, "1.4.4", "K.1"),
        Outcome("A3", "refused", 300, "1.4.6", "K.2"),
        Outcome("A4", "billed", 400, "", ""),
    ]
    add(found, decided, {"A1": ["R.1"], "A2": ["R.1", "R.2"], "A4": ["R.2"]}, meaning)
    assert (found.decided, found.undecided) == (3, 1)
    assert {code: one.kopecks for code, one in found.caught.items()} == {"R.1": 200, "R.2": 200}
    assert {code: one.kopecks for code, one in found.false_alarms.items()} == {"R.1": 100}
    assert {key: one.kopecks for key, one in found.missed.items()} == {("1.4.6", "K.2"): 300}


def test_the_newest_file_counts_and_what_went_with_a_refused_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange(tmp_path)
    name, content = exchange.generated(FIRST)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    sent = [{"path": str(tmp_path / folder / name)} for folder in ("first", "second")]  # the ledger: oldest first
    monkeypatch.setattr(quality.ledger, "files_of", lambda *_: sent)
    with exchange.at("mo") as site:
        assert [Path(one.path).parent.name for one in quality._sent(site, "")] == ["second"]
        assert "withdrawn" not in quality._meaning(site)


def test_an_edition_of_a_book_of_the_territory_is_what_judges(fund: Exchange, tmp_path: Path) -> None:
    """Such books lie in the folder of the exchange, where a table in the common folder would not be seen."""
    shipped = RuleData().read("yaroslavl/books/payers.csv")
    rules = str(tmp_path / "tfoms/rules")
    editions.keep(rules, "payers", "2017-01-01", "1.7", b"# origin: kept\n" + shipped)
    with fund.at("tfoms") as site:
        side = replay.side_of(site, "payers@1.7", str(tmp_path / "scratch"))
    assert RuleData(side.overlay).read("yaroslavl/books/payers.csv").startswith(b"# origin: kept\n")


def test_nothing_sent_is_said_and_shares_are_exact(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    with exchange.at("mo") as site, pytest.raises(WrongState):
        quality.run(site)
    assert [share_of(1, 3), share_of(2, 3), share_of(1, 1), share_of(0, 0), share_of(1, 20000)] == [
        3333,
        6667,
        10000,
        0,
        1,
    ]
