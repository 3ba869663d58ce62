"""A decision of an expert: the line that a payer brings in, checked against the books and made whole in money.

Order 231н: not paid is РТ × К_НО, the fine is РП × К_ШТ; shares are those of book F014 on the day of the act.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from oms_batch.control import Controls, norm, share_of
from oms_batch.desk import defects
from oms_batch.desk.wire import kopecks
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile

KINDS = "common/books/f006.csv"


def decision(profile: Profile, account: Mapping[str, Any], row: Mapping[str, str]) -> dict[str, Any]:
    """One line of a table of decisions as the ledger keeps it; ``account`` is the accepted account of the ledger.

    Without ``withheld`` the sum is РТ × К_НО of the code, without ``fine`` РП × К_ШТ (0 where the norm per person is
    not known). Without ``kind`` it is that of the ground. ``WrongState``: DEFECT_CODE, DECISION_SUM, DECISION_KIND,
    DECISION_EXPERT, DECISION_ACT; ``ValueError`` for what cannot be read.
    """
    final = profile.data.get("final", {})
    controls = Controls.of(profile.rules)
    day = date.fromisoformat(row["act_date"])
    # a receiver who knows a defect by the day of the care would refuse the answer for a code of another time
    care = date.fromisoformat(account["date_z_2"]) if account["date_z_2"] else day
    dated = day if final.get("code_on") == "act" else care
    books = [one for one in defects.find(profile.rules, row["kod"], dated) if one["kod"]]
    if not books:
        raise WrongState("DEFECT_CODE")
    defect = books[0]
    kind = (row.get("kind") or "").strip()
    if kind and not _in_force(profile, kind, day):
        raise WrongState("DECISION_KIND")
    if (pattern := final.get("act")) and row["act_no"] and not re.fullmatch(pattern, row["act_no"]):
        raise WrongState("DECISION_ACT")
    if pattern := final.get("expert"):
        # a code that the answer cannot hold is as good as none
        named = bool(re.fullmatch(pattern, row["expert"]))
        if not named and controls.needs_expert(kind or controls.kind(defect["osn"].rstrip("."), day)):
            raise WrongState("DECISION_EXPERT")
    withheld = _withheld(row, account, defect)
    fine = _fine(profile, controls, row, defect, care)
    if withheld <= 0 and fine <= 0:
        raise WrongState("DECISION_SUM")
    return {
        "register": account["register"],
        "xkey": row["xkey"],
        "payer": account["payer"],
        "kod": defect["kod"],
        "defect": defect["osn"],
        "withheld": withheld,
        "act_no": row["act_no"],
        "act_date": day.isoformat(),
        "expert": row["expert"],
        "kind": kind,
        "fine": fine,
    }


def _withheld(row: Mapping[str, str], account: Mapping[str, Any], defect: Mapping[str, str]) -> int:
    """What is not paid, in kopecks: as it stands, else the share of the code."""
    if (row.get("withheld") or "").strip():
        return kopecks(row["withheld"])
    if not defect["k_no"]:
        raise WrongState("DECISION_SUM")
    return min(share_of(int(account["sumv"]), defect["k_no"]), int(account["sumv"]))


def _fine(profile: Profile, controls: Controls, row: Mapping[str, str], defect: Mapping[str, str], care: date) -> int:
    if (row.get("fine") or "").strip():
        return kopecks(row["fine"])
    known = norm(profile.rules, profile.id, controls.norm, care) if defect["k_sh"] else None
    return share_of(known, defect["k_sh"]) if known is not None else 0


def _in_force(profile: Profile, kind: str, day: date) -> bool:
    return any(one["code"] == kind and defects.in_force(one, day) for one in profile.rules.table(KINDS))
