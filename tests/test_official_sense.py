"""Official checks of services, check-ups, sanctions and the medico-economic ones, on documents that are really read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pytest
from lxml import etree

from oms_batch.judge import books, engine, rulebook
from oms_batch.judge.facts_view import make_person_keys
from oms_batch.judge.identify import identify
from oms_batch.judge.person import load_spelling
from oms_batch.judge.tables import FACTS, create_table
from oms_batch.ruledata import RuleData
from tests import federal_documents, federal_judged
from tests.federal_documents import PROFILE, Account, Pair, tree

DAY = "2026-01-12"
Spoil = Callable[[etree._Element], Any]


def judge(pair: Pair, main: bytes, persons: bytes, earlier: Pair | None = None) -> dict[str, Counter[str]]:
    """Codes by IDCASE, those of no account under an empty one; ``earlier``: a register that was accepted before."""
    con = duckdb.connect()
    try:
        engine.prepare(con)
        federal_judged.read(con, PROFILE, (main, persons), pair.name)
        book = rulebook.load(PROFILE.rules, federal_judged.rule_sets(PROFILE, "fund"), PROFILE.id)
        books.load_for(con, PROFILE.rules, book)
        identify(con, None, PROFILE)
        con.execute(create_table("facts", FACTS))
        if earlier is not None:
            accept(con, earlier)
        engine.run(con, book)
        rows = con.execute(
            "SELECT COALESCE(a.idcase, p.idcase, ''), f.rule FROM findings f LEFT JOIN z_sl a ON a.n = f.z_sl_n "
            "LEFT JOIN z_sl p ON p.pers_n = f.pers_n AND f.z_sl_n IS NULL "
            "WHERE f.severity = 'reject' OR f.rule LIKE 'M.%'"
        ).fetchall()
        told: dict[str, Counter[str]] = {}
        for idcase, rule in rows:
            told.setdefault(idcase, Counter())[rule] += 1
        return told
    finally:
        con.close()


def accept(con: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    """The accounts of a register as the facts that its acceptance leaves."""
    other = duckdb.connect()
    try:
        federal_judged.read(other, PROFILE, (pair.main, pair.persons), pair.name)
        make_person_keys(other, load_spelling(PROFILE.rules, PROFILE.id))
        rows = other.sql(
            "SELECT here.* EXCLUDE (z_sl_n) REPLACE ('earlier-' || here.xkey AS xkey), 'earlier' AS register, "
            "'accepted' AS state, CAST(1 AS BIGINT) AS seq, TRUE AS live FROM here"
        ).to_arrow_table()
    finally:
        other.close()
    con.register("billed", rows)
    con.execute("INSERT INTO facts BY NAME SELECT * FROM billed")


def put(path: str, text: str) -> Spoil:
    def change(account: etree._Element) -> None:
        account.find(path).text = text  # type: ignore[union-attr]

    return change


def puts(**texts: str) -> Spoil:
    """Several elements, of the account or of its case."""

    def change(account: etree._Element) -> None:
        for name, text in texts.items():
            node = account.find(name)
            (node if node is not None else account.find(f"SL/{name}")).text = text  # type: ignore[union-attr]

    return change


def drop(path: str) -> Spoil:
    def change(account: etree._Element) -> None:
        node = account.find(path)
        node.getparent().remove(node)  # type: ignore[union-attr, arg-type]

    return change


def refuse(account: etree._Element) -> None:
    """The patient refused the check-up: nothing was found."""
    put("P_OTK", "1")(account)
    for path in ("RSLT_D", "SL/DS1", "SL/PR_D_N"):
        drop(path)(account)


def sanction(*more: tuple[str, str], kind: str = "72") -> Spoil:
    """Paid in full, with a decision that takes nothing."""

    def change(account: etree._Element) -> None:
        said = [("S_CODE", "1"), ("S_SUM", "0.00"), ("S_TIP", kind), *more]
        decision = tree("SANK", *said, ("DATE_ACT", "2026-02-02"), ("NUM_ACT", "1"), ("S_IST", "1"))
        paid = tree("x", ("OPLATA", "1"), ("SUMP", account.findtext("SUMV")), decision, ("SANK_IT", "0.00"))
        account.extend(list(paid))

    return change


def prescribe(**said: str) -> Spoil:
    def change(account: etree._Element) -> None:
        first = tree("NAZ", ("NAZ_N", "1"), ("NAZ_R", said["naz_r"]), ("NAZ_IDDOKT", "112-233-445 95"))
        account.find("SL/PR_D_N").addnext(first)  # type: ignore[union-attr]

    return change


def documents(
    kind: str, people: Sequence[int], day: str = DAY, number: str = "1", head: dict[str, str] | None = None
) -> tuple[Pair, etree._Element, etree._Element]:
    """A register with nothing wrong, an account for each person: its name and both trees."""
    accounts = [Account(n, person=person, day=day, smo="76001") for n, person in enumerate(people, 1)]
    pair = federal_documents.documents(accounts, kind=kind, number=number, head=head)
    root, persons = etree.fromstring(pair.main), etree.fromstring(pair.persons)
    for case in root.iter("SL"):
        case.find("SL_ID").text = "1"  # type: ignore[union-attr]
        if kind == "T":
            puts(VID_HMP="183", METOD_HMP="44", DS1="I25.1", TAL_NUM="76.0001.00001.026")(case.getparent())  # type: ignore[arg-type]
    for one in persons.iter("PERS"):
        one.find("IM").addnext(tree("x", ("OT", "Ильич"))[0])  # type: ignore[union-attr]
    return pair, root, persons


def as_bytes(tree: etree._Element) -> bytes:
    return federal_documents.as_bytes(tree, "", "windows-1251")


def found(
    kind: str, changes: Sequence[Spoil], head: dict[str, str] | None = None, earlier: Pair | None = None
) -> list[Counter[str]]:
    """What is wrong with each account over the first, which stays as it is; account n is changed by the n-th."""
    pair, root, persons = documents(kind, range(1, len(changes) + 2), head=head)
    for account, change in zip(list(root.iter("Z_SL"))[1:], changes, strict=True):
        change(account)
    told = judge(pair, as_bytes(root), as_bytes(persons), earlier)
    clean = told.get("1", Counter())
    assert not [code for code in clean if code[0] in "SFQ"], "a document that is not spoiled comes to the sense pass"
    return [told.get(str(n), Counter()) - clean for n in range(2, len(changes) + 2)]


OF_CARE: dict[str, tuple[Spoil, set[str]]] = {
    "a children's doctor for an adult": (put("SL/PRVS", "49"), {"M.03.0830"}),
    "a nurse in place of a doctor": (put("SL/PRVS", "219"), {"M.03.0500"}),
    "a speciality of the administration": (put("SL/PRVS", "42"), {"M.03.0490"}),
    "a children's profile for an adult": (put("SL/PROFIL", "68"), {"M.03.0730"}),
    "gynaecology for a man": (put("SL/USL/PROFIL", "136"), {"M.03.0790"}),
    "a service with a rubric for a diagnosis": (put("SL/USL/DS", "A09"), {"M.03.0690"}),
    "no visits counted": (put("SL/ED_COL", "0.00"), {"M.03.0550"}),
    "two units and one service": (puts(IDSP="28", ED_COL="2.00"), {"M.03.0560"}),
    "a check-up with the result of a treatment": (puts(ISHOD="306", RSLT="302"), {"Q.06.1110"}),
    "an organisation that is none": (put("SL/USL/LPU", "769999"), {"Q.01.0620"}),
    "a department in letters of another book": (put("SL/USL/LPU_1", "1-2"), {"Q.04.1350"}),
    # what reading refuses is not told twice
    "a service without its number": (drop("SL/USL/IDSERV"), {"S.00.0010"}),
    "a service that began on no day": (put("SL/USL/DATE_IN", "12.01.2026"), {"S.00.0030"}),
}
OF_CHECKUPS: dict[str, tuple[Spoil, set[str]]] = {
    "a service of the year before last": (put("SL/USL/DATE_IN", "2025-01-11"), {"M.03.0020"}),
    "a refusal with a sum": (refuse, {"M.03.0235"}),
    "a third group without prescriptions": (put("RSLT_D", "3"), {"M.03.0040"}),
    "an examination of no kind": (prescribe(naz_r="3"), {"Q.03.1290"}),
    "a hospital of no profile": (prescribe(naz_r="4"), {"Q.03.1370"}),
    "an expertise of quality without an expert": (sanction(("S_OSN", "207")), {"Q.03.1790"}),
    "a control that is none": (sanction(("S_OSN", "207"), kind="9"), {"Q.01.0670"}),
    "a ground that is none": (sanction(("S_OSN", "999"), kind="10"), {"Q.01.0670", "Q.01.0680"}),
}
OF_HITECH: dict[str, tuple[Spoil, set[str]]] = {
    "a method of another kind": (put("SL/VID_HMP", "215"), {"M.03.0530"}),
    "a method of another disease": (put("SL/DS1", "J18.9"), {"M.03.0540"}),
}


@pytest.fixture(scope="module")
def told() -> dict[str, Counter[str]]:
    """What is found for each spoiled place, one register for each kind of file."""
    kinds = (("H", OF_CARE, None), ("DO", OF_CHECKUPS, {"DISP": "ОПВ"}), ("T", OF_HITECH, None))
    done: dict[str, Counter[str]] = {}
    for kind, spoiled, head in kinds:
        done |= dict(zip(spoiled, found(kind, [one for one, _ in spoiled.values()], head), strict=True))
    return done


@pytest.mark.parametrize("what", [*OF_CARE, *OF_CHECKUPS, *OF_HITECH])
def test_one_spoiled_place_gives_its_own_code(what: str, told: dict[str, Counter[str]]) -> None:
    assert told[what] == Counter({**OF_CARE, **OF_CHECKUPS, **OF_HITECH}[what][1])


def accepted(day: str, disp: str) -> Pair:
    """An accepted check-up of the second person."""
    pair, root, persons = documents("DO", [2], day, "2", {"DISP": disp})
    return Pair(as_bytes(root), as_bytes(persons), pair.name, pair.kind)


def test_a_checkup_is_paid_once_a_year() -> None:
    """The same person had a check-up in a register of last December, and one in this January."""
    nothing: list[Spoil] = [lambda account: None]
    codes = [
        set(found("DO", nothing, {"DISP": "ОПВ"}, accepted(day, "ОПВ"))[0]) for day in ("2025-12-20", "2026-01-05")
    ]
    assert codes == [set(), {"M.03.0080"}]


def test_a_second_stage_wants_a_first() -> None:
    pair, root, persons = documents("DO", [1, 2], head={"DISP": "ДВ2"})
    told = judge(pair, as_bytes(root), as_bytes(persons), accepted("2026-01-05", "ДВ4"))
    assert ["M.03.0100" in told.get(n, {}) for n in ("1", "2")] == [True, False]


def test_a_child_has_no_passport() -> None:
    pair, root, persons = documents("H", [1, 2, 3])
    said = (("2012-01-13", "14"), ("2012-01-12", "14"), ("2015-05-05", "3"))
    for one, (born, kind) in zip(persons.iter("PERS"), said, strict=True):
        day = one.find("DR")
        day.text = born  # type: ignore[union-attr]
        for name, text in (("DOCNUM", "123456"), ("DOCSER", "78 04"), ("DOCTYPE", kind)):
            day.addnext(tree("x", (name, text))[0])  # type: ignore[union-attr]
    told = judge(pair, as_bytes(root), as_bytes(persons))
    assert ["M.03.1021" in told.get(str(n), {}) for n in (1, 2, 3)] == [True, False, False]


def test_every_rule_of_the_subject_is_in_the_book() -> None:
    book = rulebook.load(RuleData(), ["common/official"], "federal")
    files = ("services.csv", "checkups.csv", "sanctions.csv", "sense.csv", "M_03_")
    assert len([rule for rule in book.rules if any(f"official/{name}" in rule.file for name in files)]) > 120
