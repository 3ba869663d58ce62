"""The only door to the disk: every file that the program reads or changes goes through here.

Paths are absolute (text or ``Path``). Every call that changes the disk is a numbered point:
``OMS_CRASH_AT=n`` kills the process just before the n-th one, ``OMS_FAIL_AT=n,ENOSPC`` lets it
fail once. So the crash tests walk through all of them without a line of test code in here.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import itertools
import os
import shutil
import signal
import stat as stat_
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from oms_batch.errors import WrongState, refuse

Anywhere = str | Path
Kind = Literal["file", "folder", "link", "other"]
CHUNK = 1 << 20

_points = itertools.count(1)
_crash_at = int(os.environ.get("OMS_CRASH_AT", "0"))
_fail_at, _, _fail_name = os.environ.get("OMS_FAIL_AT", "0,EIO").partition(",")
_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _NOREPLACE = -100, 1
_NO_FOLDER_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EROFS)


def point(_name: str = "") -> None:
    """One numbered point: where a crash or a failing disk is tried. Costs nothing otherwise."""
    number = next(_points)
    if number == _crash_at:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == int(_fail_at):
        code = getattr(errno, _fail_name or "EIO")
        raise OSError(code, os.strerror(code))


# ---- what lies there ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a folder, never followed when it is a link."""

    name: str
    path: str
    kind: Kind
    size: int
    mtime_ns: int
    inode: int
    links: int = 1


def _item(path: str, found: os.stat_result) -> Item:
    kinds: dict[int, Kind] = {stat_.S_IFREG: "file", stat_.S_IFDIR: "folder", stat_.S_IFLNK: "link"}
    kind = kinds.get(stat_.S_IFMT(found.st_mode), "other")
    return Item(os.path.basename(path), path, kind, found.st_size, found.st_mtime_ns, found.st_ino, found.st_nlink)


def stat(path: Anywhere) -> Item | None:
    """The entry itself (a link is not followed); ``None`` when there is none."""
    try:
        return _item(str(path), os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def exists(path: Anywhere) -> bool:
    return stat(path) is not None


def scandir(folder: Anywhere) -> list[Item]:
    """All entries of a folder sorted by name; one that goes away meanwhile is left out."""
    items = (stat(os.path.join(str(folder), name)) for name in sorted(os.listdir(folder)))
    return [item for item in items if item is not None]


def listdir(folder: Anywhere) -> list[str]:
    """Sorted names in a folder; empty when the folder is not there."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def free_bytes(path: Anywhere) -> int:
    """Bytes that we may still write on the disk of this path."""
    return shutil.disk_usage(path).free


# ---- reading ------------------------------------------------------------------------------


def open_read(path: Anywhere) -> BinaryIO:
    """Open a regular file for reading; ``Refusal`` FILE_TYPE for a link, pipe, device or second name of a file.

    Never blocks on a pipe and never follows a link.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EMLINK):
            raise refuse("FILE_TYPE") from None
        raise
    found = os.fstat(number)
    if not stat_.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(number)
        raise refuse("FILE_TYPE")
    return os.fdopen(number, "rb")


def stat_open(stream: BinaryIO) -> Item:
    """The entry behind an open file."""
    return _item(str(getattr(stream, "name", "")), os.fstat(stream.fileno()))


def read_bytes(path: Anywhere) -> bytes:
    with open_read(path) as stream:
        return stream.read()


def hash_file(path: Anywhere) -> tuple[str, int]:
    """(SHA-256 in hex, size) of a file's bytes."""
    digest, size = hashlib.sha256(), 0
    with open_read(path) as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


# ---- writing ------------------------------------------------------------------------------


def create(path: Anywhere, mode: int = 0o640) -> BinaryIO:
    """A new file for writing; ``FileExistsError`` when something is there. The caller calls ``fsync_file``."""
    point("create")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, mode), "w+b")


def fsync_file(stream: BinaryIO) -> None:
    """Flush and sync an open file. After an error its bytes must not be trusted: write anew."""
    stream.flush()
    point("fsync")
    os.fsync(stream.fileno())


