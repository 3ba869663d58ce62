"""Decisions of experts that give the code only, from the insurer's table to what the organisation hears of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from oms_batch import clock
from oms_batch.cli.main import program
from oms_batch.store import ledger
from tests.federal_answers import accepted_by, needs_schemas, parsed
from tests.federal_documents import kopecks
from tests.participants import Exchange
from tests.test_federal_exchange import NAME, WHEN, documents, exchange_of, inside, packed


@dataclass(frozen=True)
class Closed:
    """The homes after the last stage, keys of the insurer's accounts, members of its final answer."""

    exchange: Exchange
    keys: list[str]
    answer: dict[str, bytes]


KODS = ("256", "254", "242", "239", "255")  # in part with a fine, whole, whole by MEE, a fine only, in part


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    """A month that one insurer closes with a decision of every sort: the homes, its accounts, its final answer."""
    clock.set_wall(lambda: WHEN)
    root = tmp_path_factory.mktemp("closed")
    exchange = exchange_of(root)
    exchange.put("mo", "", f"{NAME}.zip", packed(documents()))
    for name in ("mo", "tfoms", "mo", "smo-a", "mo"):
        exchange.sweep(name)
        exchange.carry()
    norms = root / "smo-a/rules/federal/books/norms.csv"
    norms.parent.mkdir(parents=True)
    norms.write_text(
        "# origin: test\ncode;value;valid_from;valid_to\nper_person;13000.55;2022-01-01;2022-12-31\n", "utf-8"
    )
    with exchange.at("smo-a") as site:
        keys = [row["xkey"] for row in ledger.accounts_in(site.ledger, "accepted") if row["sumv"]]
    assert len(keys) >= len(KODS)
    table = io.StringIO()
    write = csv.writer(table, delimiter=";", lineterminator="\n")
    write.writerow(["xkey", "kod", "withheld", "act_no", "act_date", "expert", "kind"])
    for number, (key, kod) in enumerate(zip(keys, KODS, strict=False)):
        write.writerow([key, kod, "", f"{number}/А", "2022-04-20", "7600123" if kod != "242" else "", ""])
    write.writerow([keys[0], "255", "", "9/А", "2022-04-20", "7600123", "72"])  # of the same control, and smaller
    file = root / "experts.csv"
    file.write_text(table.getvalue(), "utf-8")
    done = CliRunner().invoke(program, ["--home", str(root / "smo-a"), "--json", "experts", str(file)])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["new"], told["known"], told["fines"]) == (6, 0, 3)
    assert told["fines_sum"] == "55902.37"  # 0.3, 3 and 1 of the norm: 3900.17, 39001.65, 13000.55
    exchange.finalise("smo-a")
    (path,) = [one for one in exchange.outbox("smo-a", "mo") if one.suffix == ".zip"]
    yield Closed(exchange, keys, {name: text.encode("cp1251") for name, text in inside(path).items()})
    clock.set_wall(None)


def test_a_code_alone_is_carried_out_and_understood(closed: Closed) -> None:
    exchange, keys = closed.exchange, closed.keys
    main = next(text for name, text in closed.answer.items() if not name.startswith("L"))
    tree = parsed(main)
    told = {}
    for account in tree.iter("Z_SL"):
        sumv, sump, gone = (kopecks(account.findtext(name)) or 0 for name in ("SUMV", "SUMP", "SANK_IT"))
        assert sump == sumv - gone
        told[account.findtext("IDCASE")] = (account, sumv, gone)
    bill = tree.find("SCHET")
    taken = sum(kopecks(bill.findtext(name)) or 0 for name in ("SANK_MEK", "SANK_MEE", "SANK_EKMP"))
    assert taken == sum(gone for _account, _sumv, gone in told.values()) > 0
    with exchange.at("smo-a") as site:
        known = {key: ledger.life(site.ledger, key)[-1] for key in keys}
    shares = {"256": 4, "254": 10, "242": 10, "239": 0, "255": 1}
    for key, kod in zip(keys, KODS, strict=False):
        account, sumv, gone = told[known[key]["idcase"]]
        assert gone == (sumv * shares[kod] + 5) // 10
        blocks = account.findall("SANK")
        assert blocks[0].findtext("S_OSN") == kod and kopecks(blocks[0].findtext("S_SUM")) == gone
        assert blocks[0].findtext("S_TIP") == {"2": "70", "3": "50"}[{"256": "2", "254": "2", "255": "2"}.get(kod, "3")]
        assert known[key]["state"] == ("final_refused" if gone == sumv else "accepted")
    first = told[known[keys[0]]["idcase"]][0].findall("SANK")
    assert [(one.findtext("S_OSN"), one.findtext("S_TIP")) for one in first] == [("256", "70"), ("255", "72")]
    assert first[1].findtext("S_SUM") == "0.00"

    exchange.carry()
    assert {handled.outcome for handled in exchange.sweep("mo")} <= {"answered", "companion"}
    with exchange.at("mo") as site:
        for key, kod in zip(keys, KODS, strict=False):
            mine = ledger.life(site.ledger, key)[-1]
            assert (mine["state"], mine["withheld"]) == (known[key]["state"], known[key]["withheld"])
            if mine["withheld"]:
                assert mine["moves"][-1]["kod"] == kod
    assert exchange.totals("mo")["balanced"] and exchange.totals("smo-a")["balanced"]


@needs_schemas
def test_the_final_answer_is_accepted_by_the_schema(closed: Closed) -> None:
    for name, text in closed.answer.items():
        assert accepted_by("to_mo/L32" if name.startswith("L") else "to_mo/H32", text) == "", name
