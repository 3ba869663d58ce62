"""The register of the insured at a participant's home: brought in from CSV or DBF, and what it holds."""

from __future__ import annotations

from oms_batch.errors import WrongState
from oms_batch.formats.dbf import read_dbf
from oms_batch.judge.person import load_spelling
from oms_batch.site import Site
from oms_batch.store import fsio, insured, ledger
from oms_batch.store.insured import Imported, Stats

READERS = (".csv", ".txt", ".dbf")


def bring_in(site: Site, file: str, *, skip_bad: bool = False) -> Imported:
    """Replace the insured by those of a file; ``WrongState`` when a row is bad and ``skip_bad`` is not asked for."""
    path = fsio.absolute(file)
    ending = path[path.rfind(".") :].lower()
    if ending not in READERS:
        raise WrongState("FILE_FORMAT", ", ".join(READERS))
    key = load_spelling(site.rules, site.profile.id).number("fam", "im", "ot", "dr")
    if ending == ".dbf":
        with fsio.open_read(path) as stream:
            found = insured.import_rows(site.home.insured, read_dbf(stream), key, skip_bad=skip_bad)
    else:
        found = insured.import_csv(site.home.insured, path, key, skip_bad=skip_bad)
    ledger.log(
        site.ledger, "operator", "insured", "insured", {"rows": found.rows, "kept": found.kept, "bad": found.bad}
    )
    return found


def stats(site: Site) -> Stats:
    """Counts of the register of the insured; ``WrongState`` when there is none."""
    return insured.stats(site.home.insured)
