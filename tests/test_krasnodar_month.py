"""A month of personal accounts at four participants, and what the MO does with accounts that came back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pytest
import sqlalchemy as sa

from oms_batch.desk import dbf_again
from oms_batch.doors import demo, generate
from oms_batch.errors import WrongState
from oms_batch.intake import names
from oms_batch.site import open_site
from oms_batch.store import ledger
from oms_batch.store.schema import accounts
from oms_batch.synth import krasnodar_planting as planting
from oms_batch.synth.world import Spec
from tests.krasnodar_tools import PROFILE, Judged, answer, judge, packed, read, zipped

SPEC = Spec(accounts=120, seed=21, payers={"2301": 1})
NEXT = "23010700126112.zip"
DAY = date(2026, 11, 30)
Played = tuple[Path, dict[str, dict[str, object]], list[str]]
FAULTS = ("sex_unknown", "sum_off_by_a_kopeck", "diagnosis_empty", "tariff_unknown")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder, told = tmp_path_factory.mktemp("month") / "play", list[str]()
    return folder, demo.run(str(folder), told.append, accounts=120, seed=7, isolate=False, profile="krasnodar"), told


@pytest.mark.slow
def test_every_ledger_balances_and_nobody_waits(month: Played) -> None:
    _folder, proofs, _told = month
    assert set(proofs) == {"mo", "tfoms", "smo-k", "smo-l"}
    for found in proofs.values():
        counted = found["accounts"]
        assert isinstance(counted, dict)
        assert found["balanced"] and counted["waiting"] == 0 and counted["sent"] > 0
    mo = proofs["mo"]["accounts"]
    assert isinstance(mo, dict) and mo["refused_2"] > 0
    payers = [proofs[name]["accounts"] for name in ("tfoms", "smo-k", "smo-l")]
    for bucket in ("sent", "accepted_5", "refused_2"):
        assert sum(one[bucket] for one in payers if isinstance(one, dict)) == mo[bucket]


@pytest.mark.slow
def test_the_mo_knows_why_each_account_came_back(month: Played) -> None:
    folder, _proofs, _told = month
    with open_site(str(folder / "mo")) as site:
        rows = ledger.refused(site.ledger, ["returned"])
    assert rows and all(row["defect"] and row["kod"] for row in rows)
    assert {row["stage"] for row in rows} == {"V"}


@pytest.mark.slow
def test_corrected_accounts_go_on_as_repeats_and_are_accepted(
    month: Played,
) -> None:
    folder, _proofs, told = month
    assert any("07001261112" in line or "26112" in line for line in told)
    with open_site(str(folder / "mo")) as site:
        accepted = list(ledger.accounts_in(site.ledger, "accepted"))
        with site.ledger.read() as con:
            rows = con.execute(sa.select(accounts.c.xkey, accounts.c.x_key2).where(accounts.c.x_key2 != "")).all()
    repeats = {row["xkey"] for row in accepted if "-26112-" in row["xkey"]}
    assert repeats and {key: before for key, before in rows if key in repeats} == {
        key: key.replace("-26112-", "-26101-") for key in repeats
    }


# ---- the next archive out of the return --------------------------------------------------------------


@cache
def returned() -> tuple[Judged, dict[str, bytes]]:
    planted = planting.plant(PROFILE, SPEC, names=FAULTS)
    name, data = packed(SPEC, planted.archives["2301"])
    state = judge(name, data)
    return state, answer(state)[0]


def keys() -> dict[str, str]:
    """Name of the planted defect → key of its account."""
    planted = planting.plant(PROFILE, SPEC, names=FAULTS)
    return {one.name: key for (key, _nth), one in planted.planted["2301"].items()}


def billed_again(chosen: list[str], corrections: dict[str, list[tuple[str, str]]] | None = None) -> dict[str, bytes]:
    con, _named, members = read("V23010700126101.zip", zipped(returned()[1]))
    made: dict[str, io.BytesIO] = {}

    @contextmanager
    def open_out(member: str) -> Iterator[BinaryIO]:
        made[member] = io.BytesIO()
        yield made[member]

    sources = {role: io.BytesIO(data) for role, data in members.items()}
    named = names.identify(NEXT, PROFILE)
    count = dbf_again.write(con, sources, open_out, PROFILE, named, DAY, chosen, corrections)
    assert count == len(chosen)
    return {member: out.getvalue() for member, out in made.items()}


def corrections() -> dict[str, list[tuple[str, str]]]:
    """What mends each planted defect."""
    state, key = returned()[0], keys()
    services = (
        "SELECT vp, tarif, tarif * kol_usl FROM usl JOIN z_sl z ON z.n = usl.z_sl_n WHERE z.xkey = '{}' ORDER BY usl.n"
    )
    right = int(state.rows(services.format(key["sum_off_by_a_kopeck"]))[0][2])
    vp, tariff, _sum = state.rows(services.format(key["tariff_unknown"]))[0]
    service = next(
        row["code"]
        for row in PROFILE.rules.table("krasnodar/books/tariffs.csv")
        if vp in row["vp"].split("|") and int(row["price"]) == tariff
    )
    return {
        key["sex_unknown"]: [("P.POL", "М")],
        key["sum_off_by_a_kopeck"]: [("U.SUMM", f"{right // 100}.{right % 100:02d}")],
        key["diagnosis_empty"]: [("P.MKBX", "J06.9")],
        key["tariff_unknown"]: [("U[1].KUSL", service)],
    }


def test_accounts_out_of_the_return_are_repeats_with_the_day_of_the_return() -> None:
    chosen = sorted(keys().values())
    found = judge(NEXT, zipped(billed_again(chosen, corrections())))
    rows = found.rows("SELECT x_key2, xkey, vs, dvozvrat, pv, dats, datps, pr_nov FROM z_sl ORDER BY x_key2")
    assert [row[0] for row in rows] == chosen
    assert {row[2:] for row in rows} == {("5", date(2026, 11, 9), None, DAY, DAY, "2")}
    assert all(row[1] == row[0].replace("-26101-", "-26112-") for row in rows)
    # nothing but that this payer, who has no history here, does not know the accounts that they replace
    assert {rule for said in found.findings().values() for rule in said} == {"K.23.0420"}
    assert found.rows("SELECT count(*) FROM verdicts WHERE refused") == [(0,)]
    assert found.rows("SELECT count(*) FROM usl WHERE z_sl_n IS NULL") == [(0,)]


def test_what_is_not_corrected_is_refused_again() -> None:
    found = judge(NEXT, zipped(billed_again(sorted(keys().values()))))
    assert found.rows("SELECT count(*) FROM verdicts WHERE refused") == [(len(FAULTS),)]


def test_only_accounts_that_came_back_are_billed_again() -> None:
    accepted = returned()[0].rows("SELECT z.xkey FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n WHERE NOT v.refused")[0][
        0
    ]
    with pytest.raises(WrongState, match="ACC_NOT_REFUSED"):
        billed_again([accepted])
    with pytest.raises(WrongState, match="ACC_UNKNOWN"):
        billed_again(["07001-26101-1"])


def test_a_correction_of_a_field_that_is_not_there_or_does_not_fit_is_told() -> None:
    key = keys()["sex_unknown"]
    for field, value, code in (
        ("P.NOPE", "1", "FIELD_UNKNOWN"),
        ("Z.POL", "М", "FIELD_UNKNOWN"),
        ("U[9].KUSL", "1", "FIELD_UNKNOWN"),
        ("P.POL", "мужской", "VALUE_TYPE"),
        ("P.DATR", "вчера", "VALUE_TYPE"),
    ):
        with pytest.raises(WrongState, match=code):
            billed_again([key], {key: [(field, value)]})


def test_generated_files_say_what_must_be_found_in_them(tmp_path: Path) -> None:
    told = generate.run(
        str(tmp_path), accounts=500, seed=7, period="", payers={}, defects="each", per_mille=0, side="", encoding="",
        container=".zip", cases=False, dbf=False, profile="krasnodar",
    )  # fmt: skip
    expected = json.loads((tmp_path / "expected.json").read_bytes())
    accounts = 0
    for name, one in expected["archives"].items():
        found = judge(name, (tmp_path / name).read_bytes())
        accounts += one["register"]["accounts"]
        assert found.rows("SELECT count(*), sum(sumv)::BIGINT FROM z_sl") == [tuple(one["register"].values())]
        # who is insured where only a payer with a register of the insured can find
        rejected = {
            row["account"] for row in one["accounts"] if row["pv"] and not any(c[0] == "I" for c in row["findings"])
        }
        assert {key for (key,) in found.rows("SELECT DISTINCT xkey FROM verdicts WHERE refused")} == rejected
    assert told["accounts"] == accounts and told["planted"] == 44
