"""What kind of disk a folder lies on: the ledger and the spool need a local one, shares forget what they promised."""

from __future__ import annotations

from oms_batch.errors import SetupError
from oms_batch.store import fsio
from oms_batch.store.home import Home

_MOUNTS = "/proc/self/mounts"
_SHARES = ("cifs", "smb", "nfs", "fuse", "9p", "davfs", "ncpfs", "afs", "ceph", "glusterfs")


def kind(path: str, mounts: str | None = None) -> str:
    """The file system's type of an absolute path (``ext4``, ``cifs``); empty when the system does not tell."""
    if mounts is None:
        if not fsio.exists(_MOUNTS):
            return ""
        mounts = fsio.read_bytes(_MOUNTS).decode("utf-8", "surrogateescape")
    best, found = "", ""
    for line in mounts.splitlines():
        _device, place, name, *_rest = line.split(" ")
        place = place.replace("\\040", " ").rstrip("/")
        if (path == place or path.startswith(f"{place}/")) and len(place) >= len(best):
            best, found = place, name
    return found


def check(home: Home, mounts: str | None = None) -> None:
    """``SetupError`` when the ledger or the spool lies on a network share, where a commit is no promise."""
    for path in (home.root, home.tmp):
        name = kind(str(path), mounts)
        if name.startswith(_SHARES):
            raise SetupError(f"{path}: the ledger and the spool need a local disk, this is {name}")
