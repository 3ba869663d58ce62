"""Where every register stands: what was sent and answered, what is waited for and until when.

It is derived from the ledger and the lines of the profile each time; nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from oms_batch import clock
from oms_batch.deadlines import add_working_days, deadline
from oms_batch.exchange import PAYER, ROLES, Hop
from oms_batch.model import roubles
from oms_batch.site import Site
from oms_batch.store import ledger

BUCKETS = ("refused_1", "refused_6", "accepted_5", "refused_2", "waiting")


@dataclass(frozen=True, slots=True)
class Awaited:
    """A file that somebody owes: ``who`` is a partner's party, or ``self`` when the next step is ours."""

    register: str
    payer: str
    stage: str
    who: str
    until: date

    @property
    def overdue(self) -> bool:
        return clock.today() > self.until


def awaited(site: Site, register: str, jobs: list[dict[str, Any]], unassigned: int = 0) -> Iterator[Awaited]:
    """What is still to come for a register, by the lines of the profile and the jobs done so far.

    ``unassigned``: accounts whose payer is not known yet, so a file of some payer is still to come.
    """
    done = {(row["stage"], row["payer"], _direction(row)): row for row in jobs if row["state"] == "answered"}
    for (stage, payer, direction), row in list(done.items()):
        for line in site.profile.hops:
            if (
                line.stage == stage
                and line.receiver in _parties(site)
                and direction == "in"
                and payer != _everyone(site)
            ):
                done |= {(emitted, payer, "out"): row for emitted in line.emits}
    for line in site.profile.hops:
        if line.receiver not in _parties(site) or not line.after:
            continue
        ours = any(send.stage in line.awaits and send.sender in _parties(site) for send in site.profile.sends)
        for (stage, payer, direction), row in sorted(done.items()):
            if stage not in line.awaits or direction != ("out" if ours else "in"):
                continue
            if not _come(done, line, payer, site, unassigned):
                yield Awaited(
                    register, _letter(site, line, payer), line.stage, line.sender, _due(site, line.stage, row)
                )
    for line in site.profile.sends:
        if line.sender not in _parties(site) or not line.source:
            continue
        for (stage, payer, direction), row in sorted(done.items()):
            if (stage, direction) == (line.source, line.source_is) and (line.stage, payer, "out") not in done:
                yield Awaited(register, payer, line.stage, "self", _due(site, line.stage, row))


def _direction(row: dict[str, Any]) -> str:
    return "out" if row["sender"] == "self" else "in"


def _everyone(site: Site) -> str:
    return str(site.profile.data["name"]["all_payers"])


def _come(done: dict[tuple[str, str, str], Any], line: Hop, payer: str, site: Site, unassigned: int) -> bool:
    everyone = _everyone(site)
    if payer == everyone and unassigned:
        return False
    return any(stage == line.stage and direction == "in" and payer in (everyone, one) for stage, one, direction in done)


def _letter(site: Site, line: Hop, payer: str) -> str:
    return "" if payer == site.profile.data["name"]["all_payers"] else payer


def _parties(site: Site) -> tuple[str, ...]:
    party = ROLES[site.settings.role]
    return (party,) if party == "mo" else (party, PAYER)


def _due(site: Site, stage: str, row: dict[str, Any]) -> date:
    days = int(site.profile.data["turnaround"].get(stage, 0))
    began = clock.parse(row["received_at"]).astimezone(clock.MOSCOW).date()
    return add_working_days(site.profile, began, days)


def registers(site: Site, period: str = "") -> list[dict[str, Any]]:
    """One row per register for ``status``: counts, sums in roubles, its files, what is awaited."""
    rows = []
    for one in ledger.status(site.ledger, site.profile.buckets, period):
        wait = list(awaited(site, one["register"], one["jobs"], one["payers"].get("", {}).get("accounts", 0)))
        answered = [row for row in one["jobs"] if row["state"] == "answered"]
        parked = [row for row in one["jobs"] if row["state"] == "parked"]
        rejected = list(_rejected(one["jobs"]))
        rows.append(
            {
                "name": one["register"],
                "period": one["period"],
                "stage": answered[-1]["stage"] if answered else "",
                "state": "rejected" if rejected else _state(wait, parked),
                "accounts": {"sent": one["accounts"], **{name: one[name]["accounts"] for name in BUCKETS}},
                "sums": {"sent": roubles(one["kopecks"]), **{name: roubles(one[name]["kopecks"]) for name in BUCKETS}},
                "payers": {
                    letter: {"accounts": part["accounts"], "sum": roubles(part["kopecks"])}
                    for letter, part in sorted(one["payers"].items())
                },
                "due": deadline(site.profile, one["period"]).isoformat(),
                "waits_for": [
                    {
                        "stage": item.stage,
                        "payer": item.payer,
                        "from": item.who,
                        "from_name": _name(site, item),
                        "until": item.until.isoformat(),
                        "overdue": item.overdue,
                    }
                    for item in wait
                ],
                "parked": [
                    {
                        "file": row["name"],
                        "reason": row["reason"],
                        "waits_for": row["waits_for"],
                        "until": row["deadline"],
                    }
                    for row in parked
                ],
                "rejected": [{"file": row["name"], "by": row["receiver"], "codes": row["reason"]} for row in rejected],
                "withdrawn": {
                    "accounts": one["withdrawn"]["accounts"],
                    "sum": roubles(one["withdrawn"]["kopecks"]),
                },
            }
        )
    return rows


def _rejected(jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Files of ours that the receiver refused as a whole and that nothing has replaced yet."""
    for row in jobs:
        same = [
            one for one in jobs if (one["stage"], one["payer"], one["sender"]) == (row["stage"], row["payer"], "self")
        ]
        if row["state"] == "rejected" and row is same[-1]:
            yield row


def _name(site: Site, item: Awaited) -> str:
    """The partner who owes a file, by name; empty when the next step is ours."""
    for one in site.settings.partner:
        party = ROLES[one.role]
        if item.who == party or (item.who == PAYER and one.letter and one.letter == item.payer):
            return one.name or one.folder
    return ""


def _state(wait: list[Awaited], parked: list[dict[str, Any]]) -> str:
    if parked:
        return "parked"
    if any(item.who == "self" for item in wait):
        return "to_do"
    return "waiting" if wait else "closed"


def totals(site: Site) -> dict[str, Any]:
    """The proof of the ledger, with sums in roubles, as ``ledger verify`` prints it."""
    found = ledger.verify(site.ledger, site.profile.buckets)
    sums = {name: roubles(value) for name, value in found["sums"].items()}
    return {"balanced": found["balanced"], "accounts": found["accounts"], "sums": sums, "problems": found["problems"]}
