"""Synthetic federal registers on disk: what ``generate`` writes is what the fund finds."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from oms_batch.doors import generate
from oms_batch.exchange import load_profile
from oms_batch.intake import names
from oms_batch.synth.insured import COLUMNS
from tests.federal_judged import judge
from tests.judged import keep_insured, promised

PROFILE = load_profile("federal")
ORDER = {"seed": 3, "payers": {}, "side": "fund", "encoding": "windows-1251", "container": ".zip", "cases": False}


def made(folder: Path, **chosen: object) -> dict[str, object]:
    order = {**ORDER, "accounts": 200, "period": "", "defects": "none", "per_mille": 30, "dbf": False, **chosen}
    return generate.run(str(folder), profile="federal", **order)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "members"),
    [
        ({}, ["HM760001T76_22031.XML", "LM760001T76_22031.XML"]),
        ({"kind": "C"}, ["CM760001T76_22031.XML", "LCM760001T76_22031.XML"]),
        ({"kind": "DO", "period": "2020-08"}, ["DOM760001T76_20081.XML", "LOM760001T76_20081.XML"]),
        ({"version": "3.1", "dbf": True}, ["HM760001T76_22031.XML", "LM760001T76_22031.XML"]),
    ],
)
def test_a_pair_lies_in_one_archive_under_the_main_name(
    chosen: dict[str, object], members: list[str], tmp_path: Path
) -> None:
    found = made(tmp_path / "one", **chosen)
    files = found["files"]
    assert isinstance(files, dict)
    path = Path(files["register"])
    assert path.stem + ".XML" == members[0]
    assert names.identify(path.name, PROFILE).stage == "MT"
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == members
        version = f"<VERSION>{chosen.get('version', '3.2' if chosen == {} else '3.1')}</VERSION>"
        assert version.encode() in archive.read(members[0])
    assert found["accounts"] == 200
    assert sorted(item.name for item in (tmp_path / "one").iterdir()) == sorted(
        Path(one).name for one in files.values()
    )
    again = made(tmp_path / "two", **chosen)["files"]
    assert isinstance(again, dict)
    assert path.read_bytes() == Path(again["register"]).read_bytes()


def test_what_is_expected_is_what_the_fund_finds(tmp_path: Path) -> None:
    found = made(tmp_path, defects="share", per_mille=100)["files"]
    assert isinstance(found, dict)
    promise = json.loads(Path(found["expected"]).read_text("utf-8"))
    lines = Path(found["insured"]).read_text("utf-8").splitlines()
    assert lines[0].split(";") == list(COLUMNS)
    rows = (tuple(line.split(";")) for line in lines[1:])
    path = keep_insured(str(tmp_path / "i.duckdb"), PROFILE, rows, promise["insured"])
    register = Path(found["register"])
    with zipfile.ZipFile(register) as archive:
        main, persons = (archive.read(name) for name in archive.namelist())
    done = judge(PROFILE, (main, persons), register.stem, "fund", path)
    assert done.failed == []
    assert done.accounts == promised(promise)
    assert done.refused == promise["refused"]
    assert done.accounts
