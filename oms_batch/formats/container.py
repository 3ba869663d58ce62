"""What a register travels in: ZIP, 7z or the bare document, told apart by magic bytes, never by extension.

A container holds exactly one member of the agreed name. Limits are counted on the bytes that really come out.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

import py7zr
from py7zr.exceptions import ArchiveError, CrcError, PasswordRequired, UnsupportedCompressionMethodError
from py7zr.helpers import ArchiveTimestamp
from py7zr.io import Py7zIO, WriterFactory

from oms_batch.errors import Fault, Refusal, refuse
from oms_batch.formats import zipfile_strict as zips
from oms_batch.formats.strict import magic_hex

SEVEN = b"7z\xbc\xaf\x27\x1c"
_SEVEN_HEAD = struct.Struct("<6s2BLQQL")
_LARGEST_DICTIONARY = 128 * 1_048_576
_WINDOW = 32_768  # how far back deflate looks
_PACKED_AT_ONCE = 2 * 1_048_576
_MAGIC = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"Rar!", "RAR"), (b"\xfd7zXZ", "xz"), (b"\xff\xd8\xff", "JPEG"),
    (b"MZ", "EXE"),
    (b"%PDF", "PDF"), (b"\x89PNG", "PNG"), (b"\xd0\xcf\x11\xe0", "MS Office"), (b"\x7fELF", "ELF"),
    (b"SQLite", "SQLite"),
    (b"\x28\xb5\x2f\xfd", "zstd"), (b"MSCF", "CAB"), (b"`\xea", "ARJ"), (b"{\\rtf", "RTF"),
)  # fmt: skip
_MARKS = (
    b"\xff\xfe",
    b"\xfe\xff",
    b"\x00\x00\xfe\xff",
    b"\x4c\x6f\xa7\x94",
    b"+ADw",
    b"+/v",
    b"<\x00",
    b"\x00<",
    b"\x00\x00\x00<",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of the file, bytes of the document, and how many times bigger the document may be."""

    packed: int = 512 * 1_048_576
    raw: int = 4096 * 1_048_576 - 65_536
    ratio: int = 100


@dataclass(frozen=True, slots=True)
class Opened:
    """The document: seekable stream, what it came in (``zip``, ``7z``, ``xml``), bytes."""

    stream: BinaryIO
    kind: str
    size: int


def kind_of(stream: BinaryIO, size: int, limits: Limits) -> str:
    """``zip``, ``7z`` or ``xml``. Refuses ``FILE_EMPTY``, ``FILE_TOO_BIG``, ``FILE_FORMAT`` and ZIPs behind junk."""
    if size == 0:
        raise refuse("FILE_EMPTY")
    if size > limits.packed:
        stream.seek(0)
        if size > limits.raw or _looks(stream.read(64)) != "xml":
            raise refuse("FILE_TOO_BIG", expected=limits.packed, found=size)
    stream.seek(0)
    head = stream.read(64)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"PK\x05\x06"):
        raise refuse("ZIP_EMPTY")
    if head.startswith(b"PK\x07\x08"):
        raise refuse("ZIP_METHOD", "byte 0", found="several disks")
    if head.startswith(SEVEN):
        return "7z"
    if SEVEN.startswith(head) or b"PK\x03\x04".startswith(head):
        raise refuse("ZIP_TRUNCATED", f"byte {size}")
    if _looks(head) == "xml":
        return "xml"
    end = zips.find_end(stream, size)
    if end > 0 and size - end < 65_600:
        raise refuse("ZIP_AMBIGUOUS", "byte 0", found=magic_hex(head))
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), magic_hex(head))
    raise refuse("FILE_FORMAT", "byte 0", expected="ZIP, 7z, XML", found=found)


def _looks(head: bytes) -> str:
    """Text that may be XML goes to the reader, which knows better why it is not."""
    body = head[3:] if head.startswith(b"\xef\xbb\xbf") else head
    return "xml" if body.lstrip(b" \t\r\n").startswith(b"<") or head.startswith(_MARKS) else ""


def unpack(stream: BinaryIO, size: int, member: str, limits: Limits, out: BinaryIO) -> tuple[str, int]:
    """Write the document to ``out``; (kind, bytes). Refuses E.1 28-30 and E.2 (``FILE_…``, ``ZIP_…``)."""
    kind = kind_of(stream, size, limits)
    if kind == "zip":
        one = zips.only_member(stream, size, member, limits.ratio)
        zips.gapless(stream, size, [one])
        made = zips.inflate(stream, one, limits.ratio, limits.raw, out)
    elif kind == "7z":
        made = _unpack_seven(stream, size, member, limits, out)
    else:
        made = 0
        stream.seek(0)
        while block := stream.read(zips.BLOCK):
            made += out.write(block)
    return kind, made


