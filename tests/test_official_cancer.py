"""Official checks of tumours (NAPR, CONS, ONK_SL) and of groups (KSG_KPG), on documents that the real reader reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lxml import etree

from oms_batch.exchange import load_profile
from oms_batch.judge import books, engine, rulebook
from oms_batch.ruledata import RuleData
from oms_batch.synth.register import register
from oms_batch.synth.world import Spec
from tests import federal_documents, federal_judged, judged, test_mtr_documents
from tests.federal_documents import PROFILE, Account, tree

YAROSLAVL = load_profile("yaroslavl", RuleData())
DAY = "2026-01-12"
Spoil = Callable[[etree._Element], Any]


def treat(account: etree._Element, day: str = DAY, scheme: str = "sh0636") -> None:
    """A case becomes one in hospital: directions, consilium, marks of the tumour, drugs, radiotherapy, a group."""
    case = account.find("SL")
    assert case is not None
    for node, name, text in ((account, "USL_OK", "1"), (account, "IDSP", "33"), (case, "DS1", "C34.1")):
        node.find(name).text = text  # type: ignore[union-attr]
    for name in ("CONS", "ONK_SL"):
        case.remove(case.find(name))  # type: ignore[arg-type]
    mark = (("DIAG_TIP", "1"), ("DIAG_CODE", "4"), ("DIAG_RSLT", "9"), ("REC_RSLT", "1"))
    marker = (("DIAG_TIP", "2"), ("DIAG_CODE", "5"), ("DIAG_RSLT", "11"), ("REC_RSLT", "1"))
    drug = tree("LEK_PR", ("REGNUM", "002355"), ("CODE_SH", scheme), ("DATE_INJ", day))
    tumour = tree(
        "ONK_SL",
        *(("DS1_T", "0"), ("STAD", "132"), ("ONK_T", "177"), ("ONK_N", "88"), ("ONK_M", "49"), ("SOD", "70.00")),
        *(("K_FR", "25"), ("WEI", "70.5"), ("HEI", "175"), ("BSA", "1.80")),
        tree("B_DIAG", ("DIAG_DATE", day), *mark),
        tree("B_DIAG", ("DIAG_DATE", day), *marker),
        tree("B_PROT", ("PROT", "4"), ("D_PROT", day)),
        tree("ONK_USL", ("USL_TIP", "2"), ("LEK_TIP_L", "1"), ("LEK_TIP_V", "1"), drug, ("PPTR", "1")),
        tree("ONK_USL", ("USL_TIP", "3"), ("LUCH_TIP", "1")),
    )
    group = tree(
        "KSG_KPG",
        *(("N_KSG", "st19.001"), ("VER_KSG", "2026"), ("KSG_PG", "0"), ("KOEF_Z", "2.41"), ("KOEF_UP", "1")),
        *(("BZTSZ", "25000.00"), ("KOEF_D", "1"), ("KOEF_U", "1"), ("CRIT", "sh0636"), ("SL_K", "1"), ("IT_SL", "1.2")),
        tree("SL_KOEF", ("IDSL", "1"), ("Z_SL", "1.2")),
    )
    sent = (("NAPR_V", "3"), ("MET_ISSL", "4"), ("NAPR_USL", "A06.09.005"))
    added = [
        tree("NAPR", ("NAPR_DATE", day), ("NAPR_MO", "760002"), *sent),
        tree("CONS", ("PR_CONS", "2"), ("DT_CONS", day)),
        *(tumour, group),
    ]
    for node in added:
        case.find("PRVS").addprevious(node)  # type: ignore[union-attr]


def found(days: Sequence[str], changes: Sequence[Spoil]) -> list[Counter[str]]:
    """Codes of what is wrong with each account of a register C; account n is changed by the n-th of ``changes``."""
    accounts = [Account(n, day=day, person=n) for n, day in enumerate(days, 1)]
    pair = federal_documents.documents(accounts, kind="C")
    root = etree.fromstring(pair.main)
    for account, day, change in zip(root.iter("Z_SL"), days, changes, strict=False):
        treat(account, day)
        change(account)
    main = federal_documents.as_bytes(root, "", "windows-1251")
    done = federal_judged.judge(PROFILE, (main, pair.persons), pair.name)
    assert done.failed == []
    key = "760001-202601-2601201-"
    assert set(done.accounts) <= {f"{key}{n}" for n in range(1, len(days) + 1)}, "findings of no account"
    told = [done.accounts.get(f"{key}{n}", Counter()) for n in range(1, len(days) + 1)]
    return [Counter({code: n for (code, _), n in one.items()}) for one in told]


def as_it_is(account: etree._Element) -> None:
    """Nothing is spoiled."""


def put(path: str, text: str, which: int = 0) -> Spoil:
    def change(account: etree._Element) -> None:
        account.findall(f"SL/{path}")[which].text = text

    return change


def drop(path: str) -> Spoil:
    def change(account: etree._Element) -> None:
        node = account.find(f"SL/{path}")
        node.getparent().remove(node)  # type: ignore[union-attr]

    return change


SPOILED: dict[str, tuple[Spoil, set[str]]] = {
    "a direction of an unknown kind": (put("NAPR/NAPR_V", "9"), {"Q.01.0380", "Q.03.1200"}),
    "an examination without its service": (drop("NAPR/NAPR_USL"), {"Q.03.1210"}),
    "a service that is none": (put("NAPR/NAPR_USL", "A6.9.5"), {"Q.04.1560"}),
    "a direction after the case": (put("NAPR/NAPR_DATE", "2026-01-13"), {"Q.06.0580"}),
    "a consilium without its day": (drop("CONS/DT_CONS"), {"Q.03.1230"}),
    "a consilium that was not, with a day": (put("CONS/PR_CONS", "0"), {"Q.03.1240"}),
    "a stage that is none": (put("ONK_SL/STAD", "999"), {"Q.01.0420"}),
    "no stage": (drop("ONK_SL/STAD"), {"Q.03.0980"}),
    "no dose of radiotherapy": (drop("ONK_SL/SOD"), {"Q.03.1030"}),
    "a body surface without a weight": (drop("ONK_SL/WEI"), {"Q.03.1070"}),
    "a height of a giant": (put("ONK_SL/HEI", "275"), {"Q.02.0380"}),
    "a mark not of the diagnosis": (put("ONK_SL/B_DIAG/DIAG_CODE", "3"), {"Q.06.0470", "Q.06.0480"}),
    "a result of another marker": (put("ONK_SL/B_DIAG/DIAG_RSLT", "9", 1), {"Q.06.0500"}),
    "a result that is not marked": (drop("ONK_SL/B_DIAG/REC_RSLT"), {"Q.03.1260"}),
    "a drug that is none": (put("ONK_SL/ONK_USL/LEK_PR/REGNUM", "999999"), {"Q.01.0560"}),
    "a drug given after the case": (put("ONK_SL/ONK_USL/LEK_PR/DATE_INJ", "2026-01-13"), {"Q.06.0620"}),
    "a criterion in place of a scheme": (put("ONK_SL/ONK_USL/LEK_PR/CODE_SH", "fr01-05"), {"Q.06.0651"}),
    "a scheme that is none": (put("ONK_SL/ONK_USL/LEK_PR/CODE_SH", "sh9999"), {"Q.01.0571"}),
    "drug therapy without drugs": (drop("ONK_SL/ONK_USL/LEK_PR"), {"Q.03.1490"}),
    "radiotherapy of no kind": (drop("ONK_SL/ONK_USL/LUCH_TIP"), {"Q.03.1470"}),
    "a coefficient not of the group": (put("KSG_KPG/KOEF_Z", "2.42"), {"Q.01.0600"}),
    "a group of last year": (put("KSG_KPG/VER_KSG", "2025"), {"Q.02.0460"}),
    "a criterion that is none": (put("KSG_KPG/CRIT", "zzz99"), {"Q.01.0610"}),
    "a coefficient that is not marked": (put("KSG_KPG/SL_K", "0"), {"Q.06.1351"}),
    "coefficients without their sum": (drop("KSG_KPG/IT_SL"), {"Q.03.1140"}),
    # what reading refuses is not told twice
    "no reason for care": (drop("ONK_SL/DS1_T"), {"S.00.0010"}),
    "an examination of a third kind": (put("ONK_SL/B_DIAG/DIAG_TIP", "3"), {"S.00.0070"}),
}


@pytest.fixture(scope="module")
def judged_once() -> dict[str, Counter[str]]:
    """What is found in each account of one register: the first as it is, the others spoiled, over the first."""
    changes = [as_it_is, *(spoil for spoil, _ in SPOILED.values())]
    clean, *rest = found([DAY] * len(changes), changes)
    return {"": clean, **{what: codes - clean for what, codes in zip(SPOILED, rest, strict=True)}}


def test_a_treated_case_keeps_all_these_checks(judged_once: dict[str, Counter[str]]) -> None:
    assert len(own()) > 100
    assert own() & set(judged_once[""]) == set()


@pytest.mark.parametrize("what", SPOILED)
def test_one_spoiled_place_gives_its_own_code(what: str, judged_once: dict[str, Counter[str]]) -> None:
    assert judged_once[what] == Counter(SPOILED[what][1])


def test_schemes_are_judged_by_the_day_of_the_care() -> None:
    """Codes of four digits came in 2021; those of three went."""
    old, new = put("ONK_SL/ONK_USL/LEK_PR/CODE_SH", "sh001"), as_it_is
    told = found(["2020-06-15", DAY, "2020-06-15"], [old, old, new])
    schemes = {"Q.01.0570", "Q.01.0571", "Q.06.0650", "Q.06.0651"}
    expected = [set(), {"Q.01.0571", "Q.06.0651"}, {"Q.01.0570", "Q.06.0650"}]
    assert [schemes & set(one) for one in told] == expected


def own() -> set[str]:
    """Codes of the rules of this file's subject."""
    listed = ("cancer.csv", "ksg.csv", "Q_01_0600", "Q_02_0430", "Q_06_04", "Q_06_05", "Q_06_1351")
    book = rulebook.load(RuleData(), ["common/official"], "federal")
    return {rule.code for rule in book.rules if any(f"official/{name}" in rule.file for name in listed)}


