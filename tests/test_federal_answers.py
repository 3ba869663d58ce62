"""The federal answer: the received documents with the payer's elements put in where the layouts want them."""

from __future__ import annotations

import io
import os
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.errors import Fault, SetupError
from oms_batch.formats import elements
from oms_batch.formats.federal_document import verdict as structure
from oms_batch.reply.federal_tree import inside, put
from oms_batch.ruledata import RuleData
from tests.federal_answers import PAYER, accepted_by, answer, needs_schemas, parsed
from tests.federal_documents import (
    PROFILE,
    Account,
    Pair,
    documents,
    finding,
    found,
    kopecks,
    money,
    old_documents,
    tables_of,
    verdict,
)

DIRECTIONS = {
    "TM": {"H": "to_mo/H32", "C": "to_mo/C31", "T": "to_mo/T31", "DO": "to_mo/D31_from_2021-08", "L": "to_mo/L3"},
    "TS": {"H": "to_smo/H32", "C": "to_smo/C31", "T": "to_smo/T31", "DO": "to_smo/D31_from_2021-08", "L": "to_smo/L3"},
    "ST": {
        "H": "sanctions/H_3.2",
        "C": "sanctions/C_3.1",
        "T": "sanctions/T_3.1",
        "DO": "sanctions/D_3.1_from_2021-08",
        "L": "sanctions/L_3.",
    },
    "MS": {
        "H": "from_mo/H_3.2",
        "C": "from_mo/C_3.1",
        "T": "from_mo/T_3.1",
        "DO": "from_mo/D_3.1_from_2021-08",
        "L": "from_mo/L_3.",
    },
}
SAMPLES = os.environ.get("OMS_REFERENCE_DATA", "") + "/samples/federal"
ACCOUNTS = [Account(1, (10000, 2550)), Account(2, (500,), 2), Account(3, (70000,), 1), Account(4, (0,), 3)]


def judged(kind: str = "H", accounts: list[Account] | None = None) -> tuple[Pair, duckdb.DuckDBPyConnection]:
    """A register of four: paid, refused for two reasons, paid, refused for nothing."""
    pair = documents(accounts or ACCOUNTS, kind=kind)
    con = tables_of(pair)
    verdict(
        con,
        (1, False, None, None, None, 0, "76001"),
        (2, True, "K.1", "1.6.1", "211", 500, "76001"),
        (3, False, None, None, None, 0, "76002"),
        (4, True, "K.2", "1.10.1", "221", 0, "76001"),
    )
    finding(con, "K.1", 2, unit="sl", n=3)
    finding(con, "F.1", 2)
    return pair, con


def accounts(raw: bytes) -> list[bytes]:
    return re.findall(rb"<Z_SL>.*?</Z_SL>", raw, re.S)


@needs_schemas
@pytest.mark.parametrize("stage", DIRECTIONS)
@pytest.mark.parametrize("kind", ["H", "C", "T", "DO"])
def test_answers_are_accepted_by_the_schemas_of_their_direction(stage: str, kind: str) -> None:
    pair = documents(ACCOUNTS, kind=kind, indent="" if kind in ("H", "T") else "\t")
    con = tables_of(pair)
    verdict(con, (2, True, "K.1", "1.6.1", "211", 500, "76001"), (3, True, "K.2", "1.10.1", "221", 300, "76001"))
    finding(con, "K.1", 2, unit="sl", n=3)
    finding(con, "F.1", 2)
    keep = "NOT COALESCE(v.refused, false)" if stage == "MS" else "true"  # an insurer gets what was passed
    main, persons, _part = answer(con, pair, stage=stage, payer=PAYER, keep=keep)
    assert accepted_by(DIRECTIONS[stage][kind], main) == ""
    version = "2" if kind == "H" else "1"
    assert accepted_by(DIRECTIONS[stage]["L"] + version, persons) == ""


