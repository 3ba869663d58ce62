"""A month played by the steps of a profile's ``demo.toml``: who sends, who sweeps, what the couriers carry.

Nothing here is staged: homes, files and answers are those of real life. A step is a line of words:
``send first|next|again``, ``sweep NAME``, ``carry``, ``experts NAME``, ``at KEY``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from oms_batch import clock, homes, insurance, office, overview, requests
from oms_batch.conductor import publish, settling_of, sweep
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import container
from oms_batch.i18n import _, pick
from oms_batch.site import Site, open_site
from oms_batch.store import fsio, ledger
from oms_batch.synth.cases import experts_csv
from oms_batch.synth.insured import COLUMNS, insured, stop_csv
from oms_batch.synth.numbers import mix
from oms_batch.synth.parcels import AGAIN, FIRST, Made, Parcel
from oms_batch.synth.world import Spec
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
    made: Made
    proofs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [one["folder"] for one in self.data["participant"]]

    @contextmanager
    def at(self, name: str) -> Iterator[Site]:
        with open_site(f"{self.folder}/{name}") as site:
            yield site


def run(profile: Profile, folder: str, tell: Tell, *, accounts: int, seed: int, isolate: bool) -> dict[str, Any]:
    """Play the month of this profile in a new folder; gives the proof of each participant's ledger."""
    data = profile.rules.toml(f"{profile.id}/demo.toml")
    spec = Spec(accounts=accounts, seed=seed, period=data["period"], payers=data["payers"], bystanders=accounts // 2)
    month = Month(fsio.absolute(folder), profile, spec, tell, data, FIRST[data["maker"]](profile, spec, data))
    try:
        set_clock(month, "sent_at")
        make_homes(month, isolate)
        tell_insured(month)
        for step in data["step"]:
            month.tell("")
            month.tell(pick(step["title"], step["title_en"]))
            for words in step["do"]:
                verb, *rest = words.split()
                _DO[verb](month, *rest)
        return prove(month)
    finally:
        clock.set_wall(None)


def open_play(name: str) -> Profile | None:
    """The profile, when its month is played by steps."""
    profile = load_profile(name)
    return profile if "step" in profile.rules.toml(f"{profile.id}/demo.toml") else None


def make_homes(month: Month, isolate: bool) -> None:
    """The homes of all participants, as ``init`` makes them."""
    month.tell(_("The participants: {names}").format(names=", ".join(month.names)))
    for one in month.data["participant"]:
        others = [other for other in month.data["participant"] if other is not one]
        own = {key: value for key, value in one.items() if key not in ("folder", "role")}
        folder = f"{month.folder}/{one['folder']}"
        homes.init(
            folder,
            one["role"],
            own=own,
            partners=others,
            profile=month.profile.id,
            settle_seconds=0,
            isolate=isolate,
        )


def tell_insured(month: Month) -> None:
    """Everybody who identifies knows the insured; where the data asks for it, insurers know a few of them otherwise.

    ``insured = false``: who is insured where stands in the files themselves.
    """
    if not month.data.get("insured", True):
        return
    for one in month.data["participant"]:
        if one["role"] == "mo":
            continue
        rows: Iterable[tuple[str, ...]] = insured(month.profile, month.spec, month.made.insured)
        if one["role"] == "smo":
            rows = _otherwise(month, rows)
        file = f"{month.folder}/insured-{one['folder']}.csv"
        write(file, ((";".join(row) + "\n").encode() for row in [COLUMNS, *rows]))
        with month.at(one["folder"]) as site:
            found = insurance.bring_in(site, file)
            if listed := stop_csv(month.made.insured):
                fsio.write_bytes_durable(f"{month.folder}/stop.csv", listed)
                insurance.bring_in(site, f"{month.folder}/stop.csv", source="stop")
            month.tell(_("{who}: {n} insured persons brought in").format(who=one["folder"], n=found.kept))


def _otherwise(month: Month, rows: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The insurer's own register differs for a few, as it does in life: they have another insurer there."""
    share = int(month.data.get("another_insurer_per_mille", 0))
    smo = COLUMNS.index("SMO")
    insurers = sorted(one.smo for one in month.profile.payers if one.kind == "insurer")
    for number, row in enumerate(rows):
        other = next((code for code in insurers if code != row[smo]), row[smo])
        changed = mix(number * 7919 + 13) % 1000 < share
        yield (*row[:smo], other, *row[smo + 1 :]) if changed else row


# ---- what a step may do ---------------------------------------------------------------------------


def set_clock(month: Month, key: str) -> None:
    """The time of the play becomes what ``demo.toml`` has under this key."""
    when = clock.parse(month.data[key])
    clock.set_wall(lambda: when)


def _send(month: Month, what: str) -> None:
    """The MO (or whom the data calls the sender) puts files into its own drop; they go out at its next sweep."""
    first = next((one["folder"] for one in month.data["participant"] if one["role"] == "mo"), "")
    sender = month.data.get("sender", first)
    with month.at(sender) as site:
        for parcel in _parcels(month, site, what):
            _pack(site, parcel)
    sweep_at(month, sender)


def _parcels(month: Month, site: Site, what: str) -> Iterable[Parcel]:
    if what == "first":
        return month.made.parcels
    later = Spec(
        accounts=max(20, month.spec.accounts // 10),
        seed=month.spec.seed,
        period=month.data["next_period"],
        payers=month.spec.payers,
        number=month.data.get(f"{what}_number", ""),
    )
    if what == "next":
        return FIRST[month.data["maker"]](month.profile, later, {**month.data, "per_mille": 0}).parcels
    period = month.data.get("named_period", month.data["period"])  # what names of its files tell
    rows = [
        row
        for state, count in month.data["resubmit"].items()
        for row in ledger.refused(site.ledger, [state], period=period, limit=count)
    ]
    for row in rows:
        text = _("   account {n} (refused with {defect}) is corrected and billed again")
        month.tell(text.format(n=row["idcase"], defect=row["defect"]))
    return AGAIN[month.data["maker"]](month.profile, later, month.spec, rows)


def _pack(site: Site, parcel: Parcel) -> None:
    with fsio.scratch_folder(site.home.tmp) as folder, ExitStack() as stack:
        members = []
        for number, (name, blocks) in enumerate(parcel.members):
            write(f"{folder}/{number}", blocks)
            members.append((name, stack.enter_context(fsio.open_read(f"{folder}/{number}"))))
        path = f"{folder}/{parcel.name}"
        with fsio.create(path) as out:
            container.pack_members("zip", members, out, clock.now())
            fsio.fsync_file(out)
        requests.submit(site, path)


def sweep_at(month: Month, name: str) -> None:
    """One sweep of a participant, told file by file."""
    with month.at(name) as site:
        for handled in sweep(site, settling_of(site)):
            tell_one(month, name, handled)


def experts(month: Month, name: str) -> None:
    """Experts decide on accounts that this payer accepted; its last answer carries it out."""
    with month.at(name) as site:
        accepted = [(row["xkey"], row["sumv"]) for row in ledger.accounts_in(site.ledger, "accepted")]
        file = f"{month.folder}/experts-{name}.csv"
        codes, day = month.data["decision_codes"], clock.today().isoformat()
        write(file, experts_csv(accepted, codes, day, seed=month.spec.seed, per_mille=month.data["experts_per_mille"]))
        new, _known = office.bring_decisions(site, file, "demo")
        month.tell("   " + _("{who}: {n} decisions of experts").format(who=name, n=new))
        try:
            for handled in requests.finalise(site):
                tell_one(month, name, handled)
        except WrongState as nothing:  # a payer to whom no account of this month belongs
            if nothing.code != "STAGE_ORDER":
                raise
        publish(site)


def carry(month: Month) -> None:
    """What a courier does: from one's outbox into the other's inbox."""
    for sender in month.names:
        for receiver in month.names:
            folder = f"{month.folder}/{sender}/outbox/{receiver}"
            if sender == receiver or not fsio.exists(folder):
                continue
            for name in fsio.listdir(folder):
                fsio.rename(f"{folder}/{name}", f"{month.folder}/{receiver}/inbox/{sender}/{name}")


_DO: dict[str, Callable[..., None]] = {
    "at": set_clock,
    "send": _send,
    "sweep": sweep_at,
    "experts": experts,
    "carry": carry,
}


# ---- telling ----------------------------------------------------------------------------------------


def tell_one(month: Month, name: str, one: Handled) -> None:
    """What became of one file, in words."""
    if one.outcome != "companion":
        month.tell(f"   {name:<6} {in_words(one)}")


def prove(month: Month) -> dict[str, Any]:
    """The proof of each participant's ledger, told in words."""
    month.tell("")
    month.tell(_("The proof: every account and every kopeck at each participant"))
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


def write(path: str, blocks: Iterable[bytes]) -> None:
    """A file out of blocks of bytes."""
    with fsio.create(path) as out:
        for block in blocks:
            out.write(block)