def fsync_path(path: Anywhere) -> None:
    """Sync a file that another library wrote."""
    with open_read(path) as stream:
        point("fsync")
        os.fsync(stream.fileno())


def fsync_dir(folder: Anywhere) -> None:
    """Sync a folder's list of names; file systems that cannot (network shares) are tolerated."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        point("fsync_dir")
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(number)


def write_bytes_durable(path: Anywhere, data: bytes) -> None:
    """The file holds either its old bytes or all of the new ones, also after a power cut."""
    folder = os.path.dirname(str(path))
    spare = os.path.join(folder, f".tmp-{uuid.uuid4().hex}")
    with _or_remove(spare), create(spare) as stream:
        for start in range(0, len(data), CHUNK):
            point("write")
            stream.write(data[start : start + CHUNK])
        fsync_file(stream)
        rename(spare, path)
    fsync_dir(folder)


def copy_hash(source: Anywhere | BinaryIO, target: Anywhere) -> tuple[str, int]:
    """Copy into a new, synced file; gives (SHA-256 in hex, size). Nothing stays when it fails."""
    if isinstance(source, (str, Path)):
        with open_read(source) as stream:
            return copy_hash(stream, target)
    digest, size = hashlib.sha256(), 0
    with _or_remove(target), create(target) as out:
        while block := source.read(CHUNK):
            point("write")
            out.write(block)
            digest.update(block)
            size += len(block)
        fsync_file(out)
    return digest.hexdigest(), size


@contextmanager
def _or_remove(path: Anywhere) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


# ---- names --------------------------------------------------------------------------------


def rename(source: Anywhere, target: Anywhere) -> None:
    """Give a new name on the same disk, replacing what is there."""
    point("rename")
    os.rename(source, target)


def rename_noreplace(source: Anywhere, target: Anywhere) -> None:
    """Give a new name; ``FileExistsError`` when the name is taken, and nothing has changed then."""
    point("rename_noreplace")
    done = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NOREPLACE)
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.ENOSYS, errno.EINVAL):
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    os.link(source, target, follow_symlinks=False)
    point("unlink")
    os.unlink(source)


def unlink(path: Anywhere) -> None:
    """Remove a file; being gone already is as good."""
    point("unlink")
    with suppress(FileNotFoundError):
        os.unlink(path)


def mkdirs(path: Anywhere) -> None:
    """Make a folder and those above it; the folder that holds a new one is synced."""
    text = str(path)
    if os.path.isdir(text):
        return
    mkdirs(os.path.dirname(text))
    point("mkdir")
    with suppress(FileExistsError):
        os.mkdir(text, 0o750)
    fsync_dir(os.path.dirname(text))


def rmdir(path: Anywhere) -> None:
    """Remove an empty folder; one that is gone or not empty is left as it is."""
    point("rmdir")
    with suppress(FileNotFoundError, OSError):
        os.rmdir(path)


def rmtree(path: Anywhere) -> None:
    """Remove a folder with all below it; being gone already is as good. Links are not followed."""
    point("rmtree")
    if exists(path):
        shutil.rmtree(path)


@contextmanager
def lock(path: Anywhere) -> Iterator[None]:
    """Hold the one lock of a home; ``WrongState`` LOCKED when another process holds it."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongState("LOCKED") from None
        yield
    finally:
        os.close(number)


# ---- small helps --------------------------------------------------------------------------


def absolute(path: Anywhere) -> str:
    """The absolute path, seen from the current folder."""
    return os.path.abspath(path)


def basename(path: Anywhere) -> str:
    """The last part of a path."""
    return os.path.basename(str(path))


def digest(data: bytes) -> tuple[str, int]:
    """(SHA-256 in hex, size) of bytes."""
    return hashlib.sha256(data).hexdigest(), len(data)


@contextmanager
def scratch_folder(below: Anywhere | None = None) -> Iterator[str]:
    """A folder of our own, below a given one or for work without a home; it goes when the work is done."""
    folder = tempfile.mkdtemp(prefix="oms-batch-", dir=below)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
