"""``convert`` between versions: what goes over keeps every character, what does not is told, nothing is made up."""

from __future__ import annotations

import io
import json
import os
import re
import time
import zipfile
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from lxml import etree

from oms_batch.cli.main import program
from oms_batch.doors import convert
from oms_batch.errors import Refusal, WrongState
from oms_batch.exchange import load_profile
from oms_batch.formats import canon, container, federal_xml
from oms_batch.intake import names
from oms_batch.synth import federal
from oms_batch.synth.world import Spec

PROFILE = load_profile("federal")
WHEN = datetime(2022, 4, 5, tzinfo=timezone.utc)
STEM = "HM760001T76_22031"


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    container.pack_members("zip", [(name, io.BytesIO(data)) for name, data in members.items()], out, WHEN)
    return out.getvalue()


def documents(spec: Spec) -> tuple[str, dict[str, bytes]]:
    made = federal.register(PROFILE, spec)
    return made.name, {f"{made.name}.XML": b"".join(made.main), f"{made.persons_name}.XML": b"".join(made.persons)}


def text_of(root: etree._Element) -> bytes:
    made = etree.tostring(root, xml_declaration=True, encoding="windows-1251")
    assert isinstance(made, bytes)
    return made


def one(root: etree._Element, path: str) -> etree._Element:
    found = root.find(path)
    assert found is not None
    return found


def put(folder: Path, spec: Spec | None = None) -> Path:
    name, members = documents(spec or Spec(accounts=40, seed=5, period="2022-03"))
    path = folder / f"{name}.zip"
    path.write_bytes(zipped(members))
    return path


