"""The conductor: look, claim, receive, work, publish, archive. The same for every stage and every door.

Events only wake it; a full listing is the truth. Whatever a crash left is finished first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from oms_batch import clock, companions, logs
from oms_batch.errors import Fault, Problem, Refusal
from oms_batch.intake import names
from oms_batch.model import NamedFile
from oms_batch.routing import Route, SetAside, route
from oms_batch.site import Site
from oms_batch.store import facts, fsio, ledger, spool
from oms_batch.work import Handled, quarantine_job, refuse_job, run_job

UNREAD = ("FILE_TYPE", "FILE_TOO_BIG")  # never opened, so never copied


def settling_of(site: Site) -> spool.Settling:
    """What a door keeps between its sweeps, to see when a file has stopped growing."""
    chosen = site.settings
    return spool.Settling(chosen.settle_seconds, chosen.give_up_minutes, chosen.limits.packed_mb << 20)


def sweep(site: Site, settling: spool.Settling, stop: Callable[[], bool] = lambda: False) -> Iterator[Handled]:
    """One look through all folders: gives what became of each file, in turn between the senders.

    One bad file never stops the others: what cannot be read now (a share that is away, a locked
    file) is left for the next sweep. The caller holds the home's lock.
    """
    yield from recover(site)
    for entry in _entries(site, settling):
        if stop():
            return
        if entry.problem == "FILE_ACCESS":  # it waits where it lies; only the operator can help
            logs.event("file_access", level="error", partner=entry.partner, code=entry.problem)
            continue
        handled = _taken_or_left(entry.partner, partial(_one, site, entry))
        if handled is not None:
            publish(site)
            yield handled
    yield from wake(site)
    publish(site)


def recover(site: Site) -> Iterator[Handled]:
    """Finish what a crash left: claims without a receipt, jobs without an answer, answers that are not out."""
    partners = [one.folder for one in site.settings.partner]
    spool.sweep_tmp(site.home, partners)
    for claim in spool.leftovers(site.home, partners):
        handled = _taken_or_left(claim.partner, partial(_deliver, site, claim, ""))
        if handled is not None:
            yield handled
    for job in ledger.unfinished(site.ledger):
        handled = _taken_or_left(job["partner"], partial(_go_on, site, job))
        if handled is not None:
            yield handled
    publish(site)
    spool.sweep_work(site.home, ledger.originals_in_work(site.ledger))


def _go_on(site: Site, job: dict[str, Any]) -> Handled:
    """A job that a crash left; one that was only there to be refused (its name was taken) is refused now."""
    if _name_taken(site, job):
        return refuse_job(site, job, Refusal(Problem("NAME_REUSED")))
    return run_job(site, job)


def wake(site: Site) -> Iterator[Handled]:
    """Run the jobs that waited for a file which has come meanwhile, until nothing moves."""
    moved = True
    while moved:
        moved = False
        for job in ledger.parked(site.ledger):
            now = ledger.get(site.ledger, job["id"])
            if now["state"] != "parked":
                continue
            handled = _taken_or_left(job["partner"], partial(run_job, site, now))
            if handled is not None and handled.outcome != "parked":
                moved = True
                publish(site)
                yield handled


def _entries(site: Site, settling: spool.Settling) -> list[spool.Entry]:
    ignored = [re.compile(mask) for mask in site.profile.data["name"]["ignore"]]

    def skip(name: str) -> bool:
        # a foreign path written into a name is no temporary file, whatever it begins with
        return "\\" not in name and any(mask.fullmatch(name) for mask in ignored)

    try:
        return spool.look(site.home, [one.folder for one in site.settings.partner], settling, skip)
    except OSError as error:
        logs.event("inbox_away", level="error", errno=error.errno or 0)
        return []


# ---- one delivery -----------------------------------------------------------------------------


def _taken_or_left(partner: str, deliver: Callable[[], Handled | None]) -> Handled | None:
    """One delivery; a share that is away or a locked file leaves it to the next sweep, and nobody else waits for it."""
    try:
        return deliver()
    except OSError as error:
        logs.event("file_access", level="error", partner=partner, errno=error.errno or 0)
        return None


def _one(site: Site, entry: spool.Entry) -> Handled | None:
    return _unread(site, entry) if entry.problem in UNREAD else _deliver(site, spool.claim(entry), entry.problem)


def _deliver(site: Site, claim: spool.Claim | None, problem: str) -> Handled | None:
    """Copy a claimed file, write its receipt, and work on it; ``None``: it was gone or still changes."""
    if claim is None:
        return None
    try:
        taken = spool.take(site.home, claim)
    except Refusal as refusal:  # it has become a link or got a second name since it was looked at
        return _unread(site, spool.claimed(claim, refusal.code))
    if taken is None:
        return None
    return receive(site, taken, lambda: spool.release(claim), problem)


def _unread(site: Site, entry: spool.Entry) -> Handled:
    """A link, a device, a folder or something far too large: set aside unopened; the size alone is told."""
    claim_id = f"unread:{entry.inode}:{entry.mtime_ns}:{entry.size}"
    taken = spool.Taken(claim_id, entry.name, entry.partner, "", "", entry.size)
    return receive(site, taken, lambda: spool.set_aside(site.home, entry), entry.problem)


def receive(site: Site, taken: spool.Taken, release: Callable[[], object], problem: str = "") -> Handled:
    """TX1: the receipt of one delivery; then the share is rid of it (``release``), and the work begins."""
    if not problem and companions.is_companion(site, taken.name):
        kept = companions.keep(site, taken)
        release()
        return kept
    named, way, trouble = _recognise(site, taken)
    if problem:
        aside = problem == "FILE_TYPE"
        trouble = SetAside(Problem(problem)) if aside else Refusal(Problem(problem, found=str(taken.size)))
    received = ledger.receive(site.ledger, _delivery(taken, named, way))
    release()
    job = ledger.get(site.ledger, received.job_id)
    if job["state"] == "failed":  # our own fault then: sent again, it is tried again
        if taken.path and job["original"] != taken.path:
            fsio.unlink(taken.path)
        ledger.retry(site.ledger, received.job_id, taken.partner or "operator")
        return run_job(site, ledger.get(site.ledger, received.job_id))
    if received.verdict == "DUP" or received.state in ledger.DONE:
        return _again(site, job, taken, received)
    if trouble is None and received.verdict == "NAME_REUSED" and _name_taken(site, job):
        code = way.hop.again if way is not None else "NAME_REUSED"
        trouble = Refusal(Problem(code, f"receipt {received.first_receipt_id}"))
    if trouble is None:
        return run_job(site, job)
    return quarantine_job(site, job, trouble) if isinstance(trouble, SetAside) else refuse_job(site, job, trouble)


def _name_taken(site: Site, job: dict[str, Any]) -> bool:
    """Whether a file of this name is being judged or was answered; one that waits for its other half gives way."""
    before = ledger.same_name_before(site.ledger, job["id"])
    if [(one["state"], one["reason"]) for one in before] == [("parked", "PAIR")]:
        quarantine_job(site, before[0], Refusal(Problem("NAME_REUSED", f"job {job['id']}")))
        return False
    return bool(before)


def _recognise(site: Site, taken: spool.Taken) -> tuple[NamedFile | None, Route | None, Refusal | None]:
    """What the name says and which line of the profile it takes; or why it is turned away."""
    named: NamedFile | None = None
    try:
        named = names.identify(taken.name, site.profile)
        way = route(named, taken.partner, site.settings, site.profile)
    except SetAside as aside:
        return named, None, aside
    except Refusal as refusal:
        if taken.sha256 and ledger.is_ours(site.ledger, taken.sha256):
            return named, None, SetAside(Problem("LOOP"))
        return named, None, refusal
    closed = site.settings.closed_through
    if closed and named.period <= closed and way.hop.emits:
        return named, way, Refusal(Problem("PERIOD_CLOSED", named.period, expected=f"> {closed}"))
    return named, way, None


def _delivery(taken: spool.Taken, named: NamedFile | None, way: Route | None) -> ledger.Delivery:
    return ledger.Delivery(
        claim_id=taken.claim_id,
        name=taken.name,
        sha256=taken.sha256,
        size=taken.size,
        sender=way.sender if way else taken.partner or "operator",
        receiver=way.receiver if way else "self",
        partner=way.partner.folder if way and way.partner else taken.partner,
        named=named,
        kind=way.hop.handler if way else "",
        original=taken.path,
        received_at=clock.now().isoformat(),
        direction=way.direction if way else "in",
    )


def _again(site: Site, job: dict[str, Any], taken: spool.Taken, received: ledger.Received) -> Handled:
    """The same bytes once more: the same answer once more, never an error."""
    if taken.path and job["original"] != taken.path:
        fsio.unlink(taken.path)
    if job["state"] in ("answered", "refused"):
        ledger.republish(site.ledger, received.job_id)
    logs.event("duplicate", job=received.job_id, receipt=received.receipt_id)
    return Handled(
        job["name"],
        job["partner"],
        "duplicate",
        code="DUP",
        job=received.job_id,
        register=job["register"],
        notes={"first_receipt": received.first_receipt_id, "state": job["state"]},
    )


# ---- outbox -------------------------------------------------------------------------------------


def publish(site: Site) -> None:
    """Put committed answers into the partners' folders, in order, and archive what is all out.

    A name taken by other content blocks its job until the operator mends it; nothing is overwritten.
    A folder that is full or away is tried again at the next sweep.
    """
    stuck: set[int] = set()
    for row in ledger.unpublished(site.ledger):
        if row.job_id in stuck:
            continue  # what comes after a file that is not out must not overtake it
        try:
            done = spool.publish(site.home, row.box_path, row.name, row.partner, row.sha256) == "done"
        except OSError as error:
            logs.event("publish_waits", level="error", job=row.job_id, errno=error.errno or 0)
            stuck.add(row.job_id)
            continue
        except Fault:  # the box was touched: the proof names it, and the others go out
            logs.event("outbox_lost", level="error", job=row.job_id)
            stuck.add(row.job_id)
            continue
        if done:
            ledger.published(site.ledger, row.id)
            continue
        ledger.blocked(site.ledger, row.id)
        logs.event("publish_blocked", level="error", job=row.job_id)
        stuck.add(row.job_id)
    for job in ledger.unarchived(site.ledger):
        try:
            _archive(site, job)
        except (OSError, Fault) as error:
            logs.event("archive_waits", level="error", job=job["id"], errno=getattr(error, "errno", None) or 0)


def _archive(site: Site, job: dict[str, Any]) -> None:
    """Bytes, answers and facts of a closed job to where they rest; may be repeated."""
    when = clock.parse(job["received_at"])
    kept: list[tuple[str, str]] = []
    for row in ledger.outbox_of(site.ledger, job["id"]):
        if row.box_path.startswith(str(site.home.box)):
            kept.append((row.name, spool.archive(site.home, row.box_path, row.name, row.sha256, when)))
    found = f"{site.home.box}/{job['id']}/facts.parquet"
    if fsio.exists(found):
        facts.publish(site.home.archive, job["period"], found)
    original = job["original"]
    if original.startswith(str(site.home.work)):
        if job["state"] == "answered":
            original = spool.archive(site.home, original, job["name"], job["sha256"], when)
        else:
            original = spool.quarantine(site.home, original, job["name"], job["reason"].partition(",")[0] or "FILE")
    # the box goes first: after a crash in between, the archive already has what it held
    spool.finish(site.home, job["id"])
    ledger.archived(site.ledger, job["id"], original, kept)
