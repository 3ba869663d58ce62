"""A whole month of three participants on one disk, told as it goes: from the main register to the next one.

Nothing here is staged: the participants' homes, files and answers are those of real life; the demonstration only
carries files between them, as couriers do, and sets the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from oms_batch import clock, homes, insurance, office, overview, requests
from oms_batch.conductor import publish, settling_of, sweep
from oms_batch.desk.resubmit import kind_title
from oms_batch.doors import play
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.site import Site, open_site
from oms_batch.store import fsio, ledger
from oms_batch.synth.cases import experts_csv, source_csv
from oms_batch.synth.insured import COLUMNS, insured
from oms_batch.synth.numbers import mix
from oms_batch.synth.planting import Plan, Planted, plant
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build
from oms_batch.textform import money as roubles
from oms_batch.wording import bucket_names, in_words
from oms_batch.work import Handled

Tell = Callable[[str], None]


@dataclass
class Month:
    """The stage of the play: folders, the month's data, who tells the story."""

    folder: str
    profile: Profile
    spec: Spec
    tell: Tell
    data: dict[str, Any]
    planted: Planted
    proofs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [one["folder"] for one in self.data["participant"]]

    @contextmanager
    def at(self, name: str) -> Iterator[Site]:
        with open_site(f"{self.folder}/{name}") as site:
            yield site


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
    month = Month(fsio.absolute(folder), profile, spec, tell, data, planted)
    try:
        _at(data["sent_at"])
        _homes(month, isolate)
        _insured(month)
        _main_register(month)
        _back_and_on(month)
        _first_stage(month)
        _final_stage(month)
        _next_register(month)
        return _proof(month)
    finally:
        clock.set_wall(None)


def _at(moment: str) -> None:
    when = clock.parse(moment)
    clock.set_wall(lambda: when)


# ---- the stage is set -----------------------------------------------------------------------------


def _homes(month: Month, isolate: bool) -> None:
    month.tell(_("The participants: {names}").format(names=", ".join(month.names)))
    for one in month.data["participant"]:
        others = [other for other in month.data["participant"] if other is not one]
        own = {key: value for key, value in one.items() if key not in ("folder", "role")}
        homes.init(
            f"{month.folder}/{one['folder']}", one["role"], own=own, partners=others, settle_seconds=0, isolate=isolate
        )


def _insured(month: Month) -> None:
    """The fund knows the insured; the insurer's own register differs for a few, as it does in life."""
    share = month.data["another_insurer_per_mille"]
    fund, insurer = f"{month.folder}/insured-fund.csv", f"{month.folder}/insured-smo.csv"
    rows = list(insured(month.profile, month.spec, month.planted.expected["insured"]))
    smo = COLUMNS.index("SMO") if "SMO" in COLUMNS else COLUMNS.index("smo")
    others = sorted({row[smo] for row in rows} | {"76002"})
    _write_rows(fund, rows)
    _write_rows(
        insurer,
        (
            (*row[:smo], others[-1], *row[smo + 1 :]) if mix(number * 7919 + 13) % 1000 < share else row
            for number, row in enumerate(rows)
        ),
    )
    for name, file in (("tfoms", fund), ("smo-p", insurer)):
        with month.at(name) as site:
            found = insurance.bring_in(site, file)
            month.tell(_("{who}: {n} insured persons brought in").format(who=name, n=found.kept))


def _write_rows(path: str, rows: Iterable[tuple[str, ...]]) -> None:
    with fsio.create(path) as out:
        out.write((";".join(COLUMNS) + "\n").encode())
        for row in rows:
            out.write((";".join(row) + "\n").encode())


# ---- the month ------------------------------------------------------------------------------------


def _main_register(month: Month) -> None:
    """The MO sends its main register; the fund judges and splits it."""
    _title(month, _("1. The MO sends the main register 13X to the fund"))
    world = build(month.profile, month.spec)
    name = world.file_name("3", "X", ".zip")
    with month.at("mo") as site, fsio.scratch_folder(site.home.tmp) as folder:
        document = f"{folder}/bill.xml"
        _write_blocks(document, month.planted.blocks)
        requests.pack_into_inbox(site, document, names.identify(name, month.profile))
    _sweep(month, "mo")
    _carry(month)
    _title(month, _("2. The fund identifies, checks and splits by payer"))
    _sweep(month, "tfoms")
    _carry(month)


