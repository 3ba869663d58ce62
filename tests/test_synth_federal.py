"""The generator of federal registers: valid by the schemas, repeatable, true in its sums and links."""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.model import Totals
from oms_batch.ruledata import RuleData
from oms_batch.synth import federal
from oms_batch.synth.federal_planting import kopecks
from oms_batch.synth.federal_shape import Shape, grow, write
from oms_batch.synth.insured import COLUMNS, insured
from oms_batch.synth.register import register as reestr
from oms_batch.synth.tree import Node
from oms_batch.synth.world import Spec
from tests.federal_judged import Pair, pair_of

PROFILE = load_profile("federal", RuleData())
SPEC = Spec(accounts=400, seed=7)
KINDS = {
    ("H", "2022-03"): ("H_3.2", "L_3.2"),
    ("H", "2021-05"): ("H_3.1", "L_3.2"),
    ("H", "2019-05"): ("H_3.1", "L_3.1"),
    ("C", "2022-03"): ("C_3.1", "L_3.2"),
    ("T", "2022-03"): ("T_3.1", "L_3.2"),
    ("DO", "2022-03"): ("D_3.1_from_2021-08", "L_3.2"),
    ("DO", "2020-08"): ("D_3.1_from_2020-04", "L_3.2"),
}


def made(spec: Spec = SPEC) -> Pair:
    return pair_of(federal.register(PROFILE, spec))


def parsed(spec: Spec = SPEC) -> tuple[etree._Element, etree._Element]:
    main, persons = made(spec)
    return etree.fromstring(main), etree.fromstring(persons)


def texts(root: etree._Element, path: str) -> list[str]:
    return [element.text or "" for element in root.iterfind(path)]


def schema(name: str) -> etree.XMLSchema:
    folder = Path(os.environ.get("OMS_REFERENCE_DATA", "")) / "xsd" / "from_mo"
    if not os.environ.get("OMS_REFERENCE_DATA") or not folder.is_dir():
        pytest.skip("OMS_REFERENCE_DATA: the published schemas are not here")
    return etree.XMLSchema(etree.parse(folder / f"{name}.xsd"))


@pytest.mark.parametrize(("kind", "period"), sorted(KINDS))
def test_both_documents_hold_the_published_schemas(kind: str, period: str) -> None:
    for data, name in zip(made(replace(SPEC, kind=kind, period=period)), KINDS[kind, period], strict=True):
        schema(name).assertValid(etree.fromstring(data))


def test_a_packet_of_corrected_accounts_holds_the_schemas_too() -> None:
    again = federal.again(PROFILE, replace(SPEC, period="2022-04", number="2"), federal.Again(SPEC, (0, 7, 399)))
    for data, name in zip(pair_of(again), ("H_3.2", "L_3.2"), strict=True):
        schema(name).assertValid(etree.fromstring(data))


def test_the_same_order_gives_the_same_bytes() -> None:
    small = replace(SPEC, accounts=40)
    assert made(small) == made(small)
    for other in (replace(small, seed=8), replace(small, period="2022-02"), replace(small, number="2")):
        assert made(small)[0] != made(other)[0]


def test_bytes_are_windows_1251_and_names_stand_in_the_heads() -> None:
    register = federal.register(PROFILE, SPEC)
    main, persons = pair_of(register)
    assert (register.name, register.persons_name) == ("HM760001T76_22031", "LM760001T76_22031")
    assert main.startswith(b'<?xml version="1.0" encoding="windows-1251"?>\n<ZL_LIST>')
    assert "Кузнецов".encode("cp1251") in persons
    root, listed = etree.fromstring(main), etree.fromstring(persons)
    assert root.findtext("ZGLV/FILENAME") == listed.findtext("ZGLV/FILENAME1") == register.name
    assert listed.findtext("ZGLV/FILENAME") == register.persons_name
    plain, _ = made(replace(SPEC, encoding="utf-8"))
    assert etree.tostring(etree.fromstring(plain)) == etree.tostring(root)


