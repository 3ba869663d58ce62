"""Where files of an exchange meet: halves of a pair, answers beside and over a register, keys of several senders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms_batch import clock, conductor
from oms_batch.errors import WrongState
from oms_batch.exchange import load_profile
from oms_batch.intake import names
from oms_batch.model import last_day
from oms_batch.reply.marks import Codes
from oms_batch.stages import heard
from oms_batch.store import ledger
from oms_batch.synth.parcels import FIRST
from oms_batch.synth.world import Spec
from oms_batch.work import Handled
from tests import federal_documents as small
from tests import test_ledger as books
from tests.federal_documents import Account, Pair, tables_of
from tests.participants import Exchange
from tests.test_federal_exchange import NAME, PROFILE, SPEC, WHEN, documents, exchange_of, inside, overlaid, packed

LNAME = "L" + NAME[1:]


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    clock.set_wall(lambda: WHEN)
    yield
    clock.set_wall(None)


def answered_by_the_fund(root: Path, *names: str) -> Exchange:
    exchange = exchange_of(root, *(names or ("mo", "tfoms", "smo-a", "smo-b")))
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    return exchange


def rewritten(path: Path, change: dict[str, str] | None = None, drop: bool = False) -> None:
    """Change the texts of an answer; ``drop``: leave out its last record, with counts and sums right again."""
    made = {}
    for name, text in inside(path).items():
        for old, new in (change or {}).items():
            text = re.sub(old, new, text)
        if drop and "<ZAP>" in text:
            text = re.sub(r"<ZAP>(?:(?!<ZAP>).)*</ZAP>\s*(?=</ZL_LIST>)", "", text, flags=re.DOTALL)
            sums = [int(one.replace(".", "")) for one in re.findall(r"<SUMV>([0-9.]+)</SUMV>", text)]
            text = re.sub(r"<SD_Z>\d+<", f"<SD_Z>{len(sums)}<", text)
            text = re.sub(r"<SUMMAV>[0-9.]+<", f"<SUMMAV>{sum(sums) // 100}.{sum(sums) % 100:02d}<", text)
        made[name] = text.encode("cp1251")
    path.write_bytes(packed(made))


def said(handled: list[Handled]) -> list[tuple[str, str, str]]:
    return [(one.name, one.outcome, one.code) for one in handled if one.outcome != "companion"]


# ---- keys ------------------------------------------------------------------------------------------


def test_one_code_and_number_at_two_organisations_are_two_accounts() -> None:
    """CODE and IDCASE are the sender's own: an insurer has them from many."""
    pair = small.documents([Account(1)])
    other = Pair(pair.main.replace(b"<CODE_MO>760001<", b"<CODE_MO>760002<"), pair.persons, pair.name, "H")
    keys = {tables_of(one).execute("SELECT xkey FROM z_sl").fetchone() for one in (pair, other)}
    assert len(keys) == 2


def test_what_is_wrong_with_a_second_record_of_one_person_is_not_lost() -> None:
    pair = small.documents([Account(1), Account(2, person=2)])
    twice = pair.persons.replace(b"<ID_PAC>P2</ID_PAC>", b"<ID_PAC>P1</ID_PAC>")
    main = pair.main.replace(b"<ID_PAC>P2</ID_PAC>", b"<ID_PAC>P1</ID_PAC>")
    con = tables_of(Pair(main, twice, pair.name, "H"))
    rows = con.execute("SELECT rule, pers_n FROM findings WHERE severity = 'reject' ORDER BY 2").fetchall()
    assert rows == [("S.00.0110", 1), ("S.00.0110", 2)]


# ---- protocols over a register ------------------------------------------------------------------------


BILL = "<SCHET><CODE_MO>760001</CODE_MO><YEAR>2026</YEAR><MONTH>1<"


