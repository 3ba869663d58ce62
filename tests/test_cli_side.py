"""The commands over tables beside the exchange."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from oms_batch import homes
from oms_batch.cli.main import program
from oms_batch.synth.moscow import Order, parcel
from tests.moscow_tools import PROFILE, packed, rows_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    insurer = {"folder": "smo", "role": "smo", "code": "Q1", "name": "СМО"}
    homes.init(str(folder), "mo", own={"code": "4902", "name": "МО"}, partners=[insurer], profile="moscow")
    return folder


def run(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(program, ["--home", str(home), *words])
    return done.exit_code, done.output


def test_ask_writes_the_question_and_answer_tells_it(home: Path, tmp_path: Path) -> None:
    made = parcel(PROFILE, Order(services=8, seed=4))
    sent, table = tmp_path / "R4902Q11019.zip", tmp_path / "ask01.dbf"
    sent.write_bytes(packed(made))
    code, told = run(home, "insured", "ask", str(sent), str(table), "--json")
    assert (code, json.loads(told)["table"]) == (0, str(table))
    assert len(rows_of(table.read_bytes(), tmp_path)) == len(made.tables["R"])
    code, told = run(home, "insured", "answer", str(table))
    assert code == 3  # a question is no answer: it has no vector
    assert "DBF" in told or "дан" in told


def test_an_organisation_makes_no_settlement(home: Path, tmp_path: Path) -> None:
    code, _told = run(home, "ledger", "settlement", "2019-10", str(tmp_path))
    assert code == 3
    assert list(tmp_path.glob("F13*")) == []


def test_an_exchange_without_such_tables_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    partner = {"folder": "tfoms", "role": "tfoms", "ogrn": "1027600000306", "letter": "F", "name": "ТФОМС"}
    homes.init(str(folder), "mo", own={"ogrn": "1027600000108", "kpp": "760401001", "name": "МО"}, partners=[partner])
    table = tmp_path / "any.dbf"
    table.write_bytes(b"")
    code, told = run(folder, "insured", "answer", str(table))
    assert code == 3
    assert "persons" in told
