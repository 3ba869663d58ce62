"""Layouts of the XML formats: what the tables say, which one is chosen, that a broken table does not load."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import duckdb
import pytest
from lxml import etree

from oms_batch.errors import Refusal, SetupError
from oms_batch.formats import elements
from oms_batch.formats.element_values import LONG, MISSING, NOT_ALLOWED, OUTSIDE, WRONG, facets_of, judge, sql_type
from oms_batch.formats.elements import Layout
from oms_batch.formats.federal_document import verdict
from oms_batch.ruledata import RuleData
from tests import layout_sources, make_layouts

RULES = RuleData()
DATA = os.environ.get("OMS_REFERENCE_DATA", "")
needs_data = pytest.mark.skipif(
    not os.path.isdir(DATA + "/xsd"), reason="OMS_REFERENCE_DATA is not set: layouts are not compared with the schemas"
)
PROFILES = ("federal", "mtr")
ALL = [(profile, row) for profile in PROFILES for row in elements.index(RULES, profile)]
FROM_SCHEMAS = [
    (profile, row) for profile, row in ALL if row["source"].endswith(".xsd") and row["status"] == "confirmed"
]


def layout(profile: str, name: str) -> Layout:
    return elements.load(RULES, profile, name)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_layout_loads_and_has_its_marks(profile: str) -> None:
    for row in elements.index(RULES, profile):
        found = layout(profile, f"{row['type']}:{row['id']}")
        assert found.root.name == row["root"]
        for one in found.elements.values():
            assert one.mark.rstrip("М") in ("О", "У", "Н"), one.path
            assert bool(one.facets) == bool(one.column), one.path
            assert one.facets is None or not one.kids, one.path
            assert [kid.rank for kid in one.kids.values()] == list(range(len(one.kids)))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_tables_stand_in_sql_and_every_row_has_its_parent(profile: str) -> None:
    found = elements.describe(RULES, profile)
    con = duckdb.connect()
    for table, columns in found.columns.items():
        con.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        assert list(columns)[:4] == ["n", "up_n", "z_sl_n", "line"]
        assert set(found.parents[table]) <= set(found.columns)
    assert {"byte_from", "byte_to", "digest", "idcase"} <= set(found.columns["z_sl"])
    assert found.columns["register"]["summav"] == "BIGINT"
    assert ("register", "summav") not in found.optional
    assert ("zap", "spolis") in found.optional
    assert ("zap", "id_pac") not in found.optional


def test_the_tables_that_the_exchange_needs_are_there() -> None:
    found = set(elements.describe(RULES, "federal").columns)
    assert found >= {
        *("register", "zap", "z_sl", "sl", "usl", "ds2", "ds3", "sank", "sank_sl_id", "sank_exp", "onk_sl", "lek_pr"),
        *("naz", "napr", "cons", "b_diag", "b_prot", "onk_usl", "sl_koef", "crit", "mr_usl_n", "med_dev", "sluch"),
        *("l_register", "l_pers", "l_dost", "l_dost_p", "a_register", "a_zap", "a_z_sl", "a_sl", "a_sank"),
        *("flk_register", "flk_pr"),
    }


@pytest.mark.parametrize(
    ("kind", "direction", "version", "period", "expected"),
    [
        ("H", "from_mo", "3.1", "2021-04", "H:from_mo_3.1"),
        ("H", "from_mo", "3.2", "2022-01", "H:from_mo_3.2"),
        ("H", "sanctions", "3.2", "2022-05", "H:sanctions_3.2"),
        ("H", "to_mo_hw", "3.2", "2022-05", "H:to_mo_hw_3.2"),
        ("H", "to_smo", "2.1", "2017-01", "H:2.1"),
        ("H", "to_mo", "3.0", "2018-07", "H:3.0"),
        ("H", "from_mo", "6.0", "2026-02", "H:6.0"),
        ("D", "from_mo", "3.1", "2020-03", "D:from_mo_3.1"),
        ("D", "from_mo", "3.1", "2020-04", "D:from_mo_3.1_2020-04"),
        ("D", "from_mo", "3.1", "2021-08", "D:from_mo_3.1_2021-08"),
        ("D", "to_mo", "3.1", "2021-07", "D:to_mo_3.1"),
        ("L", "from_mo", "3.0", "", "L:from_mo_3.0"),
        ("A", "mek", "3.1", "2020-12", "A:mek_3.1"),
        ("A", "mek", "3.1", "2021-01", "A:mek_3.1_2021"),
        ("FLK_P", "flk_p", "", "", "FLK_P:2020"),
    ],
)
def test_type_side_version_and_period_choose(
    kind: str, direction: str, version: str, period: str, expected: str
) -> None:
    assert elements.choose(RULES, "federal", kind, direction, version, period) == expected
    layout("federal", expected)


@pytest.mark.parametrize(("version", "period"), [("9.9", "2022-05"), ("3.2", "2021-12"), ("6.0", "2025-12"), ("", "")])
def test_a_version_that_is_not_known_for_the_period_is_refused_with_those_that_are(version: str, period: str) -> None:
    with pytest.raises(Refusal) as caught:
        elements.choose(RULES, "federal", "H", "from_mo", version, period)
    (problem,) = caught.value.problems
    assert (problem.code, problem.found) == ("HDR_VERSION", version)
    assert "3.1" in problem.expected.split(", ")


def test_a_type_without_layouts_is_our_fault() -> None:
    with pytest.raises(SetupError, match="nothing for Z from_mo"):
        elements.choose(RULES, "federal", "Z", "from_mo", "3.1", "")
    with pytest.raises(SetupError, match="no layout H:9"):
        layout("federal", "H:9")


def test_order_differs_between_layouts_of_one_table() -> None:
    """ENP came between NPOLIS and ST_OKATO in 3.2; OPLATA and SUMP have to be there when sanctions come back."""
    names = list(layout("federal", "H:from_mo_3.2").elements["ZL_LIST/ZAP/PACIENT"].kids)
    assert names.index("NPOLIS") < names.index("ENP") < names.index("ST_OKATO")
    assert "ENP" not in layout("federal", "H:from_mo_3.1").elements["ZL_LIST/ZAP/PACIENT"].kids
    account = "ZL_LIST/ZAP/Z_SL/OPLATA"
    asked, answered = (layout("federal", f"H:{one}_3.2").elements[account] for one in ("from_mo", "sanctions"))
    assert (asked.least, answered.least) == (0, 1)
    assert answered.facets is not None
    assert answered.facets.values == ("1", "2", "3")


@needs_data
@pytest.mark.parametrize("profile", PROFILES)
def test_the_tables_are_those_that_the_sources_give(profile: str, tmp_path: Path) -> None:
    """Made again from the reference data they come out the same, byte for byte."""
    make_layouts.make(profile, Path(DATA), tmp_path)
    made = sorted(tmp_path.glob("*.csv"))
    assert len(made) >= 6
    for one in made:
        assert one.read_bytes() == RULES.read(f"{profile}/layouts/{one.name}"), one.name


@needs_data
@pytest.mark.parametrize(
    ("profile", "row"), FROM_SCHEMAS, ids=lambda one: one if isinstance(one, str) else one["source"]
)
def test_a_layout_has_the_elements_of_its_schema_in_their_order(profile: str, row: dict[str, str]) -> None:
    def same(ours: elements.Element, theirs: layout_sources.Element) -> int:
        assert ours.name == theirs.name
        assert list(ours.kids) == [kid.name for kid in theirs.kids], ours.path
        return 1 + sum(same(kid, other) for kid, other in zip(ours.kids.values(), theirs.kids, strict=True))

    found = layout(profile, f"{row['type']}:{row['id']}")
    assert same(found.root, layout_sources.read_schema(Path(DATA) / row["source"])) == len(found.elements)


@needs_data
@pytest.mark.parametrize(
    ("profile", "row"), FROM_SCHEMAS, ids=lambda one: one if isinstance(one, str) else one["source"]
)
def test_real_samples_are_judged_as_the_schema_judges_them(profile: str, row: dict[str, str]) -> None:
    judge_of = etree.XMLSchema(etree.parse(f"{DATA}/{row['source']}"))
    found = layout(profile, f"{row['type']}:{row['id']}")
    samples = sorted(Path(DATA).glob("samples/federal/*.XML")) + sorted(Path(DATA).glob("samples/mtr/*.xml"))
    assert len(samples) == 6
    for path in samples:
        data = path.read_bytes()
        if row["namespace"]:
            data = data.replace(b"<ZL_LIST>", b'<ZL_LIST xmlns="%s">' % row["namespace"].encode())
        expected = judge_of.validate(etree.fromstring(data))
        assert (verdict(io.BytesIO(data), found) == []) == expected, path.name


@needs_data
def test_every_type_has_a_sample_that_is_accepted() -> None:
    """Else the comparison above could be one of refusals only."""
    accepted = {
        "H:from_mo_3.1": "federal/H_VALID.XML",
        "C:from_mo_3.1": "federal/C_VALID.XML",
        "T:from_mo_3.1": "federal/T_VALID.XML",
        "D:from_mo_3.1_2021-08": "federal/D_VALID_08_2021.XML",
        "L:from_mo_3.2": "mtr/PatientD21K2.xml",
    }
    for name, sample in accepted.items():
        with open(f"{DATA}/samples/{sample}", "rb") as stream:
            assert verdict(stream, layout("federal", name)) == [], name


def facets(**cells: str) -> object:
    line = dict.fromkeys(make_layouts.COLUMNS, "") | {"type": "code"} | cells
    return facets_of(line, "here")


@pytest.mark.parametrize(
    ("cells", "text", "expected"),
    [
        ({"size": "1..5"}, "76001", ("76001", "")),
        ({"size": "1..5"}, "", (None, MISSING)),
        ({"size": "1..5"}, "760011", ("760011", LONG)),
        ({"size": "0..5"}, "", (None, "")),
        ({"size": "2.0", "range": "+"}, " 07 ", ("7", "")),
        ({"size": "2.0", "range": "+"}, "7.0", ("7", "")),
        ({"size": "2.0", "range": "+"}, "100", ("100", LONG)),
        ({"size": "2.0", "range": "+"}, "-1", ("-1", OUTSIDE)),
        ({"size": "2.0", "range": "+"}, "x", (None, WRONG)),
        ({"size": "2.0", "range": "+"}, "٣", (None, WRONG)),
        ({"size": "1.0", "values": "0|1"}, "2", ("2", NOT_ALLOWED)),
        ({"size": "1.0", "values": "0|1"}, "1.0", ("1", "")),
        ({"size": "1.0", "pattern": "0|1"}, "1.0", ("1", WRONG)),
        ({"type": "money", "size": "15.2", "range": "+"}, "1234.5", (123450, "")),
        ({"type": "money", "size": "15.2", "range": "+"}, "1234.567", (None, WRONG)),
        ({"type": "money", "size": "15.2", "range": "+"}, "10000000000000", (1000000000000000, OUTSIDE)),
        ({"type": "money", "size": "15.2"}, "1e3", (None, WRONG)),
        ({"type": "money", "size": "15.2"}, "nan", (None, WRONG)),
        ({"type": "money", "size": "15.2"}, "-.05", (-5, "")),
        ({"type": "date"}, "2022-02-29", (None, WRONG)),
        ({"type": "date"}, "1970-01-02", (1, "")),
        ({"type": "date", "range": "(1899-12-31,2030-12-31)"}, "2030-12-31", (22279, OUTSIDE)),
        ({"type": "int", "size": "4.0"}, "2026", (2026, "")),
        ({"size": "0..24 trim"}, "  a   b ", ("a b", "")),
        ({"size": "11.0", "nil": "empty"}, "", (None, "")),
    ],
)
def test_a_value_is_read_or_named(cells: dict[str, str], text: str, expected: tuple[object, str]) -> None:
    found = facets(**cells)
    assert judge(found, text) == expected  # type: ignore[arg-type]


def test_a_column_is_as_wide_as_its_widest_layout() -> None:
    pair = [facets(type="quantity", size=size) for size in ("4.1", "6.2")]
    assert sql_type(pair, "sl.kd") == "DECIMAL(6,2)"  # type: ignore[arg-type]
    with pytest.raises(SetupError, match="as code, money"):
        sql_type([facets(size="1..2"), facets(type="money", size="15.2")], "sl.kd")  # type: ignore[list-item]


HEAD = "path;in;min;max;type;size;values;pattern;range;nil;unique;mark;table;column;note"
INDEX = "id;type;direction;version;from;to;file;status;root;namespace;source;marks\n1;X;a;1;;;X;confirmed;R;;;\n"
ROOT = "R;;1;1;group;;;;;;;О;register;;"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("R/A;;1;1;thing;;;;;;;О;register;a;", "type 'thing'"),
        ("R/A;;1;3;code;1..2;;;;;;О;register;a;", "occurrence 1..3"),
        ("R/A;;1;1;code;;;;;;;О;register;a;", "size ''"),
        ("R/A;;1;1;date;1..2;;;;;;О;register;a;", "a date has no size"),
        ("R/A;;1;1;money;1..2;;;;;;О;register;a;", "size '1..2' of type money"),
        ("R/A;;1;1;code;2.0;;;0-9;;;О;register;a;", "range '0-9'"),
        ("R/A;;1;1;date;;;;(2020-13-01,);;;О;register;a;", "range with '2020-13-01'"),
        ("R/A;;1;1;code;1..2;;;;;;О;register;;", "a leaf needs a table and a column"),
        ("R/A;;1;1;group;;;;;;;О;;\nR/A;1;1;1;group;;;;;;;О;;", "number of columns"),
        ("R/A;;1;1;group;;;;;;;О;;;\nR/A;1;1;1;group;;;;;;;О;;;", "R/A stands twice in 1"),
    ],
)
def test_a_broken_table_does_not_load(tmp_path: Path, line: str, message: str) -> None:
    folder = tmp_path / "p" / "layouts"
    folder.mkdir(parents=True)
    (folder / "index.csv").write_text(INDEX, encoding="utf-8")
    (folder / "X.csv").write_text(f"{HEAD}\n{ROOT}\n{line}\n", encoding="utf-8")
    with pytest.raises(SetupError, match=message):
        elements.load(RuleData(str(tmp_path)), "p", "X:1")


def test_the_tables_hold_no_line_that_nobody_reads() -> None:
    for profile in PROFILES:
        for file in {row["file"] for row in elements.index(RULES, profile)}:
            own = [row for row in elements.index(RULES, profile) if row["file"] == file]
            read = {path for row in own for path in layout(profile, f"{row['type']}:{row['id']}").elements}
            text = RULES.read(f"{profile}/layouts/{file}.csv").decode("utf-8")
            lines = csv.DictReader((one for one in io.StringIO(text) if not one.startswith("#")), delimiter=";")
            assert {line["path"] for line in lines} == read, file