def mek(changes: tuple[tuple[str, str], ...] = ()) -> tuple[str, bytes]:
    """A protocol of control over ``documents([Account(1), Account(2)])`` that refuses the second."""
    zaps = "".join(
        f"<ZAP><N_ZAP>{n}</N_ZAP><PACIENT><VPOLIS>3</VPOLIS><ENP>1</ENP></PACIENT><Z_SL><IDCASE>{n}</IDCASE>"
        f"<IDSP>29</IDSP><SL><SL_ID>1</SL_ID><NHISTORY>1</NHISTORY></SL><SUMV>125.50</SUMV>{more}</Z_SL></ZAP>"
        for n, more in (
            (1, "<OPLATA>1</OPLATA><SUMP>125.50</SUMP>"),
            (
                2,
                "<OPLATA>2</OPLATA><SUMP>0.00</SUMP><SANK><S_CODE>1</S_CODE><S_SUM>125.50</S_SUM><S_TIP>1</S_TIP>"
                "<S_OSN>211</S_OSN><S_IST>1</S_IST></SANK><SANK_IT>125.50</SANK_IT>",
            ),
        )
    )
    text = (
        "<?xml version='1.0' encoding='windows-1251'?><ZL_LIST><ZGLV><VERSION>3.1</VERSION><DATA>2026-02-05</DATA>"
        "<YEAR>2026</YEAR><MONTH>1</MONTH><FILENAME>AHM760001T76_26011</FILENAME></ZGLV><SCHET>"
        "<CODE_MO>760001</CODE_MO><YEAR>2026</YEAR><MONTH>1</MONTH><NSCHET>12-Я</NSCHET><DSCHET>2026-02-02</DSCHET>"
        f"<SUMMAV>251.00</SUMMAV><SUMMAP>125.50</SUMMAP><ACCEPT>1</ACCEPT></SCHET>{zaps}</ZL_LIST>"
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return "A:mek", text.encode("cp1251")


def problems_of(*changes: tuple[str, str]) -> set[str]:
    con = tables_of(small.documents([Account(1), Account(2)]), mek(changes))
    heard.prepare(con, PROFILE, Codes.of(PROFILE.data), last_day("2026-01"))
    return {one.code for one in heard.own_problems(con, PROFILE)}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("SET_NOT_SUBSET", (("<IDCASE>2<", "<IDCASE>7<"),)),
        ("SET_NOT_SUBSET", (("<IDCASE>2<", "<IDCASE>1<"),)),
        ("SET_CHANGED", (("<SUMV>125.50</SUMV><OPLATA>2", "<SUMV>125.49</SUMV><OPLATA>2"),)),
        ("HDR_SENDER", (("<CODE_MO>760001<", "<CODE_MO>760002<"),)),
        ("HDR_PERIOD", ((BILL, BILL.replace("<MONTH>1<", "<MONTH>2<")),)),
        ("HDR_SUM", (("<SUMMAP>125.50<", "<SUMMAP>251.00<"),)),
    ],
)  # fmt: skip
def test_a_protocol_of_control_speaks_of_the_register_that_we_sent(
    code: str, changes: tuple[tuple[str, str], ...]
) -> None:
    assert problems_of() == set()
    assert code in problems_of(*changes)


def test_an_insurer_that_says_nothing_of_an_account_has_not_paid_it() -> None:
    con = tables_of(small.documents([Account(1, marks="<OPLATA>1</OPLATA><SUMP>125.50</SUMP>"), Account(2)]))
    heard.prepare(con, PROFILE, Codes.of(PROFILE.data), last_day("2026-01"))
    assert heard.own_problems(con, PROFILE) == []
    con.execute("UPDATE named SET stage = 'SM'")
    assert [(one.code, "IDCASE=2" in one.place) for one in heard.own_problems(con, PROFILE)] == [("FLAG_SUM", True)]


# ---- answers ------------------------------------------------------------------------------------------


def test_an_answer_that_leaves_accounts_out_is_not_taken_in(tmp_path: Path) -> None:
    """A second answer would find the stage closed, and those accounts would wait for ever."""
    exchange = answered_by_the_fund(tmp_path)
    answer = exchange.root / "tfoms/outbox/mo/HT76M760001_22031.zip"
    whole = answer.read_bytes()
    rewritten(answer, drop=True)
    exchange.carry(("tfoms", "mo"))
    assert said(exchange.sweep("mo")) == [(answer.name, "refused", "SET_INCOMPLETE")]
    exchange.put("mo", "tfoms", answer.name, whole)
    assert said(exchange.sweep("mo")) == [(answer.name, "answered", "")]
    exchange.carry(("tfoms", "smo-a"))
    exchange.sweep("smo-a")
    (paid,) = [one for one in exchange.outbox("smo-a", "mo") if one.name.startswith("HS")]
    whole = paid.read_bytes()
    rewritten(paid, drop=True)
    exchange.carry(("smo-a", "mo"))
    assert said(exchange.sweep("mo")) == [(paid.name, "refused", "SET_INCOMPLETE")]
    exchange.put("mo", "smo-a", paid.name, whole)
    path = exchange.inbox("mo", "smo-a") / paid.name
    rewritten(path, {"<OPLATA>1</OPLATA>": "<OPLATA>9</OPLATA>"})
    assert said(exchange.sweep("mo")) == [(paid.name, "refused", "FLAG_SUM")]
    exchange.put("mo", "smo-a", paid.name, whole)
    assert said(exchange.sweep("mo")) == [(paid.name, "answered", "")]
    assert exchange.totals("mo")["balanced"]