def _back_and_on(month: Month) -> None:
    """The MO takes the fund's files in and reformulates."""
    _title(month, _("3. The MO takes in the files 1<s> and reformulates: flagged accounts out, nothing else"))
    _sweep(month, "mo")
    _requested(month, "mo", requests.reformulate)
    _carry(month)


def _first_stage(month: Month) -> None:
    """The payers answer 6 and 5; the MO takes both in and makes invoices."""
    _title(month, _("4. The payers' first stage: refused (6) and passed (5)"))
    for name in ("smo-p", "tfoms"):
        _sweep(month, name)
    _carry(month)
    _title(month, _("5. The MO takes in 6 and 5; only now there may be invoices"))
    _sweep(month, "mo")
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
        with month.at(name) as site:
            accepted = [(row["xkey"], row["sumv"]) for row in ledger.accounts_in(site.ledger, "accepted")]
            file = f"{month.folder}/experts-{name}.csv"
            codes, day = month.data["decision_codes"], clock.today().isoformat()
            _write_blocks(
                file, experts_csv(accepted, codes, day, seed=month.spec.seed, per_mille=month.data["experts_per_mille"])
            )
            new, _known = office.bring_decisions(site, file, "demo")
            month.tell("   " + _("{who}: {n} decisions of experts").format(who=name, n=new))
        try:
            _requested(month, name, requests.finalise)
        except WrongState as nothing:  # a payer to whom no account of this month belongs
            if nothing.code != "STAGE_ORDER":
                raise
    _carry(month)
    _sweep(month, "mo")


def _next_register(month: Month) -> None:
    """Refused accounts are corrected and go into the next register, as primary or as repeat."""
    _title(month, _("7. Corrected accounts go into the next register: primary after 1 and 6, repeat after 2"))
    _at(month.data["next_sent_at"])
    clean = f"{month.folder}/corrected-in-the-mis.xml"
    _write_blocks(clean, register(month.profile, month.spec))
    later = Spec(
        accounts=max(20, month.spec.accounts // 10),
        seed=month.spec.seed,
        period=month.data["next_period"],
        payers=month.spec.payers,
    )
    cases = f"{month.folder}/cases-{later.period}.csv"
    _write_blocks(cases, source_csv(month.profile, later))
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
    _sweep(month, "mo")
    _carry(month)
    _sweep(month, "tfoms")
    _carry(month)
    _sweep(month, "mo")


def _proof(month: Month) -> dict[str, Any]:
    _title(month, _("8. The proof: every account and every kopeck at each participant"))
    for name in month.names:
        with month.at(name) as site:
            found = overview.totals(site)
        month.proofs[name] = found
        counts = "; ".join(
            f"{title}: {found['accounts'][key]} / {roubles(int(found['sums'][key].replace('.', '')))}"
            for key, title in bucket_names().items()
            if key in found["accounts"]
        )
        verdict = _("balanced") if found["balanced"] else _("NOT BALANCED: {what}").format(what=found["problems"])
        month.tell(f"   {name}: {verdict}. {counts}")
    return month.proofs


# ---- couriers and steps ------------------------------------------------------------------------------


def _title(month: Month, text: str) -> None:
    month.tell("")
    month.tell(text)


def _sweep(month: Month, name: str) -> None:
    with month.at(name) as site:
        for handled in sweep(site, settling_of(site)):
            _tell_one(month, name, handled)


def _requested(month: Month, name: str, ask: Callable[[Site], Iterable[Handled]]) -> None:
    with month.at(name) as site:
        for handled in ask(site):
            _tell_one(month, name, handled)
        publish(site)


def _tell_one(month: Month, name: str, one: Handled) -> None:
    if one.outcome == "companion":
        return
    month.tell(f"   {name:<6} {in_words(one)}")


def _carry(month: Month) -> None:
    """What a courier does: from one's outbox into the other's inbox."""
    for sender in month.names:
        for receiver in month.names:
            folder = f"{month.folder}/{sender}/outbox/{receiver}"
            if sender == receiver or not fsio.exists(folder):
                continue
            for name in fsio.listdir(folder):
                fsio.rename(f"{folder}/{name}", f"{month.folder}/{receiver}/inbox/{sender}/{name}")


def _write_blocks(path: str, blocks: Iterable[bytes]) -> None:
    with ExitStack() as stack:
        out: BinaryIO = stack.enter_context(fsio.create(path))
        for block in blocks:
            out.write(block)
