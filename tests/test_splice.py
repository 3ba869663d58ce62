"""Splicing: what is not named stays; wrong offsets never make a plausible file."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_batch.errors import Fault
from oms_batch.reply.splice import Edit, splice


def done(raw: bytes, *edits: Edit) -> bytes:
    out = io.BytesIO()
    splice(io.BytesIO(raw), edits, out)
    return out.getvalue()


def test_replaces_inserts_removes_and_keeps_the_rest() -> None:
    assert done(b"0123456789", Edit(0, 1, b"A"), Edit(3, 3, [b"x", b"y"]), Edit(8, 10)) == b"A12xy34567"


def test_no_edit_is_a_copy() -> None:
    assert done(b"abc") == b"abc"


@pytest.mark.parametrize(
    "edits",
    [
        (Edit(2, 5), Edit(4, 6)),
        (Edit(5, 6), Edit(1, 2)),
        (Edit(5, 4),),
        (Edit(8, 11),),
        (Edit(12, 12),),
    ],
)
def test_wrong_offsets_are_our_fault(edits: tuple[Edit, ...]) -> None:
    with pytest.raises(Fault):
        done(b"0123456789", *edits)


@given(st.binary(max_size=80), st.data())
def test_equals_the_slow_way(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    news = [data.draw(st.binary(max_size=5)) for _ in pairs]
    slow = raw
    for (start, end), new in reversed(list(zip(pairs, news, strict=True))):
        slow = slow[:start] + new + slow[end:]
    assert done(raw, *(Edit(a, b, new) for (a, b), new in zip(pairs, news, strict=True))) == slow


def test_memory_does_not_grow_with_edits_or_size() -> None:
    class Sink(io.RawIOBase):
        size = 0

        def write(self, piece: bytes) -> int:  # type: ignore[override]
            self.size += len(piece)
            return len(piece)

    source = io.BytesIO(bytes(8 << 20))
    sink = Sink()
    tracemalloc.start()
    splice(source, (Edit(at, at + 10, b"x") for at in range(0, 8 << 20, 128)), sink)  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sink.size > 7 << 20
    assert peak < 2 << 20
