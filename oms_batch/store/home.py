"""The folders and files of one participant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oms_batch.errors import Fault
from oms_batch.store import fsio


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one participant. ``Home.at(root)`` then ``create()``."""

    root: Path
    inbox: Path
    outbox: Path
    archive: Path
    rules: Path
    tmp: Path
    work: Path
    box: Path
    quarantine: Path
    ledger: Path
    insured: Path
    lock: Path
    settings: Path

    @staticmethod
    def at(root: str | Path) -> Home:
        """The paths below an absolute root; nothing is touched."""
        top = Path(root)
        if not top.is_absolute():
            raise Fault("home: the root is not absolute")
        spool = top / ".spool"
        folders = (top / "inbox", top / "outbox", top / "archive", top / "rules")
        steps = (spool / "tmp", spool / "work", spool / "box", spool / "quarantine")
        files = (top / "ledger.db", top / "insured.duckdb", top / "daemon.lock", top / "oms-batch.toml")
        return Home(top, *folders, *steps, *files)

    def create(self, partners: Iterable[str] = ()) -> None:
        """Make all folders that are missing, with one per partner in inbox and outbox."""
        for folder in (self.inbox, self.outbox, self.archive, self.tmp, self.work, self.box, self.quarantine):
            fsio.mkdirs(folder)
        for partner in partners:
            fsio.mkdirs(self.inbox / partner)
            fsio.mkdirs(self.outbox / partner)

    def scratch(self, job: int) -> Path:
        """A job's own folder for temporary tables; made empty when missing. Removed by ``finish``."""
        folder = self.tmp / f"job-{job}"
        fsio.mkdirs(folder)
        return folder

    def box_of(self, job: int) -> Path:
        """P10: the folder in which a job's answers are laid ready."""
        folder = self.box / str(job)
        fsio.mkdirs(folder)
        return folder
