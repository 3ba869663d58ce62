"""``identify``: who the persons of files are; the queue of partial matches for a person; answers to requests."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

import duckdb

from oms_batch import clock, i18n
from oms_batch.errors import SetupError, WrongState
from oms_batch.formats import canon, dbf_parcel
from oms_batch.i18n import _
from oms_batch.intake import names
from oms_batch.judge import books
from oms_batch.judge import identify as search
from oms_batch.model import WorkOrder
from oms_batch.reply.dbf_tables import write_table
from oms_batch.site import Site
from oms_batch.stages import doubts
from oms_batch.store import fsio, queue, sandbox

DECIDED = search.DECIDED
VERDICTS = {True: queue.ACCEPTED, False: queue.REJECTED}
AGREEMENT = ("pair", "verdict", "author", "reason", "decided_at", "register", "account", "period", "payer")


@dataclass
class Seen:
    """What is known of the persons of one file: counts, a row for each account, questions put into the queue."""

    file: str
    counts: dict[str, int]
    rows: list[dict[str, str]] = field(default_factory=list)
    asked: list[queue.Asked] = field(default_factory=list)


def look(site: Site, file: str, *, ask: bool = False, author: str = "", keep: str = "") -> Seen:
    """Identify the persons of a register. ``ask``: put partial matches into the queue; ``keep``: path for the table.

    Without ``ask`` nothing changes. ``Refusal`` when the file cannot be read, ``SetupError`` without any insured.
    """
    named = names.identify(fsio.basename(file), site.profile)
    with fsio.scratch_folder(str(site.home.tmp)) as scratch:
        fsio.mkdirs(f"{scratch}/box")
        sha256, size = fsio.hash_file(fsio.absolute(file))
        most = site.settings.limits
        order = WorkOrder(
            handler="look_up",
            home=str(site.home.root),
            profile=site.profile.id,
            role=site.settings.role,
            own=site.settings.own.model_dump(),
            named=named,
            source=fsio.absolute(file),
            sha256=sha256,
            size=size,
            box=f"{scratch}/box",
            scratch=scratch,
            received_at=clock.now().isoformat(),
            lang=i18n.language(),
            limits=most.model_dump(),
            options={
                "overlay": site.overlay,
                "insured": str(site.home.insured) if fsio.exists(site.home.insured) else "",
                "decided": queue.export_decided(site.ledger, f"{scratch}/decided.parquet"),
            },
        )
        limits = sandbox.Limits(most.memory_mb, most.cpu_seconds, most.wall_seconds, most.isolate)
        done = sandbox.run("oms_batch.stages.look_up:look", order.as_json(), limits)
        content = fsio.read_bytes(done.pop("path"))
        if keep:
            fsio.write_bytes_durable(fsio.absolute(keep), content)
        asked = doubts.take(site.ledger, site.profile, str(site.home.root), scratch, author) if ask else []
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8")), delimiter=";"))
    return Seen(fsio.basename(file), done, rows, asked)


def waiting(site: Site, every: bool = False) -> list[dict[str, Any]]:
    """Questions that wait for a person, or all of them; ``late`` says that the term has passed."""
    today = clock.today().isoformat()
    found = queue.listed(site.ledger, () if every else (queue.OPEN, queue.APPEALED))
    return [{**row, "late": bool(row["due"]) and row["due"] < today} for row in found]


def reminders(site: Site) -> list[dict[str, Any]]:
    """What a person has to do: ``question``, ``what`` (answer, appeal, agree), ``until``, ``late``."""
    today = clock.today().isoformat()
    what = {queue.OPEN: "answer", queue.APPEALED: "appeal"}
    found = [(row["id"], what[row["state"]], row["due"]) for row in queue.listed(site.ledger, tuple(what))]
    found += [(row["id"], "agree", row["agree_by"]) for row in queue.to_agree(site.ledger) if row["agree_by"]]
    return [
        {"question": number, "what": task, "until": until, "late": until < today}
        for number, task, until in sorted(found, key=lambda one: (one[2], one[0]))
    ]


def show(site: Site, number: int) -> dict[str, Any]:
    """One question with its moves, and where the two sides lie (``case``; empty when the file is gone)."""
    path = doubts.case_of(str(site.home.root), number)
    return {**queue.get(site.ledger, number), "case": path if fsio.exists(path) else ""}


def decide(site: Site, number: int, accept: bool, author: str, reason: str) -> None:
    """Record a decision; the next search keeps to it."""
    queue.decide(site.ledger, number, VERDICTS[accept], author, reason)


def appeal(site: Site, number: int, author: str, reason: str) -> str:
    """Record an appeal; gives the day until which it is to be heard."""
    due = doubts.terms(site.profile)["appeal"].isoformat()
    queue.appeal(site.ledger, number, author, reason, due)
    return due


def agreement(site: Site, file: str, author: str) -> int:
    """Write the decisions that the payer has not been told yet into a ``;`` table for him; gives their number."""
    rows = queue.to_agree(site.ledger)
    out = io.StringIO(newline="")
    table = csv.writer(out, delimiter=";", lineterminator="\n")
    table.writerow(AGREEMENT)
    for row in rows:
        made = next(
            one for one in reversed(queue.get(site.ledger, row["id"])["moves"]) if one["action"] == row["verdict"]
        )
        about = [row[name] for name in ("register", "xkey", "period", "payer")]
        table.writerow([row["pair"], row["verdict"], made["author"], made["reason"], made["at"], *about])
    fsio.write_bytes_durable(fsio.absolute(file), out.getvalue().encode("utf-8"))
    queue.agree(site.ledger, [row["id"] for row in rows], author)
    return len(rows)


def take_agreement(site: Site, file: str) -> tuple[int, int]:
    """Record decisions that the insurer of the persons took and handed to us: (new, known already).

    ``WrongState`` DOUBT_STATE when one contradicts a decision of ours; then none is taken.
    """
    try:
        text = fsio.read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongState("FILE_FORMAT", "utf-8") from None
    reader = csv.DictReader(io.StringIO(text), delimiter=";", restval="")
    rows = list(reader)
    whole = tuple(reader.fieldnames or ()) == AGREEMENT and all(_is_agreement(row) for row in rows)
    if not whole or len({row["pair"] for row in rows}) < len(rows):
        raise WrongState("FILE_FORMAT", ";".join(AGREEMENT))
    known = {row["pair"]: row for row in queue.listed(site.ledger)}
    for row in rows:
        if known.get(row["pair"], {}).get("verdict", "") not in ("", row["verdict"]):
            raise WrongState("DOUBT_STATE", str(known[row["pair"]]["id"]))
    new = [row for row in rows if not known.get(row["pair"], {}).get("verdict")]
    asked = queue.ask(site.ledger, [{**row, "xkey": row["account"], "step": search.DECIDED} for row in new])
    for row, made in zip(new, asked, strict=True):
        queue.decide(site.ledger, made.id, row["verdict"], row["author"], row["reason"])
    return len(new), len(rows) - len(new)


def _is_agreement(row: dict[str, str]) -> bool:
    """Whether a row says all that a decision needs, so that none is recorded when one cannot be."""
    said = row["verdict"] in VERDICTS.values() and len(row["pair"]) == 64
    return said and bool(row["author"].strip() and row["reason"].strip())


def answer(site: Site, request: str, out: str) -> dict[str, int]:
    """Answer a request about persons (a table of the profile) from our insured; gives persons asked about and found.

    The tables and scripts are those that ``[side]`` of the profile names; ``SetupError`` where it names none.
    """
    side = site.profile.data.get("side", {})
    script, layout = side.get("persons_asked", ""), side.get("persons_told", "")
    if not script:
        raise SetupError(f"{site.profile.id}: side.persons_asked: this exchange has no such table")
    if not fsio.exists(site.home.insured):
        raise SetupError(_("there is no register of the insured; bring it in: oms-batch insured import FILE"))
    con = duckdb.connect(":memory:")
    try:
        with fsio.scratch_folder(str(site.home.tmp)) as scratch:
            return _answered(site, con, (script, layout), (request, out), scratch)
    finally:
        con.close()


def _answered(
    site: Site, con: duckdb.DuckDBPyConnection, how: tuple[str, str], files: tuple[str, str], scratch: str
) -> dict[str, int]:
    profile, (script, layout) = site.profile, how
    with fsio.open_read(files[0]) as stream:
        dbf_parcel.read_members({"request": stream}, {"request": str(profile.data["side"]["persons"])}, profile, con)
    con.execute(profile.rules.read(f"{profile.id}/answers/{script}.sql").decode("utf-8"))
    books.load_books(con, profile.rules, profile.id, ["payers"])
    canon.give_books(con, profile.rules, profile.id)
    decided = queue.export_decided(site.ledger, f"{scratch}/decided.parquet")
    table = search.attach(con, str(site.home.insured))
    try:
        search.identify_in(con, table, search.load_search(profile.rules, profile.id), decided)
        con.execute(f"CREATE TABLE enp_of AS SELECT n, enp FROM {table} SEMI JOIN ident ON ident.insured_n = {table}.n")
    finally:
        search.detach(con)
    with fsio.create(fsio.absolute(files[1])) as stream:
        write_table(con, stream, profile, layout, clock.today())
        fsio.fsync_file(stream)
    row = con.execute("SELECT count(*), count(*) FILTER (found) FROM ident").fetchone() or (0, 0)
    return {"persons": int(row[0]), "found": int(row[1])}
