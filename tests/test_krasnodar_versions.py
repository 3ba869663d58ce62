"""Archives of the later structure (2024): other fields, more tables, the same rules and the same return."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

import pytest

from oms_batch.desk import dbf_again
from oms_batch.errors import Refusal
from oms_batch.formats import dbf_write
from oms_batch.formats.dbf_gate import check
from oms_batch.intake import names
from oms_batch.synth import krasnodar_planting as planting
from oms_batch.synth.krasnodar import archives
from oms_batch.synth.krasnodar_files import LATER, columns_of, table
from oms_batch.synth.world import Spec
from tests.krasnodar_tools import PROFILE, answer, judge, packed, read, zipped

SPEC = Spec(accounts=60, seed=13, payers={"2301": 1}, version=LATER)
NAME = "23010700126101.zip"
FAULTS = ("sex_unknown", "repeat_without_day", "tariff_unknown", "replaces_itself")
MORE = {
    "O": {"OID": "1", "UID": "1", "DS1_T": "0", "STAD": "12", "SOD": "1.50", "DATE_INJ": "2026-10-03"},
    "I": {"IID": "1", "UID": "1", "DIAG_D": "2026-10-03", "DIAG_TIP": "1", "DIAG_CODE": "1", "DIAG_RSLT": "1"},
    "C": {"CID": "1", "OID": "1", "PROT": "1", "D_PROT": "2026-10-03"},
    "E": {"EID": "1", "UID": "1", "DATA_INJ": "2026-10-03", "REGNUM": "000001", "DOSE_INJ": "1.50000"},
    "M": {"MID": "1", "UID": "1", "DATE_MED": "2026-10-03", "CODE_MDV": "1", "NUMBER_SER": "A-1"},
}


def whole() -> dict[str, bytes]:
    """An archive with planted defects, and with a record of every further table at the first refused account."""
    found = planting.plant(PROFILE, SPEC, names=FAULTS)
    name, data = packed(SPEC, found.archives["2301"])
    assert name == NAME
    _con, _named, members = read(name, data)
    made = {f"{role}07001.DBF": raw for role, raw in members.items()}
    owner = found.archives["2301"].accounts[[one.key for one in found.archives["2301"].accounts].index(refused_key())].p
    for role, row in MORE.items():
        rows = [{**row, **{key: owner[key] for key in ("CODE_MO", "NS", "SN")}}]
        made[f"{role}07001.DBF"] = table(PROFILE, role, rows, date(2026, 10, 31), LATER)
    return made


def refused_key() -> str:
    found = planting.plant(PROFILE, SPEC, names=FAULTS)
    return next(key for (key, _nth), one in found.planted["2301"].items() if one.name == "sex_unknown")


def test_the_two_structures_differ_as_they_should() -> None:
    early, later = ({one.name for one in columns_of(PROFILE, "P", version)} for version in ("", LATER))
    assert early - later == {"P_PER", "ISTI", "COMMENT"} and {"ENP", "COMENTSL", "RKEY"} <= later - early
    assert len(early) == 54 and len(later) == 63
    assert len(columns_of(PROFILE, "U")) == 26 and len(columns_of(PROFILE, "U", LATER)) == 44


def test_a_valid_archive_of_the_later_structure_gives_no_finding() -> None:
    archive = archives(PROFILE, SPEC)["2301"]
    name, data = packed(SPEC, archive)
    found = judge(name, data)
    assert found.findings() == {}
    assert found.rows("SELECT count(*), sum(sumv)::BIGINT, count(nhistory) FROM z_sl") == [
        (archive.totals.accounts, archive.totals.kopecks, archive.totals.accounts)
    ]


def test_defects_are_found_and_every_table_comes_back() -> None:
    state = judge(NAME, zipped(whole()))
    expected = {}
    for (key, _nth), one in planting.plant(PROFILE, SPEC, names=FAULTS).planted["2301"].items():
        expected[key] = dict(one.gives)
    assert state.findings() == expected
    made, _part = answer(state)
    assert {name: raw for name, raw in made.items() if name[0] != "P"} == {
        name: raw for name, raw in whole().items() if name[0] != "P"
    }
    con, _named, _members = read(f"V{NAME}", zipped(made))
    assert con.execute("SELECT count(*) FROM z_sl WHERE pay = '4' AND pv <> ''").fetchall() == [(len(FAULTS),)]


def test_an_answer_of_the_refused_only_takes_their_further_records_along() -> None:
    state = judge(NAME, zipped(whole()))
    for keep, count in (("v.refused", 1), ("NOT v.refused", 0)):
        made, _part = answer(state, keep=keep)
        assert {check(io.BytesIO(made[f"{role}07001.DBF"])).records for role in MORE} == {count}


def test_accounts_of_the_later_structure_are_billed_again() -> None:
    con, _named, members = read(f"V{NAME}", zipped(answer(judge(NAME, zipped(whole())))[0]))
    made: dict[str, io.BytesIO] = {}

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        made[member] = io.BytesIO()
        yield made[member]

    key, sources = refused_key(), {role: io.BytesIO(raw) for role, raw in members.items()}
    named = names.identify("23010700126111.zip", PROFILE)
    mend = {key: [("P.POL", "М")]}
    dbf_again.write(con, sources, open_out, PROFILE, named, date(2026, 11, 30), [key], mend)
    found = judge("23010700126111.zip", zipped({name: out.getvalue() for name, out in made.items()}))
    assert found.rows("SELECT x_key2, pr_nov, vs FROM z_sl") == [(key, "2", "5")]
    assert found.rows("SELECT count(*) FROM verdicts WHERE refused") == [(0,)]
    for role in MORE:
        assert found.rows(f"SELECT count(*), count(z_sl_n) FROM {role.lower()}_of") == [(1, 1)]


def test_a_field_that_both_structures_have_must_be_there() -> None:
    made = whole()
    lacking = [one for one in columns_of(PROFILE, "P", LATER) if one.name != "DATO"]
    out = io.BytesIO()
    dbf_write.write(out, lacking, [[None for _ in lacking]], "cp866", date(2026, 10, 31))
    with pytest.raises(Refusal) as refusal:
        judge(NAME, zipped({**made, "P07001.DBF": out.getvalue()}))
    assert [(one.code, one.place) for one in refusal.value.problems] == [("DBF_STRUCT", "field DATO")]


REFERENCE = Path(os.environ.get("OMS_REFERENCE_DATA", "")) / "regional" / "vista_regional_dbf_fields.csv"
MADE_BY = {"": "create{}Dbf", LATER: "createDbf{}"}


@pytest.mark.parametrize("version", ["", LATER])
@pytest.mark.parametrize("role", list("PUDNR"))
def test_the_layouts_have_every_field_of_the_reference(role: str, version: str) -> None:
    if not os.environ.get("OMS_REFERENCE_DATA") or not REFERENCE.is_file():
        pytest.skip("OMS_REFERENCE_DATA: the list of regional fields is not here")
    told: dict[str, tuple[str, int, int]] = {}
    with REFERENCE.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if row["region"] == "Krasnodar" and row["function"] == MADE_BY[version].format(role):
                size, _, decimals = row["length"].partition(",")
                told[row["field"].upper()] = (row["type"], int(size or 8), int(decimals or 0))
    ours = {one.name: one for one in columns_of(PROFILE, role, version)}
    assert set(ours) == set(told) and len(told) > 4
    for name, (kind, size, decimals) in told.items():
        assert ours[name].type == kind and ours[name].size >= size and ours[name].decimals >= decimals, name
