"""Names, folders and file objects that are no register (rows 1 to 30), at a fund that has good files waiting too."""

from __future__ import annotations

import errno
import os
import socket
import unicodedata
from pathlib import Path

import pytest
import sqlalchemy as sa

from oms_batch import clock, conductor
from oms_batch.store import fsio, ledger, spool
from oms_batch.store.schema import receipts
from tests.bad_inputs import MO, MO2, Bad, Desk, document, good_file, name_of, spec
from tests.participants import Exchange


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Exchange(tmp_path, ("mo", "tfoms", "smo-p", "mo2")))


def test_a_name_that_is_none_is_refused_or_set_aside(desk: Desk) -> None:
    data = document(desk.exchange).encode("cp1251")
    right = f"{MO}18091"

    def bad(row: str, name: str, outcome: str, code: str = "", *words: str) -> Bad:
        # bytes of its own, so that one row is never the duplicate of another
        return Bad(row, name, data + b"\n" * len(rows), outcome, code, words)

    rows: list[Bad] = []
    for row in [
        ("1", f"{right}3\u0445.zip", "REF", "NAME_HOMOGLYPH", "знак 29", "X"),
        ("1", f"{right}3\u0425.xml", "REF", "NAME_HOMOGLYPH", "знак 29"),
        ("4", f"{right}7A.xml", "REF", "NAME_STAGE"),
        ("4", f"{right}3P.xml", "REF", "NAME_STAGE"),
        ("5", f"{right}1Q.xml", "REF", "NAME_SMO_UNKNOWN"),
        ("5", f"{right}1Z.xml", "REF", "NAME_SMO_CLOSED"),
        ("6", f"{MO2}180913X.xml", "QUA", "SENDER_MISMATCH"),
        ("7", f"{right}5P.xml", "REF", "ROLE_STAGE", "5P"),
        ("7", f"{right}6P.xml", "REF", "ROLE_STAGE", "6P"),
        ("7", f"{right}2P.xml", "REF", "ROLE_STAGE", "2P"),
        ("8", "..\\..\\13X.xml", "REF", "NAME_CHARS"),
        ("8", "C:\\reg13X.xml", "REF", "NAME_CHARS"),
        ("9", f"{MO}1809\n13X.xml", "REF", "NAME_CHARS", "знак 27"),
        ("9", "\x1b[31m13X.xml", "REF", "NAME_CHARS"),
        ("9", f"{right}3\u202exmlX.", "REF", "NAME_CHARS"),
        ("9", "1" * 250 + ".xml", "REF", "NAME_CHARS"),
        ("10", os.fsdecode("реестр13X.xml".encode("cp1251")), "REF", "NAME_CHARS"),
        ("10", os.fsdecode("реестр13X.xml".encode("cp866")), "REF", "NAME_CHARS"),
        ("11", f"{MO}\u0661\u066809113X.xml", "REF", "NAME_CHARS"),
        ("11", f"{MO}\uff1180913X.xml", "REF", "NAME_CHARS"),
        ("12", unicodedata.normalize("NFD", "й") + "13X.xml", "REF", "NAME_CHARS"),
        ("13", "CON.xml", "REF", "NAME_CHARS"),
        ("13", f"{right}3X.xml ", "REF", "NAME_CHARS"),
        ("13", f"{right}3X.xml.", "REF", "NAME_PATTERN"),
        ("13", "a:b.xml", "REF", "NAME_CHARS"),
        ("14", f"{right}3X (2).xml", "REF", "NAME_PATTERN", "копия"),
        ("14", f"{right}3X — копия.xml", "REF", "NAME_PATTERN"),
        ("14", f"~${right}3X.xml", "IGN"),
        ("14", f"{right}3X.xml.tmp", "IGN"),
        ("14", f"{right}3X.part", "IGN"),
        ("14", f"{right}3X.xml.filepart", "IGN"),
        ("14", "Thumbs.db", "IGN"),
        ("14", "desktop.ini", "IGN"),
        ("27", "FLKM760001T76_181000001.xml", "REF", "NAME_PATTERN"),
    ]:
        rows.append(bad(*row))
    assert desk.run(rows) == []
    assert all(line.isascii() and line.isprintable() for line in desk.log.splitlines())
    assert len(desk.log.splitlines()) >= len(rows) - 7


