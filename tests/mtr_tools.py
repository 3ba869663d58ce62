"""Two funds on one disk: the one where care was given (50) and the one whose insured they are (76)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from oms_batch import conductor, homes, insurance, overview
from oms_batch.exchange import Profile, load_profile
from oms_batch.ruledata import RuleData
from oms_batch.site import Site, open_site
from oms_batch.synth import mtr
from oms_batch.synth.insured import Changes, insured_csv
from oms_batch.synth.world import Spec
from oms_batch.work import Handled

RULES = RuleData()
PROFILE: Profile = load_profile("mtr", RULES)
FUNDS: dict[str, dict[str, str]] = {
    "issuer": {"role": "tfoms", "code": "50", "ogrn": "1027600000306", "name": "Фонд 50"},
    "payer": {"role": "tfoms", "code": "76", "ogrn": "1027600000405", "name": "Фонд 76"},
    "third": {"role": "tfoms", "code": "44", "ogrn": "1027600000504", "name": "Фонд 44"},
}


@dataclass
class Funds:
    """Homes of the funds below one folder. Files travel only by ``carry`` or ``put``."""

    root: Path
    names: tuple[str, ...] = ("issuer", "payer")

    def __post_init__(self) -> None:
        for name in self.names:
            own = {key: value for key, value in FUNDS[name].items() if key != "role"}
            others = [{"folder": other, **FUNDS[other]} for other in self.names if other != name]
            options = {"settle_seconds": 0, "give_up_minutes": 1, "isolate": False, "workers": 1}
            homes.init(str(self.root / name), "tfoms", own=own, partners=others, profile="mtr", **options)

    @contextmanager
    def at(self, name: str) -> Iterator[Site]:
        with open_site(str(self.root / name)) as site:
            yield site

    def sweep(self, name: str) -> list[Handled]:
        with self.at(name) as site:
            return list(conductor.sweep(site, conductor.settling_of(site)))

    def carry(self) -> list[str]:
        carried = []
        for sender in self.names:
            for receiver in self.names:
                folder = self.root / sender / "outbox" / receiver
                for path in sorted(folder.iterdir()) if sender != receiver and folder.is_dir() else []:
                    path.rename(self.root / receiver / "inbox" / sender / path.name)
                    carried.append(path.name)
        return carried

    def put(self, name: str, sender: str, file: str, content: bytes) -> Path:
        """Drop a file into an inbox; ``sender=""``: the operator's own drop."""
        path = self.root / name / "inbox" / sender / file
        path.write_bytes(content)
        return path

    def insure(self, name: str, spec: Spec, changes: Changes | None = None) -> None:
        path = self.root / f"insured-{name}.csv"
        path.write_bytes(b"".join(insured_csv(PROFILE, spec, changes)))
        with self.at(name) as site:
            insurance.bring_in(site, str(path))

    def totals(self, name: str) -> dict[str, Any]:
        with self.at(name) as site:
            return overview.totals(site)

    def inbox(self, name: str, sender: str, file: str) -> bytes:
        return (self.root / name / "inbox" / sender / file).read_bytes()


def packed(part: mtr.Part, document: bytes | None = None) -> tuple[str, bytes]:
    """Name and bytes of a part as it travels."""
    return archive(part.name, document if document is not None else b"".join(part.document))


def archive(stem: str, document: bytes) -> tuple[str, bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packing:
        packing.writestr(zipfile.ZipInfo(f"{stem}.XML", (2022, 4, 5, 9, 30, 0)), document)
    return f"{stem}.oms", out.getvalue()


def document_in(data: bytes) -> bytes:
    """The one document of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed_in:
        (name,) = packed_in.namelist()
        return packed_in.read(name)


def tree(data: bytes) -> etree._Element:
    return etree.fromstring(document_in(data))


def money(node: etree._Element, path: str) -> int:
    """Kopecks of the leaf at this path, 0 where there is none."""
    text = node.findtext(path)
    return int(text.replace(".", "")) if text else 0


def accounts_of(answer: etree._Element) -> Mapping[str, etree._Element]:
    """IDCASE → account of a protocol of processing."""
    return {one.findtext("IDCASE") or "": one for one in answer.iter("Z_SL", "SLUCH") if one.find("IDCASE") is not None}
