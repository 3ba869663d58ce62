"""Working days and deadlines: our table against the library and against facts noted by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import holidays
import pytest

from oms_batch.deadlines import add_working_days, deadline, late, load_calendar
from oms_batch.errors import Fault, SetupError
from oms_batch.exchange import load_profile
from oms_batch.ruledata import RuleData

YEARS = range(2017, 2028)
CALENDAR = load_calendar(RuleData())
PROFILE = load_profile("yaroslavl")


def _days(year: int) -> list[date]:
    return [day for n in range(366) if (day := date(year, 1, 1) + timedelta(n)).year == year]


@pytest.mark.parametrize("year", YEARS)
def test_the_table_agrees_with_the_library(year: int) -> None:
    # The neighbours are asked too: a day off may be moved over the New Year.
    known = holidays.country_holidays("RU", years=(year - 1, year, year + 1))
    assert [day for day in _days(year) if CALENDAR.works(day)] == [
        day for day in _days(year) if known.is_working_day(day)
    ]


# Working days of a year with a five-day week, from the published production calendars.
@pytest.mark.parametrize(
    ("year", "days"), [(2018, 247), (2019, 247), (2022, 247), (2023, 247), (2024, 248), (2025, 247), (2026, 247)]
)
def test_working_days_of_a_year(year: int, days: int) -> None:
    assert sum(CALENDAR.works(day) for day in _days(year)) == days


FACTS = [
    ("2018-03-09", False), ("2018-04-28", True), ("2018-04-30", False), ("2018-05-02", False), ("2018-06-09", True),
    ("2018-06-11", False), ("2018-12-29", True), ("2018-12-31", False), ("2018-01-09", True), ("2018-01-08", False),
    ("2024-04-27", True), ("2024-04-29", False), ("2024-04-30", False), ("2024-05-10", False), ("2024-11-02", True),
    ("2024-12-28", True), ("2024-12-30", False), ("2024-12-31", False), ("2024-01-09", True), ("2024-11-04", False),
    ("2025-05-02", False), ("2025-05-08", False), ("2025-06-13", False), ("2025-11-01", True), ("2025-11-03", False),
    ("2025-12-31", False), ("2025-01-09", True), ("2025-02-24", True), ("2025-03-10", True),
    ("2026-01-09", False), ("2026-01-12", True), ("2026-03-09", False), ("2026-05-11", False), ("2026-12-31", False),
    ("2026-02-23", False), ("2026-11-21", False), ("2026-11-23", True),
]  # fmt: skip


@pytest.mark.parametrize(("day", "works"), FACTS)
def test_facts_noted_by_hand(day: str, works: bool) -> None:
    assert CALENDAR.works(date.fromisoformat(day)) is works


# period of the register → the moment, Moscow time
@pytest.mark.parametrize(
    ("period", "moment"),
    [
        ("2018-09", "2018-10-03T12:00:00+03:00"),  # Mon, Tue, Wed
        ("2018-04", "2018-05-07T12:00:00+03:00"),  # 1, 2 May do not work: 3, 4, 7
        ("2017-12", "2018-01-11T12:00:00+03:00"),  # the New Year holidays
        ("2024-10", "2024-11-05T12:00:00+03:00"),  # 1, 2 (a Saturday that works), 5
        ("2025-04", "2025-05-07T12:00:00+03:00"),  # 5, 6, 7
        ("2025-10", "2025-11-06T12:00:00+03:00"),  # 1 (a Saturday that works), 5, 6
        ("2025-12", "2026-01-14T12:00:00+03:00"),  # 9 January 2026 is a day off: 12, 13, 14
        ("2026-10", "2026-11-05T12:00:00+03:00"),  # 2, 3, 5
    ],
)
def test_the_deadline_of_a_period(period: str, moment: str) -> None:
    assert deadline(PROFILE, period).isoformat() == moment


def test_late_is_after_the_moment_whatever_the_zone() -> None:
    noon = datetime(2018, 10, 3, 9, 0, 0, tzinfo=timezone.utc)
    assert not late(PROFILE, "2018-09", noon)
    assert late(PROFILE, "2018-09", noon + timedelta(seconds=1))
    with pytest.raises(Fault):
        late(PROFILE, "2018-09", noon.replace(tzinfo=None))


def test_adding_working_days() -> None:
    friday = date(2026, 11, 20)
    assert add_working_days(PROFILE, friday, 0) == friday
    assert add_working_days(PROFILE, friday, 1) == date(2026, 11, 23)
    assert add_working_days(PROFILE, date(2026, 11, 21), 1) == date(2026, 11, 23)
    assert add_working_days(PROFILE, date(2026, 12, 30), 1) == date(2027, 1, 11)


def test_a_year_outside_the_table_stops_the_counting() -> None:
    with pytest.raises(SetupError, match="2028"):
        deadline(PROFILE, "2027-12")
    with pytest.raises(SetupError, match="2016"):
        CALENDAR.works(date(2016, 5, 5))
    with pytest.raises(Fault):
        deadline(PROFILE, "2027-13")


@pytest.mark.parametrize(
    "row", ["2018-02-30;holiday;", "2018-05-01;feast;", "2018-05-01;holiday;\n2018-05-01;workday;"]
)
def test_a_broken_table_is_not_used(row: str, tmp_path) -> None:
    folder = tmp_path / "common/calendar"
    folder.mkdir(parents=True)
    (folder / "ru_days.csv").write_text(f"day;kind;note\n{row}\n", "utf-8")
    with pytest.raises(SetupError, match="ru_days"):
        load_calendar(RuleData(str(tmp_path)))
