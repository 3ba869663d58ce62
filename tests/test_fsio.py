"""The only door to the disk: what it refuses to open, what it never overwrites, how it fails."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from oms_batch.errors import Refusal, WrongState
from oms_batch.store import facts, fsio, spool

STEPS = """
import sys
from pathlib import Path
from oms_batch.store import fsio
folder = Path(sys.argv[1])
fsio.mkdirs(folder / "a" / "b")
fsio.write_bytes_durable(folder / "a" / "b" / "file", b"new")
fsio.copy_hash(folder / "a" / "b" / "file", folder / "a" / "copy")
fsio.rename_noreplace(folder / "a" / "copy", folder / "a" / "there")
"""


def run(folder: Path, **environment: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", STEPS, str(folder)], env={**os.environ, **environment}, stderr=-3
    ).returncode


def test_link_pipe_socket_folder_and_second_name_are_never_opened(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"x")
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("link", "pipe", "folder", "socket"):
            with pytest.raises(Refusal) as caught:
                fsio.open_read(tmp_path / name)
            assert caught.value.code == "FILE_TYPE", name
    os.link(real, tmp_path / "second")
    with pytest.raises(Refusal):
        fsio.open_read(real)
    (tmp_path / "second").unlink()
    assert fsio.read_bytes(real) == b"x"


@pytest.mark.parametrize("native", [True, False])
def test_noreplace_never_clobbers(tmp_path: Path, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:

        class Old:
            def renameat2(self, *_: object) -> int:
                fsio.ctypes.set_errno(fsio.errno.ENOSYS)
                return -1

        monkeypatch.setattr(fsio, "_libc", Old())
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        fsio.rename_noreplace(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"old" and (tmp_path / "new").read_bytes() == b"new"
    (tmp_path / "hole").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        fsio.rename_noreplace(tmp_path / "new", tmp_path / "hole")
    fsio.rename_noreplace(tmp_path / "new", tmp_path / "free")
    assert (tmp_path / "free").read_bytes() == b"new" and not (tmp_path / "new").exists()
    with pytest.raises(FileNotFoundError):
        fsio.rename_noreplace(tmp_path / "new", tmp_path / "free2")


def test_durable_write_is_old_or_new_at_every_crash_point(tmp_path: Path) -> None:
    for number in range(1, 60):
        folder = tmp_path / str(number)
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "file").write_bytes(b"old")
        code = run(folder, OMS_CRASH_AT=str(number))
        assert (folder / "a" / "b" / "file").read_bytes() in (b"old", b"new")
        if code == 0:
            assert number > 8
            return
        assert code == -9
    raise AssertionError("the numbered points never end")


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EACCES", "EDQUOT"])
def test_a_failing_disk_leaves_no_half_file(tmp_path: Path, code: str) -> None:
    for number in range(1, 60):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = run(folder, OMS_FAIL_AT=f"{number},{code}")
        kept = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert set(kept) <= {"file", "copy", "there"}, kept
        assert set(kept.values()) <= {b"new"}
        if done == 0 and number > 8:
            return
    raise AssertionError("the numbered points never end")


def test_create_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        fsio.create(tmp_path / "link")
    assert not (tmp_path / "nowhere").exists()


def test_copy_over_an_existing_file_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"1")
    (tmp_path / "to").write_bytes(b"2")
    with pytest.raises(FileExistsError):
        fsio.copy_hash(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to").read_bytes() == b"2"


def test_folder_sync_tolerates_shares_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(code: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(code, "no")

        monkeypatch.setattr(fsio.os, "fsync", fsync)

    failing(fsio.errno.EINVAL)
    fsio.fsync_dir(tmp_path)
    failing(fsio.errno.EIO)
    with pytest.raises(OSError):
        fsio.fsync_dir(tmp_path)


def test_one_lock_one_holder(tmp_path: Path) -> None:
    with fsio.lock(tmp_path / "lock"), pytest.raises(WrongState) as caught, fsio.lock(tmp_path / "lock"):
        pass
    assert caught.value.code == "LOCKED"
    with fsio.lock(tmp_path / "lock"):
        pass


def test_entries_tell_their_kind_and_never_follow(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"12")
    (tmp_path / "a").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "c")
    (tmp_path / "d").mkdir()
    assert [(item.name, item.kind) for item in fsio.scandir(tmp_path)] == [
        ("a", "link"), ("b", "file"), ("c", "other"), ("d", "folder"),
    ]  # fmt: skip
    assert fsio.stat(tmp_path / "none") is None and fsio.listdir(tmp_path / "none") == []
    fsio.rmtree(tmp_path / "none")
    fsio.unlink(tmp_path / "none")
    assert fsio.free_bytes(tmp_path) > 0


class Trace:
    """Which bytes and which folders were synced when a name was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: set[str] = set()
        self.open_ends: set[str] = set()
        self.bad: list[str] = []
        real_sync, real_rename, real_noreplace = os.fsync, fsio.rename, fsio.rename_noreplace

        def sync(number: int) -> None:
            real_sync(number)
            path = os.readlink(f"/proc/self/fd/{number}")
            self.synced.add(path)
            self.open_ends.discard(path)

        def named(source: object, target: object) -> None:
            if str(source) not in self.synced and os.path.isfile(str(target)):
                self.bad.append(f"{source} got its name before its bytes were safe")
            self.open_ends.add(os.path.dirname(str(target)))

        def rename(source: object, target: object) -> None:
            real_rename(source, target)  # type: ignore[arg-type]
            named(source, target)

        def noreplace(source: object, target: object) -> None:
            real_noreplace(source, target)  # type: ignore[arg-type]
            named(source, target)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(fsio, "rename", rename)
        monkeypatch.setattr(fsio, "rename_noreplace", noreplace)


def test_bytes_are_synced_before_their_name_and_folders_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = spool.Home.at(tmp_path / "home")
    home.create(["mo"])
    (home.inbox / "mo" / "a.zip").write_bytes(b"x")
    (tmp_path / "facts").write_bytes(b"f")
    trace = Trace(monkeypatch)
    (entry,) = spool.look(home, ["mo"], spool.Settling(0, 0))
    claim = spool.claim(entry)
    assert claim is not None
    trace.bad.clear()  # the claim names the sender's bytes: theirs to sync
    assert trace.open_ends == set() and str(home.inbox / "mo") in trace.synced
    taken = spool.take(home, claim)
    assert taken is not None
    fsio.write_bytes_durable(home.box_of(1) / "answer", b"y")
    sha = hashlib.sha256(b"y").hexdigest()
    spool.publish(home, str(home.box_of(1) / "answer"), "answer", "mo", sha)
    spool.archive(home, taken.path, taken.name, taken.sha256, datetime(2018, 1, 1, tzinfo=timezone.utc))
    facts.publish(home.archive, "2018-09", str(tmp_path / "facts"))
    spool.quarantine(home, str(home.box_of(1) / "answer"), "answer", "X")
    assert trace.open_ends == set()
    assert [line for line in trace.bad if "/box/1/answer " not in line] == []
