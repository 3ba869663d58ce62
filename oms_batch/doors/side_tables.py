"""Tables beside the exchange, made or read on request: the settlement of a month, a question about persons, its answer.

What stands in them is data of the profile (``answers/``): a profile without that data has no such tables.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import duckdb

from oms_batch import clock
from oms_batch.desk.wire import kopecks
from oms_batch.errors import SetupError, WrongState
from oms_batch.exchange import MO, ROLES
from oms_batch.formats import canon, dbf_parcel
from oms_batch.formats.dbf_gate import check
from oms_batch.intake import names, register
from oms_batch.reply.dbf_tables import write_table
from oms_batch.site import Site
from oms_batch.store import fsio, ledger


@dataclass(frozen=True, slots=True)
class Told:
    """What a registry says of one record: its number, the vector and what it means, and whom it names."""

    recid: str
    vector: str
    positive: bool
    meaning: str
    payer: str
    policy: str
    kind: str
    enp: str
    attached: str
    known: bool


def settlement(site: Site, period: str, folder: str, money: str = "") -> list[str]:
    """Write the settlement of a month (``YYYY-MM``) for each payer that we are; paths of the files, by payer.

    ``money``: a ``;`` table of what the ledger does not know, one line per organisation: ``mo`` and fields of the
    layout in roubles. ``WrongState`` ROLE_STAGE for an organisation, ACC_UNKNOWN when the month has no register.
    """
    if ROLES[site.settings.role] == MO:
        raise WrongState("ROLE_STAGE", site.settings.role)
    layout = _named(site, "settlement")
    by_payer: dict[str, list[tuple[str, str, int, int, int]]] = {}
    for row in ledger.status(site.ledger, site.profile.buckets, period):
        for payer in row["payers"] or {}:
            accepted, experts = row["accepted_5"]["kopecks"], row["refused_2"]["kopecks"]
            about = (row["register"].split("-")[0], row["period"], row["kopecks"], accepted + experts, experts)
            by_payer.setdefault(payer, []).append(about)
    if not by_payer:
        raise WrongState("ACC_UNKNOWN", period)
    made = []
    for payer, rows in sorted(by_payer.items()):
        with _tables() as con:
            sums = ", ".join(f"{name} BIGINT" for name in ("claimed", "accepted", "experts"))
            con.execute(f"CREATE TABLE settled (mo VARCHAR, period VARCHAR, {sums})")
            con.executemany("INSERT INTO settled VALUES (?, ?, ?, ?, ?)", [list(row) for row in rows])
            _money(con, money)
            made.append(_write(site, con, layout, f"{folder}/{layout}{payer}.dbf"))
    return made


def persons_request(site: Site, file: str, out: str) -> str:
    """Write the question about the persons of a register of ours (a packed file) to ``out``; gives its path."""
    layout = _named(site, "persons")
    named = names.identify(fsio.basename(file), site.profile)
    with _tables() as con, fsio.open_read(file) as stream:
        register.read_register(stream, fsio.stat_open(stream).size, named, site.profile, con)
        _told(con, {"period": named.period})
        return _write(site, con, layout, out)


def persons_answer(site: Site, file: str) -> list[Told]:
    """Read an answer about persons by the layout that fits its fields; ``Refusal`` DBF_… when it is no table."""
    profile, script = site.profile, _named(site, "persons_heard")
    with _tables() as con, fsio.open_read(file) as stream:
        fields = {one.name for one in check(stream).columns}
        layouts = [dict(pair) for pair in profile.data["side"]["persons_answer"]]
        layout = next((one["layout"] for one in layouts if one["has"] in fields), layouts[-1]["layout"])
        stream.seek(0)
        dbf_parcel.read_members({"answer": stream}, {"answer": layout}, profile, con)
        canon.give_books(con, profile.rules, profile.id)
        sql = profile.rules.read(f"{profile.id}/answers/{script}.sql").decode("utf-8")
        return [Told(*row) for row in con.execute(sql).fetchall()]


def _named(site: Site, what: str) -> str:
    """The layout that the profile has for this; ``SetupError`` when it has none."""
    found = site.profile.data.get("side", {}).get(what, "")
    if not found:
        raise SetupError(f"{site.profile.id}: side.{what}: this exchange has no such table")
    return str(found)


@contextmanager
def _tables() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(":memory:")
    try:
        yield con
    finally:
        con.close()


def _money(con: duckdb.DuckDBPyConnection, file: str) -> None:
    con.execute("CREATE TABLE money (mo VARCHAR, name VARCHAR, kopecks BIGINT)")
    if not file:
        return
    reader = csv.DictReader(io.StringIO(fsio.read_bytes(file).decode("utf-8-sig")), delimiter=";")
    for row in reader:
        pairs = [[row["mo"], name.upper(), kopecks(text)] for name, text in row.items() if name != "mo" and text]
        if pairs:
            con.executemany("INSERT INTO money VALUES (?, ?, ?)", pairs)


def _told(con: duckdb.DuckDBPyConnection, values: Mapping[str, str]) -> None:
    con.execute("CREATE OR REPLACE TABLE told (part VARCHAR, value VARCHAR)")
    con.executemany("INSERT INTO told VALUES (?, ?)", [list(pair) for pair in sorted(values.items())])


def _write(site: Site, con: duckdb.DuckDBPyConnection, layout: str, path: str) -> str:
    canon.give_books(con, site.profile.rules, site.profile.id)
    when: date = clock.today()
    with fsio.create(path) as out:
        write_table(con, out, site.profile, layout, when)
        fsio.fsync_file(out)
    return path
