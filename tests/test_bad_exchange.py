"""The exchange itself gone wrong (rows 89 to 115): twice, changed, out of order, late, contradicting, hostile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree

from oms_batch import conductor
from oms_batch.cli.main import program
from oms_batch.store import ledger
from oms_batch.work import Handled
from tests.bad_inputs import MO, Desk, document, good_file, sha, spec
from tests.participants import Exchange


def outcomes(found: list[Handled]) -> list[tuple[str, str]]:
    return [(one.outcome, one.code) for one in found]


def sent_to_fund(exchange: Exchange, accounts: int = 4) -> tuple[str, bytes]:
    """A main register with one bad account, sent by the MO and taken up by the fund."""
    chosen = spec(1, accounts)
    exchange.insure("tfoms", chosen)
    name, data = exchange.generated(chosen)
    data = data.replace(b' outcome="', b' outcome="9', 1)  # a code that the book lacks: this account is refused
    exchange.put("mo", "", name, data)
    assert outcomes(exchange.sweep("mo"))[0][0] == "answered"
    exchange.carry(("mo", "tfoms"))
    found = exchange.sweep("tfoms")
    assert found[0].outcome == "answered"
    assert found[0].refused.accounts == 1
    return name, data


def to_the_insurer(exchange: Exchange) -> None:
    """On to where the insurer's answers 6 and 5 lie in its outbox."""
    sent_to_fund(exchange)
    exchange.insure("smo-p", spec(1, 4))
    exchange.carry(("tfoms", "mo"))
    exchange.sweep("mo")
    exchange.reformulate()
    exchange.carry(("mo", "smo-p"))
    assert outcomes(exchange.sweep("smo-p"))[0][0] == "answered"


def balanced(exchange: Exchange) -> None:
    for name in exchange.names:
        assert exchange.totals(name)["balanced"], (name, exchange.totals(name)["problems"])


def answer_of(exchange: Exchange, sender: str, receiver: str, suffix: str) -> Path:
    return next(
        path for path in exchange.outbox(sender, receiver) if path.stem.endswith(suffix) and "." not in path.stem
    )


def changed(path: Path, old: str, new: str) -> bytes:
    text = path.read_bytes().decode("cp1251")
    made = re.sub(old, new, text, count=1, flags=re.S)
    assert made != text, old
    return made.encode("cp1251")


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


# ---- twice, or under another name (89 to 93, 3) -----------------------------------------------------


def test_the_same_bytes_are_judged_once(exchange: Exchange) -> None:
    """Rows 89, 90, 91, 92: a duplicate gets the same answer again; another period or content is refused."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    exchange.put("tfoms", "mo", name, data)
    exchange.put("tfoms", "mo", name.replace(".xml", ".XML"), data)  # before it is processed
    assert outcomes(desk.sweep()) == [("duplicate", "DUP"), ("answered", "LATE")] or outcomes(desk.handled) == [
        ("answered", "LATE"),
        ("duplicate", "DUP"),
    ]
    answers = {path.name: sha(path.read_bytes()) for path in exchange.outbox("tfoms", "mo")}
    for path in exchange.outbox("tfoms", "mo"):
        path.unlink()
    exchange.put("tfoms", "mo", name, data)  # after it
    found = desk.sweep()
    assert outcomes(found) == [("duplicate", "DUP")]
    assert found[0].notes["first_receipt"] == 1
    assert {path.name: sha(path.read_bytes()) for path in exchange.outbox("tfoms", "mo")} == answers
    exchange.put("tfoms", "mo", f"{MO}180923X.xml", data)  # row 90: another number, the same period
    found = desk.sweep()
    assert outcomes(found) == [("duplicate", "DUP")]
    assert found[0].notes["first_receipt"] == 1
    exchange.put("tfoms", "mo", f"{MO}181013X.xml", data)  # row 91
    assert outcomes(desk.sweep()) == [("refused", "HDR_PERIOD")]
    exchange.put("tfoms", "mo", name, data + b"\n")  # row 92
    found = desk.sweep()
    assert outcomes(found) == [("refused", "NAME_REUSED")]
    assert found[0].problems[0].place == "receipt 1"
    assert exchange.totals("tfoms")["accounts"]["sent"] == 3
    assert desk.balance() == []


def test_what_fits_the_next_hop_is_no_duplicate(exchange: Exchange) -> None:
    """Row 93: nothing was refused, so the fund's own bytes go on to the insurer."""
    exchange.insure("tfoms", spec(1))
    exchange.insure("smo-p", spec(1))
    exchange.put("mo", "", *good_file(exchange, 1))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    came = sha(answer_of(exchange, "tfoms", "mo", "1P").read_bytes())
    exchange.carry()
    exchange.sweep("mo")
    exchange.reformulate()
    assert sha(answer_of(exchange, "mo", "smo-p", "1P").read_bytes()) == came
    exchange.carry()
    assert outcomes(exchange.sweep("smo-p"))[0][0] == "answered"
    balanced(exchange)


