"""The ledger: one effect per file and hop, every account and kopeck kept, states only along the life."""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from oms_batch.errors import Fault, SetupError, WrongState
from oms_batch.exchange import load_profile
from oms_batch.model import NamedFile, Reply, Totals, WorkResult
from oms_batch.store import audit, ledger, schema

PROFILE = load_profile("yaroslavl")
STEM = "10276000001087604010011809"
REFUSED = [state for state, bucket in PROFILE.buckets.items() if bucket.startswith("refused")]


POSTGRES = os.environ.get("OMS_TEST_POSTGRES", "")  # postgresql+psycopg://user@host:port/database


@pytest.fixture(params=["sqlite", "postgres"] if POSTGRES else ["sqlite"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ledger.Ledger]:
    where: str | Path = tmp_path / "ledger.db"
    if request.param == "postgres":
        own = f"t{uuid.uuid4().hex}"
        admin = sa.create_engine(POSTGRES)
        with admin.begin() as con:
            con.execute(sa.text(f"CREATE SCHEMA {own}"))
        admin.dispose()
        where = f"{POSTGRES}?options=-csearch_path%3D{own}"
    opened = ledger.open_ledger(where)
    yield opened
    opened.close()


def named(suffix: str = "3X", number: str = "1", extension: str = ".zip") -> NamedFile:
    name = f"{STEM}{number}{suffix}{extension}"
    return NamedFile(name, name, STEM[:13], STEM[13:22], "2018-09", number, suffix[0], suffix[1], extension)


def delivery(claim: str, data: bytes = b"1", what: NamedFile | None = None, **other: Any) -> ledger.Delivery:
    file = what or named()
    sha = hashlib.sha256(data).hexdigest()
    told = {"sender": "mo", "receiver": "tfoms", "partner": "mo", "named": file, **other}
    return ledger.Delivery(claim, file.name, sha, len(data), **told)


def effects(path: Path, rows: list[dict[str, Any]]) -> WorkResult:
    """A Parquet file of effects and the result that agrees with it."""
    full = [
        {**dict.fromkeys(ledger.EFFECT_COLUMNS, ""), "withheld": 0, "sumv": 100, "stage": "3", **row} for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(full), path)
    refused = [row for row in full if row["state"] in REFUSED]
    sent = Totals(len(full), sum(row["sumv"] for row in full))
    return WorkResult("partly", sent, Totals(len(refused), sum(row["withheld"] for row in full)), [])


def commit(
    book: ledger.Ledger,
    path: Path,
    claim: str,
    what: NamedFile,
    rows: list[dict[str, Any]],
    sender: str = "mo",
    **more: Any,
) -> int:
    """Receive a file and answer it with these effects."""
    got = ledger.receive(book, delivery(claim, claim.encode(), what, sender=sender, receiver="us"))
    result = effects(path / f"{claim}.parquet", rows)
    ledger.start(book, got.job_id)
    assert ledger.answer(
        book, got.job_id, result, str(path / f"{claim}.parquet"), PROFILE.life, PROFILE.buckets, [], **more
    )
    return got.job_id


def month(book: ledger.Ledger, path: Path) -> None:
    """A register of four accounts at the MO, through 13X, 11P, 16P and 15P."""
    commit(book, path, "3", named("3X"), [{"xkey": x, "state": "billed"} for x in "abcd"])
    fund = [{"xkey": x, "state": "fund_passed", "stage": "1", "payer": "P"} for x in "abc"]
    fund += [
        {"xkey": "d", "state": "fund_refused", "stage": "1", "payer": "P", "withheld": 100, "defect": "x", "kod": "1.1"}
    ]
    commit(book, path, "1", named("1P"), fund, sender="tfoms")
    commit(
        book, path, "r", named("1P"), [{"xkey": x, "state": "reformulated", "stage": "1"} for x in "abc"], sender="own"
    )
    refused = {"xkey": "c", "state": "stage1_refused", "stage": "6", "withheld": 100}
    commit(book, path, "6", named("6P"), [refused], sender="smo-p")
    commit(book, path, "5", named("5P"), [{"xkey": x, "state": "accepted", "stage": "5"} for x in "ab"], sender="smo-p")


# ---- opening --------------------------------------------------------------------------------------------


def test_migrations_make_exactly_the_schema(book: ledger.Ledger) -> None:
    with book.read() as con:
        context = MigrationContext.configure(con, opts={"version_table": "schema_version"})
        assert compare_metadata(context, schema.metadata) == []


def test_a_ledger_of_a_newer_program_is_refused_and_untouched(tmp_path: Path) -> None:
    book = ledger.open_ledger(tmp_path / "ledger.db")
    with book.write() as con:
        con.execute(sa.text("UPDATE schema_version SET version_num = '9999'"))
    book.close()
    with pytest.raises(SetupError, match="newer"):
        ledger.open_ledger(tmp_path / "ledger.db")


def test_something_else_in_place_of_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(SetupError):
        ledger.open_ledger(tmp_path / "ledger.db")
    with pytest.raises(SetupError):
        ledger.open_ledger(tmp_path / "no" / "folder" / "ledger.db")


def test_durable_settings_are_on(book: ledger.Ledger) -> None:
    if book.engine.dialect.name != "sqlite":
        pytest.skip("SQLite's own settings")
    with book.read() as con:
        told = {
            name: con.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_transaction_that_raises_leaves_nothing(book: ledger.Ledger) -> None:
    with pytest.raises(ZeroDivisionError), book.write() as con:
        con.execute(sa.insert(schema.notes).values(name="a", value="b"))
        raise ZeroDivisionError
    assert ledger.note(book, "a") == ""


def test_a_copy_taken_while_others_write_is_whole(tmp_path: Path) -> None:
    book = ledger.open_ledger(tmp_path / "ledger.db")
    for number in range(5):
        ledger.receive(book, delivery(f"c{number}", b"%d" % number, named(number=str(number))))
        with book.write() as con:  # an open write must neither stop the copy nor be in it
            con.execute(sa.insert(schema.notes).values(name=f"n{number}", value="x"))
            ledger.backup(book, tmp_path / f"copy{number}.db")
        copy = ledger.open_ledger(tmp_path / f"copy{number}.db")
        assert len(ledger.job_rows(copy)) == number + 1 and audit.verify(copy) == []
        assert ledger.note(copy, f"n{number}") == "" and ledger.verify(copy, PROFILE.buckets)["balanced"]
        copy.close()
    with pytest.raises(FileExistsError):
        ledger.backup(book, tmp_path / "copy0.db")
    book.close()


# ---- receiving ------------------------------------------------------------------------------------------


def test_new_again_and_duplicate(book: ledger.Ledger) -> None:
    first = ledger.receive(book, delivery("c1"))
    again = ledger.receive(book, delivery("c1"))
    assert (first.verdict, again.verdict) == ("NEW", "AGAIN")
    assert (again.job_id, again.receipt_id) == (first.job_id, first.receipt_id)
    other_name = ledger.receive(book, delivery("c2", what=named(extension=".7z")))
    assert (other_name.verdict, other_name.job_id, other_name.first_receipt_id) == (
        "DUP",
        first.job_id,
        first.receipt_id,
    )
    assert ledger.receive(book, delivery("c2", what=named(extension=".7z"))).verdict == "DUP"
    assert len(ledger.job_rows(book)) == 1


def test_the_next_hop_is_not_a_duplicate(book: ledger.Ledger) -> None:
    one = ledger.receive(book, delivery("c1", what=named("1P"), sender="tfoms", receiver="mo"))
    two = ledger.receive(book, delivery("c2", what=named("1P"), sender="mo", receiver="smo-p"))
    assert (one.verdict, two.verdict) == ("NEW", "NEW")


def test_other_bytes_under_a_used_name(book: ledger.Ledger, tmp_path: Path) -> None:
    first = ledger.receive(book, delivery("c1", b"1"))
    second = ledger.receive(book, delivery("c2", b"2", named(extension=".7z")))
    assert (second.verdict, second.first_receipt_id) == ("NAME_REUSED", first.receipt_id)
    ledger.refuse(book, second.job_id, ["NAME_REUSED"])
    assert ledger.receive(book, delivery("c3", b"2")).verdict == "DUP"
    assert ledger.receive(book, delivery("c4", b"3")).verdict == "NAME_REUSED"


@pytest.mark.parametrize(("close", "verdict"), [("refuse", "NEW"), ("quarantine", "NEW"), ("fail", "NAME_REUSED")])
def test_a_refused_file_may_come_corrected_under_its_name(book: ledger.Ledger, close: str, verdict: str) -> None:
    first = ledger.receive(book, delivery("c1", b"1"))
    getattr(ledger, close)(book, first.job_id, ["XML_SYNTAX"] if close == "refuse" else "XML_SYNTAX")
    assert ledger.receive(book, delivery("c2", b"2")).verdict == verdict


def test_same_bytes_for_another_period_or_payer_are_another_job(book: ledger.Ledger) -> None:
    ledger.receive(book, delivery("c1"))
    assert ledger.receive(book, delivery("c2", what=dataclasses.replace(named(), period="2018-10"))).verdict == "NEW"
    assert ledger.receive(book, delivery("c3", what=dataclasses.replace(named(), payer="P"))).verdict == "NEW"


@pytest.mark.parametrize("name", ["реестр\n.zip", "a\udcff.zip", "\x1b[2J", "a\u202eb"])
def test_names_that_say_nothing_are_kept_printable(book: ledger.Ledger, name: str) -> None:
    what = ledger.Delivery("c1", name, "0" * 64, 1, "mo", "tfoms", "mo")
    got = ledger.receive(book, what)
    row = ledger.get(book, got.job_id)
    assert got.verdict == "NEW" and row["name"].isprintable() and row["register"] == ""
    assert ledger.receive(book, dataclasses.replace(what, claim_id="c2")).verdict == "DUP"
    with book.read() as con:
        assert bytes.fromhex(con.execute(sa.select(schema.receipts.c.name_hex)).scalars().first() or "")


def _receive_many(path: str, claims: list[str], out: Any) -> None:
    book = ledger.open_ledger(path)
    verdicts = []
    for number, claim in enumerate(claims):
        what = delivery(claim, b"%d" % number, named(number=str(number % 10)))
        verdicts.append(ledger.receive(book, what).verdict)
    out.put(verdicts)
    book.close()


def test_four_processes_receive_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    out, path = context.Queue(), str(tmp_path / "ledger.db")
    started = [
        context.Process(target=_receive_many, args=(path, [f"{worker}-{number}" for number in range(25)], out))
        for worker in range(4)
    ]
    for process in started:
        process.start()
    verdicts = [verdict for _ in started for verdict in out.get(timeout=120)]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0, 0]
    assert verdicts.count("NEW") + verdicts.count("NAME_REUSED") == 25 and verdicts.count("DUP") == 75
    book = ledger.open_ledger(path)
    assert len(ledger.job_rows(book)) == 25 and audit.verify(book) == []
    book.close()


# ---- jobs -----------------------------------------------------------------------------------------------


def test_attempts_park_and_retry(book: ledger.Ledger) -> None:
    job = ledger.receive(book, delivery("c1")).job_id
    assert [ledger.start(book, job), ledger.start(book, job)] == [1, 2]
    ledger.park(book, job, "WAITS_FOR_STAGE", "5P", "2018-10-20")
    ledger.park(book, job, "WAITS_FOR_STAGE", "5P", "2018-10-20")
    assert [row["waits_for"] for row in ledger.parked(book)] == ["5P"] and ledger.unfinished(book) == []
    assert ledger.start(book, job) == 1
    ledger.park(book, job, "WAITS_FOR_STAGE", "5P", "2018-11-30")
    assert ledger.get(book, job)["deadline"] == "2018-10-20"
    assert ledger.start(book, job) == 1
    ledger.fail(book, job, "ValueError at x.py:1")
    with pytest.raises(WrongState):
        ledger.start(book, job)
    assert ledger.verify(book, PROFILE.buckets)["problems"] == [f"JOB_FAILED {job}"]
    ledger.retry(book, job, "operator")
    assert ledger.start(book, job) == 1
    ledger.quarantine(book, job, "LOOP")
    ledger.quarantine(book, job, "LOOP")
    with pytest.raises(WrongState):
        ledger.refuse(book, job, ["X"])
    assert [row["action"] for row in audit.rows(book)] == ["receive", "park", "failed", "retry", "quarantined"]


def test_outbox_in_order_published_blocked_and_again(book: ledger.Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    sha = hashlib.sha256(b"x").hexdigest()
    job = ledger.receive(book, delivery("c1")).job_id
    replies = [
        ledger.Boxed(Reply(name, "mo", order, "answer", sha, 1), str(tmp_path / "file"))
        for name, order in (("receipt", 9), ("5", 2), ("6", 1))
    ]
    ledger.refuse(book, job, ["HDR_SUM", "HDR_SUM"], replies)
    rows = ledger.unpublished(book)
    assert [row.name for row in rows] == ["6", "5", "receipt"]
    assert ledger.verify(book, PROFILE.buckets)["balanced"]
    ledger.published(book, rows[0].id)
    ledger.published(book, rows[0].id)
    ledger.blocked(book, rows[1].id)
    assert [row.name for row in ledger.unpublished(book)] == ["5", "receipt"] and ledger.unarchived(book) == []
    assert ledger.verify(book, PROFILE.buckets)["problems"] == [f"PUBLISH_BLOCKED {rows[1].id}"]
    ledger.published(book, rows[1].id)
    (tmp_path / "file").write_bytes(b"y")
    assert ledger.verify(book, PROFILE.buckets)["problems"] == [f"OUTBOX_LOST {rows[2].id}"]
    ledger.published(book, rows[2].id)
    assert [row["id"] for row in ledger.unarchived(book)] == [job] and ledger.is_ours(book, sha)
    assert ledger.get(book, job)["reason"] == "HDR_SUM"
    ledger.archived(book, job, "/archive/x", [("5", "/archive/5")])
    assert ledger.unarchived(book) == []
    ledger.republish(book, job)
    assert len(ledger.unpublished(book)) == 3


# ---- the life of accounts -------------------------------------------------------------------------------


def test_a_whole_month_is_conserved(book: ledger.Ledger, tmp_path: Path) -> None:
    month(book, tmp_path)
    proof = ledger.verify(book, PROFILE.buckets)
    assert proof["balanced"], proof
    assert proof["accounts"] == {
        "sent": 4,
        "refused_1": 1,
        "refused_6": 1,
        "accepted_5": 2,
        "refused_2": 0,
        "waiting": 0,
    }
    final = [{"xkey": "a", "state": "final_refused", "withheld": 30}, {"xkey": "b", "state": "accepted"}]
    commit(book, tmp_path, "2", named("2P"), [{**row, "stage": "2"} for row in final], sender="smo-p")
    proof = ledger.verify(book, PROFILE.buckets)
    assert proof["balanced"], proof
    assert proof["sums"] == {
        "sent": 400,
        "refused_1": 100,
        "refused_6": 100,
        "accepted_5": 170,
        "refused_2": 30,
        "waiting": 0,
    }
    assert proof["accounts"]["refused_2"] == 1 and proof["accounts"]["accepted_5"] == 1
    (account,) = ledger.life(book, "a")
    assert [(step["stage"], step["to_state"]) for step in account["moves"]] == [
        ("3", "billed"), ("1", "fund_passed"), ("1", "reformulated"), ("5", "accepted"), ("2", "final_refused"),
    ]  # fmt: skip
    (row,) = ledger.status(book, PROFILE.buckets, "2018-09")
    assert row["accounts"] == 4 and row["payers"] == {"P": {"accounts": 4, "kopecks": 400}} and len(row["jobs"]) == 6
    sums = ledger.register_sums(book, row["register"], "P", PROFILE.buckets)
    assert sums["accepted_5"] == {"accounts": 1, "kopecks": 170}


BAD: dict[str, list[dict[str, Any]]] = {
    "passed over a stage": [{"xkey": "a", "state": "accepted"}],
    "unknown account": [{"xkey": "z", "state": "fund_passed"}],
    "other sum": [{"xkey": "a", "state": "fund_passed", "sumv": 101}],
    "more withheld than claimed": [{"xkey": "a", "state": "fund_refused", "withheld": 101}],
    "refused in part where only the whole can be": [{"xkey": "a", "state": "fund_refused", "withheld": 99}],
    "negative": [{"xkey": "a", "state": "fund_passed", "sumv": -1, "withheld": -1}],
    "no such state": [{"xkey": "a", "state": "paid twice"}],
    "no key": [{"xkey": "", "state": "fund_passed"}],
}


@pytest.mark.parametrize("why", BAD)
def test_effects_that_break_the_books_change_nothing(book: ledger.Ledger, tmp_path: Path, why: str) -> None:
    commit(book, tmp_path, "3", named("3X"), [{"xkey": x, "state": "billed"} for x in "ab"])
    before = ledger.status(book, PROFILE.buckets)[0]["waiting"]
    with pytest.raises(Fault):
        commit(book, tmp_path, "1", named("1P"), BAD[why], sender="tfoms")
    assert ledger.status(book, PROFILE.buckets)[0]["waiting"] == before
    assert [row["action"] for row in audit.rows(book)] == ["receive", "answer", "receive"]
    commit(book, tmp_path, "1b", named("1R"), [{"xkey": "a", "state": "fund_passed"}], sender="tfoms")


@pytest.mark.parametrize("field", ["sent", "refused"])
@pytest.mark.parametrize("delta", [Totals(1, 0), Totals(0, 1), Totals(0, -1)])
def test_totals_of_the_result_must_agree(book: ledger.Ledger, tmp_path: Path, field: str, delta: Totals) -> None:
    job = ledger.receive(book, delivery("c1")).job_id
    path = tmp_path / "e.parquet"
    result = effects(path, [{"xkey": "a", "state": "billed"}, {"xkey": "b", "state": "fund_refused", "withheld": 100}])
    wrong = dataclasses.replace(result, **{field: getattr(result, field) + delta})
    with pytest.raises(Fault):
        ledger.answer(book, job, wrong, str(path), PROFILE.life, PROFILE.buckets, [])
    assert ledger.answer(book, job, result, str(path), PROFILE.life, PROFILE.buckets, [])


def test_effects_with_float_sums_or_missing_columns_are_refused(book: ledger.Ledger, tmp_path: Path) -> None:
    job = ledger.receive(book, delivery("c1")).job_id
    path = tmp_path / "e.parquet"
    result = effects(path, [{"xkey": "a", "state": "billed"}])
    table = pq.read_table(path)
    for bad in (
        table.drop_columns(["digest"]),
        table.set_column(table.schema.get_field_index("sumv"), "sumv", pa.array([100.0])),
    ):
        pq.write_table(bad, path)
        with pytest.raises(Fault):
            ledger.answer(book, job, result, str(path), PROFILE.life, PROFILE.buckets, [])


def test_answering_twice_has_one_effect(book: ledger.Ledger, tmp_path: Path) -> None:
    job = ledger.receive(book, delivery("c1")).job_id
    path = tmp_path / "e.parquet"
    result = effects(path, [{"xkey": "a", "state": "billed"}])
    arguments = (book, job, result, str(path), PROFILE.life, PROFILE.buckets, [])
    assert [ledger.answer(*arguments), ledger.answer(*arguments)] == [True, False]
    (account,) = ledger.life(book, "a")
    assert len(account["moves"]) == 1
    other = ledger.receive(book, delivery("c2", b"2", named(number="2"))).job_id
    ledger.refuse(book, other, ["X"])
    with pytest.raises(Fault):
        ledger.answer(book, other, result, str(path), PROFILE.life, PROFILE.buckets, [])


def test_an_answer_without_accounts_may_not_count_any(book: ledger.Ledger) -> None:
    job = ledger.receive(book, delivery("c1")).job_id
    with pytest.raises(Fault):
        ledger.answer(
            book, job, WorkResult("accepted", Totals(1, 1), Totals(), []), "", PROFILE.life, PROFILE.buckets, []
        )
    assert ledger.answer(
        book, job, WorkResult("accepted", Totals(), Totals(), []), "", PROFILE.life, PROFILE.buckets, []
    )


def test_two_accounts_under_one_key_stay_two(book: ledger.Ledger, tmp_path: Path) -> None:
    commit(
        book,
        tmp_path,
        "3",
        named("3X"),
        [{"xkey": "a", "state": "billed"}, {"xkey": "a", "state": "billed", "sumv": 7}],
    )
    rows = [{"xkey": "a", "state": "fund_passed"}, {"xkey": "a", "state": "fund_refused", "sumv": 7, "withheld": 7}]
    commit(book, tmp_path, "1", named("1P"), rows, sender="tfoms")
    proof = ledger.verify(book, PROFILE.buckets)
    assert proof["balanced"] and proof["sums"]["refused_1"] == 7 and proof["accounts"]["sent"] == 2


def test_companions_are_answered_by_the_same_act(book: ledger.Ledger, tmp_path: Path) -> None:
    month_rows = [{"xkey": x, "state": "billed"} for x in "ab"]
    commit(book, tmp_path, "3", named("3X"), month_rows)
    six = ledger.receive(book, delivery("6", b"6", named("6P"), sender="smo-p", receiver="us")).job_id
    ledger.park(book, six, "WAITS_FOR_STAGE", "5P", "2018-10-20")
    commit(
        book,
        tmp_path,
        "5",
        named("5P"),
        [{"xkey": x, "state": "fund_passed"} for x in "ab"],
        sender="smo-p",
        companions=[six],
    )
    assert ledger.get(book, six)["state"] == "answered" and ledger.verify(book, PROFILE.buckets)["balanced"]
    with pytest.raises(Fault):
        commit(
            book, tmp_path, "5b", named("5R"), [{"xkey": "a", "state": "fund_passed"}], sender="smo-r", companions=[six]
        )


def test_files_are_found_by_stage_and_follow_into_the_archive(book: ledger.Ledger, tmp_path: Path) -> None:
    job = ledger.receive(book, delivery("c1", original="/spool/c1")).job_id
    path = tmp_path / "e.parquet"
    result = effects(path, [{"xkey": "a", "state": "fund_passed"}])
    out = ledger.Boxed(Reply("x1P.zip", "mo", 1, "answer", "ab", 2), "/box/1/x1P.zip", "1", "P")
    ledger.answer(book, job, result, str(path), PROFILE.life, PROFILE.buckets, [out])
    register = named().register
    assert ledger.find_file(book, register, "3", "X", "in") == {
        "job_id": job, "name": named().name, "sha256": hashlib.sha256(b"1").hexdigest(), "path": "/spool/c1",
    }  # fmt: skip
    ledger.archived(book, job, "/archive/c1", [("x1P.zip", "/archive/x1P.zip")])
    found = [
        ledger.find_file(book, register, stage, payer, way)
        for stage, payer, way in (("3", "X", "in"), ("1", "P", "out"))
    ]
    assert [row and row["path"] for row in found] == ["/archive/c1", "/archive/x1P.zip"]
    assert ledger.find_file(book, register, "1", "P", "in") is None
    assert (ledger.find_job(book, register, "3", "X", ["answered"]) or {})["id"] == job


def test_known_accounts_for_the_child(book: ledger.Ledger, tmp_path: Path) -> None:
    month(book, tmp_path)
    assert ledger.export_known(book, named().register, "P", str(tmp_path / "known.parquet")) == 4
    rows = pq.read_table(tmp_path / "known.parquet").to_pylist()
    assert [(row["xkey"], row["state"], row["sumv"]) for row in rows][:1] == [("a", "accepted", 100)]
    assert tuple(rows[0]) == ledger.KNOWN_COLUMNS
    assert ledger.export_known(book, "nothing", "", str(tmp_path / "none.parquet")) == 0
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


# ---- the proof finds what is wrong ----------------------------------------------------------------------

WRONG = {
    "ACCOUNT_MOVES": "UPDATE accounts SET state = 'billed' WHERE xkey = 'a'",
    "JOB_TOTALS": "UPDATE accounts SET sumv = sumv + 1 WHERE xkey = 'a'",
    "ACCOUNT_LINE": "UPDATE moves SET from_state = 'accepted' WHERE seq = 2",
    "STATE_UNKNOWN": "UPDATE accounts SET state = 'gone' WHERE xkey = 'a'",
    "RECEIPT_NO_VERDICT": "UPDATE receipts SET verdict = '' WHERE id = 1",
    "JOB_WAITS_FOR_NOTHING": "UPDATE jobs SET state = 'parked' WHERE id = 1",
    "JOB_SEAL": "UPDATE moves SET kod = '9' WHERE seq = 2",
    "AUDIT_CHANGED": "UPDATE audit SET data = 'x' WHERE action = 'answer'",
    "AUDIT_GAP": "DELETE FROM audit WHERE seq = 3",
}


@pytest.mark.parametrize("code", WRONG)
def test_verify_finds(book: ledger.Ledger, tmp_path: Path, code: str) -> None:
    month(book, tmp_path)
    assert ledger.verify(book, PROFILE.buckets)["balanced"]
    with book.write() as con:
        con.execute(sa.text(WRONG[code]))
    proof = ledger.verify(book, PROFILE.buckets)
    assert not proof["balanced"] and code in {problem.split()[0] for problem in proof["problems"]}, proof


def test_verify_finds_an_account_accepted_in_two_registers(book: ledger.Ledger, tmp_path: Path) -> None:
    for number in "12":
        commit(book, tmp_path, f"1{number}", named("1P", number), [{"xkey": "a", "state": "accepted", "stage": "1"}])
    assert ledger.verify(book, PROFILE.buckets)["problems"] == ["ACCEPTED_TWICE a"]


# ---- the desk -------------------------------------------------------------------------------------------


def test_refused_list_and_its_filters(book: ledger.Ledger, tmp_path: Path) -> None:
    month(book, tmp_path)
    assert [row["xkey"] for row in ledger.refused(book, REFUSED)] == ["c", "d"]
    (row,) = ledger.refused(book, REFUSED, kod="1.1", payer="P", period="2018-09", min_kopecks=100)
    assert (row["xkey"], row["stage"], row["defect"], row["register"]) == ("d", "1", "x", named().register)
    assert ledger.refused(book, REFUSED, kod="9") == [] and len(ledger.refused(book, REFUSED, limit=1)) == 1


def test_the_way_of_a_refused_account_into_the_next_register(book: ledger.Ledger, tmp_path: Path) -> None:
    month(book, tmp_path)
    passed, refused = ledger.life(book, "a")[0]["id"], ledger.life(book, "d")[0]["id"]
    for account, code in ((passed, "ACC_NOT_REFUSED"), (999, "ACC_UNKNOWN")):
        with pytest.raises(WrongState) as caught:
            ledger.resubmit(book, account, "primary", "ivanova", REFUSED)
        assert caught.value.code == code
    ledger.correct(book, refused, "usl.profil", "case:17", "ivanova", "wrong profile", REFUSED)
    ledger.resubmit(book, refused, "primary", "ivanova", REFUSED)
    for act in (
        lambda: ledger.resubmit(book, refused, "primary", "ivanova", REFUSED),
        lambda: ledger.correct(book, refused, "x", "", "i", "", REFUSED),
    ):
        with pytest.raises(WrongState) as caught:
            act()  # type: ignore[no-untyped-call]
        assert caught.value.code == "ACC_RESUBMITTED"
    (waiting,) = ledger.waiting_resubmissions(book)
    assert (waiting["kind"], waiting["xkey"]) == ("primary", "d")
    assert ledger.refused(book, REFUSED, open=True, xkey="d") == []
    new = named("3X", "2")
    ledger.place_resubmissions(book, [(refused, new.register, "d2")])
    ledger.place_resubmissions(book, [(refused, new.register, "d2")])
    with pytest.raises(WrongState):
        ledger.place_resubmissions(book, [(refused, "another", "d3")])
    assert ledger.waiting_resubmissions(book) == [] and len(ledger.waiting_resubmissions(book, None)) == 1
    commit(book, tmp_path, "next", new, [{"xkey": "d2", "state": "billed"}])
    assert ledger.life(book, "d")[0]["successor"] == (new.register, "d2")
    assert ledger.life(book, "d2")[0]["predecessor"] == (named().register, "d")
    assert [fix["field"] for fix in ledger.life(book, "d")[0]["corrections"]] == ["usl.profil"]
    assert len(ledger.corrections_of(book, refused)) == 1 and ledger.verify(book, PROFILE.buckets)["balanced"]


def test_invoices_once_and_never_with_another_sum(book: ledger.Ledger) -> None:
    arguments = (book, "register", "P", "7", "2018-10-10")
    assert ledger.add_invoice(*arguments, 100, "ivanova") and not ledger.add_invoice(*arguments, 100, "ivanova")
    with pytest.raises(WrongState):
        ledger.add_invoice(*arguments, 101, "ivanova")
    assert [row["kopecks"] for row in ledger.invoice_rows(book, "register")] == [100]


def test_decisions_fit_the_account_and_are_used_once(book: ledger.Ledger, tmp_path: Path) -> None:
    month(book, tmp_path)
    row = {"register": named().register, "xkey": "a", "payer": "P", "kod": "2.1", "defect": "mee", "withheld": 30}
    row |= {"act_no": "1", "act_date": "2018-11-01", "expert": "770001"}
    assert ledger.add_decisions(book, [row], "expert") == (1, 0) and ledger.add_decisions(book, [row], "expert") == (
        0,
        1,
    )
    for change, code in (
        ({"xkey": "z"}, "ACC_UNKNOWN"),
        ({"withheld": 101, "act_no": "2"}, "DECISION_SUM"),
        ({"withheld": 31}, "DECISION_DIFFERS"),
    ):
        with pytest.raises(WrongState) as caught:
            ledger.add_decisions(book, [{**row, "act_no": "3"}, {**row, **change}], "expert")
        assert caught.value.code == code
    (open_one,) = ledger.open_decisions(book, payer="P")
    final = [{"xkey": "a", "state": "final_refused", "stage": "2", "withheld": 30}]
    commit(book, tmp_path, "2", named("2P"), final, sender="own", used_decisions=[open_one["id"]])
    assert ledger.open_decisions(book) == [] and ledger.life(book, "a")[0]["decisions"][0]["used_job"]


def test_counters_and_notes(book: ledger.Ledger) -> None:
    assert [ledger.next_number(book, "invoice") for _ in range(3)] == [1, 2, 3] and ledger.next_number(
        book, "other"
    ) == 1
    ledger.put_note(book, "nightly", "1")
    ledger.put_note(book, "nightly", "2")
    assert ledger.note(book, "nightly") == "2"
    with pytest.raises(Fault):
        ledger.log(book, "i", "export", "x", {"value": [1]})
