"""Books that are missing or too old stop the work with a reason, and nothing passes unjudged meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oms_batch.ruledata import RuleData
from oms_batch.synth.world import Spec
from tests.nsi_tools import packet, run
from tests.participants import Exchange

SPEC = Spec(accounts=4, seed=3, period="2018-09", encoding="utf-8", payers={"P": 1})


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    made = Exchange(tmp_path, ("mo", "tfoms"))
    made.insure("tfoms", SPEC)
    return made


def _profil(exchange: Exchange, version: str, day: str) -> Path:
    rows = [
        {"IDPR": row["code"], "PRNAME": "x", "DATEBEG": "01.01.2011", "DATEEND": ""}
        for row in RuleData().table("common/books/profil.csv")
    ]
    path = exchange.root / f"V002_{version}.xml"
    path.write_bytes(packet({row["IDPR"]: row for row in rows}.values(), "ProfOt", version, day))
    return path


def _watch(home: Path, text: str) -> None:
    folder = home / "rules" / "common" / "books"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "watch.toml").write_text(f"# origin: a test\n[days]\n{text}\n")


def test_a_book_too_old_for_the_period_stops_the_register_until_a_new_one_comes(exchange: Exchange) -> None:
    home = exchange.root / "tfoms"
    name, data = exchange.generated(SPEC)
    assert run(home, "nsi", "import", str(_profil(exchange, "3.0", "30.03.2017")))[0] == 0
    _watch(home, "profil = 400")
    (exchange.root / name).write_bytes(data)
    code, told = run(home, "check", str(exchange.root / name))
    assert (code, "BOOK_STALE" in told, "profil" in told, "2018-09-30" in told) == (3, True, True, True)

    exchange.put("tfoms", "mo", name, data)
    (one,) = exchange.sweep("tfoms")
    assert (one.outcome, one.code) == ("parked", "RULES")
    assert exchange.outbox("tfoms", "mo") == []

    assert run(home, "nsi", "import", str(_profil(exchange, "3.1", "30.03.2018")))[0] == 0
    (one,) = exchange.sweep("tfoms")
    assert one.outcome == "answered"
    assert exchange.outbox("tfoms", "mo")


def test_the_limit_is_measured_by_the_period_and_not_by_today(exchange: Exchange) -> None:
    """The edition is eight years old today, and was fresh in the month of the register."""
    home = exchange.root / "tfoms"
    assert run(home, "nsi", "import", str(_profil(exchange, "3.0", "30.03.2018")))[0] == 0
    _watch(home, "profil = 400")
    name, data = exchange.generated(SPEC)
    (exchange.root / name).write_bytes(data)
    assert run(home, "check", str(exchange.root / name))[0] in (0, 1)
    code, told = run(home, "nsi", "list", "--json")
    row = next(one for one in json.loads(told) if one["book"] == "profil")
    assert (code, row["stale"], row["limit_days"]) == (1, True, 400)


def test_a_watched_table_that_tells_no_edition_is_too_old(exchange: Exchange) -> None:
    """The shipped table of profiles says nothing of its edition: who has it watched must not take it for fresh."""
    home = exchange.root / "tfoms"
    _watch(home, "profil = 400")
    name, data = exchange.generated(SPEC)
    (exchange.root / name).write_bytes(data)
    code, told = run(home, "check", str(exchange.root / name))
    assert (code, "BOOK_STALE" in told, "profil" in told) == (3, True, True)
    row = next(one for one in json.loads(run(home, "nsi", "list", "--json")[1]) if one["book"] == "profil")
    assert (row["edition"], row["stale"]) == ("", True)


@pytest.mark.parametrize("words", [("run", "--once"), ("nightly",)])
def test_work_does_not_begin_without_a_mandatory_book(exchange: Exchange, words: tuple[str, ...]) -> None:
    home = exchange.root / "tfoms"
    folder = home / "rules" / "common" / "books"
    folder.mkdir(parents=True, exist_ok=True)
    name, data = exchange.generated(SPEC)
    arrived = exchange.put("tfoms", "mo", name, data)
    table = folder / "usl_ok.csv"
    table.write_text("# origin: spoilt by hand\n# optional: no\ncode;name;valid_from;valid_to\n")
    code, told = run(home, *words)
    assert (code, "BOOK_MISSING" in told, "usl_ok" in told) == (3, True, True)
    assert arrived.exists()  # nothing was touched
    table.write_text("# origin: spoilt by hand\ncode;name;valid_from;valid_to\n1;x;2026-01-01;2025-01-01\n")
    code, told = run(home, *words)
    assert (code, "valid_to" in told) == (3, True)
    table.unlink()
    assert run(home, *words)[0] in (0, 1)
    assert not arrived.exists()


def test_the_answer_says_the_edition_of_a_book_that_was_brought_in(exchange: Exchange) -> None:
    home = exchange.root / "tfoms"
    assert run(home, "nsi", "import", str(_profil(exchange, "3.0", "30.03.2018")))[0] == 0
    name, data = exchange.generated(SPEC)
    exchange.put("tfoms", "mo", name, data)
    exchange.sweep("tfoms")
    told = [path.read_text("utf-8") for path in exchange.outbox("tfoms", "mo") if path.suffix in (".json", ".html")]
    assert any("3.0 of 2018-03-30, " in text for text in told)
