"""What people add to the ledger: corrections, the way into the next register, invoices, decisions, counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from oms_batch import clock
from oms_batch.errors import Fault, WrongState
from oms_batch.store import audit
from oms_batch.store.engine import Ledger
from oms_batch.store.schema import accounts, corrections, counters, decisions, invoices, notes, registers, resubmissions


def _refused(con: sa.Connection, account: int, refused: Sequence[str]) -> sa.RowMapping:
    row = con.execute(sa.select(accounts).where(accounts.c.id == account)).mappings().first()
    if row is None:
        raise WrongState("ACC_UNKNOWN", str(account))
    if row["state"] not in refused:
        raise WrongState("ACC_NOT_REFUSED", row["xkey"])
    if row["desk"] == "resubmitted":
        raise WrongState("ACC_RESUBMITTED", row["xkey"])
    return row


def correct(
    ledger: Ledger, account: int, field: str, value_ref: str, who: str, why: str, refused: Sequence[str]
) -> int:
    """Note that a field of a refused account was corrected; gives the correction's number.

    ``value_ref`` points at the new value in the participant's own source: the value itself may be personal
    and does not belong here. ``refused``: the states that count as refused (of the profile).
    """
    with ledger.write() as con:
        row = _refused(con, account, refused)
        values = {"account_id": account, "field": field, "value_ref": value_ref, "who": who, "why": why}
        new = con.execute(sa.insert(corrections).values(**values, at=clock.now().isoformat()))
        con.execute(sa.update(accounts).where(accounts.c.id == account).values(desk="corrected"))
        audit.append(con, who, "correct", f"account:{row['id']}", {"field": field})
        return int(new.inserted_primary_key[0]) if new.inserted_primary_key else 0


def corrections_of(ledger: Ledger, account: int) -> list[dict[str, Any]]:
    """Corrections of one account in the order in which they were made."""
    query = sa.select(corrections).where(corrections.c.account_id == account).order_by(corrections.c.id)
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def resubmit(ledger: Ledger, account: int, kind: str, who: str, refused: Sequence[str]) -> None:
    """Put a refused account on the list for the next register; ``kind`` (primary, repeat) is the profile's.

    ``WrongState``: it is not refused, or is on the list already.
    """
    with ledger.write() as con:
        _refused(con, account, refused)
        con.execute(sa.insert(resubmissions).values(account_id=account, kind=kind, at=clock.now().isoformat(), who=who))
        con.execute(sa.update(accounts).where(accounts.c.id == account).values(desk="resubmitted"))
        audit.append(con, who, "resubmit", f"account:{account}", {"kind": kind})


def waiting_resubmissions(ledger: Ledger, new_register: str | None = "") -> list[dict[str, Any]]:
    """Accounts on the list: ``account_id kind register xkey nth idcase payer sumv`` and where they went.

    ``new_register=""``: those without a register yet; ``None``: all.
    """
    about = (
        registers.c.name.label("register"),
        *(accounts.c[name] for name in ["xkey", "nth", "idcase", "payer", "sumv"]),
    )
    query = sa.select(resubmissions, *about).join(accounts, accounts.c.id == resubmissions.c.account_id)
    query = query.join(registers, registers.c.id == accounts.c.register_id).order_by(resubmissions.c.account_id)
    if new_register is not None:
        query = query.where(resubmissions.c.new_register == new_register)
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def place_resubmissions(ledger: Ledger, placed: Iterable[tuple[int, str, str]]) -> None:
    """The next register was built: (account, its new register, its new xkey). The link is made when it is sent."""
    with ledger.write() as con:
        for account, register, xkey in placed:
            mine = sa.and_(resubmissions.c.account_id == account, resubmissions.c.new_register.in_(("", register)))
            done = con.execute(sa.update(resubmissions).where(mine).values(new_register=register, new_xkey=xkey))
            if done.rowcount != 1:
                raise WrongState("ACC_RESUBMITTED", str(account))
            audit.append(con, "system", "place", f"account:{account}", {"register": register})


def add_invoice(ledger: Ledger, register: str, payer: str, number: str, date: str, kopecks: int, who: str) -> bool:
    """Note an invoice; ``False``: it is noted already. ``WrongState`` INVOICE_DIFFERS: with another sum or date."""
    with ledger.write() as con:
        c = invoices.c
        mine = sa.select(c.date, c.kopecks).where(c.register == register, c.payer == payer, c.number == number)
        found = con.execute(mine).first()
        if found is not None:
            if (found.date, found.kopecks) != (date, kopecks):
                raise WrongState("INVOICE_DIFFERS", number)
            return False
        row = {"register": register, "payer": payer, "number": number, "date": date, "kopecks": kopecks}
        con.execute(sa.insert(invoices).values(**row, at=clock.now().isoformat()))
        audit.append(con, who, "invoice", f"register:{register}", row)
        return True


DECISION_COLUMNS = ("register", "xkey", "payer", "kod", "defect", "withheld", "act_no", "act_date", "expert")
_MORE = {"kind": "", "fine": 0}


def add_decisions(ledger: Ledger, rows: Iterable[Mapping[str, Any]], who: str) -> tuple[int, int]:
    """Bring in experts' decisions (``DECISION_COLUMNS``, perhaps ``kind`` and ``fine``); gives (new, known already).

    ``WrongState``: ACC_UNKNOWN no such account; DECISION_SUM more withheld than claimed; DECISION_DIFFERS the same
    act and code with another sum. Nothing is kept then.
    """
    new = known = 0
    with ledger.write() as con:
        for source in rows:
            row = {name: source[name] for name in DECISION_COLUMNS} | {k: source.get(k, v) for k, v in _MORE.items()}
            _fits(con, row)
            c = decisions.c
            same = sa.select(c.withheld, c.fine).where(
                *(c[name] == row[name] for name in ("register", "xkey", "act_no", "kod"))
            )
            before = con.execute(same).first()
            if before is not None and tuple(before) != (row["withheld"], row["fine"]):
                raise WrongState("DECISION_DIFFERS", row["xkey"])
            if before is not None:
                known += 1
                continue
            con.execute(sa.insert(decisions).values(**row, imported_at=clock.now().isoformat()))
            new += 1
        audit.append(con, who, "decisions", "experts", {"new": new, "known": known})
    return new, known


def _fits(con: sa.Connection, row: Mapping[str, Any]) -> None:
    mine = (
        sa.select(accounts.c.sumv)
        .join(registers)
        .where(registers.c.name == row["register"], accounts.c.xkey == row["xkey"])
    )
    sumv = con.execute(mine.limit(1)).scalar()
    if sumv is None:
        raise WrongState("ACC_UNKNOWN", row["xkey"])
    if type(row["withheld"]) is not int or not 0 <= row["withheld"] <= sumv or row["fine"] < 0:
        raise WrongState("DECISION_SUM", row["xkey"])


def open_decisions(ledger: Ledger, register: str = "", payer: str = "") -> list[dict[str, Any]]:
    """Decisions that no final answer has carried out yet."""
    query = sa.select(decisions).where(decisions.c.used_job.is_(None)).order_by(decisions.c.id)
    for column, value in ((decisions.c.register, register), (decisions.c.payer, payer)):
        query = query.where(column == value) if value else query
    with ledger.read() as con:
        return [dict(row) for row in con.execute(query).mappings()]


def next_number(ledger: Ledger, name: str) -> int:
    """The next value of a counter, from 1, without gaps."""
    with ledger.write() as con:
        value = con.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar()
        if value is None:
            con.execute(sa.insert(counters).values(name=name, value=1))
            return 1
        con.execute(sa.update(counters).where(counters.c.name == name).values(value=value + 1))
        return int(value) + 1


def put_note(ledger: Ledger, name: str, value: str) -> None:
    """Keep one small fact under a name (the last nightly run, the last listing)."""
    with ledger.write() as con:
        if con.execute(sa.update(notes).where(notes.c.name == name).values(value=value)).rowcount == 0:
            con.execute(sa.insert(notes).values(name=name, value=value))


def note(ledger: Ledger, name: str) -> str:
    """The fact under this name, or an empty text."""
    with ledger.read() as con:
        return str(con.execute(sa.select(notes.c.value).where(notes.c.name == name)).scalar() or "")


def log(ledger: Ledger, who: str, action: str, target: str, data: Mapping[str, Any]) -> audit.Anchor:
    """One audit row of its own, for acts that change nothing else (an export, a release from quarantine)."""
    if any(not isinstance(value, (str, int)) for value in data.values()):
        raise Fault("audit: codes and counts only")
    with ledger.write() as con:
        return audit.append(con, who, action, target, dict(data))
