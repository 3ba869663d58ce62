"""E.4, line 88: five million records are read in linear time and flat memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.dbf import compare, make

pytestmark = pytest.mark.slow
FEW, MANY = 1_000_000, 5_000_000


def test_five_million_records_in_linear_time_and_flat_memory(tmp_path: Path) -> None:
    found = {}
    for records in (FEW, MANY):
        path = tmp_path / str(records) / "register.dbf"
        make(path, records)
        found[records] = compare(path, ("bulk", "parcel"), 1)
        path.unlink()
    for way in ("bulk", "parcel"):
        few, many = found[FEW][way], found[MANY][way]
        assert (few["records"], many["records"]) == (FEW, MANY)
        assert many["kopecks"] == 5 * few["kopecks"] > 0
        assert many["cpu"] < 1.3 * 5 * few["cpu"], (way, few["cpu"], many["cpu"])
        assert many["mb"] < 1.25 * few["mb"] + 30, (way, few["mb"], many["mb"])
    print({records: {way: (round(one["cpu"], 1), round(one["mb"])) for way, one in ways.items()}
           for records, ways in found.items()})  # fmt: skip
