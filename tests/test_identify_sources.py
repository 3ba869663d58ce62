"""Lists of policies brought in from CSV and DBF: editions, keys, what replaced a policy; bad rows keep all out."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oms_batch import homes, insurance
from oms_batch.errors import WrongState
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_write import write
from oms_batch.ruledata import RuleData
from oms_batch.site import open_site

E1, E2 = "7756910834000012", "7756910834000020"
NOMP = (
    "s_card;n_card;q;eNP;VSn;Lpu_prik;DATE_IN;SPOS\n"
    f"770012;0001234567;Q1;{E1};;4901;2019-01-01;1\n;;Q2;{E2};123456789;;;\n"
)
HEAD = "SCENARIO;s_card;n_card;eNP;VSn;q;s_cardZ;n_cardZ;qZ;DATE_END;DATE_ARC;IST;eNPZ;VSNZ;OKATO_Z\n"
PERSONS = (
    "ENP;VPOLIS;SPOLIS;NPOLIS;FAM;IM;OT;DR;W;SNILS;SMO;DATE_FROM;DATE_TO\n"
    f"{E1};3;;{E1};Примеров;Пётр;Ильич;1980-03-15;1;;77091;2015-05-01;\n"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    homes.init(str(folder), "smo", own={"code": "Q1", "name": "СМО"}, partners=[], profile="moscow")
    return folder


def bring(home: Path, name: str, text: str | bytes, **more: Any) -> Any:
    file = home.parent / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_site(str(home)) as site:
        return insurance.bring_in(site, str(file), **{"source": insurance.source_of(site, str(file)), **more})


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "insured.duckdb"), read_only=True) as con:
        return con.execute(sql).fetchall()


def stop(*rows_: str) -> str:
    return HEAD + "".join(f"{row}\n" for row in rows_)


def row_of(**cells: str) -> str:
    return ";".join(cells.get(name, "") for name in HEAD.strip().split(";"))


def test_every_number_of_the_list_is_a_policy(home: Path) -> None:
    done = bring(home, "NOMP1019.csv", NOMP)
    assert (done.rows, done.kept) == (2, 2)
    assert set(rows(home, "SELECT key, smo FROM numbers")) == {
        ("1|770012|1234567", "Q1"), (f"3|{E1}", "Q1"), (f"3|{E2}", "Q2"), ("2|123456789", "Q2"),
    }  # fmt: skip
    assert rows(home, "SELECT source, CAST(edition AS VARCHAR), n_rows FROM brought") == [("numbers", "2019-10-01", 2)]


def test_the_same_list_as_a_dbf(home: Path) -> None:
    fields = [
        Column("S_CARD", "C", 6), Column("N_CARD", "N", 10), Column("Q", "C", 2), Column("ENP", "C", 16),
        Column("VSN", "C", 9), Column("LPU_PRIK", "N", 6), Column("DATE_IN", "D", 8), Column("SPOS", "N", 1),
    ]  # fmt: skip
    given = [["770012", 1234567, "Q1", E1, None, 4901, date(2019, 1, 1), 1]]
    with (home.parent / "NOMP1019.DBF").open("wb") as out:
        write(out, fields, given, "cp866", date(2019, 10, 1))
    bring(home, "NOMP1019.DBF", (home.parent / "NOMP1019.DBF").read_bytes())
    assert set(rows(home, "SELECT key FROM numbers")) == {("1|770012|1234567",), (f"3|{E1}",)}


def test_sources_stand_side_by_side_and_editions_are_told(home: Path) -> None:
    bring(home, "insured.csv", PERSONS, edition="2019-10-31")
    bring(home, "NOMP1019.csv", NOMP)
    bring(home, "STOP1019.csv", stop(row_of(eNP=E2, q="Q2", DATE_END="2019-10-05", IST="D")))
    bring(home, "insured.csv", PERSONS, edition="2019-11-30")
    with open_site(str(home)) as site:
        known = insurance.known(site)
    assert known.register.rows == 1
    assert known.policies == {"numbers": 4, "stopped": 1}
    assert [(one.source, one.edition) for one in known.editions] == [
        ("register", "2019-10-31"), ("numbers", "2019-10-01"), ("stop", "2019-10-31"), ("register", "2019-11-30"),
    ]  # fmt: skip


def test_a_new_list_replaces_the_old_one_and_no_older_one_replaces_it(home: Path) -> None:
    bring(home, "STRT1019.csv", f"Q;ENP\nQ1;{E2}\n")
    bring(home, "NOMP1119.csv", f"Q;ENP\nQ2;{E1}\n")
    with pytest.raises(WrongState) as caught:
        bring(home, "NOMP1019.csv", NOMP)
    assert (caught.value.code, caught.value.detail) == ("INSURED_EDITION", "2019-10-01 < 2019-11-01")
    assert set(rows(home, "SELECT key, source FROM numbers")) == {(f"3|{E1}", "numbers"), (f"3|{E2}", "started")}
    bring(home, "NOMP1219.csv", f"Q;ENP\nQ2;{E2}\n")
    assert (f"3|{E1}",) not in rows(home, "SELECT key FROM numbers")


def test_what_was_cancelled_stays_cancelled_when_the_list_forgets_it(home: Path) -> None:
    bring(home, "STOP0919.csv", stop(row_of(eNP=E1, q="Q1", DATE_END="2019-08-05", IST="T")))
    bring(home, "STOP1119.csv", stop(row_of(eNP=E2, q="Q2", DATE_END="2019-11-05", IST="T")))
    bring(home, "STOP1019.csv", stop(row_of(eNP=E2, q="Q2", DATE_END="2019-11-05", IST="T")))
    assert set(rows(home, "SELECT key, CAST(date_end AS VARCHAR) FROM stopped")) == {
        (f"3|{E1}", "2019-08-05"), (f"3|{E2}", "2019-11-05"),
    }  # fmt: skip


def test_what_replaced_a_policy_and_which_number_goes_on(home: Path) -> None:
    moved = row_of(eNP=E1, q="Q1", DATE_END="2019-10-05", eNPZ=E1, qZ="Q2")
    renewed = row_of(
        s_card="770012", n_card="1234567", q="Q1", DATE_END="05.10.2019", eNPZ=E2, qZ="Q1", VSNZ="123456789"
    )
    bring(home, "STOP1019.csv", stop(moved, renewed))
    assert set(rows(home, "SELECT key, gone, npolis_new, smo_new FROM stopped")) == {
        (f"3|{E1}", False, E1, "Q2"), ("1|770012|1234567", True, E2, "Q1"), ("2|123456789", True, E2, "Q1"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("NOMP1019.csv", "Q;ENP\nQ1;123\n", "1:enp"),
        ("NOMP1019.csv", f"Q;ENP\n;{E1}\n", "1:smo"),
        ("NOMP1019.csv", "Q;ENP\nQ1;\n", "1:npolis"),
        ("STOP1019.csv", stop(row_of(eNP=E1, q="Q1")), "1:date_end"),
        ("STOP1019.csv", stop(row_of(eNP=E1, q="Q1", DATE_END="2019-10-05", eNPZ="7")), "1:enp_new"),
    ],
)
def test_a_bad_row_keeps_all_out_and_is_named_without_its_value(home: Path, name: str, text: str, place: str) -> None:
    with pytest.raises(WrongState) as caught:
        bring(home, name, text)
    assert (caught.value.code, caught.value.detail) == ("INSURED_BAD_ROWS", f"1 of 1: {place}")
    assert not (home / "insured.duckdb").exists() and not (home / "insured.duckdb.part").exists()


def test_a_list_without_its_columns_and_an_unknown_source(home: Path) -> None:
    for text, code in ((f"ENP\n{E1}\n", "INSURED_COLUMNS"), ("Q;ENP\n", "INSURED_EMPTY")):
        with pytest.raises(WrongState) as caught:
            bring(home, "NOMP1019.csv", text)
        assert caught.value.code == code
    with pytest.raises(WrongState) as caught:
        bring(home, "NOMP1019.csv", NOMP, source="phone-book")
    assert caught.value.code == "INSURED_SOURCE"


def test_layouts_are_whole_and_named() -> None:
    rules = RuleData()
    for name, row in rules.toml("common/sources/index.toml").items():
        assert row["title"] and row["title_en"] and row["keeps"] in ("newest", "all"), name
    assert [len(rules.table(f"common/sources/{one}.csv")) for one in ("numbers", "stop", "started")] == [8, 15, 11]
