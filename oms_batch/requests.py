"""What an operator asks for: send, reformulate, close. Each is a job like any other.

Nothing here writes into ``outbox`` by itself: the job is received, worked and published on the one way.
"""

from __future__ import annotations

from collections.abc import Iterator

from oms_batch import clock
from oms_batch.errors import WrongState
from oms_batch.exchange import MO, PAYER, ROLES
from oms_batch.formats import container
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.model import NamedFile
from oms_batch.routing import own_parties, recipient
from oms_batch.site import Site
from oms_batch.store import fsio, ledger, spool
from oms_batch.work import Handled, run_job


def submit(site: Site, file: str) -> str:
    """Put a file into the operator's own drop of the inbox, whole or not at all; gives its path.

    The name is judged first, so that a wrong one is told now and not at the next sweep.
    ``WrongState`` NAME_WAITS: a file of this name lies there and was not looked at yet.
    """
    name = fsio.basename(file)
    named = names.identify(name, site.profile)
    try:
        return spool.drop(site.home, file, named.canonical)
    except FileExistsError:
        raise WrongState("NAME_WAITS", named.canonical) from None


def name_is_free(site: Site, named: NamedFile) -> None:
    """``WrongState`` NAME_WAITS when a file of this name waits in our own drop already."""
    if fsio.exists(site.home.inbox / named.canonical):
        raise WrongState("NAME_WAITS", named.canonical)


def pack_into_inbox(site: Site, document: str, named: NamedFile) -> str:
    """Pack a document that we made and put it into our own drop; gives its path there."""
    kind = site.profile.data["containers"][named.extension]
    with fsio.scratch_folder(site.home.tmp) as folder:
        path = f"{folder}/{named.canonical}"
        with fsio.open_read(document) as source, fsio.create(path) as out:
            member = site.profile.data["member"]
            container.pack(kind, member, source, out, when=clock.now(), level=site.settings.zip_level)
            fsio.fsync_file(out)
        return submit(site, path)


def reformulate(site: Site, register: str = "", payer: str = "", *, again: bool = True) -> Iterator[Handled]:
    """Reformulate every fund's file that was taken in and has not gone on to its payer yet.

    ``register`` and ``payer`` narrow it down; asking twice gives the same file again. ``again=False`` leaves out
    what its payer has refused as a whole: that is for a person to decide, not for the night.
    ``WrongState`` STAGE_ORDER when there is no such file yet.
    """
    yield from _make(site, "reformulate", register, payer, again=again)


def finalise(site: Site, register: str = "", payer: str = "") -> Iterator[Handled]:
    """Make the final answer of every register whose first stage is answered and not closed yet."""
    yield from _make(site, "finalise", register, payer)


def _make(site: Site, handler: str, register: str, payer: str, *, again: bool = True) -> Iterator[Handled]:
    """Jobs of our own making: one per source file for which the profile has a line with this handler."""
    lines = [line for line in site.profile.sends if line.handler == handler]
    party = ROLES[site.settings.role]
    if all(line.sender != party and (line.sender != PAYER or party == MO) for line in lines):
        raise WrongState("ROLE_STAGE", site.settings.role)
    found, nobody = False, ""
    for line in lines:
        for file in ledger.files_of(site.ledger, line.source, line.source_is):
            if (register and file["register"] != register) or (payer and file["payer"] != payer.upper()):
                continue
            named = _named(site, file["name"], line.stage)
            if line.sender not in own_parties(named, site.settings):
                continue
            found = True
            partner = recipient(line, named, site.settings)
            if partner is None:
                nobody = named.suffix  # told at the end: the files of the others go their way
                continue
            if not again and ledger.find_job(site.ledger, named.register, named.stage, named.payer, ("rejected",)):
                continue
            handled = _run(site, named, file, handler, partner.folder)
            if handled is not None:
                yield handled
    if nobody:
        raise WrongState("PARTNER_UNKNOWN", nobody)
    if not found:
        raise WrongState("STAGE_ORDER", _("nothing has come yet that this could be made from"))


def _named(site: Site, name: str, stage: str) -> NamedFile:
    """The name of the file to be made: that of its source with the stage of the line."""
    source = names.identify(name, site.profile)
    return names.build(stage, source.parts, source.extension, site.profile)


def _run(site: Site, named: NamedFile, file: dict[str, str], handler: str, partner: str) -> Handled | None:
    delivery = ledger.Delivery(
        claim_id=f"own:{handler}:{named.register}:{named.suffix}:{file['sha256']}",
        name=named.canonical,
        sha256=file["sha256"],
        size=0,
        sender="self",
        receiver=partner,
        partner=partner,
        named=named,
        kind=handler,
        original=file["path"],
        received_at=clock.now().isoformat(),
        direction="out",
    )
    received = ledger.receive(site.ledger, delivery)
    job = ledger.get(site.ledger, received.job_id)
    if job["state"] in ("answered", "refused"):
        return None
    return run_job(site, job)
