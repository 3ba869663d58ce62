"""The work queue of identification: a question is asked once, decided by somebody for a reason, and held to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oms_batch import clock, insurance
from oms_batch.cli.main import program
from oms_batch.doors import identify as door
from oms_batch.doors import nightly
from oms_batch.errors import WrongState
from oms_batch.store import audit, ledger, queue
from oms_batch.synth.insured import insured_csv
from oms_batch.synth.world import Spec
from tests.bad_inputs import log_of, spec
from tests.participants import Exchange

MONDAY = "2018-10-01T10:00:00+03:00"
Rows = list[dict[str, str]]


@pytest.fixture(autouse=True)
def october() -> Iterator[None]:
    at(MONDAY)
    yield
    clock.set_wall(None)


def at(moment: str) -> None:
    when = datetime.fromisoformat(moment)
    clock.set_wall(lambda: when)


def changed(exchange: Exchange, chosen: Spec, **values: str) -> Rows:
    """The insured that fit a register, the first of them known otherwise; they are brought in everywhere."""
    text = b"".join(insured_csv(exchange.profile, chosen)).decode()
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";"))
    rows[0] |= values
    out = io.StringIO()
    table = csv.DictWriter(out, rows[0].keys(), delimiter=";", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    for name in [one for one in exchange.names if one != "mo"]:
        path = exchange.root / f"insured-{name}.csv"
        path.write_text(out.getvalue())
        with exchange.at(name) as site:
            insurance.bring_in(site, str(path))
    return rows


OTHER_POLICY = {"ENP": "7656910834000012", "NPOLIS": "7656910834000012", "OT": "Инаяотчеством"}


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    """A fund and an organisation; whom the organisation treats, the fund knows by another patronymic and policy."""
    made = Exchange(tmp_path)
    changed(made, spec(1, 1), **OTHER_POLICY)
    return made


def send(exchange: Exchange, number: int) -> Any:
    """The organisation's register goes to the fund: what the fund made of it."""
    chosen = Spec(accounts=1, seed=1, period="2018-09", payers={"P": 1}, number=str(number))
    name, content = exchange.generated(chosen)
    exchange.put("tfoms", "mo", name, content)
    return exchange.sweep("tfoms")[0]


