"""One piece of a register, some patients, from bytes to Arrow batches. Runs in a worker process or in ours."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from oms_batch.formats import geometry, pieces, strict
from oms_batch.formats.columns import ACCOUNT, PERSON, Batch, Builder, Fault, Group, Ints, Seen
from oms_batch.formats.layout import Layout

PATIENTS = "/package/body/bill/patients"
_PLAIN_UTF8 = bytes(range(0x20, 0x7F)) + b"\t\r\n\xd0\xd1" + bytes(range(0x80, 0xC0))


@dataclass(slots=True)
class Piece:
    """What came out of one piece: a batch per table with local ordinals, and what the reader adds up."""

    tables: dict[str, pa.RecordBatch]
    faults: list[Fault]
    high: int
    paired: int


@dataclass(slots=True, frozen=True)
class Task:
    """Patients from ``offset`` of the document on; ``line`` is the line there, from 0."""

    layout: bytes
    encoding: str
    offset: int
    line: int
    data: bytes


def work(task: Task) -> Piece:
    """Read one piece; ``Refusal`` or ``ExpatError`` when it is not what it must be (places are local)."""
    builder = _builder(task.layout)
    seen, strays = read_plain(builder.layout, task.encoding, task.data)
    batch = builder.build(seen, strays, is_exotic(task.data, task.encoding))
    for lines in batch.lines.values():
        lines += task.line
    for fault in batch.faults:
        fault.line += task.line
    _add_geometry(batch, seen, task)
    high, paired = strict.utf8_pairs(task.data) if task.encoding != "utf-8" else (0, 0)
    return Piece(record_batches(batch), batch.faults, high, paired)


@lru_cache(maxsize=2)
def _builder(layout: bytes) -> Builder:
    return Builder(pickle.loads(layout))  # noqa: S301 - made by our own process


def read_plain(layout: Layout, encoding: str, data: bytes) -> tuple[dict[str, Seen], list[tuple[str, int, str, int]]]:
    """The plain way: expat calls us for every tag."""
    collector = pieces.collect(layout, PATIENTS, encoding, data)
    collector.check_lengths()
    return seen_of(collector)


def seen_of(collector: pieces.Collector) -> tuple[dict[str, Seen], list[tuple[str, int, str, int]]]:
    """Lists of a collector → arrays."""
    seen: dict[str, Seen] = {}
    for store in collector.top.walk():
        assert store.node is not None
        groups = []
        for shape in store.shapes.values():
            width = len(shape.names)
            columns = [pa.array(shape.flat[i::width], pa.string()) for i in range(width)]
            groups.append(Group(shape.names, _ints(shape.at), columns))
        seen[store.node.path] = Seen(store.node, _ints(store.ups), _ints(store.lines), groups)
    strays = [(store.node.path, n, name, line) for store, n, name, line in collector.strays if store.node is not None]
    return seen, strays


def _ints(numbers: list[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)


def is_exotic(data: bytes, encoding: str) -> bool:
    """Whether the bytes may hold control characters, odd blanks or digits that are not 0-9."""
    if b"&#" in data or b"\x7f" in data:
        return True
    return b"\xa0" in data if encoding != "utf-8" else bool(data.translate(None, _PLAIN_UTF8))


def _add_geometry(batch: Batch, seen: dict[str, Seen], task: Task) -> None:
    """Byte ranges of patients, their account lists and accounts, and the accounts' digests."""
    data, base = task.data, task.offset
    start, _, _, end = geometry.spans(data, b"patient")
    people = batch.columns[PERSON]
    people["byte_from"], people["byte_to"] = pa.array(start + base), pa.array(end + base)
    _, inner, closing, _ = geometry.spans(data, b"register_accounts")
    owner = seen[PATIENTS + "/patient/register_accounts"].ups
    for name, places in (("accounts_from", inner), ("accounts_to", closing)):
        at = np.full(len(start), -1, dtype=np.int64)
        at[owner[::-1]] = places[::-1]
        people[name] = pa.array(at + base, mask=at < 0)
    start, _, _, end = geometry.spans(data, b"personal_account")
    accounts = batch.columns[ACCOUNT]
    accounts["byte_from"], accounts["byte_to"] = pa.array(start + base), pa.array(end + base)
    accounts["digest"] = pa.array(geometry.digests(data, start, end), pa.string())
    accounts["pers_n"] = pa.array(batch.up[ACCOUNT])


def record_batches(batch: Batch) -> dict[str, pa.RecordBatch]:
    """Ordinals (local, from 0) and columns of each table that has rows."""
    made = {}
    for table, count in batch.rows.items():
        if count:
            heads = {
                "n": pa.array(np.arange(count, dtype=np.int64)),
                "up_n": pa.array(batch.up[table]),
                "z_sl_n": pa.array(batch.account[table]),
                "line": pa.array(batch.lines[table].astype(np.int32)),
            }
            made[table] = pa.RecordBatch.from_pydict({**heads, **batch.columns[table]})
    return made
