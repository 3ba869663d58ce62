"""What a received answer means in the exchange of Moscow: the table of errors, the table of experts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from oms_batch.formats.dbf_write import write
from oms_batch.intake import names, register
from oms_batch.model import last_day
from oms_batch.reply.dbf_tables import columns_of
from oms_batch.reply.marks import Codes
from oms_batch.stages import heard
from oms_batch.synth.moscow import Order, Parcel, parcel
from tests.moscow_tools import PROFILE, answer, judged_parcel, packed, read, spoiled, zipped

Told = dict[str, tuple[str | None, int | None, str]]
Rows = Sequence[Mapping[str, str | int | None]]


def table(layout: str, rows: Rows) -> bytes:
    columns, out = columns_of(PROFILE.rules, "moscow", layout), io.BytesIO()
    write(out, columns, [[row.get(one.name) for one in columns] for row in rows], "cp866", date(2019, 11, 20))
    return out.getvalue()


def hear(made: Parcel, layout: str, member: str, answer: str, rows: Rows, **beside: bytes) -> Told:
    """What the MO understands of an answer: RECID of the service → (payment, accepted kopecks, ground)."""
    sent, own = packed(made), names.identify("R4902Q11019.zip", PROFILE)
    con = read(
        zipped({member: table(layout, rows), **beside}), answer, register.Beside(io.BytesIO(sent), len(sent), own)
    )
    heard.prepare(con, PROFILE, Codes.of(PROFILE.data), last_day("2019-10"))
    found = con.execute("SELECT z.idcase, z.pay, z.sump, h.defect FROM z_sl z JOIN heard h ON h.n = z.n").fetchall()
    return {recid: (pay, sump, defect) for recid, pay, sump, defect in found}


def errors(made: Parcel, *rows: Mapping[str, str | int | None]) -> Told:
    return hear(made, "CTRL", "CTRLQ1.dbf", "CTRL4902Q11019.zip", [{**ERROR, **row} for row in rows])


def experts(made: Parcel, *rows: Mapping[str, str | int | None]) -> Told:
    return hear(made, "ME", "MEQ14902.dbf", "ME4902Q11019.zip", rows)


ERROR = {"REFREASON": "53", "ET230": "1", "OSN230": "5.1.4.", "LPU_ID": "4902"}


@pytest.mark.parametrize("share", [0, 3, 30, 100])
def test_the_organisation_hears_exactly_what_the_payer_decided(share: int) -> None:
    for payer in ("Q1", "IN"):
        made = spoiled(parcel(PROFILE, Order(services=60, seed=share, payer=payer, each=1)), share)
        one, sent = judged_parcel(made), packed(made)
        name, files, _part = answer(one, "CTRLIN" if payer == "IN" else "CTRL")
        con = read(zipped(files), name, register.Beside(io.BytesIO(sent), len(sent), one.named))
        heard.prepare(con, PROFILE, Codes.of(PROFILE.data), last_day("2019-10"))
        decided = one.con.execute("SELECT z_sl_n, refused, COALESCE(sumv, 0) FROM verdicts ORDER BY 1").fetchall()
        assert con.execute("SELECT n, refused, sumv FROM heard ORDER BY 1").fetchall() == decided
        assert con.execute("SELECT count(*) FROM heard WHERE refused AND NOT coded").fetchone() == (0,)


def test_who_is_not_listed_is_paid_and_a_refused_patient_takes_his_services_along() -> None:
    made = parcel(PROFILE, Order(services=20, seed=2))
    first = made.tables["R"][0]
    his = {row["RECID"] for row in made.tables["S"] if row["SN_POL"] == first["SN_POL"]}
    other = next(row for row in made.tables["S"] if row["RECID"] not in his)
    told = errors(made,
        {"FILE": "RQ1.109", "RECID": first["RECID"], "ERRORS": "E1A"},
        {"FILE": "SQ1.109", "RECID": other["RECID"], "ERRORS": "PKA"},
        {"FILE": "SQ1.109", "RECID": other["RECID"], "ERRORS": "DLA", "OSN230": "5.7.2."},
    )  # fmt: skip
    assert {recid for recid, (pay, _sump, _defect) in told.items() if pay == "2"} == his | {other["RECID"]}
    assert told[other["RECID"]] == ("2", 0, "5.7.2")  # its own reason goes before "because of"
    assert all(pay == "1" for recid, (pay, *_rest) in told.items() if recid not in his | {other["RECID"]})


def test_a_service_put_in_place_of_another_is_paid_in_part() -> None:
    made = parcel(PROFILE, Order(services=10, seed=2))
    row = next(one for one in made.tables["S"] if one["COD"] == "1003")
    told = errors(made,
        {"FILE": "SQ1.109", "RECID": row["RECID"], "ERRORS": "CSE", "E_COD": "1002", "E_KU": "1"},
    )  # fmt: skip
    assert told[row["RECID"]] == ("3", 29800, "5.1.4")


def test_an_operation_that_is_refused_refuses_its_standard() -> None:
    made = parcel(PROFILE, Order(services=60, seed=2, each=1, only=("HO",)))
    operation = made.tables["HO"][0]
    told = errors(made, {"FILE": "HOQ1.109", "RECID": operation["RECID"], "ERRORS": "HOA"})
    stay = next(row for row in made.tables["S"] if (row["C_I"], row["COD"]) == (operation["C_I"], operation["COD"]))
    assert [recid for recid, (pay, *_rest) in told.items() if pay == "2"] == [stay["RECID"]]


def test_protocol_and_settlements_may_come_beside() -> None:
    made = parcel(PROFILE, Order(services=5, seed=2))
    money = table(
        "UD", [{"RECID": "1", "PERIOD": "201910", "LPU_ID": "4901", "COD": "1001", "K_U": 1, "PR_ALL": 100, "VZ": "1"}]
    )
    more = {"PrQ1109.pdf": b"%PDF-1.4", "UDQ14902.dbf": money}
    told = hear(made, "CTRL", "CTRLQ1.dbf", "CTRL4902Q11019.zip", [], **more)
    assert {pay for pay, _sump, _defect in told.values()} == {"1"}


def seen_by_experts(row: Mapping[str, str], paid: int, withheld: int, **more: str) -> dict[str, str | int | None]:
    same = {
        name: row.get(name) or None for name in ("SN_POL", "C_I", "DS", "TIP", "D_U", "PCOD", "PRVS", "IOTD", "COD")
    }
    about = {"RECID": row["RECID"], "PERIOD": "201911", "PERIOD_E": "201910", "LPU_ID": "4902", "FIL_ID": "4902"}
    sums: dict[str, str | int | None] = {"S_OPL": paid, "S_OPL_E": withheld, "K_U": row["K_U"], "DET": "0"}
    return {**about, **same, **sums, "D_TYPE": "0", "ET": "2", **more}


def test_experts_take_back_all_or_a_part_and_may_give_back() -> None:
    made = parcel(PROFILE, Order(services=30, seed=6))
    visits = [row for row in made.tables["S"] if row["COD"] == "1003"][:3]
    ground = {"OSN230": "4.2."}
    told = experts(
        made,
        seen_by_experts(visits[0], 45530, 45530, **ground),
        seen_by_experts(visits[1], 45530, 10000, **ground),
        seen_by_experts(visits[2], 45530, -45530),  # refused before, restored now
    )
    assert told == {
        visits[0]["RECID"]: ("2", 0, "4.2"),
        visits[1]["RECID"]: ("3", 35530, "4.2"),
        visits[2]["RECID"]: ("1", 45530, ""),
    }


def test_what_an_answer_says_of_something_unknown_is_not_lost() -> None:
    made = parcel(PROFILE, Order(services=10, seed=6))
    first = made.tables["S"][0]
    strange = [
        errors(made, {"FILE": "SQ1.109", "RECID": "9999999", "ERRORS": "H8A"}),
        errors(made, {"FILE": "SPR4902.109", "RECID": first["RECID"], "ERRORS": "H8A"}),
        errors(made, {"FILE": "SQ2.109", "RECID": first["RECID"], "ERRORS": "H8A"}),
        errors(made, {"FILE": "SQ1.109", "RECID": first["RECID"], "ERRORS": "H8A", "LPU_ID": "4901"}),
        experts(made, {**seen_by_experts(first, 1, 1), "PERIOD_E": "201909"}),
        experts(made, {**seen_by_experts(first, 1, 1), "K_U": 77}),
    ]
    for told in strange:  # an account that we never sent: taking in refuses the whole answer
        assert any(pay == "2" and sump == 0 for pay, sump, _defect in told.values())
    known = {row["RECID"] for row in made.tables["S"]}
    assert [len(told) - len(known & set(told)) for told in strange[:1]] == [1]


def test_experts_tell_accounts_that_are_alike_one_by_one() -> None:
    made = parcel(PROFILE, Order(services=5, seed=6))
    one = next(row for row in made.tables["S"] if row["COD"] == "1003")
    made.tables["S"].append({**one, "RECID": "0000777", "D_TYPE": "2"})
    row = {**seen_by_experts(one, 45530, 45530), "OSN230": "4.2."}
    assert {recid: pay for recid, (pay, *_rest) in experts(made, row).items()} == {one["RECID"]: "2"}
    both = experts(made, row, {**row, "RECID": "2"})
    assert {recid: pay for recid, (pay, *_rest) in both.items()} == {one["RECID"]: "2", "0000777": "2"}
