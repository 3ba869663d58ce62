"""The nouns of the exchange. They import nothing of ours but ``errors``.

Money is integer kopecks, codes are text, dates are ``datetime.date``.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

Severity = Literal["reject", "warn", "info"]


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file name taken apart by the profile's mask.

    ``name`` is as received, ``canonical`` in upper case with the extension in lower case. ``parts`` are all
    named parts of the mask that it fits; a name without a payer carries the sign for all of them.
    """

    name: str
    canonical: str
    ogrn_mo: str
    kpp_mo: str
    period: str  # YYYY-MM
    number: str
    stage: str
    payer: str
    extension: str  # ".7z"
    parts: dict[str, str] = field(default_factory=dict)
    register_id: str = ""  # where the profile has a form of its own for it

    @property
    def register(self) -> str:
        """The register that this file belongs to, through all its stages: OGRN-KPP-YYYYMM-number unless told."""
        return self.register_id or f"{self.mo}-{self.period.replace('-', '')}-{self.number}"

    @property
    def mo(self) -> str:
        """The medical organisation as names of this profile tell it."""
        return self.parts.get("mo") or f"{self.ogrn_mo}-{self.kpp_mo}"

    @property
    def has_mo(self) -> bool:
        """Whether the name tells the medical organisation at all."""
        return bool(self.parts.get("mo") or self.ogrn_mo)

    @property
    def stem(self) -> str:
        """The canonical name without its extension."""
        return self.canonical.removesuffix(self.extension)

    @property
    def suffix(self) -> str:
        return self.stage + self.payer


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What became of one check in one register."""

    code: str
    outcome: Literal["passed", "found", "skipped", "failed"]
    found: int
    total: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Accounts and kopecks of a register or of a part of it."""

    accounts: int = 0
    kopecks: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.accounts + other.accounts, self.kopecks + other.kopecks)

    def __sub__(self, other: Totals) -> Totals:
        return Totals(self.accounts - other.accounts, self.kopecks - other.kopecks)


@dataclass(frozen=True, slots=True)
class Reply:
    """A file for a partner (or for the operator), lying in the box of its job."""

    name: str
    partner: str  # folder below outbox; "" = the operator's own folder
    order: int  # publish order: 6 before 5, answers before reports, the receipt last
    kind: str  # answer | report | protocol | receipt | manifest
    sha256: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """All that the judging child needs; nothing in it is a live object, so it crosses a process.

    Paths are absolute text. ``related`` names other files of the exchange that the stage
    needs (``sent``: the file we sent before; ``sibling``: the 6 that belongs to this 5).
    """

    handler: str
    home: str
    profile: str
    role: str
    own: dict[str, str]
    named: NamedFile
    source: str
    sha256: str
    size: int
    box: str
    scratch: str
    received_at: str  # ISO 8601 with zone: the only "now" that an answer may carry
    lang: str = "ru"
    late: bool = False
    partner: str = ""
    related: dict[str, str] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    known: str = ""  # Parquet of what the ledger knows of this register's accounts
    limits: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> WorkOrder:
        return WorkOrder(**{**data, "named": NamedFile(**data["named"])})


@dataclass(frozen=True, slots=True)
class WorkResult:
    """What the judging child found and wrote.

    ``effects`` is the path of a Parquet file with one row per account
    (columns: see ``store.ledger.EFFECT_COLUMNS``); ``facts`` likewise, for the archive.
    """

    status: Literal["accepted", "partly", "refused"]
    sent: Totals
    refused: Totals
    replies: list[Reply]
    effects: str = ""
    facts: str = ""
    rulebook: str = ""
    books: dict[str, str] = field(default_factory=dict)
    plan: list[PlanRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> WorkResult:
        return WorkResult(
            **{
                **data,
                "sent": Totals(**data["sent"]),
                "refused": Totals(**data["refused"]),
                "replies": [Reply(**row) for row in data["replies"]],
                "plan": [PlanRow(**row) for row in data["plan"]],
            }
        )


def last_day(period: str) -> date:
    """The last day of a period ``YYYY-MM``."""
    year, month = int(period[:4]), int(period[5:])
    return date(year, month, monthrange(year, month)[1])


def roubles(kopecks: int) -> str:
    """Kopecks as text in roubles with two digits: ``-105`` → ``"-1.05"``."""
    return hundredths(kopecks)


def hundredths(number: int) -> str:
    """A whole number of hundredths as text with two digits after the point."""
    sign = "-" if number < 0 else ""
    return f"{sign}{abs(number) // 100}.{abs(number) % 100:02d}"


def share_of(part: int, whole: int) -> int:
    """Part of a whole in hundredths of a per cent, rounded to the nearest; of nothing: nothing."""
    return (2 * 10_000 * part + whole) // (2 * whole) if whole else 0


def parse_date(text: str) -> date | None:
    """A date written ``YYYY-MM-DD``, ASCII digits only; ``None`` when it is no such date."""
    if len(text) != 10 or not text.isascii() or text[4] != "-" or text[7] != "-":
        return None
    digits = text[:4] + text[5:7] + text[8:]
    if not digits.isdigit():
        return None
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return None
