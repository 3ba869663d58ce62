"""Bad files among good ones: what a table of them must come to at a real participant, and how that is looked at."""

from __future__ import annotations

import hashlib
import html
import io
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from lxml import etree

from oms_batch import conductor
from oms_batch.store import ledger, spool
from oms_batch.store.schema import receipts
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec, build
from oms_batch.work import Handled
from tests.participants import Exchange

MO = "1027600000108760401001"
MO2 = "1027600000207760401002"
PERIOD = "2018-09"
CANARIES = ("Канарейкина", "Щегол", "Свиристель", "999-888-777 66")
OUTCOMES = {"REF": "refused", "QUA": "quarantined", "ANS": "answered", "ROW": "answered", "DUP": "duplicate"}


@dataclass(frozen=True)
class Bad:
    """One row of the table of bad inputs: its number there, the file, and what must become of it."""

    row: str
    name: str
    data: bytes
    outcome: str  # REF QUA ANS ROW DUP IGN WAIT
    code: str = ""
    words: tuple[str, ...] = ()  # must stand on the page for people

    @property
    def shown(self) -> str:
        return ledger.printable(self.name)


def spec(number: int = 1, accounts: int = 3, **more: object) -> Spec:
    return Spec(accounts=accounts, seed=number, period=PERIOD, payers={"P": 1}, number=str(number), **more)  # type: ignore[arg-type]


def document(exchange: Exchange, number: int = 1, accounts: int = 3) -> str:
    """A clean main register with a canary in the personal fields."""
    text = b"".join(register(exchange.profile, spec(number, accounts))).decode("cp1251")
    for name, token in zip(("surname", "name", "patronymic", "ss"), CANARIES, strict=True):
        text = re.sub(rf'\b{name}="[^"]*"', f'{name}="{token}"', text)
    assert all(token in text for token in CANARIES)
    return text


def good_file(exchange: Exchange, number: int) -> tuple[str, bytes]:
    chosen = spec(number)
    name = build(exchange.profile, chosen).file_name("3", "X", ".xml")
    return name, b"".join(register(exchange.profile, chosen))


def name_of(serial: int, suffix: str = "3X", extension: str = ".xml", who: str = MO) -> str:
    """A valid name of its own for each serial number, in months that no good file uses."""
    return f"{who}{19 + serial // 100:02d}{serial // 10 % 10 + 1:02d}{serial % 10}{suffix}{extension}"


@contextmanager
def log_of(level: int = logging.INFO) -> Iterator[io.StringIO]:
    """All that the program logs meanwhile."""
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("oms_batch")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield stream
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@dataclass
class Desk:
    """One participant with bad and good files in its inbox; ``wrong`` says what came out otherwise."""

    exchange: Exchange
    who: str = "tfoms"
    sender: str = "mo"
    handled: list[Handled] = field(default_factory=list)
    log: str = ""

    def sweep(self, settling: spool.Settling | None = None) -> list[Handled]:
        with log_of() as stream, self.exchange.at(self.who) as site:
            most = site.settings.limits.packed_mb << 20
            self.handled = list(conductor.sweep(site, settling or spool.Settling(0, 0, most)))
        self.log += stream.getvalue()
        return self.handled

    def run(self, rows: list[Bad], good: tuple[int, ...] = (8, 9)) -> list[str]:
        """Drop the rows among good files, sweep once, and compare each with what it must come to."""
        made = [good_file(self.exchange, number) for number in good]
        self.exchange.insure(self.who, spec(good[0]))
        for row in rows:
            self.exchange.put(self.who, self.sender, row.name, row.data)
        for name, data in made:
            self.exchange.put(self.who, self.sender, name, data)
        found = {one.name: one for one in self.sweep()}
        wrong = [f"good file {name}" for name, _ in made if found[name].outcome != "answered"]
        for row in rows:
            wrong += [f"row {row.row} {row.shown[-40:]}: {what}" for what in self.check(row, found.get(row.shown))]
        return wrong + self.balance()

    def balance(self) -> list[str]:
        totals = self.exchange.totals(self.who)
        wrong = [] if totals["balanced"] else [f"ledger: {totals['problems']}"]
        return wrong + [f"{token} in the log" for token in CANARIES if token in self.log]

    def check(self, row: Bad, one: Handled | None) -> list[str]:
        if row.outcome in ("IGN", "WAIT"):
            left = self.exchange.inbox(self.who, self.sender) / row.name
            return [] if one is None and left.exists() else [f"touched: {one}"]
        if one is None:
            return ["not handled"]
        code = one.code if row.code else ""
        if (one.outcome, code) != (OUTCOMES[row.outcome], row.code):
            return [f"{one.outcome} {one.code} {one.notes}, not {row.outcome} {row.code}"]
        wrong = self._kept(row) if row.outcome in ("REF", "QUA") else []
        wrong += self._receipt(row, one)
        if row.outcome == "REF":
            wrong += self._protocol(row, one)
        if row.outcome == "QUA" and self.pages(one):
            wrong.append("echoed to the partner")
        return wrong

    def _kept(self, row: Bad) -> list[str]:
        folder = self.exchange.root / self.who / ".spool" / "quarantine"
        kept = {sha(path.read_bytes()) for path in folder.iterdir() if path.is_file() and not path.is_symlink()}
        return [] if sha(row.data) in kept else ["the bytes are not kept"]

    def _receipt(self, row: Bad, one: Handled) -> list[str]:
        with self.exchange.at(self.who) as site, site.ledger.read() as con:
            query = sa.select(receipts.c.sha256, receipts.c.verdict, receipts.c.name_hex).where(
                receipts.c.job_id == one.job, receipts.c.name == row.shown
            )
            found = con.execute(query.order_by(receipts.c.id.desc())).first()
        if found is None:
            return ["no receipt"]
        verdict = "ANS" if row.outcome == "ROW" else row.outcome
        wrong = [] if found.sha256 == sha(row.data) else ["another hash in the receipt"]
        if row.shown != row.name and bytes.fromhex(found.name_hex) != os.fsencode(row.name):
            wrong.append("the bytes of the name are not kept")
        return wrong + ([] if found.verdict == verdict else [f"receipt says {found.verdict}"])

    def pages(self, one: Handled) -> list[Path]:
        with self.exchange.at(self.who) as site:
            rows = ledger.outbox_of(site.ledger, one.job)
        return [self.exchange.root / self.who / "outbox" / row.partner / row.name for row in rows]

    def _protocol(self, row: Bad, one: Handled) -> list[str]:
        pages = self.pages(one)
        if sorted(path.suffix for path in pages) != [".html", ".xml"] or not all(path.exists() for path in pages):
            return [f"protocol: {[path.name for path in pages]}"]
        page = next(path for path in pages if path.suffix == ".html").read_text("utf-8")
        text = html.unescape(re.sub(r"<[^>]*>", " ", page))
        root = etree.fromstring(next(path for path in pages if path.suffix == ".xml").read_bytes())
        with self.exchange.at(self.who) as site:
            told = site.rules.toml("common/problems.toml")[row.code]
        needed = (row.code, told["title"], told["advice"], sha(row.data), *row.words)
        wrong = [f"the page lacks {what!r}" for what in needed if what not in text]
        if root.findtext("PR/OSHIB") != row.code or told["title"] not in (root.findtext("PR/COMMENT") or ""):
            wrong.append("the FLK_P protocol says something else")
        wrong += [
            f"{token} in the protocol" for token in CANARIES if token in page or token in "".join(root.itertext())
        ]
        return wrong


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