def test_what_is_no_register_inside_is_refused_whatever_its_extension(desk: Desk) -> None:
    zipped = b"PK\x03\x04"
    rows = [
        Bad("15", name_of(1), b"", "REF", "FILE_EMPTY"),
        Bad("28", name_of(2), bytes(range(7, 256)) * 4, "REF", "FILE_FORMAT"),
        Bad("28", name_of(3), b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(99), "REF", "FILE_FORMAT", ("JPEG",)),
        Bad("28", name_of(4, extension=".zip"), b"MZ\x90\x00" + bytes(99), "REF", "FILE_FORMAT"),
        Bad("28", name_of(5, extension=".7z"), b"%PDF-1.7\n" + bytes(99), "REF", "FILE_FORMAT"),
        Bad("29", name_of(6), b"\x03\x76\x01\x01" + bytes(99), "REF", "FILE_FORMAT"),
        Bad("29", name_of(7, extension=".zip"), zipped + bytes(99), "REF", "ZIP_TRUNCATED"),
    ]
    assert desk.run(rows) == []


def test_a_name_in_another_case_is_the_same_name(desk: Desk) -> None:
    """Rows 2 and 3: lower case is answered in upper case; the twin is a duplicate or a reused name."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    other = document(exchange).encode("cp1251")
    for written, content in ((name, data), (name.replace("X.xml", "x.XML"), other), (name.lower(), data)):
        exchange.put("tfoms", "mo", written, content)
    found = [(one.outcome, one.code) for one in desk.sweep()]
    assert found == [("answered", "LATE"), ("refused", "NAME_REUSED"), ("duplicate", "DUP")]
    names = [path.name for path in exchange.outbox("tfoms", "mo")]
    assert f"{MO}180911P.xml" in names
    assert all(one == one.replace("x.", "X.") for one in names)
    assert desk.balance() == []


def test_objects_that_are_no_plain_file_are_set_aside_unopened(desk: Desk, tmp_path: Path) -> None:
    """Row 20: never followed, never opened, kept for the operator."""
    exchange = desk.exchange
    folder = exchange.inbox("tfoms", "mo")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (folder / name_of(1)).symlink_to(secret)
    (folder / name_of(2)).symlink_to(tmp_path / "nowhere")
    os.link(secret, folder / name_of(3))
    os.mkfifo(folder / name_of(4))
    (folder / name_of(5)).mkdir()
    (folder / name_of(5) / "inside.xml").write_bytes(b"<a/>")
    local = socket.socket(socket.AF_UNIX)
    before = os.getcwd()
    os.chdir(folder)
    local.bind(name_of(6))
    os.chdir(before)
    assert desk.run([], good=(8,)) == []
    local.close()
    strange = [one for one in desk.handled if one.outcome != "answered"]
    assert [(one.outcome, one.code) for one in strange] == [("quarantined", "FILE_TYPE")] * 6
    assert all(not desk.pages(one) for one in strange)
    kept = sorted(path.name for path in (tmp_path / "tfoms/.spool/quarantine").iterdir())
    assert len(kept) == 6
    assert all(name.startswith("FILE_TYPE-") for name in kept)
    assert secret.read_bytes() == b"secret"
    assert list(folder.glob("*.xml")) == []
    with exchange.at("tfoms") as site, site.ledger.read() as con:
        query = sa.select(receipts.c.sha256, receipts.c.verdict).where(receipts.c.code == "FILE_TYPE")
        assert con.execute(query).all() == [("", "QUA")] * 6


def test_a_second_name_given_after_the_look_is_set_aside_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 20, the race: between the look and the copy the file got a second name; nobody else has to wait for it."""
    exchange = desk.exchange
    path = exchange.put("tfoms", "mo", name_of(1), b"<package/>")
    real = spool.claim

    def claim(entry: spool.Entry) -> spool.Claim | None:
        if entry.name == name_of(1):
            os.link(entry.path, path.with_name("second.tmp"))
        return real(entry)

    monkeypatch.setattr(spool, "claim", claim)
    assert desk.run([], good=(8,)) == []
    assert [one.code for one in desk.handled if one.outcome != "answered"] == ["FILE_TYPE"]
    assert desk.sweep() == []


