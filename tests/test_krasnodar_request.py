"""The request about persons (FLK): written from a register, read back, and good enough to find who is insured where."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

import dbfread
import pytest

from oms_batch import homes, insurance
from oms_batch.doors import persons
from oms_batch.errors import Fault, SetupError, WrongState
from oms_batch.intake import names
from oms_batch.judge import books, facts_view, identify
from oms_batch.judge.person import load_spelling
from oms_batch.reply import dbf_request
from oms_batch.site import open_site
from oms_batch.synth.insured import insured, insured_csv
from oms_batch.synth.krasnodar import archives
from oms_batch.synth.world import Spec
from tests.krasnodar_tools import PROFILE, RULES, bring_insured, packed, read, zipped

SPEC = Spec(accounts=80, seed=5, payers={"2301": 3, "2302": 1})
NAME = "261007001.zip"


def request(payer: str = "2301") -> dict[str, bytes]:
    name, data = packed(SPEC, archives(PROFILE, SPEC)[payer])
    con, _named, _members = read(name, data)
    made: dict[str, io.BytesIO] = {}

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        made[member] = io.BytesIO()
        yield made[member]

    count = dbf_request.write([con], PROFILE, names.identify(NAME, PROFILE), open_out, date(2026, 11, 2))
    assert con.execute("SELECT count(*) FROM p_rec").fetchall() == [(count,)]
    return {member: out.getvalue() for member, out in made.items()}


def test_the_request_has_the_fields_of_its_layout_and_a_row_for_each_account(tmp_path: Path) -> None:
    made = request()
    assert list(made) == ["P07001.DBF"]
    (tmp_path / "P.DBF").write_bytes(made["P07001.DBF"])
    table = dbfread.DBF(tmp_path / "P.DBF", encoding="cp866")
    accounts = archives(PROFILE, SPEC)["2301"].accounts
    listed = [row["field"] for row in RULES.table("krasnodar/layouts/FLK.csv")]
    assert table.field_names == listed and len(listed) == 28
    rows = list(table)
    assert [str(row["SN"]) for row in rows] == [one.p["SN"] for one in accounts]
    assert [row["FIO"] for row in rows] == [one.p["FIO"] for one in accounts]
    assert [row["DATR"].isoformat() for row in rows] == [one.p["DATR"] for one in accounts]


def test_a_request_that_was_read_finds_who_is_insured_where() -> None:
    con, named, _members = read(NAME, zipped(request()))
    assert (named.stage, named.period, named.mo) == ("F", "2026-10", "07001")
    books.load_books(con, RULES, "krasnodar", ["payers"])
    facts_view.make_person_keys(con, load_spelling(RULES, "krasnodar"))
    table = bring_insured(con, insured(PROFILE, SPEC))
    identify.identify_in(con, table, identify.load_search(RULES, "krasnodar"))
    rows = con.execute(
        "SELECT DISTINCT i.payer, i.found, z.payer FROM ident i JOIN (SELECT n, '2301' AS payer FROM z_sl) z "
        "ON z.n = i.z_sl_n"
    ).fetchall()
    assert rows == [("2301", True, "2301")]


def test_a_request_without_the_fields_of_its_layout_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    read_file = type(RULES).read

    def other(self: object, relative: str) -> bytes:
        if relative.endswith("request.sql"):
            return b'SELECT sn AS "SN" FROM p_rec'
        return read_file(RULES, relative)

    monkeypatch.setattr(type(RULES), "read", other)
    with pytest.raises(Fault, match="fields of the layout"):
        request()


def _home(folder: Path, name: str) -> str:
    parties = PROFILE.rules.toml("krasnodar/demo.toml")["participant"]
    (one,) = (row for row in parties if row["folder"] == name)
    own = {key: value for key, value in one.items() if key not in ("folder", "role")}
    homes.init(str(folder / name), one["role"], own=own, partners=[], profile="krasnodar", isolate=False)
    return str(folder / name)


def test_the_mo_asks_about_all_its_registers_at_once_and_the_insurer_tells(tmp_path: Path) -> None:
    files, months = [], archives(PROFILE, SPEC)
    for archive in months.values():
        name, data = packed(SPEC, archive)
        (tmp_path / name).write_bytes(data)
        files.append(str(tmp_path / name))
    total = sum(len(archive.accounts) for archive in months.values())
    with open_site(_home(tmp_path, "mo")) as site:
        (asked,) = persons.request(site, files)
    assert asked == {"path": f"{tmp_path}/mo/outbox/{NAME}", "persons": total}
    table = tmp_path / "insured.csv"
    table.write_bytes(b"".join(insured_csv(PROFILE, SPEC)))
    with open_site(_home(tmp_path, "smo-k")) as site:
        with pytest.raises(SetupError, match="insured import"):
            persons.persons(site, asked["path"])
        insurance.bring_in(site, str(table))
        told = persons.persons(site, asked["path"])
    assert (told["persons"], told["found"], told["ambiguous"]) == (total, total, 0)
    rows = list(csv.DictReader(Path(told["path"]).read_text("utf-8").splitlines(), delimiter=";"))
    payers = {one.p["SN"]: archive.payer for archive in months.values() for one in archive.accounts}
    assert {row["idcase"]: row["payer"] for row in rows} == payers


def test_an_exchange_without_such_a_request_says_so(tmp_path: Path) -> None:
    home = str(tmp_path / "mo")
    own = {"ogrn": "1027600000108", "kpp": "760401001"}
    homes.init(home, "mo", own=own, partners=[], isolate=False)
    with open_site(home) as site, pytest.raises(WrongState, match="ROLE_STAGE"):
        persons.request(site, [])
