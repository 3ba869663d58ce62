"""The answer is the received document: kept accounts byte-equal, marks and totals put in."""

from __future__ import annotations

import io
import re
from datetime import date
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_batch.errors import Fault
from oms_batch.reply.document import HeadChange, Part, new_account_sum, write_part
from oms_batch.reply.marks import Codes, RuleText, Texts, person_element
from tests.reply_documents import account, document, finding, parsed, patient, tables_of, totals, verdict

CODES = Codes(refused="4", partly="3", accepted="1")
TEXTS = Texts(
    {
        "K.1": RuleText("K.1", "Диагноз не оплачивается", mark="an_mes", defect="not_paid"),
        "K.2": RuleText("K.2", "Повторный счёт", mark="an_sum", defect="double"),
        "K.3": RuleText("K.3", "Полис не действует", mark="an_ps", defect="policy"),
        "F.1": RuleText("F.1", "Пол указан неверно", mark="flk", defect="wrong"),
        "K.4": RuleText("K.4", "Данные не те", mark="an_p", defect="person"),
    },
    {
        "not_paid": [(date(2011, 1, 1), date(2021, 5, 24), "5.3.1", "61"), (date(2021, 5, 25), None, "1.6.1", "211")],
        "double": [(date(2021, 5, 25), None, "1.10.1", "221")],
    },
)


def part(con: duckdb.DuckDBPyConnection, raw: bytes, **given: Any) -> tuple[bytes, Part]:
    out = io.BytesIO()
    known = write_part(con, io.BytesIO(raw), out, **{"keep": "true", "texts": TEXTS, "codes": CODES, **given})
    return out.getvalue(), known


def accounts(raw: bytes) -> list[bytes]:
    return re.findall(rb"<personal_account\s.*?</personal_account>", raw, re.S)


def test_nothing_to_do_gives_the_same_bytes() -> None:
    raw = document(patient(1, account(1), account(2)), totals=totals(("200.00", "51.00")), flk="<flk/>")
    assert part(tables_of(raw), raw, mark=True)[0] == raw


def test_dropped_accounts_go_with_the_white_space_before_them_and_patients_left_empty_too() -> None:
    one, two, three, four = (account(n) for n in (1, 2, 3, 4))
    raw = document(patient(1, one, two), patient(2, three), patient(3, four), totals=totals(("400.00", "102.00")))
    con = tables_of(raw)
    verdict(con, *((n, False, None, None, 0, payer) for n, payer in ((1, "P"), (2, "R"), (3, "R"), (4, "P"))))
    new, known = part(con, raw, keep="v.payer = 'P'")
    assert new == document(patient(1, one), patient(3, four), totals=totals(("200.00", "51.00")))
    assert known == Part(2, 25100, 25100, {"1": (20000, 20000), "2": (5100, 5100)})


def test_the_parts_of_a_split_hold_every_account_once() -> None:
    raw = document(*(patient(p, *(account(p * 10 + a) for a in range(3))) for p in range(4)))
    con = tables_of(raw)
    verdict(con, *((n, False, None, None, 0, "PRF"[n % 3]) for n in range(1, 13)))
    found = [one for payer in "PRF" for one in accounts(part(con, raw, keep=f"v.payer = '{payer}'")[0])]
    assert sorted(found) == sorted(accounts(raw))


def test_a_refused_account_shows_why_and_nothing_of_it_is_accepted() -> None:
    raw = document(patient(1, account(1, smo="<smo pay='9'/>"), account(2)), totals=totals(("200.00", "51.00")))
    con = tables_of(raw)
    verdict(con, (1, True, "K.1", "1.6.1", 12550, "P"), (2, False, None, None, 0, "P"))
    finding(con, "K.1", z_sl_n=1, element="ds.mkb", value="J06.9")
    finding(con, "F.1", z_sl_n=1)
    new, known = part(con, raw, mark=True)
    assert known == Part(2, 25100, 12550, {"1": (20000, 10000), "2": (5100, 2550)})
    marked, kept = accounts(new)
    assert kept == accounts(raw)[1]
    assert marked.decode("cp1251").endswith(
        '<sum><elem type_acc="1" suml="100.00" sum="0.00"/><elem type_acc="2" suml="25.50" sum="0.00"/></sum>'
        '<smo pay="4"><an_mess><an_mes an_mes="1.6.1" mkb="J06.9" comment="Диагноз не оплачивается"/></an_mess></smo>'
        "\n</personal_account>"
    )
    assert marked[: marked.rindex(b"<sum>")] == accounts(raw)[0][: accounts(raw)[0].rindex(b"<sum>")]
    assert 'amountl="200.00" amount="100.00"' in new.decode("cp1251")
    assert b"<account_elem_s/></account_sum>" in new