@needs_schemas
def test_without_the_marks_the_schemas_refuse_the_document() -> None:
    """So that the test above can fail: what the payer puts in is what they ask for."""
    pair, con = judged()
    main, _persons, _part = answer(con, pair, mark=False)
    assert "OPLATA" in accepted_by("to_mo/H32", main)


def test_each_account_says_what_is_paid_and_why_not_more() -> None:
    pair, con = judged()
    main, _persons, part = answer(con, pair)
    said = [
        {one.tag: one.text for one in account if one.tag in ("SUMV", "OPLATA", "SUMP", "SANK_IT")}
        for account in parsed(main).iter("Z_SL")
    ]
    assert said == [
        {"SUMV": "125.50", "OPLATA": "1", "SUMP": "125.50"},
        {"SUMV": "5.00", "OPLATA": "2", "SUMP": "0.00", "SANK_IT": "5.00"},
        {"SUMV": "700.00", "OPLATA": "1", "SUMP": "700.00"},
        {"SUMV": "0.00", "OPLATA": "2", "SUMP": "0.00", "SANK_IT": "0.00"},
    ]
    assert (part.accounts, part.claimed, part.accepted) == (4, 83050, 82550)
    bill = {one.tag: one.text for one in parsed(main).find("SCHET")}
    assert (bill["SUMMAV"], bill["SUMMAP"], bill["SANK_MEK"]) == ("830.50", "825.50", "5.00")
    assert "SANK_MEE" not in bill and "PLAT" not in bill


def test_each_ground_is_a_sanction_and_the_money_stands_on_the_leading_one() -> None:
    pair, con = judged()
    main, _persons, _part = answer(con, pair)
    blocks = [[(one.tag, one.text) for one in block] for block in parsed(main).iter("SANK")]
    act = [("DATE_ACT", "2026-02-05"), ("NUM_ACT", "HT76M760001_26011")]
    assert blocks[:2] == [
        [
            *(("S_CODE", "TM-2-1"), ("S_SUM", "5.00"), ("S_TIP", "1"), ("SL_ID", "2/1"), ("S_OSN", "211")),
            *(*act, ("S_COM", "Диагноз не оплачивается"), ("S_IST", "1")),
        ],
        [
            *(("S_CODE", "TM-2-2"), ("S_SUM", "0.00"), ("S_TIP", "1"), ("SL_ID", "2/1"), ("S_OSN", "207")),
            *(*act, ("S_COM", "Пол <указан> & неверно"), ("S_IST", "1")),
        ],
    ]
    (comment,) = (text for tag, text in blocks[2] if tag == "S_COM")
    assert comment is not None and len(comment) == 250 and comment.endswith("…")


def test_a_fund_that_takes_no_sanction_of_nothing_gets_the_leading_one_only(tmp_path: Path) -> None:
    own = PROFILE.rules.read("federal/answers.toml").decode("utf-8").replace('others = "zero"', 'others = "none"')
    (tmp_path / "federal").mkdir()
    (tmp_path / "federal" / "answers.toml").write_text(own, "utf-8")
    pair, con = judged()
    main, _persons, _part = answer(con, pair, rules=RuleData(str(tmp_path)))
    assert [one.text for one in parsed(main).iter("S_OSN")] == ["211", "221"]


def test_only_the_case_at_fault_is_named_and_all_of_them_where_it_is_the_account() -> None:
    pair, con = judged(accounts=[Account(1, (100, 200)), Account(2, (300, 400))])
    con.execute("DELETE FROM verdicts; DELETE FROM findings")
    verdict(con, (1, True, "K.1", "1.6.1", "211", 300, ""), (2, True, "K.1", "1.6.1", "211", 700, ""))
    finding(con, "K.1", 1, unit="usl", n=2)
    finding(con, "K.1", 2)
    main, _persons, _part = answer(con, pair)
    cases = [[one.text for one in block.iter("SL_ID")] for block in parsed(main).iter("SANK")]
    assert cases == [["1/2"], ["2/1", "2/2"]]


