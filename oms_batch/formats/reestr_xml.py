"""The register of personal accounts (``package/body/bill/patients``) → typed tables in DuckDB.

The document is cut behind patients into pieces; each piece is parsed on its own (several at a time when
there is enough of it), head and tail together by one parser, so that every byte passes a real XML parser.
All or nothing: a document that is refused leaves no table behind.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from queue import SimpleQueue
from typing import BinaryIO
from xml.parsers import expat

import duckdb

from oms_batch import clock
from oms_batch.errors import Refusal, refuse
from oms_batch.formats import outer as frame
from oms_batch.formats import piecework, strict
from oms_batch.formats.columns import Builder
from oms_batch.formats.layout import Layout
from oms_batch.formats.reading import ReadLimits as ReadLimits
from oms_batch.formats.reading import ReadResult as ReadResult
from oms_batch.formats.sink import Sink

PATIENCE = 8 * 1_048_576  # bytes read the plain way, after which processes take over
LONGEST_PIECE = 64 * 1_048_576  # one patient bigger than this is no patient


def read(
    stream: BinaryIO,
    layout: Layout,
    con: duckdb.DuckDBPyConnection,
    *,
    workers: int = 1,
    limits: ReadLimits | None = None,
    encodings: tuple[str, ...] = ("windows-1251", "utf-8"),
) -> ReadResult:
    """Read a register into the tables of its layout, and ``spot`` and ``findings``, which it creates in ``con``.

    ``stream`` is the uncompressed document, seekable. Ordinals ``n`` count from 1 in document order; money is
    kopecks; ``byte_from``/``byte_to`` are offsets in the stream. Raises ``Refusal`` (``XML_…``), then leaving nothing.
    """
    began = clock.monotonic()
    limits = limits or ReadLimits()
    stream.seek(0)
    encoding = strict.encoding_of(stream.read(strict.HEAD), encodings)
    size = stream.seek(0, 2)
    sink = Sink(con, layout)
    try:
        sink.create()
        _read_all(stream, size, layout, sink, encoding, workers, limits)
        counts = sink.finish()
    except BaseException as error:
        sink.drop()  # not one transaction: until its end DuckDB would hold on to every batch it was given
        if isinstance(error, Refusal | expat.ExpatError):
            raise _authoritative(error, layout, encoding, stream) from None
        raise
    return ReadResult(
        encoding, counts.get("z_sl", 0), counts.get("pers", 0), size, clock.monotonic() - began, counts["findings"]
    )


def _authoritative(error: Exception, layout: Layout, encoding: str, stream: BinaryIO) -> Refusal:
    found = frame.why_refused(layout, encoding, stream)
    if found is not None:
        return found
    if isinstance(error, Refusal):
        return error
    return refuse("XML_SCHEMA", found="patient")


def _read_all(
    stream: BinaryIO, size: int, layout: Layout, sink: Sink, encoding: str, workers: int, limits: ReadLimits
) -> None:
    stream.seek(0)
    outer = frame.Outer(layout, encoding)
    start = frame.read_head(outer, stream)
    high = paired = 0
    if start >= 0:
        head_lines = {id(store): len(store.lines) for store in outer.collector.top.walk()}
        cutter = Cutter(stream, start, limits.piece, _lines_before(stream, start))
        alone = workers < 2 or size < limits.alone
        for piece in _pieces(cutter, layout, encoding, 0 if alone else workers, limits.fast):
            sink.add(piece.tables, piece.faults)
            high, paired = high + piece.high, paired + piece.paired
        outer.skip = cutter.end - start
        stream.seek(cutter.end)
        frame.read_tail(outer, stream)
        skipped = cutter.lines - cutter.first_line
        for store in outer.collector.top.walk():
            behind = head_lines[id(store)]
            store.lines[behind:] = [line + skipped for line in store.lines[behind:]]
    else:
        frame.read_tail(outer, stream)
    outer.check_complete()
    _add_frame(outer, layout, sink, encoding, stream)
    if encoding != "utf-8":
        high, paired = _count_pairs(stream, start, outer.skip, high, paired)
        if strict.is_mojibake(high, paired):
            raise refuse("XML_ENCODING_MISMATCH", expected=encoding, found="utf-8")


def _add_frame(outer: frame.Outer, layout: Layout, sink: Sink, encoding: str, stream: BinaryIO) -> None:
    """Rows and findings of head and tail, and the places for splicing."""
    outer.collector.check_lengths()
    seen, strays = piecework.seen_of(outer.collector)
    below = piecework.PATIENTS + "/"
    frame_seen = {path: one for path, one in seen.items() if not path.startswith(below)}
    batch = Builder(layout).build(frame_seen, strays, exotic=True)
    sink.add(piecework.record_batches(batch), batch.faults)
    sink.add_spots(frame.spots(outer, stream))


def _count_pairs(stream: BinaryIO, start: int, skip: int, high: int, paired: int) -> tuple[int, int]:
    """Add the head and at most a block of the tail to the count of bytes that look like UTF-8."""
    stream.seek(0)
    pieces = [stream.read(start if start >= 0 else frame.LONGEST_HEAD)]
    if start >= 0:
        stream.seek(start + skip)
        pieces.append(stream.read(frame.BLOCK))
    for data in pieces:
        more, more_paired = strict.utf8_pairs(data)
        high, paired = high + more, paired + more_paired
    return high, paired


def _lines_before(stream: BinaryIO, end: int) -> int:
    stream.seek(0)
    return strict.newlines(stream.read(end))


class Cutter:
    """Cuts the content of ``patients`` behind a patient's end tag; ``end`` is where ``</patients`` begins."""

    def __init__(self, stream: BinaryIO, start: int, piece: int, line: int) -> None:
        self.stream = stream
        self.piece = piece
        self.end = start
        self.first_line = line
        self.lines = line

    def cut(self) -> Iterator[tuple[int, int, bytes]]:
        """(offset, line before it, bytes) of each piece."""
        self.stream.seek(self.end)
        data, final = b"", False
        while not final:
            block = self.stream.read(self.piece)
            search = max(0, len(data) - 16)
            data += block
            stop = data.find(b"</patients", search)
            final = stop >= 0 or not block
            stop = stop if stop >= 0 else len(data) if not block else _behind_patient(data)
            if stop <= 0 and not final:
                if len(data) > LONGEST_PIECE:
                    raise refuse("XML_LIMIT", f"byte {self.end}", expected=LONGEST_PIECE)
                continue
            ready, data = data[:stop], data[stop:]
            offset, line = self.end, self.lines
            self.end += len(ready)
            self.lines += strict.newlines(ready)
            if ready:
                yield offset, line, ready


