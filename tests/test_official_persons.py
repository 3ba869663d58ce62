"""Official checks of the head, the account and persons: a made-up register spoiled in one place, read and judged."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import duckdb
import pytest
from lxml import etree

from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import canon
from oms_batch.formats.container import pack_members
from oms_batch.intake import names
from oms_batch.intake.register import read_register
from oms_batch.judge import books, engine, facts_view, rulebook
from oms_batch.judge.person import load_spelling
from oms_batch.ruledata import RuleData
from oms_batch.synth import federal, mtr
from oms_batch.synth.world import Spec
from tests.federal_judged import Pair, pair_of, read

RULES = RuleData()
FEDERAL, MTR = load_profile("federal", RULES), load_profile("mtr", RULES)
SETS = {
    "federal": ["common/form", "common/official", "federal/form"],
    "mtr": ["common/form", "common/official", "federal/form", "mtr/form"],
}
PACKED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NEWBORN = "11503221"  # a boy, born on 15.03.2022, the first
SPECS = {
    "H": Spec(accounts=30, seed=5),
    "insurer": Spec(accounts=30, seed=5, payer="76001"),
    "C": Spec(accounts=40, seed=5, kind="C"),
    "D": Spec(accounts=40, seed=5, kind="DO"),
}
Root = etree._Element
Change = Callable[[Root, Root], None]
Codes = dict[str, int]


@lru_cache(maxsize=4)
def book_of(profile: str) -> rulebook.Rulebook:
    """The rules of heads and persons, and so their books only."""
    book = rulebook.load(RULES, SETS[profile], profile)
    return replace(book, rules=tuple(rule for rule in book.rules if rule.on in ("register", "pers")))


@lru_cache(maxsize=8)
def clean(kind: str) -> tuple[str, Pair]:
    register = federal.register(FEDERAL, SPECS[kind])
    return register.name, pair_of(register)


def told(con: duckdb.DuckDBPyConnection, profile: Profile) -> Codes:
    """How many findings each rule has, by form alone and without the insured or earlier registers."""
    book = book_of(profile.id)
    books.load_for(con, RULES, book)
    facts_view.make_person_keys(con, load_spelling(RULES, profile.id))
    facts_view.load_facts(con, [], "")
    engine.run(con, book)
    return dict(con.execute("SELECT rule, count(*) FROM findings GROUP BY rule").fetchall())


def judged(kind: str, change: Change, received: date | None = None) -> Codes:
    """What is told of a register of an organisation after a change of its two documents."""
    name, documents = clean(kind)
    main, persons = (etree.fromstring(one) for one in documents)
    change(main, persons)
    with connected() as con:
        spoiled = tuple(etree.tostring(one, encoding="windows-1251", xml_declaration=True) for one in (main, persons))
        read(con, FEDERAL, (spoiled[0], spoiled[1]), name)
        if received is not None:
            canon.came_on(con, received)
        return told(con, FEDERAL)


def judged_part(change: Callable[[Root], None]) -> Codes:
    """What is told of a part between funds after a change of it."""
    part = mtr.part(MTR, Spec(accounts=30, period="2022-03", version="3.2"), mtr.Order())
    root = etree.fromstring(b"".join(part.document))
    change(root)
    packed = io.BytesIO()
    document = io.BytesIO(etree.tostring(root, encoding="windows-1251", xml_declaration=True))
    pack_members("zip", [(f"{part.name}.XML", document)], packed, PACKED)
    with connected() as con:
        read_register(packed, len(packed.getvalue()), names.identify(f"{part.name}.oms", MTR), MTR, con)
        return told(con, MTR)


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect()
    try:
        con.execute("SET threads = 1")
        engine.prepare(con)
        yield con
    finally:
        con.close()


def put(node: Root | None, text: str | None, after: str = "") -> None:
    """Give a leaf a text, or take it away; ``after``: name of a new leaf behind it instead."""
    assert node is not None
    if after:
        leaf = etree.Element(after)
        leaf.text = text
        node.addnext(leaf)
    elif text is None:
        above = node.getparent()
        assert above is not None
        above.remove(node)
    else:
        node.text = text


def at(path: str, text: str | None, after: str = "") -> Change:
    """A change of the first such element of the main document, or of that of persons (``L:…``)."""

    def change(main: Root, persons: Root) -> None:
        root = persons if path.startswith("L:") else main
        put(root.find(path.removeprefix("L:")), text, after)

    return change


def as_it_is(_main: Root, _persons: Root) -> None:
    """No change."""


@lru_cache(maxsize=8)
def usual(kind: str) -> frozenset[str]:
    return frozenset(judged(kind, as_it_is))


CASES: dict[str, tuple[str, Change, set[str]]] = {
    "latin surname": ("H", at("L:PERS/FAM", "Ivanov"), {"Q.04.0350"}),
    "series without its space": ("H", at("L:PERS[DOCTYPE='14']/DOCSER", "7804"), {"Q.04.0460"}),
    "number of a passport too long": ("H", at("L:PERS[DOCTYPE='14']/DOCNUM", "12345678"), {"Q.04.0470"}),
    "no such territory": ("H", at("L:PERS/OKATOG", "02401000000"), {"Q.01.0140"}),
    "a representative of somebody grown": ("H", at("L:PERS/DR", "Примерова", "FAM_P"), {"Q.03.0190"}),
    "a telephone outside check-ups": ("H", at("L:PERS/DR", "4852123456", "TEL"), {"Q.03.1710"}),
    "a series at a single policy": ("H", at("ZAP/PACIENT[VPOLIS='3']/VPOLIS", "АБ", "SPOLIS"), {"Q.03.0080"}),
    "the insurer is not named": ("H", at("ZAP/PACIENT[SMO]/SMO", None), {"Q.03.0130"}),
    "billed to an insurer, not named": ("insurer", at("ZAP/PACIENT[SMO]/SMO", None), {"Q.03.0120"}),
    "an insurer not in the book": ("C", at("ZAP/PACIENT/SMO", "1027739008441", "SMO_OGRN"), {"Q.01.0090"}),
    "no kind of check-up": ("D", at("SCHET/DISP", None), {"Q.03.2100"}),
    "number of the account with a space": ("H", at("SCHET/NSCHET", "26 10"), {"Q.04.0110"}),
    "name of another month": ("H", at("ZGLV/FILENAME", "HM760001T76_22021"), {"Q.06.0090"}),
    "persons named by another month": ("H", at("L:ZGLV/FILENAME", "LM760001T76_22021"), {"Q.06.0040"}),
    "sanctions that are not there": ("H", at("SCHET/SUMMAV", "10.00", "SANK_MEK"), {"Q.06.1060", "Q.06.1090"}),
    "no sex: reading has told it": ("H", at("L:PERS/W", None), {"S.00.0010"}),
    "a newborn with a name and without a representative": (
        "H",
        at("ZAP/PACIENT/NOVOR", NEWBORN),
        {"Q.03.0170", "Q.03.0210", "Q.03.0240", "Q.03.0180", "Q.03.0220", "Q.03.0350", "Q.03.0370"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_spoiled_place_gives_its_code(name: str) -> None:
    kind, change, expected = CASES[name]
    assert set(judged(kind, change)) - usual(kind) == expected - usual(kind)


def test_a_file_of_tomorrow_is_not_taken_one_of_another_zone_is() -> None:
    made = date.fromisoformat(etree.fromstring(clean("H")[1][0]).findtext("ZGLV/DATA"))
    said = [set(judged("H", as_it_is, made - timedelta(days=n))) & {"Q.06.0010", "Q.06.0020"} for n in (0, 1, 2)]
    assert said == [set(), set(), {"Q.06.0010", "Q.06.0020"}]


PARTS: dict[str, tuple[str, str | None, str, set[str]]] = {
    "no number of the single policy": ("ZAP/PACIENT[VPOLIS='3']/ENP", None, "", {"Q.03.0100"}),
    "no number of another policy": ("ZAP/PACIENT[VPOLIS='1']/NPOLIS", None, "", {"Q.03.0090"}),
    "a reliability that is not": ("ZAP/PACIENT/DR", "7", "DOST", {"Q.02.0110"}),
    "who issued the document": ("ZAP/PACIENT[DOCNUM]/DOCORG", None, "", {"Q.03.1820"}),
    "a representative of somebody grown": ("ZAP/PACIENT/DR", "1", "W_P", {"Q.03.0360"}),
}


@pytest.mark.parametrize("name", PARTS)
def test_one_spoiled_place_of_a_part_gives_its_code(name: str) -> None:
    path, text, after, expected = PARTS[name]
    assert set(judged_part(lambda root: put(root.find(path), text, after))) == expected
