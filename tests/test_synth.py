"""The generator of registers: what it makes is valid, repeatable and true in its sums."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date

import dbfread
import pytest
import shapefile
from lxml import etree

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.formats.dbf import read_dbf
from oms_batch.model import Totals
from oms_batch.ruledata import RuleData
from oms_batch.synth.insured import COLUMNS, insured, insured_csv, insured_dbf
from oms_batch.synth.numbers import enp, luhn, snils
from oms_batch.synth.register import register, sent
from oms_batch.synth.world import Spec, feminine, patronymic

PROFILE = load_profile("yaroslavl", RuleData())
SPEC = Spec(accounts=600, seed=7)


def document(spec: Spec = SPEC) -> etree._Element:
    return etree.fromstring(b"".join(register(PROFILE, spec)))


def kopecks(text: str | None) -> int:
    assert text is not None
    assert re.fullmatch(r"\d+\.\d\d", text)
    return int(text.replace(".", ""))


def test_the_same_order_gives_the_same_bytes_everywhere() -> None:
    data = b"".join(register(PROFILE, Spec(accounts=50, seed="a")))
    assert data == b"".join(register(PROFILE, Spec(accounts=50, seed="a")))
    assert data != b"".join(register(PROFILE, Spec(accounts=50, seed="b")))
    assert data != b"".join(register(PROFILE, Spec(accounts=50, seed="a", period="2026-09")))


def test_numbers_hold_their_check_digits() -> None:
    assert enp("76", date(1980, 3, 15), True, 1) == "7656910834000012"
    assert snils(112233445) == "112-233-445 95"
    for patient in document().iter("patient"):
        number = re.sub(r"\D", "", patient.get("ss") or "")
        control = sum(int(digit) * (9 - place) for place, digit in enumerate(number[:9])) % 101 % 100
        assert control == int(number[9:])
        polis = patient.find("polises/polis")
        assert polis is not None
        if polis.get("type_polis") == "3":
            text = polis.get("polisnum") or ""
            assert len(text) == 16
            assert text[15] == luhn(text[:15])


def test_russian_forms_of_names() -> None:
    assert feminine("Воробьёв") == "Воробьёва"
    assert feminine("Вишневский") == "Вишневская"
    assert feminine("Шевченко") == "Шевченко"
    assert feminine("Римский-Волжский") == "Римская-Волжская"
    assert patronymic("Игорь", {}) == ("Игоревич", "Игоревна")
    assert patronymic("Андрей", {}) == ("Андреевич", "Андреевна")
    assert patronymic("Иван", {}) == ("Иванович", "Ивановна")
    assert patronymic("Илья", {"Илья": ["Ильич", "Ильинична"]}) == ("Ильич", "Ильинична")


def test_sums_are_true_from_the_service_to_the_head() -> None:
    root = document()
    total: Counter[str] = Counter()
    for account in root.iter("personal_account"):
        services: Counter[str] = Counter()
        for elem in account.findall("manipulations/manipulation/sum/elem"):
            services[elem.get("type_acc") or ""] += kopecks(elem.get("suml"))
            assert elem.get("sum") == elem.get("suml")
        own = {elem.get("type_acc"): kopecks(elem.get("suml")) for elem in account.findall("sum/elem")}
        assert own == dict(services)
        assert set(own) == {"1", "2"}
        total += services
    head = {e.get("type_acc"): kopecks(e.get("amountl")) for e in root.iter("account_elem")}
    assert head == dict(total)
    assert sent(PROFILE, SPEC) == Totals(600, sum(total.values()))


def test_prices_are_those_of_the_book_on_the_day_of_care() -> None:
    book = RuleData().table("yaroslavl/books/tariffs.csv")
    for service in document(Spec(accounts=200, seed=3, period="2025-11")).iter("manipulation"):
        day = service.get("date_2") or ""
        price = next(
            int(row["price"])
            for row in book
            if row["code"] == service.get("service")
            and row["valid_from"] <= day
            and (not row["valid_to"] or day <= row["valid_to"])
        )
        claimed = sum(kopecks(elem.get("suml")) for elem in service.findall("sum/elem"))
        assert claimed * 100 == price * kopecks(service.get("quantity"))


def test_nothing_overlaps_repeats_or_leaves_the_month() -> None:
    root = document(Spec(accounts=3000, seed=5))
    keys = [element.get("xkey") for element in root.iter("personal_account", "manipulation", "direction")]
    assert len(keys) == len(set(keys))
    assert [a.get("n_pp") for a in root.iter("personal_account")] == [str(n) for n in range(1, 3001)]
    for patient in root.iter("patient"):
        last = "2026-09-30"
        checkups = 0
        for account in patient.iter("personal_account"):
            assert last < (account.get("curestart") or "") <= (account.get("cureend") or "") <= "2026-10-31"
            last = account.get("cureend") or ""
            checkups += account.get("vg") in ("7", "11", "12")
            codes = [service.get("service") for service in account.iter("manipulation")]
            assert len(codes) == len(set(codes))
        assert checkups <= 1
    people = [tuple(p.get(k) for k in ("surname", "name", "patronymic", "birthdate")) for p in root.iter("patient")]
    assert len(people) == len(set(people))


def test_every_register_type_and_payer_appears() -> None:
    root = document(Spec(accounts=2000, seed=1))
    assert {a.get("vg") for a in root.iter("personal_account")} == {"1", "2", "6", "7", "11", "12", "15", "16"}
    assert {p.get("type_polis") for p in root.iter("polis")} == {"1", "2", "3"}
    regions = Counter(p.get("region_oms") == "76" for p in root.iter("polis"))
    assert 0.04 < regions[False] / regions.total() < 0.14
    assert {p.get("ogrn_smo") for p in root.iter("polis") if p.get("region_oms") == "76"} == {
        "1027600000405",
        "1027700000503",
    }


def test_utf8_holds_the_same_document() -> None:
    spec = Spec(accounts=30, encoding="utf-8")
    assert etree.tostring(document(spec)) == etree.tostring(document(Spec(accounts=30)))


def test_the_register_of_the_insured_holds_own_persons_and_bystanders() -> None:
    spec = Spec(accounts=300, bystanders=50)
    rows = list(insured(PROFILE, spec))
    own = [p for p in document(spec).iter("patient") if (p.find("polises/polis")).get("region_oms") == "76"]  # type: ignore[union-attr]
    assert len(rows) == len(own) + 50
    policies = {(row[1], row[2], row[3]): row for row in rows}
    assert len(policies) == len(rows)
    assert len({row[0] for row in rows}) == len(rows)
    for patient in own:
        polis = patient.find("polises/polis")
        assert polis is not None
        row = policies[polis.get("type_polis") or "", polis.get("polisser") or "", polis.get("polisnum") or ""]
        assert row[4] == patient.get("surname")
        assert row[7] == patient.get("birthdate")
    text = b"".join(insured_csv(PROFILE, spec)).decode()
    assert text.splitlines()[0] == ";".join(COLUMNS)
    assert text.splitlines()[1] == ";".join(rows[0])


def test_the_insured_as_dbf_are_read_back(tmp_path: object) -> None:
    spec = Spec(accounts=40)
    path = f"{tmp_path}/insured.dbf"
    with open(path, "wb") as out:
        out.writelines(insured_dbf(PROFILE, spec))
    table = dbfread.DBF(path, encoding="cp866", load=True)
    rows = list(insured(PROFILE, spec))
    assert len(table.records) == len(rows)
    assert [record["FAM"] for record in table.records] == [row[4] for row in rows]
    assert [record["DR"].isoformat() for record in table.records] == [row[7] for row in rows]
    with shapefile.Reader(dbf=path, encoding="cp866") as reader:
        assert [record["FAM"] for record in reader.iterRecords()] == [row[4] for row in rows]
    with open(path, "rb") as stream:
        assert [tuple(record.values()) for record in read_dbf(stream)] == rows


def test_an_order_for_a_closed_payer_is_refused() -> None:
    with pytest.raises(SetupError):
        list(register(PROFILE, Spec(payers={"Z": 1})))


def test_memory_does_not_grow_with_the_register() -> None:
    sizes = [len(block) for block in register(PROFILE, Spec(accounts=2000))]
    assert len(sizes) > 5
    assert max(sizes) < 1 << 20
