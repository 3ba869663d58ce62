"""The way of a file on disk, in steps that may each be repeated: look, claim, take, box, publish, archive.

Nothing is read inside a shared folder but the end of a file, to see whether it is whole. Before a file is
claimed it is the sender's; from the claim on its bytes exist at least once on disk until they lie in the archive.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from oms_batch import clock
from oms_batch.errors import Fault, Refusal
from oms_batch.store import fsio
from oms_batch.store.home import Home as Home
from oms_batch.store.settling import Settling as Settling

CLAIM = ".claim"
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_NOT_OUT = frozenset('/\\:*?"<>|')
_STALE_SECONDS = 36 * 3600


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an inbox that may be claimed; ``problem`` when it can't be judged (it still is to be claimed).

    FILE_TYPE: no regular file (a link, pipe, device, folder, or a second name of a file): ``set_aside`` it.
    FILE_INCOMPLETE: it never became whole. FILE_EMPTY, FILE_TOO_BIG, FILE_ACCESS as they say.
    """

    partner: str
    name: str
    path: str
    size: int
    mtime_ns: int
    inode: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours now: it lies in ``.claim/<claim_id>/`` beside the inbox it came to."""

    claim_id: str
    partner: str
    name: str
    folder: str
    path: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The private copy of a claimed file. It belongs to this delivery alone, so it may be removed with it."""

    claim_id: str
    name: str
    partner: str
    path: str
    sha256: str
    size: int


# ---- P02, P03: look and claim -------------------------------------------------------------------------


def look(
    home: Home, partners: Sequence[str], settling: Settling, skip: Callable[[str], bool] = lambda _name: False
) -> list[Entry]:
    """All ripe entries of ``inbox/<partner>/`` and of ``inbox/`` itself (partner ``""``).

    ``skip`` tells names to be ignored (temporary files of others). One entry of each partner in turn, so that
    many files of one do not hold up another. ``OSError``: an inbox cannot be listed.
    """
    queues: list[list[Entry]] = []
    present: set[str] = set()
    for partner in ("", *partners):
        folder = home.inbox / partner if partner else home.inbox
        found: list[Entry] = []
        for item in fsio.scandir(folder):
            if item.name == CLAIM or item.name.startswith(".tmp-") or skip(item.name):
                continue
            if not partner and item.kind == "folder":
                continue  # a partner's, or one that the operator made: not ours to move
            present.add(item.path)
            found.extend(_entry(partner, item, settling))
        queues.append(found)
    settling.forget(present)
    rounds = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(rounds) for queue in queues if turn < len(queue)]


def _entry(partner: str, item: fsio.Item, settling: Settling) -> list[Entry]:
    about = (partner, item.name, item.path, item.size, item.mtime_ns, item.inode)
    if item.kind != "file" or item.links != 1:
        return [Entry(*about, problem="FILE_TYPE")]
    ready, problem = settling.ripe(item)
    return [Entry(*about, problem=problem)] if ready else []


def claim(entry: Entry) -> Claim | None:
    """P03: make the delivery ours by a rename beside its inbox; ``None`` when it has gone meanwhile."""
    number = f"{clock.now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex}"
    folder = Path(entry.path).parent
    mine = folder / CLAIM / number
    fsio.mkdirs(mine)
    target = mine / entry.name
    try:
        fsio.rename_noreplace(entry.path, target)
    except FileNotFoundError:
        fsio.rmdir(mine)
        return None
    fsio.fsync_dir(mine)
    fsio.fsync_dir(folder)
    return Claim(number, entry.partner, entry.name, str(folder), str(target))


def leftovers(home: Home, partners: Sequence[str]) -> list[Claim]:
    """Deliveries claimed before a crash, oldest first; they come before anything new."""
    found: list[Claim] = []
    for partner in ("", *partners):
        folder = home.inbox / partner if partner else home.inbox
        for number in fsio.listdir(folder / CLAIM):
            mine = folder / CLAIM / number
            items = fsio.scandir(mine)
            if not items:
                fsio.rmdir(mine)
            found.extend(Claim(number, partner, item.name, str(folder), item.path) for item in items[:1])
    return sorted(found, key=lambda one: one.claim_id)


