"""When a file in a shared folder counts as whole; events and times of others are not believed."""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_batch import clock
from oms_batch.store import fsio
from oms_batch.store.wholeness import whole


@dataclass(slots=True)
class _Seen:
    signature: tuple[int, int, int]
    since: float
    first: float
    looks: int = 1


@dataclass(slots=True)
class Settling:
    """When a file counts as whole: what was seen of it in earlier looks, by the monotonic clock.

    Equal size, time and inode in two looks at least ``settle_seconds`` apart, and an end that fits its kind.
    ``settle_seconds=0``: one look is enough. After ``give_up_minutes`` it is reported incomplete; with 0 the end
    is not looked at, so that the reader says exactly what is missing.
    """

    settle_seconds: float = 5.0
    give_up_minutes: float = 60.0
    max_bytes: int = 512 << 20
    seen: dict[str, _Seen] = field(default_factory=dict)

    def ripe(self, item: fsio.Item) -> tuple[bool, str]:
        """(whether it may be claimed now, its problem)."""
        now = clock.monotonic()
        signature = (item.size, item.mtime_ns, item.inode)
        seen = self.seen.get(item.path)
        if seen is None or seen.signature != signature:
            seen = self.seen[item.path] = _Seen(signature, now, seen.first if seen else now)
        else:
            seen.looks += 1
        late = self.give_up_minutes > 0 and now - seen.first >= self.give_up_minutes * 60
        still = self.settle_seconds <= 0 or (seen.looks >= 2 and now - seen.since >= self.settle_seconds)
        if not still:
            return late, "FILE_INCOMPLETE" if late else ""
        if item.size > self.max_bytes or item.size == 0:
            return True, "FILE_TOO_BIG" if item.size else "FILE_EMPTY"
        try:
            if self.give_up_minutes <= 0 or whole(item.path):
                return True, ""
        except OSError:
            return late, "FILE_ACCESS" if late else ""
        return late, "FILE_INCOMPLETE" if late else ""

    def forget(self, present: set[str]) -> None:
        """Drop what is no longer there."""
        for path in self.seen.keys() - present:
            del self.seen[path]