# ---- what the insurer is sent (94, 95) ---------------------------------------------------------------


def test_an_account_that_the_fund_refused_does_not_pass_the_insurer(exchange: Exchange) -> None:
    """Row 94: the flagged account is still in the file, so the whole file is refused and the account is named."""
    sent_to_fund(exchange)
    exchange.insure("smo-p", spec(1, 4))
    path = answer_of(exchange, "tfoms", "mo", "1P")
    exchange.put("smo-p", "mo", path.name, path.read_bytes())
    found = exchange.sweep("smo-p")
    assert outcomes(found) == [("refused", "SET_NOT_SUBSET")]
    assert "n_pp=" in found[0].problems[0].place
    assert exchange.totals("smo-p")["accounts"]["sent"] == 0


# ---- answers that the MO does not take in (96 to 100) ------------------------------------------------


def test_answers_wait_for_what_they_answer(exchange: Exchange) -> None:
    """Row 96: 6 without 5, 5 and 6 before 1, 2 before 5, in the worst order; each goes on by itself."""
    to_the_insurer(exchange)
    exchange.finalise("smo-p")
    with exchange.at("mo") as site:
        known = site.ledger
        assert ledger.parked(known) == []
    exchange.carry(("smo-p", "mo"))
    inbox = exchange.inbox("mo", "smo-p")
    held = {suffix: next(p for p in inbox.iterdir() if p.stem.endswith(suffix)) for suffix in ("2P", "6P", "5P")}
    content = {suffix: (path.name, path.read_bytes()) for suffix, path in held.items()}
    for path in held.values():
        path.unlink()
    exchange.sweep("mo")
    for suffix in ("2P", "6P"):
        exchange.put("mo", "smo-p", *content[suffix])
        assert outcomes(exchange.sweep("mo")) == [("parked", "AFTER")]
    assert exchange.totals("mo")["accounts"]["accepted_5"] == 0
    exchange.put("mo", "smo-p", *content["5P"])
    assert {one.outcome for one in exchange.sweep("mo")} == {"answered"}
    assert exchange.totals("mo")["accounts"]["accepted_5"] == 3
    balanced(exchange)


WRONG_ANSWERS = [
    ("97", "5P", r"<patient .*?</patient>\s*", "", "SET_PARTITION"),
    ("95", "5P", r'suml="(\d)', r'suml="1\1', "SET_CHANGED"),
    ("94", "5P", r'(<personal_account [^>]*xkey=")[^"]*', r"\1never-sent", "SET_NOT_SUBSET"),
]


@pytest.mark.parametrize(("row", "suffix", "old", "new", "code"), WRONG_ANSWERS)
def test_an_answer_that_does_not_fit_is_refused_whole(
    exchange: Exchange, row: str, suffix: str, old: str, new: str, code: str
) -> None:
    """Rows 94, 95, 97 at the MO: accounts lost, turned, changed or invented; nothing of the answer counts."""
    to_the_insurer(exchange)
    path = answer_of(exchange, "smo-p", "mo", suffix)
    path.write_bytes(_totals_mended(changed(path, old, new)))
    exchange.carry(("smo-p", "mo"))
    before = exchange.totals("mo")["accounts"]
    found = exchange.sweep("mo")
    codes = {one.code for one in found if one.outcome == "refused"}
    assert code in codes or any(code in {p.code for p in one.problems} for one in found), (row, outcomes(found), found)
    assert exchange.totals("mo")["accounts"] == before
    balanced(exchange)


def _totals_mended(data: bytes) -> bytes:
    """The claimed totals of the head, put right again, so that only the planted fault is left."""
    root = etree.fromstring(data)
    for line in root.iterfind(".//account_elem_t/account_elem"):
        kind, total = line.get("type_acc"), 0
        for elem in root.iterfind(f".//personal_account/sum/elem[@type_acc='{kind}']"):
            total += int((elem.get("suml") or "0").replace(".", ""))
        old = f'account_elem type_acc="{kind}" amountl="{line.get("amountl")}"'.encode()
        assert old in data
        data = data.replace(
            old, f'account_elem type_acc="{kind}" amountl="{total // 100}.{total % 100:02d}"'.encode(), 1
        )
    return data


