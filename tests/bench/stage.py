"""The fund's stage in a process of its own, through the conductor: ``python -m tests.bench.stage HOME ZIP INSURED``.

Prints one JSON line: seconds of each step, the whole from the file in the inbox to the answers in the outbox, counts.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from oms_batch import conductor, work
from oms_batch.exchange import load_profile
from oms_batch.judge.person import load_spelling
from oms_batch.model import WorkResult
from oms_batch.ruledata import RuleData
from oms_batch.site import open_site
from oms_batch.store import sandbox
from oms_batch.store.insured import import_csv
from oms_batch.synth.world import Spec, build

SETTINGS = """
role = "tfoms"
settle_seconds = 0
zip_level = 1
[own]
ogrn = "{fund.ogrn}"
smo = "{fund.smo}"
letter = "{fund.code}"
[limits]
memory_mb = 2048
workers = 2
[[partner]]
folder = "mo"
role = "mo"
ogrn = "{ogrn}"
kpp = "{kpp}"
"""


def main(home: Path, packed: Path, insured: Path) -> dict[str, Any]:
    """Make a fund's home, put the register into its inbox, sweep once."""
    profile = load_profile("yaroslavl", RuleData())
    world = build(profile, Spec(accounts=0))
    text = SETTINGS.format(fund=world.fund, ogrn=world.ogrn_mo, kpp=world.kpp_mo)
    (home / "oms-batch.toml").write_text(text, encoding="utf-8")
    told: dict[str, float] = {}
    _listen(told)
    with open_site(str(home)) as site:
        key = load_spelling(profile.rules, profile.id).number("fam", "im", "ot", "dr")
        import_csv(site.home.insured, insured, key)
        stage = str(profile.data["deadline"]["stage"])
        everyone = str(profile.data["name"]["all_payers"])
        shutil.copy(packed, home / "inbox" / "mo" / world.file_name(stage, everyone, ".zip"))
        settling = conductor.settling_of(site)
        used = time.process_time()
        started = time.perf_counter()
        handled: list[work.Handled] = []
        for _ in range(3):  # a file counts as whole when two looks agree
            handled += conductor.sweep(site, settling)
            if handled:
                break
        told["whole"] = time.perf_counter() - started
    if [one.outcome for one in handled] != ["answered"]:
        raise SystemExit(f"not answered: {[(one.outcome, one.code, one.notes) for one in handled]}")
    refused = handled[0].refused
    rules = {step.removeprefix("rule "): told.pop(step) for step in list(told) if step.startswith("rule ")}
    return {"seconds": told, "rules": rules, "before_cpu": used, "refused": [refused.accounts, refused.kopecks]}


def _listen(told: dict[str, float]) -> None:
    """Hear what the child says of its steps, and time the commit."""
    run, commit = sandbox.run, work._commit

    def heard(*args: Any) -> dict[str, Any]:
        started = time.perf_counter()
        outcome: dict[str, Any] = run(*args)
        steps = WorkResult.from_json(outcome).seconds
        told.update(steps)
        whole = sum(seconds for step, seconds in steps.items() if not step.startswith("rule "))
        told["child"] = time.perf_counter() - started - whole
        return outcome

    def timed(*args: Any) -> Any:
        started = time.perf_counter()
        handled = commit(*args)
        told["commit"] = time.perf_counter() - started
        return handled

    setattr(sandbox, "run", heard)  # noqa: B010
    setattr(work, "_commit", timed)  # noqa: B010


if __name__ == "__main__":
    print(json.dumps(main(*(Path(argument) for argument in sys.argv[1:4]))))