def test_what_is_not_kept_goes_with_its_persons_and_nothing_else_changes() -> None:
    pair, con = judged()
    main, persons, part = answer(con, pair, keep="v.payer = '76002'", mark=False, payer=PAYER)
    want = documents([ACCOUNTS[2]], head={"PLAT": "76001"})
    assert part.accounts == 1
    for new, old in ((main, want.main), (persons, want.persons)):
        assert new.replace(b"T76M760001", b"M760001T76").replace(b"2026-02-05", b"2026-02-02") == old


@pytest.mark.parametrize("indent", ["", "  "])
def test_kept_accounts_are_byte_equal_apart_from_the_elements_put_in(indent: str) -> None:
    pair = documents(ACCOUNTS, indent=indent)
    con = tables_of(pair)
    verdict(con, (2, True, "K.1", "1.6.1", "211", 500, "76001"))
    main, _persons, _part = answer(con, pair)
    for name in (b"OPLATA", b"SUMP", b"SANK", b"SANK_IT"):
        main = re.sub(rb"\s*<" + name + rb">.*?</" + name + rb">", b"", main)
    assert accounts(main) == accounts(pair.main)
    assert accounts(main) != []


def test_what_an_earlier_stage_put_in_is_replaced() -> None:
    old = "<OPLATA>2</OPLATA><SUMP>0</SUMP><SANK><S_CODE>x</S_CODE></SANK><SANK/><SANK_IT>9</SANK_IT>"
    pair = documents([Account(1, marks=old), Account(2, marks=old)], indent="")
    con = tables_of(pair)
    verdict(con, (2, True, "K.1", "1.6.1", "211", 50, "76001"))
    main, _persons, _part = answer(con, pair, stage="SM")
    one, two = accounts(main)
    assert one.endswith(b"<SUMV>125.50</SUMV><OPLATA>1</OPLATA><SUMP>125.50</SUMP></Z_SL>")
    assert b"<OPLATA>3</OPLATA><SUMP>125.00</SUMP><SANK><S_CODE>SM-2-1</S_CODE><S_SUM>0.50</S_SUM>" in two
    assert two.endswith(b"</SANK><SANK_IT>0.50</SANK_IT></Z_SL>")


def test_the_insurer_that_was_found_is_put_in_and_a_doubtful_one_is_not() -> None:
    pair = documents(
        [Account(1, smo="76002"), Account(2, person=2), Account(3, person=3, smo="76001"), Account(4, person=4)]
    )
    con = tables_of(pair)
    found(con, (1, "76001", False), (2, "76001", False), (3, "76001", False), (4, "76001", True))
    main, _persons, _part = answer(con, pair)
    assert [one.findtext("SMO") for one in parsed(main).iter("PACIENT")] == ["76001", "76001", "76001", None]
    order = [one.tag for one in parsed(main).find("ZAP/PACIENT")]
    assert order.index("SMO") == order.index("NOVOR") - 1
    whole = documents([Account(n, smo="76001", person=n) for n in (1, 2, 3)] + [Account(4, person=4)])
    assert re.findall(rb"<PACIENT>.*?</PACIENT>", main, re.S) == re.findall(
        rb"<PACIENT>.*?</PACIENT>", whole.main, re.S
    )


