"""A refused account as it is billed again: corrected, under a new key, with its predecessor named."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oms_batch.desk import corrections as mend
from oms_batch.desk import fragment
from oms_batch.desk.sources import AccountPart, Sums, cut_patient
from oms_batch.desk.wire import Wire, kopecks
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile

_NAMES = uuid.UUID("5b6f5f0e-6f0d-5c8f-9a55-6f6d732d6261")  # our own name space for keys of accounts billed again
SUM_TABLES = ("z_sl_sum", "usl_sum")


@dataclass(frozen=True, slots=True)
class Resubmission:
    """An account to be billed again: its bytes and its patient's as they were sent or answered.

    ``kind`` is ``primary`` or ``repeat``, ``refused_in`` the number of the register that refused it.
    """

    patient: bytes
    account: bytes
    encoding: str
    kind: str
    refused_in: str
    corrections: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Again:
    """An account billed again, ready but for its number; ``old`` is the key of its predecessor."""

    head: bytes
    tail: bytes
    part: AccountPart
    old: str
    kind: str


def new_key(old: str, register: str) -> str:
    """The key of an account billed again: always the same for the same account and register."""
    return str(uuid.uuid5(_NAMES, f"{register}\n{old}"))


def bill_again(
    one: Resubmission, profile: Profile, desk: Mapping[str, Any], wire: Wire, encoding: str, register: str
) -> Again:
    """Marks of the other side off, corrections in, sums claimed afresh, new key, old key and kind written down.

    ``desk`` is the profile's ``desk.toml``, ``register`` the register being built. ``WrongState`` names the account
    and what a correction lacks.
    """
    path, key_name = wire.rows["z_sl"], wire.attribute("z_sl", "xkey").name
    gone = marks(wire, desk["answer_marks"]["elements_of"])
    account = fragment.transcode(one.account.strip(), one.encoding, encoding)
    old = fragment.value(account, fragment.parse(account, path, encoding), key_name, encoding) or ""
    if not old:
        raise WrongState("FIELD_ABSENT", "z_sl.xkey")
    head, tail = cut_patient(one.patient.strip(), wire, one.encoding)
    patient = fragment.transcode(head + tail, one.encoding, encoding)
    patient = fragment.remove(patient, wire.rows["pers"], encoding, gone)
    account = fragment.remove(account, path, encoding, gone)
    try:
        fixed = desk["corrections"]["fixed"]
        for_patient, for_account = mend.split(one.corrections, wire, fixed)
        patient = mend.apply(patient, for_patient, wire, encoding, "pers", fixed)
        account = mend.apply(account, for_account, wire, encoding, "z_sl", fixed)
        account, sums = _claim(account, wire, encoding)
    except WrongState as error:
        raise WrongState(error.code, f"{old}: {error.detail}") from None
    key, kind = new_key(old, register), profile.data["account_kind"][one.kind]
    for column, value in (("xkey", key), ("x_key2", old), ("pr_nov", kind), ("ident_r", one.refused_in)):
        account = set_column(account, wire, column, value, encoding)
    head, tail = cut_patient(patient, wire, encoding)
    return Again(b"\n" + head, tail, AccountPart(b"\n" + account, key, "", sums, f"again {old}"), old, one.kind)


def set_column(data: bytes, wire: Wire, column: str, value: str, encoding: str) -> bytes:
    """An account (white space before it stays) with one of the columns that only the program sets."""
    space = len(data) - len(data.lstrip())
    return data[:space] + mend.apply(data[space:], [(f"z_sl.{column}", value)], wire, encoding)


def marks(wire: Wire, names: Iterable[str]) -> set[str]:
    """Paths of the elements that carry the other side's marks; a container of nothing else goes as a whole."""
    found = set()
    for name in names:
        path = wire.attribute(*name.split(".")).path
        above = wire.elements[path.rpartition("/")[0]]
        alone = len(above.children) == 1 and not above.attributes and not above.table
        found.add(above.path if alone else path)
    return found


def _claim(account: bytes, wire: Wire, encoding: str) -> tuple[bytes, Sums]:
    """Accepted sums put back to the claimed ones (so an organisation sends them); the sums of the account."""
    sums: Sums = {}
    path = wire.rows["z_sl"]
    for table in SUM_TABLES:
        part_name, claimed_name, accepted_name = (
            wire.attribute(table, one).name for one in ("type_acc", "suml", "sum_acc")
        )
        for at in range(len(fragment.parse(account, path, encoding).rows(wire.rows[table]))):
            node = fragment.parse(account, path, encoding).rows(wire.rows[table])[at]
            part = fragment.value(account, node, part_name, encoding) or ""
            claimed = fragment.value(account, node, claimed_name, encoding) or ""
            if table == SUM_TABLES[0] and claimed:
                try:
                    value = kopecks(claimed)
                except ValueError:
                    raise WrongState("VALUE_TYPE", f"{table}[{at + 1}].suml") from None
                before = sums.get(part, (0, 0))
                sums[part] = (before[0] + value, before[1] + value)
            if fragment.value(account, node, accepted_name, encoding) != claimed:
                account = fragment.set_attribute(account, node, accepted_name, claimed, encoding)
    return account, sums
