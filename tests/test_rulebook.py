"""Loading rules: what is refused, what an overlay may change, and that every shipped rule is portable SQL."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from oms_batch.errors import SetupError
from oms_batch.exchange import load_profile
from oms_batch.judge.books import load_books, read_book
from oms_batch.judge.rule import Rule
from oms_batch.judge.rulebook import Rulebook, load
from oms_batch.ruledata import RuleData
from tests.judge_tools import SET, book, put, put_rule, register

FIELDS = (
    "code;table;column;must;arg;when;severity;defect;title;title_en;advice;advice_en;basis;official;valid_from;valid_to;"
    "ok;bad\n"
)


def shipped() -> Rulebook:
    """All rules of the profile, whatever the stage."""
    profile = load_profile("yaroslavl")
    sets = sorted({name for hop in (*profile.hops, *profile.sends) for name in hop.rules})
    return load(RuleData(), sets)


SHIPPED = shipped()


def test_shipped_rules_load_and_their_books_too() -> None:
    assert len([rule for rule in SHIPPED.rules if not rule.built_in]) > 20
    register(RuleData(), SHIPPED).close()


@pytest.mark.parametrize("rule", [rule for rule in SHIPPED.rules if not rule.built_in], ids=lambda rule: rule.code)
def test_sql_of_shipped_rules_is_portable(rule: Rule) -> None:
    texts = [rule.select] if rule.select else [f"SELECT ({text}) AS v FROM t" for text in rule.expressions()]
    for text in texts:
        assert sqlglot.parse_one(text, dialect="duckdb") is not None
        sqlglot.transpile(text, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fail": ""}, "[[pass]] and one [[fail]]"),
        ({"pass": ""}, "[[pass]] and one [[fail]]"),
        ({"severity": "fatal"}, "severity"),
        ({"defect": None}, "defect"),
        ({"basis": ""}, "basis"),
        ({"checked_on": None}, "checked_on"),
        ({"colour": "red"}, "colour"),
        ({"select": "SELECT 1"}, "exactly one of"),
        ({"fails_when": None}, "exactly one of"),
        ({"on": "nowhere"}, "on: no such table"),
        ({"valid_to": "2000-01-01", "valid_from": "2001-01-01"}, "valid_to"),
        ({"fails_when": "sumv > 1"}, "column sumv is written without its table"),
        ({"fails_when": "usl.sumv_usl > 1"}, "usl is neither"),
        ({"fails_when": "z_sl.sumv >"}, "SQL"),
        ({"fails_when": "z_sl.date_z_2 < current_date"}, "current_date"),
        ({"fails_when": "random() > z_sl.sumv"}, "random"),
        ({"fails_when": "z_sl.sumv > 1) OR (SELECT TRUE FROM read_csv('/etc/passwd')"}, "read_csv"),
        ({"fails_when": "EXISTS (SELECT 1 FROM 'secrets.csv' s WHERE s.a = z_sl.sumv)"}, "table"),
        ({"fails_when": "EXISTS (SELECT 1 FROM other.z_sl s WHERE s.a = z_sl.sumv)"}, "schema"),
        ({"fails_when": "row_number() OVER () > z_sl.sumv"}, "window"),
        ({"fails_when": None, "select": "DELETE FROM z_sl"}, "SQL"),
        ({"fails_when": None, "select": "SELECT 1 AS n; DROP TABLE z_sl"}, "SQL"),
        ({"fails_when": None, "select": "SELECT n FROM glob('/*')"}, "glob"),
    ],
)
def test_what_a_rule_may_not_be(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    put_rule(tmp_path, **changes)
    with pytest.raises(SetupError) as caught:
        book(tmp_path)
    assert named in str(caught.value)
    assert f"{SET}/K_76_9010_is_wrong.toml" in str(caught.value)


def test_an_error_names_the_key_and_not_the_value(tmp_path: Path) -> None:
    put_rule(tmp_path, severity="Ivanov")
    with pytest.raises(SetupError, match="severity") as caught:
        book(tmp_path)
    assert "Ivanov" not in str(caught.value)


def test_the_file_name_starts_with_the_code_and_codes_are_unique(tmp_path: Path) -> None:
    put_rule(tmp_path)
    first = tmp_path / SET / "K_76_9010_is_wrong.toml"
    put(tmp_path, f"{SET}/K_76_9010_other.toml", first.read_text(encoding="utf-8"))
    with pytest.raises(SetupError, match=r"K\.76\.9010 is taken"):
        book(tmp_path)
    (tmp_path / SET / "K_76_9010_other.toml").rename(tmp_path / SET / "K_76_9011_other.toml")
    with pytest.raises(SetupError, match="file name"):
        book(tmp_path)


def test_an_overlay_retunes_retires_and_sets(tmp_path: Path) -> None:
    put_rule(tmp_path, code="K.76.9001")
    put_rule(tmp_path, code="K.76.9002")
    put(tmp_path, "yaroslavl/params.toml", "[[param]]\nname='most'\nvalue=3\ntitle='t'\nbasis='b'\n")
    before = book(tmp_path)[1]
    why = "because='b'\nbasis='c'\n"
    put(tmp_path, "yaroslavl/overlay.toml",
        f"[[retune]]\ncode='K.76.9001'\nseverity='warn'\n{why}[[retire]]\ncode='K.76.9002'\n{why}"
        f"[[set]]\nparam='most'\nvalue=4\n{why}")  # fmt: skip
    after = book(tmp_path)[1]
    one, two = after.get("K.76.9001"), after.get("K.76.9002")
    assert one is not None and two is not None
    assert (one.severity, two.status) == ("warn", "retired")
    assert (dict(before.params)["most"], dict(after.params)["most"]) == ("3", "4")
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "[[retune]]\ncode='K.76.9010'\nseverity='warn'\nbasis='c'\n",
        "[[retire]]\ncode='K.76.9010'\nbecause='c'\n",
        "[[set]]\nparam='nowhere'\nvalue=1\nbecause='b'\nbasis='c'\n",
        "[[rewrite]]\ncode='K.76.9010'\n",
        "[[retune]]\ncode='K.76.9010'\nseverity='fatal'\nbecause='b'\nbasis='c'\n",
    ],
)
def test_an_overlay_gives_its_reason_and_has_three_verbs(tmp_path: Path, text: str) -> None:
    put_rule(tmp_path)
    put(tmp_path, "yaroslavl/overlay.toml", text)
    with pytest.raises(SetupError, match=r"overlay\.toml"):
        book(tmp_path)


def test_the_fingerprint_changes_with_what_decides_and_not_with_the_words(tmp_path: Path) -> None:
    put_rule(tmp_path)
    first = book(tmp_path)[1].fingerprint
    put_rule(tmp_path, title="Иначе сказано", checked_on="2026-11-22")
    assert book(tmp_path)[1].fingerprint == first
    put_rule(tmp_path, fails_when="COALESCE(z_sl.sumv, 0) > 100002")
    assert book(tmp_path)[1].fingerprint != first


def test_a_line_of_fields_is_a_rule(tmp_path: Path) -> None:
    lines = (
        "F.76.0001;usl;code_usl;in_list;tariffs;;reject;field_wrong;t;;;;b;;2011-01-01;;B01.047.001;B99\n"
        "F.76.0002;pers;w;in_set;1|2;;warn;;t;;;;b;Q1|Q2;;;1|2;3|-1\n"
        "F.76.0003;z_sl;ishod;present;;z_sl.usl_ok = '3';warn;;t;;;;b;;;;301;-\n"
        "F.76.0004;z_sl;iddokt;mask;[0-9]{3}-[0-9]{3}-[0-9]{3} [0-9]{2};;warn;;t;;;;b;;;;087-654-303 00|-;12\n"
        "F.76.0005;z_sl;date_z_2;relates;COALESCE(z_sl.date_z_1 <= z_sl.date_z_2, TRUE);;warn;;t;;;;b;;;;"
        "2026-10-20;2026-01-01\n"
        "F.76.0006;register;number_mek;absent;;;warn;;t;;;;b;;;;-;5\n"
    )
    put(tmp_path, f"{SET}/fields.csv", FIELDS + lines)
    rules = {rule.code: rule for rule in book(tmp_path)[1].rules}
    assert rules["F.76.0002"].official == ("Q1", "Q2")
    assert rules["F.76.0001"].books() == {"tariffs"}
    assert [rules[f"F.76.000{i}"].refuses for i in (1, 2, 6)] == ["account", "person", "register"]
    assert rules["F.76.0001"].valid_from == date(2011, 1, 1)
    assert {rule.run_pass for rule in rules.values() if not rule.built_in} == {"form"}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("F.76.0001;pers;w;is_nice;;;warn;;t;;;;b;;;;1;2\n", "must"),
        ("F.76.0001;pers;w;mask;[;;warn;;t;;;;b;;;;1;2\n", "arg"),
        ("F.76.0001;pers;dr;present;;;warn;;t;;;;b;;;;32.12.2020;-\n", "example value"),
        ("F.76.0001;pers;w;present;;;warn;;t;;;;b;;;;1;\n", "[[fail]]"),
        ("F.76.0001;pers;w;present;;;warn;;t;;;;b;;01.01.2011;;1;-\n", "YYYY-MM-DD"),
    ],
)
def test_what_a_line_of_fields_may_not_be(tmp_path: Path, line: str, named: str) -> None:
    put(tmp_path, f"{SET}/fields.csv", FIELDS + line)
    with pytest.raises(SetupError, match=r"fields\.csv") as caught:
        book(tmp_path)
    assert named in str(caught.value)


BOOK = "yaroslavl/books/fees.csv"


def test_a_book_is_typed_and_dated(tmp_path: Path) -> None:
    put(tmp_path, BOOK, "# origin: test\ncode;fee:kopecks;least:int;name;valid_from;valid_to\n"
        "001;12.5;-3;\"a;b\";2020-01-01;2020-12-31\n001;13;;;2021-01-01;\n")  # fmt: skip
    rules = RuleData(str(tmp_path))
    con = register(rules, SHIPPED)
    editions = load_books(con, rules, "yaroslavl", ["fees"])
    assert con.execute(
        "SELECT code, fee, least, name, valid_from, valid_to FROM book_fees ORDER BY ALL"
    ).fetchall() == [
        ("001", 1250, -3, "a;b", date(2020, 1, 1), date(2020, 12, 31)),
        ("001", 1300, None, None, date(2021, 1, 1), None),
    ]
    assert len(editions["fees"]) == 8


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("code;name\n", "no rows"),
        ("code;name\n1;a;b\n", "another number of columns"),
        (
            "code;valid_from;valid_to\n1;2020-01-01;\n1;2021-01-01;\n",
            "two rows are valid on one day for one code (data row 2)",
        ),
        ("code;valid_from;valid_to\n1;2020-01-01;2020-06-01\n1;2020-06-01;\n", "two rows are valid"),
        ("code;valid_from;valid_to\n1;2020-01-01;2019-01-01\n", "valid_to is before"),
        ("code;valid_from\n1;2020-13-01\n", "valid_from: not a date (data row 1)"),
        ("code;fee:kopecks\n1;1.234\n", "fee: not a kopecks"),
        ("code;fee:int\n1;1.5\n", "fee: not a int"),
        ("code;Имя\n1;a\n", "head"),
        ("code;code\n1;a\n", "twice"),
        ("code;name\n;a\n", "empty key"),
    ],
)
def test_what_a_book_may_not_be(tmp_path: Path, text: str, named: str) -> None:
    put(tmp_path, BOOK, text)
    with pytest.raises(SetupError) as caught:
        read_book(RuleData(str(tmp_path)), "yaroslavl", "fees")
    assert named in str(caught.value)
    assert "fees.csv" in str(caught.value)


def test_a_missing_book_stops_the_set_up(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="nowhere"):
        read_book(RuleData(str(tmp_path)), "yaroslavl", "nowhere")


def test_a_key_of_two_columns(tmp_path: Path) -> None:
    put(tmp_path, BOOK, "code:key;kind:key;name\n1;a;x\n1;b;y\n")
    assert read_book(RuleData(str(tmp_path)), "yaroslavl", "fees").keys == ("code", "kind")
    put_rule(tmp_path, "[[lookup]]\nname='fee'\nbook='fees'\non={ code='z_sl.vg' }\n", fails_when="fee.code IS NULL")
    rules, rulebook = book(tmp_path)
    with pytest.raises(SetupError, match="two rows of book_fees"):
        register(rules, rulebook)
