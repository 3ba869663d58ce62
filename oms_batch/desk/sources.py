"""What every source of accounts gives to the builder, and where it writes down what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from oms_batch.desk import fragment
from oms_batch.desk.wire import Wire
from oms_batch.errors import Problem, Refusal

Sums = dict[str, tuple[int, int]]  # type_acc → claimed, accepted kopecks


@dataclass(slots=True)
class AccountPart:
    """An account as bytes (with the white space before it), its key, its number and its sums."""

    data: bytes
    xkey: str
    number: str
    sums: Sums
    place: str


@dataclass(slots=True)
class PatientPart:
    """A patient cut at his accounts: ``head + accounts + tail`` is the whole element."""

    head: bytes
    tail: bytes
    accounts: list[AccountPart]
    place: str


@dataclass(slots=True)
class Problems:
    """Everything found wrong: the first ``limit`` places, and how many there are."""

    limit: int = 1000
    total: int = 0
    rows: list[Problem] = field(default_factory=list)

    def add(self, code: str, place: str, *, expected: object = "", found: object = "") -> None:
        self.total += 1
        if len(self.rows) < self.limit:
            self.rows.append(Problem(code, place, str(expected), str(found)))

    def raise_if_any(self) -> None:
        if self.rows:
            raise Refusal(self.rows, self.total)


def cut_patient(data: bytes, wire: Wire, encoding: str) -> tuple[bytes, bytes]:
    """A patient element cut where accounts go; accounts that stand in it are left out."""
    person, account = wire.row("pers").path, wire.row("z_sl").path
    holder = account.rpartition("/")[0]
    top = fragment.parse(data, person, encoding)
    found = next(iter(top.rows(holder)), None)
    if found is not None and not found.empty:
        return data[: found.tag_end], data[found.close :]
    name = fragment.encode(holder.rpartition("/")[2], encoding)
    if found is not None:
        return data[: found.start] + b"<" + name + b">", b"</" + name + b">" + data[found.end :]
    if top.empty:
        opened = data[: top.tag_end].rstrip(b">").rstrip(b"/").rstrip() + b">"
        closing = b"</" + fragment.encode(top.name, encoding) + b">" + data[top.end :]
        return opened + b"<" + name + b">", b"</" + name + b">" + closing
    order = wire.elements[holder].order
    later = (one for one in top.children if (known := wire.elements.get(one.path)) and known.order > order)
    place = next((one.start for one in later), top.close)
    return data[:place] + b"<" + name + b">", b"</" + name + b">" + data[place:]