@pytest.mark.parametrize("size", [600 << 20, 1 << 40])
def test_a_huge_file_is_refused_unread(desk: Desk, size: int) -> None:
    """Rows 22 and 30: a sparse file costs nothing to refuse."""
    exchange = desk.exchange
    path = exchange.put("tfoms", "mo", name_of(1), b"<")
    try:
        os.truncate(path, size)
    except OSError:
        pytest.skip("the disk knows no such sizes")
    started = clock.monotonic()
    assert [(one.outcome, one.code) for one in desk.sweep()] == [("refused", "FILE_TOO_BIG")]
    assert clock.monotonic() - started < 5
    pages = [path.name for path in exchange.outbox("tfoms", "mo")]
    assert len(pages) == 2
    kept = list((exchange.root / "tfoms/.spool/quarantine").iterdir())
    assert [one.stat().st_size for one in kept] == [size]
    assert desk.balance() == []


def opened(stream: object) -> Path:
    """The path behind an open file."""
    return Path(os.readlink(f"/proc/self/fd/{stream.fileno()}")) if hasattr(stream, "fileno") else Path("/")


# ---- files that are not ready (rows 15 to 19, 21, 24, 25) -------------------------------------------


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock in the hand of the test; its element is the time in seconds."""
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    return now


def test_a_file_is_waited_for_until_it_is_whole(desk: Desk, hours: list[float]) -> None:
    """Rows 15 to 17: growing, empty and preallocated files wait; an hour later they are refused with their code."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    grown = exchange.put("tfoms", "mo", name, data[:1000])
    slow = exchange.put("tfoms", "mo", name_of(2), data[:2000])
    exchange.put("tfoms", "mo", name_of(3), b"")
    zeros = exchange.put("tfoms", "mo", name_of(4, extension=".zip"), bytes(5000))
    os.utime(zeros, (1e9, 1e9))
    settling = spool.Settling(5, 60)
    seen: list[tuple[str, str, str]] = []
    for minute in range(64):
        hours[0] = minute * 60
        if minute == 3:
            grown.write_bytes(data)
        if minute % 10 == 5:
            slow.write_bytes(data[: 2000 + minute])
        for one in desk.sweep(settling):
            seen.append((one.name, one.outcome, one.code))
            assert minute == {name: 4, name_of(3): 1}.get(one.name, minute)
            assert one.name in (name, name_of(3)) or minute >= 60
    assert sorted(seen) == sorted(
        [
            (name, "answered", "LATE"),
            (name_of(2), "refused", "FILE_INCOMPLETE"),
            (name_of(3), "refused", "FILE_EMPTY"),
            (name_of(4, extension=".zip"), "refused", "FILE_INCOMPLETE"),
        ]
    )
    assert desk.balance() == []


def test_a_file_replaced_while_it_is_copied_is_the_newest_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18: the copy is thrown away, the file goes back and settles again."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    exchange.put("tfoms", "mo", name, data[:-100])
    real, turns = fsio.copy_hash, iter([True])

    def copy(source: object, target: object) -> tuple[str, int]:
        made = real(source, target)  # type: ignore[arg-type]
        if next(turns, False):
            opened(source).write_bytes(data)
        return made

    monkeypatch.setattr(fsio, "copy_hash", copy)
    assert desk.sweep() == []
    assert [one.outcome for one in desk.sweep()] == ["answered"]
    with exchange.at("tfoms") as site, site.ledger.read() as con:
        assert len(con.execute(sa.select(receipts)).all()) == 1
    assert desk.balance() == []


