"""Parcels of Moscow for tests: made, packed, read, judged, and the answer of errors as another library reads it."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import dbfread
import duckdb

from oms_batch.exchange import Profile, load_profile
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.intake import names, register
from oms_batch.judge import books, engine, facts_view, rulebook, verdict
from oms_batch.judge.person import load_spelling
from oms_batch.model import NamedFile, Totals
from oms_batch.reply import dbf_tables
from oms_batch.reply.answers import Ask, Part
from oms_batch.reply.marks import Codes, RuleText, Texts
from oms_batch.synth.moscow import Order, Parcel, parcel
from oms_batch.synth.moscow_files import members, name_of

PROFILE = load_profile("moscow")


@dataclass
class Judged:
    """A parcel after its verdicts."""

    made: Parcel
    named: NamedFile
    con: duckdb.DuckDBPyConnection
    book: rulebook.Rulebook
    total: Totals


def packed(made: Parcel) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members(PROFILE, made):
            archive.writestr(name, data)
    return out.getvalue()


def read(data: bytes, name: str, *beside: register.Beside) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    named = names.identify(name, PROFILE)
    register.read_register(io.BytesIO(data), len(data), named, PROFILE, con, beside=beside, checked=not beside)
    return con


def judged(order: Order) -> Judged:
    return judged_parcel(parcel(PROFILE, order))


def judged_parcel(made: Parcel) -> Judged:
    return judged_files(made, packed(made))


def judged_files(made: Parcel, data: bytes) -> Judged:
    name = name_of(PROFILE, made)[0]
    named, con = names.identify(name, PROFILE), read(data, name)
    hop = PROFILE.hop(named.stage, "mo", "payer")
    assert hop is not None
    book = rulebook.load(PROFILE.rules, hop.rules, PROFILE.id)
    books.load_for(con, PROFILE.rules, book)
    facts_view.make_person_keys(con, load_spelling(PROFILE.rules, PROFILE.id))
    facts_view.load_facts(con, [], named.register)
    engine.run(con, book)
    return Judged(made, named, con, book, verdict.decide(con, book, payer=named.payer))


def answer(one: Judged, stage: str, profile: Profile = PROFILE) -> tuple[str, dict[str, bytes], Part]:
    """The answer's file name, the bytes of its members and what was counted."""
    told = names.build(stage, one.named.parts, ".zip", profile)
    rules = {
        rule.code: RuleText(rule.code, rule.title, defect=rule.defect, official=rule.official)
        for rule in one.book.rules
    }
    ask = Ask(
        named=one.named,
        told=told,
        keep="TRUE",
        mark=True,
        payer=None,
        profile=profile,
        texts=Texts(rules),
        codes=Codes.of(profile.data),
        received_at=datetime(2019, 11, 6, 12, tzinfo=timezone.utc),
        own={},
    )
    made: dict[str, bytes] = {}

    @contextmanager
    def open_out(name: str) -> Iterator[BinaryIO]:
        out = io.BytesIO()
        yield out
        made[name] = out.getvalue()

    part = dbf_tables.write(one.con, {}, open_out, ask)
    return told.canonical, made, part


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def rows_of(data: bytes, folder: Path) -> list[dict[str, Any]]:
    """Records as dbfread sees them."""
    path = folder / "table.dbf"
    path.write_bytes(data)
    table = dbfread.DBF(str(path), encoding="cp866", char_decode_errors="strict")
    return [dict(row) for row in table]


def told_errors(rows: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(table, RECID, code) of an answer of errors."""
    tables = ("HO", "R", "S")
    return {
        (next(kind for kind in tables if row["FILE"].startswith(kind)), row["RECID"], row["ERRORS"][:-1])
        for row in rows
    }


JUNK = {
    "C": [
        "",
        "x",
        "Ы",
        "'",
        '"',
        "%",
        "0",
        "-1",
        "#1#2019",
        "#1#20191003#1",
        "##",
        "999999",
        "А",
        "v",
        "5",
        "2026-02-30",
    ],
    "N": ["", "0", "1", "5", "-1", "9", "99", "999"],
    "D": ["", "1900-01-01", "2000-02-29", "2019-10-31", "2019-11-01", "2026-10-15", "9999-12-31"],
}


def spoiled(made: Parcel, share: int) -> Parcel:
    """The parcel with so many per cent of its values replaced by junk that fits the width; numbers of records stay."""
    chance = random.Random(share)
    for role, rows in made.tables.items():
        fields = load_dbf_layout(PROFILE.rules, "moscow", role).fields
        for row in rows:
            for field in fields:
                if field.name != "RECID" and chance.randrange(100) < share:
                    wide = 10 if field.kind == "D" else field.size - (field.decimals + 1 if field.decimals else 0)
                    row[field.name] = chance.choice([text for text in JUNK[field.kind] if len(text) <= wide])
    return made
