"""The MO's desk joined with its ledger: refused accounts, corrections, the next register, invoices, experts.

The values of corrections are personal data: they lie in the archive, the ledger knows where.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from oms_batch import clock
from oms_batch.building import SOURCE, Built, build_again, build_register, main_name, waiting_aside
from oms_batch.desk import corrections, dbf_again, expertise, explain, invoice, refused, resubmit, sums
from oms_batch.desk.wire import load_wire
from oms_batch.errors import Problem, Refusal, WrongState
from oms_batch.exchange import MO, ROLES, Hop
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.judge.whole import rules_of
from oms_batch.model import NamedFile, Totals
from oms_batch.site import Site
from oms_batch.stages import billed_again, fragments
from oms_batch.store import fsio, ledger

__all__ = ["Built", "build_again", "build_register", "main_name", "waiting_aside"]


def _refused_states(site: Site) -> list[str]:
    return resubmit.refused_states(site.profile)


def refused_list(site: Site, **only: Any) -> list[refused.RefusedRow]:
    """Refused accounts of all months with their explanation; ``only``: filters of ``ledger.refused``."""
    rows = ledger.refused(site.ledger, _refused_states(site), **{key: value for key, value in only.items() if value})
    return refused.refused_rows(site.profile, rows, clock.today(), rules_of(site.profile) if rows else None)


def one_refused(site: Site, account: str) -> dict[str, Any]:
    """The one refused account with this key or number; ``WrongState`` ACC_UNKNOWN, ACC_SEVERAL."""
    states = _refused_states(site)
    for column in ("xkey", "idcase"):
        found = [
            row for row in ledger.refused(site.ledger, states, **{column: account}) if row["desk"] != "resubmitted"
        ]
        if len(found) > 1:
            raise WrongState("ACC_SEVERAL", ", ".join(f"{row['register']}: {row['xkey']}" for row in found[:5]))
        if found:
            return found[0]
    known = any(row["xkey"] == account or row["idcase"] == account for row in ledger.refused(site.ledger, states))
    raise WrongState("ACC_RESUBMITTED" if known else "ACC_NOT_REFUSED", account)


def correct(site: Site, account: str, changes: Sequence[tuple[str, str]], who: str, why: str) -> int:
    """Note corrections of a refused account, field by field; gives how many.

    A field that does not exist or a value that does not fit is refused now (``WrongState``, ``Refusal``).
    """
    row = one_refused(site, account)
    fixed = site.rules.toml(f"{site.profile.id}/desk.toml")["corrections"]["fixed"]
    wire = None if billed_again.in_tables(site.profile) else load_wire(site.profile)
    for field, value in changes:
        if wire is None:
            dbf_again.check_field(field, value, site.profile, fixed)
        else:
            corrections.check(field, value, wire, fixed)
    for field, value in changes:
        path = _keep(site, json.dumps({"field": field, "value": value}, ensure_ascii=False).encode())
        ledger.correct(site.ledger, row["id"], field, path, who, why, _refused_states(site))
    return len(changes)


def correct_from(site: Site, account: str, file: str, who: str, why: str) -> None:
    """Take the whole corrected case from a register document that the MIS wrote anew (same key)."""
    row = one_refused(site, account)
    content = fsio.read_bytes(fsio.absolute(file))
    path = _keep(site, content)
    if row["xkey"] not in fragments.cut(site.profile, path, {row["xkey"]}, str(site.home.tmp)):
        raise WrongState("ACC_UNKNOWN", row["xkey"])
    ledger.correct(site.ledger, row["id"], SOURCE, path, who, why, _refused_states(site))


def _keep(site: Site, content: bytes) -> str:
    sha256, _size = fsio.digest(content)
    folder = site.home.archive / "corrections"
    fsio.mkdirs(folder)
    path = folder / f"{sha256}.json"
    if not fsio.exists(path):
        fsio.write_bytes_durable(path, content)
    return str(path)


def put_into_next(site: Site, account: str, who: str, force: str = "") -> str:
    """F8: put a corrected refused account on the list for the next register; gives primary or repeat.

    ``WrongState`` NOT_CORRECTED, DEFECT_FORBIDS, TOO_LATE unless ``force`` gives a reason; ACC_RESUBMITTED.
    """
    row = one_refused(site, account)
    defect = explain.defect_of(site.rules, row)
    may, why = resubmit.may_resubmit(site.profile, row, defect, clock.today(), force)
    if not may:
        raise WrongState(why, row["xkey"])
    kind = resubmit.kind(site.profile, row)
    if force:
        ledger.log(site.ledger, who, "resubmit_forced", f"account:{row['id']}", {"why": why})
    ledger.resubmit(site.ledger, row["id"], kind, who, _refused_states(site))
    return kind


# ---- invoices ------------------------------------------------------------------------------------


def _accepted_in(site: Site) -> Hop:
    """The answer to the MO by which accounts are first accepted: invoices stand on its sums."""
    buckets = site.profile.buckets
    return next(line for line in site.profile.hops if line.receiver == MO and buckets.get(line.passed) == "accepted_5")


def accepted_rows(site: Site, register: str, payer: str) -> list[dict[str, Any]] | None:
    """Accounts and kopecks of the file of accepted accounts, by conditions of care; ``None``: it is not in yet."""
    line = _accepted_in(site)
    if ledger.find_file(site.ledger, register, line.stage, payer, "in") is None:
        return None
    # what was refused after it had been accepted stood in that file too
    states = sorted({line.passed, *site.profile.life[line.passed]})
    return ledger.sums_by_care(site.ledger, register, payer, states)


def invoices(site: Site, register: str = "", payer: str = "", number: str = "") -> list[tuple[invoice.Invoice, str]]:
    """Make the invoices of a register (all that may be made), from the sums of its `5`; gives them with their paths.

    ``WrongState`` STAGE_ORDER when the file of accepted accounts of a payer asked for is not in.
    """
    ready = _ready(site, register, payer)
    if number and (len(ready) > 1 or not re.fullmatch(r"[0-9A-Za-zА-Яа-я-]{1,20}", number)):
        raise WrongState("INVOICE_NUMBER", ", ".join(f"{name} {letter}" for name, letter in ready))
    made = []
    for name, letter in ready:
        rows = accepted_rows(site, name, letter)
        named = _register_name(site, name, letter)
        paper = invoice.make_invoice(
            site.profile,
            named,
            letter,
            rows,
            clock.today(),
            site.settings.own.name,
            number=number,
            basis=named.canonical,
        )
        kept = [row for row in ledger.invoice_rows(site.ledger, name) if row["payer"] == letter]
        if kept and not number:
            # an invoice once made keeps its number and its day
            paper = replace(paper, number=kept[0]["number"], day=date.fromisoformat(kept[0]["date"]))
        page, path = invoice.invoice_html(paper), f"{site.home.outbox}/invoice-{paper.number}.html"
        ledger.add_invoice(
            site.ledger, name, letter, paper.number, paper.day.isoformat(), paper.total.kopecks, "operator"
        )
        fsio.write_bytes_durable(path, page)
        made.append((paper, path))
    return made


def _ready(site: Site, register: str, payer: str) -> list[tuple[str, str]]:
    """(register, letter) pairs for which the file of accepted accounts is in; none at all is ``STAGE_ORDER``."""
    line = _accepted_in(site)
    found = [
        (row["register"], row["payer"])
        for row in ledger.files_of(site.ledger, line.stage, "in")
        if (not register or row["register"] == register) and (not payer or row["payer"] == payer.upper())
    ]
    if (
        not found
        and register
        and all(row["register"] != register for row in ledger.status(site.ledger, site.profile.buckets))
    ):
        raise WrongState("REGISTER_UNKNOWN", register)
    if not found:
        raise WrongState("STAGE_ORDER", _("the file of accepted accounts has not been taken in"))
    return list(dict.fromkeys(found))


def _register_name(site: Site, register: str, payer: str) -> NamedFile:
    line = _accepted_in(site)
    found = ledger.find_file(site.ledger, register, line.stage, payer, "in")
    assert found is not None
    return names.identify(found["name"], site.profile)


def sum_table(site: Site, register: str) -> sums.SumTable:
    """«Суммы для счетов» of one register, over all payers whose file of accepted accounts is in."""
    rows: list[dict[str, Any]] = []
    for name, letter in _ready(site, register, ""):
        rows += [{**row, "payer": letter} for row in accepted_rows(site, name, letter) or []]
    month = register.rsplit("-", 2)[1]
    period = f"{month[:4]}-{month[4:]}"
    return sums.tally(site.profile, register, period, site.settings.own.name, rows, clock.today())


# ---- experts ---------------------------------------------------------------------------------------


DECISION_HEAD = ("xkey", "kod", "withheld", "act_no", "act_date", "expert")


def bring_decisions(site: Site, file: str, who: str) -> tuple[int, int]:
    """Decisions of experts from a ``;`` table (``DECISION_HEAD``, perhaps ``kind`` and ``fine``); (new, known already).

    A line that gives the code only (``withheld`` empty) is worth what the shares of that code say.
    ``Refusal`` DECISION_ROW names every bad row; nothing is kept then.
    """
    if ROLES[site.settings.role] == MO:
        raise WrongState("ROLE_STAGE", site.settings.role)
    content = fsio.read_bytes(fsio.absolute(file))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1251", "replace")
    reader = csv.DictReader(io.StringIO(text), delimiter=";")
    if missing := set(DECISION_HEAD) - set(reader.fieldnames or ()):
        raise Refusal(Problem("DECISION_HEAD", "", ";".join(DECISION_HEAD), ";".join(sorted(missing))))
    rows, problems = [], []
    for row in reader:
        place = f"line {reader.line_num}"
        try:
            rows.append(_decision(site, row))
        except (ValueError, KeyError, TypeError, AttributeError, WrongState) as error:
            problems.append(Problem("DECISION_ROW", place, found=getattr(error, "code", "")))
    if problems:
        raise Refusal(problems)
    return ledger.add_decisions(site.ledger, rows, who)


def _decision(site: Site, row: dict[str, str]) -> dict[str, Any]:
    known = ledger.life(site.ledger, row["xkey"])
    accepted = [one for one in known if site.profile.buckets[one["state"]] == "accepted_5"]
    if not accepted:
        raise WrongState("ACC_UNKNOWN")
    final = next((line.stage for line in site.profile.sends if line.handler == "finalise"), "")
    if ledger.find_file(site.ledger, accepted[-1]["register"], final, accepted[-1]["payer"], "out") is not None:
        raise WrongState("STAGE_CLOSED")
    return expertise.decision(site.profile, accepted[-1], row)


def open_fines(site: Site) -> Totals:
    """Fines of decisions that no final answer has carried out yet: how many, and kopecks."""
    fines = [int(row["fine"]) for row in ledger.open_decisions(site.ledger) if row["fine"]]
    return Totals(len(fines), sum(fines))
