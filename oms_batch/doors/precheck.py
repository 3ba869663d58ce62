"""``check``: one file judged without any effect, at a participant's home or without one."""

from __future__ import annotations

from typing import Any

from oms_batch import clock, i18n
from oms_batch.errors import Refusal, refuse
from oms_batch.exchange import Hop, Profile, load_profile, shipped
from oms_batch.i18n import pick
from oms_batch.intake import names
from oms_batch.model import WorkOrder
from oms_batch.problems import problem_row
from oms_batch.site import Site
from oms_batch.store import facts, fsio, queue, sandbox

NOBODY = {"ogrn": "", "kpp": "", "letter": "", "smo": "", "name": ""}


def check(site: Site | None, file: str) -> dict[str, Any]:
    """The document of ``check --json``. A file that cannot be read gives status ``refused`` and its problems.

    The rules are those of the receiver of such a file; at a home its insured, its facts and its own rules count.
    """
    profile = site.profile if site else fitting(fsio.basename(file))
    try:
        with fsio.scratch_folder() as scratch:
            order = _order(site, profile, fsio.absolute(file), scratch)
            limits = site.settings.limits.isolate if site else False
            return sandbox.run("oms_batch.stages.precheck:work", order.as_json(), sandbox.Limits(isolate=limits))
    except Refusal as refusal:
        return _refused(profile, fsio.basename(file), refusal)


def fitting(name: str) -> Profile:
    """Without a home: the first profile that knows such a name; else the usual one, to say what is wrong."""
    for one in shipped():
        profile = load_profile(one)
        try:
            names.identify(name, profile)
        except (Refusal, names.Ignored):
            continue
        return profile
    return load_profile()


def _order(site: Site | None, profile: Profile, file: str, scratch: str) -> WorkOrder:
    named = names.identify(fsio.basename(file), profile)
    line = _receiving(profile, named.stage)
    insured = str(site.home.insured) if site and fsio.exists(site.home.insured) else ""
    sha256, size = fsio.hash_file(file)
    fsio.mkdirs(f"{scratch}/box")
    return WorkOrder(
        handler="precheck",
        home=scratch,
        profile=profile.id,
        role=site.settings.role if site else "",
        own=site.settings.own.model_dump() if site else NOBODY,
        named=named,
        source=file,
        sha256=sha256,
        size=size,
        box=f"{scratch}/box",
        scratch=scratch,
        received_at=clock.now().isoformat(),
        lang=i18n.language(),
        facts=facts.listed(site.home.archive, facts.periods(site.home.archive)) if site else [],
        limits=site.settings.limits.model_dump() if site else {},
        options={
            "hop": {"stage": line.stage, "sender": line.sender, "receiver": line.receiver},
            "overlay": site.overlay if site else "",
            "insured": insured,
            "decided": queue.export_decided(site.ledger, f"{scratch}/decided.parquet") if insured and site else "",
            "without_insured": not insured,
            "job": 0,
        },
    )


def _receiving(profile: Profile, stage: str) -> Hop:
    """The line whose receiver judges a file of this stage."""
    lines = [line for line in profile.hops if line.stage == stage]
    found = next((line for line in lines if line.emits), lines[0] if lines else None)
    if found is None:
        raise refuse("ROLE_STAGE", stage)
    return found


def _refused(profile: Profile, name: str, refusal: Refusal) -> dict[str, Any]:
    """A file that cannot be judged at all: every problem is a finding of the register."""
    findings = []
    for problem in refusal.problems:
        row = problem_row(problem, profile.rules)
        findings.append(
            {
                "code": problem.code,
                "official": [],
                "defect": "",
                "severity": "reject",
                "account": "",
                "element": problem.place,
                "value": problem.found,
                "line": 0,
                "message": pick(row["title"], row["title_en"]),
            }
        )
    return {
        "file": name,
        "profile": profile.id,
        "stage": "",
        "status": "refused",
        "accounts": 0,
        "sum": "0.00",
        "refused_accounts": 0,
        "refused_sum": "0.00",
        "findings": findings,
        "plan": [],
        "rulebook": "",
    }
