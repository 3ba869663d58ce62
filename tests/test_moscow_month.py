"""A month of the file exchange of Moscow at its participants, and the tables made beside it."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from oms_batch import clock, homes, office
from oms_batch.doors import demo, side_tables
from oms_batch.errors import WrongState
from oms_batch.formats.dbf_gate import Column
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.formats.dbf_write import write
from oms_batch.site import open_site
from oms_batch.synth.moscow import Order, parcel
from tests.moscow_tools import PROFILE, packed, rows_of

Played = tuple[Path, dict[str, dict[str, Any]], list[str]]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder, told = tmp_path_factory.mktemp("month") / "play", list[str]()
    return folder, demo.run(str(folder), told.append, accounts=120, seed=11, isolate=False, profile="moscow"), told


@pytest.mark.slow
def test_the_month_balances_and_all_agree(month: Played) -> None:
    _folder, proofs, told = month
    assert set(proofs) == {"mo", "fund", "smo-q1"}
    assert all(one["balanced"] for one in proofs.values())
    mo, fund, insurer = (proofs[name] for name in ("mo", "fund", "smo-q1"))
    for key, kopecks in mo["sums"].items():
        both = sum(int(one["sums"][key].replace(".", "")) for one in (fund, insurer))
        assert int(kopecks.replace(".", "")) == both, key
        assert mo["accounts"][key] == fund["accounts"][key] + insurer["accounts"][key]
    assert mo["accounts"]["refused_6"] > 100
    assert mo["accounts"]["waiting"] == 0
    assert any("ME4902Q11019" in line for line in told)
    assert not any("NOT BALANCED" in line or "отклон" in line for line in told)


@pytest.mark.slow
def test_the_fund_has_the_insurers_report(month: Played) -> None:
    folder, _proofs, _told = month
    kept = list((folder / "fund").rglob("Y4902Q11019.zip*"))
    assert kept
    with zipfile.ZipFile(kept[0]) as archive:
        assert sorted(archive.namelist()) == ["RQ1Y.109", "SQ1Y.109"]


@pytest.mark.slow
def test_the_desk_explains_refusals_by_the_codes_of_the_exchange(month: Played) -> None:
    folder, _proofs, _told = month
    with open_site(str(folder / "mo")) as site:
        rows = {row.rule: row for row in office.refused_list(site) if row.payer == "Q1"}
        papers = office.invoices(site)
    assert {"E1", "DL", "H8", "UM"} <= set(rows)
    title = PROFILE.rules.toml("moscow/form/F_77_0010_special_case_of_patient.toml")["title"]
    assert rows["E1"].message == title
    assert {paper.number for paper, _path in papers} >= {"1910-Q1"}


@pytest.mark.slow
def test_the_settlement_is_made_of_the_ledger(month: Played, tmp_path: Path) -> None:
    folder, _proofs, _told = month
    money = tmp_path / "money.csv"
    money.write_text("mo;s_avans;s_fine\n4902;1000.50;12.00\n", encoding="utf-8")
    with open_site(str(folder / "smo-q1")) as site:
        (file,) = side_tables.settlement(site, "2019-10", str(tmp_path), str(money))
        with pytest.raises(WrongState):
            side_tables.settlement(site, "2018-01", str(tmp_path))
    ((row,),) = [rows_of(Path(file).read_bytes(), tmp_path)]
    assert (row["LPU_ID"], row["PERIOD"], row["INFO_TYPE"]) == (4902, "201910", "M")
    kopecks = {name: round(row[name] * 100) for name in ("S_PRED", "S_PR_OPL", "S_EXPERT1", "S_K_PERECH", "S_AVANS")}
    assert kopecks["S_AVANS"] == 100050
    assert kopecks["S_EXPERT1"] < 0  # withheld
    assert kopecks["S_K_PERECH"] == kopecks["S_PR_OPL"] - kopecks["S_AVANS"] + kopecks["S_EXPERT1"]
    assert 0 < kopecks["S_PR_OPL"] < kopecks["S_PRED"]
    with open_site(str(folder / "mo")) as site, pytest.raises(WrongState):
        side_tables.settlement(site, "2019-10", str(tmp_path))


# ---- who is insured where ---------------------------------------------------------------------------


@pytest.fixture
def organisation(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    insurer = {"folder": "smo", "role": "smo", "code": "Q1", "name": "СМО"}
    homes.init(str(folder), "mo", own={"code": "4902", "name": "МО"}, partners=[insurer], profile="moscow")
    return folder


def test_the_registry_is_asked_about_every_patient(organisation: Path, tmp_path: Path) -> None:
    made = parcel(PROFILE, Order(services=60, seed=4))
    sent = tmp_path / "R4902Q11019.zip"
    sent.write_bytes(packed(made))
    with open_site(str(organisation)) as site:
        clock.set_wall(lambda: clock.parse("2019-11-01T10:00:00+03:00"))
        try:
            path = side_tables.persons_request(site, str(sent), str(tmp_path / "ask01.dbf"))
        finally:
            clock.set_wall(None)
    rows = rows_of(Path(path).read_bytes(), tmp_path)
    assert [row["RECID"] for row in rows] == [row["RECID"] for row in made.tables["R"]]
    assert all(row["DATE_OUT"] == date(2019, 10, 31) for row in rows)
    early = {row["RECID"] for row in rows if row["DATE_IN"] < date(2019, 10, 1)}
    by_policy = {row["SN_POL"]: row["RECID"] for row in made.tables["R"]}
    stays = {by_policy[row["SN_POL"]] for row in made.tables["S"] if row["TIP"] or row["COD"] == "99001"}
    assert early <= stays
    old = next((row for row in rows if row["TIP_D"] == "С"), None)
    assert old is None or (old["S_POL"], len(old["N_POL"])) == ("770012", 10)
    assert all(len(row["DR"]) == 8 for row in rows)


def test_non_residents_with_a_single_policy_are_not_asked_about(organisation: Path, tmp_path: Path) -> None:
    made = parcel(PROFILE, Order(services=60, seed=4, payer="IN"))
    sent = tmp_path / "R4902IN1019.zip"
    sent.write_bytes(packed(made))
    with open_site(str(organisation)) as site:
        path = side_tables.persons_request(site, str(sent), str(tmp_path / "ask02.dbf"))
    rows = rows_of(Path(path).read_bytes(), tmp_path)
    assert [row["RECID"] for row in rows] == [row["RECID"] for row in made.tables["R"] if row["TIP_P"] == "С"]
    assert all(not row["Q"] for row in rows)


@pytest.mark.parametrize("layout", ["ERZ_A", "ERZ_AN"])
def test_vectors_of_the_answer_are_told_by_the_book(layout: str, organisation: Path, tmp_path: Path) -> None:
    told = {
        **dict.fromkeys(["110", "211", "311", "411", "130", "231", "331", "431", "120", "210"], True),
        **dict.fromkeys(["000", "010", "020", "131", "139", "230", "330", "432", "***"], False),
    }
    fields = load_dbf_layout(PROFILE.rules, "moscow", layout).fields
    columns = [Column(one.name, one.kind, one.size, one.decimals) for one in fields]
    rows = [
        {"RECID": f"{n:07d}", "ANS_R": vector, "Q": "Q1", "N_POL": "7756910834000012", "TIP_D": "П", "LPU_PR": "4901"}
        for n, vector in enumerate(told)
    ]
    out = io.BytesIO()
    write(out, columns, [[row.get(one.name) for one in fields] for row in rows], "cp866", date(2019, 11, 1))
    file = tmp_path / "Ask01.dbf"
    file.write_bytes(out.getvalue())
    with open_site(str(organisation)) as site:
        found = side_tables.persons_answer(site, str(file))
    assert [(one.vector, one.positive) for one in found] == list(told.items())
    assert all(one.known and one.meaning for one in found)
    assert {one.payer for one in found if one.positive} == {"Q1"}
    assert {one.payer for one in found if not one.positive} == {""}
    assert {one.attached for one in found} == {"4901" if layout == "ERZ_AN" else ""}