@pytest.mark.parametrize(
    ("row", "old", "new", "code"),
    [
        ("99", r'an_mes="[^"]*"', 'an_mes="9.9.9"', "DEFECT_CODE"),
        ("99", r"<an_mess>.*?</an_mess>|<fact [^>]*>", "", "DEFECT_CODE"),
        ("100", r'pay="4"', 'pay="1"', "FLAG_SUM"),
    ],
)
def test_a_refusal_must_say_why_and_fit_its_sum(exchange: Exchange, row: str, old: str, new: str, code: str) -> None:
    """Rows 99 and 100: without a valid code, or with flag and sum that differ, the whole answer is refused."""
    sent_to_fund(exchange)
    path = answer_of(exchange, "tfoms", "mo", "1P")
    text = path.read_bytes().decode("cp1251")
    made = re.sub(old, new, text, flags=re.S)
    assert made != text, old
    path.write_bytes(made.encode("cp1251"))
    exchange.carry(("tfoms", "mo"))
    found = exchange.sweep("mo")
    assert code in {problem.code for one in found for problem in one.problems}, (row, outcomes(found))
    assert exchange.totals("mo")["accounts"]["waiting"] == 4
    balanced(exchange)


def test_the_halves_of_an_answer_must_not_overlap(exchange: Exchange) -> None:
    """Row 97: the passed accounts stand in the 6 too, so neither half is taken in."""
    to_the_insurer(exchange)
    passed, refused = (answer_of(exchange, "smo-p", "mo", suffix) for suffix in ("5P", "6P"))
    refused.write_bytes(passed.read_bytes())
    passed.write_bytes(_totals_mended(changed(passed, r"<patient .*?</patient>\s*", "")))
    exchange.carry(("smo-p", "mo"))
    before = exchange.totals("mo")["accounts"]
    found = exchange.sweep("mo")
    assert ("refused", "SET_PARTITION") in outcomes(found), outcomes(found)
    assert exchange.totals("mo")["accounts"] == before
    balanced(exchange)


def test_a_second_answer_with_other_content_is_refused(exchange: Exchange) -> None:
    """Row 98."""
    to_the_insurer(exchange)
    path = answer_of(exchange, "smo-p", "mo", "5P")
    name, second = path.name, changed(path, r'comment="[^"]*"|date_in="[^"]*"', 'date_in="2018-10-15"')
    exchange.carry()
    exchange.sweep("mo")
    exchange.put("mo", "smo-p", name, second)
    assert outcomes(exchange.sweep("mo")) == [("refused", "STAGE_CLOSED")]
    balanced(exchange)


# ---- our own file refused by its receiver ------------------------------------------------------------


def status(exchange: Exchange, name: str = "mo") -> dict[str, object]:
    from oms_batch import overview

    with exchange.at(name) as site:
        return overview.registers(site)[0]