def drop(home: Home, source: str, name: str) -> str:
    """Put a copy of a file into the operator's own drop, whole or not at all; gives its path.

    ``FileExistsError``: another file of this name waits there.
    """
    if safe_name(name) != name:
        raise Fault("inbox: not a plain name")
    spare, target = home.inbox / f".tmp-{uuid.uuid4().hex}", home.inbox / name
    fsio.copy_hash(source, spare)
    try:
        fsio.rename_noreplace(spare, target)
    except OSError:
        fsio.unlink(spare)
        raise
    fsio.fsync_dir(home.inbox)
    return str(target)


# ---- P04 to P08: take --------------------------------------------------------------------------------


def take(home: Home, mine: Claim) -> Taken | None:
    """P04–P06: copy a claimed file into the spool while hashing it.

    ``None``: it changed meanwhile, and was given back to its inbox to settle again. ``Refusal`` FILE_TYPE.
    """
    spare = home.tmp / uuid.uuid4().hex
    with fsio.open_read(mine.path) as stream:
        before = fsio.stat_open(stream)
        sha256, size = fsio.copy_hash(stream, spare)
        after = fsio.stat_open(stream)
    if (before.size, before.mtime_ns, before.inode) != (after.size, after.mtime_ns, after.inode) or size != after.size:
        fsio.unlink(spare)
        give_back(mine)
        return None
    target = home.work / f"{sha256[:16]}-{mine.claim_id}"
    fsio.rename(spare, target)
    fsio.fsync_dir(home.work)
    return Taken(mine.claim_id, mine.name, mine.partner, str(target), sha256, size)


def claimed(mine: Claim, problem: str) -> Entry:
    """A claimed file as an entry, to be set aside unopened."""
    item = fsio.stat(mine.path)
    size, when, inode = (item.size, item.mtime_ns, item.inode) if item else (0, 0, 0)
    return Entry(mine.partner, mine.name, mine.path, size, when, inode, problem)


def give_back(mine: Claim) -> None:
    """Un-claim: back into the inbox; when a newer file has taken its name there, the newer one is the delivery."""
    try:
        fsio.rename_noreplace(mine.path, Path(mine.folder) / mine.name)
    except FileExistsError:
        fsio.unlink(mine.path)
    fsio.rmdir(Path(mine.path).parent)


def release(mine: Claim) -> None:
    """P08: the receipt is in the ledger; the claimed file goes."""
    fsio.unlink(mine.path)
    fsio.rmdir(Path(mine.path).parent)


# ---- P12: publish -----------------------------------------------------------------------------------


def publish(home: Home, source: str, name: str, partner: str, sha256: str) -> Literal["done", "blocked"]:
    """P12: lay a file into ``outbox/<partner>/`` under a name that nobody had; readers see all of it or nothing.

    ``done`` also when it lies there already with the same bytes. ``blocked``: the name is taken by other content,
    which stays untouched. ``Fault``: the box does not hold the bytes of the ledger.
    """
    folder = home.outbox / partner if partner else home.outbox
    if not name or not name.isprintable() or set(name) & _NOT_OUT or name[0] in ". ":
        raise Fault("outbox: a name that must not leave")
    target = folder / name
    if fsio.exists(target):
        return _already(target, sha256)
    fsio.mkdirs(folder)
    spare = _spare(target)
    if fsio.copy_hash(source, spare)[0] != sha256:
        fsio.unlink(spare)
        raise Fault("outbox: the box does not hold what the ledger says")
    try:
        fsio.rename_noreplace(spare, target)
    except OSError as error:
        fsio.unlink(spare)
        if not fsio.exists(target):
            raise
        if error.errno != errno.EEXIST and _already(target, sha256) == "done":
            return "done"
        return _already(target, sha256)
    fsio.fsync_dir(folder)
    return "done"


def _spare(target: Path) -> Path:
    """Where a file is copied to before it gets its name: always one place, so that a killed copy leaves nothing."""
    digest, _size = fsio.digest(target.name.encode("utf-8", "surrogateescape"))
    spare = target.parent / f".tmp-{digest[:32]}"
    if fsio.exists(spare):
        fsio.unlink(spare)
    return spare


