"""A request about persons answered from our insured, in the tables of the Moscow exchange."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from oms_batch import homes
from oms_batch.cli.main import program
from oms_batch.synth.moscow import Order, parcel
from tests.moscow_tools import PROFILE, packed, rows_of

HEAD = "ENP;VPOLIS;SPOLIS;NPOLIS;FAM;IM;OT;DR;W;SNILS;SMO;DATE_FROM;DATE_TO"
STOP = "SCENARIO;s_card;n_card;eNP;VSn;q;s_cardZ;n_cardZ;qZ;DATE_END;DATE_ARC;IST;eNPZ;VSNZ;OKATO_Z"


def run(home: Path, *words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(program, ["--home", str(home), "--json", *words])
    return done.exit_code, json.loads(done.stdout) if done.stdout.startswith(("[", "{")) else done.output


def home_of(folder: Path, role: str, code: str) -> Path:
    homes.init(str(folder), role, own={"code": code, "name": role}, partners=[], profile="moscow")
    return folder


@pytest.fixture
def request_of(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A request of an organisation about the patients of its parcel."""
    clinic = home_of(tmp_path / "mo", "mo", "4902")
    sent, table = tmp_path / "R4902Q11019.zip", tmp_path / "ask01.dbf"
    made = parcel(PROFILE, Order(services=14, seed=4))
    sent.write_bytes(packed(made))
    assert run(clinic, "insured", "ask", str(sent), str(table))[0] == 0
    return table, rows_of(table.read_bytes(), tmp_path)


def insured_row(asked: dict[str, Any], **more: str) -> str:
    born = str(asked["DR"])
    known = {
        "ENP": asked["N_POL"], "VPOLIS": "3", "NPOLIS": asked["N_POL"], "FAM": asked["FAM"], "IM": asked["IM"],
        "OT": asked["OT"] or "", "DR": f"{born[:4]}-{born[4:6]}-{born[6:]}", "W": str(asked["W"]), "SMO": "77091",
        "DATE_FROM": "2015-01-01",
    } | more  # fmt: skip
    return ";".join(str(known.get(name, "")) for name in HEAD.split(";"))


def test_the_request_is_answered_record_by_record_and_read_by_who_asked(
    tmp_path: Path, request_of: tuple[Path, list[dict[str, Any]]]
) -> None:
    table, asked = request_of
    keeper = home_of(tmp_path / "fund", "tfoms", "IN")
    first, second, third, fourth, *_rest = asked
    rows = [
        insured_row(first),
        insured_row(second, FAM="Иная"),
        insured_row(third, DATE_TO="2019-10-05"),
        insured_row(fourth, SMO="77092"),
    ]
    (tmp_path / "insured.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    stop = {"eNP": fourth["N_POL"], "q": "Q1", "DATE_END": "2019-09-01", "eNPZ": fourth["N_POL"], "qZ": "Q2"}
    (tmp_path / "STOP1019.csv").write_text(
        f"{STOP}\n" + ";".join(stop.get(name, "") for name in STOP.split(";")) + "\n"
    )
    assert run(keeper, "insured", "import", str(tmp_path / "insured.csv"))[0] == 0
    assert run(keeper, "insured", "import", str(tmp_path / "STOP1019.csv"))[0] == 0
    answer = tmp_path / "Assk01.dbf"
    code, told = run(keeper, "identify", "answer", str(table), str(answer))
    assert (code, told["persons"], told["found"]) == (1, len(asked), 4)
    got = {row["RECID"]: row for row in rows_of(answer.read_bytes(), tmp_path)}
    assert [got[one["RECID"]]["ANS_R"] for one in (first, second, third, fourth)] == ["211", "411", "231", "211"]
    assert {got[one["RECID"]]["ANS_R"] for one in _rest} == {"010"}
    assert [got[one["RECID"]]["Q"] for one in (first, fourth, asked[-1])] == ["Q1", "Q2", ""]
    assert got[first["RECID"]]["N_POL"] == first["N_POL"] and not got[asked[-1]["RECID"]]["N_POL"]
    assert all(not row["FAM"] and not row["DR"] for row in got.values())
    code, heard = run(tmp_path / "mo", "insured", "answer", str(answer))
    assert code == 1
    assert [one["positive"] for one in heard[:5]] == [True, True, True, True, False]
    assert all(one["known"] for one in heard)


def test_what_is_no_request_and_a_home_without_insured(
    tmp_path: Path, request_of: tuple[Path, list[dict[str, Any]]]
) -> None:
    keeper = home_of(tmp_path / "fund", "tfoms", "IN")
    assert run(keeper, "identify", "answer", str(request_of[0]), str(tmp_path / "a.dbf"))[0] == 3
    (tmp_path / "insured.csv").write_text(f"{HEAD}\n{insured_row(request_of[1][0])}\n")
    run(keeper, "insured", "import", str(tmp_path / "insured.csv"))
    (tmp_path / "no.dbf").write_bytes(b"no table")
    assert run(keeper, "identify", "answer", str(tmp_path / "no.dbf"), str(tmp_path / "a.dbf"))[0] == 3
    assert not (tmp_path / "a.dbf").exists()


def test_an_exchange_without_such_requests_says_so(tmp_path: Path) -> None:
    own = {"ogrn": "1027600000306", "letter": "F", "name": "ТФОМС"}
    homes.init(str(tmp_path / "other"), "tfoms", own=own, partners=[])
    (tmp_path / "x.dbf").write_bytes(b"")
    code, told = run(tmp_path / "other", "identify", "answer", str(tmp_path / "x.dbf"), str(tmp_path / "a.dbf"))
    assert code == 3 and "persons_asked" in told
