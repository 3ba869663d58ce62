"""One job, from its receipt to its commit: where it belongs, what it waits for, the child, the answer.

Whatever calls it (a sweep, a recovery after a crash, an operator's command), a job takes this one way.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from oms_batch import clock, i18n, logs
from oms_batch.deadlines import deadline
from oms_batch.deadlines import late as is_late
from oms_batch.errors import Fault, Problem, Refusal, SetupError, WrongState
from oms_batch.exchange import ROLES, Hop, Profile
from oms_batch.formats import container
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.model import NamedFile, Reply, Totals, WorkOrder, WorkResult, hundredths, share_of
from oms_batch.reply import protocol
from oms_batch.reply.flk_p import Form, load_form
from oms_batch.routing import Route, SetAside, own_parties, recipient, route
from oms_batch.site import Site
from oms_batch.stages import doubts
from oms_batch.store import brake, facts, fsio, ledger, queue, sandbox, spool

ATTEMPTS = 3
HANDLERS = "oms_batch.stages"


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one file, for the door that asked."""

    name: str
    folder: str
    outcome: str  # answered refused parked duplicate quarantined failed companion rejected
    code: str = ""
    job: int = 0
    register: str = ""
    status: str = ""
    sent: Totals = Totals()
    refused: Totals = Totals()
    waits_for: str = ""
    problems: tuple[Problem, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


def run_job(site: Site, job: dict[str, Any]) -> Handled:
    """Carry a job to its end or to the point where it must wait; files are written in the home's language."""
    asked = i18n.language()
    i18n.set_language(site.settings.lang)
    try:
        return _run(site, job)
    finally:
        i18n.set_language(asked)


def _run(site: Site, job: dict[str, Any]) -> Handled:
    try:
        named = names.identify(job["name"], site.profile)
        way = _way(site, named, job)
        if waits := _waits_for(site, named, way.hop):
            return _park(site, job, "AFTER", waits)
        if jump := brake.held(site.ledger, job["id"]):
            return _park(site, job, brake.REASON, "release", note=jump)
        attempt = ledger.start(site.ledger, job["id"])
        order = make_order(site, job, named, way)
        if order.late and site.profile.data["deadline"]["late"] == "refuse":
            raise Refusal(Problem("LATE", named.period, expected=order.options["due"], found=job["received_at"]))
        result = WorkResult.from_json(sandbox.run(f"{HANDLERS}.{way.hop.handler}:work", order.as_json(), _limits(site)))
        if jump := _jump(site, job, named, way, result):
            brake.hold(site.ledger, job["id"], jump)
            return _park(site, job, brake.REASON, "release", note=jump)
        doubts.take(site.ledger, site.profile, str(site.home.root), order.scratch)
    except SetAside as aside:
        return quarantine_job(site, job, aside)
    except Refusal as refusal:
        if refusal.code == "PAIR_MISSING" and way.hop.pair:  # its other half may still come by itself
            return _park(site, job, "PAIR", way.hop.pair)
        handled = refuse_job(site, job, refusal)
        _close_half(site, job)
        return handled
    except sandbox.Limit as limit:
        return _too_much(site, job, limit, attempt)
    except WrongState as wait:
        return _park(site, job, wait.code, wait.detail)
    except SetupError as error:
        logs.event("rules_or_books", level="error", job=job["id"])
        return _park(site, job, "RULES", "rules", note=str(error))
    except Fault as fault:
        return _fail(site, job, fault)
    try:
        return _commit(site, job, named, order, result)
    except Fault as fault:
        return _fail(site, job, fault)


def _jump(site: Site, job: dict[str, Any], named: NamedFile, way: Route, result: WorkResult) -> str:
    """By how many points the refused share is above the sender's usual one, when that is more than the brake allows."""
    asked, line = site.settings.brake, way.hop
    if not (asked.points and line.emits and line.refused) or brake.released(site.ledger, job["id"]):
        return ""
    last = (named.register, line.stage, line.refused, asked.registers)
    judged, refused = brake.judged_before(site.ledger, *last)
    if judged < asked.accounts:
        return ""
    jump = share_of(result.refused.accounts, result.sent.accounts) - share_of(refused, judged)
    return hundredths(jump) if jump > 100 * asked.points else ""


def _close_half(site: Site, job: dict[str, Any]) -> None:
    """A register that is refused takes the half that it was read with along: nobody knows which of them was wrong."""
    for stage in {line.pair for line in site.profile.hops if line.stage == job["stage"] and line.pair and line.emits}:
        half = ledger.find_job(site.ledger, job["register"], stage, job["payer"], ("parked",))
        if half is not None and half["sender"] == job["sender"]:
            ledger.refuse_half(site.ledger, job["id"], half["id"])


def _way(site: Site, named: NamedFile, job: dict[str, Any]) -> Route:
    """The line of the profile for this job: one of our own making, or one that came to us."""
    if job["sender"] != "self":
        return route(named, job["partner"], site.settings, site.profile)
    for party in own_parties(named, site.settings):
        line = site.profile.send(named.stage, party)
        if line is not None:
            return Route(line, "out", recipient(line, named, site.settings))
    raise Refusal(Problem("ROLE_STAGE", named.suffix))


def _waits_for(site: Site, named: NamedFile, line: Hop) -> str:
    """The stages one of which must be known before this file can be taken in; empty: nothing."""
    for stage in line.awaits:
        payer = payer_of(site, stage, named)
        ours = any(site.profile.send(stage, party) for party in own_parties(named, site.settings))
        if ledger.find_file(site.ledger, named.register, stage, payer, "out" if ours else "in"):
            return ""
    return line.after


def payer_of(site: Site, stage: str, named: NamedFile) -> str:
    """The payer letter that a file of this stage of the same register carries."""
    everyone = site.profile.stages[stage].payers == "all"
    return str(site.profile.data["name"]["all_payers"]) if everyone else named.payer


def make_order(site: Site, job: dict[str, Any], named: NamedFile, way: Route) -> WorkOrder:
    """All that the child needs, as plain values."""
    line, received = way.hop, job["received_at"]
    spool.finish(site.home, job["id"])
    scratch, box = str(site.home.scratch(job["id"])), str(site.home.box_of(job["id"]))
    terms = site.profile.data["deadline"]
    known = f"{scratch}/known.parquet"
    ledger.export_known(site.ledger, named.register, "", known)
    options: dict[str, Any] = {
        "hop": {"stage": line.stage, "sender": line.sender, "receiver": line.receiver},
        "direction": way.direction,
        "overlay": site.overlay,
        "insured": str(site.home.insured) if fsio.exists(site.home.insured) else "",
        "decided": queue.export_decided(site.ledger, f"{scratch}/decided.parquet"),
        "zip_level": site.settings.zip_level,
        "job": job["id"],
        "due": deadline(site.profile, named.period).isoformat() if line.stage == terms["stage"] else "",
        "anchor": ledger.anchor(site.ledger).h,
        "partners": [one.model_dump() for one in site.settings.partner],
    }
    if way.direction == "out":
        options["decisions"] = ledger.open_decisions(site.ledger, named.register, named.payer)
    return WorkOrder(
        handler=line.handler,
        home=str(site.home.root),
        profile=site.profile.id,
        role=site.settings.role,
        own=site.settings.own.model_dump(),
        named=named,
        source=job["original"],
        sha256=job["sha256"],
        size=job["size"],
        box=box,
        scratch=scratch,
        received_at=received,
        lang=site.settings.lang,
        late=line.stage == terms["stage"] and is_late(site.profile, named.period, clock.parse(received)),
        partner=way.partner.folder if way.partner else "",
        related=_related(site, named, line),
        facts=facts.listed(site.home.archive, facts.periods(site.home.archive)),
        known=known,
        limits=site.settings.limits.model_dump(),
        options=options,
    )


def _related(site: Site, named: NamedFile, line: Hop) -> dict[str, str]:
    """Other files that this one is judged together with: its sibling that waits, the fund's copy."""
    found: dict[str, str] = {}
    if line.pair and ledger.find_file(site.ledger, named.register, line.pair, named.payer, "in"):
        raise Refusal(Problem("STAGE_CLOSED", named.stage))  # its other half was answered with another
    for key, stage in (("with", line.with_), ("pair", line.pair)):
        sibling = ledger.find_job(site.ledger, named.register, stage, named.payer, ("parked",)) if stage else None
        if sibling is not None:
            found |= {key: sibling["original"], f"{key}_name": sibling["name"], f"{key}_job": str(sibling["id"])}
    if line.over:
        sent = ledger.find_file(site.ledger, named.register, line.over, payer_of(site, line.over, named), "out")
        if sent is None:
            raise WrongState("AFTER", line.over)
        found |= {"over": sent["path"], "over_name": sent["name"]}
    if line.source:
        made_from = ledger.find_file(
            site.ledger, named.register, line.source, payer_of(site, line.source, named), line.source_is
        )
        found |= {"source_name": made_from["name"]} if made_from is not None else {}
    if line.proved_by == ROLES[site.settings.role]:
        own = ledger.find_file(site.ledger, named.register, line.stage, named.payer, "out")
        if own is not None:
            found["proved_by"] = own["path"]
    elif line.proved_by:
        for partner in site.settings.partner:
            if line.proved_by != ROLES[partner.role]:
                continue
            copy = ledger.find_from(site.ledger, named.register, line.stage, named.payer, partner.folder)
            if copy is not None:
                found["proved_by"] = copy["original"]
    return found


def _limits(site: Site) -> sandbox.Limits:
    chosen = site.settings.limits
    return sandbox.Limits(chosen.memory_mb, chosen.cpu_seconds, chosen.wall_seconds, chosen.isolate)


# ---- ends -------------------------------------------------------------------------------------


def _commit(site: Site, job: dict[str, Any], named: NamedFile, order: WorkOrder, result: WorkResult) -> Handled:
    """The one point: verdicts, account effects, outbox and audit in one transaction."""
    boxed = [_boxed(site, order, reply) for reply in result.replies]
    companions = [int(order.related[key]) for key in ("with_job", "pair_job") if key in order.related]
    profile = site.profile
    ledger.answer(
        site.ledger,
        job["id"],
        result,
        result.effects,
        profile.life,
        profile.buckets,
        boxed,
        companions=companions,
        used_decisions=[int(row["id"]) for row in order.options.get("decisions", [])],
    )
    fsio.rmtree(order.scratch)
    logs.event(
        "answered", job=job["id"], stage=named.stage, accounts=result.sent.accounts, refused=result.refused.accounts
    )
    return Handled(
        job["name"],
        job["partner"],
        "answered",
        code="LATE" if order.late else "",
        job=job["id"],
        register=named.register,
        status=result.status,
        sent=result.sent,
        refused=result.refused,
        notes={**result.notes, "did": _did(site.profile, order)},
    )


def _did(profile: Profile, order: WorkOrder) -> str:
    """``sent``: a file of our own; ``answered``: somebody's, with files for him; ``taken_in``: an answer to us."""
    if order.options["direction"] == "out":
        return "sent"
    line = profile.hop(order.named.stage, order.options["hop"]["sender"], order.options["hop"]["receiver"])
    return "answered" if line is not None and line.emits else "taken_in"


def _boxed(site: Site, order: WorkOrder, reply: Reply) -> ledger.Boxed:
    """A reply and its place in the box; a register among them is remembered with its stage and payer."""
    path = box_path(order.box, reply)
    if reply.kind != "answer":
        return ledger.Boxed(reply, path)
    emitted = names.identify(reply.name, site.profile)
    return ledger.Boxed(reply, path, emitted.stage, emitted.payer)


def box_path(box: str, reply: Reply) -> str:
    """Where a reply lies in the box of its job."""
    return f"{box}/{reply.order:03d}-{reply.name}"


def refuse_job(site: Site, job: dict[str, Any], refusal: Refusal) -> Handled:
    """The whole file is refused: a protocol for the folder's owner, the bytes are kept.

    Of a file of our own making the protocol is for our operator: its receiver has not seen the file.
    """
    spool.finish(site.home, job["id"])
    box = str(site.home.box_of(job["id"]))
    reader = "" if job["sender"] == "self" else job["partner"]
    boxed = []
    for order, (name, content) in enumerate(_protocol(site, job, refusal), 1):
        sha256, size = fsio.digest(content)
        reply = Reply(name, reader, order, "protocol", sha256, size)
        path = box_path(box, reply)
        fsio.write_bytes_durable(path, content)
        boxed.append(ledger.Boxed(reply, path))
    ledger.refuse(site.ledger, job["id"], [one.code for one in refusal.problems], boxed)
    logs.event("refused", job=job["id"], code=refusal.code)
    return _handled(job, "refused", refusal.code, problems=refusal.problems)


def _protocol(site: Site, job: dict[str, Any], refusal: Refusal) -> list[tuple[str, bytes]]:
    """The protocol for machines and the page for people; named by the file where its name is one, else by receipt."""
    stem = job["canonical"].rpartition(".")[0] or f"receipt-{job['id']:08d}"
    if job["canonical"] and ledger.refused_before(site.ledger, job["id"]):
        stem += f".{job['id']:08d}"  # the protocol of an earlier try may still lie there
    texts = protocol.load_texts(site.rules)
    name = job["canonical"] or job["name"]
    facts_of = [
        (_("Received"), job["received_at"]),
        (_("SHA-256"), job["sha256"]),
        (_("Size, bytes"), str(job["size"])),
        (_("Receipt"), f"{job['id']:08d}"),
    ]
    out = io.BytesIO()
    protocol.write_protocol_page(refusal, out, name, facts_of, texts, lang=site.settings.lang)
    called, packed = _called(site, job, stem)
    machine = protocol.flk_p(refusal, name, f"{called}.xml", texts, sha256=job["sha256"], form=_form(site))
    own = _packed(site, job, called, machine) if packed else (f"{called}.xml", machine)
    return [own, (f"{stem}.protocol.html", out.getvalue())]


def _called(site: Site, job: dict[str, Any], stem: str) -> tuple[str, bool]:
    """What the protocol of this file is called (one name, or one by stage), and whether it travels packed."""
    rules, usual = site.profile.data["name"], "{stem}.protocol"
    own = rules.get("protocol_name", usual)
    if isinstance(own, str):
        return own.format(stem=stem), "protocol_in" in rules
    plain = job["canonical"].rpartition(".")[0]
    named = names.identify(job["canonical"], site.profile) if plain else None
    if named is None or named.stage not in own:
        return usual.format(stem=stem), False
    return own[named.stage].format_map(named.parts) + stem.removeprefix(plain), "protocol_in" in rules


def _packed(site: Site, job: dict[str, Any], called: str, machine: bytes) -> tuple[str, bytes]:
    """The protocol in the archive that the profile wants it in."""
    extension = site.profile.data["name"]["protocol_in"]
    out, when = io.BytesIO(), clock.parse(job["received_at"])
    members = [(f"{called}.XML", io.BytesIO(machine))]
    container.pack_members(site.profile.data["containers"][extension], members, out, when)
    return f"{called}{extension}", out.getvalue()


def _form(site: Site) -> Form | None:
    """The generation of protocols that the profile asks for; none: the usual one."""
    return load_form(site.rules, site.profile.id) if site.rules.exists(f"{site.profile.id}/answers.toml") else None


def quarantine_job(site: Site, job: dict[str, Any], refusal: Refusal) -> Handled:
    ledger.quarantine(site.ledger, job["id"], refusal.code)
    logs.event("quarantined", level="error", job=job["id"], code=refusal.code)
    return _handled(job, "quarantined", refusal.code, problems=refusal.problems)


def _fail(site: Site, job: dict[str, Any], fault: Fault) -> Handled:
    """Our own fault: the job stops here, nothing leaves, the operator is told; ``retry`` runs it again."""
    logs.event("failed", level="error", job=job["id"])
    ledger.fail(site.ledger, job["id"], str(fault))
    return _handled(job, "failed", "FAULT", notes={"fault": str(fault)})


def _too_much(site: Site, job: dict[str, Any], limit: sandbox.Limit, attempt: int) -> Handled:
    """The child hung, died or ran out of memory: three tries, then quarantine and a short protocol."""
    logs.event("child_limit", level="error", job=job["id"], attempt=attempt)
    if attempt < ATTEMPTS:
        return run_job(site, ledger.get(site.ledger, job["id"]))
    handled = refuse_job(site, job, Refusal(Problem(limit.code, limit.reason)))
    return Handled(**{**_plain(handled), "outcome": "quarantined"})


def _plain(handled: Handled) -> dict[str, Any]:
    return {name: getattr(handled, name) for name in Handled.__slots__}


def _park(site: Site, job: dict[str, Any], reason: str, waits_for: str, note: str = "") -> Handled:
    days = int(site.profile.data["turnaround"]["park_days"])
    until = (clock.today() + timedelta(days=days)).isoformat()
    ledger.park(site.ledger, job["id"], reason, waits_for, until)
    return _handled(job, "parked", reason, waits_for=waits_for, notes={"until": until, "note": note})


def _handled(job: dict[str, Any], outcome: str, code: str, **more: Any) -> Handled:
    return Handled(job["name"], job["partner"], outcome, code=code, job=job["id"], register=job["register"], **more)