@pytest.mark.parametrize(
    ("combine", "sums", "total", "mek", "ekmp"),
    [("sum", ["90.00", "35.50"], "125.50", "90.00", "35.50"), ("largest", ["90.00", "60.00"], "90.00", "90.00", None)],
)
def test_several_decisions_count_as_the_profile_says(
    combine: str, sums: list[str], total: str, mek: str, ekmp: str | None
) -> None:
    pair = documents([Account(1)])
    con = tables_of(pair)
    gone = min(int(Decimal(total) * 100), 12550)
    verdict(con, (1, gone == 12550, "", "3.2.2", "256", gone, "76001"))
    con.execute(
        """CREATE TABLE decision AS SELECT xkey, '255' AS kod, '3.2.1' AS defect, 6000::BIGINT AS withheld,
            '17/Э' AS act, '2026-02-03' AS act_day, '7600123' AS expert FROM z_sl
        UNION ALL SELECT xkey, '207', '1.4.4', 9000, '', '', '7600123456' FROM z_sl"""
    )
    main, _persons, part = answer(con, pair, stage="SM", combine=combine)
    tree = parsed(main)
    assert [one.text for one in tree.iter("S_SUM")] == sums
    assert [one.text for one in tree.iter("S_TIP")] == ["1", "70"]
    assert [one.text for one in tree.iter("S_OSN")] == ["207", "255"]
    assert [one.text for one in tree.iter("NUM_ACT")] == ["HS76001M760001_26011", "17/Э"]
    assert [one.text for one in tree.iter("DATE_ACT")] == ["2026-02-05", "2026-02-03"]
    assert [one.text for one in tree.iter("CODE_EXP")] == ["7600123"]
    assert tree.findtext("ZAP/Z_SL/SANK_IT") == total
    assert tree.findtext("SCHET/SANK_MEK") == mek
    assert tree.findtext("SCHET/SANK_EKMP") == ekmp
    assert tree.findtext("SCHET/SUMMAP") == money(part.accepted) == money(12550 - gone)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.booleans()), min_size=1, max_size=12),
    st.sampled_from(["TM", "TS", "ST"]),
)
def test_sums_add_up_to_the_kopeck(rows: list[tuple[int, int, bool]], stage: str) -> None:
    pair = documents([Account(n, (sumv,), n % 3) for n, (sumv, _gone, _keep) in enumerate(rows, 1)], indent="")
    con = tables_of(pair)
    for n, (sumv, gone, keep) in enumerate(rows, 1):
        whole = gone >= sumv
        rule = ("K.1", "1.6.1", "211") if gone else (None, None, None)
        verdict(con, (n, whole and gone > 0, *rule, min(gone, sumv), "76001" if keep else "76002"))
    main, persons, part = answer(con, pair, stage=stage, keep="v.payer = '76001'")
    tree = parsed(main)
    bill = {one.tag: kopecks(one.text) for one in tree.find("SCHET") if one.tag.startswith(("SUMMA", "SANK_"))}
    of = {name: [kopecks(one.text) or 0 for one in tree.iter(name)] for name in ("SUMV", "SUMP", "SANK_IT", "S_SUM")}
    assert int(tree.findtext("ZGLV/SD_Z")) == len(of["SUMV"]) == part.accounts == sum(keep for *_sums, keep in rows)
    assert bill["SUMMAV"] == sum(of["SUMV"]) == part.claimed
    assert bill["SUMMAP"] == sum(of["SUMP"]) == part.accepted
    assert bill["SUMMAV"] - bill["SUMMAP"] == bill.get("SANK_MEK", 0) == sum(of["SANK_IT"]) == sum(of["S_SUM"])
    for account in tree.iter("Z_SL"):
        sumv, sump = (kopecks(account.findtext(name)) or 0 for name in ("SUMV", "SUMP"))
        right = "1" if sump == sumv and not account.findall("SANK") else "3" if 0 < sump < sumv else "2"
        assert account.findtext("OPLATA") == right
    assert {one.text for one in tree.iter("ID_PAC")} == {one.text for one in parsed(persons).iter("ID_PAC")}


