"""Participants of an exchange on one disk, for tests: homes as ``init`` makes them, sweeps, and couriers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oms_batch import conductor, homes, insurance, overview, requests
from oms_batch.exchange import Profile, load_profile
from oms_batch.site import Site, open_site
from oms_batch.synth.insured import insured_csv
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build
from oms_batch.work import Handled

PARTIES: dict[str, dict[str, str]] = {
    "mo": {"role": "mo", "ogrn": "1027600000108", "kpp": "760401001", "name": "МО"},
    "tfoms": {"role": "tfoms", "ogrn": "1027600000306", "letter": "F", "smo": "76", "name": "ТФОМС"},
    "smo-p": {"role": "smo", "ogrn": "1027600000405", "letter": "P", "smo": "76001", "name": "СМО П"},
    "smo-r": {"role": "smo", "ogrn": "1027700000503", "letter": "R", "smo": "76002", "name": "СМО Р"},
    "mo2": {"role": "mo", "ogrn": "1027600000207", "kpp": "760401002", "name": "МО 2"},
}


@dataclass
class Exchange:
    """Homes of some parties below one folder. Files travel only by ``carry`` or ``put``."""

    root: Path
    names: tuple[str, ...] = ("mo", "tfoms", "smo-p")
    options: Mapping[str, Any] = field(default_factory=dict)
    profile: Profile = field(default_factory=lambda: load_profile("yaroslavl"))
    parties: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: PARTIES)

    def __post_init__(self) -> None:
        chosen = {"settle_seconds": 0, "give_up_minutes": 1, "isolate": False, "workers": 1, **self.options}
        chosen["profile"] = self.profile.id
        for name in self.names:
            own = {key: value for key, value in self.parties[name].items() if key != "role"}
            others = [{"folder": other, **self.parties[other]} for other in self.names if other != name]
            homes.init(str(self.root / name), self.parties[name]["role"], own=own, partners=others, **chosen)  # type: ignore[arg-type]

    @contextmanager
    def at(self, name: str) -> Iterator[Site]:
        with open_site(str(self.root / name)) as site:
            yield site

    def sweep(self, name: str) -> list[Handled]:
        with self.at(name) as site:
            return list(conductor.sweep(site, conductor.settling_of(site)))

    def reformulate(self, name: str = "mo") -> list[Handled]:
        with self.at(name) as site:
            handled = list(requests.reformulate(site))
            conductor.publish(site)
        return handled

    def finalise(self, name: str) -> list[Handled]:
        with self.at(name) as site:
            handled = list(requests.finalise(site))
            conductor.publish(site)
        return handled

    def outbox(self, sender: str, receiver: str) -> list[Path]:
        """Files that wait for the courier, in the order of their names."""
        folder = self.root / sender / "outbox" / receiver
        return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []

    def carry(self, *only: tuple[str, str]) -> list[str]:
        """Carry everything (or between these pairs) from outboxes to inboxes; gives the names."""
        carried = []
        for sender in self.names:
            for receiver in self.names:
                if sender == receiver or (only and (sender, receiver) not in only):
                    continue
                for path in self.outbox(sender, receiver):
                    path.rename(self.inbox(receiver, sender) / path.name)
                    carried.append(path.name)
        return carried

    def inbox(self, name: str, sender: str = "") -> Path:
        folder = self.root / name / "inbox" / sender
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put(self, name: str, sender: str, file: str, content: bytes) -> Path:
        """Drop a file into an inbox; ``sender=""``: the operator's own drop."""
        path = self.inbox(name, sender) / file
        path.write_bytes(content)
        return path

    def insure(self, name: str, spec: Spec) -> None:
        """Give a participant the register of the insured that fits a generated register."""
        path = self.root / f"insured-{name}.csv"
        path.write_bytes(b"".join(insured_csv(self.profile, spec)))
        with self.at(name) as site:
            insurance.bring_in(site, str(path))

    def generated(self, spec: Spec, extension: str = ".xml") -> tuple[str, bytes]:
        """(name, bytes) of a clean main register; bytes are the bare document."""
        name = build(self.profile, spec).file_name("3", "X", extension)
        return name, b"".join(register(self.profile, spec))

    def totals(self, name: str) -> dict[str, Any]:
        with self.at(name) as site:
            return overview.totals(site)

    def month(self) -> None:
        """From the MO's inbox to the final answers taken in, without pause."""
        self.sweep("mo")
        self.carry()
        self.sweep("tfoms")
        self.carry()
        self.sweep("mo")
        self.reformulate()
        self.carry()
        payers = [name for name in self.names if PARTIES[name].get("letter")]
        for name in payers:
            self.sweep(name)
        self.carry()
        self.sweep("mo")
        for name in payers:
            try:
                self.finalise(name)
            except Exception as error:  # a payer without accounts has nothing to close
                if getattr(error, "code", "") != "STAGE_ORDER":
                    raise
        self.carry()
        self.sweep("mo")
