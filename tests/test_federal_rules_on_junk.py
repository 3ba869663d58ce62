"""No federal register, however odd, may stop the rules: spoiled documents of every kind are judged to the end."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.exchange import load_profile
from oms_batch.ruledata import RuleData
from oms_batch.synth import federal
from oms_batch.synth.insured import insured
from oms_batch.synth.world import Spec
from tests.federal_judged import Pair, judge, pair_of
from tests.judged import keep_insured

PROFILE = load_profile("federal", RuleData())
LEAF = re.compile(rb"^ *<(\w+)>([^<]*)</\1>$")
JUNK = [
    *(b"", b"0", b"1", b"-1", b"9" * 20, b"x", b"0.01", b"99999999.99", b"\xc0\xe1"),
    *(b"2022-02-30", b"1900-01-01", b"2029-12-31"),
]
KINDS = [("H", "2022-03"), ("DO", "2022-03"), ("H", "2021-05"), ("C", "2022-03"), ("T", "2022-03"), ("DO", "2020-08")]


def spoiled(documents: Pair, chance: random.Random) -> Pair:
    """Both documents with elements lost, doubled or filled with junk here and there, but for their heads."""
    main, persons = (
        _spoiled(data, start, chance) for data, start in zip(documents, (b"<ZAP>", b"<PERS>"), strict=True)
    )
    return main, persons


def _spoiled(data: bytes, start: bytes, chance: random.Random) -> bytes:
    head, found, body = data.partition(start + b"\n")
    kept = []
    for line in body.split(b"\n"):
        match, draw = LEAF.match(line), chance.random()
        if match and draw < 0.01:
            continue
        if match and draw < 0.03:
            line = b"<%s>%s</%s>" % (match[1], chance.choice(JUNK), match[1])
        kept += [line, line] if match and draw > 0.998 else [line]
    return head + found + b"\n".join(kept)


def decided(kind: str, period: str, seed: int, folder: Path) -> None:
    spec = Spec(accounts=40, seed=seed, kind=kind, period=period)
    register = federal.register(PROFILE, spec)
    path = str(folder / f"{kind}{period}{seed}.duckdb")
    if not Path(path).exists():
        keep_insured(path, PROFILE, insured(PROFILE, spec))
    pair = spoiled(pair_of(register), random.Random(seed))
    for side in ("fund", "insurer"):
        done = judge(PROFILE, pair, register.name, side, path)
        assert done.failed == []
        assert done.accounts


@pytest.mark.parametrize(("kind", "period"), KINDS[:2])
def test_a_spoiled_register_is_judged_to_the_end(kind: str, period: str, tmp_path: Path) -> None:
    decided(kind, period, 0, tmp_path)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(which=st.sampled_from(KINDS), seed=st.integers(1, 1_000_000))
def test_any_spoiled_register_is_judged_to_the_end(
    which: tuple[str, str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    decided(*which, seed, tmp_path_factory.mktemp("junk"))
