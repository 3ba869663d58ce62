"""Spoiled packets of the federal exchange all the way in: container, both members, canonical tables, head, every rule.

Each is refused with a known code, or judged: no rule breaks on what a document may hold.
"""

from __future__ import annotations

import io
import random
from collections import Counter

import duckdb
import pytest

from oms_batch.errors import Refusal
from oms_batch.exchange import load_profile
from oms_batch.formats import federal_xml
from oms_batch.formats.container import Limits
from oms_batch.intake.names import identify
from oms_batch.intake.register import read_register
from oms_batch.ruledata import RuleData
from oms_batch.synth import federal
from oms_batch.synth.world import Spec
from tests.federal_judged import Pair, judge, pair_of
from tests.oracle import change_zip
from tests.oracle.change_trees import mutated, treewise
from tests.oracle.size import times
from tests.oracle.watch import bounded, slim

pytestmark = pytest.mark.fuzz
RULES = RuleData()
PROFILE = load_profile("federal", RULES)
CODES = set(RULES.toml("common/problems.toml"))
KINDS = ["H", "C", "T", "DO"]
LIMITS = Limits(packed=5_000_000, raw=20_000_000)


def made(kind: str) -> tuple[Pair, str, str]:
    """A clean pair and the names of its documents."""
    spec = Spec(accounts=4, seed=5, period="2026-01", number="1", kind=kind)
    register = federal.register(PROFILE, spec)
    return pair_of(register), register.name, register.persons_name


def spoiled(pair: Pair, chance: random.Random) -> Pair:
    main, persons = pair
    which = chance.randrange(4)
    return (mutated(main, chance) if which else main, mutated(persons, chance) if which in (0, 1) else persons)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_packet_is_refused_or_taken_in(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, name, persons = made(kind)
    chance, seen = random.Random(f"packet {kind}"), Counter[str]()
    named = identify(f"{name}.zip", PROFILE)
    monkeypatch.setattr(federal_xml, "SMALL", 3_000)  # both ways of reading come up
    with slim():
        for number in range(times(8, len(KINDS))):
            members = list(
                zip((f"{name}.XML", f"{persons}.XML"), spoiled(pair, chance) if number else pair, strict=True)
            )
            data = change_zip.packed(members, 2) if number % 4 < 3 else change_zip.mutated(members, chance)
            with duckdb.connect(config={"threads": 1}) as con:
                try:
                    with bounded(f"{kind} {number}"):
                        read_register(io.BytesIO(data), len(data), named, PROFILE, con, limits=LIMITS)
                    seen["taken in"] += 1
                except Refusal as refusal:
                    seen[refusal.code] += 1
    print("packet", kind, dict(seen.most_common()))
    assert {one for one in seen if one.isupper()} <= CODES
    assert seen["taken in"]
    assert len(seen) > 1


@pytest.mark.parametrize("side", ["fund", "insurer"])
def test_every_rule_decides_on_a_spoiled_packet(side: str) -> None:
    chance, seen = random.Random(side), Counter[str]()
    for number in range(times(2, 20)):
        pair, name, _ = made(KINDS[number % len(KINDS)])
        for _ in range(4):  # such as leave both documents well-formed
            pair = treewise(pair[0], chance), treewise(pair[1], chance) if chance.randrange(3) == 0 else pair[1]
        try:
            done = judge(PROFILE, pair, name, side)
        except Refusal as refusal:
            seen[refusal.code] += 1
            continue
        assert not done.failed, (side, number, done.failed)
        seen["judged"] += 1
    print("rules", side, dict(seen.most_common()))
    assert {one for one in seen if one.isupper()} <= CODES
