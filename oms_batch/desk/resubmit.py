"""May a refused account enter the next register, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from oms_batch.errors import WrongState
from oms_batch.exchange import Profile
from oms_batch.i18n import pick


def kind(profile: Profile, account: Mapping[str, Any]) -> str:
    """``primary`` or ``repeat``: what the hop that refused the account says (by the account's ``state``).

    ``WrongState("ACC_NOT_REFUSED")`` when no hop of the profile refuses into this state.
    """
    state = account["state"]
    found = {hop.enters_next_as for hop in profile.hops if hop.refused == state and hop.enters_next_as}
    if len(found) != 1:
        raise WrongState("ACC_NOT_REFUSED", str(account.get("xkey", "")))
    return found.pop()


def kind_title(profile: Profile, code: str) -> str:
    """``primary`` or ``repeat`` in words, in the language in force."""
    row = profile.rules.toml(f"{profile.id}/desk.toml")["kinds"][code]
    return pick(row["title"], row["title_en"])


def refused_states(profile: Profile) -> list[str]:
    """The states from which an account may enter a next register."""
    return sorted({hop.refused for hop in profile.hops if hop.refused and hop.enters_next_as})


def may_resubmit(
    profile: Profile,
    account: Mapping[str, Any],
    defect: Mapping[str, str] | None,
    today: date,
    forced: str = "",
) -> tuple[bool, str]:
    """Whether the account may enter the next register, and the code of why not.

    ``account``: ``state``, ``desk`` (empty, ``corrected``, ``resubmitted``), ``at`` (of the refusal). ``defect``: its
    row of book defects (``resubmit`` 1 or 0; ``resubmit_days`` if the book has such a term). ``forced`` is the
    operator's reason: it lifts ``NOT_CORRECTED``, ``DEFECT_FORBIDS`` and ``TOO_LATE``, never the others.
    """
    if account["state"] not in refused_states(profile):
        return False, "ACC_NOT_REFUSED"
    if account["desk"] == "resubmitted":
        return False, "ACC_RESUBMITTED"
    if forced.strip():
        return True, "FORCED"
    if defect is not None and defect["resubmit"] not in ("1", ""):
        return False, "DEFECT_FORBIDS"
    if (until := resubmit_until(account, defect)) and today > until:
        return False, "TOO_LATE"
    if account["desk"] != "corrected":
        return False, "NOT_CORRECTED"
    return True, ""


def resubmit_until(account: Mapping[str, Any], defect: Mapping[str, str] | None) -> date | None:
    """The last day for billing again, when the defect has a term; ``None``: no term."""
    days = (defect or {}).get("resubmit_days", "")
    return date.fromisoformat(str(account["at"])[:10]) + timedelta(days=int(days)) if days else None