@settings(max_examples=12, deadline=None)
@given(
    accounts=st.integers(1, 60),
    seed=st.integers(0, 10_000),
    which=st.sampled_from(sorted(KINDS)),
    number=st.sampled_from(["1", "2", "17"]),
)
def test_sums_counts_and_links_are_always_true(accounts: int, seed: int, which: tuple[str, str], number: str) -> None:
    spec = Spec(accounts=accounts, seed=seed, kind=which[0], period=which[1], number=number)
    register = federal.register(PROFILE, spec)
    main, persons = (etree.fromstring(data) for data in pair_of(register))
    total = 0
    for account in main.iterfind("ZAP/Z_SL"):
        parts = [kopecks(text) for text in texts(account, "SL/SUM_M")]
        assert parts == [sum(kopecks(text) for text in texts(sl, "USL/SUMV_USL")) for sl in account.iterfind("SL")]
        assert kopecks(account.findtext("SUMV") or "") == sum(parts)
        for service in account.iterfind("SL/USL"):
            times = kopecks(service.findtext("KOL_USL") or "1.00")
            price = kopecks(service.findtext("TARIF") or "")
            assert price * times == kopecks(service.findtext("SUMV_USL") or "") * 100
        total += sum(parts)
        days = [account.findtext(name) or "" for name in ("DATE_Z_1", "SL/DATE_1", "SL/DATE_2", "DATE_Z_2")]
        assert days == sorted(days)
        assert days[0][:7] == days[-1][:7] == spec.period
    assert main.findtext("ZGLV/SD_Z") == str(accounts) == str(len(main.findall("ZAP")))
    assert kopecks(main.findtext("SCHET/SUMMAV") or "") == total
    assert register.totals == Totals(accounts, total)
    keys = texts(main, "ZAP/Z_SL/IDCASE")
    assert keys == texts(main, "ZAP/N_ZAP") == [str(place) for place in range(1, accounts + 1)]
    listed = texts(persons, "PERS/ID_PAC")
    assert len(listed) == len(set(listed))
    assert set(listed) == set(texts(main, "ZAP/PACIENT/ID_PAC"))


def test_the_persons_are_those_of_any_other_register_of_the_seed() -> None:
    _, listed = parsed(replace(SPEC, period="2022-03"))
    other = load_profile("yaroslavl", RuleData())
    root = etree.fromstring(b"".join(reestr(other, replace(SPEC, period="2022-03"))))
    theirs = [(p.get("surname"), p.get("name"), p.get("birthdate"), p.get("ss")) for p in root.iter("patient")]
    ours = [tuple(p.findtext(tag) for tag in ("FAM", "IM", "DR", "SNILS")) for p in listed.iterfind("PERS")]
    assert ours == theirs


def test_kinds_of_files_share_no_person_and_no_account_number() -> None:
    met: Counter[str] = Counter()
    codes = set()
    for kind in ("H", "C", "T", "DO"):
        spec = replace(SPEC, kind=kind, period="2022-03")
        root, listed = parsed(spec)
        met.update(set(texts(listed, "PERS/SNILS")))
        codes.add(root.findtext("SCHET/CODE"))
    assert max(met.values()) == 1
    assert len(codes) == 4


@pytest.mark.parametrize("kind", ["H", "C", "DO"])
def test_the_register_of_the_insured_fits(kind: str) -> None:
    spec = replace(SPEC, kind=kind, bystanders=25)
    root, listed = parsed(spec)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in insured(PROFILE, spec)]
    own = {row["NPOLIS"]: row for row in rows}
    people = {person.findtext("ID_PAC"): person for person in listed.iterfind("PERS")}
    found = set()
    for pacient in root.iterfind("ZAP/PACIENT"):
        number = pacient.findtext("ENP") or pacient.findtext("NPOLIS") or ""
        if number not in own:
            assert (pacient.findtext("SMO") or "99")[:2] != "76"
            continue
        found.add(number)
        person = people[pacient.findtext("ID_PAC")]
        assert (person.findtext("FAM"), person.findtext("DR")) == (own[number]["FAM"], own[number]["DR"])
        assert pacient.findtext("SMO") == own[number]["SMO"]
    assert len(rows) == len(found) + 25
    assert {row["SMO"] for row in rows} == {"76001", "76002"}


