"""Archives with planted defects: each is found exactly, comes back with its codes, and nothing else is touched."""

from __future__ import annotations

import io
from datetime import date
from functools import cache
from pathlib import Path

import dbfread
import pytest

from oms_batch.errors import Refusal
from oms_batch.formats.dbf_gate import check
from oms_batch.synth import krasnodar_planting as planting
from oms_batch.synth.insured import insured
from oms_batch.synth.krasnodar import Account, Archive, archives
from oms_batch.synth.world import Spec
from tests.krasnodar_tools import ANSWERED, PROFILE, Judged, answer, judge, packed, read, zipped

SPEC = Spec(accounts=500, seed=7)
SMALL = Spec(accounts=60, seed=11, payers={"2301": 1})


@cache
def planted() -> planting.Planted:
    return planting.plant(PROFILE, SPEC, each=1)


@cache
def judged(payer: str) -> Judged:
    month = planted()
    name, data = packed(SPEC, month.archives[payer])
    return judge(name, data, insured(PROFILE, SPEC, month.insured))


def small() -> Archive:
    return archives(PROFILE, SMALL)["2301"]


def records(data: bytes) -> list[bytes]:
    table = check(io.BytesIO(data))
    return [data[table.header + n * table.record : table.header + (n + 1) * table.record] for n in range(table.records)]


def test_valid_archives_give_no_finding_at_all() -> None:
    for payer, archive in archives(PROFILE, SPEC).items():
        name, data = packed(SPEC, archive)
        found = judge(name, data, insured(PROFILE, SPEC))
        assert found.findings() == {}, payer
        assert found.rows("SELECT count(*), sum(sumv) FROM z_sl") == [(archive.totals.accounts, archive.totals.kopecks)]


@pytest.mark.parametrize("payer", ["2300", "2301", "2302"])
def test_each_planted_defect_is_found_exactly(payer: str) -> None:
    found = judged(payer).findings()
    expected: dict[str, dict[str, str]] = {}
    for (key, _nth), defect in planted().planted[payer].items():
        expected.setdefault(key, {}).update(defect.gives)
    assert found == expected


def test_every_defect_of_the_catalogue_is_planted_once() -> None:
    names = [one.name for row in planted().planted.values() for one in row.values()]
    assert sorted(names) == sorted(one.name for one in planting.catalogue(PROFILE))


@pytest.mark.parametrize("payer", ["2300", "2301", "2302"])
def test_the_return_tells_the_codes_and_the_day_and_turns_the_kind(payer: str) -> None:
    made, part = answer(judged(payer))
    con, _named, _members = read(f"V{payer}0700126101.zip", zipped(made))
    rows = con.execute(
        """SELECT xkey, nth, pv, dvozvrat, vs FROM (
            SELECT *, row_number() OVER (PARTITION BY xkey ORDER BY n) AS nth FROM z_sl) WHERE pay = '4'"""
    ).fetchall()
    expected = {at: one.pv for at, one in planted().planted[payer].items() if one.rejects}
    assert {(key, nth): pv for key, nth, pv, _day, _kind in rows} == expected
    assert {day for *_rest, day, _kind in rows} <= {ANSWERED.date()} and {row[-1] for row in rows} <= {"3"}
    assert part.accounts == judged(payer).rows("SELECT count(*) FROM z_sl")[0][0]
    assert part.claimed - part.accepted == judged(payer).rows("SELECT sum(withheld) FROM verdicts")[0][0]


@pytest.mark.parametrize("payer", ["2300", "2301"])
def test_records_of_accepted_accounts_and_other_tables_come_back_byte_for_byte(payer: str) -> None:
    state = judged(payer)
    made, _part = answer(state)
    refused = {
        line for (line,) in state.rows("SELECT z.line FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n WHERE v.refused")
    }
    before, after = records(state.members["P"]), records(made["P07001.DBF"])
    assert {n for n, (old, new) in enumerate(zip(before, after, strict=True), 1) if old != new} <= refused
    table = check(io.BytesIO(state.members["P"]))
    marks = [
        range(at, at + one.size)
        for one, at in zip(table.columns, table.offsets, strict=True)
        if one.name in ("PV", "DVOZVRAT", "VS")
    ]
    touched = {place for span in marks for place in span}
    for old, new in zip(before, after, strict=True):
        assert {place for place in range(len(old)) if old[place] != new[place]} <= touched
    assert all(made[f"{role}07001.DBF"] == data for role, data in state.members.items() if role != "P")


