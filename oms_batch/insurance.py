"""Who is insured, at a participant's home: the register of the insured and lists of policies, brought in and told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oms_batch import clock
from oms_batch.errors import WrongState
from oms_batch.formats.dbf import read_dbf
from oms_batch.judge import policies
from oms_batch.judge.person import load_spelling
from oms_batch.model import last_day, parse_date
from oms_batch.site import Site
from oms_batch.store import fsio, insured, ledger, policy_lists
from oms_batch.store.insured import REGISTER, Edition, Imported, Stats

READERS = (".csv", ".txt", ".dbf")


@dataclass(frozen=True)
class Known:
    """What a home knows: the register of the insured, policies in the lists by table, editions brought in."""

    register: Stats
    policies: dict[str, int]
    editions: list[Edition]


def bring_in(site: Site, file: str, *, skip_bad: bool = False, source: str = REGISTER, edition: str = "") -> Imported:
    """Bring in the insured (all of them are replaced) or a list of policies (rules/common/sources).

    ``edition``: the day of the file; without it the name of the file tells it, else today. ``WrongState`` when a row
    is bad and ``skip_bad`` is not asked for, or the edition is older than the one at hand.
    """
    path = fsio.absolute(file)
    ending = path[path.rfind(".") :].lower()
    if ending not in READERS:
        raise WrongState("FILE_FORMAT", ", ".join(READERS))
    day = edition or _edition(site, source, fsio.basename(file))
    if parse_date(day) is None:
        raise WrongState("INSURED_EDITION", "YYYY-MM-DD")
    reads = _register if source == REGISTER else _list
    found = reads(site, path, ending == ".dbf", source, day, skip_bad)
    counts = {"rows": found.rows, "kept": found.kept, "bad": found.bad, "source": source, "edition": day}
    ledger.log(site.ledger, "operator", "insured", "insured", counts)
    return found


def _register(site: Site, path: str, dbf: bool, _source: str, day: str, skip_bad: bool) -> Imported:
    key = load_spelling(site.rules, site.profile.id).number("fam", "im", "ot", "dr")
    if not dbf:
        return insured.import_csv(site.home.insured, path, key, skip_bad=skip_bad, edition=day)
    with fsio.open_read(path) as stream:
        return insured.import_rows(site.home.insured, read_dbf(stream), key, skip_bad=skip_bad, edition=day)


def _list(site: Site, path: str, dbf: bool, source: str, day: str, skip_bad: bool) -> Imported:
    described = policy_lists.load_source(site.rules, source)
    if not dbf:
        return policy_lists.bring_csv(site.home.insured, path, described, policies.key, day, skip_bad)
    with fsio.open_read(path) as stream:
        return policy_lists.bring_rows(site.home.insured, read_dbf(stream), described, policies.key, day, skip_bad)


def source_of(site: Site, file: str) -> str:
    """The source that the name of a file tells; the register of the insured where it tells none."""
    for name, row in site.rules.toml(policy_lists.INDEX).items():
        if row.get("file") and re.fullmatch(row["file"], fsio.basename(file)):
            return str(name)
    return REGISTER


def _edition(site: Site, source: str, name: str) -> str:
    row = site.rules.toml(policy_lists.INDEX).get(source, {})
    found = re.fullmatch(row["file"], name) if row.get("file") else None
    if found is None or not 1 <= int(found["mm"]) <= 12:
        return clock.today().isoformat()
    month = f"20{found['yy']}-{found['mm']}"
    return f"{month}-01" if row.get("day") == "first" else last_day(month).isoformat()


def stats(site: Site) -> Stats:
    """Counts of the register of the insured; ``WrongState`` when there is none."""
    return insured.stats(site.home.insured)


def known(site: Site) -> Known:
    """What was brought in at this home, whichever of the sources there are; ``WrongState`` when there is nothing."""
    path = site.home.insured
    if not fsio.exists(path):
        raise WrongState("INSURED_ABSENT")
    lists, editions = policy_lists.count(path), insured.editions(path)
    register = insured.stats(path) if insured.has_register(path) else Stats(0, 0, 0, "", "")
    return Known(register, lists, editions)