def test_a_refusal_always_carries_a_code_even_when_its_rule_has_no_mark_of_its_own() -> None:
    raw = document(patient(1, account(1)))
    con = tables_of(raw)
    verdict(con, (1, True, "F.1", "1.4.4", 12550, "P"))
    new = part(con, raw, mark=True)[0].decode("cp1251")
    assert '<smo pay="4"><an_mess><an_mes an_mes="1.4.4" comment="Пол указан неверно"/></an_mess></smo>' in new


def test_the_number_of_a_defect_goes_by_the_date_of_the_account() -> None:
    raw = document(patient(1, account(1))).replace(b"2026-10-02", b"2021-05-24")
    con = tables_of(raw)
    verdict(con, (1, True, "K.1", "", 12550, "P"))
    finding(con, "K.1", z_sl_n=1)
    assert b'an_mes="5.3.1"' in part(con, raw, mark=True)[0]


@pytest.mark.parametrize(
    ("withheld", "sums", "pay"),
    [
        (2550, ("100.00", "0.00"), "3"),
        (5000, ("75.50", "0.00"), "3"),
        (100, ("100.00", "24.50"), "3"),
        (12550, ("0.00", "0.00"), "4"),
    ],
)
def test_what_is_accepted_of_a_part_withheld_fills_the_largest_sum_first(
    withheld: int, sums: tuple[str, str], pay: str
) -> None:
    raw = document(patient(1, account(1)))
    con = tables_of(raw)
    verdict(con, (1, True, "K.1", "1.6.1", withheld, "P"))
    new, known = part(con, raw, mark=True)
    tree = parsed(new)
    elems = tree.xpath("//personal_account/sum/elem")
    assert tuple(one.get("sum") for one in elems) == sums
    assert tree.xpath("string(//smo/@pay)") == pay
    assert known.accepted == 12550 - withheld
    assert [one.get("sum") for one in tree.xpath("//manipulation/sum/elem")] == ["100.00", "25.50"]


def test_a_double_points_at_the_other_account() -> None:
    raw = document(patient(1, account(1)))
    con = tables_of(raw)
    verdict(con, (1, True, "K.2", "1.10.1", 12550, "P"))
    value = '{"date_1":"2026-10-03","provcode":"1027600000207760401002","n_pp":"77","doctor":"1 & 2","other":"x"}'
    finding(con, "K.2", z_sl_n=1, value=value)
    finding(con, "K.2", z_sl_n=1, value="{broken")
    tree = parsed(part(con, raw, mark=True)[0])
    second, first = tree.xpath("//smo/an_sums/an_sum")
    assert dict(second.attrib) == {
        "an_sum": "1.10.1",
        "date_1": "2026-10-03",
        "provcode": "1027600000207760401002",
        "n_pp": "77",
        "doctor": "1 & 2",
        "comment": "Повторный счёт",
    }
    assert dict(first.attrib) == {"an_sum": "1.10.1", "comment": "Повторный счёт"}


