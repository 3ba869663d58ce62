"""Spoilt files of reference books: either a refusal whose code has a text, or rows. Never anything else."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import date

import pytest

from oms_batch.errors import Refusal
from oms_batch.formats.book_file import read_books
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_write import write
from oms_batch.judge.bookindex import load_index
from oms_batch.judge.bookmake import edition_said, make_table
from oms_batch.ruledata import RuleData
from tests.nsi_tools import beds, packet

CODES = set(RuleData().toml("common/problems.toml"))
ROUNDS = 400


def _csv() -> bytes:
    return ("# date: 2026-02-01\nCODE;NAME;DATEBEG;DATEEND\n" + '1;"койка; узкая";01.10.2016;\n' * 30).encode()


def _dbf() -> bytes:
    out = io.BytesIO()
    columns = [Column("IDK_PR", "N", 3, 0), Column("K_PRNAME", "C", 20, 0), Column("DATEBEG", "D", 8, 0)]
    write(out, columns, ([str(n), "койка", "2016-10-01"] for n in range(1, 30)), "cp866", date(2026, 2, 1))
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("V020.xml", packet(beds(30)))
        archive.writestr("V020.csv", _csv())
    return out.getvalue()


SEEDS = {
    "xml": packet(beds(30)),
    "utf8": packet(beds(30), encoding="utf-8"),
    "csv": _csv(),
    "dbf": _dbf(),
    "zip": _zip(),
}


def _spoilt(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(made))
        match chance.randrange(5):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                del made[at:]
            case 2:
                made[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
            case 3:
                del made[at : at + chance.randrange(1, 40)]
            case _:
                other = chance.randrange(len(made))
                made[at:at] = made[other : other + 60]
        if not made:
            break
    return bytes(made)


@pytest.mark.parametrize("kind", SEEDS)
def test_a_spoilt_book_is_refused_or_read_and_nothing_else(kind: str) -> None:
    entry = load_index(RuleData(), "federal")["v020"]
    chance, refused = random.Random(f"books {kind}"), 0
    told: set[str] = set()
    for _ in range(ROUNDS):
        data = _spoilt(SEEDS[kind], chance)
        try:
            for book in read_books("book", data):
                table = make_table(entry, book, edition_said(book, day="2026-02-01"), origin="a test")
                assert table.rows <= len(book.rows)
        except Refusal as error:
            refused += 1
            told |= {one.code for one in error.problems}
    assert told <= CODES
    assert refused > ROUNDS // 4
    assert [book.rows for book in read_books("book", SEEDS[kind])], "the seed itself is right"
