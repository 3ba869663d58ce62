"""Spoiled federal documents: refused with a known code, or read value by value as lxml reads them.

The two ways of reading and the verdict that needs no tables say one and the same. A value that our tables hold
otherwise than the document stands in a row with a finding that names it.
"""

from __future__ import annotations

import io
import random
from collections import Counter
from typing import Any

import duckdb
import pytest
from lxml import etree

from oms_batch.errors import Refusal
from oms_batch.exchange import load_profile
from oms_batch.formats import elements, federal_document, federal_xml
from oms_batch.formats.element_values import ORDER, SAME_KEY, TWICE
from oms_batch.formats.elements import Layout
from oms_batch.formats.federal_sink import MIXED
from oms_batch.formats.reading import ReadLimits
from oms_batch.ruledata import RuleData
from tests.federal_documents import Account, Pair, documents, tables_of
from tests.oracle import from_layout, generate
from tests.oracle.change_trees import mutated
from tests.oracle.mutate import CHANGES, spoil
from tests.oracle.schema import Schema
from tests.oracle.size import times
from tests.oracle.watch import bounded, slim

pytestmark = pytest.mark.fuzz
RULES = RuleData()
PROFILES = {name: load_profile(name, RULES) for name in ("federal", "mtr")}
CODES = {
    *RULES.toml("common/problems.toml"),
    *(RULES.toml(one)["code"] for one in RULES.list("common/structure", ".toml")),
}
LAYOUTS = [
    *(("federal", one) for one in ("H:from_mo_3.2", "L:from_mo_3.2", "C:from_mo_3.1", "D:to_smo_3.1_2021-08")),
    *(("federal", one) for one in ("H:sanctions_3.2", "T:from_mo_3.1", "H:2.1", "A:mek_3.1_2021", "FLK_P:2018")),
    *(("mtr", one) for one in ("R:3.2", "A:2.1", "H:2.1K2")),
]
KEYS = ("n", "up_n", "z_sl_n", "line", "byte_from", "byte_to", "digest")
WAYS = (ReadLimits(fast=False), ReadLimits(fast=True, piece=900))


def scales(profile: str) -> dict[tuple[str, str], int]:
    """Decimals of the columns that keep quantities."""
    found = {}
    for table, columns in elements.describe(RULES, profile).columns.items():
        for column, kind in columns.items():
            if kind.startswith("DECIMAL"):
                found[table, column] = int(kind.rstrip(")").partition(",")[2])
    return found


SCALES = {name: scales(name) for name in PROFILES}
Tables = dict[str, list[dict[str, Any]]]


def dump(con: duckdb.DuckDBPyConnection) -> Tables:
    """Rows in order of all tables that have any."""
    filled = "SELECT table_name FROM duckdb_tables() WHERE estimated_size > 0 ORDER BY 1"
    found: Tables = {}
    for (table,) in con.execute(filled).fetchall():
        if table == "heads":
            continue
        order = "ALL" if table in ("findings", "spot") else "n"
        cursor = con.execute(f'FROM "{table}" ORDER BY {order}')
        names = [one[0] for one in cursor.description or ()]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def cells(found: Tables, table: str) -> list[dict[str, str]]:
    """Rows of one table as text, without ordinals."""
    return [
        {name: str(value) for name, value in row.items() if value is not None and name not in KEYS}
        for row in found.get(table, [])
    ]


def compare(data: bytes, layout: Layout, found: Tables, profile: str, where: str) -> None:
    """Every value where it belongs, or a finding that names it in its row."""
    told: dict[tuple[str, int], list[str]] = {}
    for one in found.get("findings", []):
        assert one["rule"] in CODES, where
        told.setdefault((one["unit"], one["n"]), []).append(one["element"])
    theirs = from_layout.rows(layout, data, SCALES[profile])
    assert {table for table in found if table not in ("findings", "spot")} == set(theirs), where
    for table, rows in theirs.items():
        ours = cells(found, table)
        assert len(ours) == len(rows), f"{where}: {table}"
        paths = {one.column: one.path for one in layout.elements.values() if one.table == table and one.facets}
        for n, (mine, other) in enumerate(zip(ours, rows, strict=True), 1):
            for column in {*mine, *other}:
                path, value = other.get(column, (paths[column], ""))
                if mine.get(column, "") == value:
                    continue
                named = told.get((table, n), [])
                assert any(path.startswith(one) or one.startswith(path) for one in named), (
                    f"{where}: {table}.{column} {n}"
                )


def agrees(data: bytes, layout: Layout, found: Tables, where: str) -> None:
    """The verdict without tables finds the same faults."""
    faults = federal_document.verdict(io.BytesIO(data), layout)
    read = [one for one in found.get("findings", []) if one["rule"] != MIXED]
    ours = {(one.rule, one.element, one.value, one.line) for one in faults if one.rule != SAME_KEY}
    assert ours == {
        (one["rule"], one["element"], one["value"], one["line"]) for one in read if one["rule"] != SAME_KEY
    }, where
    doubled = {one.element for one in faults if one.rule in (TWICE, ORDER)}  # of two keys in one row a table holds one
    ours_doubled = {one.element for one in faults if one.rule == SAME_KEY}
    assert ours_doubled - doubled == {one["element"] for one in read if one["rule"] == SAME_KEY} - doubled, where


