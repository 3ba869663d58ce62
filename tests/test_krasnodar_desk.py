"""The MO's desk with personal accounts: a return taken in, accounts corrected by hand, billed again, accepted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oms_batch import clock, homes, office, overview, requests
from oms_batch.conductor import publish, settling_of, sweep
from oms_batch.errors import WrongState
from oms_batch.formats import dbf_write
from oms_batch.site import open_site
from oms_batch.store import fsio, ledger
from oms_batch.synth import krasnodar_planting as planting
from oms_batch.synth.world import Spec
from tests.krasnodar_tools import PROFILE, packed, read, zipped

SPEC = Spec(accounts=40, seed=9, payers={"2301": 1})
MENDS = {
    "sex_unknown": ("P.POL", "М"),
    "category_empty": ("P.KAT", "1"),
    "form_of_contact_unknown": ("P.MP", "1"),
}
PARTIES = [one for one in PROFILE.rules.toml("krasnodar/demo.toml")["participant"] if one["folder"] in ("mo", "smo-k")]


class Homes:
    """Two participants on one disk, and the courier between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for one in PARTIES:
            others = [other for other in PARTIES if other is not one]
            own = {key: value for key, value in one.items() if key not in ("folder", "role")}
            path = str(folder / one["folder"])
            homes.init(
                path, one["role"], own=own, partners=others, profile="krasnodar", settle_seconds=0, isolate=False
            )

    def at(self, name: str) -> Any:
        return open_site(str(self.folder / name))

    def sweep(self, name: str) -> list[str]:
        with self.at(name) as site:
            done = [f"{one.name} {one.outcome}" for one in sweep(site, settling_of(site)) if one.outcome != "companion"]
            publish(site)
        for other in (one["folder"] for one in PARTIES if one["folder"] != name):
            out = f"{self.folder}/{name}/outbox/{other}"
            for file in fsio.listdir(out):
                fsio.rename(f"{out}/{file}", f"{self.folder}/{other}/inbox/{name}/{file}")
        return done


def _at(moment: str) -> None:
    when = clock.parse(moment)
    clock.set_wall(lambda: when)


@pytest.fixture
def returned(tmp_path: Path) -> tuple[Homes, dict[str, str]]:
    """The homes after the first return, and name of the planted defect → key of its account."""
    both = Homes(tmp_path)
    found = planting.plant(PROFILE, SPEC, names=tuple(MENDS))
    name, data = packed(SPEC, found.archives["2301"])
    (tmp_path / name).write_bytes(data)
    _at("2026-11-05T09:00:00+03:00")
    with both.at("mo") as site:
        requests.submit(site, str(tmp_path / name))
    assert both.sweep("mo") == [f"{name} answered"]
    _at("2026-11-16T09:00:00+03:00")
    assert both.sweep("smo-k") == [f"{name} answered"]
    assert both.sweep("mo") == [f"V{name} answered"]
    return both, {one.name: key for (key, _nth), one in found.planted["2301"].items()}


@pytest.mark.slow
def test_accounts_corrected_by_hand_are_billed_again_and_accepted(returned: tuple[Homes, dict[str, str]]) -> None:
    both, keys = returned
    _at("2026-12-02T09:00:00+03:00")
    with both.at("mo") as site:
        assert {row.xkey for row in office.refused_list(site)} == set(keys.values())
        for defect, (field, value) in MENDS.items():
            office.correct(site, keys[defect], [(field, value)], "operator", "record")
            assert office.put_into_next(site, keys[defect], "operator") == "repeat"
        (built,) = office.build_again(site, "2026-11")
    assert built.path.endswith("23010700126111.zip") and built.report.accounts == len(MENDS)
    assert {old for old, _new, _kind in built.report.lineage} == set(keys.values())
    assert both.sweep("mo") == ["23010700126111.zip answered"]
    assert both.sweep("smo-k") == ["23010700126111.zip answered"]
    assert both.sweep("mo") == ["V23010700126111.zip answered"]
    with both.at("mo") as site:
        accepted = {row["xkey"] for row in ledger.accounts_in(site.ledger, "accepted")}
        assert {new for _old, new, _kind in built.report.lineage} <= accepted
        assert overview.totals(site)["balanced"]
        with pytest.raises(WrongState, match="NOTHING_TO_BILL"):
            office.build_again(site, "2026-12")
        sums = office.sum_table(site, "07001-202611-12301")
        assert sums.total.accounts == len(MENDS)
    with both.at("smo-k") as site:
        assert overview.totals(site)["balanced"]