# ---- the same checks where these elements have other names and places --------------------------------


IN_YAROSLAVL: dict[str, tuple[Spoil, str]] = {
    "no stage": (lambda tumour: tumour.attrib.pop("stad"), "Q.03.0980"),
    "a surface without a weight": (lambda tumour: tumour.attrib.pop("b_weight"), "Q.03.1070"),
    "a height of a giant": (lambda tumour: tumour.set("b_height", "275"), "Q.02.0380"),
    "a dose without radiotherapy": (lambda tumour: tumour.set("sod", "70"), "Q.03.1041"),
    "a refusal that is none": (lambda tumour: tumour[0][0].set("prot", "9"), "Q.01.0500"),
    "a refusal after the case": (lambda tumour: tumour[0][0].set("d_prot", "2026-12-31"), "Q.06.0510"),
}


def with_tumour(account: etree._Element) -> etree._Element:
    """The account is one of lung cancer now; what it says of the tumour."""
    next(one for one in account.iter("diagnose") if one.get("mkb")).set("mkb", "C34.1")
    said = {"ds1_t": "3", "stad": "132", "b_area": "1.8", "b_weight": "70", "b_height": "175"}
    tumour = etree.SubElement(account.find("additionals"), "additional_onk", said)  # type: ignore[arg-type]
    refusals = etree.SubElement(tumour, "contraindications")
    etree.SubElement(refusals, "contraindication", prot="4", d_prot=str(account.get("cureend")))
    return tumour