def test_an_old_version_may_be_ordered_for_a_later_month() -> None:
    root, _ = parsed(replace(SPEC, accounts=5, version="3.1"))
    assert root.findtext("ZGLV/VERSION") == "3.1"
    assert root.find("ZAP/PACIENT/NPOLIS") is not None
    assert root.find("ZAP/PACIENT/ENP") is None
    for wrong in (Spec(version="9.9"), Spec(period="2018-01"), Spec(kind="X")):
        with pytest.raises(SetupError):
            federal.register(PROFILE, wrong)


def test_corrected_accounts_name_those_that_they_replace() -> None:
    later = replace(SPEC, period="2022-04", number="2")
    register = federal.again(PROFILE, later, federal.Again(SPEC, (5, 6, 250)))
    main, persons = (etree.fromstring(data) for data in pair_of(register))
    first, _ = parsed()
    assert register.name == "HM760001T76_22042"
    assert texts(main, "ZAP/PR_NOV") == ["1", "1", "1"]
    assert texts(main, "ZAP/Z_SL/FIRST_IDCASE") == ["6", "7", "251"]
    assert texts(main, "ZAP/Z_SL/IDCASE") == ["1", "2", "3"]
    ref = [main.findtext(f"SCHET/REF/{name}") for name in ("FIRST_CODE", "FIRST_YEAR", "FIRST_MONTH")]
    assert ref == [first.findtext(f"SCHET/{name}") for name in ("CODE", "YEAR", "MONTH")]
    old = {account.findtext("IDCASE"): account for account in first.iterfind("ZAP/Z_SL")}
    for account in main.iterfind("ZAP/Z_SL"):
        before = old[account.findtext("FIRST_IDCASE")]
        for path in ("DATE_Z_1", "DATE_Z_2", "SUMV", "SL/DS1", "SL/NHISTORY"):
            assert account.findtext(path) == before.findtext(path)
    assert set(texts(persons, "PERS/ID_PAC")) == set(texts(main, "ZAP/PACIENT/ID_PAC"))
    with pytest.raises(SetupError):
        federal.again(PROFILE, later, federal.Again(SPEC, (400,)))
    with pytest.raises(SetupError):
        federal.again(PROFILE, later, federal.Again(replace(SPEC, period="2021-12"), (1,)))


def test_elements_are_written_in_the_order_of_the_shape_and_strangers_last() -> None:
    shape = Shape(
        "A", None, {"X": Shape("X", "{x}"), "B": Shape("B", None, {"Y": Shape("Y", "{y}")}), "Z": Shape("Z", "")}
    )
    node = grow(shape, {"x": "<&>", "y": "1"}, {"B": [{"y": "1"}, {"y": "2"}, {"y": ""}]})
    node.attributes["NEW"] = "?"
    node.children.append(Node("X", {"": "twice"}))
    services = " <B>\n  <Y>1</Y>\n </B>\n <B>\n  <Y>2</Y>\n </B>\n"
    assert write(node, shape) == f"<A>\n <X>&lt;&amp;&gt;</X>\n <X>twice</X>\n{services} <NEW>?</NEW>\n</A>\n"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_register() -> None:
    peaks = []
    for accounts in (2_000, 14_000):
        tracemalloc.start()
        register = federal.register(PROFILE, Spec(accounts=accounts, seed=1))
        assert sum(len(block) for block in register.main) > accounts * 1000
        assert sum(len(block) for block in register.persons) > accounts * 100
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3
