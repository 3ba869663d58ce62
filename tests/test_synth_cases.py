"""Source cases and experts' decisions of the generator: the desk reads from them the very accounts of the register."""

from __future__ import annotations

import csv
import io

from lxml import etree

from oms_batch.desk.source_csv import Reading, read_csv
from oms_batch.desk.sources import Problems
from oms_batch.desk.wire import load_wire
from oms_batch.exchange import load_profile
from oms_batch.ruledata import RuleData
from oms_batch.synth.cases import DECISIONS, experts_csv, source_csv
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec

PROFILE = load_profile("yaroslavl", RuleData())


def flat(element: etree._Element) -> list[tuple[str, dict[str, str]]]:
    return [(str(one.tag), {str(k): str(v) for k, v in one.attrib.items()}) for one in element.iter()]


def test_the_desk_builds_from_source_cases_the_accounts_of_the_register() -> None:
    spec = Spec(accounts=120, seed=3)
    source = io.BytesIO(b"".join(source_csv(PROFILE, spec)))
    problems = Problems()
    parts = list(read_csv(source, "cases.csv", Reading(load_wire(PROFILE), {}, "1", "cp1251"), problems))
    assert problems.rows == []
    built = [etree.fromstring(account.data.decode("cp1251")) for part in parts for account in part.accounts]
    wanted = list(etree.fromstring(b"".join(register(PROFILE, spec))).iter("personal_account"))
    assert [flat(one) for one in built] == [flat(one) for one in wanted]


def test_decisions_withhold_no_more_than_was_accepted() -> None:
    accepted = [(f"key-{number}", 10000 + number) for number in range(2000)]
    data = b"".join(experts_csv(accepted, ["101", "205"], "2026-12-01", per_mille=100)).decode()
    rows = list(csv.DictReader(io.StringIO(data), delimiter=";"))
    assert list(rows[0]) == list(DECISIONS)
    assert 120 < len(rows) < 280
    sums = dict(accepted)
    for row in rows:
        assert 0 < int(row["withheld"].replace(".", "")) <= sums[row["xkey"]]
    assert {row["kod"] for row in rows} == {"101", "205"}
    assert b"".join(experts_csv(accepted, ["101", "205"], "2026-12-01", per_mille=100)).decode() == data
