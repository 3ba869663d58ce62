"""Every DBF file that the program writes is read alike by dbfread, by pyshp and by ourselves."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from oms_batch.formats.dbf_gate import check
from oms_batch.synth import krasnodar, moscow
from oms_batch.synth.moscow_files import members
from oms_batch.synth.world import Spec
from tests import krasnodar_tools, moscow_tools
from tests.dbf_readers import agree
from tests.test_krasnodar_request import request


def same(files: dict[str, bytes], folder: Path) -> int:
    """How many records the tables among these files hold, which three readers read alike."""
    found = 0
    for name, data in files.items():
        if data[:1] == b"\x03":
            rows = agree(data, check(io.BytesIO(data)).encoding, folder)
            assert len(rows) == check(io.BytesIO(data)).records, name
            found += len(rows)
    return found


def test_archives_of_krasnodar_their_answers_and_requests(tmp_path: Path) -> None:
    spec = Spec(accounts=30, seed=11, payers={"2301": 1})
    name, data = krasnodar_tools.packed(spec, krasnodar.archives(krasnodar_tools.PROFILE, spec)["2301"])
    judged = krasnodar_tools.judge(name, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sent = {one: archive.read(one) for one in archive.namelist()}
    judged.con.execute("UPDATE verdicts SET refused = TRUE WHERE z_sl_n % 3 = 0")
    answered, _ = krasnodar_tools.answer(judged)
    assert same(sent, tmp_path) == same(answered, tmp_path) > 30
    refused, _ = krasnodar_tools.answer(judged, "v.refused")
    assert 0 < same(refused, tmp_path) < same(sent, tmp_path)
    assert same(request(), tmp_path) > 30


@pytest.mark.parametrize("stage", ["CTRL", "ME", "Y"])
def test_parcels_of_moscow_and_their_answers(tmp_path: Path, stage: str) -> None:
    order = moscow.Order(services=40, each=1)
    judged = moscow_tools.judged(order)
    judged.con.execute("UPDATE verdicts SET defect = osn")  # as the stage of experts has it
    sent = dict(members(moscow_tools.PROFILE, judged.made))
    assert same(sent, tmp_path) > 80
    assert same(moscow_tools.answer(judged, stage)[1], tmp_path) >= 0
