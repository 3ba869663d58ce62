"""When a file may be claimed, what a claim survives, and what publishing never does."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import pytest

from oms_batch import clock
from oms_batch.errors import Fault, Refusal, SetupError
from oms_batch.store import disk, facts, fsio, spool
from oms_batch.store import settling as settling_module
from oms_batch.store.wholeness import whole

NAME = "1027600000108760401001180913X.zip"


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def home(tmp_path: Path) -> spool.Home:
    made = spool.Home.at(tmp_path / "home")
    made.create(["mo"])
    return made


def packed(data: bytes = b"<package></package>") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("bill.xml", data)
    return out.getvalue()


def at_once() -> spool.Settling:
    return spool.Settling(settle_seconds=0, give_up_minutes=0)


def only(home: spool.Home) -> spool.Claim:
    (entry,) = spool.look(home, ["mo"], at_once())
    claim = spool.claim(entry)
    assert claim is not None
    return claim


# ---- settling -------------------------------------------------------------------------------------------


def test_two_equal_looks_apart_are_needed(home: spool.Home, ticking: Clock) -> None:
    settling = spool.Settling(settle_seconds=5)
    (home.inbox / "mo" / NAME).write_bytes(packed())
    assert spool.look(home, ["mo"], settling) == []
    ticking.now += 4.9
    assert spool.look(home, ["mo"], settling) == []
    ticking.now += 0.2
    (entry,) = spool.look(home, ["mo"], settling)
    assert (entry.partner, entry.name, entry.problem) == ("mo", NAME, "")


def test_one_look_is_never_enough_however_late_it_comes(home: spool.Home, ticking: Clock) -> None:
    settling = spool.Settling(settle_seconds=5, give_up_minutes=1000)
    (home.inbox / "mo" / NAME).write_bytes(packed())
    os.utime(home.inbox / "mo" / NAME, (0, 0))
    assert spool.look(home, ["mo"], settling) == []


@pytest.mark.parametrize("pause", [1, 4, 5, 6, 9, 30])
def test_a_file_that_grows_in_bursts_waits(home: spool.Home, ticking: Clock, pause: int) -> None:
    settling, path, data = (
        spool.Settling(settle_seconds=5),
        home.inbox / "mo" / NAME,
        packed(b"<a>" + bytes(range(97, 120)) * 40),
    )
    for cut in range(0, len(data), 97):
        path.write_bytes(data[:cut])
        assert [one for one in spool.look(home, ["mo"], settling) if one.problem != "FILE_EMPTY"] == []
        ticking.now += pause
    path.write_bytes(data)
    assert spool.look(home, ["mo"], settling) == []
    ticking.now += 5
    assert len(spool.look(home, ["mo"], settling)) == 1


def test_preallocated_file_with_an_old_time_waits_until_it_is_filled(home: spool.Home, ticking: Clock) -> None:
    settling, path, data = spool.Settling(settle_seconds=5), home.inbox / "mo" / NAME, packed()
    for filled in (b"", data[: len(data) // 2], data):
        path.write_bytes(filled + bytes(len(data) - len(filled)))
        os.utime(path, (1, 1))
        ready = []
        for _ in range(3):
            ready = spool.look(home, ["mo"], settling)
            ticking.now += 10
        assert len(ready) == (filled == data)


def test_rewritten_file_starts_to_settle_anew(home: spool.Home, ticking: Clock) -> None:
    settling, path = spool.Settling(settle_seconds=5), home.inbox / "mo" / NAME
    path.write_bytes(packed(b"<a></a>"))
    spool.look(home, ["mo"], settling)
    ticking.now += 6
    other = path.with_name("other")
    other.write_bytes(packed(b"<b></b>"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert spool.look(home, ["mo"], settling) == []


@pytest.mark.parametrize(
    ("cut", "kind"),
    [(lambda data: data[:-1], "zip"), (lambda data: data + b"x", "zip"), (lambda data: data[:30], "zip")],
)
def test_never_whole_is_reported_after_the_limit(home: spool.Home, ticking: Clock, cut: object, kind: str) -> None:
    settling = spool.Settling(settle_seconds=5, give_up_minutes=60)
    (home.inbox / "mo" / NAME).write_bytes(cut(packed()))  # type: ignore[operator]
    for _ in range(6):
        assert spool.look(home, ["mo"], settling) == []
        ticking.now += 599
    ticking.now += 60
    assert [entry.problem for entry in spool.look(home, ["mo"], settling)] == ["FILE_INCOMPLETE"]


def test_a_file_that_never_stops_growing_is_reported_too(home: spool.Home, ticking: Clock) -> None:
    settling = spool.Settling(settle_seconds=5, give_up_minutes=1)
    problems: list[str] = []
    for size in range(1, 20):
        (home.inbox / "mo" / NAME).write_bytes(b"PK" + bytes(size))
        problems += [entry.problem for entry in spool.look(home, ["mo"], settling)]
        ticking.now += 4
    assert set(problems) == {"FILE_INCOMPLETE"}


def test_empty_huge_and_unreadable(home: spool.Home, ticking: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    settling = spool.Settling(settle_seconds=0, max_bytes=1000, give_up_minutes=1)
    (home.inbox / "mo" / "empty").write_bytes(b"")
    with (home.inbox / "mo" / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    found = {entry.name: entry.problem for entry in spool.look(home, ["mo"], settling)}
    assert found == {"empty": "FILE_EMPTY", "huge": "FILE_TOO_BIG"}

    def locked(_: str) -> bool:
        raise PermissionError

    monkeypatch.setattr(settling_module, "whole", locked)
    (home.inbox / "mo" / "locked").write_bytes(b"PK")
    assert "locked" not in {entry.name for entry in spool.look(home, ["mo"], settling)}
    ticking.now += 61
    assert {entry.name: entry.problem for entry in spool.look(home, ["mo"], settling)}["locked"] == "FILE_ACCESS"


def test_what_is_no_plain_file_is_reported_and_set_aside_unopened(home: spool.Home, tmp_path: Path) -> None:
    inbox = home.inbox / "mo"
    (tmp_path / "secret").write_bytes(b"secret")
    (inbox / "link.zip").symlink_to(tmp_path / "secret")
    os.mkfifo(inbox / "pipe.zip")
    (inbox / "folder.zip").mkdir()
    (inbox / "hard.zip").write_bytes(b"x")
    os.link(inbox / "hard.zip", tmp_path / "second")
    entries = spool.look(home, ["mo"], at_once())
    assert {entry.name: entry.problem for entry in entries} == dict.fromkeys(
        ("folder.zip", "hard.zip", "link.zip", "pipe.zip"), "FILE_TYPE"
    )
    places = [spool.set_aside(home, entry) for entry in entries]
    assert spool.look(home, ["mo"], at_once()) == [] and len(fsio.listdir(home.quarantine)) == 4
    assert (tmp_path / "secret").read_bytes() == b"secret" and all(fsio.exists(place) for place in places)


def test_ignored_names_and_our_own_folders_are_not_entries(home: spool.Home) -> None:
    (home.inbox / "mo" / "~$x.tmp").write_bytes(b"1")
    (home.inbox / "mo" / ".tmp-1").write_bytes(b"1")
    (home.inbox / "own.zip").write_bytes(packed())
    (home.inbox / "stranger").mkdir()
    entries = spool.look(home, ["mo"], at_once(), skip=lambda name: name.endswith(".tmp"))
    assert [(entry.partner, entry.name) for entry in entries] == [("", "own.zip")]


def test_one_of_each_partner_in_turn(home: spool.Home) -> None:
    home.create(["mo", "mo2"])
    for number in range(3):
        (home.inbox / "mo" / f"a{number}").write_bytes(b"1")
    (home.inbox / "mo2" / "b0").write_bytes(b"1")
    assert [entry.name for entry in spool.look(home, ["mo", "mo2"], at_once())] == ["a0", "b0", "a1", "a2"]


def test_settling_forgets_what_has_gone(home: spool.Home) -> None:
    settling = spool.Settling()
    for number in range(50):
        path = home.inbox / "mo" / str(number)
        path.write_bytes(b"1")
        spool.look(home, ["mo"], settling)
        path.unlink()
    spool.look(home, ["mo"], settling)
    assert settling.seen == {}


# ---- wholeness ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "is_whole"),
    [
        (packed(), True),
        (packed()[:-1], False),
        (packed() + b"\0", False),
        (b"<?xml version='1.0'?><!-- <x> --><package a='1'><b/></package>\n", True),
        (b"<?xml version='1.0'?><package a='1'><b></b></packa", False),
        (b"\xef\xbb\xbf  <package></package ><!-- end -->\r\n", True),
        (b"<package/>", True),
        (b"<package", False),
        (
            b"7z\xbc\xaf\x27\x1c\0\4"
            + bytes(4)
            + (8).to_bytes(8, "little")
            + (4).to_bytes(8, "little")
            + bytes(4 + 12),
            True,
        ),
        (
            b"7z\xbc\xaf\x27\x1c\0\4"
            + bytes(4)
            + (8).to_bytes(8, "little")
            + (4).to_bytes(8, "little")
            + bytes(4 + 11),
            False,
        ),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), False),
        (bytes(5000), False),
        (b"MZ whatever", True),
    ],
)
def test_the_end_belongs_to_the_beginning(tmp_path: Path, data: bytes, is_whole: bool) -> None:
    (tmp_path / "file").write_bytes(data)
    assert whole(str(tmp_path / "file")) is is_whole


def test_a_zip_with_a_comment_that_holds_the_signature(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "y")
        archive.comment = b"PK\x05\x06" + b"c" * 60
    assert whole(str(tmp_path / "a.zip"))


# ---- claim and take -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"\xf0\xe5\xe5\xf1\xf2\xf0", b"a\nb", b"\x1b[31m", b"n" * 255, "й\u202e.zip".encode(), b"-rf", b"' x"]
)
def test_hostile_names_survive_claim_take_and_archive(home: spool.Home, name: bytes) -> None:
    (home.inbox / "mo" / os.fsdecode(name)).write_bytes(b"data")
    claim = only(home)
    assert os.fsencode(claim.name) == name
    assert spool.leftovers(home, ["mo"]) == [claim]
    taken = spool.take(home, claim)
    assert taken is not None and fsio.read_bytes(taken.path) == b"data"
    assert taken.sha256 == hashlib.sha256(b"data").hexdigest() and taken.size == 4
    spool.release(claim)
    assert spool.leftovers(home, ["mo"]) == [] and fsio.listdir(home.inbox / "mo" / ".claim") == []
    path = spool.archive(home, taken.path, claim.name, taken.sha256, datetime(2018, 10, 1, tzinfo=timezone.utc))
    assert (
        Path(path).parent == home.archive / "2018" / "10"
        and Path(path).name.isascii()
        and Path(path).name.isprintable()
    )
    assert fsio.read_bytes(path) == b"data" and not fsio.exists(taken.path)


def test_a_file_that_goes_before_the_claim_is_no_error(home: spool.Home) -> None:
    (home.inbox / "mo" / NAME).write_bytes(packed())
    (entry,) = spool.look(home, ["mo"], at_once())
    (home.inbox / "mo" / NAME).unlink()
    assert spool.claim(entry) is None and fsio.listdir(home.inbox / "mo" / ".claim") == []


def test_a_file_that_changes_while_it_is_copied_is_given_back(
    home: spool.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.inbox / "mo" / NAME).write_bytes(b"first")
    claim = only(home)
    real = fsio.copy_hash

    def copy(source: object, target: object) -> tuple[str, int]:
        done = real(source, target)  # type: ignore[arg-type]
        with Path(claim.path).open("ab") as stream:
            stream.write(b" and more")
        return done

    monkeypatch.setattr(fsio, "copy_hash", copy)
    assert spool.take(home, claim) is None
    assert (home.inbox / "mo" / NAME).read_bytes() == b"first and more"
    assert fsio.listdir(home.work) == [] and fsio.listdir(home.tmp) == [] and spool.leftovers(home, ["mo"]) == []


def test_given_back_beside_a_newer_one_the_newer_one_stays(home: spool.Home) -> None:
    (home.inbox / "mo" / NAME).write_bytes(b"old")
    claim = only(home)
    (home.inbox / "mo" / NAME).write_bytes(b"new")
    spool.give_back(claim)
    assert (home.inbox / "mo" / NAME).read_bytes() == b"new" and spool.leftovers(home, ["mo"]) == []


def test_a_claim_swapped_for_a_link_is_refused(home: spool.Home, tmp_path: Path) -> None:
    (home.inbox / "mo" / NAME).write_bytes(b"x")
    claim = only(home)
    Path(claim.path).unlink()
    Path(claim.path).symlink_to(tmp_path)
    with pytest.raises(Refusal) as caught:
        spool.take(home, claim)
    assert caught.value.code == "FILE_TYPE"


def test_the_operators_drop_is_whole_or_not_there(home: spool.Home, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(packed())
    path = spool.drop(home, str(tmp_path / "mine"), NAME)
    assert path == str(home.inbox / NAME) and fsio.read_bytes(path) == packed()
    (tmp_path / "mine").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        spool.drop(home, str(tmp_path / "mine"), NAME)
    with pytest.raises(Fault):
        spool.drop(home, str(tmp_path / "mine"), "../x")
    assert fsio.listdir(home.inbox) == [NAME, "mo"] and fsio.read_bytes(path) == packed()


# ---- publish --------------------------------------------------------------------------------------------


def boxed(home: spool.Home, data: bytes) -> tuple[str, str]:
    path = home.box_of(1) / "answer"
    path.write_bytes(data)
    return str(path), hashlib.sha256(data).hexdigest()


def test_published_once_and_again(home: spool.Home) -> None:
    path, sha = boxed(home, b"answer")
    assert spool.publish(home, path, "a.zip", "mo", sha) == "done"
    inode = (home.outbox / "mo" / "a.zip").stat().st_ino
    assert spool.publish(home, path, "a.zip", "mo", sha) == "done"
    assert (home.outbox / "mo" / "a.zip").stat().st_ino == inode and fsio.listdir(home.outbox / "mo") == ["a.zip"]


@pytest.mark.parametrize("kind", ["file", "link", "folder", "pipe"])
def test_a_taken_name_blocks_and_stays_untouched(home: spool.Home, kind: str) -> None:
    path, sha = boxed(home, b"answer")
    target = home.outbox / "mo" / "a.zip"
    if kind == "file":
        target.write_bytes(b"other")
    elif kind == "link":
        target.symlink_to(path)
    elif kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(target)
    before = fsio.stat(target)
    assert spool.publish(home, path, "a.zip", "mo", sha) == "blocked"
    assert fsio.stat(target) == before and fsio.listdir(home.outbox / "mo") == ["a.zip"]


def test_a_race_for_the_name_is_lost_without_harm(home: spool.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sha = boxed(home, b"answer")
    real = fsio.copy_hash

    def copy(source: object, target: object) -> tuple[str, int]:
        (home.outbox / "mo" / "a.zip").write_bytes(b"theirs")
        return real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(fsio, "copy_hash", copy)
    assert spool.publish(home, path, "a.zip", "mo", sha) == "blocked"
    assert (home.outbox / "mo" / "a.zip").read_bytes() == b"theirs" and fsio.listdir(home.outbox / "mo") == ["a.zip"]


def test_an_error_after_the_rename_really_happened_is_seen_through(
    home: spool.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha = boxed(home, b"answer")
    real = fsio.rename_noreplace

    def rename(source: object, target: object) -> None:
        real(source, target)  # type: ignore[arg-type]
        raise OSError(fsio.errno.EIO, "the share answered too late")

    monkeypatch.setattr(fsio, "rename_noreplace", rename)
    assert spool.publish(home, path, "a.zip", "mo", sha) == "done"
    assert (home.outbox / "mo" / "a.zip").read_bytes() == b"answer"


@pytest.mark.parametrize("name", ["../a", "a/b", ".hidden", "", "a\nb", "a\\b", "a:b", " a"])
def test_names_that_must_not_leave(home: spool.Home, name: str) -> None:
    path, sha = boxed(home, b"answer")
    with pytest.raises(Fault):
        spool.publish(home, path, name, "mo", sha)


def test_a_box_that_was_changed_is_not_published(home: spool.Home) -> None:
    path, _ = boxed(home, b"answer")
    with pytest.raises(Fault):
        spool.publish(home, path, "a.zip", "mo", "0" * 64)
    assert fsio.listdir(home.outbox / "mo") == []


# ---- archive, quarantine, facts -------------------------------------------------------------------------


def test_archive_again_after_a_crash_and_refuses_changed_bytes(home: spool.Home) -> None:
    source, sha = boxed(home, b"bytes")
    when = datetime(2018, 12, 31, 22, tzinfo=timezone.utc)  # the new year has begun in Moscow
    path = spool.archive(home, source, NAME, sha, when)
    assert path == str(home.archive / "2019" / "01" / f"{NAME}.{sha[:16]}")
    assert spool.archive(home, source, NAME, sha, when) == path
    source, _ = boxed(home, b"changed")
    with pytest.raises(Fault):
        spool.archive(home, source, "other", sha, when)
    assert fsio.exists(source)


def test_quarantine_keeps_the_bytes_and_may_be_repeated(home: spool.Home) -> None:
    source, _ = boxed(home, b"evil")
    path = spool.quarantine(home, source, "a\nb", "LOOP")
    assert fsio.read_bytes(path) == b"evil" and spool.quarantine(home, source, "a\nb", "LOOP") == path


def test_sweeps_take_only_what_is_stale(home: spool.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.tmp / "half").write_bytes(b"1")
    home.scratch(7)
    (home.outbox / "mo" / ".tmp-old").write_bytes(b"1")
    (home.outbox / "mo" / ".tmp-new").write_bytes(b"1")
    os.utime(home.outbox / "mo" / ".tmp-old", (1, 1))
    assert spool.sweep_tmp(home, ["mo"]) == 2
    assert fsio.listdir(home.tmp) == ["job-7"] and fsio.listdir(home.outbox / "mo") == [".tmp-new"]
    (home.work / "a").write_bytes(b"1")
    (home.work / "b").write_bytes(b"1")
    assert spool.sweep_work(home, [str(home.work / "b")]) == 1 and fsio.listdir(home.work) == ["b"]


def test_facts_are_written_once_and_found_by_month(home: spool.Home, tmp_path: Path) -> None:
    (tmp_path / "facts.parquet").write_bytes(b"facts")
    path = facts.publish(home.archive, "2018-09", str(tmp_path / "facts.parquet"))
    inode = Path(path).stat().st_ino
    assert (
        facts.publish(home.archive, "2018-09", str(tmp_path / "facts.parquet")) == path
        and Path(path).stat().st_ino == inode
    )
    (Path(path).parent / ".tmp-1").write_bytes(b"half")
    assert facts.listed(home.archive, ["2018-10", "2018-09"]) == [path] and facts.periods(home.archive) == ["2018-09"]
    with pytest.raises(Fault):
        facts.publish(home.archive, "../2018", str(tmp_path / "facts.parquet"))


MOUNTS = """/dev/sda1 / ext4 rw 0 0
//server/share /srv/oms cifs rw 0 0
tmpfs /srv/oms/local tmpfs rw 0 0
srv:/x /mnt/with\\040space nfs4 rw 0 0
"""


@pytest.mark.parametrize(
    ("root", "kind"),
    [("/srv/oms", "cifs"), ("/srv/oms/a", "cifs"), ("/srv/oms/local/a", "tmpfs"), ("/srv/omsx", "ext4"),
     ("/mnt/with space/a", "nfs4"), ("/", "ext4")],
)  # fmt: skip
def test_the_ledger_stays_off_network_shares(root: str, kind: str) -> None:
    assert disk.kind(root, MOUNTS) == kind
    if kind in ("cifs", "nfs4"):
        with pytest.raises(SetupError):
            disk.check(spool.Home.at(root), MOUNTS)
    else:
        disk.check(spool.Home.at(root), MOUNTS)


def test_the_disk_we_run_on_is_known(tmp_path: Path) -> None:
    assert disk.kind(str(tmp_path)) != ""


def test_home_must_be_absolute() -> None:
    with pytest.raises(Fault):
        spool.Home.at("relative")
