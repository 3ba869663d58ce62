"""Deadlines of the exchange, counted in working days of the Russian calendar.

The calendar is reference data, ``rules/common/calendar/ru_days.csv``; a home folder may lay its own
over it. A year that the table does not know raises ``SetupError``: a guessed deadline is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from oms_batch.errors import Fault, SetupError
from oms_batch.exchange import Profile
from oms_batch.i18n import _
from oms_batch.model import parse_date
from oms_batch.ruledata import RuleData

TABLE = "common/calendar/ru_days.csv"
_WORKS = {"holiday": False, "day_off": False, "workday": True}


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days work: the exceptions of the table over the plain week, for whole years only."""

    exceptions: Mapping[date, bool]
    years: frozenset[int]

    def works(self, day: date) -> bool:
        """Whether this is a working day; ``SetupError`` for a year outside the table."""
        if day.year not in self.years:
            raise SetupError(_("{table}: no working days for the year {year}").format(table=TABLE, year=day.year))
        return self.exceptions.get(day, day.weekday() < 5)

    def add(self, day: date, working_days: int) -> date:
        """The n-th working day after ``day`` (0: ``day`` itself, working or not)."""
        for _step in range(working_days):
            day += timedelta(days=1)
            while not self.works(day):
                day += timedelta(days=1)
        return day


def load_calendar(rules: RuleData) -> Calendar:
    """The calendar from the table; ``SetupError`` names the line of a day or kind that is not valid."""
    exceptions: dict[date, bool] = {}
    for number, row in enumerate(rules.table(TABLE), 1):
        day, works = parse_date(row["day"]), _WORKS.get(row["kind"])
        if day is None or works is None or day in exceptions:
            raise SetupError(_("{table}: data row {number} is not valid").format(table=TABLE, number=number))
        exceptions[day] = works
    return Calendar(exceptions, frozenset(day.year for day in exceptions if (day.month, day.day) == (1, 1)))


def add_working_days(profile: Profile, day: date, working_days: int) -> date:
    """The n-th working day after ``day``: when an answer to a file of that day is due."""
    return load_calendar(profile.rules).add(day, working_days)


def deadline(profile: Profile, period: str) -> datetime:
    """Until when the main register of a period ``YYYY-MM`` is taken, with zone.

    The working day, the hour and the zone stand in ``[deadline]`` of the profile.
    """
    terms = profile.data["deadline"]
    first = parse_date(f"{period}-01")
    if first is None:
        raise Fault(f"not a period: {len(period)} characters")
    last_of_month = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    day = add_working_days(profile, last_of_month, int(terms["working_day"]))
    return datetime.combine(day, time.fromisoformat(terms["time"]), ZoneInfo(terms["zone"]))


def late(profile: Profile, period: str, received_at: datetime) -> bool:
    """Whether a register of that period came after its deadline; exactly at the hour is in time."""
    if received_at.tzinfo is None:
        raise Fault("a receipt time without a zone")
    return received_at > deadline(profile, period)