def ident(con: duckdb.DuckDBPyConnection, z_sl_n: int, pers_n: int, *, person: bool, policy: bool) -> None:
    con.execute(
        """CREATE TABLE IF NOT EXISTS ident(z_sl_n BIGINT, pers_n BIGINT, step VARCHAR,
        npolis_right VARCHAR, spolis_right VARCHAR, begin_right DATE, end_right DATE,
        fam_right VARCHAR, im_right VARCHAR, ot_right VARCHAR, dr_right DATE,
        w_right VARCHAR, person_differs BOOLEAN, policy_differs BOOLEAN)"""
    )
    con.execute(
        """INSERT INTO ident VALUES (?, ?, 'enp', '7600000000000017', NULL, DATE '2020-01-02',
        NULL, 'Қазақ & "О''Х"', 'Анна',
        NULL, DATE '1980-03-15', '2', ?, ?)""",
        [z_sl_n, pers_n, person, policy],
    )


def test_a_passed_account_with_another_policy_is_accepted_and_shows_the_right_one() -> None:
    raw = document(patient(1, account(1), account(2)), totals=totals(("200.00", "51.00")))
    con = tables_of(raw)
    verdict(con, (1, False, None, None, 0, "P"), (2, False, None, None, 0, "P"))
    ident(con, 1, 1, person=False, policy=True)
    ident(con, 2, 1, person=False, policy=False)
    new, known = part(con, raw, mark=True)
    smo = (
        '\n  <smo pay="1"><an_pss><an_ps an_ps="1" polisnum="7600000000000017" begin_date="2020-01-02"/></an_pss></smo>'
    )
    assert new == raw.replace(b"</sum>\n</personal", b"</sum>" + smo.encode() + b"\n</personal", 1)
    assert known.accepted == 25100


def test_a_policy_refusal_carries_its_code_and_the_right_policy_once() -> None:
    raw = document(patient(1, account(1)))
    con = tables_of(raw)
    verdict(con, (1, True, "K.3", "1.5", 12550, "P"))
    finding(con, "K.3", z_sl_n=1)
    ident(con, 1, 1, person=False, policy=True)
    tree = parsed(part(con, raw, mark=True)[0])
    (found,) = tree.xpath("//an_ps")
    assert (found.get("an_ps"), found.get("polisnum")) == ("1.5", "7600000000000017")
    assert not tree.xpath("//an_mes")


@pytest.mark.parametrize("end", ["", "<an_p an_p='1' surname='old'/>\n"])
def test_the_right_person_comes_back_and_no_letter_turns_into_a_question_mark(end: str) -> None:
    raw = document(patient(1, account(1), end=end), patient(2, account(2)))
    con = tables_of(raw)
    verdict(con, (1, False, None, None, 0, "P"), (2, False, None, None, 0, "P"))
    ident(con, 1, 1, person=True, policy=False)
    new = part(con, raw, mark=True)[0]
    (found,) = parsed(new).xpath("//patient/an_p")
    assert dict(found.attrib) == {
        "an_p": "1",
        "surname": 'Қазақ & "О\'Х"',
        "name": "Анна",
        "birthdate": "1980-03-15",
        "sex": "2",
    }
    assert b"?" not in new.replace(b"<?xml", b"").replace(b"?>", b"")
    assert accounts(new) == accounts(raw)


def test_a_finding_at_the_person_marks_all_his_accounts() -> None:
    raw = document(patient(1, account(1), account(2)), patient(2, account(3)))
    con = tables_of(raw)
    verdict(con, *((n, n < 3, "K.1" if n < 3 else None, "1.6.1", 12550 if n < 3 else 0, "P") for n in (1, 2, 3)))
    finding(con, "K.1", pers_n=1, element="pers.w", unit="pers")
    finding(con, "K.4", pers_n=1, element="pers.w", unit="pers", severity="warn")
    tree = parsed(part(con, raw, mark=True)[0])
    assert len(tree.xpath("//an_mes")) == 2
    assert [one.get("an_p") for one in tree.xpath("//an_p")] == ["1"]
    assert len(tree.xpath("//patient[1]/an_p")) == 1


def test_only_the_asked_attribute_of_the_bill_changes() -> None:
    raw = document(patient(1, account(1)), totals=totals(("100.00", "25.50")))
    head = HeadChange(plat_ogrn="1027600000405", bill={"number_mek": "7'8"})
    new = part(tables_of(raw), raw, head=head)[0]
    assert new == raw.replace(b"'1027600000306'", b"'1027600000405'").replace(
        b'n_out="12">', b'n_out="12" number_mek="7&apos;8">'
    )


