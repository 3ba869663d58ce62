"""Import of the register of the insured: strict, whole or not at all, and silent about values."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from oms_batch.errors import WrongState
from oms_batch.judge.identify import INSURED_COLUMNS, load_search
from oms_batch.ruledata import RuleData
from oms_batch.store.insured import import_csv, import_rows, stats

KEY = load_search(RuleData(), "yaroslavl").spelling.number("fam", "im", "ot", "dr")
HEAD = "ENP;VPOLIS;SPOLIS;NPOLIS;FAM;IM;OT;DR;W;SNILS;SMO;DATE_FROM;DATE_TO\n"
GOOD = "7656910834000012;3;;7656910834000012;Примеров;Пётр;Ильич;1980-03-15;1;112-233-445 95;76001;2015-05-01;\n"
OLD = ";1;76 аб;№ 123 456;ПРИМЕРОВ;Петр;Ильич;15.03.1980;1;;76002;20120101;31.12.2014\n"


def brought(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "in.csv").write_bytes(text.encode(encoding))
    import_csv(folder / "insured.duckdb", folder / "in.csv", KEY)
    return folder / "insured.duckdb"


def rows(path: Path, columns: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(f"SELECT {columns} FROM insured ORDER BY n").fetchall()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
def test_rows_come_in_typed(tmp_path: Path, encoding: str) -> None:
    path = brought(tmp_path, HEAD + GOOD + OLD.replace("№ ", ""), encoding)
    assert rows(path, "n, vpolis, spolis, npolis, fam, CAST(dr AS VARCHAR), CAST(date_to AS VARCHAR)") == [
        (1, "3", None, "7656910834000012", "Примеров", "1980-03-15", None),
        (2, "1", "76АБ", "123456", "ПРИМЕРОВ", "1980-03-15", "2014-12-31"),
    ]


def test_columns_are_those_that_identification_reads(tmp_path: Path) -> None:
    path = brought(tmp_path, HEAD + GOOD)
    with duckdb.connect(str(path), read_only=True) as con:
        assert {row[0]: row[1] for row in con.execute("DESCRIBE insured").fetchall()} == dict(INSURED_COLUMNS)


def test_an_old_policy_belongs_to_the_person_of_the_same_names(tmp_path: Path) -> None:
    path = brought(tmp_path, HEAD + GOOD + OLD.replace("№ ", ""))
    assert rows(path, "person") == [("7656910834000012",)] * 2
    twin = GOOD.replace("7656910834000012", "7656910834000020")
    path = brought(tmp_path, HEAD + GOOD + twin + OLD.replace("№ ", ""))
    assert len({row[0] for row in rows(path, "person")}) == 3


def test_heads_have_other_names_commas_and_any_order(tmp_path: Path) -> None:
    head = "smo,SURNAME,Name,BIRTHDATE,v_polis,N_POLIS,date_in,other\n"
    path = brought(tmp_path, head + "76001,Примеров,Пётр,1980-03-15,2,123456789,2026-01-01,x\n")
    assert rows(path, "smo, fam, npolis, enp, ot") == [("76001", "Примеров", "123456789", None, None)]


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("7656910834000012;3", "765691083400001;3", "enp"),
        (";3;", ";4;", "vpolis"),
        ("1980-03-15", "1980-13-15", "dr"),
        ("1980-03-15", "", "dr"),
        (";1;112", ";м;112", "w"),
        (";76001;", ";ТФОМС;", "smo"),
        ("2015-05-01", "01/05/2015", "date_from"),
        ("2015-05-01;", "2015-05-01;2014-01-01", "date_to"),
        ("2015-05-01;", "2015-05-01;soon", "date_to"),
        ("Примеров;Пётр", ";", "fam"),
    ],
)
def test_one_bad_row_keeps_all_out_and_is_named_without_its_value(
    tmp_path: Path, old: str, new: str, column: str
) -> None:
    path = brought(tmp_path, HEAD + GOOD)
    text = HEAD + GOOD + GOOD.replace(old, new, 1)
    with pytest.raises(WrongState) as caught:
        brought(tmp_path, text)
    assert (caught.value.code, caught.value.detail) == ("INSURED_BAD_ROWS", f"1 of 2: 2:{column}")
    assert len(rows(path, "n")) == 1
    assert {item.name for item in tmp_path.iterdir()} == {"in.csv", "insured.duckdb"}
    kept = import_csv(path, tmp_path / "in.csv", KEY, skip_bad=True)
    assert (kept.rows, kept.kept, kept.bad, kept.places) == (2, 1, 1, ((2, column),))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("FAM;IM\nA;B\n", "INSURED_COLUMNS"),
        (HEAD, "INSURED_EMPTY"),
        (HEAD + "1;2\n", "INSURED_CSV"),
        (HEAD.replace("OT", "SURNAME") + GOOD, "INSURED_COLUMNS"),
    ],
)
def test_a_file_that_is_no_register_of_the_insured(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(WrongState) as caught:
        brought(tmp_path, text)
    assert caught.value.code == code
    assert {item.name for item in tmp_path.iterdir()} == {"in.csv"}


def test_rows_of_a_dbf_come_in_too(tmp_path: Path) -> None:
    names = HEAD.strip().split(";")
    record = dict(zip(names, GOOD.strip("\n").split(";"), strict=True))
    done = import_rows(tmp_path / "i.duckdb", [record, record], KEY)
    assert (done.rows, done.kept, done.bad) == (2, 2, 0)


def test_stats(tmp_path: Path) -> None:
    path = brought(tmp_path, HEAD + GOOD + OLD.replace("№ ", ""))
    told = stats(path)
    assert (told.rows, told.persons, told.open, told.first, told.last) == (2, 1, 1, "2012-01-01", "2015-05-01")
    assert told.smo == {"76001": 1}
    with pytest.raises(WrongState):
        stats(tmp_path / "nowhere.duckdb")