@contextmanager
def open_register(
    stream: BinaryIO, size: int, member: str, limits: Limits | None = None, scratch: BinaryIO | None = None
) -> Iterator[Opened]:
    """The document of a delivered file. A packed one is written to ``scratch`` (a local file opened for writing and
    reading; memory when absent, for small files), a bare one is given as it is."""
    limits = limits or Limits()
    if kind_of(stream, size, limits) == "xml":
        stream.seek(0)
        yield Opened(stream, "xml", size)
        return
    target = scratch if scratch is not None else io.BytesIO()
    kind, made = unpack(stream, size, member, limits, target)
    check_not_nested(target, member)
    yield Opened(target, kind, made)


def check_not_nested(target: BinaryIO, place: str) -> None:
    """``ZIP_NESTED`` when what came out is an archive again; the stream is left at its beginning."""
    target.seek(0)
    head = target.read(8)
    if head.startswith((b"PK\x03\x04", SEVEN, b"Rar!", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        raise refuse("ZIP_NESTED", place)
    target.seek(0)


class _Counter(Py7zIO):
    """Takes what py7zr inflates and stops it at the limits."""

    def __init__(self, out: BinaryIO, packed: int, limits: Limits) -> None:
        self.out = out
        self.made = 0
        self.most = min(limits.raw, max(zips.GRACE, limits.ratio * packed))
        self.ratio = limits.ratio

    def write(self, s: bytes | bytearray) -> int:
        self.made += len(s)
        if self.made > self.most:
            raise refuse("ZIP_RATIO", expected=f"{self.ratio}:1", found=self.made)
        return self.out.write(s)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.made

    def flush(self) -> None: ...

    def size(self) -> int:
        return self.made


class _Factory(WriterFactory):
    def __init__(self, counter: _Counter) -> None:
        self.counter = counter

    def create(self, filename: str) -> Py7zIO:
        return self.counter


def _unpack_seven(stream: BinaryIO, size: int, member: str, limits: Limits, out: BinaryIO) -> int:
    stream.seek(0)
    head = stream.read(_SEVEN_HEAD.size)
    if len(head) < _SEVEN_HEAD.size:
        raise refuse("ZIP_TRUNCATED", f"byte {size}")
    _, _, _, crc, offset, length, _ = _SEVEN_HEAD.unpack(head)
    if zlib.crc32(head[12:]) != crc:
        raise refuse("ZIP_CRC", "byte 8")
    end = _SEVEN_HEAD.size + offset + length
    if end != size:
        raise refuse("ZIP_TRUNCATED" if end > size else "ZIP_AMBIGUOUS", f"byte {size}", expected=end, found=size)
    if length == 0:
        raise refuse("ZIP_EMPTY")
    counter = _Counter(out, size, limits)
    stream.seek(0)
    try:
        with py7zr.SevenZipFile(stream, "r") as archive:
            _check_seven(archive, member, limits, size)
            archive.extract(targets=[archive.files[0].filename], factory=_Factory(counter))
            expected = archive.files[0].uncompressed
    except Refusal:
        raise
    except (PasswordRequired, UnsupportedCompressionMethodError):
        raise refuse("ZIP_METHOD", found="encrypted or unknown method") from None
    except CrcError:
        raise refuse("ZIP_CRC") from None
    except (ArchiveError, MemoryError):
        raise refuse("ZIP_HEADER") from None
    except Exception:  # the library meets damage with errors of every kind (EOFError, LZMAError, struct.error ...)
        raise refuse("ZIP_CRC") from None
    if counter.made != expected:
        raise refuse("ZIP_HEADER", expected=expected, found=counter.made)
    return counter.made


def _check_seven(archive: Any, member: str, limits: Limits, size: int) -> None:
    """One plain member of the agreed name, no encryption, no dictionary that fills the memory."""
    if archive.needs_password():
        raise refuse("ZIP_METHOD", found="encrypted")
    files = list(archive.files)
    names = [one.filename for one in files]
    if not files:
        raise refuse("ZIP_EMPTY")
    if len({name.lower() for name in names}) != len(names):
        raise refuse("ZIP_DUPLICATE", found=len(names))
    if any(one.is_symlink or one.is_junction or one.is_socket for one in files) or any(
        ".." in name.replace("\\", "/").split("/") or name.startswith(("/", "\\")) or ":" in name for name in names
    ):
        raise refuse("ZIP_PATH")
    if len(files) != 1 or names[0].lower() != member.lower() or files[0].is_directory:
        nested = any(name.lower().endswith((".zip", ".7z", ".rar", ".gz")) for name in names)
        raise refuse("ZIP_NESTED" if nested else "ZIP_CONTENT", expected=member, found=len(files))
    if files[0].uncompressed > max(zips.GRACE, limits.ratio * size) or files[0].uncompressed > limits.raw:
        raise refuse("ZIP_RATIO", expected=f"{limits.ratio}:1", found=f"{files[0].uncompressed // max(size, 1)}:1")
    for folder in archive.header.main_streams.unpackinfo.folders if archive.header.main_streams else []:
        for coder in folder.coders:
            if _dictionary(coder) > _LARGEST_DICTIONARY:
                raise refuse("ZIP_METHOD", expected=_LARGEST_DICTIONARY, found=_dictionary(coder))


def _dictionary(coder: dict[str, Any]) -> int:
    """Bytes of the dictionary that a coder asks for (LZMA, LZMA2, PPMd), 0 for others."""
    method, properties = bytes(coder.get("method") or b""), bytes(coder.get("properties") or b"")
    if method == b"\x21" and len(properties) == 1:
        bits = properties[0]
        return 0xFFFFFFFF if bits >= 40 else (2 | bits & 1) << (bits // 2 + 11)
    if method in (b"\x03\x01\x01", b"\x03\x04\x01") and len(properties) >= 5:
        return int.from_bytes(properties[1:5], "little")
    return 0


def pack(
    kind: str, member: str, source: BinaryIO, out: BinaryIO, when: datetime, level: int = 6, workers: int = 1
) -> None:
    """Write a container with one member; the same input, time and level give the same bytes.

    ``workers`` threads pack a ZIP.

    ``out`` is seekable and empty; ``when`` is written as it stands (no zone).
    """
    pack_members(kind, [(member, source)], out, when, level, workers)


def pack_members(
    kind: str,
    members: Sequence[tuple[str, BinaryIO]],
    out: BinaryIO,
    when: datetime,
    level: int = 6,
    workers: int = 1,
) -> None:
    """The same with several members, in this order; only a ZIP holds more than one."""
    if kind == "zip":
        _pack_zip(members, out, when, level, workers)
        return
    if len(members) != 1:
        raise Fault(f"{kind}: a container of one member")
    member, source = members[0]
    if kind == "xml":
        while block := source.read(zips.BLOCK):
            out.write(block)
    elif kind == "7z":
        _pack_seven(member, source, out, when, level)
    else:
        raise Fault(f"no container {kind}")


def _pack_zip(members: Sequence[tuple[str, BinaryIO]], out: BinaryIO, when: datetime, level: int, workers: int) -> None:
    day = (max(when.year - 1980, 0) << 9) | (when.month << 5) | when.day
    moment = (when.hour << 11) | (when.minute << 5) | (when.second // 2)
    directory = b""
    for member, source in members:
        offset = out.tell()
        name = member.encode("ascii")
        sums = _pack_member(name, source, out, (moment, day), level, workers)
        tail = struct.pack("<5H", len(name), 0, 0, 0, 0) + struct.pack("<2L", 0o100644 << 16, offset)
        directory += struct.pack("<4s6H", b"PK\x01\x02", 0x0314, 20, 0, 8, moment, day) + sums + tail + name
    end = out.tell()
    if end >= 0xFFFFFFFF:
        raise Fault("archive beyond 4 GiB: no plain ZIP")
    out.write(directory)
    count = len(members)
    out.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), end, 0))


def _pack_member(
    name: bytes, source: BinaryIO, out: BinaryIO, made: tuple[int, int], level: int, workers: int
) -> bytes:
    """One member with its local header; gives CRC and sizes as the directory repeats them."""
    start = out.tell()
    out.write(struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, *made, 0, 0, 0, len(name), 0) + name)
    begin = out.tell()
    crc = size = 0
    for block, packed in _deflated(source, level, workers):
        crc, size = zlib.crc32(block, crc), size + len(block)
        out.write(packed)
    end = out.tell()
    if size >= 0xFFFFFFFF:
        raise Fault("document beyond 4 GiB: no plain ZIP")
    sums = struct.pack("<3L", crc, end - begin, size)
    out.seek(start + 14)
    out.write(sums)
    out.seek(end)
    return sums


