"""Documents between funds: by the schemas, by our own reader, in all versions; rules that prove themselves."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pytest
from lxml import etree

from oms_batch.formats import federal_xml
from oms_batch.formats.container import pack_members
from oms_batch.intake import names, register
from oms_batch.judge import books, engine, facts_view, rulebook, verdict
from oms_batch.judge.person import load_spelling
from oms_batch.judge.proof import test_rules as prove
from oms_batch.reply import flk_p_rows
from oms_batch.reply import mtr as answers
from oms_batch.reply.answers import Ask
from oms_batch.reply.marks import Codes, RuleText, Texts
from oms_batch.reply.splice import splice
from oms_batch.synth import mtr
from oms_batch.synth.world import Spec
from tests.mtr_tools import PROFILE, RULES, money

DATA = os.environ.get("OMS_REFERENCE_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="OMS_REFERENCE_DATA: the schemas are not here")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
VERSIONS = {"2.1": ("2018-04", "v21"), "3.1": ("2019-05", "v31"), "3.2": ("2022-03", "v32")}
SETS = ["common/form", "federal/form", "mtr/form", "common/sense", "federal/sense", "mtr/sense", "mtr/fund"]
HELD = {0: 1001, 4: 250}


def spec_of(version: str, **more: Any) -> Spec:
    return Spec(accounts=60, period=VERSIONS[version][0], version=version, **more)


def parts(version: str) -> Mapping[str, bytes]:
    """A main and a corrected part of a version."""
    spec = spec_of(version)
    main = mtr.part(PROFILE, spec, mtr.Order(held=HELD))
    corrected = mtr.part(PROFILE, spec, mtr.Order(held=HELD, earlier=spec, ordinals=(0, 7, 20)))
    return {one.name: b"".join(one.document) for one in (main, corrected)}


def valid(schema: str, document: bytes) -> list[str]:
    judge = etree.XMLSchema(file=f"{DATA}/xsd/mtr/{schema}")
    judge.validate(etree.fromstring(document))
    return str(judge.error_log).splitlines()


def judged(
    version: str, letter: str = "R", change: Callable[[bytes], bytes] = lambda document: document
) -> tuple[duckdb.DuckDBPyConnection, Any, bytes, rulebook.Rulebook]:
    """A part read and judged by the payer's rules, without insured: who is found does not matter here."""
    name, document = next((name, one) for name, one in parts(version).items() if name.startswith(letter))
    document = change(document)
    con = duckdb.connect()
    con.execute("SET threads = 1")
    named = names.identify(f"{name}.oms", PROFILE)
    packed = io.BytesIO()
    pack_members("zip", [(f"{name}.XML", io.BytesIO(document))], packed, NOW)
    register.read_register(packed, len(packed.getvalue()), named, PROFILE, con)
    book = rulebook.load(RULES, SETS, "mtr")
    books.load_for(con, RULES, book)
    facts_view.make_person_keys(con, load_spelling(RULES, "mtr"))
    facts_view.load_facts(con, [], named.register)
    engine.run(con, book)
    return con, named, document, book


def written(con: duckdb.DuckDBPyConnection, named: Any, document: bytes, book: rulebook.Rulebook, stage: str) -> bytes:
    """An answer of this stage."""
    verdict.decide(con, book, payer=named.payer)
    told = names.build(stage, named.parts, ".oms", PROFILE)
    texts = Texts({one.code: RuleText(one.code, one.title, one.title_en) for one in book.rules}, {}, {}, {})
    ask = Ask(named, told, "TRUE", True, None, PROFILE, texts, Codes.of(PROFILE.data), NOW, {})
    made: dict[str, io.BytesIO] = {}

    @contextmanager
    def open_out(member: str) -> Any:
        made[member] = io.BytesIO()
        yield made[member]

    sources: dict[str, BinaryIO] = {"main": io.BytesIO(document)}
    write = flk_p_rows.write if stage.startswith("Y") else answers.write
    part = write(con, sources, open_out, ask)
    assert part.accounts == con.execute("SELECT count(*) FROM z_sl").fetchall()[0][0]
    assert list(made) == [f"{told.stem}.XML"]
    return made[f"{told.stem}.XML"].getvalue()


@needs_data
@pytest.mark.parametrize("version", VERSIONS)
def test_our_parts_fit_the_schema_of_their_version(version: str) -> None:
    for name, document in parts(version).items():
        assert valid(f"{VERSIONS[version][1]}/E2.xsd", document) == [], name


@needs_data
@pytest.mark.parametrize("letter", ["R", "D"])
def test_our_protocol_of_2_1_fits_its_schema(letter: str) -> None:
    """With accounts accepted, accepted in part, and refused."""
    con, named, document, book = judged("2.1", letter)
    con.execute("DELETE FROM findings")  # a corrected part by itself has nothing to correct
    refuse(con, 3)
    answer = written(con, named, document, book, f"A{letter}")
    assert valid("v21/E3.xsd", answer) == []
    assert {one.text for one in etree.fromstring(answer).iter("OPLATA")} == {"1", "2", "3"}


