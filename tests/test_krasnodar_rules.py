"""Rules and books of the personal-account exchange: they prove themselves and agree with each other."""

from __future__ import annotations

import re

import duckdb

from oms_batch.formats import canon
from oms_batch.formats.dbf_layout import layouts_of
from oms_batch.judge import rulebook
from oms_batch.judge.proof import test_rules as prove
from oms_batch.synth.krasnodar_files import LATER, columns_of
from oms_batch.synth.krasnodar_planting import catalogue
from tests.krasnodar_tools import PROFILE, RULES, payers_book

OWN = ["krasnodar/form", "krasnodar/sense", "krasnodar/payer"]
BOOK = rulebook.load(RULES, OWN, "krasnodar")
RULES_OWN = [rule for rule in BOOK.rules if not rule.built_in]


def test_examples_come_out_as_they_say() -> None:
    found = prove(payers_book(), RULES)
    assert [one for one in found if not one.ok] == []
    assert len(found) > 650 and len(RULES_OWN) > 45


def test_codes_stand_in_their_sets_and_titles_are_said_once() -> None:
    letters = {"krasnodar/form": "F.23.", "krasnodar/sense": "K.23.", "krasnodar/payer": "I.23."}
    assert all(rule.code.startswith(letters[rule.set_name]) for rule in RULES_OWN)
    titles = [rule.title for rule in RULES_OWN]
    assert len(set(titles)) == len(titles)
    assert all(rule.title_en and rule.advice.endswith(".") and rule.advice_en.endswith(".") for rule in RULES_OWN)


def test_every_defect_that_refuses_has_a_code_of_return() -> None:
    whole = payers_book()
    coded = {row["defect"]: row["code"] for row in RULES.table("krasnodar/books/spr15.csv")}
    assert {rule.defect for rule in whole.rules if rule.severity == "reject"} <= set(coded)
    assert len(set(coded.values())) == len(coded) and all(len(code) == 3 for code in coded.values())
    known = {row["key"] for row in RULES.table("common/books/defects.csv")}
    assert set(coded) <= known


def test_kinds_of_registers_in_the_script_are_those_of_the_book() -> None:
    kinds = RULES.table("krasnodar/books/spr21.csv")
    by_role = {role: {row["code"] for row in kinds if row["role"] == role} for role in ("returned", "repeat")}
    assert by_role == {"returned": set("37bfjn"), "repeat": set("59dhlp")}
    lists = re.findall(r"\.vs IN \(([^)]*)\)", RULES.read("krasnodar/canon.sql").decode())
    found = [set(re.findall(r"'(.)'", one)) for one in lists]
    assert all(
        one in (by_role["returned"], by_role["repeat"], by_role["returned"] | by_role["repeat"]) for one in found
    )
    for row in kinds:
        same = {
            (other["returned"], other["repeat"]) for other in kinds if other["code"] in row["returned"] + row["repeat"]
        }
        assert same == {(row["returned"], row["repeat"])}


def test_conditions_of_care_begin_with_the_code_of_the_federal_book() -> None:
    assert all(row["code"][0] == row["usl_ok"] for row in RULES.table("krasnodar/books/spr13.csv"))


def test_the_script_makes_the_tables_that_all_profiles_have() -> None:
    made = canon.describe(RULES, "krasnodar")
    assert {"register", "pers", "z_sl", "usl", "ds", "naz"} <= set(made.columns)
    for table in ("pers", "z_sl", "usl", "ds"):
        assert list(made.columns[table])[:2] == ["n", "up_n"]
    assert made.columns["z_sl"]["sumv"] == "BIGINT" == made.columns["usl"]["sumv_usl"]
    assert made.parents["usl"] == "z_sl" and made.parents["pers"] == "register"


def test_layouts_are_those_of_the_exchange() -> None:
    fields = {one.name: [field.name for field in one.fields] for one in layouts_of(RULES, "krasnodar")}
    early, later = ({name: len(columns_of(PROFILE, name, version)) for name in fields} for version in ("", LATER))
    assert {name: early[name] for name in ("P", "U", "D", "N", "R", "FLK")} == {
        "P": 54, "U": 26, "D": 9, "N": 5, "R": 9, "FLK": 28
    }  # fmt: skip
    assert {name: later[name] for name in "PUDNROICEM"} == {
        "P": 63, "U": 44, "D": 10, "N": 8, "R": 14, "O": 23, "I": 10, "C": 8, "E": 14, "M": 9
    }  # fmt: skip
    assert set(fields["FLK"]) <= set(fields["P"])


def test_defects_of_the_generator_name_rules_that_exist() -> None:
    codes = {rule.code for rule in payers_book().rules}
    planted = catalogue(PROFILE)
    assert {code for one in planted for code in one.gives} <= codes
    assert all(bool(one.pv) is one.rejects for one in planted)
    kept = {code for one in planted for code in one.gives if code[1:4] == ".23"}
    assert len(kept) >= 30


def test_the_key_of_a_repeat_names_the_register_of_the_return() -> None:
    con = duckdb.connect()
    canon.create_raw(con, RULES, "krasnodar")
    con.execute(
        """INSERT INTO p_rec (n, line, ns, vs, dats, sn, code_mo, comment) VALUES
        (1, 1, '26111', '5', '2026-11-30', '7', '07001', '26101'),
        (2, 2, '26111', '2', '2026-11-30', '8', '07001', '26101'),
        (3, 3, '26111', '5', '2026-11-30', '9', '07001', 'later'),
        (4, 4, '26111', '3', '2026-11-30', '10', '07001', '26101')"""
    )
    con.execute(RULES.read("krasnodar/canon.sql").decode())
    rows = con.execute("SELECT xkey, x_key2, pr_nov, pay FROM z_sl ORDER BY n").fetchall()
    assert rows == [
        ("07001-26111-7", "07001-26101-7", "2", None),
        ("07001-26111-8", None, "1", None),
        ("07001-26111-9", None, "2", None),
        ("07001-26111-10", "07001-26101-10", "2", "4"),
    ]
