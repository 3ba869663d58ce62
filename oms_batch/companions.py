"""What comes beside answers is kept; a protocol may tell that a file of ours was refused as a whole."""

from __future__ import annotations

import io
import re

from oms_batch import clock, logs
from oms_batch.errors import Refusal
from oms_batch.exchange import Member
from oms_batch.formats.members import open_members
from oms_batch.intake import names
from oms_batch.routing import own_parties
from oms_batch.site import Site
from oms_batch.store import fsio, ledger, spool
from oms_batch.work import Handled

_PROTOCOL = r"(?P<stem>[^.]+)(\.\d{8})?\.protocol\.xml"
_FAULT = re.compile(rb"<PR>.*?</PR>", re.DOTALL)
_RECORD = re.compile(rb"<(N_ZAP|N_REC|ID_PAC|IDCASE|SL_ID|IDSERV)>\s*[^<\s]")
_CODE = re.compile(rb"<OSHIB>([A-Za-z0-9_.]{1,30})</OSHIB>")
_SHA256 = re.compile(rb"<!-- SHA-256 ([0-9a-f]{64}) -->")
_FILE = re.compile(rb"<FNAME_I>([A-Za-z0-9_]{1,60})</FNAME_I>")
_READ = 1 << 20  # of a protocol, to find codes in; it is matched, never parsed


def is_companion(site: Site, name: str) -> bool:
    """What comes beside an answer (report, receipt, protocol) is kept, not judged."""
    return any(re.fullmatch(mask, name, re.IGNORECASE) for mask in site.profile.data["name"]["companions"])


def keep(site: Site, taken: spool.Taken) -> Handled:
    """Lay it into the archive, and listen to it when it is a protocol."""
    path = spool.archive(site.home, taken.path, taken.name, taken.sha256, clock.now())
    ledger.log(
        site.ledger, taken.partner or "operator", "companion", path, {"sha256": taken.sha256, "size": taken.size}
    )
    # where the operator looks; what lies there under this name already is left alone, and this one lies beside it
    if spool.safe_name(taken.name) == taken.name:
        stem, _dot, rest = taken.name.partition(".")
        for name in (taken.name, f"{stem}.{taken.sha256[:8]}.{rest}"):
            if spool.publish(site.home, path, name, "", taken.sha256) == "done":
                break
    kept = Handled(taken.name, taken.partner, "companion", notes={"path": path})
    mask = site.profile.data["name"].get("protocol", _PROTOCOL)
    match = re.fullmatch(mask, taken.name, re.IGNORECASE | re.ASCII)
    return (_heard(site, taken, path, match.groupdict().get("stem", "")) if match else None) or kept


def _content(path: str, taken: spool.Taken) -> bytes:
    """The beginning of a protocol, packed or not."""
    inside = Member("flk", r"{stem}\.xml", "{stem}.XML", "")
    with fsio.open_read(path) as stream:
        try:
            name = {"stem": taken.name.rpartition(".")[0]}
            with open_members(stream, taken.size, [inside], name, lambda _role: io.BytesIO()) as opened:
                document = opened.streams[inside.role]
                document.seek(0)
                return document.read(_READ)
        except Refusal:  # nothing that could be opened: the codes are looked for as it lies there
            stream.seek(0)
            return stream.read(_READ)


def _heard(site: Site, taken: spool.Taken, path: str, stem: str) -> Handled | None:
    """The protocol of a file that we sent: the file is taken back, so that a corrected one may follow.

    ``stem``: the name of that file without its extension; empty: the protocol itself says it.
    """
    content = _content(path, taken)
    if not stem and (said := _FILE.search(content)):
        stem = said[1].decode("ascii")
    try:
        named = names.identify(f"{stem}{site.profile.data['name']['extensions'][0]}", site.profile)
    except (Refusal, names.Ignored):
        return None
    if all(_RECORD.search(one) for one in _FAULT.findall(content)):
        return None  # it speaks of records only: the answer says what becomes of them
    told = _SHA256.search(content)
    found = ledger.sent_job(
        site.ledger, named.register, named.stage, named.payer, taken.partner, told[1].decode() if told else ""
    )
    lines = [line for party in own_parties(named, site.settings) if (line := site.profile.send(named.stage, party))]
    if found is None or not lines or not lines[0].rejected:
        return None
    codes = list(dict.fromkeys(code.decode() for code in _CODE.findall(content)))[:20] or ["?"]
    line = lines[0]
    withdraws = site.profile.buckets[line.rejected] == ledger.WITHDRAWN
    totals = ledger.reject(
        site.ledger, found, taken.partner or "operator", codes, line.passed, line.rejected, withdraws
    )
    if totals is None:
        return None
    logs.event("sent_file_rejected", level="error", job=found, code=codes[0], accounts=totals.accounts)
    job = ledger.get(site.ledger, found)
    notes = {"path": path, "codes": codes}
    return Handled(job["name"], taken.partner, "rejected", codes[0], found, job["register"], sent=totals, notes=notes)
