"""The receipt: what was received, when, and with what it was judged. Proof for both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oms_batch.i18n import _
from oms_batch.model import Totals, roubles
from oms_batch.reply import people


def receipt(
    *,
    file: str,
    sha256: str,
    size: int,
    received_at: str,
    sender: str,
    receiver: str,
    status: str,
    sent: Totals,
    refused: Totals,
    rulebook: str,
    books: Mapping[str, str],
    late: bool = False,
    due: str = "",
    anchor: str = "",
) -> dict[str, Any]:
    """The receipt as data for JSON. Moments are ISO with zone, sums text in roubles.

    ``anchor`` is the digest at which the audit trail stood; who keeps the receipt can prove
    later that the trail was not rewritten.
    """
    return {
        "file": file,
        "sha256": sha256,
        "size": size,
        "received_at": received_at,
        "due": due,
        "late": late,
        "from": sender,
        "to": receiver,
        "status": status,
        "sent": _totals(sent),
        "accepted": _totals(sent - refused),
        "refused": _totals(refused),
        "rulebook": rulebook,
        "books": dict(sorted(books.items())),
        "audit": anchor,
    }


def _totals(value: Totals) -> dict[str, Any]:
    return {"accounts": value.accounts, "sum": roubles(value.kopecks)}


def receipt_text(data: Mapping[str, Any], lang: str = "ru") -> str:
    """The receipt for reading: one fact a line."""
    with people.speaking(lang):
        statuses = {"accepted": _("accepted"), "partly": _("accepted in part"), "refused": _("refused")}
        mark = " " + _("(after the deadline)") if data["late"] else ""
        lines = [
            (_("Receipt for"), data["file"]),
            (_("SHA-256"), data["sha256"]),
            (_("Size, bytes"), people.number(data["size"])),
            (_("Received"), people.moment(data["received_at"]) + mark),
            (_("Due"), people.moment(data["due"]) if data["due"] else ""),
            (_("From"), data["from"]),
            (_("To"), data["to"]),
            (_("Outcome"), statuses.get(data["status"], data["status"])),
            *((name, _said(data[key])) for key, name in _columns()),
            (_("Rulebook"), data["rulebook"]),
            (_("Reference books"), ", ".join(f"{name} {what}" for name, what in data["books"].items())),
            (_("Audit trail"), data["audit"]),
        ]
        return "".join(f"{name}: {people.clean(str(value))}\n" for name, value in lines if value)


def _columns() -> list[tuple[str, str]]:
    return [("sent", _("Sent")), ("accepted", _("Accepted")), ("refused", _("Refused"))]


def _said(totals: Mapping[str, Any]) -> str:
    whole, _point, rest = str(totals["sum"]).partition(".")
    return _("{accounts} accounts, {sum} roubles").format(
        accounts=people.number(totals["accounts"]), sum=people.money(int(whole + rest))
    )