def test_after_a_protocol_of_control_the_insurer_is_heard_too(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path)
    overlaid(exchange, {'emits = ["VMT", "TM", "MS"]': 'emits = ["VMT", "AMT", "MS"]'})
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    exchange.carry()
    exchange.sweep("mo")
    exchange.sweep("smo-a")
    exchange.carry(("smo-a", "mo"))
    assert [one[1] for one in said(exchange.sweep("mo"))] == ["answered"]
    assert exchange.totals("mo")["accounts"]["accepted_5"] > 0


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ("<N_REC>1</N_REC>", "companion"),
        ("<IDCASE>1</IDCASE>", "companion"),
        ("<N_ZAP>1</N_ZAP>", "companion"),
        ("<N_ZAP/>", "rejected"),
        ("", "rejected"),
    ],
)
def test_a_protocol_of_records_withdraws_no_register(tmp_path: Path, record: str, outcome: str) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms")
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    exchange.sweep("mo")
    text = f"<FLK_P><FNAME>V{NAME}</FNAME><FNAME_I>{NAME}</FNAME_I><PR><OSHIB>904</OSHIB>{record}</PR></FLK_P>"
    exchange.put("mo", "tfoms", f"V{NAME}.xml", text.encode())
    assert [one.outcome for one in exchange.sweep("mo")] == [outcome]


# ---- halves of a pair -----------------------------------------------------------------------------------


def halves() -> tuple[bytes, bytes]:
    main, persons = documents().values()
    return main, persons