def test_other_libraries_read_what_we_write(tmp_path: Path) -> None:
    archive = small()
    name, data = packed(SMALL, archive)
    state = judge(name, data)
    made, _part = answer(state)
    for members in (
        {f"{role}.DBF": raw for role, raw in state.members.items()},
        made,
    ):
        for member, raw in members.items():
            (tmp_path / member).write_bytes(raw)
            rows = list(dbfread.DBF(tmp_path / member, encoding="cp866"))
            assert len(rows) == check(io.BytesIO(raw)).records
            if member[0] == "P":
                assert rows[0]["FIO"] == archive.accounts[0].p["FIO"]
                assert rows[0]["DATS"] == date(2026, 10, 31) and rows[0]["NS"] == 26101
            if member[0] == "U":
                total = sum(round(row["SUMM"] * 100) for row in rows)
                assert total == archive.totals.kopecks


def test_an_answer_of_the_refused_only_holds_their_services_too() -> None:
    state = judged("2301")
    made, part = answer(state, keep="v.refused")
    con, _named, _members = read("V23010700126101.zip", zipped(made))
    refused = state.rows("SELECT count(*) FROM verdicts WHERE refused")[0][0]
    assert con.execute("SELECT count(*) FROM z_sl").fetchall() == [(refused,)] and part.accounts == refused
    kept = state.rows("SELECT count(*) FROM usl JOIN verdicts v ON v.z_sl_n = usl.z_sl_n WHERE v.refused")
    assert con.execute("SELECT count(*), count(z_sl_n) FROM usl").fetchall() == [(kept[0][0], kept[0][0])]


def _whole(archive: Archive) -> list[str]:
    name, data = packed(SMALL, archive)
    found = judge(name, data)
    return [code for (code,) in found.rows("SELECT DISTINCT rule FROM findings WHERE refuses = 'register' ORDER BY 1")]


def test_a_service_without_an_account_refuses_the_archive() -> None:
    archive = small()
    archive.stray.append({**archive.accounts[0].u[0], "SN": "1", "UID": "9999"})
    assert _whole(archive) == ["F.23.0010"]


def test_accounts_of_two_registers_refuse_the_archive() -> None:
    archive = small()
    archive.accounts[3].p["DATS"] = "2026-10-30"
    archive.accounts[3].p["DATPS"] = "2026-10-30"
    assert _whole(archive) == ["F.23.0020"]


def _everywhere(archive: Archive, **fields: str) -> Archive:
    def put(one: Account) -> None:
        for row in (one.p, *one.u, *one.r):
            row.update({name: text for name, text in fields.items() if name in row})

    for one in archive.accounts:
        put(one)
    return archive


def test_an_archive_named_for_another_payer_organisation_or_number_is_refused() -> None:
    assert _whole(_everywhere(small(), PL_OGRN="1027700000602")) == ["F.23.0025"]
    assert _whole(_everywhere(small(), CODE_MO="07009")) == ["F.23.0025"]
    assert _whole(_everywhere(small(), NS="26102")) == ["F.23.0025"]
    assert "F.23.0030" in _whole(_everywhere(small(), DATS="2026-11-01"))


def test_an_account_with_a_zero_sum_is_right() -> None:
    archive = small()
    free = [one for one in archive.accounts if one.u[0]["KUSL"] == "B01.047.005"]
    assert free, "the generator makes accounts whose services cost nothing"
    name, data = packed(SMALL, archive)
    found = judge(name, data)
    assert found.findings() == {}
    sums = dict(found.rows("SELECT xkey, sumv FROM z_sl"))
    assert {sums[one.key] for one in free} == {0}