def test_a_file_appended_after_its_receipt_is_a_new_delivery(desk: Desk) -> None:
    """Row 19: the name is taken by what was received; the longer file is refused, not silently used."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    exchange.put("tfoms", "mo", name, data)
    desk.sweep()
    exchange.put("tfoms", "mo", name, data + b"\n")
    assert [(one.outcome, one.code) for one in desk.sweep()] == [("refused", "NAME_REUSED")]
    assert desk.balance() == []


def test_a_locked_file_waits_and_the_operator_is_told(
    desk: Desk, hours: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 21: no rights or an antivirus; others are served, and the file as soon as it can be read."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    path = exchange.put("tfoms", "mo", name, data)
    real = fsio.open_read

    def refuse(target: object) -> object:
        if str(target) == str(path) or ".claim" in str(target):
            raise PermissionError(errno.EACCES, "no")
        return real(target)  # type: ignore[arg-type]

    monkeypatch.setattr(fsio, "open_read", refuse)
    settling = spool.Settling(0, 60)
    for minute in (0, 30, 61, 62):
        hours[0] = minute * 60
        assert desk.sweep(settling) == []
    assert path.exists()
    assert '"FILE_ACCESS"' in desk.log
    monkeypatch.setattr(fsio, "open_read", real)
    assert [one.outcome for one in desk.sweep(settling)] == ["answered"]
    assert desk.balance() == []


def test_a_file_that_goes_away_before_it_is_claimed_is_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 24."""
    exchange = desk.exchange
    exchange.put("tfoms", "mo", name_of(1), b"<a/>")
    real = spool.claim

    def claim(entry: spool.Entry) -> spool.Claim | None:
        if entry.name == name_of(1):
            os.unlink(entry.path)
        return real(entry)

    monkeypatch.setattr(spool, "claim", claim)
    assert desk.run([], good=(8,)) == []
    assert [one.outcome for one in desk.handled] == ["answered"]
    assert not list((exchange.inbox("tfoms", "mo") / ".claim").iterdir())


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EHOSTDOWN])
def test_a_share_that_goes_away_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Row 25: no receipt yet, no crash, also when it is still away at the next start; then all of it is taken."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    exchange.put("tfoms", "mo", name, data)
    other = exchange.put("tfoms", "smo-p", f"{MO}180917P.xml", b"<a/>")
    real, away = fsio.copy_hash, [True]

    def copy(source: object, target: object) -> tuple[str, int]:
        if away[0] and "inbox/mo/" in str(opened(source)):
            raise OSError(code, "away")
        return real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(fsio, "copy_hash", copy)
    assert [one.folder for one in desk.sweep()] == ["smo-p"]
    assert not other.exists()
    assert desk.sweep() == []
    with exchange.at("tfoms") as site, site.ledger.read() as con:
        assert con.execute(sa.select(receipts.c.partner)).scalars().all() == ["smo-p"]
    away[0] = False
    assert [one.outcome for one in desk.sweep()] == ["answered"]
    assert desk.balance() == []


def test_our_own_answer_in_our_inbox_is_a_loop(desk: Desk) -> None:
    """Row 26: set aside, and not answered, or two robots write to each other for ever."""
    exchange = desk.exchange
    exchange.insure("tfoms", spec(1))
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    desk.sweep()
    exchange.put("tfoms", "mo", name_of(1), b"no register")
    desk.sweep()
    for path in exchange.outbox("tfoms", "mo"):
        exchange.put("tfoms", "mo", path.name, path.read_bytes())
    found = {one.name: (one.outcome, one.code) for one in desk.sweep()}
    assert found.pop(f"{MO}180911P.xml") == ("quarantined", "LOOP")
    assert set(found.values()) == {("companion", "")}
    assert desk.sweep() == []
    assert desk.balance() == []


@pytest.mark.slow
def test_a_thousand_files_are_all_answered_in_turn(tmp_path: Path) -> None:
    """Row 23, in small: senders take turns, so the short queue is not behind the long one."""
    desk = Desk(Exchange(tmp_path, ("mo", "tfoms", "mo2")))
    for number in range(1000):
        desk.exchange.put("tfoms", "mo", f"x{number}.xml", b"%d" % number)
    for number in range(3):
        desk.exchange.put("tfoms", "mo2", f"y{number}.xml", b"%d" % number)
    found = desk.sweep()
    assert [one.outcome for one in found] == ["refused"] * 1003
    assert max(place for place, one in enumerate(found) if one.folder == "mo2") < 6
    assert desk.balance() == []


def test_a_refused_file_refused_again_gets_its_own_protocol(desk: Desk) -> None:
    """A second bad try under the same name is answered although the first protocol still lies there."""
    exchange = desk.exchange
    for data in (b"no register", b"none either", b"", b"<a"):
        exchange.put("tfoms", "mo", name_of(1), data)
        assert [one.outcome for one in desk.sweep()] == ["refused"]
    assert len(exchange.outbox("tfoms", "mo")) == 8
    assert desk.balance() == []


def test_nothing_of_a_name_reaches_a_path(desk: Desk) -> None:
    """The conductor takes no name as a path, whoever asks."""
    taken = spool.Taken("claim", "../../evil13X.xml", "mo", "", "", 0)
    with desk.exchange.at("tfoms") as site:
        one = conductor.receive(site, taken, lambda: None)
        names = [row.name for row in ledger.outbox_of(site.ledger, one.job)]
    assert (one.outcome, one.code) == ("refused", "NAME_CHARS")
    assert all(name.startswith("receipt-0000") for name in names)
