"""The fund's stage, from inbox to outbox, on planted defects: what was planted is what comes back refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from lxml import etree

from oms_batch.exchange import load_profile
from oms_batch.ruledata import RuleData
from oms_batch.synth.insured import insured_csv
from oms_batch.synth.planting import Plan, plant
from oms_batch.synth.world import Spec
from tests.bench.stage import main

PROFILE = load_profile("yaroslavl", RuleData())
SPEC = Spec(accounts=2000, seed=23)


@pytest.mark.slow
def test_exactly_the_planted_accounts_come_back_refused(tmp_path: Path) -> None:
    planted = plant(PROFILE, SPEC, Plan())
    promise = planted.expected
    data = b"".join(planted.blocks)
    packed, insured = tmp_path / "register.zip", tmp_path / "insured.csv"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bill.xml", data)
    insured.write_bytes(b"".join(insured_csv(PROFILE, SPEC, promise["insured"])))
    home = tmp_path / "fund"
    home.mkdir()

    told = main(home, packed, insured)

    assert told["refused"] == [promise["refused"]["accounts"], int(promise["refused"]["kopecks"])]
    flagged: set[str] = set()
    sent: dict[str, str] = {}
    refused_code = PROFILE.data["pay"]["refused"]
    answers = sorted(path for path in (home / "outbox" / "mo").iterdir() if PROFILE.mask.fullmatch(path.stem))
    for path in answers:
        with zipfile.ZipFile(path) as archive:
            root = etree.fromstring(archive.read("bill.xml"))
        for account in root.iter("personal_account"):
            number = account.get("n_pp") or ""
            sent[f"{number} {account.get('xkey')}"] = path.stem[-1]
            if any(smo.get("pay") == refused_code for smo in account.iter("smo")):
                flagged.add(account.get("xkey") or "")
    rejected = {xkey for xkey, rows in promise["accounts"].items() if any(row["severity"] == "reject" for row in rows)}
    assert flagged == rejected
    accounts = list(etree.fromstring(data).iter("personal_account"))
    assert sorted(sent) == sorted(f"{account.get('n_pp')} {account.get('xkey')}" for account in accounts)
    for account in accounts:
        xkey = account.get("xkey") or ""
        if xkey in promise["accounts"]:
            continue
        polis = account.getparent().getparent().find("polises/polis")  # type: ignore[union-attr]
        assert polis is not None
        own = polis.get("region_oms") == "76"
        payer = next(p for p in PROFILE.payers if (p.ogrn == polis.get("ogrn_smo") if own else p.kind == "fund"))
        assert sent[f"{account.get('n_pp')} {xkey}"] == payer.code
