"""The nightly run for cron: one sweep, what is due, the proof of the ledger, a summary. One lock with the daemon."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from oms_batch import clock, logs, nsi, overview, requests
from oms_batch.conductor import publish, settling_of, sweep
from oms_batch.doors import identify
from oms_batch.errors import WrongState
from oms_batch.site import Site
from oms_batch.store import ledger
from oms_batch.work import Handled


@dataclass
class Summary:
    """What the night did, for the operator's morning."""

    handled: list[Handled] = field(default_factory=list)
    overdue: list[overview.Awaited] = field(default_factory=list)
    awaited: list[overview.Awaited] = field(default_factory=list)
    parked: int = 0
    doubts: list[dict[str, Any]] = field(default_factory=list)  # of identification: what a person has to do until when
    verify: dict[str, Any] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        return dict(sorted(Counter(one.outcome for one in self.handled).items()))


def run(site: Site) -> Summary:
    """Do the night's work; the caller holds the home's lock. Errors of single files are in the summary."""
    nsi.ready(site)
    night = Summary()
    settling = settling_of(site)
    night.handled.extend(sweep(site, settling))
    if settling.settle_seconds > 0:
        # a file counts as whole after two equal looks
        clock.sleep(settling.settle_seconds)
        night.handled.extend(sweep(site, settling))
    night.handled.extend(_due(site))
    publish(site)
    for row in ledger.status(site.ledger, site.profile.buckets):
        for item in overview.awaited(site, row["register"], row["jobs"], row["payers"].get("", {}).get("accounts", 0)):
            (night.overdue if item.overdue else night.awaited).append(item)
    night.parked = len(ledger.parked(site.ledger))
    night.doubts = identify.reminders(site)
    night.verify = overview.totals(site)
    ledger.put_note(site.ledger, "nightly", clock.now().isoformat())
    level = "info" if night.verify["balanced"] else "error"
    logs.event("nightly", level=level, count=len(night.handled), problems=len(night.verify["problems"]))  # type: ignore[arg-type]
    return night


def _due(site: Site) -> list[Handled]:
    """Reformulations that wait for us, where the settings leave them to the night."""
    if not site.settings.reformulate_at_night:
        return []
    try:
        return list(requests.reformulate(site, again=False))
    except WrongState:
        return []  # nothing has come that could be reformulated