def run(exchange: Exchange, who: str, *words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(program, ["--home", str(exchange.root / who), "--json", *words])
    return done.exit_code, json.loads(done.stdout) if done.stdout.startswith(("[", "{")) else done.output


def decide(exchange: Exchange, number: int, how: str, **more: str) -> tuple[int, Any]:
    said = {"author": "Петрова", "reason": "паспорт, письмо 12", **more}
    words = [word for name, value in said.items() for word in (f"--{name}", value)]
    return run(exchange, "tfoms", "identify", "queue", "decide", str(number), how, *words)


# ---- the way of a question -------------------------------------------------------------------------


def test_a_clinic_asks_the_decision_comes_within_the_day_and_the_next_register_passes(exchange: Exchange) -> None:
    handled = send(exchange, 1)
    assert (handled.status, handled.refused.accounts) == ("refused", 1)
    code, rows = run(exchange, "tfoms", "identify", "queue", "list")
    assert (code, len(rows)) == (0, 1)
    question = rows[0]
    assert (question["state"], question["due"], question["agree_by"]) == ("open", "2018-10-02", "2018-10-05")
    assert (question["step"], question["differs"].split()[0]) == ("snils", "OT")
    name, content = exchange.generated(spec(1, 1))
    (exchange.root / name).write_bytes(content)
    assert run(exchange, "tfoms", "check", str(exchange.root / name))[1]["refused_accounts"] == 1
    assert decide(exchange, question["id"], "--accept")[0] == 0
    assert run(exchange, "tfoms", "check", str(exchange.root / name))[1]["refused_accounts"] == 0
    handled = send(exchange, 2)
    assert (handled.status, handled.refused.accounts) == ("accepted", 0)
    code, rows = run(exchange, "tfoms", "identify", "queue", "list", "--all")
    assert [(row["state"], row["verdict"]) for row in rows] == [("decided", "accepted")]


def test_a_rejected_pair_is_refused_for_good_and_never_asked_again(exchange: Exchange) -> None:
    send(exchange, 1)
    assert decide(exchange, 1, "--reject")[0] == 0
    assert send(exchange, 2).status == "refused"
    assert [row["id"] for row in run(exchange, "tfoms", "identify", "queue", "list", "--all")[1]] == [1]


def test_the_night_reminds_and_tells_what_is_late(exchange: Exchange) -> None:
    send(exchange, 1)
    with exchange.at("tfoms") as site:
        assert nightly.run(site).doubts == [{"question": 1, "what": "answer", "until": "2018-10-02", "late": False}]
    at("2018-10-03T02:00:00+03:00")
    code, told = run(exchange, "tfoms", "nightly")
    assert (code, told["doubts"][0]["late"]) == (1, True)
    done = CliRunner().invoke(program, ["--home", str(exchange.root / "tfoms"), "nightly"])
    assert "ПРОСРОЧЕНО: решить вопрос 1, срок 2018-10-02" in done.output
    assert decide(exchange, 1, "--accept")[0] == 0
    with exchange.at("tfoms") as site:
        assert nightly.run(site).doubts == [{"question": 1, "what": "agree", "until": "2018-10-05", "late": False}]
    at("2018-10-06T02:00:00+03:00")
    with exchange.at("tfoms") as site:
        assert [one["late"] for one in door.reminders(site)] == [True]


def test_an_appeal_is_heard_in_two_weeks_and_the_decision_holds_till_then(exchange: Exchange) -> None:
    send(exchange, 1)
    decide(exchange, 1, "--reject")
    words = ("identify", "queue", "appeal", "1", "--author", "МО", "--reason", "свидетельство о браке")
    code, row = run(exchange, "tfoms", *words)
    assert (code, row["state"], row["verdict"], row["due"]) == (0, "appealed", "rejected", "2018-10-15")
    assert send(exchange, 2).status == "refused"
    at("2018-10-16T02:00:00+03:00")
    with exchange.at("tfoms") as site:
        assert {"question": 1, "what": "appeal", "until": "2018-10-15", "late": True} in door.reminders(site)
    assert decide(exchange, 1, "--accept", author="Совет", reason="протокол 3")[0] == 0
    assert send(exchange, 3).status == "accepted"
    code, row = run(exchange, "tfoms", "identify", "queue", "show", "1")
    assert [one["action"] for one in row["moves"]] == ["asked", "rejected", "appealed", "accepted"]
    assert [one["author"] for one in row["moves"]][1:] == ["Петрова", "МО", "Совет"]
    assert run(exchange, "tfoms", *words)[0] == 3  # one appeal only


def test_a_term_of_one_working_day_skips_days_off(exchange: Exchange) -> None:
    at("2018-11-02T18:00:00+03:00")  # Friday before a holiday
    send(exchange, 1)
    assert run(exchange, "tfoms", "identify", "queue", "list")[1][0]["due"] == "2018-11-06"


def test_what_was_agreed_goes_to_the_payer_and_counts_there(exchange: Exchange, tmp_path: Path) -> None:
    send(exchange, 1)
    decide(exchange, 1, "--accept")
    table = str(tmp_path / "agreed.csv")
    assert run(exchange, "tfoms", "identify", "queue", "agree", table) == (0, {"table": table, "decisions": 1})
    assert run(exchange, "tfoms", "identify", "queue", "agree", str(tmp_path / "again.csv"))[1]["decisions"] == 0
    with exchange.at("tfoms") as site:
        assert door.reminders(site) == []
    assert run(exchange, "smo-p", "identify", "queue", "take", table) == (0, {"new": 1, "known": 0})
    assert run(exchange, "smo-p", "identify", "queue", "take", table) == (0, {"new": 0, "known": 1})
    code, row = run(exchange, "smo-p", "identify", "queue", "show", "1")
    assert (row["verdict"], row["moves"][-1]["author"], row["moves"][-1]["reason"]) == (
        "accepted", "Петрова", "паспорт, письмо 12",
    )  # fmt: skip
    register = tmp_path / exchange.generated(spec(1, 1))[0]
    register.write_bytes(exchange.generated(spec(1, 1))[1])
    code, seen = run(exchange, "smo-p", "identify", str(register))
    assert (code, seen[0]["rows"][0]["step"], seen[0]["rows"][0]["payer"]) == (0, "decided", "P")


def test_an_agreement_that_contradicts_us_is_not_taken(exchange: Exchange, tmp_path: Path) -> None:
    send(exchange, 1)
    decide(exchange, 1, "--accept")
    table = tmp_path / "agreed.csv"
    run(exchange, "tfoms", "identify", "queue", "agree", str(table))
    table.write_text(table.read_text().replace(";accepted;", ";rejected;"))
    assert run(exchange, "tfoms", "identify", "queue", "take", str(table))[0] == 3
    table.write_text("a;b\n1;2\n")
    assert run(exchange, "tfoms", "identify", "queue", "take", str(table))[0] == 3


def test_a_decision_turned_on_appeal_goes_to_the_payer_again(exchange: Exchange, tmp_path: Path) -> None:
    send(exchange, 1)
    decide(exchange, 1, "--reject")
    agree = ("identify", "queue", "agree")
    assert run(exchange, "tfoms", *agree, str(tmp_path / "first.csv"))[1]["decisions"] == 1
    run(exchange, "tfoms", "identify", "queue", "appeal", "1", "--author", "МО", "--reason", "свидетельство о браке")
    decide(exchange, 1, "--accept")
    second = tmp_path / "second.csv"
    assert run(exchange, "tfoms", *agree, str(second))[1]["decisions"] == 1
    assert ";accepted;" in second.read_text("utf-8")


@pytest.mark.parametrize("spoilt", ["reason", "twice", "short", "encoding"])
def test_of_an_agreement_with_a_wrong_row_nothing_is_taken(exchange: Exchange, tmp_path: Path, spoilt: str) -> None:
    table = tmp_path / "agreed.csv"
    good = ["accepted", "Петрова", "паспорт", "2018-10-02", "r", "x", "2018-09", "P"]
    rows = [["a" * 64, *good], ["b" * 64, *good]]
    rows[1][3] = "" if spoilt == "reason" else rows[1][3]
    rows[1][0] = "a" * 64 if spoilt == "twice" else rows[1][0]
    rows[1] = rows[1][:1] if spoilt == "short" else rows[1]
    text = "\n".join(";".join(row) for row in (list(door.AGREEMENT), *rows)) + "\n"
    table.write_bytes(text.encode("windows-1251" if spoilt == "encoding" else "utf-8"))
    assert run(exchange, "smo-p", "identify", "queue", "take", str(table))[0] == 3
    assert run(exchange, "smo-p", "identify", "queue", "list", "--all")[1] == []


# ---- looking without judging -----------------------------------------------------------------------


def test_identify_tells_and_changes_nothing_until_asked(exchange: Exchange, tmp_path: Path) -> None:
    name, content = exchange.generated(spec(1, 1))
    (tmp_path / name).write_bytes(content)
    keep = tmp_path / "told.csv"
    code, seen = run(exchange, "tfoms", "identify", str(tmp_path / name), "--csv", str(keep))
    assert (code, seen[0]["doubts"], seen[0]["found"], seen[0]["asked"]) == (1, 1, 0, [])
    assert "npolis" not in seen[0]["rows"][0]
    assert keep.read_text().splitlines()[0].startswith("account;found;step;differs;vector;payer")
    assert run(exchange, "tfoms", "identify", "queue", "list")[1] == []
    code, seen = run(exchange, "tfoms", "identify", "--ask", str(tmp_path / name))
    assert seen[0]["asked"] == [1]
    assert run(exchange, "tfoms", "identify", str(tmp_path / name), "--ask")[1][0]["asked"] == [1]
    assert [row["id"] for row in run(exchange, "tfoms", "identify", "queue", "list", "--all")[1]] == [1]
    done = CliRunner().invoke(program, ["--home", str(exchange.root / "tfoms"), "identify", str(tmp_path / name)])
    assert "частично" in done.output and done.exit_code == 1


def test_the_two_sides_lie_in_a_file_of_their_own_and_nowhere_else(exchange: Exchange) -> None:
    with log_of() as log:
        send(exchange, 1)
        decide(exchange, 1, "--accept")
        told = run(exchange, "tfoms", "identify", "queue", "show", "1")[1]
    home = exchange.root / "tfoms"
    case = json.loads((home / "cases" / "000001.json").read_text())
    assert case["insured"]["ot"] == OTHER_POLICY["OT"] and case["asked"]["fam"]
    assert told["case"].endswith("cases/000001.json")
    with exchange.at("tfoms") as site:
        kept = json.dumps([queue.get(site.ledger, 1), audit.rows(site.ledger)], ensure_ascii=False)
        assert audit.verify(site.ledger) == []
    for value in (case["insured"]["ot"], case["asked"]["fam"], case["asked"]["npolis"], case["insured"]["npolis"]):
        for text in (kept, log.getvalue(), json.dumps(told, ensure_ascii=False)):
            assert value not in text


# ---- records ---------------------------------------------------------------------------------------


def asked(pair: str, **more: str) -> dict[str, str]:
    return {"pair": pair, "register": "r", "xkey": "x", "due": "2018-10-02", "agree_by": "2018-10-05", **more}


def test_a_decision_needs_an_author_a_reason_and_an_open_question(tmp_path: Path) -> None:
    book = ledger.open_ledger(tmp_path / "ledger.db")
    assert queue.ask(book, [asked("a"), asked("a"), asked("b")]) == [
        queue.Asked(1, True), queue.Asked(1, False), queue.Asked(2, True),
    ]  # fmt: skip
    for number, author, reason, code in (
        (1, "", "why", "DOUBT_REASON"),
        (1, "who", " ", "DOUBT_REASON"),
        (9, "who", "why", "DOUBT_UNKNOWN"),
    ):
        with pytest.raises(WrongState) as caught:
            queue.decide(book, number, queue.ACCEPTED, author, reason)
        assert caught.value.code == code
    with pytest.raises(WrongState):
        queue.appeal(book, 1, "who", "why", "2018-10-15")  # nothing is decided yet
    queue.decide(book, 1, queue.ACCEPTED, "who", "why")
    with pytest.raises(WrongState) as caught:
        queue.decide(book, 1, queue.REJECTED, "who", "why")
    assert caught.value.code == "DOUBT_STATE"
    assert [(row["action"], row["object"]) for row in audit.rows(book)] == [
        ("doubts_asked", "doubt:1-2"), ("doubt_accepted", "doubt:1"),
    ]  # fmt: skip
    book.close()


def test_a_reason_changed_afterwards_does_not_fit_the_audit(tmp_path: Path) -> None:
    import hashlib

    book = ledger.open_ledger(tmp_path / "ledger.db")
    queue.ask(book, [asked("a")])
    queue.decide(book, 1, queue.ACCEPTED, "who", "why")
    row = next(one for one in audit.rows(book) if one["action"] == "doubt_accepted")
    assert row["data"]["reason"] == hashlib.sha256(b"why").hexdigest()
    book.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ask", "yes", "no", "appeal"])), max_size=25))
def test_a_pair_is_asked_once_whatever_happens(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    path = tmp_path / f"{abs(hash(tuple(steps)))}.db"
    book = ledger.open_ledger(path)
    known: dict[str, int] = {}
    verdicts: dict[str, str] = {}
    try:
        for pair, what in steps:
            if what == "ask":
                made = queue.ask(book, [asked(pair)])[0]
                assert made.new == (pair not in known)
                assert known.setdefault(pair, made.id) == made.id
                continue
            if pair not in known:
                continue
            try:
                if what == "appeal":
                    queue.appeal(book, known[pair], "who", "why", "2018-10-15")
                else:
                    verdict = queue.ACCEPTED if what == "yes" else queue.REJECTED
                    queue.decide(book, known[pair], verdict, "who", "why")
                    verdicts[pair] = verdict
            except WrongState:
                pass  # what was decided or appealed stays so
        rows = queue.listed(book)
        assert {row["pair"]: row["id"] for row in rows} == known
        assert {row["pair"]: row["verdict"] for row in rows if row["verdict"]} == verdicts
        assert audit.verify(book) == []
    finally:
        book.close()
        path.unlink(missing_ok=True)