def test_an_archive_of_zero_sums_alone_is_right() -> None:
    archive = small()
    for one in archive.accounts:
        for row in one.u:
            row.update(TARU="0.00", SUMM="0.00")
    name, data = packed(SMALL, archive)
    found = judge(name, data)
    assert found.findings() == {} and found.rows("SELECT sum(sumv) FROM z_sl") == [(0,)]


def test_an_archive_without_accounts_is_answered_in_kind() -> None:
    name, data = packed(SMALL, Archive("2301"))
    state = judge(name, data)
    assert state.findings() == {} and state.rows("SELECT year, month, ogrn_mo FROM register") == [(2026, 10, "07001")]
    made, part = answer(state)
    assert part.accounts == 0 and sorted(made) == ["P07001.DBF", "U07001.DBF"]


def test_the_page_of_an_invoice_may_lie_in_the_archive_and_does_not_go_back() -> None:
    archive = small()
    name, data = packed(SMALL, archive)
    _con, _named, members = read(name, data)
    whole = {f"{role}07001.DBF": raw for role, raw in members.items()} | {"invoice.html": b"<html>invoice</html>"}
    state = judge(name, zipped(whole))
    assert state.rows("SELECT count(*) FROM z_sl") == [(archive.totals.accounts,)]
    made, _part = answer(state)
    assert sorted(made) == sorted(set(whole) - {"invoice.html"})


def test_an_archive_with_a_table_missing_or_foreign_is_refused() -> None:
    name, data = packed(SMALL, small())
    _con, _named, members = read(name, data)
    whole = {f"{role}07001.DBF": raw for role, raw in members.items()}
    for wrong in (
        {key: raw for key, raw in whole.items() if key[0] != "U"},
        {**whole, "X07001.DBF": whole["U07001.DBF"]},
        {**{key: raw for key, raw in whole.items() if key[0] != "P"}, "P07002.DBF": whole["P07001.DBF"]},
    ):
        with pytest.raises(Refusal) as refusal:
            judge(name, zipped(wrong))
        assert [one.code for one in refusal.value.problems] == ["ZIP_CONTENT"]


def test_ten_codes_at_most_stand_in_the_field_of_reasons() -> None:
    archive = small()
    for one in archive.accounts[:20]:
        one.p.update(POL="X", KAT="", DATPS="2026-11-01")
        one.u[0].update(SUMM="1.01", UID="1")
    name, data = packed(SMALL, archive)
    made, _part = answer(judge(name, data))
    con, _named, _members = read(f"V{name}", zipped(made))
    assert con.execute("SELECT max(length(pv)) <= 40, min(pv) <> '' FROM z_sl WHERE pay = '4'").fetchall() == [
        (True, True)
    ]


def test_equal_orders_give_equal_archives() -> None:
    one, two = (planting.plant(PROFILE, SMALL, per_mille=300) for _ in range(2))
    for payer in one.archives:
        assert packed(SMALL, one.archives[payer]) == packed(SMALL, two.archives[payer])
    assert one.planted == two.planted and sum(map(len, one.planted.values())) > 3
    other = planting.plant(PROFILE, Spec(accounts=60, seed=12, payers={"2301": 1}), per_mille=300)
    assert packed(SMALL, other.archives["2301"])[1] != packed(SMALL, one.archives["2301"])[1]


def test_no_rule_is_left_out_but_for_what_tables_do_not_have() -> None:
    skipped = {row.code for row in judged("2301").plan if row.outcome == "skipped"}
    # no caps are laid in; kinds of check-ups are not told
    beside = {"K.00.0610", "K.00.0620", "M.03.0070", "M.03.0080", "M.03.0100"}
    assert skipped - beside == {"F.00.0330", "F.00.0420", "F.00.0430", "F.00.0720", "K.00.0260"}
    assert all(row.outcome in ("passed", "found", "skipped") for row in judged("2301").plan)
