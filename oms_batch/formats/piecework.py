"""One piece of a register, some patients, from bytes to Arrow batches. Runs in a worker process or in ours."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from oms_batch.formats import geometry, pieces, strict
from oms_batch.formats.columns import ACCOUNT, PERSON, Batch, Builder, Fault, Group, Ints, Seen
from oms_batch.formats.geometry import Spans
from oms_batch.formats.layout import Layout
from oms_batch.formats.tokens import Tokenizer, Unsure

PATIENTS = "/package/body/bill/patients"
_PATIENT = PATIENTS + "/patient"
PLACES = (_PATIENT, _PATIENT + "/register_accounts", _PATIENT + "/register_accounts/personal_account")
_PATIENT_END = re.compile(rb"</patient[ \t\r\n]*>")
MOST_CUTS = 12  # patients of one piece that are read apart; a small piece costs as much as some hundred patients
DEEPEST_CUT = 3
Tools = tuple[Builder, Tokenizer]
_PLAIN_UTF8 = bytes(range(0x20, 0x7F)) + b"\t\r\n\xd0\xd1" + bytes(range(0x80, 0xC0))


@dataclass(slots=True)
class Piece:
    """What came out of one piece: a batch per table with local ordinals, and what the reader adds up."""

    tables: dict[str, pa.RecordBatch]
    faults: list[Fault]
    high: int
    paired: int
    fast: bool
    size: int


@dataclass(slots=True, frozen=True)
class Task:
    """Patients from ``offset`` of the document on; ``line`` is the line there, from 0; ``cut``: how often it was."""

    layout: bytes
    encoding: str
    offset: int
    line: int
    data: bytes
    fast: bool = True
    cut: int = 0


def work(task: Task) -> list[Piece]:
    """Read one piece; ``Refusal`` or ``ExpatError`` when it is not what it must be (places are local).

    Where the tokenizer is unsure of some patients only, the piece falls apart into those and what lies between.
    """
    return work_with(_kept_tools(task.layout), task)


def work_with(tools: Tools, task: Task) -> list[Piece]:
    """The same with tools of one's own: no two threads may use them at once."""
    builder, tokenizer = tools
    if not task.data:
        return []
    if not task.fast:
        return [_plain(task, builder)]
    try:
        seen, spans = tokenizer.read(task.data, task.encoding, PLACES)
    except Unsure as unsure:
        parts = list(_apart(task, unsure.places))
        return [one for part in parts for one in work_with(tools, part)]
    return [_piece(task, builder, seen, spans, [])]


def _apart(task: Task, places: Sequence[int]) -> Iterator[Task]:
    """The patients around these places, to be read the plain way, and what lies between them; or all in one."""
    size = len(task.data)
    cuts: list[tuple[int, int]] = []
    for at in sorted(places):
        if cuts and at < cuts[-1][1]:
            continue
        behind = _PATIENT_END.search(task.data, at)
        before = task.data.rfind(b"</patient>", cuts[-1][1] if cuts else 0, at)
        cuts.append((before + 10 if before >= 0 else cuts[-1][1] if cuts else 0, behind.end() if behind else size))
        if len(cuts) > MOST_CUTS:
            break
    if (
        not cuts
        or len(cuts) > MOST_CUTS
        or task.cut == DEEPEST_CUT
        or sum(end - start for start, end in cuts) * 2 > size
    ):
        cuts = [(0, size)]
    at = 0
    for start, end in cuts:
        yield _part(task, at, start, True)
        end = end if task.data[end:].strip(b" \t\r\n") else size
        yield _part(task, start, end, False)
        at = end
    yield _part(task, at, size, True)


def _part(task: Task, start: int, end: int, fast: bool) -> Task:
    line = task.line + strict.newlines(task.data[:start])
    return Task(task.layout, task.encoding, task.offset + start, line, task.data[start:end], fast, task.cut + 1)


def _plain(task: Task, builder: Builder) -> Piece:
    seen, strays = read_plain(builder.layout, task.encoding, task.data)
    spans = {path: geometry.spans(task.data, path.rpartition("/")[2].encode("ascii")) for path in PLACES}
    return _piece(task, builder, seen, spans, strays)


def _piece(
    task: Task,
    builder: Builder,
    seen: dict[str, Seen],
    spans: dict[str, Spans],
    strays: list[tuple[str, int, str, int]],
) -> Piece:
    batch = builder.build(seen, strays, is_exotic(task.data, task.encoding))
    for lines in batch.lines.values():
        lines += task.line
    for fault in batch.faults:
        fault.line += task.line
    _add_geometry(batch, seen, spans, task)
    high, paired = strict.utf8_pairs(task.data) if task.encoding != "utf-8" else (0, 0)
    return Piece(record_batches(batch), batch.faults, high, paired, task.fast, len(task.data))


def make_tools(layout: Layout) -> Tools:
    """What reads pieces; it remembers what it has parsed."""
    return Builder(layout), Tokenizer(layout, PATIENTS)


@lru_cache(maxsize=2)
def _kept_tools(packed: bytes) -> Tools:
    return make_tools(pickle.loads(packed))  # noqa: S301 - made by our own process


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


def _add_geometry(batch: Batch, seen: dict[str, Seen], spans: dict[str, Spans], task: Task) -> None:
    """Byte ranges of patients, their account lists and accounts, and the accounts' digests."""
    nothing = Spans(*(np.empty(0, dtype=np.int64),) * 4)
    patients, lists, accounts = (spans.get(path, nothing) for path in PLACES)
    people = batch.columns[PERSON]
    people["byte_from"] = pa.array(patients.start + task.offset)
    people["byte_to"] = pa.array(patients.end + task.offset)
    for i in np.flatnonzero(lists.opened < 0).tolist():
        lists.opened[i] = geometry.tag_end(task.data, int(lists.start[i]))
    owner = seen[PLACES[1]].ups
    for name, places in (("accounts_from", lists.opened), ("accounts_to", lists.close)):
        at = np.full(len(patients.start), -1, dtype=np.int64)
        at[owner[::-1]] = places[::-1]
        people[name] = pa.array(at + task.offset, mask=at < 0)
    columns = batch.columns[ACCOUNT]
    columns["byte_from"] = pa.array(accounts.start + task.offset)
    columns["byte_to"] = pa.array(accounts.end + task.offset)
    columns["digest"] = pa.array(geometry.digests(task.data, accounts.start, accounts.end), pa.string())
    columns["pers_n"] = pa.array(batch.up[ACCOUNT])


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