def _already(target: Path, sha256: str) -> Literal["done", "blocked"]:
    with suppress(Refusal):
        if fsio.hash_file(target)[0] == sha256:
            return "done"
    return "blocked"


# ---- P14, P15: keep, set aside, sweep -----------------------------------------------------------------


def safe_name(name: str) -> str:
    """The name itself when it is plain ASCII, else its bytes in hex (cut): nothing hostile reaches a path."""
    if name and len(name) <= 120 and not set(name) - _SAFE and not name.startswith("."):
        return name
    return "x" + name.encode("utf-8", "surrogateescape").hex()[:96]


def archive(home: Home, source: str, name: str, sha256: str, when: datetime) -> str:
    """P14: keep bytes for good as ``archive/YYYY/MM/<name>.<16 of sha>``; gives that path. ``source`` is removed.

    May be repeated: when the archive has the bytes already, only the source goes.
    """
    local = when.astimezone(clock.MOSCOW)
    folder = home.archive / f"{local:%Y}" / f"{local:%m}"
    fsio.mkdirs(folder)
    target = folder / f"{safe_name(name)}.{sha256[:16]}"
    if not fsio.exists(target):
        _keep(source, target, sha256)
    elif fsio.hash_file(target)[0] != sha256:
        raise Fault("archive: other bytes under this hash")
    fsio.unlink(source)
    return str(target)


def _keep(source: str, target: Path, sha256: str) -> None:
    spare = _spare(target)
    if fsio.copy_hash(source, spare)[0] != sha256:
        fsio.unlink(spare)
        raise Fault("archive: the bytes have changed since they were received")
    fsio.rename(spare, target)
    fsio.fsync_dir(target.parent)


def finish(home: Home, job: int) -> None:
    """Remove a job's scratch and box: after ``archive`` of all its files, before ``ledger.archived`` says so."""
    fsio.rmtree(home.tmp / f"job-{job}")
    fsio.rmtree(home.box / str(job))


def quarantine(home: Home, source: str, name: str, code: str) -> str:
    """Move private bytes to the quarantine; gives the path. ``source`` may be gone from an earlier try."""
    target = home.quarantine / f"{code}-{safe_name(Path(source).name)[:32]}-{safe_name(name)}"
    if fsio.exists(source):
        fsio.rename(source, target)
        fsio.fsync_dir(home.quarantine)
    return str(target)


def set_aside(home: Home, entry: Entry) -> str:
    """Move something that is not a plain file out of the inbox, unopened; gives where it lies now."""
    name = f"{entry.problem or 'FILE'}-{uuid.uuid4().hex[:12]}-{safe_name(entry.name)}"
    target = home.quarantine / name
    try:
        fsio.rename_noreplace(entry.path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = Path(entry.path).parent / CLAIM
        fsio.mkdirs(beside.with_name(".quarantine"))
        target = beside.with_name(".quarantine") / name
        fsio.rename_noreplace(entry.path, target)
    fsio.fsync_dir(Path(entry.path).parent)
    return str(target)


def sweep_work(home: Home, needed: Iterable[str]) -> int:
    """P15: remove private copies that no job and no claim needs (``needed``: their paths); gives how many."""
    kept = set(needed)
    spare = [item.path for item in fsio.scandir(home.work) if item.path not in kept]
    for path in spare:
        fsio.unlink(path)
    return len(spare)


def sweep_tmp(home: Home, partners: Sequence[str] = ()) -> int:
    """P15: remove what crashed runs left in tmp and half-copied in outboxes; call it holding the lock."""
    swept = 0
    for item in fsio.scandir(home.tmp):
        if item.kind == "file":
            fsio.unlink(item.path)
            swept += 1
    old = clock.now().timestamp() - _STALE_SECONDS
    for folder in (home.inbox, home.outbox, *(home.outbox / partner for partner in partners)):
        if not fsio.exists(folder):
            continue
        for item in fsio.scandir(folder):
            if item.name.startswith(".tmp-") and item.mtime_ns / 1e9 < old:
                fsio.unlink(item.path)
                swept += 1
    return swept
