"""Facts: what was billed and judged, one Parquet file per answered register, written once and never changed.

They lie as ``archive/facts/period=YYYY-MM/<sha256>.parquet``; the name is the hash of the bytes, so writing
the same facts again finds them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from oms_batch.errors import Fault
from oms_batch.store import fsio

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")


def publish(archive: str | Path, period: str, source: str) -> str:
    """Copy a finished Parquet file to its place (P14); gives the path. May be repeated."""
    if not _PERIOD.fullmatch(period):
        raise Fault("facts: the period is not YYYY-MM")
    folder = Path(archive) / "facts" / f"period={period}"
    fsio.mkdirs(folder)
    sha256, _size = fsio.hash_file(source)
    target = folder / f"{sha256}.parquet"
    if fsio.exists(target):
        return str(target)
    spare = folder / f".tmp-{sha256[:32]}"  # always the same, so that a killed copy leaves nothing
    fsio.unlink(spare)
    if fsio.copy_hash(source, spare)[0] != sha256:
        fsio.unlink(spare)
        raise Fault("facts: the file changed while it was copied")
    fsio.rename(spare, target)
    fsio.fsync_dir(folder)
    return str(target)


def listed(archive: str | Path, periods: Iterable[str]) -> list[str]:
    """Sorted paths of the facts of these months; none for a month without facts."""
    top = Path(archive) / "facts"
    folders = [top / f"period={period}" for period in sorted(set(periods))]
    return [str(folder / name) for folder in folders for name in fsio.listdir(folder) if _NAME.fullmatch(name)]


def periods(archive: str | Path) -> list[str]:
    """Months that have facts, sorted."""
    names = fsio.listdir(Path(archive) / "facts")
    return [name.removeprefix("period=") for name in names if _PERIOD.fullmatch(name.removeprefix("period="))]
