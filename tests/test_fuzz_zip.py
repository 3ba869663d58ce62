"""Spoiled archives: refused with a known code, or read as zipfile reads them. Never a crash, a hang or other bytes."""

from __future__ import annotations

import io
import random
import zipfile
from collections import Counter
from datetime import datetime

import pytest

from oms_batch.errors import Refusal
from oms_batch.exchange import Member
from oms_batch.formats.container import Limits, open_register, pack
from oms_batch.formats.members import open_members
from oms_batch.ruledata import RuleData
from tests.oracle import change_zip
from tests.oracle.change_bytes import bytewise
from tests.oracle.change_zip import Entry
from tests.oracle.size import times
from tests.oracle.watch import bounded, slim

pytestmark = pytest.mark.fuzz
CODES = set(RuleData().toml("common/problems.toml"))
LIMITS = Limits(packed=5_000_000, raw=4_000_000, ratio=100)
TEXT = b"<?xml version='1.0'?>\n<a>" + b"".join(b"<b>%d</b>\n" % (i * i) for i in range(300)) + b"</a>"
SINGLE: list[Entry] = [("bill.xml", TEXT)]
PAIR: list[Entry] = [("HM760001T76_26011.XML", TEXT), ("LM760001T76_26011.XML", TEXT[:700])]
WANTED = [
    Member("main", r"H{rest}\.XML", "H{rest}.XML", "H"),
    Member("persons", r"L{rest}\.XML", "L{rest}.XML", "L"),
]
PARTS = {"rest": "M760001T76_26011"}
SEEDS = range(4)
WHEN = datetime(2026, 2, 3, 4, 5, 6)


def single(data: bytes) -> dict[str, bytes]:
    with open_register(io.BytesIO(data), len(data), "bill.xml", LIMITS) as opened:
        return {"bill.xml": opened.stream.read()} if opened.kind == "zip" else {}


def pair(data: bytes) -> dict[str, bytes]:
    made: dict[str, io.BytesIO] = {}
    scratch = lambda role: made.setdefault(role, io.BytesIO())  # noqa: E731
    with open_members(io.BytesIO(data), len(data), WANTED, PARTS, scratch, LIMITS) as opened:
        if opened.kind != "zip":
            return {}
        found = {}
        for role, stream in opened.streams.items():
            stream.seek(0)
            found[opened.names[role]] = stream.read()
        return found


def others(data: bytes) -> dict[str, bytes] | None:
    """What zipfile sees; None when it does not want to."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {one.filename: archive.read(one) for one in archive.infolist()}
    except Exception:  # noqa: BLE001 - it raises what it likes
        return None


def storm(entries: list[Entry], seed: int, count: int) -> Counter[str]:
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    for number in range(count):
        data = change_zip.mutated(entries, chance)
        where = f"{entries[0][0]}, seed {seed}, mutation {number}"
        try:
            with bounded(where):
                ours = (single if len(entries) == 1 else pair)(data)
        except Refusal as refusal:
            seen[refusal.code] += 1
            continue
        if not ours:
            seen["no ZIP any more"] += 1
            continue
        theirs = others(data)
        if theirs is None:
            assert ours == dict(entries), where
            seen["the same, though zipfile would not read it"] += 1
        else:
            assert {name.lower(): one for name, one in theirs.items()} == {
                name.lower(): one for name, one in ours.items()
            }, where
            seen["the same" if ours == dict(entries) else "as zipfile reads it"] += 1
    return seen


def outcomes(seen: Counter[str]) -> set[str]:
    """The codes of refusals."""
    return {one for one in seen if one.isupper()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("entries", [SINGLE, PAIR], ids=["one", "pair"])
def test_a_spoiled_archive_is_refused_or_read_as_others_read_it(entries: list[Entry], seed: int) -> None:
    with slim():
        seen = storm(entries, seed, times(1000, len(SEEDS)))
    print("zip", entries[0][0], seed, dict(seen.most_common()))
    assert seen["the same"] > 5
    assert {"ZIP_CRC", "ZIP_HEADER", "ZIP_CONTENT"} <= outcomes(seen) <= CODES


def test_a_spoiled_7z_is_refused_or_read_as_it_was() -> None:
    out = io.BytesIO()
    pack("7z", "bill.xml", io.BytesIO(TEXT), out, WHEN)
    chance, seen = random.Random(7), Counter[str]()
    with slim():
        for number in range(times(300)):
            data = bytewise(out.getvalue(), chance)
            try:
                with (
                    bounded(f"7z, mutation {number}"),
                    open_register(io.BytesIO(data), len(data), "bill.xml", LIMITS) as one,
                ):
                    assert one.kind != "7z" or one.stream.read() == TEXT
                    seen["the same" if one.kind == "7z" else "no 7z any more"] += 1
            except Refusal as refusal:
                seen[refusal.code] += 1
    print("7z", dict(seen.most_common()))
    assert {"ZIP_CRC"} <= outcomes(seen) <= CODES


@pytest.mark.parametrize("way", range(6))
def test_an_unspoiled_archive_is_read(way: int) -> None:
    assert single(change_zip.packed(SINGLE, way)) == dict(SINGLE)
    assert pair(change_zip.packed(PAIR, way)) == dict(PAIR)
    assert pair(change_zip.packed(PAIR[::-1], way)) == dict(PAIR)
