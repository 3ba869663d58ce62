"""What the canonical tables and ``heard.sql`` of the federal profile make of documents and protocols."""

from __future__ import annotations

import duckdb

from oms_batch.judge import books
from tests.federal_documents import PROFILE, Account, Pair, documents, tables_of

HEARD = PROFILE.rules.read("federal/heard.sql").decode("utf-8")


def heard(con: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    books.load_books(con, PROFILE.rules, PROFILE.id, ["defects"])
    return con.execute(f"SELECT z_sl_n, rank, kod, rule FROM ({HEARD}) ORDER BY z_sl_n, rank, n").fetchall()


def paid(con: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return con.execute("SELECT n, pay, sump FROM z_sl ORDER BY n").fetchall()


def test_a_fault_of_a_person_refuses_his_own_records_only() -> None:
    pair = documents([Account(1, person=2), Account(2, person=1), Account(3, person=2)])
    persons = pair.persons.replace(b"<ID_PAC>P2</ID_PAC>", b"<ID_PAC>P2</ID_PAC><TEL/><XX/>")
    con = tables_of(Pair(pair.main, persons, pair.name, "H"))
    found = con.execute("SELECT DISTINCT pers_n FROM findings WHERE refuses = 'person' ORDER BY 1").fetchall()
    assert found == [(1,), (3,)]


def test_sanctions_inside_the_register_are_heard_the_one_with_money_first() -> None:
    block = "<SANK><S_CODE>{}</S_CODE><S_SUM>{}</S_SUM><S_TIP>1</S_TIP><S_OSN>{}</S_OSN></SANK>"
    marks = "<OPLATA>2</OPLATA><SUMP>0</SUMP>" + block.format("a", "0", "207") + block.format("b", "125.50", "211")
    con = tables_of(documents([Account(1), Account(2, marks=marks)]))
    assert heard(con) == [(2, 0, "211", ""), (2, 1, "207", "")]
    assert paid(con) == [(1, None, None), (2, "2", 0)]
