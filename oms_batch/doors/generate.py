"""Synthetic registers on disk: the file to send, the insured that fit it, and what must be found in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from oms_batch import clock
from oms_batch.exchange import Profile, load_profile
from oms_batch.formats import container
from oms_batch.intake import names
from oms_batch.model import Totals, roubles
from oms_batch.store import fsio
from oms_batch.synth.cases import source_csv
from oms_batch.synth.insured import insured_csv, insured_dbf, stop_csv
from oms_batch.synth.parcels import FIRST, Made
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.register import register, sent
from oms_batch.synth.world import Spec, build

MADE = "2018-10-01T00:00:00+03:00"  # the time inside containers: the same order, the same bytes


def run(
    folder: str,
    *,
    accounts: int,
    seed: int | str,
    period: str,
    payers: Mapping[str, int],
    defects: str,
    per_mille: int,
    side: str,
    encoding: str,
    container: str,
    cases: bool,
    dbf: bool,
    profile: str = "yaroslavl",
    kind: str = "",
    version: str = "",
) -> dict[str, Any]:
    """Write the files into ``folder``; gives their paths, and accounts and sum of the register.

    ``kind`` and ``version``: of the file, where a profile has several. ``FileExistsError`` when a file of that name is
    there already.
    """
    dialect = load_profile(profile)
    play = dialect.rules.toml(f"{profile}/demo.toml")
    maker = play.get("maker")
    spec = Spec(
        accounts=accounts,
        seed=seed,
        period=period or (play["period"] if maker else ""),
        payers=payers or (play["payers"] if maker else {}),
        encoding=encoding,
        bystanders=accounts // 2,
        kind=kind,
        version=version,
    )
    if maker:
        planting = {"each": int(defects == "each"), "per_mille": per_mille if defects == "share" else 0, "side": side}
        made_files = FIRST[maker](dialect, spec, planting)
        return _parcels(dialect, spec, folder, made_files, insured=play.get("insured", True), dbf=dbf)
    world = build(dialect, spec)
    root = fsio.absolute(folder)
    fsio.mkdirs(root)
    main = next(line.stage for line in dialect.sends if not line.source)
    name = world.file_name(main, dialect.data["name"]["all_payers"], container)
    named = names.identify(name, dialect)
    made: dict[str, str] = {}
    expected: dict[str, Any] | None = None
    blocks = register(dialect, spec)
    totals = sent(dialect, spec)
    if defects != "none":
        plan = Plan(side=side, each=1) if defects == "each" else Plan(side=side, each=0, per_mille=per_mille)
        planted = plant(dialect, spec, plan)
        blocks, expected = planted.blocks, planted.expected
    made["register"] = _pack(dialect.data, root, named.canonical, blocks)
    changes = expected["insured"] if expected is not None else None
    made["insured"] = _write(f"{root}/insured.csv", insured_csv(dialect, spec, changes))
    if listed := stop_csv(changes):
        made["stopped"] = _write(f"{root}/stop.csv", [listed])
    if dbf:
        made["insured_dbf"] = _write(f"{root}/insured.dbf", insured_dbf(dialect, spec, changes))
    if cases:
        made["cases"] = _write(f"{root}/cases.csv", source_csv(dialect, spec))
    if expected is not None:
        text = json.dumps(expected, ensure_ascii=False, indent=1).encode()
        made["expected"] = _write(f"{root}/expected.json", [text])
        whole = expected.get("register", {})
        totals = Totals(int(whole.get("accounts", totals.accounts)), int(whole.get("kopecks", totals.kopecks)))
    return {"files": made, "accounts": totals.accounts, "sum": roubles(totals.kopecks), "profile": profile}


def _parcels(dialect: Profile, spec: Spec, folder: str, made: Made, *, insured: bool, dbf: bool) -> dict[str, Any]:
    """Files of several members, and what fits them."""
    root = fsio.absolute(folder)
    fsio.mkdirs(root)
    files: dict[str, str] = {}
    for number, parcel in enumerate(made.parcels):
        path = files[f"register_{number + 1}" if number else "register"] = f"{root}/{parcel.name}"
        with ExitStack() as stack:
            members = []
            for place, (name, blocks) in enumerate(parcel.members):
                plain = _write(f"{root}/.{place}.part", blocks)
                stack.callback(fsio.unlink, plain)
                members.append((name, stack.enter_context(fsio.open_read(plain))))
            with fsio.create(path) as out:
                container.pack_members("zip", members, out, clock.parse(MADE))
    if insured:
        files["insured"] = _write(f"{root}/insured.csv", insured_csv(dialect, spec, made.insured))
    if insured and (listed := stop_csv(made.insured)):
        files["stopped"] = _write(f"{root}/stop.csv", [listed])
    if insured and dbf:
        files["insured_dbf"] = _write(f"{root}/insured.dbf", insured_dbf(dialect, spec, made.insured))
    if made.expected is not None:
        text = json.dumps(made.expected, ensure_ascii=False, indent=1).encode()
        files["expected"] = _write(f"{root}/expected.json", [text])
    found: dict[str, Any] = {"files": files, "profile": dialect.id, "planted": made.planted}
    if made.totals is not None:
        found |= {"accounts": made.totals.accounts, "sum": roubles(made.totals.kopecks)}
    return found


def _write(path: str, blocks: Iterable[bytes]) -> str:
    with fsio.create(path) as out:
        for block in blocks:
            out.write(block)
    return path


def _pack(data: dict[str, Any], root: str, name: str, blocks: Iterable[bytes]) -> str:
    plain, path = f"{root}/.{name}.part", f"{root}/{name}"
    _write(plain, blocks)
    kind = data["containers"][name[name.rindex(".") :]]
    with fsio.open_read(plain) as source, fsio.create(path) as out:
        container.pack(kind, data["member"], source, out, when=clock.parse(MADE))
    fsio.unlink(plain)
    return path
