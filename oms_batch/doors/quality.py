"""``rules quality``: what the rules say of registers that were sent, against what the fund and the insurer decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from oms_batch.doors.replay import NOW, Old, archived, replay, side_of
from oms_batch.errors import Refusal, WrongState
from oms_batch.i18n import pick
from oms_batch.model import hundredths, roubles, share_of
from oms_batch.site import Site
from oms_batch.stages.replay import FLAGGED
from oms_batch.store import fsio, ledger
from oms_batch.store.outcomes import Outcome, outcomes

REFUSED, ACCEPTED, OPEN = "refused", "accepted", "open"


@dataclass
class Count:
    """Accounts and kopecks."""

    accounts: int = 0
    kopecks: int = 0

    def add(self, kopecks: int) -> None:
        self.accounts += 1
        self.kopecks += kopecks

    def told(self) -> dict[str, Any]:
        return {"accounts": self.accounts, "sum": roubles(self.kopecks)}


@dataclass
class Quality:
    """Per rule: caught (flagged, refused), false alarms (flagged, accepted); per defect: missed (refused only)."""

    caught: dict[str, Count] = field(default_factory=dict)
    false_alarms: dict[str, Count] = field(default_factory=dict)
    missed: dict[tuple[str, str], Count] = field(default_factory=dict)
    decided: int = 0
    undecided: int = 0


def run(site: Site, period: str = "") -> dict[str, Any]:
    """The document of ``rules quality --json`` over the main registers that this home has sent (of one month).

    ``WrongState`` STAGE_ORDER when none was sent.
    """
    found, titles = Quality(), dict[str, Sequence[str]]()
    unreadable: list[str] = []
    registers = 0
    with fsio.scratch_folder(site.home.tmp) as scratch:
        for number, old in enumerate(_sent(site, period)):
            folder = f"{scratch}/{number}"
            registers += 1
            try:
                told = replay(site, old, side_of(site, NOW, scratch), folder)
            except Refusal:
                unreadable.append(old.named.canonical)
                continue
            titles |= told["titles"]
            add(found, outcomes(site.ledger, old.named.register), _flagged(folder), _meaning(site))
            fsio.rmtree(folder)
    if not registers:
        raise WrongState("STAGE_ORDER", period)
    return _told(found, titles, registers, unreadable)


def _sent(site: Site, period: str) -> Iterable[Old]:
    """The newest file of every main register that we sent."""
    newest: dict[str, Old] = {}
    for stage in dict.fromkeys(line.stage for line in site.profile.hops if line.emits and line.rules):
        of_stage: dict[str, Old] = {}
        for file in ledger.files_of(site.ledger, stage, "out"):
            for old in archived(site, [file["path"]]):
                if not period or old.named.period == period:
                    of_stage[old.named.register] = old  # they come oldest first
        newest = {**of_stage, **newest}  # what goes on to payers later is a part of the main register
    return newest.values()


def _flagged(folder: str) -> Mapping[str, list[str]]:
    """Account → the rules that would refuse it."""
    found: dict[str, list[str]] = {}
    table = pq.read_table(f"{folder}/{FLAGGED}")
    for xkey, rule in zip(table["xkey"].to_pylist(), table["rule"].to_pylist(), strict=True):
        found.setdefault(xkey, []).append(rule)
    return found


def _meaning(site: Site) -> Mapping[str, str]:
    """State → refused, accepted; what waits, or went with a file refused as a whole, nobody decided: not in it."""
    words = {"accepted_5": ACCEPTED}
    open_ = ("waiting", ledger.WITHDRAWN)
    return {state: words.get(bucket, REFUSED) for state, bucket in site.profile.buckets.items() if bucket not in open_}


def add(
    found: Quality, decided: Iterable[Outcome], flagged: Mapping[str, Sequence[str]], meaning: Mapping[str, str]
) -> None:
    """Count the accounts of one register."""
    for one in decided:
        what = meaning.get(one.state, OPEN)
        if what == OPEN:
            found.undecided += 1
            continue
        found.decided += 1
        rules = flagged.get(one.xkey, ())
        if what == REFUSED and not rules:
            found.missed.setdefault((one.defect, one.rule), Count()).add(one.sumv)
        for rule in rules:
            (found.caught if what == REFUSED else found.false_alarms).setdefault(rule, Count()).add(one.sumv)


def _told(
    found: Quality, titles: Mapping[str, Sequence[str]], registers: int, unreadable: Sequence[str]
) -> dict[str, Any]:
    rules = []
    for code in sorted({*found.caught, *found.false_alarms}):
        caught, false = found.caught.get(code, Count()), found.false_alarms.get(code, Count())
        right = share_of(caught.accounts, caught.accounts + false.accounts)
        title = pick(*titles.get(code, ("", "")))
        rules.append(
            {
                "rule": code,
                "title": title,
                "caught": caught.told(),
                "false_alarms": false.told(),
                "right": hundredths(right),
            }
        )
    missed = sorted(found.missed.items(), key=lambda one: (-one[1].kopecks, one[0]))
    return {
        "registers": registers,
        "unreadable": list(unreadable),
        "decided": found.decided,
        "undecided": found.undecided,
        "rules": sorted(rules, key=lambda one: (-one["false_alarms"]["accounts"], one["rule"])),
        "missed": [{"defect": defect, "rule": rule, **count.told()} for (defect, rule), count in missed],
    }
