"""Cancelled policies, lists of policies in force, days on which a policy is looked for, doubts and decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any

import duckdb
import pytest

from oms_batch.judge import identify as search_room
from oms_batch.judge.books import load_books
from oms_batch.judge.identify import load_search
from oms_batch.judge.policies import key
from oms_batch.judge.tables import load_tables
from oms_batch.ruledata import RuleData
from oms_batch.store.insured import import_rows
from tests.test_identify import ASKED, PETR, old_policy

RULES = RuleData()
E1, E2 = "7656910834000012", "7656910834000020"
DAY = date(2026, 10, 15)
STOP = ("key", "gone", "smo", "date_end", "vpolis_new", "spolis_new", "npolis_new", "smo_new", "okato_new")


class Look:
    """A register of one profile, asked against insured persons and lists of policies in one memory."""

    def __init__(self, folder: Path, profile: str = "yaroslavl") -> None:
        self.folder, self.search = folder, load_search(RULES, profile)
        self.con = duckdb.connect(":memory:")
        tables = load_tables(RULES, profile)
        for name in ("register", "pers", "z_sl"):
            self.con.execute(tables.ddl(name))
        load_books(self.con, RULES, profile, ["payers"])
        self.con.execute("ATTACH ':memory:' AS lists_db")
        self.persons = 0

    def insured(self, *rows: dict[str, Any]) -> Look:
        import_rows(self.folder / "i.duckdb", rows, self.search.spelling.number("fam", "im", "ot", "dr"))
        self.con.execute(f"ATTACH '{self.folder / 'i.duckdb'}' AS i (READ_ONLY)")
        self.con.execute("CREATE OR REPLACE TABLE lists_db.insured AS SELECT * FROM i.insured; DETACH i")
        return self

    def stopped(self, *rows: Sequence[object]) -> Look:
        types = ["VARCHAR", "BOOLEAN", "VARCHAR", "DATE", *["VARCHAR"] * 5]
        listed = ", ".join(f"{name} {kind}" for name, kind in zip(STOP, types, strict=True))
        self.con.execute(f"CREATE OR REPLACE TABLE lists_db.stopped ({listed})")
        for row in rows:
            self.con.execute(f"INSERT INTO lists_db.stopped VALUES ({', '.join('?' * len(STOP))})", list(row))
        return self

    def numbers(self, *rows: Sequence[str]) -> Look:
        self.con.execute("CREATE OR REPLACE TABLE lists_db.numbers (key VARCHAR, smo VARCHAR)")
        self.con.executemany("INSERT INTO lists_db.numbers VALUES (?, ?)", [list(row) for row in rows])
        return self

    def month(self, year: int, month: int) -> Look:
        self.con.execute("INSERT INTO register (n, year, month) VALUES (1, ?, ?)", [year, month])
        return self

    def person(self, person: dict[str, Any] = ASKED, *stays: date | tuple[date, date]) -> Look:
        self.persons += 1
        names = ", ".join(person)
        marks = ", ".join("?" * len(person))
        self.con.execute(f"INSERT INTO pers (n, {names}) VALUES ({self.persons}, {marks})", list(person.values()))
        for stay in stays or (DAY,):
            begin, end = stay if isinstance(stay, tuple) else (stay, stay)
            self.con.execute(
                "INSERT INTO z_sl (n, pers_n, date_z_1, date_z_2) SELECT COALESCE(max(n), 0) + 1, ?, ?, ? FROM z_sl",
                [self.persons, begin, end],
            )
        return self

    def ident(self, *decided: tuple[str, bool]) -> list[dict[str, Any]]:
        path = ""
        if decided:
            path = str(self.folder / "decided.parquet")
            values = ", ".join(f"('{pair}', {yes})" for pair, yes in decided)
            self.con.execute(f"COPY (SELECT * FROM (VALUES {values}) AS d(pair, yes)) TO '{path}' (FORMAT parquet)")
        search_room.identify_in(self.con, "lists_db.insured", self.search, path)
        return self.rows("SELECT * FROM ident ORDER BY z_sl_n")

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self.con.execute(sql)
        names = [column[0] for column in found.description or []]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Look]:
    made = Look(tmp_path)
    yield made
    made.con.close()


def gone(policy: str, day: str, smo: str = "76001", new: str | None = None, to: str | None = None) -> list[object]:
    """A row of the stop list: struck off, with what replaced it."""
    return [policy, policy != f"3|{new}", smo, day, "3" if new else None, None, new, to, None]


# ---- cancelled policies ----------------------------------------------------------------------------


def test_a_cancelled_policy_is_no_key_its_owner_is_looked_for(look: Look) -> None:
    live = {**PETR, "DATE_FROM": "2020-01-01", "SMO": "76002"}
    asked = {**ASKED, "vpolis": "1", "spolis": "76АБ", "npolis": "123456"}
    look.insured(old_policy(DATE_FROM="2012-01-01"), live)
    assert look.person(asked).ident()[0]["step"] == "policy"
    row = look.stopped(gone("1|76АБ|123456", "2019-12-31")).ident()[0]
    assert (row["step"], row["payer"], row["npolis_right"], row["in_force"]) == ("person", "R", E1, True)
    assert (row["cancelled"], row["cancelled_on"]) == (True, date(2019, 12, 31))
    assert "NPOLIS" in row["differs"]


def test_a_policy_cancelled_after_the_day_of_care_still_paid_for_it(look: Look) -> None:
    look.insured(PETR).stopped(gone(f"3|{E1}", "2026-10-20"))
    before, after = look.person(ASKED, date(2026, 10, 20), date(2026, 10, 21)).ident()
    assert (before["step"], before["in_force"], before["cancelled"]) == ("person", True, False)
    assert (after["in_force"], after["cancelled"], after["payer"]) == (False, True, "P")


def test_whatever_the_register_of_the_insured_says_a_cancelled_policy_is_not_in_force(look: Look) -> None:
    row = look.insured(PETR).stopped(gone(f"3|{E1}", "2026-01-31")).person().ident()[0]
    assert (row["found"], row["in_force"], row["end_right"]) == (True, False, date(2026, 1, 31))


def test_the_replacement_named_by_the_stop_list_pays(look: Look) -> None:
    look.insured(PETR).stopped(gone(f"3|{E1}", "2026-10-01", "P", E2, "R"))
    row = look.person().ident()[0]
    assert (row["payer"], row["npolis_right"], row["in_force"], row["cancelled"]) == ("R", E2, True, True)


def test_the_same_number_with_another_insurer_is_not_cancelled(look: Look) -> None:
    look.insured(PETR).stopped(gone(f"3|{E1}", "2026-10-01", "P", E1, "R"))
    rows = look.person(ASKED, date(2026, 9, 30), DAY).ident()
    assert [(row["step"], row["payer"], row["cancelled"], row["in_force"]) for row in rows] == [
        ("enp", "P", False, True),
        ("enp", "R", False, True),
    ]


def test_replacements_are_followed_one_after_another(look: Look) -> None:
    third = "7656910834000038"
    look.insured(PETR).stopped(
        gone(f"3|{E1}", "2026-08-01", "76001", E2, "76002"), gone(f"3|{E2}", "2026-10-01", "76002", third, "76001")
    )
    rows = look.person(ASKED, date(2026, 7, 1), date(2026, 9, 1), DAY).ident()
    assert [(row["payer"], row["npolis_right"]) for row in rows] == [("P", E1), ("R", E2), ("P", third)]


def test_insured_anew_with_the_number_struck_off_before(look: Look) -> None:
    look.insured({**PETR, "DATE_TO": "2020-12-31"}, {**PETR, "DATE_FROM": "2022-01-01"})
    row = look.stopped(gone(f"3|{E1}", "2020-12-31")).person().ident()[0]
    assert (row["found"], row["in_force"], row["cancelled"]) == (True, True, False)


def test_insured_in_another_territory_since(look: Look) -> None:
    row = [f"3|{E1}", True, "76001", "2026-10-01", "3", None, E2, None, "45000"]
    assert look.insured(PETR).stopped(row).person().ident()[0]["payer"] == "F"


@pytest.mark.parametrize("order", list(permutations(range(7), 7))[:: 5040 // 24])
def test_a_cancelled_policy_never_identifies_whatever_the_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    look = Look(tmp_path)
    look.search = replace(look.search, steps=tuple(look.search.steps[place] for place in order))
    stranger = {**PETR, "FAM": "Другова", "IM": "Анна", "OT": "Петровна", "SNILS": "087-654-303 00"}
    look.insured(stranger).numbers((f"3|{E1}", "76001")).stopped(gone(f"3|{E1}", "2026-01-31"))
    changed = {**stranger, "FAM": "Иная"}  # one difference: with a live policy this is she, with a mistake
    anna = {**ASKED, "fam": changed["FAM"], "im": "Анна", "ot": "Петровна", "snils": None}
    assert [(row["found"], row["cancelled"]) for row in look.person(anna).ident()] == [(False, True)]
    assert {step.name for step in look.search.steps} >= {"enp", "listed"}


@pytest.mark.parametrize("profile", ["federal", "krasnodar", "moscow", "mtr", "yaroslavl"])
def test_every_profile_has_all_sources_and_terms(profile: str) -> None:
    found = load_search(RULES, profile)
    assert [step.name for step in found.steps if step.doubt] == ["snils", "near"]
    assert found.steps[-1].source == "numbers" and not any(step.doubt for step in found.steps if step.by_number)
    terms = RULES.toml(f"{profile}/identification.toml")["doubt"]
    assert (terms["answer_working_days"], terms["agree_by_day"], terms["appeal_days"]) == (1, 5, 14)
    assert found.days == (("month_end", "date_z_1", "month_start") if profile == "moscow" else ("date_z_2",))


@pytest.mark.parametrize("day", ["month_end", "date_z_1"])
def test_which_day_pays_is_a_setting(tmp_path: Path, day: str) -> None:
    moved = {**PETR, "SMO": "76002", "DATE_FROM": "2019-10-20"}
    look = Look(tmp_path).month(2019, 10).insured({**PETR, "DATE_TO": "2019-10-19"}, moved)
    look.search = replace(look.search, days=(day,))
    row = look.person(ASKED, (date(2019, 10, 1), date(2019, 10, 5))).ident()[0]
    assert row["payer"] == {"month_end": "R", "date_z_1": "P"}[day]


# ---- the list of policies in force -----------------------------------------------------------------


def test_a_policy_of_the_list_alone_names_the_payer(look: Look) -> None:
    look.insured(old_policy()).numbers((f"3|{E1}", "R"))
    row = look.person({**ASKED, "fam": "Никто", "snils": None}).ident()[0]
    assert (row["step"], row["payer"], row["in_force"], row["listed"]) == ("listed", "R", True, True)
    assert not row["person_differs"] and not row["policy_differs"]


def test_a_policy_that_the_register_knows_as_anothers_is_not_found_by_its_number(look: Look) -> None:
    look.insured(PETR).numbers((f"3|{E1}", "76001"))
    row = look.person({**ASKED, "fam": "Никто", "im": "Анна", "snils": None}).ident()[0]
    assert (row["found"], row["listed"]) == (False, True)


def test_without_a_list_nothing_is_said_of_it(look: Look) -> None:
    assert look.insured(PETR).person().ident()[0]["listed"] is None


# ---- on which day ----------------------------------------------------------------------------------

Q = {**PETR, "SMO": "77091"}
HALF = (date(2019, 9, 25), date(2019, 10, 10))


def moscow(folder: Path) -> Look:
    return Look(folder, "moscow").month(2019, 10)


def test_moscow_pays_by_the_last_day_of_the_month(tmp_path: Path) -> None:
    moved = {**Q, "SMO": "77092", "DATE_FROM": "2019-10-20"}
    row = moscow(tmp_path).insured({**Q, "DATE_TO": "2019-10-19"}, moved).person(ASKED, date(2019, 10, 5)).ident()[0]
    assert (row["payer"], row["paid_on"], row["vector"]) == ("Q2", date(2019, 10, 31), "211")


def test_yaroslavl_pays_by_the_day_of_care(look: Look) -> None:
    moved = {**PETR, "SMO": "76002", "DATE_FROM": "2019-10-20"}
    look.month(2019, 10).insured({**PETR, "DATE_TO": "2019-10-19"}, moved)
    assert look.person(ASKED, date(2019, 10, 5)).ident()[0]["payer"] == "P"


def test_cancelled_during_the_treatment_and_not_replaced_its_beginning_counts(tmp_path: Path) -> None:
    row = moscow(tmp_path).insured(Q).stopped(gone(f"3|{E1}", "2019-10-02", "Q1")).person(ASKED, HALF).ident()[0]
    assert (row["payer"], row["in_force"], row["vector"], row["paid_on"]) == ("Q1", True, "130", date(2019, 10, 31))


def test_cancelled_during_the_treatment_and_replaced_the_new_one_counts(tmp_path: Path) -> None:
    stop = gone(f"3|{E1}", "2019-10-02", "Q1", E2, "Q2")
    row = moscow(tmp_path).insured(Q).stopped(stop).person(ASKED, HALF).ident()[0]
    assert (row["payer"], row["npolis_right"], row["in_force"]) == ("Q2", E2, True)


def test_a_visit_after_the_policy_ended_counts_from_the_first_day_of_the_month(tmp_path: Path) -> None:
    ended = {**Q, "DATE_TO": "2019-10-02"}
    look = moscow(tmp_path).insured(ended).person(ASKED, date(2019, 10, 12)).person(ASKED, date(2019, 10, 1))
    assert [row["vector"] for row in look.ident()] == ["231", "231"]


@pytest.mark.parametrize(
    ("insured", "asked", "vector"),
    [
        ({}, {}, "211"),
        ({"OT": "Игоревич"}, {}, "211"),
        ({"IM": "Павел"}, {}, "311"),
        ({"DR": "1980-05-13"}, {}, "311"),
        ({"FAM": "Иная"}, {}, "411"),
        ({"IM": "Антон"}, {}, "000"),
        ({}, {"npolis": "1"}, "110"),
        ({"DATE_FROM": "2019-11-05"}, {}, "210"),
        ({"DATE_FROM": "2019-11-05"}, {"npolis": "1"}, "120"),
        ({"DATE_TO": "2019-09-30"}, {}, "232"),
        ({"DATE_TO": "2019-09-30"}, {"npolis": "1"}, "131"),
        ({}, {"npolis": "1", "fam": "Никто", "snils": None}, "010"),
        ({}, {"dr": None}, "***"),
    ],
)
def test_the_vector_says_what_was_found(
    tmp_path: Path, insured: dict[str, str], asked: dict[str, Any], vector: str
) -> None:
    look = moscow(tmp_path).insured({**Q, **insured}).person({**ASKED, **asked}, date(2019, 10, 12))
    assert look.ident()[0]["vector"] == vector
    known = {row["code"] for row in RULES.table("moscow/books/osoerz.csv")}
    assert vector in known


def test_namesakes_are_told_by_a_vector(tmp_path: Path) -> None:
    twin = {**Q, "ENP": E2, "NPOLIS": E2, "SNILS": ""}
    look = moscow(tmp_path).insured(Q, twin).person({**ASKED, "npolis": "1", "snils": None}, date(2019, 10, 12))
    assert look.ident()[0]["vector"] == "000"


def test_vectors_are_codes_of_the_book() -> None:
    known = {row["code"] for row in RULES.table("moscow/books/osoerz.csv")}
    assert {one.code for one in load_search(RULES, "moscow").vectors} <= known


# ---- doubts and decisions --------------------------------------------------------------------------


def pair_of(look: Look) -> str:
    return str(look.rows("SELECT pair FROM doubts")[0]["pair"])


def test_what_differs_is_named_field_by_field(look: Look) -> None:
    row = look.insured(PETR).person({**ASKED, "fam": "Иная", "w": "2"}).ident()[0]
    assert (row["step"], row["differs"], row["doubt"]) == ("enp", "FAM W", True)
    assert [(one["step"], one["differs"]) for one in look.rows("SELECT * FROM doubts")] == [("enp", "FAM W")]


def test_a_full_match_asks_nobody(look: Look) -> None:
    assert look.insured(PETR).person().ident()[0]["doubt"] is False
    assert look.rows("SELECT * FROM doubts") == []


def test_what_the_register_does_not_know_is_no_doubt(look: Look) -> None:
    assert look.insured({**PETR, "W": ""}).person().ident()[0]["doubt"] is False


def test_an_earlier_name_that_the_register_knows_is_no_doubt(look: Look) -> None:
    look.insured({**PETR, "FAM": "Прежний", "DATE_TO": "2020-01-01"}, {**PETR, "DATE_FROM": "2020-01-02"})
    row = look.person({**ASKED, "fam": "Прежний"}).ident()[0]
    assert (row["doubt"], row["person_differs"], row["fam_right"]) == (False, True, "Примеров")


@pytest.mark.parametrize(
    ("change", "step"),
    [({"ot": "Игоревич", "snils": None}, "near"), ({"fam": "Иная"}, "snils"), ({"ot": "Игоревич"}, "snils")],
)
def test_who_fits_partly_without_a_policy_waits_for_a_person(look: Look, change: dict[str, Any], step: str) -> None:
    asked = {**ASKED, "npolis": "1", **change}
    row = look.insured(PETR).person(asked).ident()[0]
    assert (row["found"], row["doubt"], row["ambiguous"]) == (False, True, False)
    assert [one["step"] for one in look.rows("SELECT * FROM doubts")] == [step]
    pair = pair_of(look)
    row = look.ident((pair, True))[0]
    assert (row["found"], row["step"], row["payer"], row["doubt"]) == (True, "decided", "P", False)
    assert not row["person_differs"] and not row["policy_differs"]
    row = look.ident((pair, False))[0]
    assert (row["found"], row["doubt"]) == (False, False)


def test_a_pair_that_a_person_ruled_out_is_not_found_by_its_policy(look: Look) -> None:
    look.insured(PETR).person({**ASKED, "fam": "Иная", "snils": None})
    assert look.ident()[0]["found"]
    pair = pair_of(look)
    assert [(row["found"], row["step"], row["doubt"]) for row in look.ident((pair, False))] == [(False, None, False)]
    row = look.ident((pair, True))[0]
    assert (row["step"], row["differs"], row["person_differs"], row["doubt"]) == ("decided", "FAM", False, False)


def test_a_decision_chooses_among_several_who_fit_partly(look: Look) -> None:
    twin = {**PETR, "ENP": E2, "NPOLIS": E2, "OT": "Олегович", "SMO": "76002", "SNILS": ""}
    look.insured({**PETR, "SNILS": ""}, twin).person({**ASKED, "npolis": "1", "ot": "Игоревич", "snils": None}).ident()
    pairs = {row["npolis_right"]: row["pair"] for row in look.rows("SELECT * FROM doubts")}
    assert set(pairs) == {E1, E2}
    row = look.ident((pairs[E2], True))[0]
    assert (row["step"], row["payer"]) == ("decided", "R")
    look.ident((pairs[E2], False))
    assert [row["npolis_right"] for row in look.rows("SELECT * FROM doubts")] == [E1]


def test_of_too_many_who_fit_partly_nobody_is_asked_about(look: Look) -> None:
    crowd = [
        {**PETR, "ENP": f"765691083400{n:04d}", "NPOLIS": f"765691083400{n:04d}", "OT": f"Отец{n}", "SNILS": ""}
        for n in range(4)
    ]
    row = look.insured(*crowd).person({**ASKED, "npolis": "1", "snils": None}).ident()[0]
    assert (row["found"], row["doubt"]) == (False, False)


def test_the_pair_does_not_depend_on_how_a_name_is_written(look: Look) -> None:
    look.insured(PETR).person({**ASKED, "fam": "Ёлкин-Палкин"}).ident()
    first = pair_of(look)
    look.con.execute("UPDATE pers SET fam = 'ЕЛКИН ПАЛКИН', npolis = '7656910834000012'")
    look.ident()
    assert pair_of(look) == first
    assert len(first) == len(hashlib.sha256().hexdigest())


def test_keys_ignore_leading_zeros_of_old_numbers() -> None:
    con = duckdb.connect(":memory:")
    sql = f"SELECT {key('v', 's', 'n')} FROM (VALUES ('1', '770012', '0001234567'), ('3', NULL, '{E1}')) t(v, s, n)"
    assert con.execute(sql).fetchall() == [("1|770012|1234567",), (f"3|{E1}",)]
