"""The engine: four outcomes, two passes, fail closed, validity by the account's own day, nothing lost under a cap."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oms_batch.errors import SetupError
from oms_batch.judge.engine import RuleFailed, prepare, run, seal
from oms_batch.judge.scan import SCAN_RULES, renamed
from tests.judge_tools import RULE, book, judged, put_rule, register

RICH = {"z_sl": {"sumv": 100001}}
SELECT = "SELECT z_sl.n AS n, 'z_sl.xkey' AS element, z_sl.xkey AS value FROM z_sl WHERE {}"


def found(con: duckdb.DuckDBPyConnection, columns: str = "rule, n") -> list[tuple[object, ...]]:
    return con.execute(f"SELECT {columns} FROM findings ORDER BY ALL").fetchall()


def test_passed_and_found(tmp_path: Path) -> None:
    code = put_rule(tmp_path)
    con, plan = judged(tmp_path, {}, RICH)
    assert (plan[code].outcome, plan[code].found, plan[code].total) == ("found", 1, 2)
    row = "rule, run_pass, severity, unit, n, z_sl_n, pers_n, element, value, line, refuses"
    assert found(con, row) == [(code, "sense", "reject", "z_sl", 1001, 1001, 1001, "z_sl.sumv", "100001", 1, "account")]
    assert judged(tmp_path, {})[1][code].outcome == "passed"


def test_value_and_element_of_a_service_reach_the_finding(tmp_path: Path) -> None:
    put_rule(tmp_path, on="usl", fails_when="usl.code_usl = 'X'", value="concat('code ', usl.code_usl)",
             element="usl.code_usl",
             fail="[[fail]]\nwhy='x'\n[fail.usl]\ncode_usl='X'\n")  # fmt: skip
    con, _ = judged(tmp_path, {}, {"usl": {"code_usl": "X"}})
    assert found(con, "n, z_sl_n, pers_n, element, value") == [(1001, 1001, 1001, "usl.code_usl", "code X")]


def test_undecided_is_a_rule_that_did_not_run(tmp_path: Path) -> None:
    put_rule(tmp_path, fails_when="z_sl.ishod = '999'", fail="[[fail]]\nwhy='x'\n[fail.z_sl]\nishod='999'\n")
    with pytest.raises(RuleFailed) as caught:
        judged(tmp_path, {}, {"empty": ["z_sl.ishod"]})
    assert caught.value.failed == (("K.76.9010", "undecided on 1 of z_sl"),)


def test_a_draft_does_not_stop_the_answer_but_any_other_rule_that_breaks_does(tmp_path: Path) -> None:
    fail = "[[fail]]\nwhy='x'\n[fail.z_sl]\nishod='999'\n"
    two = put_rule(tmp_path, code="K.76.9002", fails_when="z_sl.ishod = '999'", status="draft", fail=fail)
    con, plan = judged(tmp_path, {}, {"empty": ["z_sl.ishod"]})
    assert plan[two].outcome == "failed"
    assert found(con) == []
    put_rule(tmp_path, code="K.76.9001", fails_when="z_sl.ishod = '999'", mandatory=False, fail=fail)
    with pytest.raises(RuleFailed, match=r"K\.76\.9001"):
        judged(tmp_path, {}, {"empty": ["z_sl.ishod"]})


def test_a_draft_never_rejects(tmp_path: Path) -> None:
    put_rule(tmp_path, status="draft")
    con, _ = judged(tmp_path, RICH)
    assert found(con, "severity") == [("warn",)]


def test_the_rule_that_breaks_a_wide_scan_is_named_and_its_value_is_not(tmp_path: Path) -> None:
    put_rule(tmp_path, code="K.76.9001")
    broken = "CAST(z_sl.nhistory AS BIGINT) = 5"
    put_rule(tmp_path, code="K.76.9002", fails_when=broken, fail="[[fail]]\nwhy='x'\n[fail.z_sl]\nnhistory='5'\n",
             **{"pass": "[[pass]]\nwhy='6'\n[pass.z_sl]\nnhistory='6'\n"})  # fmt: skip
    with pytest.raises(RuleFailed) as caught:
        judged(tmp_path, {"z_sl": {"nhistory": "Secretov"}})
    assert caught.value.failed == (("K.76.9002", "ConversionException"),)
    assert "Secretov" not in str(caught.value)


def test_column_that_the_layout_lacks(tmp_path: Path) -> None:
    put_rule(tmp_path, fails_when="z_sl.nowhere = 1")
    with pytest.raises(RuleFailed, match="no such element in this layout"):
        judged(tmp_path)
    code = put_rule(tmp_path, fails_when="z_sl.nowhere = 1", mandatory=False)
    plan = judged(tmp_path)[1]
    assert (plan[code].outcome, plan[code].reason) == ("skipped", "no such element in this layout")


def test_what_a_rule_needs(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"needs": ["ident"], "fails_when": "NOT COALESCE(ident.found, FALSE)"}
    fail = "[[fail]]\nwhy='x'\n[fail.ident]\nfound=false\n"
    for mandatory in (True, False):
        code = put_rule(tmp_path, fail=fail, mandatory=mandatory, **changes)
        rules, rulebook = book(tmp_path)
        con = register(rules, rulebook, {}, {"ident": {"found": False}})
        assert [row.found for row in run(con, rulebook) if row.code == code] == [1]
        con.execute("DELETE FROM findings")
        con.execute("DROP TABLE ident")
        if mandatory:
            with pytest.raises(RuleFailed, match="needs ident"):
                run(con, rulebook)
        else:
            assert [row.outcome for row in run(con, rulebook) if row.code == code] == ["skipped"]


def test_form_rejects_leave_the_sense_pass_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    fail = "[[fail]]\nwhy='x'\n[fail.z_sl]\nvg='9'\n"
    put_rule(tmp_path, code="F.76.0001", run_pass="form", fails_when="COALESCE(z_sl.vg = '9', FALSE)", fail=fail)
    services = "[[fail]]\nwhy='x'\nexpect=2\n"
    sense = put_rule(tmp_path, code="K.76.0002", on="usl", fails_when="usl.n IS NOT NULL", fail=services,
                     element="usl.n", **{"pass": "[[pass]]\nwhy='no'\nusl=[]\n"})  # fmt: skip
    select = put_rule(tmp_path, code="K.76.0003", select=SELECT.format("TRUE"), fails_when=None,
                      fail="[[fail]]\nwhy='x'\n", **{"pass": "[[pass]]\nwhy='no'\nz_sl=[]\n"})  # fmt: skip
    persons = put_rule(tmp_path, code="K.76.0004", on="pers", fails_when="pers.n > 0", fail="[[fail]]\nwhy='x'\n",
                       element="pers.n", **{"pass": "[[pass]]\nwhy='no'\npers=[]\n"})  # fmt: skip
    con, plan = judged(tmp_path, {}, {"z_sl": {"vg": "9"}}, {"z_sl": [{"vg": "9"}, {}]})
    assert (plan["F.76.0001"].found, plan["F.76.0001"].total) == (2, 4)
    assert (plan[sense].found, plan[sense].total) == (2, 2)
    assert (plan[select].found, plan[select].total) == (2, 2)
    assert (plan[persons].found, plan[persons].total) == (2, 2)
    assert con.execute("SELECT count(*) FROM z_sl").fetchone() == (4,)


def test_a_persons_reject_takes_all_accounts_of_that_person_out_of_the_sense_pass(tmp_path: Path) -> None:
    put_rule(tmp_path, code="F.76.0001", run_pass="form", on="pers", refuses="person", element="pers.w",
             fails_when="COALESCE(pers.w = '5', FALSE)", fail="[[fail]]\nwhy='x'\n[fail.pers]\nw='5'\n")  # fmt: skip
    sense = put_rule(tmp_path)
    plan = judged(tmp_path, {"pers": {"w": "5"}, "z_sl": [{"sumv": 100001}, {}]}, RICH)[1]
    assert (plan[sense].found, plan[sense].total) == (1, 1)


def test_structural_rejects_count_too(tmp_path: Path) -> None:
    sense = put_rule(tmp_path)
    rules, rulebook = book(tmp_path)
    con = register(rules, rulebook, RICH, RICH)
    con.execute("INSERT INTO findings VALUES ('S.00.0010', 'structure', 'reject', 'z_sl', 1, 1, 1, 'z_sl.vg', NULL, 5, "
                "'account')")  # fmt: skip
    plan = {row.code: row for row in run(con, rulebook)}
    assert (plan[sense].found, plan[sense].total) == (1, 1)
    assert (plan["S.00.0010"].outcome, plan["S.00.0010"].found) == ("found", 1)


def test_a_register_refused_as_a_whole_has_no_sense_pass(tmp_path: Path) -> None:
    put_rule(tmp_path, code="F.76.0001", run_pass="form", on="register", refuses="register", element="register.year",
             fails_when="COALESCE(register.year < 2011, TRUE)",
             fail="[[fail]]\nwhy='x'\n[fail.register]\nyear=2010\n")  # fmt: skip
    sense = put_rule(tmp_path)
    con, plan = judged(tmp_path, {"register": {"year": 2010}, **RICH})
    assert (plan[sense].outcome, plan[sense].reason) == ("skipped", "the register is refused as a whole")
    assert found(con) == [("F.76.0001", 1)]


def test_rules_count_by_the_accounts_own_day(tmp_path: Path) -> None:
    code = put_rule(tmp_path, valid_from="2026-10-10", valid_to="2026-10-20")
    days = [date(2026, 10, day) for day in (9, 10, 20, 21)]
    con, plan = judged(tmp_path, *({"z_sl": {"sumv": 100001, "date_z_2": day}} for day in days))
    assert found(con, "n") == [(1001,), (2001,)]
    assert plan[code].total == 2


def test_select_rules_count_by_the_accounts_own_day(tmp_path: Path) -> None:
    code = put_rule(tmp_path, valid_from="2026-10-10", select=SELECT.format("z_sl.sumv > 100000"), fails_when=None)
    days = [date(2026, 10, day) for day in (9, 10)]
    con, plan = judged(tmp_path, *({"z_sl": {"sumv": 100001, "date_z_2": day}} for day in days))
    assert (found(con, "n"), plan[code].found, plan[code].total) == ([(1001,)], 1, 1)


def test_rules_out_of_force_and_retired_are_skipped_with_the_reason(tmp_path: Path) -> None:
    old = put_rule(tmp_path, code="K.76.9001", valid_to="2020-12-31")
    new = put_rule(tmp_path, code="K.76.9002", valid_from="2027-01-01")
    gone = put_rule(tmp_path, code="K.76.9003", status="retired")
    con, plan = judged(tmp_path, RICH)
    assert [plan[code].outcome for code in (old, new, gone)] == ["skipped"] * 3
    assert [plan[code].reason for code in (old, gone)] == ["not in force on these days", "retired"]
    assert found(con) == []


def test_an_undated_account_is_judged_by_the_last_day_of_the_period(tmp_path: Path) -> None:
    put_rule(tmp_path, valid_from="2026-10-31")
    con, _ = judged(tmp_path, {**RICH, "empty": ["z_sl.date_z_2"]}, RICH)
    assert found(con, "n") == [(1,)]


def test_equal_lookups_are_joined_once_and_the_row_of_the_day_is_taken(tmp_path: Path) -> None:
    tail = "[[lookup]]\nname='{}'\nbook='tariffs'\non={{ code='usl.code_usl' }}\ndate='z_sl.date_z_2'\n"
    fail = "[[fail]]\nwhy='x'\n[fail.usl]\nsumv_usl=1\n"
    for code, name in (("K.76.0001", "tarif"), ("K.76.0002", "price_row")):
        wrong = f"{name}.code IS NULL OR usl.sumv_usl <> CAST({name}.price AS BIGINT)"
        put_rule(tmp_path, tail.format(name), code=code, on="usl", fails_when=wrong, element="usl.sumv_usl", fail=fail,
                 value=f"'{name}.price ' || CAST({name}.price AS VARCHAR)")  # fmt: skip
    old = {"z_sl": {"date_z_2": date(2025, 6, 1)}}
    con, _ = judged(tmp_path, {}, old)
    assert {row[0] for row in found(con, "n")} == {1001, 1002}
    assert ("tarif.price 49700",) in found(con, "value")
    assert (
        renamed("tarif.code = 'tarif.code' AND other.tarif.x", {"tarif": "lk"})
        == "lk.code = 'tarif.code' AND other.tarif.x"
    )


def test_more_rules_than_one_scan_holds(tmp_path: Path) -> None:
    for number in range(SCAN_RULES + 5):
        put_rule(tmp_path, code=f"K.76.{number:04}", fails_when=f"COALESCE(z_sl.sumv, 0) > {100000 + number}")
    con, plan = judged(tmp_path, {"z_sl": {"sumv": 100010}})
    assert len(found(con)) == 10
    assert sum(row.found for row in plan.values()) == 10


def test_a_select_that_names_no_row_of_its_table_fails(tmp_path: Path) -> None:
    put_rule(tmp_path, select=SELECT.format("TRUE").replace("z_sl.n", "77"), fails_when=None)
    with pytest.raises(RuleFailed, match="returned 1 keys"):
        judged(tmp_path)


def test_the_cap_keeps_counting_and_loses_no_refusal(tmp_path: Path) -> None:
    reject = put_rule(tmp_path, code="K.76.0001", on="usl", fails_when="usl.n > 0", element="usl.n",
                      **{"pass": "[[pass]]\nwhy='no'\nusl=[]\n", "fail": "[[fail]]\nwhy='x'\nexpect=2\n"})  # fmt: skip
    warn = put_rule(tmp_path, code="K.76.0002", on="usl", fails_when="usl.n > 0", element="usl.n", severity="warn",
                    **{"pass": "[[pass]]\nwhy='no'\nusl=[]\n", "fail": "[[fail]]\nwhy='x'\nexpect=2\n"})  # fmt: skip
    con, plan = judged(tmp_path, {}, {}, {}, kept=1)
    assert (plan[reject].found, plan[warn].found) == (6, 6)
    kept = found(con, "rule, z_sl_n")
    assert kept == [(reject, 1), (reject, 1001), (reject, 2001), (warn, 1)]


def test_rule_sql_reaches_no_file_once_sealed(tmp_path: Path) -> None:
    put_rule(tmp_path)
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    (tmp_path / "box").mkdir()
    rules, rulebook = book(tmp_path)
    con = register(rules, rulebook, RICH)
    prepare(con, memory_mb=500, threads=1, spill=str(tmp_path / "box"))
    seal(con, folders=[str(tmp_path / "box")])
    assert {row.outcome for row in run(con, rulebook)} == {"found", "passed"}
    for query in (f"SELECT * FROM read_csv('{tmp_path}/secret.csv')", f"SELECT * FROM '{tmp_path}/secret.csv'",
                  f"ATTACH '{tmp_path}/x.db'", f"COPY (SELECT 1) TO '{tmp_path}/x.csv'",
                  "SET threads = 4"):  # fmt: skip
        with pytest.raises(duckdb.Error):
            con.execute(query)
    con.execute(f"COPY (SELECT 1 AS a) TO '{tmp_path}/box/x.parquet' (FORMAT parquet)")


def test_the_search_path_is_put_back_after_a_failure(tmp_path: Path) -> None:
    put_rule(tmp_path, fails_when="z_sl.ishod = '999'", fail="[[fail]]\nwhy='x'\n[fail.z_sl]\nishod='999'\n")
    rules, rulebook = book(tmp_path)
    con = register(rules, rulebook, {"empty": ["z_sl.ishod"]})
    with pytest.raises(SetupError):
        run(con, rulebook)
    assert con.execute("SELECT current_schema()").fetchone() == ("main",)
    assert con.execute("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'sense'").fetchone() == (0,)
    assert RULE["code"] == "K.76.9010"


def test_where_the_time_went(tmp_path: Path) -> None:
    """A ``select`` rule under its own code, a scan under its first one; the plan, which answers hold, knows no time."""
    lone = put_rule(tmp_path, select=SELECT.format("z_sl.sumv > 100000"), fails_when=None, code="Z.01.0002")
    scans = [put_rule(tmp_path, code=f"Z.01.{n:04}") for n in (3, 4)]
    rules, rulebook = book(tmp_path)
    spent: dict[str, float] = {}
    run(register(rules, rulebook, RICH), rulebook, spent=spent)
    assert set(spent) == {lone, f"{scans[0]} +1"}
    assert all(seconds >= 0 for seconds in spent.values())
