"""Edges of the exchange at which an account could be lost, doubled or forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from oms_batch import office, overview
from oms_batch.cli.main import program
from oms_batch.errors import Fault, WrongState
from oms_batch.ruledata import RuleData
from oms_batch.stages import telling
from oms_batch.store import ledger
from oms_batch.synth.cases import source_csv
from oms_batch.synth.world import Spec
from tests.participants import Exchange

SPEC = Spec(accounts=12, seed=4, period="2026-10", payers={"P": 3, "F": 2})


def judged_by_the_fund(tmp_path: Path, spec: Spec = SPEC) -> Exchange:
    exchange = Exchange(tmp_path)
    exchange.insure("tfoms", spec)
    exchange.put("mo", "", *exchange.generated(spec))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    return exchange


def test_a_payer_who_closes_within_the_month_still_gets_its_accounts(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, names=("mo", "tfoms"))
    own = tmp_path / "tfoms" / "rules" / "yaroslavl" / "books"
    own.mkdir(parents=True)
    shipped = RuleData().read("yaroslavl/books/payers.csv").decode()
    row = next(line for line in shipped.splitlines() if line.startswith("P;"))
    (own / "payers.csv").write_text(shipped.replace(row, row.rstrip(";") + ";2026-10-30"), "utf-8")
    exchange.insure("tfoms", SPEC)
    exchange.put("tfoms", "mo", *exchange.generated(SPEC))
    (handled,) = exchange.sweep("tfoms")
    assert handled.outcome == "answered"
    assert any(path.name.endswith("11P.xml") for path in exchange.outbox("tfoms", "mo"))


def test_the_fund_proves_its_own_letter_too(tmp_path: Path) -> None:
    exchange = judged_by_the_fund(tmp_path)
    exchange.carry()
    exchange.sweep("mo")
    exchange.reformulate()
    (forwarded,) = [path for path in exchange.outbox("mo", "tfoms") if path.name.endswith("1F.xml")]
    changed = forwarded.read_bytes().replace(b'n_card="', b'n_card="9', 1)
    exchange.put("tfoms", "mo", forwarded.name, changed)
    handled = exchange.sweep("tfoms")
    assert [(one.outcome, one.code) for one in handled] == [("refused", "SET_CHANGED")]


def test_a_register_is_awaited_while_accounts_of_it_have_no_answer(tmp_path: Path) -> None:
    exchange = judged_by_the_fund(tmp_path)
    (withheld,) = [path for path in exchange.outbox("tfoms", "mo") if path.name.endswith("1F.xml")]
    withheld.unlink()
    exchange.carry()
    exchange.sweep("mo")
    exchange.reformulate()
    with exchange.at("mo") as site:
        (row,) = overview.registers(site)
    assert ("1", "fund") in {(item["stage"], item["from"]) for item in row["waits_for"]}
    assert row["state"] != "closed"


def test_the_insurer_is_told_to_close_what_it_answered(tmp_path: Path) -> None:
    exchange = judged_by_the_fund(tmp_path)
    exchange.carry()
    exchange.sweep("mo")
    exchange.reformulate()
    exchange.carry()
    exchange.sweep("smo-p")
    with exchange.at("smo-p") as site:
        (before,) = overview.registers(site)
    exchange.finalise("smo-p")
    with exchange.at("smo-p") as site:
        (after,) = overview.registers(site)
    assert [(item["stage"], item["from"]) for item in before["waits_for"]] == [("2", "self")]
    assert (before["state"], after["state"]) == ("to_do", "closed")


def test_a_register_that_was_sent_is_not_built_again(tmp_path: Path) -> None:
    exchange = judged_by_the_fund(tmp_path)
    cases = tmp_path / "cases.csv"
    cases.write_bytes(b"".join(source_csv(exchange.profile, Spec(accounts=3, seed=9, period="2026-10"))))
    with exchange.at("mo") as site, pytest.raises(WrongState, match="NAME_REUSED"):
        office.build_register(site, "2026-10", [str(cases)])


def test_decisions_after_the_final_answer_are_refused(tmp_path: Path) -> None:
    exchange = judged_by_the_fund(tmp_path)
    exchange.carry()
    exchange.sweep("mo")
    exchange.reformulate()
    exchange.carry()
    exchange.sweep("smo-p")
    exchange.finalise("smo-p")
    with exchange.at("smo-p") as site:
        account = ledger.accounts_in(site.ledger, "accepted")[0]
    head = "xkey;kod;withheld;act_no;act_date;expert\n"
    file = tmp_path / "experts.csv"
    file.write_text(head + f"{account['xkey']};242;1.00;A-1;2026-11-20;E1\n", "utf-8")
    result = CliRunner().invoke(program, ["--home", str(tmp_path / "smo-p"), "experts", str(file)])
    assert result.exit_code == 3
    assert "STAGE_CLOSED" in result.output
    result = CliRunner().invoke(program, ["--home", str(tmp_path / "mo"), "experts", str(file)])
    assert result.exit_code == 3
    assert "ROLE_STAGE" in result.output


def test_an_unknown_rule_is_no_green_test() -> None:
    assert CliRunner().invoke(program, ["rules", "test", "K.99.9999"]).exit_code == 3


def test_a_month_is_written_in_one_way(tmp_path: Path) -> None:
    home = str(tmp_path / "none")
    for period in ("2026/12", "2026-13", "1"):
        assert CliRunner().invoke(program, ["--home", home, "status", "--period", period]).exit_code == 2


def test_a_file_that_our_own_fault_stopped_is_tried_again_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange(tmp_path, names=("mo", "tfoms"))
    exchange.insure("tfoms", SPEC)
    name, content = exchange.generated(SPEC)

    def broken(*_args: object, **_named: object) -> None:
        raise Fault("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(telling, "report", broken)
        exchange.put("tfoms", "mo", name, content)
        assert [one.outcome for one in exchange.sweep("tfoms")] == ["failed"]
    assert exchange.outbox("tfoms", "mo") == []
    exchange.put("tfoms", "mo", name, content)
    assert [one.outcome for one in exchange.sweep("tfoms")] == ["answered"]
    assert exchange.totals("tfoms")["accounts"]["sent"] == SPEC.accounts


def test_one_number_is_not_given_to_two_invoices(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    exchange.insure("tfoms", SPEC)
    exchange.put("mo", "", *exchange.generated(SPEC))
    exchange.month()
    with exchange.at("mo") as site:
        with pytest.raises(WrongState, match="INVOICE_NUMBER"):
            office.invoices(site, number="5")
        with pytest.raises(WrongState, match="INVOICE_NUMBER"):
            office.invoices(site, payer="P", number="1/26")
        assert ledger.invoice_rows(site.ledger) == []
        ((paper, _path),) = office.invoices(site, payer="P", number="5")
        assert paper.number == "5"


def test_a_register_is_not_built_over_one_that_waits(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    cases = tmp_path / "cases.csv"
    cases.write_bytes(b"".join(source_csv(exchange.profile, Spec(accounts=3, seed=9, period="2026-10"))))
    with exchange.at("mo") as site:
        office.build_register(site, "2026-10", [str(cases)])
        with pytest.raises(WrongState, match="NAME_WAITS"):
            office.build_register(site, "2026-10", [str(cases)])
