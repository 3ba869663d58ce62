"""Reformulation: only exclusions, proved by a second program path."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.formats import reestr_xml
from oms_batch.formats.layout import load_layout
from oms_batch.model import PlanRow
from oms_batch.reply import verify as verify_module
from oms_batch.reply.document import write_part
from oms_batch.reply.flk import FlkHead, flk_element
from oms_batch.reply.marks import Codes, RuleText, Texts
from oms_batch.reply.reformulate import check_flags, reformulate
from oms_batch.reply.verify import verify
from oms_batch.ruledata import RuleData
from tests.reply_documents import account, document, finding, parsed, patient, tables_of, totals, verdict
from tests.test_document import accounts, registers

REFUSED = '<smo pay="4"><an_mess><an_mes an_mes="1.4.4" comment="x"/></an_mess></smo>'
PASSED = "<smo pay='1'><an_pss><an_ps an_ps='1' comment='pay=\"4\"'/></an_pss></smo>"


def done(raw: bytes) -> tuple[bytes, dict[str, Any]]:
    encoding = "utf-8" if b"utf-8" in raw[:50] else "windows-1251"
    out = io.BytesIO()
    told = reformulate(
        tables_of(raw), io.BytesIO(raw), out, refused_pay="4", encoding=encoding, register="r", file="f.7z"
    )
    return out.getvalue(), told


def proof(old: bytes, new: bytes) -> dict[str, Any]:
    return verify(io.BytesIO(old), io.BytesIO(new), "4")


def codes_of(told: dict[str, Any]) -> list[str]:
    return [one.code for one in told["problems"]]


@pytest.fixture
def received() -> bytes:
    return document(
        patient(1, account(1, smo=REFUSED), account(2, smo=PASSED)),
        patient(2, account(3, smo=REFUSED)),
        patient(3),
        patient(4, account(4)),
        totals=totals(("400.00", "102.00"), ("200.00", "51.00")),
        flk="<flk><register><fact acc='K-1'/></register></flk>",
        tail="<personals surname='D'/>",
    ).replace(
        b'suml="100.00" sum="100.00"/><elem type_acc="2" suml="25.50" sum="25.50"/></sum><smo pay="4"',
        b'suml="100.00" sum="0.00"/><elem type_acc="2" suml="25.50" sum="0.00"/></sum><smo pay="4"',
    )


def test_flagged_accounts_go_and_nothing_else(received: bytes) -> None:
    new, told = done(received)
    assert new == document(
        patient(1, account(2, smo=PASSED)),
        patient(3),
        patient(4, account(4)),
        totals=totals(("200.00", "51.00")),
        tail="<personals surname='D'/>",
    ).replace(b"</bill>\n", b"</bill>")
    assert told["excluded"] == [
        {"account": "K-1", "idcase": "1", "code": "1.4.4", "sum": "125.50"},
        {"account": "K-3", "idcase": "3", "code": "1.4.4", "sum": "125.50"},
    ]
    assert (told["before"]["accounts"], told["after"]["accounts"]) == (4, 2)
    assert (told["before"]["sum"], told["after"]["sum"]) == ("502.00", "251.00")
    assert told["before"]["types"] == {
        "1": {"claimed": "400.00", "accepted": "200.00"},
        "2": {"claimed": "102.00", "accepted": "51.00"},
    }
    assert told["after"]["types"]["2"] == {"claimed": "51.00", "accepted": "51.00"}
    assert told["sha256_before"] == hashlib.sha256(received).hexdigest()
    assert told["sha256_after"] == hashlib.sha256(new).hexdigest()
    assert told["kept_byte_equal"] is True


def test_a_second_run_changes_nothing(received: bytes) -> None:
    new, _ = done(received)
    again, told = done(new)
    assert again == new
    assert told["excluded"] == []


def test_nothing_flagged_is_the_same_file_protocol_included() -> None:
    raw = document(patient(1, account(1, smo=PASSED)), flk="<flk><plan/></flk>", totals="<account_sum> </account_sum>")
    new, told = done(raw)
    assert new == raw
    assert told["sha256_before"] == told["sha256_after"]


def test_the_proof_agrees_with_the_manifest(received: bytes) -> None:
    new, told = done(received)
    found = proof(received, new)
    assert found["problems"] == []
    assert found["kept_byte_equal"] is True
    assert found["excluded"] == told["excluded"]
    for when in ("before", "after"):
        assert found[when] == told[when]


@pytest.mark.parametrize(
    ("was", "now", "code"),
    [
        (b"n_pp='4' xkey=\"K-4\"", b"n_pp='4' xkey=\"K-9\"", "SET_NOT_SUBSET"),
        (b"n_pp='4' xkey=\"K-4\"", b"n_pp='4' xkey=\"K-1\"", "SET_NOT_SUBSET"),
        (b'suml="100.00" sum="100.00"/>', b'suml="101.00" sum="101.00"/>', "SET_CHANGED"),
        (b'comment="a &gt; b > c"', b'comment="a &gt; b &gt; c"', "SET_CHANGED"),
        (b"</personal_account>\n  </register", b"</personal_account> </register", "SET_CHANGED"),
        (b'surname="\xc8', b'surname="\xc9', "SET_CHANGED"),
        (b"ogrn_smo='1027600000306'", b"ogrn_smo='1027600000405'", "SET_CHANGED"),
        (b"<personals surname='D'/>", b"<personals surname='E'/>", "SET_CHANGED"),
        (b"</body></package>", b"<flk/></body></package>", "SET_CHANGED"),
        (b'amountl="200.00"', b'amountl="201.00"', "HDR_SUM"),
        (b'amount="51.00"', b'amount="51.01"', "HDR_SUM"),
    ],
)
def test_every_other_change_is_found(received: bytes, was: bytes, now: bytes, code: str) -> None:
    new, _ = done(received)
    assert was in new
    found = proof(received, new.replace(was, now, 1))
    assert code in codes_of(found)


def test_an_account_left_out_without_a_flag_or_in_another_order_is_found(received: bytes) -> None:
    new, _ = done(received)
    lost = new.replace(patient(4, account(4)).encode("cp1251"), b"")
    (first, *_) = proof(received, lost)["problems"]
    assert (first.code, first.place) == ("SET_CHANGED", "personal_account n_pp=4")
    assert first.found == "left out, though not refused"
    raw = document(patient(1, account(1), account(2)), totals=totals(("200.00", "51.00")))
    turned = document(patient(1, account(2), account(1)), totals=totals(("200.00", "51.00")))
    assert codes_of(proof(raw, turned)) == ["SET_CHANGED"]


def test_a_flagged_account_that_stayed_is_named(received: bytes) -> None:
    found = proof(received, received)
    assert [(one.code, one.place, one.found) for one in found["problems"]] == [
        ("SET_NOT_SUBSET", "personal_account n_pp=1", "refused by the fund"),
        ("SET_NOT_SUBSET", "personal_account n_pp=3", "refused by the fund"),
    ]
    assert found["kept_byte_equal"] is False


@pytest.mark.parametrize("encoding", ["windows-1251", "utf-8"])
def test_manifest_and_proof_name_an_account_alike(encoding: str) -> None:
    smo = (
        "<smo pay='4'><an_pss><an_ps an_ps='1' comment='y'/></an_pss><an_mess>"
        "<an_mes comment='an_mes=\"2\"' an_mes='1.4.4'/><an_mes an_mes='1.5'/></an_mess></smo>"
    )
    one = account(1, smo=smo).replace("n_pp='1' xkey=\"K-1\"", "n_pp='1' xkey=\"Ю-1 &amp; Қ\"")
    raw = document(patient(1, one, account(2)), encoding=encoding)
    new, told = done(raw)
    assert told["excluded"] == [{"account": "Ю-1 & Қ", "idcase": "1", "code": "1.4.4", "sum": "125.50"}]
    assert proof(raw, new)["excluded"] == told["excluded"]


def test_an_account_that_leaves_out_what_is_accepted_counts_as_accepted() -> None:
    bare = account(2).replace(' sum="100.00"', "").replace(' sum="25.50"', "")
    raw = document(patient(1, account(1, smo=REFUSED), bare), totals=totals(("200.00", "51.00")))
    new, told = done(raw)
    assert told["after"]["types"] == {
        "1": {"claimed": "100.00", "accepted": "100.00"},
        "2": {"claimed": "25.50", "accepted": "25.50"},
    }
    assert proof(raw, new)["problems"] == []


def test_the_proof_reads_in_small_pieces(received: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    new, _ = done(received)
    whole = proof(received, new)
    for size in (1, 7, 64):
        monkeypatch.setattr(verify_module, "_CHUNK", size)
        assert proof(received, new) == whole


@settings(max_examples=40, deadline=None)
@given(registers())
def test_any_register_keeps_its_bytes_and_passes_the_proof(raw: bytes) -> None:
    new, told = done(raw)
    want = [one for one in accounts(raw) if not re.search(rb"<smo\s[^<]*pay\s*=\s*['\"]4", one)]
    assert accounts(new) == want
    assert (new == raw) == (not told["excluded"])
    again, _ = done(new)
    assert again == new
    if told["excluded"]:
        found = proof(raw, new)
        assert found["problems"] == []
        assert found["excluded"] == told["excluded"]


@settings(max_examples=60, deadline=None)
@given(registers(), st.data())
def test_any_other_byte_behind_the_head_is_found(raw: bytes, data: st.DataObject) -> None:
    new = done(raw)[0]
    at = data.draw(st.integers(new.index(b"<patients>") + 10, len(new) - 1))
    size = data.draw(st.integers(0, 3))
    other = new[:at] + data.draw(st.binary(max_size=3)) + new[at + size :]
    found = proof(raw, other)
    assert any(code.startswith("SET_") for code in codes_of(found)) == (other != new)


CODES = Codes(refused="4", partly="3", accepted="1")


@pytest.mark.parametrize(
    ("pay", "accepted", "good"),
    [
        ("4", 0, True),
        ("4", 1, False),
        ("", 12550, True),
        ("", 0, False),
        ("1", 12550, True),
        ("1", 12549, False),
        ("3", 5000, True),
        ("3", 0, False),
        ("3", 12550, False),
        ("4", None, True),
        ("", None, True),
        ("3", None, False),
    ],
)
def test_flag_and_sum_must_agree(pay: str, accepted: int | None, good: bool) -> None:
    con = tables_of(document(patient(1, account(1))))
    con.execute("UPDATE z_sl SET pay = nullif(?, ''), sump = ?", [pay, accepted])
    found = check_flags(con, CODES)
    assert [one.code for one in found] == ([] if good else ["FLAG_SUM"])
    if found:
        assert "n_pp=1" in found[0].place


def read_by_the_program(raw: bytes) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    reestr_xml.read(io.BytesIO(raw), load_layout(RuleData(), "yaroslavl", "reestr_6_15"), con)
    return con


def test_the_tables_of_the_reader_are_those_that_the_tests_make(received: bytes) -> None:
    real, made = read_by_the_program(received), tables_of(received)
    for query in (
        "SELECT * FROM spot WHERE what <> 'body_tag' ORDER BY what",
        "SELECT n, byte_from, byte_to, accounts_from, accounts_to FROM pers ORDER BY n",
        "SELECT n, pers_n, xkey, idcase, pay, sumv, sump, ds1, date_z_2, byte_from, byte_to FROM z_sl ORDER BY n",
        "SELECT n, z_sl_n, type_acc, suml, sum_acc FROM z_sl_sum ORDER BY n",
        "SELECT type_acc, amountl, amount FROM sum_t ORDER BY n",
    ):
        assert real.execute(query).fetchall() == made.execute(query).fetchall()


def test_reformulation_marks_and_protocol_through_the_reader(received: bytes) -> None:
    con = read_by_the_program(received)
    out = io.BytesIO()
    told = reformulate(con, io.BytesIO(received), out, refused_pay="4")
    assert out.getvalue() == done(received)[0]
    assert [one["code"] for one in told["excluded"]] == ["1.4.4", "1.4.4"]
    con.execute("DELETE FROM findings")
    verdict(con, (1, True, "K.1", "1.6.1", 12550, "P"), *((n, False, None, None, 0, "P") for n in (2, 3, 4)))
    finding(con, "K.1", z_sl_n=1, element="ds.mkb", value="J06.9")
    texts = Texts({"K.1": RuleText("K.1", "Диагноз", mark="an_mes")})
    flk = flk_element(
        con,
        FlkHead("1", "2026", "10", "flk", "c", "o", "1", "2", "2026-11-03T10:00:00+03:00"),
        [PlanRow("K.1", "found", 1, 4)],
        texts,
        filename="f",
        provider="p",
        day=None,
    )
    new = io.BytesIO()
    write_part(con, io.BytesIO(received), new, keep="v.payer = 'P'", mark=True, flk=flk, texts=texts, codes=CODES)
    tree = parsed(new.getvalue())
    assert [one.get("an_mes") for one in tree.xpath("//patient[1]//an_mes")] == ["1.6.1"]
    assert [one.get("acc") for one in tree.xpath("//flk/register/fact")] == ["K-1"]