def test_a_half_that_was_refused_with_the_other_may_be_corrected_alone(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    main, persons = halves()
    exchange.put("tfoms", "mo", f"{LNAME}.xml", persons.replace(b"<FAM>", b"<FAM", 1))
    exchange.put("tfoms", "mo", f"{NAME}.xml", main)
    assert ("refused", "XML_SYNTAX") in [one[1:] for one in said(exchange.sweep("tfoms"))]
    exchange.put("tfoms", "mo", f"{LNAME}.xml", persons)
    exchange.put("tfoms", "mo", f"{NAME}.xml", main)
    assert "answered" in [one[1] for one in said(exchange.sweep("tfoms"))]
    with exchange.at("tfoms") as site:
        assert not ledger.parked(site.ledger)


def test_a_half_that_waits_gives_way_to_a_later_one(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    main, persons = halves()
    for text in (persons.replace(b"<FAM>", b"<FAM", 1), persons):
        exchange.put("tfoms", "mo", f"{LNAME}.xml", text)
        assert said(exchange.sweep("tfoms")) == [(f"{LNAME}.xml", "parked", "PAIR")]
    exchange.put("tfoms", "mo", f"{NAME}.xml", main)
    assert "answered" in [one[1] for one in said(exchange.sweep("tfoms"))]
    assert exchange.totals("tfoms")["balanced"]


def test_a_half_that_comes_after_the_answer_waits_for_nothing(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(documents()))
    exchange.sweep("tfoms")
    exchange.put("tfoms", "mo", f"{LNAME}.xml", halves()[1])
    assert said(exchange.sweep("tfoms")) == [(f"{LNAME}.xml", "refused", "STAGE_CLOSED")]


def test_a_packed_half_that_waits_does_not_stand_in_the_way_of_the_whole_packet(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    old = halves()[1].replace(b"<IM>", b"<IM>X")
    exchange.put("tfoms", "mo", f"{LNAME}.zip", packed({f"{LNAME}.XML": old}))
    exchange.sweep("tfoms")
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(documents()))
    handled = [one for one in exchange.sweep("tfoms") if one.outcome != "parked"]
    assert [(one.outcome, one.refused.accounts) for one in handled] == [("answered", 0)]
    with exchange.at("tfoms") as site:
        assert not ledger.parked(site.ledger)


# ---- heads ----------------------------------------------------------------------------------------------


def test_another_name_in_the_head_is_told_and_does_not_refuse(tmp_path: Path) -> None:
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    made = {name: re.sub(rb"<FILENAME>(\w+)\d<", rb"<FILENAME>\g<1>9<", text) for name, text in documents().items()}
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(made))
    (handled,) = exchange.sweep("tfoms")
    assert (handled.outcome, handled.sent.accounts, handled.refused.accounts) == ("answered", SPEC.accounts, 0)


# ---- payers ---------------------------------------------------------------------------------------------


def test_one_account_of_a_payer_closed_since_does_not_hold_the_register_up(tmp_path: Path) -> None:
    """No file of this month may carry that payer's letter, so the fund answers for its earlier accounts."""
    spec = Spec(accounts=12, seed=4, period="2026-10", payers={"P": 3, "F": 2})
    exchange = Exchange(tmp_path, names=("mo", "tfoms"))
    shipped = exchange.profile.rules.read("yaroslavl/books/payers.csv").decode()
    row = next(line for line in shipped.splitlines() if line.startswith("P;"))
    own = tmp_path / "tfoms" / "rules" / "yaroslavl" / "books"
    own.mkdir(parents=True)
    (own / "payers.csv").write_text(shipped.replace(row, row.rstrip(";") + ";2026-09-30"), "utf-8")
    exchange.insure("tfoms", spec)
    name, text = exchange.generated(spec)
    exchange.put("tfoms", "mo", name, re.sub(rb"2026-10-([012]\d)", rb"2026-09-\1", text))
    clock.set_wall(None)
    (handled,) = exchange.sweep("tfoms")
    assert (handled.outcome, handled.sent.accounts) == ("answered", spec.accounts)
    answers = [path.name for path in exchange.outbox("tfoms", "mo") if path.name.endswith("F.xml")]
    assert len(answers) == 1 and exchange.totals("tfoms")["balanced"]


def test_who_pays_is_known_from_the_day_it_is_sent_where_the_name_says_it(tmp_path: Path) -> None:
    """Else an answer that leaves accounts out could not be told from a whole one."""
    profile = load_profile("krasnodar")
    data = profile.rules.toml("krasnodar/demo.toml")
    parties = {
        one["folder"]: {key: text for key, text in one.items() if key != "folder"} for one in data["participant"]
    }
    mo = next(name for name, one in parties.items() if one["role"] == "mo")
    spec = Spec(accounts=6, seed=7, period=data["period"], payers=data["payers"])
    parcel = next(iter(FIRST[data["maker"]](profile, spec, data).parcels))
    exchange = Exchange(tmp_path, tuple(parties), profile=profile, parties=parties)
    exchange.put(mo, "", parcel.name, packed({name: b"".join(blocks) for name, blocks in parcel.members}))
    assert [one.outcome for one in exchange.sweep(mo)] == ["answered"]
    payer = names.identify(parcel.name, profile).payer
    with exchange.at(mo) as site:
        assert {row["payer"] for row in ledger.accounts_in(site.ledger, "billed")} == {payer}


# ---- predecessors ---------------------------------------------------------------------------------------


def test_an_account_replaced_by_key_is_not_billed_again_and_comes_back_when_that_register_is_withdrawn(
    tmp_path: Path,
) -> None:
    book = ledger.open_ledger(tmp_path / "ledger.db")
    refused = {"xkey": "d", "state": "fund_refused", "stage": "1", "payer": "P", "withheld": 100, "kod": "1.1"}
    books.commit(book, tmp_path, "3", books.named("3X"), [{"xkey": "d", "state": "billed"}])
    books.commit(book, tmp_path, "1", books.named("1P"), [refused], sender="tfoms")
    new = [{"xkey": "n", "x_key2": "d", "state": "billed"}]
    for claim in ("again", "once more"):
        job = books.commit(book, tmp_path, claim, books.named("3X", number="2"), new, sender="self")
        (old,) = ledger.life(book, "d")
        assert old["successor"] is not None and old["desk"] == "resubmitted"
        with pytest.raises(WrongState, match="ACC_RESUBMITTED"):
            ledger.resubmit(book, old["id"], "primary", "me", books.REFUSED)
        assert ledger.reject(book, job, "tfoms", ["X"], "billed", "withdrawn", True) is not None
        (old,) = ledger.life(book, "d")
        assert (old["successor"], old["desk"]) == (None, "")
    assert ledger.verify(book, books.PROFILE.buckets)["problems"] == []
    book.close()


# ---- crashes ----------------------------------------------------------------------------------------------


def test_a_file_whose_name_was_taken_is_refused_after_a_crash_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt is written and the share is rid of the file, and then the power goes."""
    exchange = exchange_of(tmp_path, "mo", "tfoms", "smo-a", "smo-b")
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed(documents()))
    exchange.sweep("tfoms")
    main, persons = documents().items()
    exchange.put("tfoms", "mo", f"{NAME}.zip", packed({main[0]: main[1] + b"\n", persons[0]: persons[1]}))

    def power_off(*_args: object, **_named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(conductor, "refuse_job", power_off)
        with pytest.raises(KeyboardInterrupt):
            exchange.sweep("tfoms")
    assert said(exchange.sweep("tfoms")) == [(f"{NAME}.zip", "refused", "NAME_REUSED")]