def test_the_parts_of_a_split_hold_every_account_and_person_once() -> None:
    pair = documents([Account(n, (n * 100,), n // 2) for n in range(1, 9)])
    con = tables_of(pair)
    verdict(con, *((n, False, None, None, None, 0, f"7600{n % 3}") for n in range(1, 9)))
    parts = [answer(con, pair, keep=f"v.payer = '7600{n}'", mark=False) for n in range(3)]
    assert sorted(one for main, _persons, _part in parts for one in accounts(main)) == sorted(accounts(pair.main))
    for main, persons, _part in parts:
        named = {one.text for one in parsed(persons).iter("ID_PAC")}
        assert named == {one.text for one in parsed(main).iter("ID_PAC")}
    assert sum(part.claimed for _main, _persons, part in parts) == 3600


def test_the_same_answer_is_the_same_bytes() -> None:
    first, second = (answer(con, pair)[:2] for pair, con in (judged(), judged()))
    assert first == second
    pair, con = judged()
    assert answer(con, pair)[:2] == answer(con, pair)[:2] == first


def test_an_answer_to_an_answer_changes_only_what_is_new() -> None:
    """What the fund passed comes back from the insurer: its marks stand where the fund's stood."""
    pair, con = judged()
    main, persons, _part = answer(con, pair, stage="TS", keep="NOT v.refused")
    passed = Pair(main, persons, "HT76S76001_26011", "H")
    again = tables_of(passed)
    verdict(again, *((n, False, None, None, None, 0, "") for n in (1, 2)))
    new, _persons, part = answer(again, passed, stage="SM", name="HS76001M760001_26011")
    assert b"<SLUCH_Z_ID>1</SLUCH_Z_ID>" in accounts(main)[0]
    assert accounts(new) == [re.sub(rb"\s*<SLUCH_Z_ID>.*?</SLUCH_Z_ID>", b"", one) for one in accounts(main)]
    assert part.accounts == 2


def test_a_reformulation_keeps_its_date_and_what_the_accounts_carry() -> None:
    marks = "<OPLATA>3</OPLATA><SUMP>25.50</SUMP><SANK><S_CODE>x</S_CODE><S_SUM>100.00</S_SUM><S_TIP>1</S_TIP></SANK>"
    pair = documents([Account(1, marks=marks), Account(2)], head={"SUMMAP": "151.00", "SANK_MEK": "100.00"})
    main, _persons, part = answer(tables_of(pair), pair, stage="MT", name=pair.name, keep="z_sl.n = 1", mark=False)
    tree = parsed(main)
    assert tree.findtext("ZGLV/DATA") == "2026-02-02"
    assert (tree.findtext("SCHET/SUMMAP"), tree.findtext("SCHET/SANK_MEK")) == ("25.50", "100.00")
    assert (part.claimed, part.accepted) == (12550, 2550)
    assert accounts(main) == accounts(pair.main)[:1]


@pytest.mark.skipif(not os.path.isdir(SAMPLES), reason="OMS_REFERENCE_DATA is not set: real samples are not read")
@pytest.mark.parametrize("kind", ["H", "C", "T", "D"])
def test_a_real_sample_that_is_kept_whole_comes_back_byte_for_byte(kind: str) -> None:
    names = [one for one in os.listdir(SAMPLES) if one.startswith(f"{kind}_")]
    assert names
    for name in names:
        with open(f"{SAMPLES}/{name}", "rb") as stream:
            raw = stream.read()
        stem = parsed(raw).findtext("ZGLV/FILENAME")
        letters = re.match(r"[A-Z]+(?=M\d)", stem)
        assert letters
        pair = Pair(raw, documents([Account(1)]).persons, stem, letters[0])
        main, _persons, part = answer(tables_of(pair), pair, stage="MT", name=stem, mark=False)
        assert main == raw
        assert part.accounts == int(parsed(raw).findtext("ZGLV/SD_Z"))


def test_a_register_of_2_1_is_answered_in_its_own_form() -> None:
    """There the payer's elements stand before the services, and a record may lose one of its cases only."""
    pair = old_documents([[Account(1), Account(2, (500,))], [Account(3, (700,))]])
    con = tables_of(pair)
    verdict(con, (1, False, None, None, None, 0, "A"), (2, True, "K.1", "5.3.1", "61", 500, "A"))
    verdict(con, (3, False, None, None, None, 0, "B"))
    main, persons, part = answer(con, pair, name="HT76M760001_18011", keep="v.payer = 'A'")
    layout = elements.load(RuleData(), "federal", "H:2.1")
    assert structure(io.BytesIO(main), layout) == []
    tree = parsed(main)
    tags = [[child.tag for child in one][-6:] for one in tree.iter("SLUCH")]
    assert tags == [
        ["IDDOKT", "IDSP", "SUMV", "OPLATA", "SUMP", "USL"],
        ["SUMV", "OPLATA", "SUMP", "SANK_IT", "SANK", "USL"],
    ]
    assert [one.tag for one in tree.find("ZAP/SLUCH/SANK")] == ["S_CODE", "S_SUM", "S_TIP", "S_OSN", "S_COM", "S_IST"]
    assert (part.accounts, part.claimed, part.accepted) == (2, 13050, 12550)
    one, _persons, part = answer(con, pair, name="HT76M760001_18011", keep="z_sl.n <> 2", mark=False)
    assert [found.text for found in parsed(one).iter("IDCASE")] == ["1", "3"]
    assert parsed(one).findtext("SCHET/SUMMAV") == "132.50"
    gone = re.compile(rb"\s*<SLUCH>\s*<IDCASE>2<.*?</SLUCH>", re.S)
    assert one.split(b"</SCHET>")[1] == gone.sub(b"", pair.main).split(b"</SCHET>")[1]
    assert len(parsed(persons).findall("PERS")) == 1


def test_offsets_that_hold_no_record_are_our_fault() -> None:
    pair, con = judged()
    con.execute("UPDATE z_sl SET byte_from = byte_from + 1")
    with pytest.raises(Fault):
        answer(con, pair)


def test_a_refusal_without_a_federal_code_stops_the_answer() -> None:
    pair, con = judged()
    con.execute("UPDATE verdicts SET kod = NULL WHERE refused")
    with pytest.raises(SetupError, match="no federal code"):
        answer(con, pair)


# ---- children put in ------------------------------------------------------------------------------


def test_children_are_found_whatever_lies_in_them() -> None:
    raw = b"<A>\n <B>1</B> <S><S>x</S><S_ID/></S ><S/>\t<C a='>'>b > c</C></A>"
    assert [(one.name, raw[one.start : one.end]) for one in inside(raw)] == [
        (b"B", b"<B>1</B>"),
        (b"S", b"<S><S>x</S><S_ID/></S >"),
        (b"S", b"<S/>"),
        (b"C", b"<C a='>'>b > c</C>"),
    ]


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        (b"<A><B/><D/></A>", b"<A><B/><C>1</C><C>2</C><D/></A>"),
        (b"<A>\n  <B/>\n  <D/>\n</A>", b"<A>\n  <B/>\n  <C>1</C>\n  <C>2</C>\n  <D/>\n</A>"),
        (b"<A> <C>x</C> <C>y</C></A>", b"<A> <C>1</C> <C>2</C></A>"),
        (b"<A/>", b"<A><C>1</C><C>2</C></A>"),
        (b"<A><B/><Z/></A>", b"<A><B/><Z/><C>1</C><C>2</C></A>"),
        (b"<A><Z/><D/></A>", b"<A><Z/><C>1</C><C>2</C><D/></A>"),
    ],
)
def test_children_go_where_the_layout_wants_them(raw: bytes, want: bytes) -> None:
    assert put(raw, {"C": [b"<C>1</C>", b"<C>2</C>"]}, ("B", "C", "D")) == want


@pytest.mark.parametrize("raw", [b"<A><B></A>", b"A", b"<A><B>"])
def test_what_is_no_element_is_our_fault(raw: bytes) -> None:
    with pytest.raises(Fault):
        put(raw, {"C": []}, ("B", "C"))


def test_an_element_that_the_layout_lacks_cannot_be_put_in() -> None:
    with pytest.raises(Fault):
        put(b"<A/>", {"X": [b"<X/>"]}, ("B",))
