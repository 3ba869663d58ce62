"""Containers: what goes in comes out; anything ambiguous, hostile or damaged is refused with its own code."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import struct
import warnings
import zipfile
from collections import Counter
from datetime import datetime, timedelta, timezone

import py7zr
import pytest

from oms_batch.errors import Refusal
from oms_batch.formats.container import Limits, Opened, kind_of, open_register, pack
from tests.read_docs import Maker

WHEN = datetime(2018, 10, 3, 9, 30, 12, tzinfo=timezone(timedelta(hours=3)))
DOCUMENT = Maker().document()
SMALL = Limits(packed=50_000_000, raw=4_000_000, ratio=100)
NAME = "bill.xml"


def packed(kind: str, data: bytes = DOCUMENT, level: int = 6) -> bytes:
    out = io.BytesIO()
    pack(kind, NAME, io.BytesIO(data), out, WHEN, level)
    return out.getvalue()


def opened(data: bytes, limits: Limits = SMALL) -> tuple[Opened, bytes]:
    with open_register(io.BytesIO(data), len(data), NAME, limits) as found:
        return found, found.stream.read()


def code(data: bytes, limits: Limits = SMALL) -> str:
    with pytest.raises(Refusal) as caught:
        opened(data, limits)
    return caught.value.code


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def seven(*members: tuple[str, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", **options) as archive:
        for name, data in members:
            archive.writestr(data, name)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["zip", "7z", "xml"])
def test_what_is_packed_comes_out(kind: str) -> None:
    found, data = opened(packed(kind))
    assert (found.kind, found.size, data) == (kind, len(DOCUMENT), DOCUMENT)
    assert packed(kind) == packed(kind)
    if kind != "xml":
        assert len(packed(kind)) < len(DOCUMENT) / 3


def test_our_zip_and_7z_are_read_by_others() -> None:
    with zipfile.ZipFile(io.BytesIO(packed("zip"))) as archive:
        assert archive.testzip() is None
        assert archive.read(NAME) == DOCUMENT
        assert archive.infolist()[0].date_time == (2018, 10, 3, 9, 30, 12)
    with py7zr.SevenZipFile(io.BytesIO(packed("7z"))) as archive:
        assert archive.namelist() == [NAME]
        assert archive.testzip() is None


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_of_others_are_read(method: int) -> None:
    assert opened(zipped((NAME, DOCUMENT), method=method))[1] == DOCUMENT
    assert opened(zipped(("BILL.XML", DOCUMENT), method=method))[1] == DOCUMENT

    class Pipe(io.RawIOBase):  # makes zipfile write sizes behind the data, as streaming programs do
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        archive.writestr(NAME, DOCUMENT)
    assert pipe.data[6] & 8
    assert opened(pipe.data)[1] == DOCUMENT


def test_the_scratch_stream_takes_the_document(tmp_path: object) -> None:
    data = packed("zip")
    with open(f"{tmp_path}/bill.xml", "w+b") as scratch:
        with open_register(io.BytesIO(data), len(data), NAME, SMALL, scratch) as found:
            assert found.stream is scratch
            assert found.stream.read() == DOCUMENT
    assert os.path.getsize(f"{tmp_path}/bill.xml") == len(DOCUMENT)


def entry(data: bytes, at: int) -> tuple[int, int]:
    """Offsets of the first central header and of the end record."""
    return data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


ZIP = packed("zip")
CENTRAL, END = entry(ZIP, 0)
SEVEN = packed("7z")
ZEROS = bytes(20_000_000)


def overlapping() -> bytes:
    """Two entries of one body."""
    central = ZIP[CENTRAL:END].replace(NAME.encode(), b"bilk.xml")
    data = ZIP[:END] + central
    return data + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(central), CENTRAL, 0)


def hidden() -> bytes:
    """Bytes between the member and the central directory."""
    data = ZIP[:CENTRAL] + b"evil" + ZIP[CENTRAL:]
    return patched(data, END + 4 + 16, struct.pack("<L", CENTRAL + 4))


def link() -> bytes:
    return patched(ZIP, CENTRAL + 38, struct.pack("<L", 0o120777 << 16))


def doubled() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr(NAME, DOCUMENT)
        archive.writestr(NAME, b"<evil/>")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "FILE_EMPTY"),
        (gzip.compress(DOCUMENT), "FILE_FORMAT"),
        (bz2.compress(DOCUMENT), "FILE_FORMAT"),
        (b"Rar!\x1a\x07\x00" + DOCUMENT, "FILE_FORMAT"),
        (b"\xff\xd8\xff\xe0JFIF", "FILE_FORMAT"),
        (b"MZ\x90" + bytes(500), "FILE_FORMAT"),
        (b"%PDF-1.7", "FILE_FORMAT"),
        (bytes(100), "FILE_FORMAT"),
        (b"\x03\x76\x01\x01", "FILE_FORMAT"),  # a DBF
        (zipped(("word/document.xml", DOCUMENT), ("[Content_Types].xml", b"<a/>")), "ZIP_CONTENT"),
        (ZIP[:-1], "ZIP_TRUNCATED"),
        (ZIP[:-22], "ZIP_TRUNCATED"),
        (ZIP[:1000], "ZIP_TRUNCATED"),
        (ZIP[:3], "ZIP_TRUNCATED"),
        (patched(ZIP, 500, bytes([ZIP[500] ^ 255])), "ZIP_CRC"),
        (ZIP.replace(b"\n", b"\r\n"), "ZIP_AMBIGUOUS"),  # sent in text mode
        (zipped((NAME, ZEROS)), "ZIP_RATIO"),
        (zipped((NAME, b"<a>" + bytes(range(256)) * 20_000)), "ZIP_RATIO"),
        (zipped((NAME, ZIP)), "ZIP_NESTED"),
        (zipped((NAME, SEVEN)), "ZIP_NESTED"),
        (zipped(("bill.zip", ZIP)), "ZIP_NESTED"),
        (overlapping(), "ZIP_OVERLAP"),
        (patched(ZIP, CENTRAL + 24, struct.pack("<L", 5)), "ZIP_HEADER"),  # size in the central directory only
        (patched(ZIP, 22, struct.pack("<L", 5)), "ZIP_HEADER"),  # in the local header only
        (patched(patched(ZIP, 22, b"\5\0\0\0"), CENTRAL + 24, b"\5\0\0\0"), "ZIP_HEADER"),  # in both
        (patched(ZIP, 30, b"bilk"), "ZIP_HEADER"),  # the local name
        (patched(ZIP, 8, b"\0\0"), "ZIP_HEADER"),  # the local method
        (doubled(), "ZIP_DUPLICATE"),
        (zipped(("../bill.xml", DOCUMENT)), "ZIP_PATH"),
        (zipped(("/bill.xml", DOCUMENT)), "ZIP_PATH"),
        (zipped(("C:bill.xml", DOCUMENT)), "ZIP_PATH"),
        (zipped(("a\\bill.xml", DOCUMENT)), "ZIP_PATH"),
        (link(), "ZIP_PATH"),
        (patched(patched(ZIP, 6, b"\1\0"), CENTRAL + 8, b"\1\0"), "ZIP_METHOD"),  # encrypted
        (zipped((NAME, DOCUMENT), method=zipfile.ZIP_LZMA), "ZIP_METHOD"),
        (zipped((NAME, DOCUMENT), method=zipfile.ZIP_BZIP2), "ZIP_METHOD"),
        (patched(ZIP, END + 4, b"\1\0\1\0"), "ZIP_METHOD"),  # several disks
        (b"PK\x07\x08" + ZIP, "ZIP_METHOD"),
        (b"junk" + ZIP, "ZIP_AMBIGUOUS"),
        (ZIP + ZIP, "ZIP_AMBIGUOUS"),
        (ZIP + b"junk", "ZIP_AMBIGUOUS"),
        (hidden(), "ZIP_AMBIGUOUS"),
        (zipped((NAME, DOCUMENT), ("more.xml", DOCUMENT)), "ZIP_CONTENT"),
        (zipped(("patient.xml", DOCUMENT)), "ZIP_CONTENT"),
        (zipped(("a/bill.xml", DOCUMENT)), "ZIP_CONTENT"),
        (zipped(), "ZIP_EMPTY"),
        (SEVEN[:-1], "ZIP_TRUNCATED"),
        (SEVEN[:20], "ZIP_TRUNCATED"),
        (SEVEN[:4], "ZIP_TRUNCATED"),
        (SEVEN + b"junk", "ZIP_AMBIGUOUS"),
        (patched(SEVEN, 9, b"\0\0"), "ZIP_CRC"),
        (patched(SEVEN, 1000, bytes([SEVEN[1000] ^ 255])), "ZIP_CRC"),
        (seven((NAME, ZEROS)), "ZIP_RATIO"),
        (seven((NAME, DOCUMENT), password="p"), "ZIP_METHOD"),
        (seven((NAME, DOCUMENT), password="p", header_encryption=True), "ZIP_METHOD"),
        (seven((NAME, DOCUMENT), ("more.xml", DOCUMENT)), "ZIP_CONTENT"),
        (seven(("bill.7z", SEVEN)), "ZIP_NESTED"),
        (seven((NAME, SEVEN)), "ZIP_NESTED"),
        (seven(), "ZIP_EMPTY"),
    ],
)
def test_a_bad_container_is_refused_with_its_code(data: bytes, expected: str) -> None:
    assert code(data) == expected


def test_limits_of_bytes() -> None:
    tight = Limits(packed=len(ZIP) - 1, raw=10**9)
    assert code(ZIP, tight) == "FILE_TOO_BIG"
    assert code(ZIP, Limits(packed=10**9, raw=len(DOCUMENT) - 1)) == "ZIP_RATIO"
    assert code(SEVEN, Limits(packed=10**9, raw=len(DOCUMENT) - 1)) == "ZIP_RATIO"
    assert code(DOCUMENT, Limits(packed=100, raw=len(DOCUMENT) - 1)) == "FILE_TOO_BIG"
    assert opened(DOCUMENT, Limits(packed=100, raw=len(DOCUMENT)))[0].kind == "xml"


def test_a_huge_file_is_not_read_to_be_refused() -> None:
    class Huge(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 <= size <= 70_000
            return super().read(size)

    with pytest.raises(Refusal) as caught:
        kind_of(Huge(b"PK\3\4" + bytes(100)), 1 << 40, Limits())
    assert caught.value.code == "FILE_TOO_BIG"


def test_the_format_found_is_named() -> None:
    with pytest.raises(Refusal) as caught:
        opened(gzip.compress(b"a"))
    assert caught.value.problems[0].found == "gzip"


@pytest.mark.parametrize("kind", ["zip", "7z"])
def test_damage_never_goes_unseen(kind: str) -> None:
    """Bits flipped, bytes cut out, tails lost: refused, or the very same document."""
    chance, good, seen = random.Random(7), packed(kind), Counter[str]()
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(len(data))
            choice = chance.randrange(4)
            if choice == 0:
                data[at] ^= 1 << chance.randrange(8)
            elif choice == 1:
                del data[at:]
                data = data or bytearray(b"P")
            elif choice == 2:
                del data[at : at + chance.randrange(1, 9)]
                data = data or bytearray(b"P")
            else:
                end = chance.choice((0, len(data)))
                data[end:end] = data[at : at + 5]
        try:
            found = opened(bytes(data))[1]
        except Refusal as refusal:
            seen[refusal.code] += 1
        else:
            assert found == DOCUMENT
            seen["same"] += 1
    assert sum(seen.values()) == 300
    assert seen["ZIP_CRC"] > 20


@pytest.mark.parametrize("size", [0, 1, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 7 << 20])
def test_a_zip_packed_by_several_is_the_same_zip(size: int) -> None:
    """Blocks packed at the same time come to one stream that anyone unpacks, whatever the number of threads."""
    data = (b"<a b='1'/>" + bytes(range(256)) * 3) * (size // 700 + 1)
    made = []
    for workers in (1, 2, 3):
        out = io.BytesIO()
        pack("zip", "bill.xml", io.BytesIO(data[:size]), out, datetime(2018, 10, 1), 1, workers)
        made.append(out.getvalue())
    assert made[0] == made[1] == made[2]
    with zipfile.ZipFile(io.BytesIO(made[0])) as archive:
        assert archive.testzip() is None
        assert archive.read("bill.xml") == data[:size]
    assert len(made[0]) < 1000 + size // 20
