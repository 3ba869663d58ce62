"""One participant's home, opened: folders, settings, profile and ledger together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oms_batch.errors import SetupError
from oms_batch.exchange import Profile, load_profile
from oms_batch.i18n import _
from oms_batch.ruledata import RuleData
from oms_batch.settings import FILE_NAME, Settings, load_settings
from oms_batch.store import disk, fsio
from oms_batch.store.engine import Ledger, open_ledger
from oms_batch.store.spool import Home


@dataclass(frozen=True)
class Site:
    """What every door hands to the conductor."""

    home: Home
    settings: Settings
    profile: Profile
    ledger: Ledger

    @property
    def rules(self) -> RuleData:
        return self.profile.rules

    @property
    def overlay(self) -> str:
        """The participant's own rules, laid over the shipped ones."""
        return str(self.home.rules)


@contextmanager
def open_site(folder: str) -> Iterator[Site]:
    """Open a home made by ``init``; ``SetupError`` says what is missing or wrong in it."""
    home = Home.at(fsio.absolute(folder))
    if not fsio.exists(home.settings):
        raise SetupError(
            _("{folder}: no {file} here; make a home with: oms-batch init").format(folder=folder, file=FILE_NAME)
        )
    settings = load_settings(fsio.read_bytes(home.settings), str(home.root))
    home.create([one.folder for one in settings.partner])
    disk.check(home)
    profile = load_profile(settings.profile, RuleData(str(home.rules)))
    ledger = open_ledger(home.ledger)
    try:
        yield Site(home, settings, profile, ledger)
    finally:
        ledger.close()


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the home's one lock: daemon, nightly run and commands that act exclude each other."""
    with fsio.lock(site.home.lock):
        yield
