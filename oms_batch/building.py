"""The next main register of the MO, or archives that stand for it: sources, accounts billed again, accounts put aside.

What happens, in order: read and build · hold against the caps of the month · where asked, build once more without what
does not fit · note in the ledger what was placed and what waits · into the inbox.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from oms_batch import clock, foreign, requests
from oms_batch.desk import build, resubmit, sequester
from oms_batch.desk.sequester import Measured
from oms_batch.desk.sources import PatientPart
from oms_batch.errors import Fault, WrongState
from oms_batch.exchange import MO, ROLES
from oms_batch.intake import names
from oms_batch.model import NamedFile, Totals
from oms_batch.site import Site
from oms_batch.stages import billed_again, capped, fragments
from oms_batch.stages.judging import lost_states
from oms_batch.store import fsio, ledger

NO_CAPS = Measured((), ())
SOURCE = "source"  # the "field" of a correction that takes the whole case anew from the MIS


@dataclass(frozen=True)
class Built:
    """A register that was built: where it lies, what is in it, how it stands to the caps of its month.

    ``aside``: accounts and kopecks that this build put aside.
    """

    path: str
    report: build.BuildReport
    caps: Measured = NO_CAPS
    aside: Totals = Totals()


def build_register(
    site: Site,
    period: str,
    files: Sequence[str],
    *,
    number: str = "1",
    zero: bool = False,
    day: date | None = None,
    fit: bool = False,
    who: str = "operator",
) -> Built:
    """Build the main register of a period from source cases and the accounts on the list, into the inbox.

    The next sweep sends it. ``fit``: what does not fit under the caps of the month is put aside for a later register;
    else ``caps`` of the answer says by how much they are exceeded. Accounts put aside before come in by themselves.
    ``WrongState`` NOTHING_TO_BILL when there is neither source nor account and no zero register was asked for, or
    nothing fits; ``Refusal`` names every bad row of a source.
    """
    named = main_name(site, period, number)
    if ledger.find_file(site.ledger, named.register, named.stage, named.payer, "out") is not None:
        raise WrongState("NAME_REUSED", named.register)
    waiting = ledger.waiting_resubmissions(site.ledger) + ledger.waiting_resubmissions(site.ledger, named.register)
    put_by = waiting_aside(site, named.register)
    if not files and not waiting and not put_by and not zero:
        raise WrongState("NOTHING_TO_BILL", period)
    with ExitStack() as stack:
        folder = stack.enter_context(fsio.scratch_folder(str(site.home.tmp)))
        header = build.Header(named, day or clock.today(), number, "oms-batch")
        plain = f"{folder}/{site.profile.data['member']}"
        make = partial(_document, site, header, files, waiting, put_by, folder, plain)
        report = make()
        measured = _measured(site, named, plain, folder)
        aside = Totals()
        if fit and measured.beyond:
            whole = Totals(report.accounts, report.kopecks)
            left_out = {one.xkey for one in measured.beyond}
            again = [one for one in measured.beyond if one.xkey in {new for _old, new, _kind in report.lineage}]
            report = make(left_out)
            aside = sequester.totals_of(report.aside)
            kept = Totals(report.accounts, report.kopecks)
            sequester.check_nothing_lost(whole, kept, aside, Totals(len(again), sum(one.sumv for one in again)))
            if _measured(site, named, plain, folder).beyond:
                raise Fault("a register without what is beyond the caps is beyond them")
            if not report.accounts and not zero:
                raise WrongState("NOTHING_TO_BILL", period)
        # placed first: built again after a crash in between, the same accounts come in under the same keys
        requests.name_is_free(site, named)
        placed = {old: new for old, new, _kind in report.lineage}
        ledger.place_resubmissions(
            site.ledger,
            [(row["account_id"], named.register, placed[row["xkey"]]) for row in waiting if row["xkey"] in placed],
        )
        if report.aside or report.joined:
            ledger.put_aside(site.ledger, _rows(site, named, report, measured), report.joined, named.register, who)
        path = requests.pack_into_inbox(site, plain, named)
    return Built(path, report, measured, aside)


def _document(
    site: Site,
    header: build.Header,
    files: Sequence[str],
    waiting: list[dict[str, Any]],
    put_by: list[dict[str, Any]],
    folder: str,
    plain: str,
    without: Collection[str] = (),
) -> build.BuildReport:
    """The document of the register at ``plain``, synced."""
    with (
        foreign.sources(files, site.profile, folder, partial(_predecessor, site)) as sources,
        fsio.scratch_folder(folder) as inner,
        fsio.create(f"{inner}/patients") as patients,
        fsio.create(f"{inner}/document") as out,
    ):
        report = build.build_register(
            site.profile,
            header,
            sources,
            list(_again(site, waiting)),
            out,
            scratch=patients,
            renumber=len(sources) > 1 or bool(put_by),
            later=_later(put_by, header.encoding or site.profile.data["encodings"][0]),
            without=without,
        )
        fsio.fsync_file(out)
        fsio.unlink(plain)
        fsio.rename(f"{inner}/document", plain)
    return report


# ---- caps of the month -----------------------------------------------------------------------------


def waiting_aside(site: Site, register: str = "") -> list[dict[str, Any]]:
    """Accounts put aside that wait for a register (and those that ``register`` took in, while it is built again)."""
    gone = [state for state, bucket in site.profile.buckets.items() if bucket == ledger.WITHDRAWN]
    return ledger.waiting_aside(site.ledger, gone, register)


def _measured(site: Site, named: NamedFile, plain: str, folder: str) -> Measured:
    standing = ledger.standing(site.ledger, named.period, lost_states(site.profile), named.register)
    limits = site.settings.limits.model_dump()
    return capped.measure(site.profile, plain, named, standing, partial(_sent_file, site), folder, limits)


def _rows(site: Site, named: NamedFile, report: build.BuildReport, measured: Measured) -> list[dict[str, Any]]:
    """Rows of the ledger for what is put aside; the bytes go to the archive first."""
    if not report.aside:
        return []
    content = sequester.written(report.aside, report.encoding)
    sha256, _size = fsio.digest(content)
    folder = site.home.archive / "sequestered"
    fsio.mkdirs(folder)
    path = folder / f"{sha256}.json"
    if not fsio.exists(path):
        fsio.write_bytes_durable(path, content)
    about = {one.xkey: one for one in measured.beyond}
    found = []
    for patient in report.aside:
        for part in patient.accounts:
            one = about[part.xkey]
            row = {"xkey": one.xkey, "line": one.shown, "what": one.what, "usl_ok": one.usl_ok, "sumv": one.sumv}
            row |= {"register": named.register, "period": named.period, "date_z_2": one.date_z_2, "path": str(path)}
            found.append(row)
    return found


def _later(rows: list[dict[str, Any]], encoding: str) -> Iterator[PatientPart]:
    """Patients of accounts put aside, file by file."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        wanted.setdefault(row["path"], set()).add(row["xkey"])
    for path, keys in wanted.items():
        yield from sequester.read(fsio.read_bytes(path), keys, encoding, "aside")


