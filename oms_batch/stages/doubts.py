"""Who fits an insured person partly: written down by the child that judges, put into the queue by its parent.

The ledger keeps a hash of the two and codes. What a person needs to decide, names and dates of both sides, lies in a
file of its own in ``cases/`` of the home and nowhere else.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from oms_batch import clock
from oms_batch.deadlines import add_working_days
from oms_batch.exchange import Profile
from oms_batch.model import last_day
from oms_batch.stages.workbench import Bench, key_of
from oms_batch.store import fsio

if TYPE_CHECKING:
    from oms_batch.store import queue
    from oms_batch.store.engine import Ledger

FILE = "doubts.jsonl"
ASKED = ("fam", "im", "ot", "dr", "w", "snils", "vpolis", "spolis", "npolis")
RIGHT = ("fam", "im", "ot", "dr", "w", "vpolis", "spolis", "npolis", "smo", "date_from", "date_to")


def write(bench: Bench) -> int:
    """The questions of a register into ``FILE`` of its scratch folder, one JSON line each; gives their number."""
    if not bench.con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'doubts'").fetchall():
        return 0
    asked = ", ".join(f"min(CAST(p.{name} AS VARCHAR)) AS {name}" for name in ASKED)
    right = ", ".join(f"min(CAST(d.{name}_right AS VARCHAR)) AS {name}_right" for name in RIGHT)
    found = bench.con.execute(
        f"""SELECT d.pair, min(d.step) AS step, min(d.differs) AS differs, min({key_of("z")}) AS xkey,
          COALESCE(min(b.code), '') AS payer, {asked}, {right}
        FROM doubts d JOIN pers p ON p.n = d.pers_n JOIN z_sl z ON z.pers_n = d.pers_n
        LEFT JOIN book_payers b ON b.smo = d.smo_right AND z.date_z_2 >= b.live_from AND z.date_z_2 <= b.live_to
        GROUP BY d.pair ORDER BY xkey, d.pair"""
    )
    names = [column[0] for column in found.description or []]
    named, count = bench.named, 0
    about = {"register": named.register, "period": named.period, "mo": named.mo}
    with fsio.create(f"{bench.order.scratch}/{FILE}") as out:
        while rows := found.fetchmany(4096):
            for row in rows:
                line = json.dumps({**about, **dict(zip(names, row, strict=True))}, ensure_ascii=False)
                out.write(f"{line}\n".encode())
            count += len(rows)
    return count


def take(ledger: Ledger, profile: Profile, home: str, scratch: str, author: str = "program") -> list[queue.Asked]:
    """Put what ``write`` left in ``scratch`` into the queue and lay the cases; to do it twice changes nothing."""
    from oms_batch.store import queue  # the parent's: a child that judges has no ledger, and need not load one

    path = f"{scratch}/{FILE}"
    if not fsio.exists(path):
        return []
    questions = [json.loads(line) for line in fsio.read_bytes(path).splitlines()]
    due = terms(profile)["due"].isoformat()
    for one in questions:
        one |= {"due": due, "agree_by": agree_by(profile, one["period"]).isoformat()}
    asked = queue.ask(ledger, questions, author)
    fsio.mkdirs(f"{home}/cases")
    for one, made in zip(questions, asked, strict=True):
        if not fsio.exists(case_of(home, made.id)):
            fsio.write_bytes_durable(case_of(home, made.id), _case(made.id, one))
    return asked


def case_of(home: str, number: int) -> str:
    """Where the two sides of a question lie, for the person who decides."""
    return f"{home}/cases/{number:06d}.json"


def _case(number: int, one: dict[str, Any]) -> bytes:
    told = {
        "question": number,
        **{name: one[name] for name in ("register", "xkey", "mo", "payer", "step")},
        "differs": one["differs"].split(),
        "asked": {name: one[name] for name in ASKED},
        "insured": {name: one[f"{name}_right"] for name in RIGHT},
    }
    return (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()


def terms(profile: Profile) -> dict[str, date]:
    """Until when a question of today is to be answered, and an appeal of today to be heard (``[doubt]``)."""
    data, today = profile.rules.toml(f"{profile.id}/identification.toml").get("doubt", {}), clock.today()
    return {
        "due": add_working_days(profile, today, int(data.get("answer_working_days", 1))),
        "appeal": today + timedelta(days=int(data.get("appeal_days", 14))),
    }


def agree_by(profile: Profile, period: str) -> date:
    """Until when the payer is to be told: a day of the month after the register's."""
    day = int(profile.rules.toml(f"{profile.id}/identification.toml").get("doubt", {}).get("agree_by_day", 5))
    return last_day(period) + timedelta(days=day)