def refuse(con: duckdb.DuckDBPyConnection, every: int) -> None:
    """A finding on every n-th account, as a rule would leave it."""
    con.execute(
        f"""INSERT INTO findings SELECT 'K.98.1010', 'sense', 'reject', 'z_sl', n, n, NULL, 'pers.npolis', 'x', line,
            'account' FROM z_sl WHERE n % {every} = 0"""
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_valid_part_has_no_fault_and_its_protocol_is_read_without_one(version: str) -> None:
    con, named, document, book = judged(version)
    assert con.execute("SELECT rule, severity FROM findings WHERE severity = 'reject'").fetchall() == []
    refuse(con, 5)
    answer = written(con, named, document, book, "AR")
    layouts = {"processing": "A:fund"}
    other = duckdb.connect()
    federal_xml.read_members({"processing": io.BytesIO(answer)}, layouts, PROFILE, other)
    assert other.execute("SELECT rule, element, value FROM findings").fetchall() == []
    root = etree.fromstring(answer)
    assert root.findtext("ZGLV/VERSION") == {"2.1": "2.1"}.get(version, "3.1")
    claimed = sum(HELD.values())
    assert money(root, "SCHET/SUMMAV") == sum(money(one, "SUMV") for one in root.iter("Z_SL", "SLUCH")) - claimed
    taken = money(root, "SCHET/SANK_MEK")
    assert taken == sum(money(one, "SANK_IT") for one in root.iter("Z_SL", "SLUCH")) > 0
    assert money(root, "SCHET/SUMMAP") == money(root, "SCHET/SUMMAV") - taken


def test_a_journal_names_field_record_and_code_of_q008() -> None:
    con, named, document, book = judged("3.2")
    told = [
        ("S.00.0070", "reject", "z_sl", "Z_SL/FOR_POM", "9", "n = 4"),
        ("S.00.0030", "reject", "usl", "Z_SL/SL/USL/KOL_USL", "x", "n = 1"),
        ("S.00.0010", "warn", "z_sl", "Z_SL/KD_Z", "", "n = 5"),
    ]
    for rule, severity, table, element, value, which in told:
        con.execute(
            f"""INSERT INTO findings SELECT '{rule}', 'structure', '{severity}', '{table}', n, z_sl_n, NULL,
                'ZL_LIST/ZAP/{element}', '{value}', line, 'account' FROM {table} WHERE {which}"""
        )
    root = etree.fromstring(written(con, named, document, book, "YR"))
    rows = [{leaf.tag: leaf.text for leaf in one if leaf.tag != "COMMENT"} for one in root.findall("PR")]
    assert rows == [
        {"OSHIB": "903", "IM_POL": "KOL_USL", "BAS_EL": "USL", "N_ZAP": "1", "IDCASE": "1", "IDSERV": "1-1"},
        {"OSHIB": "904", "IM_POL": "FOR_POM", "BAS_EL": "Z_SL", "N_ZAP": "4", "IDCASE": "4"},
    ]


@pytest.mark.parametrize("version", ["2.1", "3.2"])
def test_a_record_with_two_accounts_is_one_record_of_the_protocol(version: str) -> None:
    def joined(document: bytes) -> bytes:
        cut = rb"\s*</ZAP>\s*<ZAP>\s*<N_ZAP>2</N_ZAP>\s*<PACIENT>.*?</PACIENT>"
        return re.sub(cut, b"", document, count=1, flags=re.S)

    con, named, document, book = judged(version, change=joined)
    assert con.execute("SELECT rule FROM findings WHERE severity = 'reject'").fetchall() == []
    root = etree.fromstring(written(con, named, document, book, "AR"))
    first, second, *_rest = root.findall("ZAP")
    assert [one.text for one in first.iter("IDCASE")] == ["1", "2"] and second.findtext("N_ZAP") == "3"
    assert len(root.findall("ZAP")) == 59


@needs_data
def test_the_sample_pair_is_read_and_written_back_byte_for_byte() -> None:
    """2.1K2 is read and checked only; places of records cut the document into pieces that make it up again."""
    folder = Path(DATA, "samples", "mtr")
    streams = {"main": (folder / "RegisterD21K2.xml").open("rb"), "persons": (folder / "PatientD21K2.xml").open("rb")}
    con = duckdb.connect()
    federal_xml.read_members(streams, {"main": "H:from_mo", "persons": "L:from_mo"}, PROFILE, con)
    for role, (table, tag) in {"main": ("zap", b"ZAP"), "persons": ("l_pers", b"PERS")}.items():
        source = streams[role].read() if streams[role].seek(0) == 0 else b""
        places = con.execute(f"SELECT byte_from, byte_to FROM {table} ORDER BY n").fetchall()
        assert places
        at, pieces = 0, []
        for start, end in places:
            assert source[start:end].startswith(b"<" + tag + b">") and source[start:end].endswith(b"</" + tag + b">")
            pieces += [source[at:start], source[start:end]]
            at = end
        assert b"".join([*pieces, source[at:]]) == source
        out = io.BytesIO()
        splice(streams[role], (), out)
        assert out.getvalue() == source


def test_rules_prove_themselves() -> None:
    book = rulebook.load(RULES, SETS, "mtr")
    live = [rule for rule in book.rules if not rule.built_in and rule.status == "active"]
    found = prove(book, RULES, [rule.code for rule in live if not rule.set_name.startswith("federal")])
    assert [one for one in found if not one.ok] == []
    own = [rule for rule in live if rule.set_name.startswith("mtr/")]
    assert len(own) == 17 and {rule.code for rule in own} <= {one.code for one in found}
    assert all(rule.code[2:4] == "98" and rule.advice.endswith(".") and rule.advice_en.endswith(".") for rule in own)
    titles = [rule.title for rule in live]
    assert all(titles.count(rule.title) == 1 for rule in own)
    # what the federal rules ask for is there, or they are retired here with a reason
    lacking = [rule.code for rule in live if rule.mandatory and book.tables.lacks(rule.on, rule.parts())]
    assert lacking == []


def test_every_fund_has_a_territory_of_its_own() -> None:
    rows = RULES.table("mtr/books/payers.csv")
    assert len(rows) == 86
    for column in ("code", "okato", "ogrn"):
        assert len({row[column] for row in rows}) == 86
    assert {row["kind"] for row in rows} == {"territory"}
