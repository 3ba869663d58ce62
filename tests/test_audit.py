"""The audit trail shows every change, deletion and reordering; what is cut off its end shows against an anchor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from oms_batch.model import NamedFile, Totals, WorkResult
from oms_batch.store import audit, ledger
from oms_batch.store.schema import audit as table

KINDS = ["receive", "park", "answer", "refused", "quarantined", "failed", "retry", "invoice", "decisions", "export"]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[ledger.Ledger]:
    """A ledger with one audit row of each kind at least."""
    opened = ledger.open_ledger(tmp_path / "ledger.db")
    jobs = []
    for number in range(4):
        file = NamedFile(str(number), "", "1" * 13, "2" * 9, "2018-09", str(number), "3", "X", "")
        jobs.append(
            ledger.receive(
                opened, ledger.Delivery(str(number), file.name, str(number), 1, "mo", "us", named=file)
            ).job_id
        )
    ledger.park(opened, jobs[0], "WAITS", "5", "2018-10-10")
    ledger.answer(opened, jobs[0], WorkResult("accepted", Totals(), Totals(), []), "", {}, {}, [])
    ledger.refuse(opened, jobs[1], ["X"])
    ledger.quarantine(opened, jobs[2], "X")
    ledger.fail(opened, jobs[3], "X")
    ledger.retry(opened, jobs[3], "operator")
    ledger.add_invoice(opened, "r", "P", "1", "2018-10-10", 1, "operator")
    ledger.add_decisions(opened, [], "operator")
    ledger.log(opened, "operator", "export", "x", {"rows": 1})
    yield opened
    opened.close()


def spoil(book: ledger.Ledger, *statements: sa.Executable) -> list[str]:
    with book.write() as con:
        for statement in statements:
            con.execute(statement)
    return audit.verify(book)


def test_every_kind_is_there_and_the_trail_is_whole(book: ledger.Ledger) -> None:
    assert {row["action"] for row in audit.rows(book)} == set(KINDS)
    assert audit.verify(book) == [] and audit.verify(book, audit.anchor(book)) == []
    assert [row["data"] for row in audit.rows(book, target="x")] == [{"rows": 1}]


@pytest.mark.parametrize("column", ["t_wall", "actor", "action", "object", "data", "prev", "h"])
@pytest.mark.parametrize("kind", KINDS)
def test_any_change_of_any_kind_of_row_shows(book: ledger.Ledger, kind: str, column: str) -> None:
    seq = next(row["seq"] for row in audit.rows(book) if row["action"] == kind)
    found = spoil(book, sa.update(table).where(table.c.seq == seq).values({column: table.c[column] + "0"}))
    assert found[0] == f"AUDIT_CHANGED {seq}"


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_row_that_is_gone_shows(book: ledger.Ledger, kind: str) -> None:
    seq = next(row["seq"] for row in audit.rows(book) if row["action"] == kind)
    assert spoil(book, sa.delete(table).where(table.c.seq == seq))[0] == f"AUDIT_GAP {seq}"


def test_a_gap_closed_by_renumbering_shows(book: ledger.Ledger) -> None:
    later = sa.update(table).where(table.c.seq > 3).values(seq=table.c.seq - 1)
    assert spoil(book, sa.delete(table).where(table.c.seq == 3), later)[0] == "AUDIT_CHANGED 3"


def test_two_rows_changed_over_show(book: ledger.Ledger) -> None:
    def move(old: int, new: int) -> sa.Executable:
        return sa.update(table).where(table.c.seq == old).values(seq=new)

    assert spoil(book, move(2, 99), move(3, 2), move(99, 3))[0] == "AUDIT_CHANGED 2"


def test_what_is_cut_off_shows_against_an_anchor(book: ledger.Ledger) -> None:
    kept = audit.anchor(book)
    assert spoil(book, sa.delete(table).where(table.c.seq == kept.seq)) == []
    assert audit.verify(book, kept) == [f"AUDIT_CUT {kept.seq}"]
    ledger.log(book, "operator", "export", "x", {"rows": 2})
    assert audit.verify(book, kept) == [f"AUDIT_CHANGED {kept.seq}"]


def test_an_anchor_as_text(book: ledger.Ledger) -> None:
    kept = audit.anchor(book)
    assert audit.Anchor.parse(str(kept)) == kept
    for bad in ("", "7", "7:", "x:" + "0" * 64):
        with pytest.raises(ValueError):
            audit.Anchor.parse(bad)


def test_nothing_is_chained_when_the_effect_is_rolled_back(book: ledger.Ledger) -> None:
    before = audit.anchor(book)
    with pytest.raises(ZeroDivisionError), book.write() as con:
        audit.append(con, "a", "b", "c", {})
        raise ZeroDivisionError
    assert audit.anchor(book) == before