# ---- accounts billed again -------------------------------------------------------------------------


def build_again(site: Site, period: str) -> list[Built]:
    """Archives of the accounts on the list, into the inbox, where such accounts go by archives of their own."""
    made = []
    with fsio.scratch_folder(str(site.home.tmp)) as folder:
        for one in billed_again.archives(
            site.ledger, site.profile, period, lambda account: corrections_of(site, account)[1], folder, clock.now()
        ):
            requests.name_is_free(site, one.named)
            ledger.place_resubmissions(site.ledger, one.placed)
            counts = one.totals.accounts, one.totals.accounts, one.totals.kopecks
            report = build.BuildReport("", *counts, lineage=list(one.lineage))
            made.append(Built(requests.submit(site, one.path), report))
    return made


def _predecessor(site: Site, xkey: str) -> tuple[str, str]:
    """(register, primary or repeat) of a refused account that has no successor yet; empty: there is none."""
    states = resubmit.refused_states(site.profile)
    found = [one for one in ledger.refused(site.ledger, states, xkey=xkey) if one["desk"] != "resubmitted"]
    return (found[-1]["register"], resubmit.kind(site.profile, found[-1])) if found else ("", "")


def main_name(site: Site, period: str, number: str) -> NamedFile:
    """The name of our own main register of a period."""
    if ROLES[site.settings.role] != MO:
        raise WrongState("ROLE_STAGE", site.settings.role)
    own = site.settings.own
    stage = next(line.stage for line in site.profile.sends if line.sender == MO and not line.source)
    extension = site.profile.data["name"]["extensions"][0]
    parts = {"ogrn_mo": own.ogrn, "kpp_mo": own.kpp, "mo": own.code, "yy": period[2:4], "mm": period[5:]}
    parts |= {"number": number, "payer": str(site.profile.data["name"]["all_payers"])}
    return names.build(stage, parts | site.profile.data["name"].get("own", {}), extension, site.profile)


def _again(site: Site, waiting: list[dict[str, Any]]) -> Iterator[build.Resubmission]:
    """Accounts on the list with their bytes as they were sent, or as the MIS has corrected them since."""
    by_file: dict[str, list[dict[str, Any]]] = {}
    fixes = {row["account_id"]: corrections_of(site, row["account_id"]) for row in waiting}
    for row in waiting:
        source = fixes[row["account_id"]][0] or _sent_file(site, row["register"])[0]
        by_file.setdefault(source, []).append(row)
    for source, rows in by_file.items():
        cut = fragments.cut(site.profile, source, {row["xkey"] for row in rows}, str(site.home.tmp))
        for row in rows:
            piece = cut.get(row["xkey"])
            if piece is None:
                raise WrongState("ACC_UNKNOWN", row["xkey"])
            yield build.Resubmission(
                piece.patient, piece.account, piece.encoding, row["kind"], row["register"], fixes[row["account_id"]][1]
            )


def corrections_of(site: Site, account: int) -> tuple[str, list[tuple[str, str]]]:
    """(the case taken anew from the MIS, or empty; the fields corrected since)."""
    source, fields = "", list[tuple[str, str]]()
    for row in ledger.corrections_of(site.ledger, account):
        if row["field"] == SOURCE:
            source, fields = row["value_ref"], []
            continue
        said = json.loads(fsio.read_bytes(row["value_ref"]))
        fields.append((said["field"], said["value"]))
    return source, fields


def _sent_file(site: Site, register: str) -> tuple[str, str]:
    """The main register as we sent it: where it lies, and its name."""
    for line in site.profile.sends:
        if line.sender == MO and not line.source:
            found = [row for row in ledger.files_of(site.ledger, line.stage, "out") if row["register"] == register]
            if found:
                return str(found[-1]["path"]), str(found[-1]["name"])
    raise WrongState("STAGE_ORDER", register)