def ways(
    data: bytes, layout: Layout, con: duckdb.DuckDBPyConnection, where: str, both: bool = True, profile: str = "federal"
) -> str:
    """What comes of a document; both ways of reading give one answer."""
    answers: list[Any] = []
    outcome = ""
    for limits in WAYS if both else WAYS[1:]:
        con.execute("CREATE SCHEMA work; USE work")
        try:
            with bounded(where):
                members = {"main": io.BytesIO(data)}
                federal_xml.read_members(members, {"main": layout.id}, PROFILES[profile], con, limits=limits)
            answers.append(dump(con))
        except Refusal as refusal:
            assert con.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,), where
            answers.append(refusal.problems)
            outcome = refusal.code
        finally:
            con.execute("USE main; DROP SCHEMA work CASCADE")
    assert answers[0] == answers[-1], where
    if outcome:
        assert [one.rule for one in federal_document.verdict(io.BytesIO(data), layout)] == [outcome], where
        return outcome
    compare(data, layout, answers[0], profile, where)
    agrees(data, layout, answers[0], where)
    return "read with findings" if "findings" in answers[0] else "read"


def spoiled(schema: Schema, number: int) -> bytes:
    """A document with one of the changes that know the schema, or with some that do not; every tenth is whole."""
    chance = random.Random(f"{schema.name} read {number}")
    while True:
        root = generate.document(schema, chance)
        generate.dress(root, chance)
        data: bytes | None = generate.as_bytes(root)
        if number % 10 and number % 2:
            data = spoil(chance.choice(list(CHANGES)), root, schema, chance)
        elif number % 10:
            assert data is not None
            data = mutated(data, chance)
        if data is not None:
            return data


@pytest.mark.parametrize(("profile", "name"), LAYOUTS)
def test_a_spoiled_document_is_refused_or_read_as_lxml_reads_it(
    profile: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federal_xml, "SMALL", 0)  # else the arrays would have nothing to do
    layout = elements.load(RULES, profile, name)
    schema, con = from_layout.model(layout), duckdb.connect(config={"threads": 1})
    seen: Counter[str] = Counter()
    with slim():
        for number in range(times(8, len(LAYOUTS))):
            seen[ways(spoiled(schema, number), layout, con, f"{name} {number}", number % 3 == 0, profile)] += 1
    print(profile, name, dict(seen.most_common()))
    assert {one for one in seen if one.isupper()} <= CODES
    assert seen["read"]
    assert len(seen) > 1


def test_a_fault_inside_a_leaf_that_repeats_stands_in_its_own_row() -> None:
    pair = documents([Account(1)])
    tel = b"<TEL>1</TEL>"
    persons = pair.persons.replace(b"<ID_PAC>P1</ID_PAC>", b"<ID_PAC>P1</ID_PAC><DOST>1</DOST><DOST>2<B/></DOST>" + tel)
    found = tables_of(Pair(pair.main, persons, pair.name, "H"))
    rows = found.execute("SELECT unit, n, element FROM findings ORDER BY ALL").fetchall()
    assert ("l_dost", 2, "PERS_LIST/PERS/DOST/B") in rows


DECLARED = "<?xml version='1.0' encoding='windows-1251'?>"
PROLOGS = [
    *(
        "",
        DECLARED,
        f" {DECLARED}",
        f"\n{DECLARED}",
        DECLARED * 2,
        f"{DECLARED}<!-- a -->",
        f"{DECLARED}<!-- a -- b -->",
    ),
    *(f"{DECLARED}{odd}" for odd in ("&#10;", "\0", "\x0b", "\xa0", "\x1a", "<?go?>", "x")),
    *("\ufeff", "\ufeff<?xml version='1.0'?>", "\ufeff\ufeff<?xml version='1.0'?>", "<?xml?>", "<?xml ?>"),
    *(DECLARED.replace("'1.0'", odd) for odd in ("'1.1'", "'1.b'", "'2.0'", "'01.0'", '"1.0', "1.0", "''")),
    *(DECLARED.replace("windows-1251", odd) for odd in ("cp1251", "1251", "win-1251", "", "utf8", "UTF-8 ", "latin1")),
    *(DECLARED.replace("?>", f" {odd}?>") for odd in ("standalone='yes'", "standalone='maybe'", "x='1'")),
    *("<?xml encoding='utf-8'?>", "<?XML version='1.0'?>", "<?xml version='1.0' Encoding='utf-8'?>"),
    *("<?xml version='1.0'encoding='utf-8'?>", "<?xml version='1.0' encoding=utf-8?>", "<?xml version='1.0'>"),
]


@pytest.mark.parametrize("prolog", PROLOGS)
def test_what_others_cannot_read_is_not_read(prolog: str) -> None:
    """Our parser takes more than libxml2 does; what stands before the root is where they differ."""
    layout = elements.load(RULES, "federal", "L:from_mo_3.2")
    text = documents([Account(1)]).persons.decode("cp1251")
    data = (prolog + text[text.index("<PERS_LIST") :]).encode("cp1251" if "1251" in prolog else "utf-8")
    try:
        etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError:
        assert federal_document.verdict(io.BytesIO(data), layout)
    else:
        strict = any(odd in prolog for odd in ("latin1", "<?go", "'1.1'"))
        assert bool(federal_document.verdict(io.BytesIO(data), layout)) == strict
