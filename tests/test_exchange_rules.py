"""Rules inside the exchange: a rule that breaks lets no answer out, a changed rule is told by another fingerprint, the
same input gives the same bytes anywhere, and what is planted in a register is what its receiver refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from oms_batch import clock, insurance, requests
from oms_batch.doors import precheck
from oms_batch.errors import WrongState
from oms_batch.exchange import load_profile
from oms_batch.model import Totals
from oms_batch.ruledata import RuleData
from oms_batch.store import ledger
from oms_batch.store.schema import accounts
from oms_batch.synth.defects import catalogue
from oms_batch.synth.insured import insured_csv, stop_csv
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build
from oms_batch.work import Handled
from tests.participants import Exchange
from tests.source import ROOT

PROFILE = load_profile("yaroslavl")
SMALL = Spec(accounts=4, seed=3, period="2018-09", encoding="utf-8", payers={"P": 1})
AT_INSURER = replace(SMALL, payer="P", payers={})


@pytest.fixture(autouse=True)
def _october() -> None:
    at("2018-10-02T09:30:00+03:00")


def at(moment: str) -> None:
    when = clock.parse(moment)
    clock.set_wall(lambda: when)


def arrive(exchange: Exchange, name: str, spec: Spec, content: bytes | None = None) -> None:
    """A register of the MO comes to the fund (``13X``) or to the insurer (``11P``)."""
    stage, payer = ("3", "X") if name == "tfoms" else ("1", "P")
    file = build(PROFILE, spec).file_name(stage, payer, ".xml")
    exchange.put(name, "mo", file, content if content is not None else b"".join(register(PROFILE, spec)))


def overlay(exchange: Exchange, name: str, file: str, text: str) -> Path:
    path = exchange.root / name / "rules" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def shipped(file: str) -> str:
    return RuleData().read(file).decode()


def spoiled(file: str, sql: str) -> str:
    """The shipped rule with another condition."""
    text = shipped(file)
    found = re.subn(r"(?s)^fails_when = ('''.*?'''|\".*?\")$", f"fails_when = '''{sql}'''", text, count=1, flags=re.M)
    assert found[1] == 1, file
    return found[0]


def only(handled: list[Handled]) -> Handled:
    (one,) = [one for one in handled if one.outcome != "companion"]
    return one


# ---- a rule that does not run ----------------------------------------------------------------------

FORM = "common/form/F_00_0630_care_ends_before_start.toml"
TARIFF = "yaroslavl/sense/K_76_0230_tariff_times_quantity.toml"
OURS = "yaroslavl/insurer/I_76_0010_flagged_by_fund.toml"
FINAL = "yaroslavl/final/E_76_0010_already_finally_refused.toml"
TARIFFS = "yaroslavl/books/tariffs.csv"
UNBOUND = "yaroslavl/fund/K_76_1010_person_not_found.toml"  # not mandatory: skipped where nobody is known
BROKEN = {
    "fails at run time": ("tfoms", FORM, spoiled(FORM, "CAST(z_sl.xkey AS INTEGER) = 1")),
    "cannot decide": ("tfoms", FORM, spoiled(FORM, "z_sl.date_z_1 > CAST(NULL AS DATE)")),
    "sense rule fails": ("tfoms", TARIFF, spoiled(TARIFF, "CAST(usl.code_usl AS INTEGER) = 1")),
    "column unknown": ("tfoms", TARIFF, spoiled(TARIFF, "usl.no_such_column = 1")),
    "rule not mandatory": ("tfoms", UNBOUND, spoiled(UNBOUND, "CAST(z_sl.xkey AS INTEGER) = 1")),
    "not TOML": ("tfoms", FORM, 'code = "F.00.0630\n'),
    "no example": ("tfoms", FORM, shipped(FORM).partition("[[pass]]")[0]),
    "empty book": ("tfoms", TARIFFS, "code;name;usl_ok;vg;price;valid_from;valid_to\n"),
    "insurer's rule fails": ("smo-p", OURS, spoiled(OURS, "CAST(z_sl.xkey AS INTEGER) = 1")),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_no_answer_leaves_while_a_rule_is_broken(case: str, tmp_path: Path) -> None:
    name, file, text = BROKEN[case]
    exchange = Exchange(tmp_path, ("mo", name))
    exchange.insure(name, SMALL)
    broken = overlay(exchange, name, file, text)
    arrive(exchange, name, SMALL if name == "tfoms" else AT_INSURER)
    one = only(exchange.sweep(name))
    assert (one.outcome, one.code) == ("parked", "RULES"), one
    assert exchange.outbox(name, "mo") == []
    assert known(exchange, name) == 0
    assert [one.outcome for one in exchange.sweep(name)] in ([], ["parked"])
    assert exchange.outbox(name, "mo") == []
    broken.unlink()
    done = only(exchange.sweep(name))
    assert done.outcome == "answered"
    assert done.sent.accounts == 4
    assert {path.suffix for path in exchange.outbox(name, "mo")} == {".xml", ".xlsx", ".html", ".json"}
    assert exchange.totals(name)["balanced"]


def known(exchange: Exchange, name: str) -> int:
    with exchange.at(name) as site, site.ledger.read() as con:
        return int(con.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one())


def test_no_final_answer_leaves_while_a_final_rule_is_broken(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, ("mo", "smo-p"))
    exchange.insure("smo-p", SMALL)
    arrive(exchange, "smo-p", AT_INSURER)
    assert only(exchange.sweep("smo-p")).outcome == "answered"
    before = len(exchange.outbox("smo-p", "mo"))
    text = re.sub(
        r"(?s)(fails_when|select) = '''.*?'''", "fails_when = '''CAST(z_sl.xkey AS INTEGER) = 1'''", shipped(FINAL)
    )
    broken = overlay(exchange, "smo-p", FINAL, text)
    one = only(exchange.finalise("smo-p"))
    assert (one.outcome, one.code) == ("parked", "RULES")
    assert len(exchange.outbox("smo-p", "mo")) == before
    broken.unlink()
    done = [*exchange.sweep("smo-p"), *exchange.finalise("smo-p")]
    assert only(done).outcome == "answered"
    assert len(exchange.outbox("smo-p", "mo")) > before


def test_a_rule_changed_between_two_sweeps_is_told_by_another_fingerprint(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, ("mo", "tfoms"))
    exchange.insure("tfoms", SMALL)
    told = []
    for number, text in (("1", ""), ("2", ""), ("3", "'''COALESCE(z_sl.date_z_1 >= z_sl.date_z_2, FALSE)'''")):
        if text:
            overlay(exchange, "tfoms", FORM, re.sub(r"'''COALESCE\(z_sl.*?'''", text, shipped(FORM), count=1))
        arrive(exchange, "tfoms", replace(SMALL, number=number))
        one = only(exchange.sweep("tfoms"))
        with exchange.at("tfoms") as site:
            told.append(str(ledger.get(site.ledger, one.job)["rulebook"]))
        (receipt,) = [
            path for path in exchange.outbox("tfoms", "mo") if path.name[26:27] == number and path.suffix == ".json"
        ]
        assert json.loads(receipt.read_bytes())["rulebook"] == told[-1]
    assert told[0] == told[1]
    assert told[1] != told[2]
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in told)


def test_one_partner_who_is_not_known_does_not_hold_the_files_of_the_others(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    exchange.insure("tfoms", SMALL)
    zero = replace(SMALL, accounts=0)
    exchange.put("mo", "", build(PROFILE, zero).file_name("3", "X", ".xml"), b"".join(register(PROFILE, zero)))
    exchange.sweep("mo")
    exchange.carry()
    exchange.sweep("tfoms")
    exchange.carry()
    assert sum(one.outcome == "answered" for one in exchange.sweep("mo")) == 2
    with pytest.raises(WrongState) as told:
        exchange.reformulate()
    assert (told.value.code, told.value.detail) == ("PARTNER_UNKNOWN", "1R")
    exchange.sweep("mo")
    assert [path.name[26:] for path in exchange.outbox("mo", "smo-p")] == ["11P.xml"]


# ---- the same bytes anywhere -------------------------------------------------------------------------

SCRIPT = """
import hashlib, sys
from pathlib import Path
from oms_batch import clock
from tests.participants import Exchange
from tests.test_exchange_rules import SMALL, at
at("2018-10-02T09:30:00+03:00")
exchange = Exchange(Path(sys.argv[1]))
for name in ("tfoms", "smo-p"):
    exchange.insure(name, SMALL)