def _behind_patient(data: bytes) -> int:
    """The place behind the last whole ``</patient>``, 0 when there is none."""
    at = len(data)
    while (at := data.rfind(b"</patient", 0, at)) >= 0:
        close = data.find(b">", at)
        if close >= 0 and not data[at + 9 : close].strip(b" \t\r\n"):
            return close + 1
    return 0


def _pieces(cutter: Cutter, layout: Layout, encoding: str, workers: int, fast: bool) -> Iterator[piecework.Piece]:
    """Pieces in document order, at most a few of them in the air."""
    packed = pickle.dumps(layout)
    tasks = (piecework.Task(packed, encoding, *place, fast) for place in cutter.cut())
    if not workers:
        tools = piecework.make_tools(layout)
        for task in tasks:
            yield from piecework.work_with(tools, task)
        return
    waiting: deque[Future[list[piecework.Piece]]] = deque()
    with Crew(layout, workers) as crew:
        for task in tasks:
            waiting.append(crew.submit(task))
            if len(waiting) > 2 * workers:
                yield from crew.heard(waiting.popleft().result())
        while waiting:
            yield from crew.heard(waiting.popleft().result())


class Crew:
    """Those who read: threads, for the tokenizer leaves the interpreter's lock alone most of the time; processes
    from where the plain way turns out to be the way of this document, which needs the interpreter all the time."""

    def __init__(self, layout: Layout, workers: int) -> None:
        self.workers = workers
        self.threads = ThreadPoolExecutor(workers)
        self.processes: ProcessPoolExecutor | None = None
        self.tools: SimpleQueue[piecework.Tools] = SimpleQueue()
        for _ in range(workers):
            self.tools.put(piecework.make_tools(layout))
        self.plain = 0

    def submit(self, task: piecework.Task) -> Future[list[piecework.Piece]]:
        """Read it some time soon; the plain way in another process."""
        if task.fast and self.plain < PATIENCE:
            return self.threads.submit(self._in_thread, task)
        if self.processes is None:
            self.processes = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))
        return self.processes.submit(piecework.work, task)

    def _in_thread(self, task: piecework.Task) -> list[piecework.Piece]:
        tools = self.tools.get()
        try:
            return piecework.work_with(tools, task)
        finally:
            self.tools.put(tools)

    def heard(self, pieces: list[piecework.Piece]) -> list[piecework.Piece]:
        """Take note of how they were read."""
        self.plain += sum(one.size for one in pieces if not one.fast)
        return pieces

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown(cancel_futures=True)
        if self.processes is not None:
            self.processes.shutdown(cancel_futures=True)
