"""Tables of the ledger. Codes, dates, keys and sums only: no personal data.

Money is kopecks (BIGINT), dates are ``YYYY-MM-DD`` text, moments are ISO 8601 text in UTC.
An account's ``nth`` tells apart accounts that carry the same xkey inside one register.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, UniqueConstraint

REVISION = "0004"
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Big = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _key() -> Column[int]:
    return Column("id", Big, primary_key=True, autoincrement=True)


def _to(name: str, target: str, null: bool = False) -> Column[int]:
    return Column(name, Big, ForeignKey(target), nullable=null)


registers = Table(
    "registers",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),
    _text("period"),
    _text("sender_mo"),
)

jobs = Table(
    "jobs",
    metadata,
    _key(),
    Column("hop_key", Text, nullable=False, unique=True),
    _text("kind"),
    _text("register"),
    _text("period"),
    _text("stage"),
    _text("payer"),
    _text("sender"),
    _text("receiver"),
    _text("partner"),
    _text("name"),
    _text("canonical"),
    _text("sha256"),
    _number("size"),
    Column("state", Text, nullable=False),  # new working parked answered refused quarantined failed rejected
    _text("reason"),
    _text("waits_for"),
    _text("deadline"),
    _number("attempts"),
    _text("received_at"),
    _text("answered_at"),
    _text("rulebook"),
    _text("books"),
    _number("accounts"),
    _number("kopecks"),
    _number("refused_accounts"),
    _number("refused_kopecks"),
    _number("late"),
    _text("original"),  # where the received bytes lie: work, then archive
    _text("archived_at"),
    Index(None, "state"),
    Index(None, "register", "stage", "payer"),
)

receipts = Table(
    "receipts",
    metadata,
    _key(),
    Column("claim_id", Text, nullable=False, unique=True),
    _text("name"),
    _text("name_hex"),
    _text("partner"),
    _text("direction"),
    _text("register"),
    _text("period"),
    _text("stage"),
    _text("payer"),
    _text("sha256"),
    _number("size"),
    _text("received_at"),
    _text("verdict"),
    _text("code"),
    _to("job_id", "jobs.id"),
    _to("first_receipt_id", "receipts.id", null=True),
    Index(None, "job_id"),
)

accounts = Table(
    "accounts",
    metadata,
    _key(),
    _to("register_id", "registers.id"),
    Column("xkey", Text, nullable=False),
    Column("nth", Integer, nullable=False, server_default="1"),
    _text("x_key2"),
    _text("idcase"),
    _text("usl_ok"),
    _text("vidpom"),
    _text("pr_nov"),
    _text("date_z_1"),
    _text("date_z_2"),
    _number("sumv"),
    _text("payer"),
    Column("state", Text, nullable=False),
    _number("withheld"),
    _text("digest"),
    _text("desk"),  # '' | corrected | resubmitted
    _to("successor_id", "accounts.id", null=True),
    UniqueConstraint("register_id", "xkey", "nth"),
    Index(None, "xkey"),
)

moves = Table(
    "moves",
    metadata,
    Column("account_id", Big, ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    _to("job_id", "jobs.id"),
    _text("stage"),
    _text("from_state"),
    Column("to_state", Text, nullable=False),
    _number("withheld"),
    _text("defect"),
    _text("kod"),
    _text("rule"),
    _text("at"),
    Index(None, "job_id"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    _key(),
    _to("job_id", "jobs.id"),
    Column("ord", Integer, nullable=False),
    Column("name", Text, nullable=False),
    _text("partner"),
    _text("kind"),
    _text("sha256"),
    _number("size"),
    _text("box_path"),
    Column("state", Text, nullable=False),  # box published blocked
    _text("published_at"),
    UniqueConstraint("job_id", "name", "partner"),
    Index(None, "state"),
    Index(None, "sha256"),
)

files = Table(
    "files",
    metadata,
    _key(),
    _text("register"),
    _text("stage"),
    _text("payer"),
    _text("direction"),  # in: received by us; out: sent by us
    _to("job_id", "jobs.id"),
    _text("name"),
    _text("sha256"),
    _text("path"),
    UniqueConstraint("job_id", "direction", "name"),
    Index(None, "register", "stage", "payer", "direction"),
)

corrections = Table(
    "corrections",
    metadata,
    _key(),
    _to("account_id", "accounts.id"),
    Column("field", Text, nullable=False),
    _text("value_ref"),
    _text("who"),
    _text("why"),
    _text("at"),
    Index(None, "account_id"),
)

resubmissions = Table(
    "resubmissions",
    metadata,
    Column("account_id", Big, ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    _text("kind"),  # primary | repeat
    _text("at"),
    _text("who"),
    _text("new_register"),
    _text("new_xkey"),
    Index(None, "new_register", "new_xkey"),
)

# Accounts that a register left out because they did not fit under the caps: they wait for a later one.
sequestered = Table(
    "sequestered",
    metadata,
    _key(),
    Column("xkey", Text, nullable=False, unique=True),
    _text("register"),  # the register that left it out last
    _text("period"),
    _text("line"),  # the line of the book of caps, as it was shown
    _text("what"),  # volume | money
    _text("usl_ok"),
    _text("date_z_2"),
    _number("sumv"),
    _text("path"),  # where its bytes lie
    _text("at"),
    _text("who"),
    _text("new_register"),
    Index(None, "new_register"),
)

invoices = Table(
    "invoices",
    metadata,
    _key(),
    _text("register"),
    _text("payer"),
    _text("number"),
    _text("date"),
    _number("kopecks"),
    _text("at"),
    UniqueConstraint("register", "payer", "number"),
)

decisions = Table(
    "decisions",
    metadata,
    _key(),
    _text("register"),
    _text("xkey"),
    _text("payer"),
    _text("kod"),
    _text("defect"),
    _number("withheld"),
    _text("act_no"),
    _text("act_date"),
    _text("expert"),
    _text("kind"),  # of control, F006; empty: that of the ground
    _number("fine"),
    _text("imported_at"),
    _to("used_job", "jobs.id", null=True),
    UniqueConstraint("register", "xkey", "act_no", "kod"),
)

# Who fits an insured person partly waits for a person. ``pair`` is one hash of both: nobody can be told from it.
doubts = Table(
    "doubts",
    metadata,
    _key(),
    Column("pair", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # open decided appealed
    _text("verdict"),  # '' | accepted | rejected: what the next search keeps to
    _text("register"),
    _text("xkey"),
    _text("period"),
    _text("mo"),
    _text("payer"),
    _text("step"),
    _text("differs"),
    _text("asked_at"),
    _text("due"),
    _text("agree_by"),
    _text("agreed_at"),
    Index(None, "state"),
)

doubt_moves = Table(
    "doubt_moves",
    metadata,
    _key(),
    _to("doubt_id", "doubts.id"),
    Column("action", Text, nullable=False),  # asked accepted rejected appealed agreed
    _text("author"),
    _text("reason"),
    _text("at"),
    _text("due"),
    Index(None, "doubt_id"),
)

counters = Table("counters", metadata, Column("name", Text, primary_key=True), _number("value"))
notes = Table("notes", metadata, Column("name", Text, primary_key=True), _text("value"))

audit = Table(
    "audit",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    _text("t_wall"),
    _text("actor"),
    _text("action"),
    _text("object"),
    _text("data"),
    _text("prev"),
    _text("h"),
)
