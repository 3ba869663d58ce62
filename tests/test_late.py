"""A register after its deadline: marked, or refused where the profile says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from oms_batch import clock
from oms_batch.ruledata import RuleData
from oms_batch.synth.world import Spec
from tests.participants import Exchange

SPEC = Spec(accounts=3, seed=1, period="2026-10", payers={"P": 1})


@pytest.fixture(autouse=True)
def _after_the_deadline() -> Iterator[None]:
    clock.set_wall(lambda: datetime.fromisoformat("2026-11-06T12:00:01+03:00"))
    yield
    clock.set_wall(None)


def _fund(tmp_path: Path) -> Exchange:
    exchange = Exchange(tmp_path, names=("mo", "tfoms"))
    exchange.insure("tfoms", SPEC)
    exchange.put("tfoms", "mo", *exchange.generated(SPEC))
    return exchange


def test_it_is_answered_and_marked(tmp_path: Path) -> None:
    (handled,) = _fund(tmp_path).sweep("tfoms")
    assert (handled.outcome, handled.code) == ("answered", "LATE")


def test_it_is_refused_where_the_profile_says_so(tmp_path: Path) -> None:
    exchange = _fund(tmp_path)
    own = tmp_path / "tfoms" / "rules" / "yaroslavl"
    own.mkdir(parents=True)
    shipped = RuleData().read("yaroslavl/profile.toml").decode()
    (own / "profile.toml").write_text(shipped.replace('late = "mark"', 'late = "refuse"'), "utf-8")
    (handled,) = exchange.sweep("tfoms")
    assert (handled.outcome, handled.code) == ("refused", "LATE")
    assert exchange.totals("tfoms")["accounts"]["sent"] == 0
