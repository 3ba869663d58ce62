"""``request`` and ``persons``: who is insured where, asked before billing and looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oms_batch import clock, i18n
from oms_batch.errors import WrongState
from oms_batch.exchange import Profile
from oms_batch.intake import names
from oms_batch.model import NamedFile, WorkOrder
from oms_batch.site import Site
from oms_batch.store import fsio, queue, sandbox


def request(site: Site, files: Sequence[str]) -> list[dict[str, Any]]:
    """Write a request about the persons of these registers into the operator's outbox, one for each month.

    Gives ``path``, ``persons``. ``Refusal`` when a register cannot be read; ``WrongState`` ROLE_STAGE where the
    exchange has no such request.
    """
    stage = _stage(site.profile)
    groups: dict[str, tuple[NamedFile, list[tuple[str, str]]]] = {}
    for file in files:
        named = names.identify(fsio.basename(file), site.profile)
        asked = names.build(stage, named.parts, named.extension, site.profile)
        groups.setdefault(asked.canonical, (asked, []))[1].append((named.name, fsio.absolute(file)))
    return [_run(site, asked, listed[0][1], "ask", {"files": listed}) for asked, listed in groups.values()]


def persons(site: Site, file: str) -> dict[str, Any]:
    """Look up the persons of a request or a register among our insured; the table goes into the operator's outbox."""
    named = names.identify(fsio.basename(file), site.profile)
    insured = str(site.home.insured) if fsio.exists(site.home.insured) else ""
    return _run(site, named, fsio.absolute(file), "tell", {"insured": insured})


def _stage(profile: Profile) -> str:
    stage = str(profile.data.get("request", {}).get("stage", ""))
    if not stage:
        raise WrongState("ROLE_STAGE", profile.id)
    return stage


def _run(site: Site, named: NamedFile, source: str, handler: str, options: dict[str, Any]) -> dict[str, Any]:
    """One child reads the files; what it wrote is put into ``outbox/`` whole."""
    with fsio.scratch_folder(str(site.home.tmp)) as scratch:
        fsio.mkdirs(f"{scratch}/box")
        sha256, size = fsio.hash_file(source)
        order = WorkOrder(
            handler=handler,
            home=str(site.home.root),
            profile=site.profile.id,
            role=site.settings.role,
            own=site.settings.own.model_dump(),
            named=named,
            source=source,
            sha256=sha256,
            size=size,
            box=f"{scratch}/box",
            scratch=scratch,
            received_at=clock.now().isoformat(),
            lang=i18n.language(),
            limits=site.settings.limits.model_dump(),
            options={
                "overlay": site.overlay,
                "decided": queue.export_decided(site.ledger, f"{scratch}/decided.parquet"),
                **options,
            },
        )
        most = site.settings.limits
        limits = sandbox.Limits(most.memory_mb, most.cpu_seconds, most.wall_seconds, most.isolate)
        done = sandbox.run(f"oms_batch.stages.persons:{handler}", order.as_json(), limits)
        path = f"{site.home.outbox}/{fsio.basename(done['path'])}"
        fsio.write_bytes_durable(path, fsio.read_bytes(done["path"]))
    return {**done, "path": path}
