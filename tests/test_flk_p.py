"""The protocol FLK_P, three generations by their layouts, and protocol A of MEK; both are taken in again."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import duckdb
import pytest
from lxml import etree

from oms_batch.errors import Problem, Refusal
from oms_batch.formats import elements, federal_xml
from oms_batch.formats.federal_document import verdict as structure
from oms_batch.intake import names
from oms_batch.reply import federal_mek, flk_p_rows
from oms_batch.reply.answers import Ask, Part
from oms_batch.reply.flk_p import Fault, Form, document, load_form
from oms_batch.reply.protocol import flk_p
from oms_batch.ruledata import RuleData
from tests.federal_answers import AT, CODES, TEXTS, parsed
from tests.federal_documents import PROFILE, Account, Pair, documents, finding, tables_of, verdict
from tests.test_federal_heard import heard, paid

SCHEMA = os.environ.get("OMS_REFERENCE_DATA", "") + "/xsd/protocol/protocol.xsd"
GENERATIONS = ("2020", "2018", "2.1", "2020_fname_1")
FULL = Fault(
    code="F.00.0171",
    official="003K.00.0410",
    field="NPOLIS",
    value="знач <&> \x00" + "я" * 200,
    bill="12-Я",
    base="PACIENT",
    record="7",
    person="P7",
    account="4711",
    case="4711/1",
    service="s-1",
    comment="о" * 300,
)


def form(generation: str) -> Form:
    layout = elements.load(RuleData(), "federal", f"FLK_P:{generation}")
    return Form(layout, load_form(RuleData(), "federal").data)


def written(generation: str, *faults: Fault) -> bytes:
    return b"".join(document(form(generation), "HM760001T76_26011", "VHM760001T76_26011", faults))


def rows(raw: bytes) -> list[dict[str, str | None]]:
    return [{leaf.tag: leaf.text for leaf in one} for one in parsed(raw).findall("PR")]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("faults", [(), (FULL,), (Fault("XML_SYNTAX", comment="Файл повреждён"), FULL)])
def test_every_generation_has_the_structure_of_its_layout(generation: str, faults: tuple[Fault, ...]) -> None:
    raw = written(generation, *faults)
    assert structure(io.BytesIO(raw), form(generation).layout) == []
    assert len(rows(raw)) == len(faults)
    assert raw == written(generation, *faults)


@pytest.mark.skipif(not os.path.isfile(SCHEMA), reason="OMS_REFERENCE_DATA is not set: protocols are not held against")
@pytest.mark.parametrize("faults", [(), (FULL,), (Fault("XML_SYNTAX", comment="Файл повреждён"), FULL)])
def test_the_protocol_of_2018_is_accepted_by_its_schema(faults: tuple[Fault, ...]) -> None:
    known = etree.XMLSchema(etree.parse(SCHEMA))
    tree = etree.ElementTree(etree.fromstring(written("2018", *faults)))
    assert known.validate(tree), str(known.error_log)


def test_each_generation_says_what_it_has_elements_for() -> None:
    (new,), (middle,), (old,), (regional,) = (rows(written(one, FULL)) for one in GENERATIONS)
    assert regional == new
    assert list(new) == (
        ["OSHIB", "IM_POL", "ZN_POL", "NSCHET", "BAS_EL", "N_ZAP", "ID_PAC", "IDCASE", "SL_ID", "IDSERV", "COMMENT"]
    )
    assert list(middle) == ["OSHIB", "IM_POL", "BAS_EL", "N_ZAP", "IDCASE", "SL_ID", "IDSERV", "COMMENT"]
    assert list(old) == ["OSHIB", "IM_POL", "BAS_EL", "N_REC", "COMMENT"]
    assert (new["OSHIB"], middle["OSHIB"], old["OSHIB"]) == ("003K.00.0410", "904", "904")
    assert old["N_REC"] == new["N_ZAP"] == "7"
    assert new["ZN_POL"] is not None and len(new["ZN_POL"]) == 100 and new["ZN_POL"].startswith("знач <&>  я")
    assert all(one["COMMENT"] is not None and len(one["COMMENT"]) == 250 for one in (new, middle, old))


def test_a_check_without_an_official_number_is_told_by_our_own_code() -> None:
    (row,) = rows(written("2020", replace(FULL, official="")))
    assert row["OSHIB"] == "F.00.0171"
    (row,) = rows(written("2020", Fault("XML_ENCODING_MISMATCH")))
    assert row == {"OSHIB": "904"}


def test_the_name_of_the_file_has_another_element_in_one_region() -> None:
    raw = written("2020_fname_1")
    assert [(one.tag, one.text) for one in parsed(raw)] == [
        ("FNAME", "VHM760001T76_26011"),
        ("FNAME_1", "HM760001T76_26011"),
    ]
    read = federal_xml.layout_of(io.BytesIO(raw), RuleData(), "federal", "FLK_P:flk_p")
    assert read.id == "FLK_P:2020_fname_1"


def test_a_file_refused_as_a_whole_names_no_record() -> None:
    refusal = Refusal([Problem("HDR_VERSION", "ZGLV/VERSION", "3.2", "9"), Problem("ZIP_CRC")], total=5)
    raw = flk_p(refusal, "HM760001T76_26011.zip", "VHM760001T76_26011.xml", {}, form=form("2020"), sha256="ab")
    assert b"<!-- SHA-256 ab -->" in raw
    assert parsed(raw).findtext("FNAME_I") == "HM760001T76_26011"
    first, second, more = rows(raw)
    assert (first["OSHIB"], first["BAS_EL"], first["IM_POL"]) == ("HDR_VERSION", "ZGLV", "VERSION")
    assert second["OSHIB"] == "ZIP_CRC" and more["OSHIB"] == "MORE"
    assert not any({"N_ZAP", "IDCASE", "ID_PAC"} & set(row) for row in (first, second, more))


# ---- all faults of a register, and the protocol of MEK ----------------------------------------------


def asked(pair: Pair, stage: str, keep: str = "true") -> Ask:
    letter = stage[0]
    return Ask(
        named=names.identify(f"{pair.name}.zip", PROFILE),
        told=names.identify(f"{letter}{pair.name}.zip", PROFILE),
        keep=keep,
        mark=True,
        payer=None,
        profile=PROFILE,
        texts=TEXTS,
        codes=CODES,
        received_at=AT,
        own={},
    )


def protocol(
    writer: Any, con: duckdb.DuckDBPyConnection, pair: Pair, stage: str, keep: str = "true"
) -> tuple[bytes, Part]:
    """The one member of a protocol, and what it comes to."""
    made: dict[str, bytes] = {}

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        out = io.BytesIO()
        yield out
        made[member] = out.getvalue()

    ask = asked(pair, stage, keep)
    sources = {"main": io.BytesIO(pair.main), "persons": io.BytesIO(pair.persons)}
    part = writer(con, sources, open_out, ask)
    assert list(made) == [f"{ask.told.stem}.XML"]
    return made[f"{ask.told.stem}.XML"], part


def judged(
    accounts: Sequence[Account] = (Account(1), Account(2, (500, 700), 2), Account(3, (70000,), 1)),
) -> tuple[Pair, Any]:
    pair = documents(accounts)
    con = tables_of(pair)
    verdict(
        con,
        *((n, False, None, None, None, 0, "76001") for n in (1, 3)),
        (2, True, "K.1", "1.6.1", "211", 1200, "76001"),
    )
    finding(con, "K.1", 2, unit="usl", n=3, element="usl.code_usl", value="601029")
    finding(con, "F.1", None, unit="pers", n=2, pers_n=2, element="pers.w", value="9")
    finding(con, "K.2", 3, severity="warn", element="z_sl.idcase", value="3")
    return pair, con


def test_all_faults_of_a_register_are_told_with_their_place_and_value() -> None:
    pair, con = judged()
    raw, part = protocol(flk_p_rows.write, con, pair, "VMT")
    assert structure(io.BytesIO(raw), form("2020").layout) == []
    common = {"NSCHET": "12-Я", "N_ZAP": "2", "ID_PAC": "P2"}
    assert rows(raw) == [
        {"OSHIB": "F.1", "IM_POL": "W", "ZN_POL": "9", "BAS_EL": "PERS", **common, "COMMENT": "Пол <указан> & неверно"},
        {
            "OSHIB": "K.1",
            "IM_POL": "CODE_USL",
            "ZN_POL": "601029",
            "BAS_EL": "USL",
            **common,
            "IDCASE": "2",
            "SL_ID": "2/2",
            "IDSERV": "2-2",
            "COMMENT": "Диагноз не оплачивается",
        },
    ]
    assert (part.accounts, part.claimed) == (3, 12550 + 1200 + 70000)


def test_only_faults_of_the_accounts_asked_for_are_told() -> None:
    pair, con = judged()
    raw, part = protocol(flk_p_rows.write, con, pair, "VMT", "z_sl.n = 1")
    assert rows(raw) == []
    assert part.accounts == 1


def test_structural_faults_are_told_by_their_elements() -> None:
    pair = documents([Account(1), Account(2, person=2)])
    main = pair.main.replace(b"<ISHOD>304</ISHOD>", b"", 1).replace(b"<KOL_USL>1.00", b"<KOL_USL>x", 1)
    persons = pair.persons.replace(b"<W>1</W>", b"<W>7</W>", 1)
    spoiled = Pair(main, persons, pair.name, "H")
    raw, _part = protocol(flk_p_rows.write, tables_of(spoiled), spoiled, "VMT")
    told = [(row["BAS_EL"], row["IM_POL"], row.get("ZN_POL"), row["N_ZAP"], row.get("IDSERV")) for row in rows(raw)]
    assert told == [
        ("PERS", "W", "7", "1", None),
        ("USL", "KOL_USL", "x", "1", "1-1"),
        ("Z_SL", "ISHOD", None, "1", None),
    ]


def test_the_protocol_of_mek_says_what_was_decided_of_each_account() -> None:
    pair, con = judged()
    raw, part = protocol(federal_mek.write, con, pair, "AMT")
    layout = elements.load(RuleData(), "federal", "A:mek_3.1_2021")
    assert structure(io.BytesIO(raw), layout) == []
    tree = parsed(raw)
    bill = {one.tag: one.text for one in tree.find("SCHET")}
    assert (bill["NSCHET"], bill["SUMMAV"], bill["SUMMAP"], bill["SANK_MEK"], bill["ACCEPT"]) == (
        *("12-Я", "837.50", "825.50", "12.00"),
        "1",
    )
    said = [[one.findtext(name) for name in ("IDCASE", "OPLATA", "SUMP", "SANK_IT")] for one in tree.iter("Z_SL")]
    assert said == [["1", "1", "125.50", None], ["2", "2", "0.00", "12.00"], ["3", "1", "700.00", None]]
    assert [one.text for one in tree.iterfind("ZAP/Z_SL/SL/SL_ID")] == ["1/1", "2/1", "2/2", "3/1"]
    first = tree.find("ZAP/Z_SL/SANK")
    assert {one.tag: one.text for one in first} == {
        "S_CODE": "AMT-2-1",
        "S_SUM": "12.00",
        "S_TIP": "1",
        "S_OSN": "211",
        "SL_ID": "2/2",
        "S_COM": "Диагноз не оплачивается",
        "S_IST": "1",
    }
    assert (part.accounts, part.claimed, part.accepted) == (3, 83750, 82550)
    assert protocol(federal_mek.write, con, pair, "AMT")[0] == raw


def test_protocol_a_is_heard_over_the_register_that_was_sent() -> None:
    pair, con = judged()
    raw, _part = protocol(federal_mek.write, con, pair, "AMT")
    heard_in = tables_of(pair, ("A:mek", raw))
    assert paid(heard_in) == [(1, "1", 12550), (2, "2", 0), (3, "1", 70000)]
    assert heard(heard_in) == [(2, 2, "211", ""), (2, 3, "207", "")]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_faults_of_a_protocol_are_heard_over_the_register_that_was_sent(generation: str) -> None:
    pair = documents([Account(1), Account(2), Account(3)])
    faults = [Fault("F.1", record="2", account="2"), Fault("K.1", record="3")]
    if generation == "2.1":  # it knows records only
        faults[0] = replace(faults[0], account="")
    con = tables_of(pair, (f"FLK_P:{generation}", written(generation, *faults)))
    assert paid(con) == [(1, "1", 12550), (2, "2", 0), (3, "2", 0)]
    assert [row[:3] for row in heard(con)] == [(2, 5, "207"), (3, 5, "207")]


def test_an_empty_protocol_accepts_and_one_without_records_refuses_all() -> None:
    pair = documents([Account(1), Account(2)])
    con = tables_of(pair, ("FLK_P:2020", written("2020")))
    assert paid(con) == [(1, "1", 12550), (2, "1", 12550)]
    con = tables_of(pair, ("FLK_P:2020", written("2020", Fault("XML_SYNTAX"))))
    assert paid(con) == [(1, "2", 0), (2, "2", 0)]
