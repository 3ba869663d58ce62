"""The insurer proves a reformulated register against the fund's copy, where it has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from oms_batch.synth.world import Spec
from tests.participants import Exchange

SPEC = Spec(accounts=8, seed=3, period="2026-10", payers={"P": 1})


@pytest.fixture
def to_payer(tmp_path: Path) -> tuple[Exchange, Path]:
    """An exchange in which the insurer has the fund's file, and the MO's file is on its way."""
    exchange = Exchange(tmp_path)
    exchange.insure("tfoms", SPEC)
    exchange.put("mo", "", *exchange.generated(SPEC))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    answer = next(path for path in exchange.outbox("tfoms", "mo") if path.name.endswith("1P.xml"))
    exchange.put("smo-p", "tfoms", answer.name, answer.read_bytes())
    assert [one.outcome for one in exchange.sweep("smo-p")] == ["answered"]
    exchange.carry()
    exchange.sweep("mo")
    exchange.reformulate()
    (forwarded,) = exchange.outbox("mo", "smo-p")
    return exchange, forwarded


def test_the_file_that_was_let_through_is_answered(to_payer: tuple[Exchange, Path]) -> None:
    exchange, _ = to_payer
    exchange.carry()
    assert [one.outcome for one in exchange.sweep("smo-p")] == ["answered"]
    assert len(exchange.outbox("smo-p", "mo")) == 5


def test_a_changed_byte_is_refused(to_payer: tuple[Exchange, Path]) -> None:
    exchange, forwarded = to_payer
    content = forwarded.read_bytes()
    changed = content.replace(b'n_card="', b'n_card="X', 1)
    exchange.put("smo-p", "mo", forwarded.name, changed)
    (handled,) = exchange.sweep("smo-p")
    assert (handled.outcome, handled.code) == ("refused", "SET_CHANGED")
    assert {path.suffix for path in exchange.outbox("smo-p", "mo")} == {".html", ".xml"}
    assert exchange.totals("smo-p")["accounts"]["sent"] == 0