def to(path: Path, version: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    report = convert.run(PROFILE, str(path), version, str(folder))
    return Path(report["written"]), report


def inside(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {one: archive.read(one) for one in archive.namelist()}


def main_of(path: Path) -> etree._Element:
    return etree.fromstring(next(data for name, data in inside(path).items() if name.startswith("H")))


def told(report: dict[str, Any]) -> dict[str, int]:
    return {one["element"]: one["values"] for one in report["no_place"]}


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Canonical tables of a pair, places in the document aside."""
    con = duckdb.connect(":memory:")
    streams = {
        "main" if name.startswith("H") else "persons": io.BytesIO(data) for name, data in sorted(inside(path).items())
    }
    federal_xml.read_members(streams, {"main": "H:from_mo", "persons": "L:from_mo"}, PROFILE, con)
    canon.apply(con, PROFILE.rules, PROFILE.id, names.identify(path.name, PROFILE))
    found = {}
    for table in ("register", "pers", "z_sl", "sl", "usl", "ds"):
        columns = [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall()]
        kept = [one for one in columns if not re.fullmatch(r"line|byte_.*|digest|version", one)]
        found[table] = con.execute(f"SELECT {', '.join(kept)} FROM {table} ORDER BY n").fetchall()
    assert con.execute("SELECT count(*) FROM findings").fetchone() == (0,)
    return found


def published(*parts: str) -> Path:
    root = os.environ.get("OMS_REFERENCE_DATA", "")
    path = Path(root, *parts)
    if not root or not path.exists():
        pytest.skip("OMS_REFERENCE_DATA: the published samples and schemas are not here")
    return path


@pytest.mark.parametrize("name", ["H_VALID.XML"])
def test_a_published_sample_of_3_1_becomes_valid_3_2_or_says_what_is_lacking(name: str, tmp_path: Path) -> None:
    sample = published("samples", "federal", name)
    schema = etree.XMLSchema(etree.parse(published("xsd", "from_mo", "H_3.2.xsd")))
    source = tmp_path / "HM760001T76_22031.xml"
    source.write_bytes(sample.read_bytes())
    version = etree.fromstring(sample.read_bytes()).findtext("ZGLV/VERSION")
    made, report = to(source, "3.2" if version == "3.1" else "3.1", tmp_path / "out")
    document = etree.fromstring(made.read_bytes())
    if version == "3.1":
        schema.validate(document)
        by_schema = {error.line for error in schema.error_log}  # type: ignore[attr-defined]
        assert bool(by_schema) == bool(report["broken_total"]), "what we tell is what the schema tells"
    assert report["records"] == len(etree.fromstring(sample.read_bytes()).findall("ZAP"))
    money = [one.text for one in etree.fromstring(sample.read_bytes()).iter("SUMV")]
    assert [one.text for one in document.iter("SUMV")] == money


@pytest.mark.parametrize(("period", "old", "new"), [("2021-05", "3.1", "3.2"), ("2022-03", "3.2", "3.1")])
def test_synthetic_registers_are_valid_by_the_schema_of_the_other_version(
    period: str, old: str, new: str, tmp_path: Path
) -> None:
    schema = etree.XMLSchema(etree.parse(published("xsd", "from_mo", f"H_{new}.xsd")))
    made, report = to(put(tmp_path, Spec(accounts=60, seed=3, period=period)), new, tmp_path / "out")
    document = main_of(made)
    assert schema.validate(document), schema.error_log
    assert document.findtext("ZGLV/VERSION") == new != old
    assert report["broken_total"] == 0 and report["fill_in"] == []


def test_there_and_back_gives_the_same_canonical_rows(tmp_path: Path) -> None:
    source = put(tmp_path)
    older, report = to(source, "3.1", tmp_path / "a")
    again, back = to(older, "3.2", tmp_path / "b")
    before, after = rows(source), rows(again)
    columns = 0
    for table in ("register", "z_sl", "sl", "usl", "ds"):
        assert after[table] == before[table], table
        columns += len(before[table][0])
    assert columns > 100
    lost = {one.rpartition("/")[2].lower() for one in told(report)}
    assert lost == {"docdate", "docorg", "mr_n"}, "all that 3.1 has no place for"
    assert len(after["pers"]) == len(before["pers"])
    different = [
        sum(x != y for x, y in zip(a, b, strict=True)) for a, b in zip(after["pers"], before["pers"], strict=True)
    ]
    assert max(different) == 3, "docdate and docorg are gone, NPOLIS of 3.1 stays beside ENP"
    assert back["no_place"] == [] and back["broken_total"] == 0


def test_money_and_encoding_stay_to_the_character(tmp_path: Path) -> None:
    for encoding in ("windows-1251", "utf-8"):
        folder = tmp_path / encoding
        folder.mkdir()
        source = put(folder, Spec(accounts=30, seed=8, period="2022-03", encoding=encoding))
        changed = {
            name: data.replace(b"<SUMV>", b"<SUMV>0").replace(
                "Панфилов".encode(encoding), "Ә&amp;ё".encode(encoding, "xmlcharrefreplace")
            )
            for name, data in inside(source).items()
        }
        source.write_bytes(zipped(changed))
        made, _ = to(source, "3.1", folder / "out")
        for name, data in inside(made).items():
            old = etree.fromstring(changed[name])
            new = etree.fromstring(data)
            assert data.startswith(f'<?xml version="1.0" encoding="{encoding}"?>'.encode())
            for tag in ("SUMV", "SUM_M", "SUMV_USL", "TARIF", "SUMMAV", "KOL_USL", "FAM", "DR", "IDCASE"):
                assert [one.text for one in new.iter(tag)] == [one.text for one in old.iter(tag)], tag


def test_version_2_1_has_one_case_and_tells_what_it_cannot_hold(tmp_path: Path) -> None:
    source = put(tmp_path)
    made, report = to(source, "2.1", tmp_path / "out")
    old, new = main_of(source), main_of(made)
    assert new.findtext("ZGLV/VERSION") == "2.1"
    assert len(new.findall("ZAP/SLUCH")) == len(old.findall("ZAP/Z_SL")) == report["records"]
    for tag in ("IDCASE", "SUMV", "DATE_Z_1"):
        assert [one.findtext(tag.replace("DATE_Z_1", "DATE_1")) for one in new.findall("ZAP/SLUCH")] == [
            one.findtext(tag) for one in old.findall("ZAP/Z_SL")
        ]
    lost = told(report)
    ksg = len(old.findall("ZAP/Z_SL/SL/KSG_KPG/N_KSG"))
    assert ksg and lost["ZL_LIST/ZAP/Z_SL/SL/KSG_KPG/N_KSG"] == ksg
    assert lost["ZL_LIST/ZAP/Z_SL/SL/P_CEL"] == len(old.findall("ZAP/Z_SL/SL/P_CEL"))
    assert new.find("ZAP/SLUCH/P_CEL") is None and not list(new.iter("N_KSG"))


def test_every_case_of_2_1_gets_a_record_of_its_own(tmp_path: Path) -> None:
    older, _ = to(put(tmp_path), "2.1", tmp_path / "a")
    members = inside(older)
    name = f"{STEM}.XML"
    root = etree.fromstring(members[name])
    first, second = root.findall("ZAP")[:2]
    first.append(one(second, "SLUCH"))
    root.remove(second)
    members[name] = text_of(root)
    joined = tmp_path / "b" / older.name
    joined.parent.mkdir()
    joined.write_bytes(zipped(members))
    made, report = to(joined, "3.2", tmp_path / "c")
    new = main_of(made)
    assert report["records"] == 40 == len(new.findall("ZAP"))
    assert all(len(one.findall("Z_SL")) == 1 == len(one.findall("Z_SL/SL")) for one in new.findall("ZAP"))
    assert [one.findtext("N_ZAP") for one in new.findall("ZAP")] == [str(n) for n in range(1, 41)]
    assert [one.text for one in new.iter("IDCASE")] == [one.text for one in root.iter("IDCASE")]
    pair = [one.findtext("PACIENT/ID_PAC") for one in new.findall("ZAP")[:2]]
    assert pair == [first.findtext("PACIENT/ID_PAC")] * 2, "the person of the record stays with each of its cases"


def test_what_is_required_and_missing_is_told_by_account_and_not_made_up(tmp_path: Path) -> None:
    source = put(tmp_path)
    members = inside(source)
    name = f"{STEM}.XML"
    root = etree.fromstring(members[name])
    for place, above, tag in ((0, "Z_SL", "RSLT"), (2, "Z_SL", "RSLT"), (2, "Z_SL/SL", "DS1")):
        holder = one(root.findall("ZAP")[place], above)
        holder.remove(one(holder, tag))
    members[name] = text_of(root)
    source.write_bytes(zipped(members))
    made, report = to(source, "3.1", tmp_path / "out")
    numbers = [one.findtext("Z_SL/IDCASE") for one in root.findall("ZAP")]
    broken = {one["account"]: {problem["element"] for problem in one["problems"]} for one in report["broken"]}
    assert broken == {
        numbers[0]: {"ZL_LIST/ZAP/Z_SL/RSLT"},
        numbers[2]: {"ZL_LIST/ZAP/Z_SL/RSLT", "ZL_LIST/ZAP/Z_SL/SL/DS1"},
    }
    assert report["broken_total"] == 2
    wanting = {one["element"]: one["records"] for one in report["fill_in"]}
    assert wanting == {"ZL_LIST/ZAP/Z_SL/RSLT": 2, "ZL_LIST/ZAP/Z_SL/SL/DS1": 1}
    new = main_of(made)
    assert len(new.findall("ZAP/Z_SL/RSLT")) == 38 and len(new.findall("ZAP/Z_SL/SL/DS1")) == 39


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    source = put(tmp_path)
    before = source.read_bytes()
    with pytest.raises(WrongState) as caught:
        to(source, "3.1", tmp_path)
    assert caught.value.code == "FILE_EXISTS" and source.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize("version", ["9.9", "3", "nowhere", "federal", "krasnodar", "../x"])
def test_an_unknown_version_is_refused_and_writes_nothing(version: str, tmp_path: Path) -> None:
    source = put(tmp_path)
    done = CliRunner().invoke(program, ["convert", str(source), "--to", version, "--out", str(tmp_path / "out")])
    assert done.exit_code == 3, done.output
    assert not (tmp_path / "out").exists()
    with pytest.raises(WrongState, match="CONVERT"):
        to(source, version, tmp_path / "out")


def test_later_versions_say_that_their_types_are_not_confirmed(tmp_path: Path) -> None:
    source = put(tmp_path)
    made, report = to(source, "6.0", tmp_path / "out")
    assert report["types_confirmed"] is False
    assert main_of(made).findtext("ZGLV/VERSION") == "6.0"
    assert to(source, "3.1", tmp_path / "a")[1]["types_confirmed"] is True
    words = ["convert", str(source), "--to", "5.0", "--out", str(tmp_path / "b")]
    done = CliRunner().invoke(program, words)
    assert "5.0" in done.output.splitlines()[1], done.output


def test_a_bare_document_of_each_half_is_converted_alone(tmp_path: Path) -> None:
    for name, data in inside(put(tmp_path)).items():
        source = tmp_path / name.replace(".XML", ".xml")
        source.write_bytes(data)
        made, report = to(source, "3.1", tmp_path / "out")
        new = etree.fromstring(made.read_bytes())
        assert made.name == source.name and new.findtext("ZGLV/VERSION") == "3.1"
        assert report["records"] == len(new.findall("ZAP"))


def test_the_report_is_one_json_document(tmp_path: Path) -> None:
    source = put(tmp_path)
    done = CliRunner().invoke(
        program, ["--json", "convert", str(source), "--to", "3.1", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 1, "there is something without a place"
    report = json.loads(done.output)
    assert set(report) == {
        "file", "to", "written", "records", "types_confirmed", "no_place", "fill_in", "broken", "broken_total",
    }  # fmt: skip
    assert report["records"] == 40 and Path(report["written"]).exists()


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    source = tmp_path / f"{STEM}.xml"
    source.write_bytes(b'<?xml version="1.0" encoding="windows-1251"?><ZL_LIST><ZGLV><VERSION>3.2</VERSION></ZGLV>')
    with pytest.raises(Refusal):
        to(source, "3.1", tmp_path / "out")
    bomb = b'<?xml version="1.0" encoding="utf-8"?><!DOCTYPE x [<!ENTITY a "b">]><ZL_LIST/>'
    source.write_bytes(bomb)
    with pytest.raises(Refusal, match="XML_DTD"):
        to(source, "3.1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["C", "T", "DO"])
def test_other_kinds_of_registers_say_which_versions_they_have(kind: str, tmp_path: Path) -> None:
    source = put(tmp_path, Spec(accounts=20, seed=5, period="2022-03", kind=kind))
    made, report = to(source, "6.0", tmp_path / "out")
    assert report["records"] == 20 and not report["types_confirmed"] and made.exists()
    assert Counter(one["element"] for one in report["fill_in"]) == Counter()


@pytest.mark.slow
def test_time_grows_with_the_number_of_accounts_and_no_faster(tmp_path: Path) -> None:
    spent = {}
    for accounts in (1500, 6000):
        folder = tmp_path / str(accounts)
        folder.mkdir()
        source = put(folder, Spec(accounts=accounts, seed=5, period="2022-03"))
        began = time.process_time()
        to(source, "3.1", folder / "out")
        spent[accounts] = time.process_time() - began
    assert spent[6000] < 4 * spent[1500] * 1.8, spent
