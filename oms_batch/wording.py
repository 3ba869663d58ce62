"""What became of a file, in one line for people."""

from __future__ import annotations

from oms_batch.i18n import _
from oms_batch.model import Totals
from oms_batch.textform import money
from oms_batch.work import Handled


def bucket_names() -> dict[str, str]:
    """What ``ledger verify`` counts, in words."""
    return {
        "sent": _("sent"),
        "refused_1": _("refused by the fund (1)"),
        "refused_6": _("refused by the insurer, first stage (6)"),
        "accepted_5": _("accepted (5)"),
        "refused_2": _("refused in the final answer (2)"),
        "waiting": _("waiting for an answer"),
        "withdrawn": _("not counted: the receiver refused the file as a whole"),
    }


def in_words(one: Handled) -> str:
    """``NAME: answered: accounts … for …; refused … for …``, or the outcome with its code."""
    words = {
        "answered": _("answered"),
        "refused": _("REFUSED"),
        "parked": _("waits"),
        "duplicate": _("came before; the same answer goes out again"),
        "quarantined": _("SET ASIDE for the operator"),
        "failed": _("STOPPED by our own fault"),
        "companion": _("kept beside its answer"),
        "rejected": _("REFUSED AS A WHOLE by its receiver: correct it and send it again under the same name"),
    }
    done = {"sent": _("sent"), "taken_in": _("taken in")}
    head = f"{one.name}: {done.get(one.notes.get('did', ''), words[one.outcome])}"
    if one.outcome == "answered":
        left = one.notes.get("manifest", {}).get("excluded", [])
        refused = one.refused + Totals(len(left), sum(int(row["sum"].replace(".", "")) for row in left))
        text = _("accounts {n} for {sum}; refused {bad} for {bad_sum}")
        head += ": " + text.format(
            n=one.sent.accounts,
            sum=money(one.sent.kopecks),
            bad=refused.accounts,
            bad_sum=money(refused.kopecks),
        )
    elif one.code and not one.waits_for:
        head += f" [{one.code}]"
    if one.waits_for:
        head += " " + _("for a file of stage {stage}").format(stage=one.waits_for)
    return head