exchange.put("mo", "", *exchange.generated(SMALL, ".zip")[:1], Path(sys.argv[2]).read_bytes())
for step in ("mo", "tfoms", "mo", "", "smo-p"):
    exchange.sweep(step) if step else exchange.reformulate()
    for sender in exchange.names:
        for receiver in exchange.names:
            for path in exchange.outbox(sender, receiver):
                print(sender, path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    exchange.carry()
print("own", *sorted(path.name for path in (exchange.root / "mo" / "outbox").glob("*.json")))
"""


def test_the_same_input_gives_the_same_bytes_in_any_home_and_any_surroundings(tmp_path: Path) -> None:
    surroundings = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "77", "TZ": "Asia/Vladivostok", "LANG": "ru_RU.UTF-8", "LC_ALL": "ru_RU.UTF-8"},
    ]
    file = tmp_path / "register.zip"
    _pack(file)
    runs = []
    for number, around in enumerate(surroundings):
        home = tmp_path / ("x" * (number * 7 + 1))
        home.mkdir()
        command = [sys.executable, "-c", SCRIPT, str(home), str(file)]
        env = {**os.environ, **around, "PYTHONPATH": str(ROOT)}
        runs.append(subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    told = []
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err.decode()[-2000:]
        told.append(out.decode().splitlines())
    assert told[0] == told[1]
    assert len(told[0]) == 12


def _pack(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bill.xml", b"".join(register(PROFILE, SMALL)))


# ---- what is planted is what is refused ------------------------------------------------------------

FLAGGED = "flagged_by_the_fund"
PLANTED = {
    "tfoms": ("fund", Spec(accounts=2000, seed=11)),
    "smo-p": ("insurer", Spec(accounts=2000, seed=11, payer="P")),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_what_is_planted_is_found_by_the_check_and_refused_by_the_receiver(name: str, tmp_path: Path) -> None:
    side, spec = PLANTED[name]
    earlier = replace(spec, period="2026-09")
    # one defect is not for an account alone: a file with an account that the fund flagged is refused whole
    names = tuple(one.name for one in catalogue(PROFILE) if one.name != FLAGGED)
    planted = plant(PROFILE, spec, Plan(side=side, earlier=earlier, names=names))
    promise, content = planted.expected, b"".join(planted.blocks)
    exchange = Exchange(tmp_path, ("mo", name))
    know(exchange, name, spec, promise["insured"])
    at("2026-10-02T09:30:00+03:00")
    arrive(exchange, name, earlier)
    assert only(exchange.sweep(name)).outcome == "answered"
    remember(exchange, name, promise["earlier"])
    at("2026-11-03T09:30:00+03:00")
    arrive(exchange, name, spec, content)
    (file,) = [path for path in exchange.inbox(name, "mo").iterdir() if path.is_file()]
    with exchange.at(name) as site:
        checked = precheck.check(site, str(file))
    assert found(checked) == wanted(promise)
    assert checked["refused_accounts"] == promise["refused"]["accounts"]
    done = only(exchange.sweep(name))
    assert done.outcome == "answered"
    assert done.sent == Totals(promise["register"]["accounts"], int(promise["register"]["kopecks"]))
    assert done.refused == Totals(promise["refused"]["accounts"], int(promise["refused"]["kopecks"]))
    assert refused(exchange, name) == Counter(
        key for key, rows in promise["accounts"].items() if any(row["severity"] == "reject" for row in rows)
    )
    assert exchange.totals(name)["balanced"]


def test_a_file_with_an_account_that_the_fund_flagged_is_refused_whole(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, ("mo", "smo-p"))
    exchange.insure("smo-p", AT_INSURER)
    planted = plant(PROFILE, AT_INSURER, Plan(side="insurer", names=(FLAGGED,)))
    arrive(exchange, "smo-p", AT_INSURER, b"".join(planted.blocks))
    one = only(exchange.sweep("smo-p"))
    assert (one.outcome, one.code) == ("refused", "SET_NOT_SUBSET")
    assert {path.name[29:] for path in exchange.outbox("smo-p", "mo")} == {".protocol.xml", ".protocol.html"}
    assert known(exchange, "smo-p") == 0


def know(exchange: Exchange, name: str, spec: Spec, changes: Any) -> None:
    path = exchange.root / "insured.csv"
    path.write_bytes(b"".join(insured_csv(PROFILE, spec, changes)))
    with exchange.at(name) as site:
        insurance.bring_in(site, str(path))
        if cancelled := stop_csv(changes):
            (exchange.root / "stop.csv").write_bytes(cancelled)
            insurance.bring_in(site, str(exchange.root / "stop.csv"), source="stop")


def remember(exchange: Exchange, name: str, states: dict[str, str]) -> None:
    """What became of the accounts of the month before: accepted, but for these."""
    (file,) = (exchange.root / name / "archive" / "facts").glob("*/*.parquet")
    with duckdb.connect() as con:
        con.execute("CREATE TABLE facts AS SELECT * FROM read_parquet(?)", [str(file)])
        con.execute("UPDATE facts SET state = 'accepted'")
        con.executemany("UPDATE facts SET state = ? WHERE xkey = ?", [[state, key] for key, state in states.items()])
        con.execute(f"COPY facts TO '{file}' (FORMAT parquet)")


def found(checked: dict[str, Any]) -> dict[str, Counter[tuple[str, str]]]:
    rows: dict[str, Counter[tuple[str, str]]] = {}
    for one in checked["findings"]:
        rows.setdefault(one["account"], Counter())[one["code"], one["severity"]] += 1
    return rows


def wanted(promise: dict[str, Any]) -> dict[str, Counter[tuple[str, str]]]:
    return {
        key: Counter({(row["rule"], row["severity"]): row["count"] for row in rows})
        for key, rows in promise["accounts"].items()
    }


def refused(exchange: Exchange, name: str) -> Counter[str]:
    with exchange.at(name) as site:
        states = [state for state, bucket in site.profile.buckets.items() if bucket.startswith("refused")]
        return Counter(row["xkey"] for row in ledger.refused(site.ledger, states, period="2026-10"))


def test_a_register_of_our_own_that_cannot_be_sent_is_told_to_our_operator_alone(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, ("mo", "tfoms"))
    name, content = exchange.generated(SMALL)
    exchange.put("mo", "", name, content.replace(b' month="9"', b' month="8"', 1))
    one = only(exchange.sweep("mo"))
    assert (one.outcome, one.code) == ("refused", "HDR_PERIOD")
    assert exchange.outbox("mo", "tfoms") == []
    own = sorted(path.name[28:] for path in (exchange.root / "mo" / "outbox").iterdir() if path.is_file())
    assert own == ["X.protocol.html", "X.protocol.xml"]


def test_a_second_file_of_one_name_is_not_submitted_over_the_first(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path, ("mo", "tfoms"))
    name, content = exchange.generated(SMALL)
    (tmp_path / name).write_bytes(content)
    with exchange.at("mo") as site:
        requests.submit(site, str(tmp_path / name))
        with pytest.raises(WrongState) as told:
            requests.submit(site, str(tmp_path / name))
    assert told.value.code == "NAME_WAITS"
    assert [path.name for path in exchange.inbox("mo").iterdir() if path.is_file()] == [name]