def test_a_register_refused_as_a_whole_is_taken_back_and_sent_again(
    exchange: Exchange, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status says so, the accounts count as never sent, and the corrected file goes under the same name."""
    chosen = spec(1, 4)
    exchange.insure("tfoms", chosen)
    name, data = exchange.generated(chosen)
    bad = data.replace(b'n_out="1"', b'n_out="2"')
    exchange.put("mo", "", name, bad)
    exchange.sweep("mo")
    assert exchange.totals("mo")["accounts"]["sent"] == 4
    path = answer_of(exchange, "mo", "tfoms", "3X")
    broken = path.read_bytes()[:-12]
    path.unlink()
    # the fund got a cut file: it refuses it, and the MO hears of it by the name (no such bytes were sent)
    Desk(exchange).sweep()
    exchange.put("tfoms", "mo", name, broken)
    assert outcomes(Desk(exchange).sweep()) == [("refused", "XML_SYNTAX")]
    foreign = next(p for p in exchange.outbox("tfoms", "mo") if p.suffix == ".xml").read_bytes()
    for one in exchange.outbox("tfoms", "mo"):
        one.unlink()
    protocol = f"{Path(name).stem}.protocol.xml"
    exchange.put("mo", "tfoms", protocol, foreign)
    assert outcomes(exchange.sweep("mo")) == [("companion", "")]  # it speaks of other bytes than those we sent
    exchange.put("mo", "tfoms", protocol, re.sub(rb"<!--.*?-->\n", b"", foreign))
    assert outcomes(exchange.sweep("mo")) == [("rejected", "XML_SYNTAX")]
    row = status(exchange)
    assert row["state"] == "rejected"
    assert row["rejected"] == [{"file": name, "by": "tfoms", "codes": "XML_SYNTAX"}]
    assert row["accounts"]["sent"] == 0  # type: ignore[index]
    assert row["withdrawn"]["accounts"] == 4  # type: ignore[index]
    totals = exchange.totals("mo")
    assert totals["balanced"]
    assert (totals["accounts"]["sent"], totals["accounts"]["withdrawn"]) == (0, 4)
    with pytest.raises(SystemExit):
        program.main(["--home", str(exchange.root / "mo"), "status"])
    assert f"{name}: tfoms не принял файл целиком [XML_SYNTAX]" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        program.main(["--home", str(exchange.root / "mo"), "ledger", "verify"])
    assert "не в счёт" in capsys.readouterr().out
    exchange.put("mo", "tfoms", protocol, re.sub(rb"<!--.*?-->\n", b"", foreign))
    assert outcomes(exchange.sweep("mo")) == [("companion", "")]  # once is enough
    for content in (data, bad):  # corrected, or the very same bytes: both may go
        exchange.put("mo", "", name, content)
        assert exchange.sweep("mo")[0].outcome == "answered"
        assert status(exchange)["state"] == "waiting"
        exchange.carry(("mo", "tfoms"))
        if content is data:
            exchange.inbox("tfoms", "mo").joinpath(name).unlink()
            exchange.put("mo", "tfoms", protocol, re.sub(rb"<!--.*?-->\n", b"", foreign))
            assert outcomes(exchange.sweep("mo")) == [("rejected", "XML_SYNTAX")]
    assert exchange.sweep("tfoms")[0].outcome == "answered"
    exchange.carry(("tfoms", "mo"))
    exchange.sweep("mo")
    totals = exchange.totals("mo")
    assert (totals["balanced"], totals["accounts"]["sent"], totals["accounts"]["withdrawn"]) == (True, 4, 8)
    # an old protocol after the answer changes nothing
    exchange.put("mo", "tfoms", protocol, re.sub(rb"<!--.*?-->\n", b"", foreign))
    assert outcomes(exchange.sweep("mo")) == [("companion", "")]


def test_our_own_protocol_names_the_bytes_that_it_refuses(exchange: Exchange) -> None:
    """From end to end: the fund refuses what the MO sent, and the MO hears it of exactly that file."""
    chosen = spec(1, 4)
    exchange.insure("tfoms", chosen)
    name, data = exchange.generated(chosen)
    exchange.put("mo", "", name, data)
    exchange.sweep("mo")
    exchange.carry()
    settings = exchange.root / "tfoms" / "oms-batch.toml"
    text = settings.read_text()
    settings.write_text(text.replace('closed_through = ""', 'closed_through = "2018-12"'))
    assert outcomes(exchange.sweep("tfoms")) == [("refused", "PERIOD_CLOSED")]
    exchange.carry()
    assert ("rejected", "PERIOD_CLOSED") in outcomes(exchange.sweep("mo"))
    settings.write_text(text)
    exchange.put("mo", "", name, data.replace(b'n_out="1"', b'n_out="2"'))
    assert exchange.sweep("mo")[0].outcome == "answered"
    exchange.carry()
    assert exchange.sweep("tfoms")[0].outcome == "answered"
    balanced(exchange)


def test_a_refused_reformulation_goes_back_and_is_made_again(exchange: Exchange) -> None:
    """The insurer refuses the 1 as a whole: its accounts are the fund's again, and only a person makes it anew."""
    sent_to_fund(exchange)
    exchange.insure("smo-p", spec(1, 4))
    exchange.carry(("tfoms", "mo"))
    exchange.sweep("mo")
    exchange.reformulate()
    settings = exchange.root / "smo-p" / "oms-batch.toml"
    text = settings.read_text()
    settings.write_text(text.replace('closed_through = ""', 'closed_through = "2018-12"'))
    exchange.carry(("mo", "smo-p"))
    assert outcomes(exchange.sweep("smo-p")) == [("refused", "PERIOD_CLOSED")]
    settings.write_text(text)
    exchange.carry(("smo-p", "mo"))
    assert ("rejected", "PERIOD_CLOSED") in outcomes(exchange.sweep("mo"))
    assert status(exchange)["state"] == "rejected"
    totals = exchange.totals("mo")
    assert (totals["balanced"], totals["accounts"]["waiting"], totals["accounts"]["refused_1"]) == (True, 3, 1)
    from oms_batch.doors import nightly

    with exchange.at("mo") as site:
        assert nightly.run(site).handled == []
    assert [one.outcome for one in exchange.reformulate()] == ["answered"]
    assert status(exchange)["state"] != "rejected"
    balanced(exchange)


def test_an_account_billed_again_keeps_its_way_through_a_rejection(tmp_path: Path) -> None:
    """Its successor is the account of the corrected register, not the withdrawn one; old protocols change nothing."""
    from oms_batch.exchange import load_profile
    from tests import test_ledger as books

    profile = load_profile("yaroslavl")
    book = ledger.open_ledger(tmp_path / "ledger.db")
    books.month(book, tmp_path)
    old = ledger.life(book, "d")[0]["id"]
    ledger.resubmit(book, old, "primary", "ivanova", books.REFUSED)
    new = books.named("3X", "2")
    ledger.place_resubmissions(book, [(old, new.register, "d2")])
    rows = [{"xkey": "d2", "state": "billed"}, {"xkey": "e", "state": "billed"}]
    job = books.commit(book, tmp_path, "next", new, rows)
    taken = ledger.reject(book, job, "tfoms", ["HDR_SUM"], "billed", "withdrawn", True)
    assert taken is not None
    assert (taken.accounts, taken.kopecks) == (2, 200)
    assert ledger.reject(book, job, "tfoms", ["HDR_SUM"], "billed", "withdrawn", True) is None
    assert ledger.verify(book, profile.buckets)["balanced"]
    (waiting,) = ledger.waiting_resubmissions(book, new.register)  # so the register built anew takes it in again
    assert waiting["xkey"] == "d"
    again = books.commit(book, tmp_path, "again", new, [{"xkey": "d2", "state": "billed", "sumv": 70}])
    assert ledger.life(book, "d")[0]["successor"] == (new.register, "d2")
    assert [one["register"] for one in ledger.life(book, "d2")] == [f"{new.register}#{job}", new.register]
    books.commit(
        book,
        tmp_path,
        "answer",
        books.named("1P", "2"),
        [{"xkey": "d2", "state": "fund_passed", "stage": "1", "payer": "P", "sumv": 70}],
        sender="tfoms",
    )
    assert ledger.reject(book, again, "tfoms", ["HDR_SUM"], "billed", "withdrawn", True) is None  # it was answered
    totals = ledger.verify(book, profile.buckets)
    assert totals["balanced"]
    assert (totals["accounts"]["sent"], totals["sums"]["sent"], totals["accounts"]["withdrawn"]) == (5, 470, 2)
    book.close()


# ---- times, periods, rules, the way out (101 to 109) --------------------------------------------------


@pytest.mark.parametrize(
    ("row", "old", "new"),
    [
        ("101", r'(xkey="([^"]*)0".*?<personal_account [^>]*xkey=")[^"]*"', r'\g<1>\g<2>0"'),
        ("101", r'n_pp="2"', 'n_pp="1"'),
        ("102", r'type_r="1"', 'type_r="2"'),
    ],
)
def test_an_account_billed_twice_or_as_what_it_is_not_is_refused(
    exchange: Exchange, row: str, old: str, new: str
) -> None:
    """Rows 101 and 102: a number used twice inside the register, a repeat without a predecessor; only that account."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1, 4))
    name, data = exchange.generated(spec(1, 4))
    made = re.sub(old, new, data.decode("cp1251"), count=1, flags=re.S).encode("cp1251")
    assert made != data
    exchange.put("tfoms", "mo", name, made)
    found = desk.sweep()
    assert found[0].outcome == "answered", found
    assert found[0].refused.accounts == 1, row
    assert desk.balance() == []


def test_an_account_of_an_earlier_register_is_refused(exchange: Exchange) -> None:
    """Row 101 across registers: the same accounts in the next number are refused, and the first place is named."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    exchange.put("tfoms", "mo", name, data)
    desk.sweep()
    exchange.put("tfoms", "mo", f"{MO}180923X.xml", data.replace(b'n_out="1"', b'n_out="2"'))
    found = desk.sweep()
    assert (found[0].outcome, found[0].refused.accounts) == ("answered", 3)
    page = (exchange.root / "tfoms/outbox/mo" / f"{MO}180923X.report.html").read_text("utf-8")
    assert "201809-1" in page
    assert desk.balance() == []


def test_invoices_before_the_5_are_not_made(exchange: Exchange, capsys: pytest.CaptureFixture[str]) -> None:
    """Row 103: exit code 3, STAGE_ORDER, and nothing written."""
    sent_to_fund(exchange)

    def written() -> list[Path]:
        whole = (exchange.root / "mo").rglob("*")
        return sorted(path for path in whole if path.suffix not in (".lock", ".db-wal", ".db-shm"))

    before = written()
    with pytest.raises(SystemExit) as caught:
        program.main(["--home", str(exchange.root / "mo"), "invoice"])
    assert caught.value.code == 3
    assert "STAGE_ORDER" in capsys.readouterr().err
    assert written() == before


@pytest.mark.parametrize(
    ("moment", "late"), [("2018-10-03T11:59:00+03:00", False), ("2018-10-03T12:01:00+03:00", True)]
)
def test_a_late_register_is_answered_and_marked(exchange: Exchange, moment: str, late: bool) -> None:
    """Row 104: noon of the third working day, by the time of receipt, which the answer prints."""
    import json

    from oms_batch import clock

    when = clock.parse(moment)
    clock.set_wall(lambda: when)
    exchange.insure("tfoms", spec(1))
    name, data = good_file(exchange, 1)
    exchange.put("tfoms", "mo", name, data)
    found = exchange.sweep("tfoms")
    assert outcomes(found) == [("answered", "LATE" if late else "")]
    receipt = json.loads((exchange.root / "tfoms/outbox/mo" / f"{Path(name).stem}.receipt.json").read_text())
    assert receipt["late"] is late
    assert clock.parse(receipt["received_at"]) == when


def test_a_register_through_another_folder_is_set_aside(tmp_path: Path) -> None:
    """Row 115: whatever its codes say inside, the folder is not theirs; nothing is echoed to anybody."""
    exchange = Exchange(tmp_path, ("mo", "tfoms", "mo2"))
    desk = Desk(exchange, sender="mo2")
    exchange.put("tfoms", "mo2", *good_file(exchange, 1))
    found = desk.sweep()
    assert outcomes(found) == [("quarantined", "SENDER_MISMATCH")]
    assert desk.pages(found[0]) == []
    assert exchange.outbox("tfoms", "mo") == exchange.outbox("tfoms", "mo2") == []
    assert desk.balance() == []


def test_a_closed_period_is_refused(exchange: Exchange) -> None:
    """Row 105."""
    settings = exchange.root / "tfoms" / "oms-batch.toml"
    settings.write_text(settings.read_text().replace('closed_through = ""', 'closed_through = "2018-09"'))
    desk = Desk(exchange)
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    assert outcomes(desk.sweep()) == [("refused", "PERIOD_CLOSED")]
    assert desk.balance() == []


def test_a_name_in_the_outbox_is_never_overwritten(exchange: Exchange) -> None:
    """Row 107: the answer is blocked, the foreign file stays; when it is gone, the answer goes out."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    foreign = exchange.root / "tfoms/outbox/mo" / f"{MO}180911P.xml"
    foreign.write_bytes(b"foreign")
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    assert outcomes(desk.sweep()) == [("answered", "LATE")]
    assert foreign.read_bytes() == b"foreign"
    assert "publish_blocked" in desk.log
    assert any("PUBLISH_BLOCKED" in text for text in exchange.totals("tfoms")["problems"])
    foreign.unlink()
    desk.sweep()
    assert foreign.read_bytes().startswith(b"<?xml")
    assert desk.balance() == []


def test_a_full_outbox_keeps_the_answer_in_the_box(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 108: new registers are still received and judged; all goes out when there is room."""
    from oms_batch.store import fsio

    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    real = fsio.copy_hash

    def full(source: object, target: object) -> tuple[str, int]:
        if "/outbox/" in str(target):
            raise OSError(28, "full")
        return real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(fsio, "copy_hash", full)
    for number in (1, 2):
        exchange.put("tfoms", "mo", *good_file(exchange, number))
        assert outcomes(desk.sweep()) == [("answered", "LATE")]
    assert exchange.outbox("tfoms", "mo") == []
    assert "publish_waits" in desk.log
    monkeypatch.setattr(fsio, "copy_hash", real)
    assert desk.sweep() == []
    assert len(exchange.outbox("tfoms", "mo")) == 8
    assert desk.balance() == []


def test_a_full_archive_and_a_touched_box_hold_up_nobody(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers go out although the archive is full; a box that was changed is not published, and the proof names it."""
    from oms_batch.store import fsio

    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    real = fsio.copy_hash

    def full(source: object, target: object) -> tuple[str, int]:
        if "/archive/" in str(target):
            raise OSError(28, "full")
        return real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(fsio, "copy_hash", full)
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    assert outcomes(desk.sweep()) == [("answered", "LATE")]
    assert len(exchange.outbox("tfoms", "mo")) == 4
    assert "archive_waits" in desk.log
    monkeypatch.setattr(fsio, "copy_hash", real)
    desk.sweep()
    assert desk.balance() == []
    first = exchange.outbox("tfoms", "mo")
    with monkeypatch.context() as closed:
        closed.setattr(conductor.spool, "publish", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        exchange.put("tfoms", "mo", *good_file(exchange, 2))
        desk.sweep()
    box = next((exchange.root / "tfoms/.spool/box").rglob("001-*"))
    box.write_bytes(b"touched")
    exchange.put("tfoms", "mo", "other.xml", b"<a/>")
    assert outcomes(desk.sweep()) == [("refused", "NAME_PATTERN")]
    assert {path.name for path in exchange.outbox("tfoms", "mo")} - {path.name for path in first} == {
        "receipt-00000003.protocol.html",
        "receipt-00000003.protocol.xml",
    }
    assert any("OUTBOX_LOST" in text for text in exchange.totals("tfoms")["problems"])


def test_a_full_disk_while_judging_waits(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the answer: nothing leaves, nothing is lost, and it goes on by itself."""
    from oms_batch.store import fsio

    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    real = fsio.create

    def full(path: object, mode: int = 0o640) -> object:
        if "/box/" in str(path):
            raise OSError(28, "full")
        return real(path, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(fsio, "create", full)
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    assert outcomes(desk.sweep()) == [("parked", "DISK")]
    assert exchange.outbox("tfoms", "mo") == []
    monkeypatch.setattr(fsio, "create", real)
    assert outcomes(desk.sweep()) == [("answered", "LATE")]
    assert desk.balance() == []


def test_broken_rules_stop_answers_not_receipts(exchange: Exchange) -> None:
    """Row 106: the register waits with its receipt; when the rules are mended it is judged by itself."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    broken = exchange.root / "tfoms/rules/yaroslavl/fund/K_76_9999_broken.toml"
    broken.parent.mkdir(parents=True)
    broken.write_text("no rule at all")
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    assert outcomes(desk.sweep()) == [("parked", "RULES")]
    assert exchange.outbox("tfoms", "mo") == []
    with exchange.at("tfoms") as site:
        assert ledger.parked(site.ledger)[0]["reason"] == "RULES"
    broken.unlink()
    assert outcomes(desk.sweep()) == [("answered", "LATE")]
    assert desk.balance() == []


FAKE = """
import os, time
def hang(order): time.sleep(600)
def eat(order): return {"much": len(bytearray(8 << 30))}
def fall(order): os.abort()
"""


@pytest.mark.parametrize("how", ["hang", "eat", "fall"])
def test_a_child_that_hangs_eats_or_falls_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Row 109: three attempts, then quarantine and a short protocol; the queue goes on."""
    from oms_batch import work
    from oms_batch.store import sandbox

    exchange = Exchange(tmp_path / "homes", ("mo", "tfoms"), {"isolate": True, "wall_seconds": 3, "memory_mb": 512})
    (tmp_path / "fake_stage.py").write_text(FAKE)
    monkeypatch.syspath_prepend(str(tmp_path))
    real, calls = sandbox.run, []

    def run(target: str, order: dict[str, object], limits: sandbox.Limits) -> dict[str, object]:
        calls.append(target)
        return real(f"fake_stage:{how}", order, limits)

    monkeypatch.setattr(work.sandbox, "run", run)
    desk = Desk(exchange)
    exchange.put("tfoms", "mo", *good_file(exchange, 1))
    exchange.put("tfoms", "mo", "other.xml", b"<a/>")
    found = desk.sweep()
    assert sorted(outcomes(found)) == [("quarantined", "PARSER_LIMIT"), ("refused", "NAME_PATTERN")]
    assert len(calls) == 3
    pages = [path.name for path in exchange.outbox("tfoms", "mo") if path.name.startswith(MO)]
    assert sorted(Path(name).suffix for name in pages) == [".html", ".xml"]
    kept = [sha(path.read_bytes()) for path in (exchange.root / "tfoms/.spool/quarantine").iterdir()]
    assert sha(good_file(exchange, 1)[1]) in kept
    assert desk.sweep() == []
    assert desk.balance() == []


# ---- hostile and odd values (112 to 114) --------------------------------------------------------------

FORMULA = '=HYPERLINK("http://evil","x")'
SCRIPT = "<script>alert(1)</script>"


def test_reports_show_hostile_text_as_text(exchange: Exchange) -> None:
    """Row 112: formulas and tags in names and numbers stay text in the workbook and the page."""
    import openpyxl

    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    text = document(exchange, 1)
    text = re.sub(r'\bsurname="[^"]*"', 'surname="=HYPERLINK(&quot;http://evil&quot;,&quot;x&quot;)"', text)
    text = re.sub(r'\bname="[^"]*"', 'name="&lt;script&gt;alert(1)&lt;/script&gt;"', text)
    text = re.sub(r'\bpatronymic="[^"]*"', 'patronymic="\'; DROP TABLE accounts; --%n%s"', text)
    text = re.sub(r'\bn_card="[^"]*"', 'n_card="@SUM(1+1)|cmd"', text)
    text = re.sub(r'\bmkb="[^"]*"', 'mkb="=1+1"', text)
    exchange.put("tfoms", "mo", f"{MO}180913X.xml", text.encode("cp1251"))
    found = desk.sweep()
    assert found[0].outcome == "answered"
    assert found[0].refused.accounts > 0
    page = next(path for path in exchange.outbox("tfoms", "mo") if path.name.endswith("report.html")).read_text("utf-8")
    assert SCRIPT not in page
    book = next(path for path in exchange.outbox("tfoms", "mo") if path.name.endswith("report.xlsx"))
    cells = [cell for sheet in openpyxl.load_workbook(book) for row in sheet.iter_rows() for cell in row]
    assert all(cell.data_type != "f" and cell.hyperlink is None for cell in cells)
    assert any(str(cell.value).startswith("=") for cell in cells)
    assert desk.balance() == []


def test_letters_outside_the_encoding_are_kept_or_refused(exchange: Exchange) -> None:
    """Row 113: Tatar letters come back as they were (utf-8, or references in windows-1251), never as question marks."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    text = document(exchange, 1)
    utf8 = re.sub(r'\bsurname="[^"]*"', 'surname="Әхмәтҗанов"', text).replace("windows-1251", "utf-8").encode()
    exchange.put("tfoms", "mo", f"{MO}180913X.xml", utf8)
    references = re.sub(r'\bsurname="[^"]*"', 'surname="&#1240;хмәт"'.replace("ә", "&#1241;"), document(exchange, 2))
    exchange.put("tfoms", "mo", f"{MO}180923X.xml", references.encode("cp1251"))
    assert {one.outcome for one in desk.sweep()} == {"answered"}
    for path in exchange.outbox("tfoms", "mo"):
        if path.stem.endswith("11P") or path.stem.endswith("21P"):
            surnames = set(etree.fromstring(path.read_bytes()).xpath("//patient/@surname"))
            assert surnames <= {"Әхмәтҗанов", "Әхмәт"}, path.name
            assert b'surname="?' not in path.read_bytes()
    assert desk.balance() == []


def test_numbers_that_look_like_sums_stay_text(exchange: Exchange) -> None:
    """Row 114: leading zeros, sixteen digits and 1E5 come back to the letter."""
    desk = Desk(exchange)
    exchange.insure("tfoms", spec(1))
    numbers = iter(["0000000000000017", "7690689721000008", "1E5"])
    text = re.sub(r'\bpolisnum="[^"]*"', lambda _m: f'polisnum="{next(numbers, "0001")}"', document(exchange, 1))
    text = re.sub(r'\bn_card="[^"]*"', 'n_card="1E5"', text)
    expected = re.findall(r'polisnum="([^"]*)"', text)
    exchange.put("tfoms", "mo", f"{MO}180913X.xml", text.encode("cp1251"))
    assert desk.sweep()[0].outcome == "answered"
    back: list[str] = []
    for path in exchange.outbox("tfoms", "mo"):
        if path.suffix == ".xml" and "." not in path.stem:
            root = etree.fromstring(path.read_bytes())
            back += root.xpath("//polis/@polisnum")
            assert set(root.xpath("//personal_account/@n_card")) == {"1E5"}
    assert sorted(back) == sorted(expected)
    assert desk.balance() == []