def test_flk_is_put_in_replaced_and_removed() -> None:
    raw = document(patient(1, account(1)), totals=totals(("100.00", "25.50")), flk="  <flk a='1'><plan/></flk>")
    con = tables_of(raw)
    assert part(con, raw, flk=b"")[0] == raw.replace(b"\n  <flk a='1'><plan/></flk>", b"")
    assert part(con, raw, flk=iter([b"<flk>", b"</flk>"]))[0] == raw.replace(
        b"<flk a='1'><plan/></flk>", b"<flk></flk>"
    )
    bare = raw.replace(b"<flk a='1'><plan/></flk>", b"")
    assert part(tables_of(bare), bare, flk=b"<flk/>")[0] == bare.replace(b"</body>", b"<flk/></body>")


def test_totals_said_twice_are_said_once() -> None:
    once = document(patient(1, account(1)), totals=totals(("100.00", "25.50")))
    row = b'<account_elem type_acc="1" amountl="100.00" amount="100.00"/>'
    twice = once.replace(row, row + row)
    assert part(tables_of(twice), twice)[0] == once


@pytest.mark.parametrize(
    ("raw", "new"),
    [
        (b"", b"<account_sum>%s</account_sum>"),
        (b"<account_sum/>", b"<account_sum>%s</account_sum>"),
        (b"<account_sum ></account_sum>", b"<account_sum >%s</account_sum>"),
        (b"<account_sum>\n<account_elem_t/>\n<x/></account_sum>", b"<account_sum>\n%s\n<x/></account_sum>"),
        (b"<account_sum><account_elem_s/></account_sum>", b"<account_sum>%s<account_elem_s/></account_sum>"),
    ],
)
def test_totals_are_put_where_they_belong(raw: bytes, new: bytes) -> None:
    block = b'<account_elem_t><account_elem type_acc="1" amountl="1.00" amount="0.50"/></account_elem_t>'
    assert new_account_sum(raw, {"1": (100, 50)}, "utf-8") == new.replace(b"%s", block)


def test_a_table_that_does_not_belong_to_the_document_is_our_fault() -> None:
    raw = document(patient(1, account(1)))
    con = tables_of(raw)
    verdict(con, (1, True, "K.1", "1.6.1", 12550, "P"))
    con.execute("INSERT INTO z_sl_sum VALUES (9, 1, '3', 1, 1)")
    with pytest.raises(Fault):
        part(con, raw, mark=True)


def test_a_patient_without_accounts_belongs_to_no_payer() -> None:
    raw = document(patient(1), patient(2, account(1)), totals=totals(("100.00", "25.50")))
    con = tables_of(raw)
    assert part(con, raw)[0] == document(patient(2, account(1)), totals=totals(("100.00", "25.50")))
    assert part(con, raw, empty_patients=True)[0] == raw


# ---- any small document -----------------------------------------------------------------------------

SPACE = st.sampled_from(["", " ", "\n", "\r\n\t ", "\n\n   "])