@pytest.mark.slow
def test_a_second_archive_of_the_month_takes_the_next_number(returned: tuple[Homes, dict[str, str]]) -> None:
    both, keys = returned
    names = []
    with both.at("mo") as site:
        for defect in ("sex_unknown", "category_empty"):
            office.correct(site, keys[defect], [MENDS[defect]], "operator", "record")
            office.put_into_next(site, keys[defect], "operator")
            (built,) = office.build_again(site, "2026-11")
            names.append(built.path.rsplit("/", 1)[1])
            for one in sweep(site, settling_of(site)):
                assert one.outcome in ("answered", "companion")
    assert names == ["23010700126111.zip", "23010700126112.zip"]


@pytest.mark.slow
def test_fields_that_may_not_be_corrected_are_told_at_once(returned: tuple[Homes, dict[str, str]]) -> None:
    both, keys = returned
    with both.at("mo") as site:
        for field, value, code in (
            ("P.NS", "1", "FIELD_FIXED"),
            ("P.VS", "2", "FIELD_FIXED"),
            ("P.NOPE", "1", "FIELD_UNKNOWN"),
            ("pers.fam", "А", "FIELD_UNKNOWN"),
            ("P.DATR", "вчера", "VALUE_TYPE"),
            ("U[1].SUMM", "сто", "VALUE_TYPE"),
        ):
            with pytest.raises(WrongState, match=code):
                office.correct(site, keys["sex_unknown"], [(field, value)], "operator", "record")


def _spoiled(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The archive at this place, changed on its way."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    path.write_bytes(zipped(members))


def _rewritten(members: dict[str, bytes], member: str, changes: dict[int, dict[str, str | None]]) -> None:
    out = io.BytesIO()
    dbf_write.rewrite(io.BytesIO(members[member]), out, changes)
    members[member] = out.getvalue()


def _lines(members: dict[str, bytes], returned: bool) -> list[int]:
    con, _named, _members = read("V23010700126101.zip", zipped(members))
    sql = f"SELECT line FROM z_sl WHERE pay IS {'NOT' if returned else ''} NULL ORDER BY 1"
    return [int(line) for (line,) in con.execute(sql).fetchall()]


def _renamed(members: dict[str, bytes]) -> None:
    _rewritten(members, "P07001.DBF", {_lines(members, returned=False)[0]: {"FIO": "Подменов"}})


def _returned_and_renamed(members: dict[str, bytes]) -> None:
    _rewritten(members, "P07001.DBF", {_lines(members, returned=True)[0]: {"FIO": "Подменов"}})


def _dearer(members: dict[str, bytes]) -> None:
    _rewritten(members, "U07001.DBF", {1: {"SUMM": "1.00"}})


def _of_another_book(members: dict[str, bytes]) -> None:
    _rewritten(members, "P07001.DBF", {_lines(members, returned=True)[0]: {"PV": "999 103"}})


def _without_reason(members: dict[str, bytes]) -> None:
    _rewritten(members, "P07001.DBF", {_lines(members, returned=True)[0]: {"PV": None}})


def _of_another(members: dict[str, bytes]) -> None:
    _rewritten(members, "P07001.DBF", {1: {"SN": "1"}})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_renamed, "SET_CHANGED"),
        (_returned_and_renamed, "SET_CHANGED"),
        (_dearer, "SET_CHANGED"),
        (_of_another_book, "DEFECT_CODE"),
        (_without_reason, "DEFECT_CODE"),
        (_of_another, "SET_NOT_SUBSET"),
    ],
)
def test_a_return_that_says_more_than_it_may_is_refused_whole(
    tmp_path: Path, change: Callable[[dict[str, bytes]], None], code: str
) -> None:
    both = Homes(tmp_path)
    name, data = packed(SPEC, planting.plant(PROFILE, SPEC, names=tuple(MENDS)).archives["2301"])
    (tmp_path / name).write_bytes(data)
    _at("2026-11-05T09:00:00+03:00")
    with both.at("mo") as site:
        requests.submit(site, str(tmp_path / name))
    both.sweep("mo")
    both.sweep("smo-k")
    _spoiled(tmp_path / "mo" / "inbox" / "smo-k" / f"V{name}", change)
    with both.at("mo") as site:
        (one,) = (one for one in sweep(site, settling_of(site)) if one.outcome != "companion")
        found = overview.totals(site)
    assert (one.name, one.outcome, one.code) == (f"V{name}", "refused", code)
    assert found["balanced"] and found["accounts"]["waiting"] == found["accounts"]["sent"] > 0
