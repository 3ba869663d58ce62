"""What the readable twins of an answer say: refused accounts, causes, the plan of checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import duckdb

from oms_batch.i18n import N_, _, pick
from oms_batch.model import PlanRow, Totals
from oms_batch.reply import people
from oms_batch.reply.document import BATCH, verdicts_or_none
from oms_batch.reply.marks import Texts

OUTCOMES = {
    "passed": N_("passed"),
    "found": N_("faults found"),
    "skipped": N_("skipped"),
    "failed": N_("failed to run"),
}


@dataclass(frozen=True, slots=True)
class About:
    """What a twin is about. ``period`` is ``YYYY-MM``, ``received_at`` ISO with zone, money in kopecks."""

    file: str
    title: str
    sender: str
    receiver: str
    period: str
    received_at: str
    sent: Totals
    refused: Totals
    late: bool = False
    rulebook: str = ""
    books: dict[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> Totals:
        return self.sent - self.refused


@dataclass(frozen=True, slots=True)
class Row:
    """One finding at one account. ``kopecks`` is what the account loses, at its first row only."""

    account: str
    period: str
    message: str
    value: str
    advice: str
    rule: str
    defect: str
    kod: str
    kopecks: int | None
    person: str
    treated: str
    xkey: str
    first: bool


@dataclass(frozen=True, slots=True)
class Cause:
    """Accounts and money lost by one leading rule."""

    message: str
    advice: str
    rule: str
    defect: str
    kod: str
    accounts: int
    kopecks: int


def refused_rows(
    con: duckdb.DuckDBPyConnection, texts: Texts, period: str, *, keep: str = "true", limit: int = 0
) -> Iterator[Row]:
    """Findings of accounts that lose money, in document order, the leading one of an account first.

    A refusal without a finding (an expert's) gives one row with its rule and defect. ``limit``
    counts accounts; 0 means all.
    """
    con.execute(
        f"""WITH account AS (
            SELECT z_sl.n, z_sl.pers_n, z_sl.idcase, z_sl.xkey, z_sl.date_z_1, z_sl.date_z_2, v.rule AS leading,
                v.defect, v.kod, CASE WHEN v.refused THEN COALESCE(v.withheld, z_sl.sumv) ELSE v.withheld END AS gone
            FROM z_sl JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n
            WHERE (v.refused OR v.withheld > 0) AND ({keep})
            ORDER BY z_sl.n {"LIMIT $limit" if limit else ""}
        ), hit AS (
            SELECT a.n, f.rule, f.element, f.value, f.line FROM account a JOIN findings f ON f.z_sl_n = a.n
                WHERE f.severity = 'reject'
            UNION ALL
            SELECT a.n, f.rule, f.element, f.value, f.line FROM account a JOIN findings f ON f.pers_n = a.pers_n
                WHERE f.z_sl_n IS NULL AND f.severity = 'reject'
        )
        SELECT a.n, a.idcase, a.xkey, a.date_z_1, a.date_z_2, a.gone, a.leading, a.defect, a.kod,
            COALESCE(h.rule, a.leading, ''), COALESCE(h.value, ''), p.fam, p.im, p.ot
        FROM account a LEFT JOIN hit h ON h.n = a.n LEFT JOIN pers p ON p.n = a.pers_n
        ORDER BY a.n, h.rule IS DISTINCT FROM a.leading, h.rule, h.line, h.element, h.value""",
        {"limit": limit} if limit else {},
    )
    last = None
    while batch := con.fetchmany(BATCH):
        for n, idcase, xkey, date_1, date_2, gone, leading, defect, kod, code, value, *name in batch:
            message, advice = told(texts, code, kod)
            numbers = texts.defect(texts.rule(code).defect, date_2)
            if code == leading and defect:
                numbers = (defect, kod or "")
            yield Row(
                account=people.clean(str(idcase or "")),
                period=people.period(period),
                message=message,
                value=people.found_value(value),
                advice=advice,
                rule=code,
                defect=numbers[0],
                kod=numbers[1],
                kopecks=gone if n != last else None,
                person=people.clean(" ".join(filter(None, name))),
                treated=people.days(date_1, date_2),
                xkey=people.clean(str(xkey or "")),
                first=n != last,
            )
            last = n


def causes(con: duckdb.DuckDBPyConnection, texts: Texts, *, keep: str = "true") -> list[Cause]:
    """Accounts and sums by leading rule and defect, the dearest first; money is counted once."""
    rows = con.execute(
        f"""SELECT COALESCE(v.rule, ''), COALESCE(v.defect, ''), COALESCE(v.kod, ''), count(*),
            CAST(sum(CASE WHEN v.refused THEN COALESCE(v.withheld, z_sl.sumv, 0) ELSE v.withheld END) AS BIGINT) AS lost
        FROM z_sl JOIN {verdicts_or_none(con)} v ON v.z_sl_n = z_sl.n
        WHERE (v.refused OR v.withheld > 0) AND ({keep}) GROUP BY 1, 2, 3 ORDER BY lost DESC, 1, 2, 3"""
    ).fetchall()
    return [Cause(*told(texts, rule, kod), rule, defect, kod, count, lost) for rule, defect, kod, count, lost in rows]


def told(texts: Texts, code: str, kod: str | None = "") -> tuple[str, str]:
    """Message and advice of a rule in the language in force; those of the ground where no rule stands behind it."""
    rule = texts.rule(code) if code else texts.grounds.get(kod or "", texts.rule(code))
    return pick(rule.title, rule.title_en), pick(rule.advice, rule.advice_en)


def plan_rows(plan: Sequence[PlanRow], texts: Texts) -> list[tuple[str, str, str, str, str, str]]:
    """Code, check, outcome, faults, checked, reason; what found faults first, then what did not run."""
    order = {"failed": 0, "found": 1, "skipped": 2, "passed": 3}
    return [
        (
            row.code,
            told(texts, row.code)[0],
            _(OUTCOMES[row.outcome]),
            people.number(row.found),
            people.number(row.total),
            _(row.reason) if row.reason else "",
        )
        for row in sorted(plan, key=lambda row: (order[row.outcome], -row.found, row.code))
    ]


def facts_of(about: About) -> list[tuple[str, str]]:
    """The head of both twins: what, from whom, when, how it ended."""

    def totals(value: Totals) -> str:
        return _("{accounts} accounts, {sum} roubles").format(
            accounts=people.number(value.accounts), sum=people.money(value.kopecks)
        )

    rows = [
        (_("File"), about.file),
        (_("What it is"), about.title),
        (_("From"), about.sender),
        (_("To"), about.receiver),
        (_("Period"), people.period(about.period)),
        (_("Received"), people.moment(about.received_at) + (" · " + _("after the deadline") if about.late else "")),
        (_("Sent"), totals(about.sent)),
        (_("Accepted"), totals(about.accepted)),
        (_("Refused"), totals(about.refused)),
    ]
    if about.rulebook:
        rows.append((_("Rulebook"), about.rulebook))
    if about.books:
        rows.append((_("Reference books"), ", ".join(f"{name} {what}" for name, what in sorted(about.books.items()))))
    return rows