@st.composite
def registers(draw: st.DrawFn) -> bytes:
    """Small registers in any dress: white space, order of attributes, quotes, encodings."""
    number = 0
    encoding = draw(st.sampled_from(["windows-1251", "utf-8"]))

    def pick(*options: str) -> str:
        return draw(st.sampled_from(options))

    def attrs(given: dict[str, str]) -> str:
        parts = []
        for key in draw(st.permutations(sorted(given))):
            quote = pick("'", '"')
            value = given[key].replace("&", "&amp;").replace("<", "&lt;").replace(quote, f"&#{ord(quote)};")
            parts.append(f"{pick(' ', '  ', chr(10))}{key}{pick('=', ' = ')}{quote}{value}{quote}")
        return "".join(parts)

    def one(number: int) -> str:
        elems = ""
        for code in range(1, draw(st.integers(1, 2)) + 1):
            claimed = f"{draw(st.integers(0, 99999)) / 100:.2f}"
            elems += f"<elem{attrs({'type_acc': str(code), 'suml': claimed, 'sum': '1.00'})}/>"
        pay = pick("", "1", "4")
        smo = f"<smo{attrs({'pay': pay})}{pick('/>', ' />', '></smo>')}" if pay else ""
        own = {"n_pp": str(number), "xkey": f"K{number}", "curestart": "2026-10-01", "cureend": "2026-10-02"}
        head = f"{draw(SPACE)}<personal_account{attrs({**own, 'comment': draw(word)})}>{draw(SPACE)}"
        return f"{head}<sum>{elems}</sum>{draw(SPACE)}{smo}{draw(SPACE)}</personal_account>"

    word = st.text("аЯё Қ<>&'\"/=z0", max_size=6)
    people = ""
    for _ in range(draw(st.integers(0, 3))):
        inside = ""
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            inside += one(number)
        people += f"{draw(SPACE)}<patient{attrs({'patientcod': 'P', 'surname': draw(word)})}><register_accounts>"
        people += f"{inside}{draw(SPACE)}</register_accounts>{draw(SPACE)}</patient{pick('', ' ')}>"
    head = draw(
        st.sampled_from(["", "<account_sum/>", "<account_sum><account_elem_t/><account_elem_f/></account_sum>"])
    )
    flk = draw(st.sampled_from(["", "\n<flk/>", "<flk x='1'><plan/></flk>"]))
    return (
        f"<?xml version='1.0' encoding='{encoding}'?><package><body><bill{attrs({'ogrn_smo': '1', 'n_out': '2'})}>"
        f"{head}<patients>{people}{draw(SPACE)}</patients></bill>{flk}</body></package>"
    ).encode(encoding, "xmlcharrefreplace")


@settings(max_examples=40, deadline=None)
@given(registers(), st.randoms(use_true_random=False))
def test_any_split_joined_again_loses_no_account_and_changes_none(raw: bytes, random: Any) -> None:
    con = tables_of(raw)
    total = len(accounts(raw))
    verdict(con, *((n, False, None, None, 0, random.choice("PR")) for n in range(1, total + 1)))
    found: list[bytes] = []
    for payer in "PR":
        new = part(con, raw, keep=f"v.payer = '{payer}'")[0]
        parsed(new)
        found += accounts(new)
    assert sorted(found) == sorted(accounts(raw))


@settings(max_examples=40, deadline=None)
@given(registers(), st.randoms(use_true_random=False))
def test_any_marked_document_is_well_formed_and_keeps_the_unmarked(raw: bytes, random: Any) -> None:
    encoding = "utf-8" if b"utf-8" in raw[:50] else "windows-1251"
    con = tables_of(raw)
    total = len(accounts(raw))
    refused = {n for n in range(1, total + 1) if random.random() < 0.5}
    sumv = dict(con.execute("SELECT n, sumv FROM z_sl").fetchall())
    verdict(con, *((n, n in refused, "K.1", "1.6.1", sumv[n] if n in refused else 0, "P") for n in sumv))
    new, known = part(con, raw, mark=True, encoding=encoding, empty_patients=True)
    tree = parsed(new)
    for n, (before, after) in enumerate(zip(accounts(raw), accounts(new), strict=True), 1):
        assert (before == after) == (n not in refused)
    told = {one.get("type_acc"): one.get("amountl") for one in tree.xpath("//account_elem_t/account_elem")}
    assert {code: f"{claimed / 100:.2f}" for code, (claimed, _) in known.types.items()} == told or not total


def test_the_step_that_found_a_person_stands_in_the_comment() -> None:
    texts = Texts(steps={"enp": "found by ENP"})
    made = person_element({"surname": "А", "step": "enp"}, texts, Codes("4", "3", "1"), "utf-8")
    assert b'comment="found by ENP"' in made
    assert b"step" not in made
    assert b"comment" not in person_element({"surname": "А", "step": "new"}, texts, Codes("4", "3", "1"), "utf-8")
