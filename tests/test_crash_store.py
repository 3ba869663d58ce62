"""Killed at every numbered point, failing at every numbered point: nothing is lost and nothing is doubled.

A small participant (no judging, only the steps of the spool and the ledger) takes in three deliveries: a register,
the same bytes under another extension, and other bytes under the same name. Each run is a forked child.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import random
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oms_batch import clock
from oms_batch.model import NamedFile, Reply, Totals, WorkResult
from oms_batch.store import audit, fsio, ledger, spool

LIFE = {"passed": [], "refused": []}
BUCKETS = {"passed": "waiting", "refused": "refused_1"}
STEM = "1027600000108760401001180913X"
DELIVERIES = {f"{STEM}.zip": b"first" * 1000, f"{STEM}.7z": b"first" * 1000, f"{STEM}.xml": b"other" * 10}
WHEN = datetime(2018, 10, 2, 9, tzinfo=timezone.utc)


def named(name: str) -> NamedFile:
    stem, _, extension = name.partition(".")
    return NamedFile(name, name, stem[:13], stem[13:22], "2018-09", "1", "3", "X", f".{extension}")


def prepare(root: Path) -> spool.Home:
    home = spool.Home.at(root)
    for folder in (home.inbox / "mo", home.outbox / "mo", home.archive, home.tmp, home.work, home.box, home.quarantine):
        folder.mkdir(parents=True)
    for name, data in DELIVERIES.items():
        (home.inbox / "mo" / name).write_bytes(data)
    return home


def sweep(home: spool.Home) -> None:
    """One run of the participant, from the lock to the archive."""
    with fsio.lock(home.lock):
        spool.sweep_tmp(home)
        book = ledger.open_ledger(home.ledger)
        settling = spool.Settling(settle_seconds=0, give_up_minutes=0)
        claims = spool.leftovers(home, ["mo"])
        receive_all(home, book, claims)
        while entries := spool.look(home, ["mo"], settling):
            receive_all(home, book, [found for found in (spool.claim(entry) for entry in entries) if found])
        for job in ledger.unfinished(book):
            work(home, book, job["id"], job["original"])
        for row in ledger.unpublished(book):
            assert spool.publish(home, row.box_path, row.name, row.partner, row.sha256) == "done"
            ledger.published(book, row.id)
        for job in ledger.unarchived(book):
            keep(home, book, job["id"], job["original"], job["name"], job["sha256"])
        needed = [job["original"] for job in ledger.unfinished(book)]
        spool.sweep_work(home, needed)
        book.close()


def receive_all(home: spool.Home, book: ledger.Ledger, claims: list[spool.Claim]) -> None:
    for claim in claims:
        taken = spool.take(home, claim)
        assert taken is not None
        what = ledger.Delivery(
            claim.claim_id,
            claim.name,
            taken.sha256,
            taken.size,
            "mo",
            "tfoms",
            "mo",
            named(claim.name),
            original=taken.path,
        )
        got = ledger.receive(book, what)
        if got.verdict == "NAME_REUSED" and got.state == "new":
            ledger.refuse(book, got.job_id, ["NAME_REUSED"], [reply(home, got.job_id, "protocol", b"refused")])
        spool.release(claim)


def reply(home: spool.Home, job: int, kind: str, data: bytes, order: int = 1) -> ledger.Boxed:
    name = f"{kind}-{job}.txt"
    path = home.box_of(job) / name
    fsio.write_bytes_durable(path, data)
    about = Reply(name, "mo", order, kind, hashlib.sha256(data).hexdigest(), len(data))
    return ledger.Boxed(about, str(path), "1" if kind == "answer" else "", "P")


def work(home: spool.Home, book: ledger.Ledger, job: int, source: str) -> None:
    ledger.start(book, job)
    data = fsio.read_bytes(source)
    effects = home.scratch(job) / "effects.parquet"
    columns = {name: [""] * 4 for name in ledger.EFFECT_COLUMNS}
    columns |= {"xkey": list("abcd"), "sumv": [100, 200, 300, 400], "withheld": [0, 0, 0, 400]}  # type: ignore[dict-item]
    columns |= {"state": ["passed"] * 3 + ["refused"], "stage": ["3"] * 4}
    pq.write_table(pa.table(columns), effects)
    replies = [reply(home, job, "answer", data + b"judged"), reply(home, job, "receipt", b"receipt", 2)]
    result = WorkResult("partly", Totals(4, 1000), Totals(1, 400), [boxed.reply for boxed in replies])
    ledger.answer(book, job, result, str(effects), LIFE, BUCKETS, replies)


def keep(home: spool.Home, book: ledger.Ledger, job: int, original: str, name: str, sha256: str) -> None:
    path = spool.archive(home, original, name, sha256, WHEN)
    rows = ledger.outbox_of(book, job)
    kept = [(row.name, spool.archive(home, row.box_path, row.name, row.sha256, WHEN)) for row in rows]
    spool.finish(home, job)
    ledger.archived(book, job, path, kept)


# ---- the harness ----------------------------------------------------------------------------------------


def forked(act: Callable[[], None], crash_at: int = 0, fail: str = "0,EIO") -> int:
    """Run in a child with these points; its exit code, negative when it was killed."""
    child = os.fork()
    if child == 0:
        gc.disable()  # databases with threads of their own, left by other tests, are not the child's to throw away
        code = 1
        try:
            number, _, fsio._fail_name = fail.partition(",")  # type: ignore[misc]
            fsio._fail_at, fsio._crash_at, fsio._points = number, crash_at, itertools.count(1)  # type: ignore[misc]
            act()
            code = 0
        except OSError:
            code = 2
        except BaseException as error:
            code = 2 if "disk" in str(error) or "OperationalError" in str(error) else 1
            if code == 1:
                traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def nothing_lost(home: spool.Home) -> None:
    """At any moment the bytes of each delivery are somewhere, and readers of the outbox see whole files only."""
    places = (home.inbox, home.work, home.archive)
    there = {
        path.read_bytes()
        for place in places
        for path in place.rglob("*")
        if path.is_file() and ".tmp-" not in path.name
    }
    assert set(DELIVERIES.values()) <= there
    for path in (home.outbox / "mo").iterdir():
        if not path.name.startswith(".tmp-"):
            assert path.read_bytes() in (
                DELIVERIES[f"{STEM}.zip"] + b"judged",
                b"other" * 10 + b"judged",
                b"receipt",
                b"refused",
            )


def all_well(home: spool.Home) -> None:
    """The end state, whatever happened on the way."""
    book = ledger.open_ledger(home.ledger)
    proof = ledger.verify(book, BUCKETS)
    assert proof["balanced"], proof
    assert proof["accounts"] == {
        "sent": 4,
        "refused_1": 1,
        "refused_6": 0,
        "accepted_5": 0,
        "refused_2": 0,
        "waiting": 3,
    }
    assert proof["sums"]["sent"] == 1000 and proof["sums"]["refused_1"] == 400
    jobs = ledger.job_rows(book)
    assert sorted(job["state"] for job in jobs) == ["answered", "refused"], jobs
    assert ledger.unpublished(book) == [] and ledger.unarchived(book) == []
    actions = [row["action"] for row in audit.rows(book)]
    assert [actions.count(name) for name in ("receive", "answer", "refused", "published")] == [3, 1, 1, 3]
    assert fsio.listdir(home.inbox / "mo") in ([], [".claim"]) and fsio.listdir(home.inbox / "mo" / ".claim") == []
    out = sorted(
        path.name.partition("-")[0] for path in (home.outbox / "mo").iterdir() if not path.name.startswith(".tmp-")
    )
    assert out == ["answer", "protocol", "receipt"]
    assert fsio.listdir(home.work) == [] and fsio.listdir(home.box) == [] and fsio.listdir(home.tmp) == []
    for path in home.archive.rglob("*"):
        if path.is_file() and ".tmp-" not in path.name:
            assert path.name.endswith(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    book.close()


STRIDES = [11, pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("stride", STRIDES)
def test_killed_at_every_point_then_recovered(tmp_path: Path, stride: int) -> None:
    for number in itertools.count(1, stride):
        home = prepare(tmp_path / str(number))
        code = forked(lambda: sweep(home), crash_at=number)  # noqa: B023
        nothing_lost(home)
        if code != 0:
            assert code == -9, f"point {number}: exit {code}"
            assert forked(lambda: sweep(home)) == 0, f"recovery after point {number}"  # noqa: B023
        all_well(home)
        if code == 0:
            assert number > 80
            return


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 20))])
def test_killed_again_and_again_during_recovery(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    home = prepare(tmp_path / "home")
    for _ in range(200):
        code = forked(lambda: sweep(home), crash_at=dice.randint(1, 60))
        nothing_lost(home)
        if code == 0:
            break
        assert code == -9
    assert forked(lambda: sweep(home)) == 0
    all_well(home)


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EACCES", "EDQUOT"])
@pytest.mark.parametrize("stride", [31, pytest.param(1, marks=pytest.mark.slow)])
def test_a_disk_that_fails_at_every_point(tmp_path: Path, code: str, stride: int) -> None:
    for number in itertools.count(1, stride):
        home = prepare(tmp_path / str(number))
        ended = forked(lambda: sweep(home), fail=f"{number},{code}")  # noqa: B023
        assert ended in (0, 2), f"point {number}: exit {ended}"
        nothing_lost(home)
        assert forked(lambda: sweep(home)) == 0, f"recovery after point {number}"  # noqa: B023
        all_well(home)
        if ended == 0 and number > 80:
            return


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    home = prepare(tmp_path / "home")
    assert forked(lambda: sweep(home)) == 0
    before = {str(path): path.stat().st_mtime_ns for path in home.outbox.rglob("*")}
    assert forked(lambda: sweep(home)) == 0
    assert before == {str(path): path.stat().st_mtime_ns for path in home.outbox.rglob("*")}
    all_well(home)


def test_the_clock_may_jump_back_between_runs(tmp_path: Path) -> None:
    home = prepare(tmp_path / "home")
    assert forked(lambda: sweep(home), crash_at=40) == -9

    def yesterday() -> None:
        clock.set_wall(lambda: datetime(2001, 1, 1, tzinfo=timezone.utc))
        sweep(home)

    assert forked(yesterday) == 0
    all_well(home)
