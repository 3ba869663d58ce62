"""Containers that hold no register (rows 31 to 44), at a fund that has good files waiting too."""

from __future__ import annotations

import bz2
import gzip
import resource
import zipfile
from pathlib import Path

import pytest

from oms_batch import clock
from oms_batch.store import spool
from tests import test_container as box
from tests.bad_inputs import Bad, Desk, document, good_file, name_of, spec
from tests.participants import Exchange


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Exchange(tmp_path, ("mo", "tfoms")))


def test_a_container_that_is_none_is_refused_with_its_code(desk: Desk) -> None:
    inside = document(desk.exchange).encode("cp1251")
    member, patched = box.NAME, box.patched
    rows = [
        Bad(row, name_of(serial, extension=".zip"), data, "REF", code)
        for serial, (row, code, data) in enumerate(
            [
                ("31", "ZIP_TRUNCATED", box.ZIP[:-1]),
                ("31", "ZIP_TRUNCATED", box.ZIP[:1000]),
                ("31", "ZIP_TRUNCATED", box.SEVEN[:-1]),
                ("32", "ZIP_CRC", patched(box.ZIP, 500, bytes([box.ZIP[500] ^ 255]))),
                ("32", "ZIP_CRC", patched(box.SEVEN, 1000, bytes([box.SEVEN[1000] ^ 255]))),
                ("33", "ZIP_RATIO", box.zipped((member, box.ZEROS))),
                ("33", "ZIP_RATIO", box.seven((member, box.ZEROS))),
                ("34", "ZIP_NESTED", box.zipped((member, box.ZIP))),
                ("34", "ZIP_NESTED", box.zipped(("bill.zip", box.ZIP))),
                ("35", "ZIP_OVERLAP", box.overlapping()),
                ("36", "ZIP_HEADER", patched(box.ZIP, box.CENTRAL + 24, b"\5\0\0\0")),
                ("36", "ZIP_HEADER", patched(box.ZIP, 22, b"\5\0\0\0")),
                ("37", "ZIP_DUPLICATE", box.doubled()),
                ("38", "ZIP_PATH", box.zipped(("../bill.xml", inside))),
                ("38", "ZIP_PATH", box.zipped(("/bill.xml", inside))),
                ("38", "ZIP_PATH", box.zipped(("C:bill.xml", inside))),
                ("38", "ZIP_PATH", box.link()),
                ("39", "ZIP_METHOD", patched(patched(box.ZIP, 6, b"\1\0"), box.CENTRAL + 8, b"\1\0")),
                ("39", "ZIP_METHOD", box.zipped((member, inside), method=zipfile.ZIP_LZMA)),
                ("39", "ZIP_METHOD", patched(box.ZIP, box.END + 4, b"\1\0\1\0")),
                ("40", "ZIP_AMBIGUOUS", b"junk" + box.ZIP),
                ("40", "ZIP_AMBIGUOUS", box.ZIP + box.ZIP),
                ("40", "ZIP_AMBIGUOUS", box.ZIP + b"junk"),
                ("40", "ZIP_AMBIGUOUS", box.hidden()),
                ("41", "ZIP_CONTENT", box.zipped((member, inside), ("more.xml", inside))),
                ("42", "ZIP_CONTENT", box.zipped(("patient.xml", inside))),
                ("42", "ZIP_CONTENT", box.zipped(("счёт.xml", inside))),
                ("43", "FILE_FORMAT", gzip.compress(inside, mtime=0)),
                ("43", "FILE_FORMAT", bz2.compress(inside)),
                ("43", "FILE_FORMAT", b"Rar!\x1a\x07\x00" + inside),
                ("44", "ZIP_EMPTY", box.zipped()),
                ("44", "ZIP_EMPTY", box.seven()),
            ],
            1,
        )
    ]
    assert desk.run(rows, good=(8,)) == []
    evil = [path for path in desk.exchange.root.rglob("*") if "evil" in path.name]
    assert evil == []


def test_a_cut_archive_waits_first(desk: Desk) -> None:
    """Row 31: it may still be on its way, so it is refused only when it is given up."""
    exchange = desk.exchange
    path = exchange.put("tfoms", "mo", name_of(1, extension=".zip"), box.ZIP[:-1])
    assert desk.sweep(spool.Settling(0, 60)) == []
    assert path.exists()
    assert [one.code for one in desk.sweep()] == ["ZIP_TRUNCATED"]


def test_a_bomb_costs_little(desk: Desk) -> None:
    """Row 33: 200 megabytes of zeros in a few hundred kilobytes, refused without unpacking them."""
    out = box.io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(box.NAME, "w") as member:
        for _ in range(200):
            member.write(bytes(1 << 20))
    desk.exchange.put("tfoms", "mo", name_of(1, extension=".zip"), out.getvalue())
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, clock.monotonic()
    assert [one.code for one in desk.sweep()] == ["ZIP_RATIO"]
    assert clock.monotonic() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_zip_or_7z_under_any_extension_is_read(desk: Desk) -> None:
    """Told apart by its first bytes: a 7z named .zip and a ZIP named .7z are answered."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    for number, made, extension in ((1, box.seven, ".zip"), (2, box.zipped, ".7z")):
        name, data = good_file(exchange, number)
        exchange.put("tfoms", "mo", name.replace(".xml", extension), made((box.NAME, data)))
    assert [one.outcome for one in desk.sweep()] == ["answered", "answered"]
    assert desk.balance() == []