@pytest.fixture(scope="module")
def judged_in_yaroslavl() -> tuple[dict[str, Counter[str]], dict[str, str]]:
    """What is found in each spoiled account over one that is not, and what became of each rule."""
    root = etree.fromstring(b"".join(register(YAROSLAVL, Spec(accounts=300, seed=3))))
    fit = [one for one in root.iter("personal_account") if one.get("vg") == "1" and one.find("additionals") is not None]
    clean, *others = fit[: len(IN_YAROSLAVL) + 1]
    with_tumour(clean)
    for account, (spoil, _) in zip(others, IN_YAROSLAVL.values(), strict=True):
        spoil(with_tumour(account))
    done = judged.judge(YAROSLAVL, etree.tostring(root, encoding="windows-1251"))
    assert done.failed == []

    def told(account: etree._Element) -> Counter[str]:
        return Counter(code for code, _ in done.accounts.get(str(account.get("xkey")), {}))

    found = {what: told(one) - told(clean) for what, one in zip(IN_YAROSLAVL, others, strict=True)}
    return found, done.outcomes


@pytest.mark.parametrize("what", IN_YAROSLAVL)
def test_the_account_of_yaroslavl_is_asked_in_its_own_words(
    what: str, judged_in_yaroslavl: tuple[dict[str, Counter[str]], dict[str, str]]
) -> None:
    assert judged_in_yaroslavl[0][what] == Counter({IN_YAROSLAVL[what][1]: 1})


def test_what_stands_elsewhere_in_yaroslavl_is_said_to_be_skipped(
    judged_in_yaroslavl: tuple[dict[str, Counter[str]], dict[str, str]],
) -> None:
    """Treatment stands below the service there, not below the tumour."""
    outcomes = judged_in_yaroslavl[1]
    assert {outcomes[one] for one in ("Q.03.1030", "Q.03.1090", "Q.02.0460")} == {"skipped"}


def test_rows_below_are_asked_for_only_where_they_stand_below() -> None:
    book = rulebook.load(RuleData(), ["common/official"], "yaroslavl")
    drugs, radio = book.get("Q.03.1490"), book.get("Q.03.1030")
    assert drugs is not None and "FROM lek_pr WHERE lek_pr.up_n = onk_usl.n" in drugs.fails_when
    assert radio is not None and radio.on == "onk_sl" and not radio.mandatory


def test_between_funds_a_group_and_a_group_by_profile_exclude_each_other() -> None:
    def both(document: bytes) -> bytes:
        return document.replace(b"</KSG_PG>", b"</KSG_PG><N_KPG>st01</N_KPG>", 1)

    con, *_ = test_mtr_documents.judged("3.2", change=both)
    book = rulebook.load(RuleData(), ["common/official"], "mtr")
    books.load_for(con, RuleData(), book)
    con.execute("DELETE FROM findings")
    engine.run(con, book)
    assert con.sql("SELECT rule, value FROM findings WHERE element = 'sl.n_kpg'").fetchall() == [("Q.03.1110", "st01")]
