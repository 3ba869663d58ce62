"""Between exchanges: a federal register as a source of our own, and registers rewritten for another exchange."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from lxml import etree

from oms_batch import clock, foreign, insurance, office
from oms_batch.cli.main import program
from oms_batch.desk import bridge
from oms_batch.desk.build import BuildReport, Header, build_register
from oms_batch.desk.source_federal import Known, Told, is_beside
from oms_batch.desk.sources import Problems
from oms_batch.desk.wire import load_wire
from oms_batch.doors import convert, precheck
from oms_batch.errors import Refusal, WrongState
from oms_batch.exchange import load_profile
from oms_batch.formats import container, elements
from oms_batch.intake import names
from oms_batch.store import ledger
from oms_batch.synth import federal
from oms_batch.synth.insured import insured_csv
from oms_batch.synth.krasnodar import archives as krasnodar_archives
from oms_batch.synth.moscow import Order, parcel
from oms_batch.synth.moscow_files import name_of
from oms_batch.synth.register import register as reestr
from oms_batch.synth.world import Spec
from oms_batch.synth.world import build as world
from tests import krasnodar_tools, moscow_tools
from tests.participants import Exchange
from tests.test_krasnodar_junk import SPEC as KRASNODAR_SPEC

OURS, FEDERAL = load_profile("yaroslavl"), load_profile("federal")
SPEC = Spec(accounts=50, seed=5, period="2022-03", payers={"76001": 2, "76002": 1})
WHEN = clock.parse("2022-04-04T09:30:00+03:00")
NAMED = "1027600000108760401001{period}13X.xml"


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    clock.set_wall(lambda: WHEN)
    yield
    clock.set_wall(None)


@dataclass(frozen=True)
class Pair:
    """A federal register on disk: its halves, and what it says of itself."""

    main: Path
    persons: Path
    accounts: int
    kopecks: int

    @property
    def files(self) -> list[str]:
        return [str(self.main), str(self.persons)]

    @property
    def tree(self) -> etree._Element:
        return etree.fromstring(self.main.read_bytes())

    def change(self, old: str, new: str, count: int = 1) -> None:
        text = self.main.read_bytes().decode("cp1251")
        assert old in text
        self.main.write_bytes(text.replace(old, new, count).encode("cp1251"))


def pair(folder: Path, spec: Spec = SPEC, made: federal.Register | None = None) -> Pair:
    made = made or federal.register(FEDERAL, spec)
    folder.mkdir(parents=True, exist_ok=True)
    main, persons = folder / f"{made.name}.xml", folder / f"{made.persons_name}.xml"
    main.write_bytes(b"".join(made.main))
    persons.write_bytes(b"".join(made.persons))
    return Pair(main, persons, made.totals.accounts, made.totals.kopecks)


def policies(folder: Path, one: Pair) -> str:
    """What a federal register cannot say: since when each policy is valid."""
    people = re.findall(rb"<PERS>\s*<ID_PAC>(\w+)<", one.persons.read_bytes())
    path = folder / "policies.csv"
    path.write_text("id_pac;polis_begin\n" + "".join(f"{who.decode()};2011-05-01\n" for who in people))
    return str(path)


def no_predecessor(_key: str) -> tuple[str, str]:
    return "", ""


def built(
    files: Sequence[str], folder: Path, known: Known = no_predecessor, told: Told | None = None, period: str = "2203"
) -> tuple[bytes, BuildReport]:
    out = io.BytesIO()
    named = names.identify(NAMED.format(period=period), OURS)
    with foreign.sources(files, OURS, str(folder), known) as sources:
        report = build_register(OURS, Header(named, date(2022, 3, 31), "1", "МО"), sources, [], out, told=told)
    return out.getvalue(), report


def codes(files: Sequence[str], folder: Path, **options: Any) -> Counter[str]:
    with pytest.raises(Refusal) as caught:
        built(files, folder, **options)
    return Counter(one.code for one in caught.value.problems)


def accounts(document: bytes) -> dict[str, etree._Element]:
    return {one.get("n_pp") or "": one for one in etree.fromstring(document).iter("personal_account")}


# ---- a federal register as a source -----------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exchange, Pair, dict[str, Any]]:
    """The MO builds its register out of H and L and sends it; the fund answers. One person is not insured."""
    clock.set_wall(lambda: WHEN)
    root = tmp_path_factory.mktemp("bridge")
    made = Exchange(root / "homes", ("mo", "tfoms", "smo-p", "smo-r"))
    source = pair(root / "mis")
    lines = b"".join(insured_csv(FEDERAL, SPEC)).decode().splitlines(keepends=True)
    table = root / "insured.csv"
    table.write_text(lines[0] + "".join(lines[2:]))
    with made.at("tfoms") as site:
        insurance.bring_in(site, str(table))
    with made.at("mo") as site:
        done = office.build_register(site, "2022-03", [*source.files, policies(root, source)])
        found = precheck.check(site, done.path)
    found["built"] = done.report
    made.sweep("mo")
    made.carry()
    made.sweep("tfoms")
    made.carry()
    made.sweep("mo")
    return made, source, found


def test_the_fund_finds_no_fault_of_form_and_the_same_accounts_and_sums(
    month: tuple[Exchange, Pair, dict[str, Any]],
) -> None:
    made, source, found = month
    report = found["built"]
    tree = source.tree
    assert (report.accounts, report.kopecks) == (source.accounts, source.kopecks) == (50, report.kopecks)
    assert (found["accounts"], found["sum"]) == (50, tree.findtext("SCHET/SUMMAV"))
    assert report.persons == len({one.text for one in tree.iter("ID_PAC")})
    assert found["findings"] == []
    with made.at("mo") as site:
        rows = office.refused_list(site)
        life = ledger.refused(site.ledger, ["fund_refused"])
    left_out = [
        one.findtext("Z_SL/IDCASE") for one in tree.findall("ZAP") if one.findtext("PACIENT/ID_PAC") == "000000001"
    ]
    assert rows and {row["idcase"] for row in life} == set(left_out), "only who is not insured"
    assert {row["rule"] for row in life} == {"K.76.1010"}


def test_every_account_is_there_with_its_own_sum_and_services(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    document, _ = built([*source.files, policies(tmp_path, source)], tmp_path)
    ours = accounts(document)
    for case in source.tree.findall("ZAP/Z_SL"):
        one = ours.pop(case.findtext("IDCASE") or "")
        patient = one.getparent().getparent()  # type: ignore[union-attr]
        assert [each.get("suml") for each in one.findall("sum/elem")] == [case.findtext("SUMV")]
        assert [each.get("service") for each in one.iter("manipulation")] == [
            each.text for each in case.findall("SL/USL/CODE_USL")
        ]
        assert one.get("curestart") == case.findtext("DATE_Z_1") and one.get("doctor") == case.findtext("SL/IDDOKT")
        assert next(each.get("mkb") for each in one.findall("diagnoses/diagnose")) == case.findtext("SL/DS1")
        assert one.get("vg") and patient is not None and patient.get("patientcod")
    assert ours == {}


@pytest.mark.slow
def test_an_archive_and_its_two_halves_are_the_same_source(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    more = policies(tmp_path, source)
    packed = tmp_path / source.main.name.replace(".xml", ".zip")
    with packed.open("wb") as out:
        members = [
            (one.name.replace(".xml", ".XML"), io.BytesIO(one.read_bytes())) for one in (source.main, source.persons)
        ]
        container.pack_members("zip", members, out, datetime(2022, 4, 1, tzinfo=timezone.utc))
    halves = built([*source.files, more], tmp_path)[0]
    assert halves == built([more, str(source.persons), str(source.main)], tmp_path)[0]
    assert halves == built([str(packed), more], tmp_path)[0]


@pytest.mark.slow
def test_a_chunk_at_a_time_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pair(tmp_path / "mis")
    files = [*source.files, policies(tmp_path, source)]
    whole = built(files, tmp_path)[0]
    for size in (1, 7):
        monkeypatch.setattr(bridge, "CHUNK", size)
        assert built(files, tmp_path)[0] == whole


def test_what_is_lacking_is_told_account_by_account_and_nothing_is_built(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    people = len({one.text for one in source.tree.iter("ID_PAC")})
    with pytest.raises(Refusal) as caught:
        built(source.files, tmp_path)
    assert {one.code for one in caught.value.problems} == {"SRC_LACKS"}
    assert len(caught.value.problems) == people, "the day when a policy began, of each person"
    assert all(re.fullmatch(r"HM\w+\.xml:\d+ pers\.polis_begin", one.place) for one in caught.value.problems)
    part = tmp_path / "part.csv"
    part.write_text("\n".join(Path(policies(tmp_path, source)).read_text().splitlines()[:4]))
    assert codes([*source.files, str(part)], tmp_path) == {"SRC_LACKS": people - 3}


def test_values_without_a_place_are_counted(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    _, report = built([*source.files, policies(tmp_path, source)], tmp_path)
    assert report.told is not None
    lost = report.told.lost
    tree = source.tree
    for column, tag in (
        ("z_sl.npr_mo", "Z_SL/NPR_MO"),
        ("z_sl.idsp", "Z_SL/IDSP"),
        ("sl.profil_k", "Z_SL/SL/PROFIL_K"),
    ):
        assert lost[column] == len(tree.findall(f"ZAP/{tag}")), column
    assert report.told.left["z_sl.p_cel"] == len(tree.findall("ZAP/Z_SL/SL/P_CEL"))
    assert "z_sl.sumv" not in lost and "usl.code_usl" not in lost


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<CODE_MO>760001<", "<CODE_MO>760002<", "HDR_SENDER"),
        ("<MONTH>3<", "<MONTH>2<", "HDR_PERIOD"),
        ("<DATE_Z_1>2022-03-02<", "<DATE_Z_1>02.03.2022<", "SRC_FORM"),
        ("<ENP>765", "<ENP>865", "SRC_PERSON"),
        ("<RSLT>", "<RSLX>1</RSLX><RSLT>", "SRC_FORM"),
        ("<IDCASE>2<", "<IDCASE>1<", "SRC_FORM"),
    ],
)
def test_a_foreign_or_faulty_register_is_refused(old: str, new: str, code: str, tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    source.change(old, new)
    assert code in codes([*source.files, policies(tmp_path, source)], tmp_path)


def test_half_a_register_is_refused(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    for half in source.files:
        assert codes([half], tmp_path) == {"PAIR_MISSING": 1}


def test_a_table_beside_is_told_from_a_table_of_cases(tmp_path: Path) -> None:
    assert is_beside(b"id_pac;polis_begin\n") and is_beside(b"\xef\xbb\xbfidcase;podr\r\n1;2")
    assert not is_beside(b"id_pac;row;up\n") and not is_beside(b"row;up;id_pac\n") and not is_beside(b"")
    source = pair(tmp_path / "mis")
    bad = tmp_path / "bad.csv"
    for text, code in (
        ("id_pac;no_such\n1;2\n", "SRC_HEADER"),
        ("id_pac;polis_begin\n000000001;2011\n", "VALUE_TYPE"),
        ("id_pac;polis_begin\n000000001\n", "SRC_WIDTH"),
        ('id_pac;polis_begin\n"1\n', "SRC_QUOTE"),
    ):
        bad.write_text(text)
        assert code in codes([*source.files, str(bad)], tmp_path)
    more = tmp_path / "more.csv"
    more.write_text("idcase;podr;vg;comentsl\n1;99;15;так\n")
    one = accounts(built([*source.files, policies(tmp_path, source), str(more)], tmp_path)[0])["1"]
    found = one.find("additionals/additional")
    assert found is not None and one.get("comment") == "так"
    assert found.get("division") != "99", "what the register says itself stays"


@pytest.mark.parametrize("kind", ["C", "T"])
def test_other_kinds_of_registers_are_sources_too(kind: str, tmp_path: Path) -> None:
    source = pair(tmp_path / "mis", Spec(accounts=30, seed=2, period="2022-03", kind=kind))
    document, report = built([*source.files, policies(tmp_path, source)], tmp_path)
    assert (report.accounts, report.kopecks) == (source.accounts, source.kopecks)
    assert len(accounts(document)) == 30


@pytest.mark.slow
def test_two_kinds_together_are_numbered_anew(tmp_path: Path) -> None:
    both = [pair(tmp_path / kind, Spec(accounts=10, seed=2, period="2022-03", kind=kind)) for kind in ("H", "C")]
    files = [file for one in both for file in (*one.files, policies(one.main.parent, one))]
    out = io.BytesIO()
    with foreign.sources(files, OURS, str(tmp_path), no_predecessor) as sources:
        named = names.identify(NAMED.format(period="2203"), OURS)
        head = Header(named, date(2022, 3, 31), "1", "МО")
        report = build_register(OURS, head, sources, [], out, renumber=len(sources) > 1)
    assert sorted(map(int, accounts(out.getvalue()))) == list(range(1, 21))
    assert report.kopecks == sum(one.kopecks for one in both)


def test_an_account_billed_again_names_its_predecessor_where_it_is_known(tmp_path: Path) -> None:
    later = Spec(accounts=4, seed=5, period="2022-04", payers=SPEC.payers)
    source = pair(tmp_path / "mis", later, federal.again(FEDERAL, later, federal.Again(SPEC, (1, 3))))
    files = [*source.files, policies(tmp_path, source)]
    assert codes(files, tmp_path, period="2204") == {"SRC_PREDECESSOR": 2}
    asked: list[str] = []

    def known(key: str) -> tuple[str, str]:
        asked.append(key)
        return "1027600000108-760401001-202203-1", "repeat"

    document, report = built(files, tmp_path, known, period="2204")
    assert report.accounts == 2 and len(set(asked)) == 2
    first = pair(tmp_path / "first")
    old_document, _ = built([*first.files, policies(tmp_path, first)], tmp_path)
    former = {one.get("xkey") for one in accounts(old_document).values()}
    for one in accounts(document).values():
        found = one.find("additionals/additional")
        assert found is not None
        assert (found.get("type_r"), found.get("ident_r")) == ("2", "1027600000108-760401001-202203-1")
        assert one.get("x_key2") in former and one.get("xkey") not in former


@pytest.mark.slow
def test_the_ledger_knows_whom_an_account_follows(month: tuple[Exchange, Pair, dict[str, Any]], tmp_path: Path) -> None:
    made, _, _ = month
    later = Spec(accounts=4, seed=5, period="2022-04", payers=SPEC.payers)
    clock.set_wall(lambda: clock.parse("2022-05-04T09:30:00+03:00"))

    def again(folder: str, *ordinals: int) -> list[str]:
        source = pair(tmp_path / folder, later, federal.again(FEDERAL, later, federal.Again(SPEC, ordinals)))
        return [*source.files, policies(tmp_path / folder, source)]

    with made.at("mo") as site:
        refused = {row["idcase"]: row["xkey"] for row in ledger.refused(site.ledger, ["fund_refused"])}
        chosen = again("mis", *(int(one) - 1 for one in refused))
        accepted = next(n for n in range(50) if str(n + 1) not in refused)
        with pytest.raises(Refusal, match="SRC_PREDECESSOR"):  # who was not refused is not billed again
            office.build_register(site, "2022-04", again("other", accepted), number="2")
        done = office.build_register(site, "2022-04", chosen)
        assert done.report.accounts == len(refused)
    made.sweep("mo")
    with made.at("mo") as site:
        for xkey in refused.values():
            (life,) = ledger.life(site.ledger, xkey)
            assert life["successor"][0] == "1027600000108-760401001-202204-1", "linked when it was sent"
        with pytest.raises(Refusal, match="SRC_PREDECESSOR"):  # and not billed twice
            office.build_register(site, "2022-04", chosen, number="2")


# ---- convert between exchanges ------------------------------------------------------------------------


def ours(folder: Path, spec: Spec | None = None) -> Path:
    spec = spec or Spec(accounts=60, seed=5)
    path = folder / world(OURS, spec).file_name("3", "X", ".xml")
    path.write_bytes(b"".join(reestr(OURS, spec)))
    return path


def told(report: dict[str, Any], what: str) -> dict[str, int]:
    return {one["element"]: int(one.get("values", one.get("records"))) for one in report[what]}


def test_our_register_becomes_h_and_l(tmp_path: Path) -> None:
    source = ours(tmp_path)
    report = convert.run(OURS, str(source), "federal", str(tmp_path / "out"))
    made = Path(report["written"])
    assert made.name == "HM760001T76_26101.zip" and report["records"] == 60
    old = etree.fromstring(source.read_bytes())
    with zipfile.ZipFile(made) as archive:
        main, persons = (etree.fromstring(archive.read(name)) for name in sorted(archive.namelist()))
    money = Counter(one.get("n_pp") or "" for one in old.iter("personal_account"))
    assert Counter(one.text for one in main.iter("IDCASE")) == money
    sums = {one.findtext("IDCASE"): one.findtext("SUMV") for one in main.findall("ZAP/Z_SL")}
    for one in old.iter("personal_account"):
        whole = sum(round(float(part.get("suml") or 0) * 100) for part in one.findall("sum/elem"))
        assert sums[one.get("n_pp")] == f"{whole // 100}.{whole % 100:02d}"
    people = len(old.findall("body/bill/patients/patient"))
    assert len(persons.findall("PERS")) == people
    assert told(report, "no_place")["pers.polis_begin"] == people
    # what our register does not know, and only that, is to be filled in
    wanting = told(report, "fill_in")
    assert set(wanting) == {
        "ZL_LIST/ZAP/Z_SL/FOR_POM", "ZL_LIST/ZAP/Z_SL/IDSP", "ZL_LIST/ZAP/Z_SL/SL/USL/TARIF",
    }  # fmt: skip
    assert wanting["ZL_LIST/ZAP/Z_SL/IDSP"] == 60 and main.find("ZAP/Z_SL/IDSP") is None
    assert report["broken_total"] == 60
    root = os.environ.get("OMS_REFERENCE_DATA", "")
    if root:
        schema = etree.XMLSchema(etree.parse(Path(root, "xsd", "from_mo", "H_3.2.xsd")))
        assert not schema.validate(main)
        for one in main.iter("Z_SL"):
            _put(one, "FOR_POM", "3", "LPU")
            _put(one, "IDSP", "30", "SUMV")
            for each in one.iter("USL"):
                if each.find("TARIF") is None:
                    _put(each, "TARIF", "1.00", "SUMV_USL")
        assert schema.validate(main), schema.error_log
        schema = etree.XMLSchema(etree.parse(Path(root, "xsd", "from_mo", "L_3.2.xsd")))
        assert schema.validate(persons), schema.error_log


def _put(above: etree._Element, name: str, text: str, before: str) -> None:
    made = etree.Element(name)
    made.text = text
    place = above.find(before)
    assert place is not None
    above.insert(above.index(place), made)


@pytest.mark.slow
def test_there_and_back_between_exchanges_keeps_what_both_know(tmp_path: Path) -> None:
    # a register with what H demands, so that nothing is lacking on the way back
    source = ours(tmp_path)
    there = convert.run(OURS, str(source), "federal", str(tmp_path / "a"))
    back = convert.run(FEDERAL, there["written"], "yaroslavl", str(tmp_path / "b"))
    made = Path(back["written"])
    assert made.name == source.name.replace(".xml", ".zip") and back["records"] == 60
    with zipfile.ZipFile(made) as archive:
        new = etree.fromstring(archive.read(archive.namelist()[0]))
    old = etree.fromstring(source.read_bytes())
    kept = {
        "patient": ("patientcod", "surname", "name", "patronymic", "birthdate", "sex", "ss"),
        "personal_account": ("help_type", "help_cond", "n_pp", "n_card", "curestart", "cureend", "doctor", "result"),
        "manipulation": ("prof_oms", "det", "service", "quantity", "doctor", "spec", "date_1", "date_2"),
        "polis": ("region_oms", "type_polis", "polisser", "polisnum"),
        "doc": ("doctype", "docser", "docnum"),
        "lawful_repr": ("surname_p", "name_p", "patronymic_p", "birthdate_p", "sex_p"),
    }  # fmt: skip
    for name, attributes in kept.items():
        before = [tuple(one.get(each) for each in attributes) for one in old.iter(name)]
        assert [tuple(one.get(each) for each in attributes) for one in new.iter(name)] == before, name
    lacking = {
        problem["element"] for one in back["broken"] for problem in one["problems"] if problem["code"] == "SRC_LACKS"
    }
    assert lacking == {"pers.polis_begin"}


def test_the_federal_register_of_a_mis_becomes_our_document(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    words = ["--json", "convert", str(source.main), "--to", "yaroslavl", "--with", str(source.persons)]
    words += ["--with", policies(tmp_path, source), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(program, words)
    assert done.exit_code == 1, done.output
    made = tmp_path / "out" / "1027600000108760401001220313X.zip"
    found = precheck.check(None, str(made))
    assert (found["accounts"], found["sum"]) == (50, source.tree.findtext("SCHET/SUMMAV"))
    assert [one for one in found["findings"] if one["code"].startswith("S.")] == []


@pytest.mark.slow
def test_without_the_table_what_is_lacking_is_told_and_the_rest_is_written(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    report = convert.run(FEDERAL, str(source.main), "yaroslavl", str(tmp_path / "out"), [str(source.persons)])
    people = len({one.text for one in source.tree.iter("ID_PAC")})
    assert told(report, "fill_in") == {"pers.polis_begin": people} and report["records"] == 50
    found = precheck.check(None, report["written"])
    assert Counter(one["code"] for one in found["findings"] if one["code"].startswith("S.")) == {"S.00.0010": people}


@pytest.mark.slow
def test_registers_in_tables_become_federal(tmp_path: Path) -> None:
    name, data = krasnodar_tools.packed(
        KRASNODAR_SPEC, krasnodar_archives(krasnodar_tools.PROFILE, KRASNODAR_SPEC)["2301"]
    )
    made = parcel(moscow_tools.PROFILE, Order(services=40, seed=3))
    moscow = name_of(moscow_tools.PROFILE, made)[0]
    for profile, called, content in (
        (krasnodar_tools.PROFILE, name, data),
        (moscow_tools.PROFILE, moscow, moscow_tools.packed(made)),
    ):
        source = tmp_path / called
        source.write_bytes(content)
        out = str(tmp_path / profile.id)
        with foreign.tables_of([str(source)], profile) as read:
            counted = read.con.execute("SELECT count(*), sum(sumv) FROM z_sl").fetchone()
            assert counted is not None
        report = convert.run(profile, str(source), "federal", out, mo="760001")
        with zipfile.ZipFile(report["written"]) as archive:
            main = etree.fromstring(archive.read(sorted(archive.namelist())[0]))
        assert report["records"] == counted[0] == len(main.findall("ZAP"))
        assert main.findtext("SCHET/SUMMAV") == f"{counted[1] // 100}.{counted[1] % 100:02d}"
        assert {one["element"] for one in report["fill_in"]} <= {
            "ZL_LIST/ZAP/Z_SL/FOR_POM", "ZL_LIST/ZAP/Z_SL/IDSP", "ZL_LIST/ZAP/Z_SL/SL/DET",
            "ZL_LIST/ZAP/Z_SL/SL/USL/DET", "ZL_LIST/ZAP/Z_SL/SL/USL/TARIF",
        }  # fmt: skip


def test_an_organisation_that_the_other_exchange_does_not_know_is_asked_for(tmp_path: Path) -> None:
    source = ours(tmp_path, Spec(accounts=5, seed=1, ogrn_mo="1027600009999"))
    with pytest.raises(WrongState, match="CONVERT"):
        convert.run(OURS, str(source), "federal", str(tmp_path / "out"))
    report = convert.run(OURS, str(source), "federal", str(tmp_path / "out"), mo="760009")
    assert Path(report["written"]).name == "HM760009T76_26101.zip"
    with pytest.raises(WrongState, match="FILE_EXISTS"):
        convert.run(OURS, str(source), "federal", str(tmp_path / "out"), mo="760009")


# ---- the plans themselves -------------------------------------------------------------------------------


def test_every_place_of_a_plan_is_in_the_layout_that_it_fills() -> None:
    wire = load_wire(OURS)
    plan = bridge.load_plan(OURS.rules, "yaroslavl")
    for section in plan.sections:
        assert not section.above or wire.rows[section.place].startswith(wire.rows[section.above])
        for column in section.values:
            wire.attribute(section.place, column)
    plan = bridge.load_plan(FEDERAL.rules, "federal")
    known: set[str] = set()
    for name in plan.data["version"].values():
        known |= set(elements.load(FEDERAL.rules, "federal", name).elements)
    for section in plan.sections:
        for place in section.values:
            assert (section.place if place == "." else f"{section.place}/{place}") in known, place


def test_a_column_that_the_source_does_not_have_is_empty_and_one_that_is_not_used_is_told() -> None:
    con = duckdb.connect(":memory:")
    con.execute("CREATE TABLE z_sl (n BIGINT, known VARCHAR, spare VARCHAR)")
    con.execute("INSERT INTO z_sl VALUES (1, 'a', 'x'), (2, NULL, ''), (3, 'c', 'y')")
    section = bridge.Section("t", "", "z_sl", "TRUE", "z_sl.n", "z_sl.n", "0", "0", {"a": "z_sl.known", "b": "z_sl.no"})
    plan = bridge.Plan((section,), {}, (), frozenset(), (), (), {})
    bridge.lay_out(con, plan, lambda _place, _name: False)
    assert [row.values for row in bridge.rows(con, plan, "t")] == [{"a": "a"}, {}, {"a": "c"}]
    assert bridge.no_place(con, plan) == {"z_sl.spare": 2}
    con.execute("UPDATE z_sl SET known = NULL")
    bridge.lay_out(con, plan, lambda _place, name: name == "a")
    assert all(not row.values for row in bridge.rows(con, plan, "t"))


def test_lacks_are_told_only_to_those_who_ask(tmp_path: Path) -> None:
    source = pair(tmp_path / "mis")
    asked = Told(Problems())
    document, report = built(source.files, tmp_path, told=asked)
    assert report.accounts == 50 == len(accounts(document))
    assert asked.lacks.total == len(asked.accounts), "one fault of each person, at the first of his accounts"
