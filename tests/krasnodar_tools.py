"""Synthetic archives of personal accounts, judged as a payer does it, without the exchange around."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, BinaryIO

import duckdb

from oms_batch.exchange import Profile, load_profile
from oms_batch.intake import names, register
from oms_batch.judge import books, engine, facts_view, identify, rulebook, verdict
from oms_batch.judge.person import load_spelling
from oms_batch.model import NamedFile, PlanRow
from oms_batch.reply import dbf_answers
from oms_batch.reply.answers import Ask, Part
from oms_batch.reply.marks import Codes, RuleText, Texts
from oms_batch.ruledata import RuleData
from oms_batch.synth.insured import COLUMNS
from oms_batch.synth.krasnodar import Archive
from oms_batch.synth.krasnodar_files import pack
from oms_batch.synth.world import Spec

RULES = RuleData()
PROFILE: Profile = load_profile("krasnodar", RULES)
MADE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ANSWERED = datetime(2026, 11, 9, 12, 0, tzinfo=UTC)


@dataclass
class Judged:
    """A register after judging; its tables are in ``con``."""

    con: duckdb.DuckDBPyConnection
    named: NamedFile
    book: rulebook.Rulebook
    plan: list[PlanRow]
    members: dict[str, bytes]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.con.execute(sql).fetchall()

    def findings(self) -> dict[str, dict[str, str]]:
        """Key of the account → rule → severity."""
        found: dict[str, dict[str, str]] = {}
        for key, rule, severity in self.rows(
            "SELECT z.xkey, f.rule, f.severity FROM findings f LEFT JOIN z_sl z ON z.n = COALESCE(f.z_sl_n, f.pers_n)"
        ):
            found.setdefault(key or "", {})[rule] = severity
        return found


@cache
def payers_book() -> rulebook.Rulebook:
    """The rules that a payer runs."""
    line = PROFILE.hop("P", "mo", "payer")
    assert line is not None
    return rulebook.load(RULES, line.rules, "krasnodar")


def packed(spec: Spec, archive: Archive) -> tuple[str, bytes]:
    """Name and bytes of an archive as it is sent."""
    out = io.BytesIO()
    name = pack(PROFILE, spec, archive, out, MADE)
    return name, out.getvalue()


def read(name: str, data: bytes) -> tuple[duckdb.DuckDBPyConnection, NamedFile, dict[str, bytes]]:
    """Tables of a delivered file, its name taken apart, its members by role."""
    con = duckdb.connect(":memory:")
    con.execute("SET threads = 1")
    named = names.identify(name, PROFILE)
    places: dict[str, io.BytesIO] = {}

    def scratch(role: str) -> BinaryIO:
        places[role] = io.BytesIO()
        return places[role]

    register.read_register(io.BytesIO(data), len(data), named, PROFILE, con, scratch=scratch)
    read_ones = {one.role for one in PROFILE.members_of(named.stage) if one.layout}
    return con, named, {role: place.getvalue() for role, place in places.items() if role in read_ones}


def judge(
    name: str, data: bytes, insured: Iterable[tuple[str, ...]] | None = None, facts: list[str] | None = None
) -> Judged:
    """Run the payer's rules over a delivered archive."""
    con, named, members = read(name, data)
    book = payers_book()
    books.load_for(con, RULES, book)
    facts_view.make_person_keys(con, load_spelling(RULES, "krasnodar"))
    facts_view.load_facts(con, facts or [], named.register)
    if insured is not None:
        identify.identify_in(con, bring_insured(con, insured), identify.load_search(RULES, "krasnodar"))
    plan = engine.run(con, book)
    verdict.decide(con, book, payer=named.payer)
    con.execute("UPDATE verdicts SET defect = osn")
    return Judged(con, named, book, plan, members)


def answer(judged: Judged, keep: str = "TRUE", mark: bool = True) -> tuple[dict[str, bytes], Part]:
    """The members of the return."""
    told = names.build("V", judged.named.parts, judged.named.extension, PROFILE)
    rules = {
        rule.code: RuleText(rule.code, rule.title, rule.title_en, defect=rule.defect) for rule in judged.book.rules
    }
    made: dict[str, io.BytesIO] = {}

    @contextmanager
    def open_out(member: str) -> Any:
        made[member] = io.BytesIO()
        yield made[member]

    ask = Ask(
        named=judged.named,
        told=told,
        keep=keep,
        mark=mark,
        payer=None,
        profile=PROFILE,
        texts=Texts(rules=rules),
        codes=Codes.of(PROFILE.data),
        received_at=ANSWERED,
        own={},
    )
    sources = {role: io.BytesIO(data) for role, data in judged.members.items()}
    part = dbf_answers.write(judged.con, sources, open_out, ask)
    return {name: out.getvalue() for name, out in made.items()}, part


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Members as one archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def bring_insured(con: duckdb.DuckDBPyConnection, rows: Iterable[tuple[str, ...]]) -> str:
    """The register of the insured as a table beside a register; its name."""
    spelling = load_spelling(RULES, "krasnodar")
    texts = ", ".join(f"{name} VARCHAR" for name in COLUMNS)
    con.execute(f"CREATE OR REPLACE TABLE brought (n BIGINT, {texts})")
    blanks = ", ".join("?" for _ in range(len(COLUMNS) + 1))
    con.executemany(f"INSERT INTO brought VALUES ({blanks})", [[at, *row] for at, row in enumerate(rows, 1)])
    con.execute(
        f"""CREATE OR REPLACE TABLE insured AS SELECT n, enp, vpolis, spolis, npolis, fam, im, ot, dr::DATE AS dr, w,
        snils, smo, date_from::DATE AS date_from, TRY_CAST(NULLIF(date_to, '') AS DATE) AS date_to,
        {spelling.number("fam", "im", "ot", "dr::DATE")} AS person_key, enp AS person
        FROM (SELECT n, {", ".join(f"NULLIF({name}, '') AS {name.lower()}" for name in COLUMNS)} FROM brought)"""
    )
    return "insured"
