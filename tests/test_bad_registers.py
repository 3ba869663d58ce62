"""Documents that are no register, and registers with bad accounts (rows 52 to 69), at a fund with good files too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oms_batch import clock
from oms_batch.store import spool
from tests.bad_inputs import CANARIES, MO, PERIOD, Bad, Desk, document, good_file, name_of, spec
from tests.participants import Exchange


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Exchange(tmp_path, ("mo", "tfoms")))


def test_a_document_that_is_none_is_refused_with_its_code_and_place(desk: Desk, tmp_path: Path) -> None:
    good = document(desk.exchange)
    utf8 = good.replace("windows-1251", "utf-8")
    secret = tmp_path / "secret"
    secret.write_text("Секретное содержимое")

    def inside(text: str) -> str:
        return good.replace("</register_accounts>", text + "</register_accounts>", 1)

    def head(text: str) -> str:
        return good.replace("<package>", text + "<package>")

    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    rows = [
        ("52", "XML_DTD", head("<!DOCTYPE package>")),
        (
            "53",
            "XML_DTD",
            head(f'<!DOCTYPE package [<!ENTITY x SYSTEM "file://{secret}">]>').replace('vg="', 'vg="&x;'),
        ),
        ("53", "XML_DTD", head('<!DOCTYPE package SYSTEM "http://127.0.0.1:9/evil.dtd">')),
        ("53", "XML_DTD", head('<!DOCTYPE package PUBLIC "x" "\\\\host\\share\\evil.dtd">')),
        ("54", "XML_DTD", head(f"<!DOCTYPE package [{entities}]>").replace('vg="', 'vg="&a11;', 1)),
        (
            "54",
            "XML_DTD",
            head(f'<!DOCTYPE package [<!ENTITY a "{"x" * 50_000}">]>').replace('vg="', f'vg="{"&a;" * 99}'),
        ),
        ("55", "XML_MIXED", inside("<!-- -->")),
        ("55", "XML_MIXED", inside("<?pi?>")),
        ("55", "XML_MIXED", inside("<![CDATA[x]]>")),
        ("55", "XML_MIXED", inside("text")),
        ("56", "XML_FOREIGN", inside('<xi:include href="file:///etc/passwd"/>')),
        ("56", "XML_FOREIGN", head('<?xml-stylesheet href="http://127.0.0.1/evil.xsl"?>')),
        ("56", "XML_FOREIGN", good.replace("<package>", '<package xsi:schemaLocation="a http://127.0.0.1/x.xsd">')),
        ("57", "XML_LIMIT", good.replace('n_card="', f'n_card="{"9" * 11_000_000}', 1)),
        ("57", "XML_LIMIT", inside("<odd>" * 300 + "</odd>" * 300)),
        ("57", "XML_LIMIT", inside(f"<odd {' '.join(f'a{i}=' + chr(34) * 2 for i in range(20_000))}/>")),
        ("57", "XML_LIMIT", inside(f"<{'a' * 60_000}/>")),
        ("58", "XML_SYNTAX", good[:-12]),
        ("58", "XML_SYNTAX", good[: len(good) // 2]),
        ("58", "XML_SYNTAX", good[: good.index("<bill") + 9]),
        ("59", "XML_SYNTAX", good + "<package/>"),
        ("59", "XML_SYNTAX", good + "garbage"),
        ("59", "XML_SYNTAX", inside("\0")),
        ("59", "XML_SYNTAX", good.replace('n_card="', 'n_card="&#1;', 1)),
        ("60", "XML_ENCODING_MISMATCH", good.encode("utf-8")),
        ("60", "XML_ENCODING_MISMATCH", utf8.encode("cp1251")),
        ("61", "XML_ENCODING", utf8.encode("utf-16")),
        ("61", "XML_ENCODING", utf8.encode("utf-32")),
        ("61", "XML_ENCODING", good.replace("windows-1251", "KOI8-R").encode("koi8-r", "replace")),
        ("61", "XML_ENCODING", good.replace("windows-1251", "utf-7").encode("utf-7")),
        ("61", "XML_ENCODING", utf8.encode("cp500", "replace")),
        ("63", "XML_NAMESPACE", good.replace("<package>", '<package xmlns="urn:x">')),
        ("63", "XML_NAMESPACE", good.replace("<package>", '<package xmlns:p="urn:x">')),
        ("64", "XML_SCHEMA", good.replace("package>", "paket>")),
        ("64", "XML_SCHEMA", good.replace("</bill>", "</bill><bill/>")),
        ("65", "XML_DUPLICATE", good.replace('n_card="', 'n_card="1" n_card="', 1)),
    ]
    made = [
        Bad(row, name_of(serial), text if isinstance(text, bytes) else text.encode("cp1251", "replace"), "REF", code)
        for serial, (row, code, text) in enumerate(rows, 1)
    ]
    started = clock.monotonic()
    assert desk.run(made, good=(8,)) == []
    assert clock.monotonic() - started < 120
    for path in desk.exchange.outbox("tfoms", "mo"):
        assert b"\xd1\xe5\xea\xf0\xe5\xf2" not in path.read_bytes(), path.name
    syntax = next(one for one in desk.handled if one.code == "XML_SYNTAX")
    assert re.match(r"line \d+, column \d+", syntax.problems[0].place)


def test_a_cut_document_waits_and_then_has_no_effect(desk: Desk) -> None:
    """Row 58: wherever it is cut, no row of it counts."""
    exchange = desk.exchange
    name, data = good_file(exchange, 1)
    path = exchange.put("tfoms", "mo", name, data[: data.index(b"</personal_account>") + 20])
    assert desk.sweep(spool.Settling(0, 60)) == []
    assert path.exists()
    assert [one.code for one in desk.sweep()] == ["XML_SYNTAX"]
    assert exchange.totals("tfoms")["accounts"]["sent"] == 0
    exchange.insure("tfoms", spec(1))
    exchange.put("tfoms", "mo", name, data)
    assert [one.outcome for one in desk.sweep()] == ["answered"]
    assert desk.balance() == []


def test_heads_that_do_not_fit_are_refused_with_both_values(desk: Desk) -> None:
    """Rows 66 to 69."""
    exchange = desk.exchange
    texts = {number: document(exchange, number) for number in range(1, 8)}
    sums = re.search(r'amountl="([0-9.]+)"', texts[1])
    assert sums is not None

    def changed(number: int, old: str, new: str) -> bytes:
        assert old in texts[number]
        return texts[number].replace(old, new, 1).encode("cp1251")

    rows = [
        Bad("67", f"{MO}180913X.xml", changed(1, sums[0], 'amountl="1.00"'), "REF", "HDR_SUM", ("1.00", sums[1])),
        Bad("68", f"{MO}180923X.xml", changed(2, 'month="9"', 'month="8"'), "REF", "HDR_PERIOD", (PERIOD, "2018-08")),
        Bad("68", f"{MO}181033X.xml", texts[3].encode("cp1251"), "REF", "HDR_PERIOD", ("2018-10", PERIOD)),
        Bad(
            "69",
            f"{MO}180943X.xml",
            changed(4, 'version="6.15"', 'version="9.9"'),
            "REF",
            "HDR_VERSION",
            ("6.15", "9.9"),
        ),
        Bad("69", f"{MO}180953X.xml", changed(5, 'protocol="Reestr"', 'protocol="Other"'), "REF", "HDR_PROTOCOL"),
        Bad("66", f"{MO}180963X.xml", changed(6, "760401001", "760401009"), "REF", "HDR_SENDER", ("760401009",)),
    ]
    assert desk.run(rows, good=(8,)) == []


def test_bad_accounts_are_refused_and_the_rest_is_answered(desk: Desk) -> None:
    """Rows 62, 64, 65 and 68, per account: the register is answered, only the bad accounts are refused with a code."""
    exchange = desk.exchange
    bom = b"\xef\xbb\xbf"
    names, files = [], []
    changes = [
        ("62", ("windows-1251", "utf-8"), 0),
        ("64", ('<diagnose type="1"', '<odd_one/><diagnose type="1"'), 1),
        ("64", (' vg="', ' unknown="1" vg="'), 1),
        ("64", (' help_cond="', ' was_help_cond="'), 1),
        ("68", ('cureend="2018-09', 'cureend="2018-06'), 1),
        ("68", ('curestart="2018-09-', 'curestart="2018-13-'), 1),
    ]
    exchange.insure("tfoms", spec(1, 4))
    text = good_file_text(exchange)
    for number, (row, (old, new), refused) in enumerate(changes, 1):
        changed = text.replace(old, new, 1)
        assert changed != text
        names.append((row, f"{MO}1809{number}3X.xml", refused))
        files.append(bom + changed.encode() if row == "62" else changed.encode("cp1251"))
    for (_, name, _), data in zip(names, files, strict=True):
        exchange.put("tfoms", "mo", name, data)
    found = {one.name: one for one in desk.sweep()}
    wrong = []
    for row, name, refused in names:
        one = found[name]
        if one.outcome != "answered" or (one.refused.accounts >= 1) != bool(refused):
            wrong.append(f"row {row} {name}: {one.outcome} {one.code} {one.refused} {one.problems}")
    assert wrong == []
    assert desk.balance() == []


def good_file_text(exchange: Exchange) -> str:
    from oms_batch.synth.register import register

    return b"".join(register(exchange.profile, spec(1, 4))).decode("cp1251")


def test_the_canaries_are_in_the_documents(desk: Desk) -> None:
    """Else their absence from protocols would prove nothing."""
    assert all(token in document(desk.exchange) for token in CANARIES)
