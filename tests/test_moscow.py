"""The file exchange of Moscow: tables, error codes of section 8, the answer of errors and what it means."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import pytest
import sqlglot

from oms_batch.errors import Refusal
from oms_batch.formats.dbf_gate import check
from oms_batch.formats.dbf_layout import load_dbf_layout
from oms_batch.judge.proof import test_rules as prove_rules
from oms_batch.judge.rulebook import load
from oms_batch.ruledata import RuleData
from oms_batch.synth.moscow import Order, parcel
from oms_batch.synth.moscow_files import members, name_of
from tests.moscow_tools import (
    PROFILE,
    Judged,
    answer,
    judged,
    judged_files,
    judged_parcel,
    packed,
    read,
    rows_of,
    spoiled,
    told_errors,
    zipped,
)

REFERENCE = os.environ.get("OMS_REFERENCE_DATA", "") + "/regional"
FIELDS, TEXT = f"{REFERENCE}/moscow_rules_1.4.5_dbf_fields.csv", f"{REFERENCE}/moscow_rules_1.4.5.txt"
needs_reference = pytest.mark.skipif(
    not os.path.isfile(FIELDS), reason="OMS_REFERENCE_DATA is not set: tables of Moscow are not compared with the rules"
)
# where the list of a table begins in the text of the rules → our layout
PLACES = {
    542: "H",
    555: "D",
    604: "NV",
    629: "R",
    659: "S",
    795: "HO",
    809: "SPR",
    817: "CTRL",
    832: "ME",
    889: "UD",
    900: "UP",
    934: "RY",
    952: "SY",
    983: "F13",
    1053: "PC",
    1073: "L",
    1152: "RIN",
    1210: "CTRL",
    2672: "ERZ_Q",
    2693: "ERZ_A",
    2709: "ERZ_AN",
}
BOOK = {row["code"]: row for row in PROFILE.rules.table("moscow/books/errors.csv")}
DEFECTS = PROFILE.rules.toml("moscow/synth/defects.toml")["defect"]
PARCELS = (("4902", "Q1"), ("4901", "Q1"), ("4902", "IN"))


@pytest.fixture(scope="module")
def hospital() -> Judged:
    return judged(Order(services=120, seed=5, each=2))


# ---- tables and rules as data -----------------------------------------------------------------------


@needs_reference
def test_every_field_of_the_rules_is_in_our_tables_with_its_type_and_size() -> None:
    found: dict[str, dict[str, tuple[str, str]]] = {}
    place, section = 0, ""
    with open(FIELDS, encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["section"] != section:
                place, section = int(row["line_in_text"]), row["section"]
            layout = PLACES.get(place)
            if layout is None:
                continue
            name = row["field"].upper().replace("С", "C").replace("Р", "P").strip(" *").replace(" ", "")
            found.setdefault(layout, {})[name] = (row["type"][0].upper().replace("С", "C"), row["size"].strip(" *"))
    assert sum(map(len, found.values())) > 250
    for layout, fields in found.items():
        ours = {one.name: one for one in load_dbf_layout(PROFILE.rules, "moscow", layout).fields}
        assert set(fields) <= set(ours), layout
        for name, (kind, size) in fields.items():
            one = ours[name]
            assert one.kind == {"Ч": "N", "Д": "D"}.get(kind, kind), f"{layout}.{name}"
            if kind != "D" and size:
                assert size == (f"{one.size}.{one.decimals}" if one.decimals else str(one.size)), f"{layout}.{name}"


@needs_reference
def test_every_error_code_of_section_8_is_known() -> None:
    lines = Path(TEXT).read_text(encoding="utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("8. Описание кодов ошибок"))
    end = next(
        n for n, line in enumerate(lines) if line.startswith("9. Регламент определения плательщика") and n > begin
    )
    code = re.compile(r"^(?:5\.[\d.]+)?\s*([A-ZЕСЕ][A-ZСЕ0-9])(?:\t|\s+[А-ЯЁ]|\s*$)")
    seen = {match[1].translate(str.maketrans("ЕС", "EC")) for line in lines[begin:end] if (match := code.match(line))}
    fields = {one.name for name in ("R", "S") for one in load_dbf_layout(PROFILE.rules, "moscow", name).fields}
    assert seen - fields <= set(BOOK)
    assert len(set(BOOK) - seen) <= 3, "codes that stand on a line of their own"


def test_every_error_code_has_its_rule_and_ground() -> None:
    book = load(RuleData(), ["moscow/form", "moscow/sense"])
    official = {code for rule in book.rules for code in rule.official if not rule.built_in}
    assert official == {code for code, row in BOOK.items() if row["how"] == "rule"}
    defects = {(row["key"], row["osn"], row["kod"]) for row in PROFILE.rules.table("common/books/defects.csv")}
    assert all((row["key"], row["osn230"], row["refreason"]) in defects for row in BOOK.values())
    assert all(
        rule.defect == BOOK[rule.official[0]]["key"] for rule in book.rules if rule.official and not rule.built_in
    )


def test_rules_are_portable_and_name_the_grounds_of_their_defect() -> None:
    grounds: dict[str, list[str]] = {}
    for row in PROFILE.rules.table("common/books/defects.csv"):
        grounds.setdefault(row["key"], []).append(row["osn"])
    for rule in load(RuleData(), ["moscow/form", "moscow/sense"]).rules:
        if rule.built_in:
            continue
        texts = [rule.select] if rule.select else [f"SELECT ({text}) AS v FROM t" for text in rule.expressions()]
        for text in texts:
            sqlglot.transpile(text, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
        assert rule.title_en and rule.advice and rule.advice_en, rule.code
        if rule.official:
            assert re.findall(r"п\. ([\d.]+)", rule.basis) == grounds[rule.defect], rule.code


def test_the_examples_of_all_rules_come_out_as_told() -> None:
    book = load(RuleData(), ["moscow/form", "moscow/sense"])
    found = prove_rules(book, RuleData())
    assert len(found) > 350
    assert [(one.code, one.why, one.found, one.reason) for one in found if not one.ok] == []


def test_every_code_that_a_rule_can_tell_is_planted() -> None:
    planted = {text.partition(":")[2] for one in DEFECTS for text in one["expect"]}
    told = {code for code, row in BOOK.items() if row["how"] != "not_told"}
    assert planted == told - {"HR"}  # a warning, planted too
    assert {one.get("warns") for one in DEFECTS} - {None} == {"K.77.0160", "K.77.0900"}


# ---- judging and the answer -------------------------------------------------------------------------


@pytest.mark.parametrize(("mo", "payer"), PARCELS)
def test_every_planted_error_is_written_and_no_other(mo: str, payer: str, tmp_path: Path) -> None:
    one = judged(Order(services=120, seed=f"{mo}{payer}", mo=mo, payer=payer, each=2))
    stage = "CTRLIN" if payer == "IN" else "CTRL"
    name, made, part = answer(one, stage)
    assert name == f"CTRL{mo}{payer}1019.zip"
    member = "CTRLIN.109" if payer == "IN" else f"CTRL{payer}.dbf"
    assert set(made) == {member, f"Pr{payer}109.html"}
    rows = rows_of(made[member], tmp_path)
    assert told_errors(rows) == one.made.expected
    assert len(rows) == len(one.made.expected)
    assert (part.accounts, part.claimed - part.accepted) == (one.made.services, one.total.kopecks)
    for row in rows:
        known = BOOK[row["ERRORS"][:-1]]
        assert row["ERRORS"][-1] == "A"
        assert (row["OSN230"], row["REFREASON"], row["ET230"]) == (f"{known['osn230']}.", known["refreason"], 1)
        assert row["LPU_ID"] == int(mo)
        assert row["FILE"].endswith(f"{payer}.109")
    warned = one.con.execute("SELECT rule, count(*) FROM findings WHERE severity = 'warn' GROUP BY rule").fetchall()
    assert dict(warned) == one.made.warned


def test_later_than_order_230_the_grounds_are_those_of_the_day(tmp_path: Path) -> None:
    one = judged(Order(services=0, period="2022-03", each=1, only=("E1", "DU", "DL")))
    rows = rows_of(answer(one, "CTRL")[1]["CTRLQ1.dbf"], tmp_path)
    told = {(row["ERRORS"], row["OSN230"], row["REFREASON"]) for row in rows}
    assert {("E1A", "1.4.4.", "207"), ("DUA", "1.4.3.", "206"), ("DLA", "1.10.2.", "222")} <= told


def test_claimed_and_accepted_say_who_is_paid(hospital: Judged, tmp_path: Path) -> None:
    _name, made, _part = answer(hospital, "Y")
    assert sorted(made) == ["RQ1Y.109", "SQ1Y.109"]
    people, services = (rows_of(made[name], tmp_path) for name in sorted(made))
    assert (len(people), len(services)) == (len(hospital.made.tables["R"]), hospital.made.services)
    refused = {row["RECID"] for row in services if row["ER_C"]}
    assert len(refused) == hospital.total.accounts
    first = {(kind, recid): code for kind, recid, code in sorted(hospital.made.expected) if kind == "S"}
    assert {("S", recid) for recid in refused} >= set(first)
    whole = {row["RECID"] for row in people if row["OPLATA"] == 2}
    assert {recid for kind, recid, _code in hospital.made.expected if kind == "R"} == whole
    assert {row["OPLATA"] for row in people} == {1, 2, 3}
    assert all(bool(row["ER_C"]) == (row["OPLATA"] == 2) for row in people)


@pytest.mark.parametrize("share", [2, 20, 100])
def test_whatever_stands_in_the_tables_every_rule_decides(share: int, tmp_path: Path) -> None:
    made = spoiled(parcel(PROFILE, Order(services=40, seed=share, each=1)), share)
    one = judged_parcel(made)
    for data in answer(one, "Y")[1].values():
        rows_of(data, tmp_path)
    told = told_errors(rows_of(answer(one, "CTRL")[1]["CTRLQ1.dbf"], tmp_path))
    refused = {recid for (recid,) in one.con.execute(
        "SELECT z.idcase FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n WHERE v.refused").fetchall()}  # fmt: skip
    named = {recid for kind, recid, _code in told if kind == "S"}
    operations = {row["RECID"] for row in made.tables["HO"]}
    assert named <= refused
    assert len(refused - named) <= len(operations)  # an operation refuses its service without a row of the service


def test_what_reading_finds_is_told_by_the_code_of_its_field(tmp_path: Path) -> None:
    made = parcel(PROFILE, Order(services=6, seed=8))
    made.tables["S"][0] |= {"LPU_ID": ""}  # required, and no code of section 8 speaks of it
    files = dict(members(PROFILE, made))
    table = check(io.BytesIO(files["SQ1.109"]))
    place = {one.name: table.header + offset for one, offset in zip(table.columns, table.offsets, strict=True)}
    spoilt = bytearray(files["SQ1.109"])
    at = place["D_U"] + table.record
    spoilt[at : at + 8] = b"2019AB01"
    one = judged_files(made, zipped({**files, "SQ1.109": bytes(spoilt)}))
    rows = rows_of(answer(one, "CTRL")[1]["CTRLQ1.dbf"], tmp_path)
    told = {(row["FILE"][0], row["RECID"], row["ERRORS"], row["OSN230"]) for row in rows if row["FILE"][0] == "S"}
    assert told == {("S", "0000001", "NVA", "5.1.1."), ("S", "0000002", "DUA", "5.1.3.")}


def test_a_record_without_a_number_sends_the_parcel_back() -> None:
    made = parcel(PROFILE, Order(services=6, seed=8))
    made.tables["S"][2]["RECID"] = ""
    one = judged_parcel(made)
    found = one.con.execute("SELECT refuses, z_sl_n, pers_n FROM findings WHERE severity = 'reject'").fetchall()
    assert found == [("register", None, None)]


def test_records_with_one_number_are_refused_alike(tmp_path: Path) -> None:
    made = parcel(PROFILE, Order(services=6, seed=8))
    made.tables["S"][1]["RECID"] = made.tables["S"][0]["RECID"]
    one = judged_parcel(made)
    assert one.total.accounts == 2
    rows = rows_of(answer(one, "CTRL")[1]["CTRLQ1.dbf"], tmp_path)
    assert {(row["RECID"], row["ERRORS"]) for row in rows if row["FILE"] == "SQ1.109"} == {("0000001", "DLA")}


def test_the_protocol_for_people_adds_up(hospital: Judged) -> None:
    page = answer(hospital, "CTRL")[1]["PrQ1109.html"].decode()
    assert "МО 4902, страховая Q1, 10.2019" in page
    *parts, whole = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in re.findall(r"<tr><td>.*?</tr>", page)]
    assert [one[0] for one in (*parts, whole)] == ["Прикреплённые к другой МО", "Неприкреплённые", "Всего"]
    assert (int(whole[3]), int(whole[3]) - int(whole[4])) == (hospital.made.services, hospital.total.accounts)
    sums = [[int(re.sub(r"\D", "", cell)) for cell in one[5:]] for one in (*parts, whole)]
    assert sums[-1] == [sum(column) for column in zip(*sums[:-1], strict=True)]
    assert sums[-1][6] - sums[-1][7] == hospital.total.kopecks
    assert sums[-1][6] == sums[-1][0] + sums[-1][2]


# ---- the tables as files ----------------------------------------------------------------------------


def test_what_we_write_another_library_reads(tmp_path: Path) -> None:
    made = parcel(PROFILE, Order(services=60, each=1))
    files = dict(members(PROFILE, made))
    assert sorted(files) == ["D4902.109", "HOQ1.109", "NV4902.109", "RQ1.109", "SPR4902.109", "SQ1.109"]
    rows = rows_of(files["SQ1.109"], tmp_path)
    assert [row["C_I"] or "" for row in rows] == [row["C_I"] for row in made.tables["S"]]
    assert [row["D_U"].isoformat() for row in rows] == [row["D_U"] for row in made.tables["S"]]
    people = rows_of(files["RQ1.109"], tmp_path)
    assert [row["FAM"] for row in people] == [row["FAM"] for row in made.tables["R"]]
    assert files["SQ1.109"][29] == 0x65  # the mark of code page 866


def test_equal_orders_give_equal_bytes() -> None:
    order = Order(services=40, seed="x", each=1)
    assert packed(parcel(PROFILE, order)) == packed(parcel(PROFILE, order))
    assert packed(parcel(PROFILE, order)) != packed(parcel(PROFILE, Order(services=40, seed="y", each=1)))


def test_a_parcel_is_read_whole() -> None:
    made = parcel(PROFILE, Order(services=50))
    con = read(packed(made), name_of(PROFILE, made)[0])
    for table, role in (("pers", "R"), ("z_sl", "S"), ("nv", "NV"), ("d", "D")):
        assert con.execute(f"SELECT count(*) FROM {table}").fetchone() == (len(made.tables[role]),)
    keys = con.execute("SELECT count(DISTINCT xkey), count(*) FILTER (pers_n IS NULL), min(sumv) > 0 FROM z_sl")
    assert keys.fetchone() == (len(made.tables["S"]), 0, True)
    assert con.execute("SELECT year, month, ogrn_mo, payer FROM register").fetchone() == (2019, 10, "4902", "Q1")


def test_a_zero_parcel_is_answered_with_an_empty_table(tmp_path: Path) -> None:
    one = judged(Order(services=0))
    assert one.made.services == 0
    _name, made, part = answer(one, "CTRL")
    assert rows_of(made["CTRLQ1.dbf"], tmp_path) == []
    assert (part.accounts, part.claimed) == (0, 0)


@pytest.mark.parametrize("lost", ["RQ1.109", "SQ1.109", "D4902.109", "NV4902.109", "SPR4902.109"])
def test_a_parcel_without_a_required_table_is_refused(lost: str) -> None:
    files = {name: data for name, data in members(PROFILE, parcel(PROFILE, Order(services=5))) if name != lost}
    with pytest.raises(Refusal) as refused:
        read(zipped(files), "R4902Q11019.zip")
    assert refused.value.code == "ZIP_CONTENT"


def test_the_passport_for_people_may_lie_in_a_parcel() -> None:
    files = dict(members(PROFILE, parcel(PROFILE, Order(services=5))))
    con = read(zipped({**files, "S_Q1109.pdf": b"%PDF-1.4"}), "R4902Q11019.zip")
    assert con.execute("SELECT count(*) >= 5 FROM z_sl").fetchone() == (True,)
    with pytest.raises(Refusal):
        read(zipped({**files, "S_Q2109.pdf": b"%PDF-1.4"}), "R4902Q11019.zip")


def test_tables_of_another_month_or_insurer_are_foreign() -> None:
    data = packed(parcel(PROFILE, Order(services=5)))
    for name in ("R4902Q11119.zip", "R4902Q21019.zip", "R4901Q11019.zip", "R4902IN1019.zip"):
        with pytest.raises(Refusal):
            read(data, name)


# ---- cost -------------------------------------------------------------------------------------------


def cost(kind: dict[str, str]) -> int | None:
    made = parcel(PROFILE, Order(services=1, seed=3))
    made.tables["S"] = [{**made.tables["S"][0], "D_U": "2019-10-20", "TIP": "", **kind}]
    row = read(packed(made), "R4902Q11019.zip").execute("SELECT sumv FROM z_sl").fetchone()
    return None if row is None or row[0] is None else int(row[0])


@pytest.mark.parametrize(
    ("kind", "kopecks"),
    [
        ({"COD": "1001", "K_U": "2"}, 82500),  # a service by number
        ({"COD": "97001", "K_U": "8"}, 696000),  # a day hospital by days
        ({"COD": "72001", "TIP": "0", "K_U": "3"}, 4480000),  # a finished standard as a whole
        ({"COD": "72001", "TIP": "8", "K_U": "3"}, 4480000),
        ({"COD": "72001", "TIP": "3", "K_U": "3"}, 1920000),  # a broken one by days
        ({"COD": "83001", "TIP": "0", "K_U": "3"}, 3690000),  # resuscitation: whole at the norm of days
        ({"COD": "83001", "TIP": "0", "K_U": "2"}, 2460000),
        ({"COD": "183001", "TIP": "0", "K_U": "40"}, 45600000),  # of children: days, thirty at most
        ({"COD": "200001", "TIP": "v", "K_U": "9"}, 15800000),  # high technology as a whole
        (
            {"COD": "300001", "TIP": "k", "K_U": "9", "K2": "1.105", "KUR": "1.013"},
            4589397,
        ),  # a group: both coefficients
        ({"COD": "300001", "TIP": "k", "K_U": "9"}, 4100000),
        ({"COD": "999999", "K_U": "1"}, None),
    ],
)
def test_cost_follows_section_2(kind: dict[str, str], kopecks: int | None) -> None:
    assert cost(kind) == kopecks
