"""A whole month of three participants on one disk, told as it goes: from the main register to the next one.

Nothing here is staged: the participants' homes, files and answers are those of real life; the demonstration only
carries files between them, as couriers do, and sets the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from oms_batch import clock, office, requests
from oms_batch.conductor import publish
from oms_batch.desk.resubmit import kind_title
from oms_batch.doors import play
from oms_batch.doors.play import Month, Tell
from oms_batch.exchange import Profile, load_profile
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.site import Site
from oms_batch.store import fsio, ledger
from oms_batch.synth.cases import source_csv
from oms_batch.synth.parcels import Made
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build
from oms_batch.textform import money as roubles
from oms_batch.work import Handled


def run(
    folder: str, tell: Tell, *, accounts: int = 400, seed: int = 7, isolate: bool = True, profile: str = ""
) -> dict[str, Any]:
    """Play the month in a new folder; gives the proof of each participant's ledger.

    ``WrongState`` HOME_EXISTS when the folder was played in before.
    """
    if (by_steps := play.open_play(profile)) is not None:
        return play.run(by_steps, folder, tell, accounts=accounts, seed=seed, isolate=isolate)
    return _numbered(load_profile(profile), folder, tell, accounts, seed, isolate)


def _numbered(profile: Profile, folder: str, tell: Tell, accounts: int, seed: int, isolate: bool) -> dict[str, Any]:
    """The month of the numbered exchange, with reformulation, invoices and the desk."""
    data = profile.rules.toml(f"{profile.id}/demo.toml")
    spec = Spec(accounts=accounts, seed=seed, period=data["period"], payers=data["payers"], bystanders=accounts // 2)
    planted = plant(profile, spec, Plan(side="fund", each=0, per_mille=data["per_mille"]))
    made = Made([], planted.expected["insured"], len(planted.expected["accounts"]))
    month = Month(fsio.absolute(folder), profile, spec, tell, data, made)
    try:
        play.set_clock(month, "sent_at")
        play.make_homes(month, isolate)
        play.tell_insured(month)
        _main_register(month, planted.blocks)
        _back_and_on(month)
        _first_stage(month)
        _final_stage(month)
        _next_register(month)
        return play.prove(month)
    finally:
        clock.set_wall(None)


# ---- the month ------------------------------------------------------------------------------------


def _main_register(month: Month, blocks: Iterable[bytes]) -> None:
    """The MO sends its main register; the fund judges and splits it."""
    _title(month, _("1. The MO sends the main register 13X to the fund"))
    world = build(month.profile, month.spec)
    name = world.file_name("3", "X", ".zip")
    with month.at("mo") as site, fsio.scratch_folder(site.home.tmp) as folder:
        document = f"{folder}/bill.xml"
        play.write(document, blocks)
        requests.pack_into_inbox(site, document, names.identify(name, month.profile))
    play.sweep_at(month, "mo")
    play.carry(month)
    _title(month, _("2. The fund identifies, checks and splits by payer"))
    play.sweep_at(month, "tfoms")
    play.carry(month)


def _back_and_on(month: Month) -> None:
    """The MO takes the fund's files in and reformulates."""
    _title(month, _("3. The MO takes in the files 1<s> and reformulates: flagged accounts out, nothing else"))
    play.sweep_at(month, "mo")
    _requested(month, "mo", requests.reformulate)
    play.carry(month)


def _first_stage(month: Month) -> None:
    """The payers answer 6 and 5; the MO takes both in and makes invoices."""
    _title(month, _("4. The payers' first stage: refused (6) and passed (5)"))
    for name in ("smo-p", "tfoms"):
        play.sweep_at(month, name)
    play.carry(month)
    _title(month, _("5. The MO takes in 6 and 5; only now there may be invoices"))
    play.sweep_at(month, "mo")
    with month.at("mo") as site:
        for paper, path in office.invoices(site):
            text = _("   invoice {number} to payer {payer}: {n} accounts, {sum}: {path}")
            total = paper.total
            month.tell(
                text.format(
                    number=paper.number, payer=paper.payer, n=total.accounts, sum=roubles(total.kopecks), path=path
                )
            )


def _final_stage(month: Month) -> None:
    """Experts decide at the insurer; the final answer goes to the MO."""
    _title(month, _("6. The experts decide, the payers send the final answer 2"))
    for name in ("smo-p", "tfoms"):
        play.experts(month, name)
    play.carry(month)
    play.sweep_at(month, "mo")


def _next_register(month: Month) -> None:
    """Refused accounts are corrected and go into the next register, as primary or as repeat."""
    _title(month, _("7. Corrected accounts go into the next register: primary after 1 and 6, repeat after 2"))
    play.set_clock(month, "next_sent_at")
    clean = f"{month.folder}/corrected-in-the-mis.xml"
    play.write(clean, register(month.profile, month.spec))
    later = Spec(
        accounts=max(20, month.spec.accounts // 10),
        seed=month.spec.seed,
        period=month.data["next_period"],
        payers=month.spec.payers,
    )
    cases = f"{month.folder}/cases-{later.period}.csv"
    play.write(cases, source_csv(month.profile, later))
    with month.at("mo") as site:
        for state, count in month.data["resubmit"].items():
            for row in ledger.refused(site.ledger, [state], limit=count):
                office.correct_from(site, row["xkey"], clean, "demo", _("corrected by the medical record"))
                kind = office.put_into_next(site, row["xkey"], "demo", force="demonstration")
                text = _("   account {n} (refused with {defect}) will be billed again as {kind}")
                title = kind_title(site.profile, kind)
                month.tell(text.format(n=row["idcase"], defect=row["defect"], kind=title))
        built = office.build_register(site, later.period, [cases])
        text = _("   next register: {n} accounts for {sum}, {again} of them billed again")
        report = built.report
        month.tell(text.format(n=report.accounts, sum=roubles(report.kopecks), again=len(report.lineage)))
    play.sweep_at(month, "mo")
    play.carry(month)
    play.sweep_at(month, "tfoms")
    play.carry(month)
    play.sweep_at(month, "mo")


# ---- couriers and steps ------------------------------------------------------------------------------


def _title(month: Month, text: str) -> None:
    month.tell("")
    month.tell(text)


def _requested(month: Month, name: str, ask: Callable[[Site], Iterable[Handled]]) -> None:
    with month.at(name) as site:
        for handled in ask(site):
            play.tell_one(month, name, handled)
        publish(site)
