"""Archives with anything at all in their fields: every rule decides, every answer is written and read again."""

from __future__ import annotations

import io
from functools import cache
from random import Random

import pytest

from oms_batch.errors import Refusal
from oms_batch.formats import dbf_write
from oms_batch.formats.dbf_gate import check
from oms_batch.synth.krasnodar import archives
from oms_batch.synth.world import Spec
from tests.krasnodar_tools import PROFILE, answer, judge, packed, read, zipped

SPEC = Spec(accounts=40, seed=3, payers={"2301": 1})
NAME = "23010700126101.zip"
MARKS = {"PV", "DVOZVRAT", "VS"}
KEYS = {"CODE_MO", "NS", "SN", "PL_OGRN", "DATS"}  # a change of these refuses the archive as a whole
SIGNS = "0123456789 .-/АЯаяёЁ№XYZxyz'"


@cache
def members() -> dict[str, bytes]:
    _name, data = packed(SPEC, archives(PROFILE, SPEC)["2301"])
    _con, _named, found = read(NAME, data)
    return found


def spoiled(seed: int, spare: set[str]) -> dict[str, bytes]:
    """The archive with some fields of some records overwritten, by signs that may stand there or by any."""
    draw, found = Random(seed), {}
    for role, data in members().items():
        raw, table = bytearray(data), check(io.BytesIO(data))
        places = [(one, at) for one, at in zip(table.columns, table.offsets, strict=True) if one.name not in spare]
        for _ in range(draw.randrange(1, 30)):
            column, at = draw.choice(places)
            start = table.header + draw.randrange(table.records) * table.record + at
            kind = draw.random()
            if kind < 0.3:
                text = " " * column.size
            elif kind < 0.6 and column.type != "C":
                text = "".join(draw.choice("0123456789") for _ in range(column.size))
            else:
                text = "".join(draw.choice(SIGNS) for _ in range(column.size))
            raw[start : start + column.size] = text.encode("cp866")
        found[f"{role}07001.DBF"] = bytes(raw)
    return found


def digests(found: dict[str, bytes]) -> dict[str, str]:
    con, _named, _members = read(NAME, zipped(found))
    return dict(con.execute("SELECT xkey, digest FROM z_sl").fetchall())


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.slow] if n > 0 else []) for n in range(40)])
def test_every_rule_decides_and_the_answer_can_be_read(seed: int) -> None:
    found = spoiled(seed, KEYS)
    state = judge(NAME, zipped(found))
    assert {row.outcome for row in state.plan} <= {"passed", "found", "skipped"}
    made, part = answer(state)
    again, _named, _members = read(f"V{NAME}", zipped(made))
    refused = state.rows("SELECT count(*) FROM verdicts WHERE refused")[0][0]
    assert part.accounts == 40 and refused > 0
    told = again.execute("SELECT count(*) FROM z_sl WHERE pay = '4' AND pv <> '' AND dvozvrat IS NOT NULL").fetchall()
    assert told == [(refused,)]
    assert digests({name: made[name] for name in found}) == digests(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_keys_that_are_spoiled_too_are_refused_or_decided(seed: int) -> None:
    found = spoiled(seed, set())
    try:
        state = judge(NAME, zipped(found))
    except Refusal:
        return
    assert {row.outcome for row in state.plan} <= {"passed", "found", "skipped"}


@pytest.mark.parametrize("role", ["P", "U"])
def test_the_digest_sees_every_field_but_the_marks(role: str) -> None:
    whole = {f"{one}07001.DBF": data for one, data in members().items()}
    con, _named, _members = read(NAME, zipped(whole))
    owner = "SELECT line, z_sl_n FROM usl" if role == "U" else "SELECT line, n FROM z_sl"
    # the first record of each account, so that one change is one account
    owned = {account: line for line, account in sorted(con.execute(owner).fetchall(), reverse=True)}
    before, keys = digests(whole), dict(con.execute("SELECT n, xkey FROM z_sl").fetchall())
    columns = [one for one in check(io.BytesIO(members()[role])).columns if one.name not in KEYS]
    for start in range(0, len(columns), len(owned)):
        part = dict(zip(sorted(owned), columns[start : start + len(owned)], strict=False))
        changes = {owned[n]: {one.name: "7" if one.type in "CN" else "2001-02-03"} for n, one in part.items()}
        out = io.BytesIO()
        dbf_write.rewrite(io.BytesIO(members()[role]), out, changes)
        after = digests({**whole, f"{role}07001.DBF": out.getvalue()})
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {keys[n] for n, one in part.items() if one.name not in MARKS}