def _deflated(source: BinaryIO, level: int, workers: int) -> Iterator[tuple[bytes, bytes]]:
    """Blocks of a document and what they come to in one deflate stream; it does not depend on ``workers``.

    Each block is packed on its own, knowing the end of the one before, so that several can be at once.
    """

    def pack_one(block: bytes, before: bytes, last: bool) -> bytes:
        known = {"zdict": before[-_WINDOW:]} if before else {}
        engine = zlib.compressobj(level, zlib.DEFLATED, -15, **known)  # type: ignore[arg-type]
        return engine.compress(block) + engine.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)

    waiting: deque[tuple[bytes, Future[bytes]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        before, block, more = b"", source.read(_PACKED_AT_ONCE), True
        while more:
            following = source.read(_PACKED_AT_ONCE)
            more = bool(following)
            waiting.append((block, pool.submit(pack_one, block, before, not more)))
            before, block = block, following
            if len(waiting) > workers:
                done, packed = waiting.popleft()
                yield done, packed.result()
        for done, packed in waiting:
            yield done, packed.result()


def _pack_seven(member: str, source: BinaryIO, out: BinaryIO, when: datetime, level: int) -> None:
    stream = source if isinstance(source, io.BufferedIOBase) else io.BytesIO(source.read())
    with py7zr.SevenZipFile(out, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": level}]) as archive:
        archive.writef(stream, member)
        stamp = ArchiveTimestamp.from_datetime(when.timestamp())
        for info in archive.header.files_info.files:
            info["creationtime"] = info["lastwritetime"] = info["lastaccesstime"] = stamp
