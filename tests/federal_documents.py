"""Small valid documents of the federal form (H, C, T, D and their L), and what a judge would say of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, BinaryIO

import duckdb
from lxml import etree

from oms_batch.exchange import load_profile
from oms_batch.formats import canon, federal_xml
from oms_batch.intake import names
from oms_batch.ruledata import RuleData

PROFILE = load_profile("federal", RuleData())
TYPES = {"H": ("3.2", "3.2"), "C": ("3.1", "3.1"), "T": ("3.1", "3.1"), "DO": ("3.1", "3.1")}  # versions: main, persons
CODES = {"H": "1", "C": "2", "T": "3", "DO": "4"}


@dataclass(frozen=True)
class Account:
    """One completed case: sums of its cases in kopecks, the person, and what an earlier stage put in."""

    n: int
    sums: tuple[int, ...] = (12550,)
    person: int = 1
    smo: str = ""
    marks: str = ""
    day: str = "2026-01-12"
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def sumv(self) -> int:
        return sum(self.sums)


@dataclass(frozen=True)
class Pair:
    """A main document and that of its persons, with the name of the first."""

    main: bytes
    persons: bytes
    name: str
    kind: str


def money(kopecks: int) -> str:
    return f"{kopecks // 100}.{kopecks % 100:02d}"


def tree(name: str, *inside: Any) -> etree._Element:
    """An element: pairs (name, text) are leaves, those without a text are left out."""
    node = etree.Element(name)
    for one in inside:
        if isinstance(one, tuple):
            if one[1] is not None:
                etree.SubElement(node, one[0]).text = str(one[1])
        elif one is not None:
            node.append(one)
    return node


def _patient(kind: str, one: Account) -> etree._Element:
    new = kind == "H"
    number = f"7600000000{one.person:06d}"
    return tree(
        "PACIENT",
        ("ID_PAC", f"P{one.person}"),
        ("VPOLIS", "3"),
        ("NPOLIS", number if kind in ("C", "T") else None),
        ("ENP", number if new or kind.startswith("D") else None),
        ("SMO", one.smo or None),
        ("NOVOR", "0"),
    )


def _service(kind: str, one: Account, place: int, kopecks: int) -> etree._Element:
    prophylactic = kind.startswith("D")
    team = tree("MR_USL_N", ("MR_N", "1"), ("PRVS", "17"), ("CODE_MD", "112-233-445 95"))
    many = kind == "H" or prophylactic
    return tree(
        "USL",
        ("IDSERV", f"{one.n}-{place}"),
        ("LPU", "760001"),
        ("LPU_1", "1"),
        ("PODR", None if prophylactic else "12"),
        ("PROFIL", None if prophylactic else "16"),
        ("DET", None if prophylactic else "0"),
        ("DATE_IN", one.day),
        ("DATE_OUT", one.day),
        ("P_OTK", "0" if prophylactic else None),
        ("DS", None if prophylactic else "L42"),
        ("CODE_USL", "601029"),
        ("KOL_USL", None if prophylactic else "1.00"),
        ("TARIF", money(kopecks)),
        ("SUMV_USL", money(kopecks)),
        ("PRVS", None if many else "17"),
        ("CODE_MD", None if many else "112-233-445 95"),
        team if many else None,
        ("COMENTU", "a > b & <c>"),
    )


def _case(kind: str, one: Account, place: int, kopecks: int) -> etree._Element:
    high, cancer, prophylactic = kind == "T", kind == "C", kind.startswith("D")
    return tree(
        "SL",
        ("SL_ID", f"{one.n}/{place}"),
        ("VID_HMP", "01.00.1.001" if high else None),
        ("METOD_HMP", "1" if high else None),
        ("LPU_1", "1"),
        ("PODR", None if prophylactic else "12"),
        ("PROFIL", None if prophylactic else "16"),
        ("PROFIL_K", "1" if high else None),
        ("DET", None if prophylactic else "0"),
        ("TAL_D", one.day if high else None),
        ("TAL_NUM", "1" if high else None),
        ("TAL_P", one.day if high else None),
        ("NHISTORY", f"история {one.n}"),
        ("DATE_1", one.day),
        ("DATE_2", one.day),
        ("DS1", "C49.1" if cancer else "L42"),
        ("C_ZAB", None if prophylactic or high else "1"),
        ("DS_ONK", "0" if kind != "H" else None),
        ("PR_D_N", "3" if prophylactic else None),
        tree("CONS", ("PR_CONS", "0")) if cancer else None,
        tree("ONK_SL", ("DS1_T", "6")) if cancer else None,
        ("PRVS", None if prophylactic else "17"),
        ("VERS_SPEC", None if prophylactic else "V021"),
        ("IDDOKT", None if prophylactic else "112-233-445 95"),
        ("ED_COL", "1.00"),
        ("TARIF", money(kopecks)),
        ("SUM_M", money(kopecks)),
        _service(kind, one, place, kopecks),
    )


def _account(kind: str, one: Account) -> etree._Element:
    prophylactic = kind.startswith("D")
    node = tree(
        "Z_SL",
        ("IDCASE", one.n),
        ("USL_OK", None if prophylactic else "3"),
        ("VIDPOM", "13"),
        ("FOR_POM", None if prophylactic else "3"),
        ("NPR_MO", "760002" if kind == "T" else None),
        ("NPR_DATE", one.day if kind == "T" else None),
        ("LPU", "760001"),
        ("VBR", "0" if prophylactic else None),
        ("DATE_Z_1", one.day),
        ("DATE_Z_2", one.day),
        ("P_OTK", "0" if prophylactic else None),
        ("RSLT_D", "1" if prophylactic else None),
        ("RSLT", None if prophylactic else "314"),
        ("ISHOD", None if prophylactic else "304"),
        *(_case(kind, one, place, kopecks) for place, kopecks in enumerate(one.sums, 1)),
        ("IDSP", "29"),
        ("SUMV", money(one.sumv)),
    )
    for mark in etree.fromstring(f"<x>{one.marks}</x>"):
        node.append(mark)
    return node


def documents(
    accounts: Sequence[Account],
    *,
    kind: str = "H",
    number: str = "1",
    indent: str = "  ",
    encoding: str = "windows-1251",
    head: Mapping[str, str] | None = None,
) -> Pair:
    """The pair of an organisation's register for January 2026; ``head``: more elements of SCHET by name."""
    versions, letter = TYPES[kind], "L" if kind == "H" else "L" + (kind if len(kind) == 1 else kind[1:])
    rest = f"M760001T76_2601{number}"
    more = dict(head or {})
    main = tree(
        "ZL_LIST",
        tree(
            "ZGLV",
            ("VERSION", versions[0]),
            ("DATA", "2026-02-02"),
            ("FILENAME", kind + rest),
            ("SD_Z", len(accounts)),
        ),
        tree(
            "SCHET",
            ("CODE", f"2601{CODES[kind]}0{number}"),
            ("CODE_MO", "760001"),
            ("YEAR", "2026"),
            ("MONTH", "1"),
            ("NSCHET", "12-Я"),
            ("DSCHET", "2026-02-02"),
            ("PLAT", more.get("PLAT")),
            ("SUMMAV", money(sum(one.sumv for one in accounts))),
            ("COMENTS", "Кедр & Ко"),
            *((name, more.get(name)) for name in ("SUMMAP", "SANK_MEK", "SANK_MEE", "SANK_EKMP", "DISP")),
        ),
        *(tree("ZAP", ("N_ZAP", one.n), ("PR_NOV", "0"), _patient(kind, one), _account(kind, one)) for one in accounts),
    )
    people = sorted({one.person for one in accounts})
    persons = tree(
        "PERS_LIST",
        tree(
            "ZGLV",
            ("VERSION", versions[1]),
            ("DATA", "2026-02-02"),
            ("FILENAME", letter + rest),
            ("FILENAME1", kind + rest),
        ),
        *(
            tree(
                "PERS",
                ("ID_PAC", f"P{n}"),
                ("FAM", "Иванов"),
                ("IM", "Пётр"),
                ("W", "1"),
                ("DR", f"1980-01-{n % 28 + 1:02d}"),
            )
            for n in people
        ),
    )
    return Pair(as_bytes(main, indent, encoding), as_bytes(persons, indent, encoding), kind + rest, kind)


def old_documents(records: Sequence[Sequence[Account]], *, indent: str = " ") -> Pair:
    """The pair of a register of version 2.1 for January 2018: records with several cases (SLUCH) each."""
    rest = "M760001T76_18011"
    every = [one for record in records for one in record]
    main = tree(
        "ZL_LIST",
        tree("ZGLV", ("VERSION", "2.1"), ("DATA", "2018-02-02"), ("FILENAME", f"H{rest}")),
        tree(
            "SCHET",
            *(("CODE", "1"), ("CODE_MO", "760001"), ("YEAR", "2018"), ("MONTH", "1"), ("NSCHET", "1")),
            *(("DSCHET", "2018-02-02"), ("SUMMAV", money(sum(one.sumv for one in every)))),
        ),
        *(
            tree(
                "ZAP",
                *(("N_ZAP", n), ("PR_NOV", "0")),
                tree("PACIENT", ("ID_PAC", f"P{n}"), ("VPOLIS", "3"), ("NPOLIS", f"7600000000{n:06d}"), ("NOVOR", "0")),
                *(_old_case(one) for one in record),
            )
            for n, record in enumerate(records, 1)
        ),
    )
    persons = tree(
        "PERS_LIST",
        tree("ZGLV", ("VERSION", "2.1"), ("DATA", "2018-02-02"), ("FILENAME", f"L{rest}"), ("FILENAME1", f"H{rest}")),
        *(
            tree("PERS", ("ID_PAC", f"P{n}"), ("FAM", "Иванов"), ("IM", "Пётр"), ("W", "1"), ("DR", "1980-01-01"))
            for n in range(1, len(records) + 1)
        ),
    )
    return Pair(as_bytes(main, indent, "windows-1251"), as_bytes(persons, indent, "windows-1251"), f"H{rest}", "H")


def _old_case(one: Account) -> etree._Element:
    day, sums = "2018-01-12", ("SUMV", money(one.sumv))
    service = tree(
        "USL",
        *(("IDSERV", f"{one.n}-1"), ("LPU", "760001"), ("PROFIL", "16"), ("DET", "0"), ("DATE_IN", day)),
        *(("DATE_OUT", day), ("DS", "L42"), ("CODE_USL", "601029"), ("KOL_USL", "1.00"), ("TARIF", money(one.sumv))),
        *(("SUMV_USL", money(one.sumv)), ("PRVS", "17"), ("CODE_MD", "1")),
    )
    return tree(
        "SLUCH",
        *(("IDCASE", one.n), ("USL_OK", "3"), ("VIDPOM", "13"), ("FOR_POM", "3"), ("LPU", "760001")),
        *(("PROFIL", "16"), ("DET", "0"), ("NHISTORY", f"{one.n}"), ("DATE_1", day), ("DATE_2", day), ("DS1", "L42")),
        *(("RSLT", "314"), ("ISHOD", "304"), ("PRVS", "17"), ("IDDOKT", "1"), ("IDSP", "29"), sums),
        service,
    )


def as_bytes(root: etree._Element, indent: str, encoding: str) -> bytes:
    if indent:
        etree.indent(root, space=indent)
    return bytes(etree.tostring(root, encoding=encoding, xml_declaration=True))  # type: ignore[arg-type]


def kopecks(value: str | None) -> int | None:
    return None if value is None else int(Decimal(value) * 100)


def tables_of(pair: Pair, *more: tuple[str, bytes]) -> duckdb.DuckDBPyConnection:
    """The tables of a pair of documents, in memory; ``more``: other members with their layouts (``A:mek``)."""
    named = names.identify(f"{pair.name}.zip", PROFILE)
    side = {"layout": PROFILE.stages[named.stage].layout}
    roles = {one.role: one.layout.format_map({**named.parts, **side}) for one in PROFILE.members_of(named.stage)}
    members: dict[str, BinaryIO] = {"main": io.BytesIO(pair.main), "persons": io.BytesIO(pair.persons)}
    for layout, raw in more:
        roles[layout], members[layout] = layout, io.BytesIO(raw)
    con = duckdb.connect()
    federal_xml.read_members(members, {role: roles[role] for role in members}, PROFILE, con)
    canon.apply(con, PROFILE.rules, PROFILE.id, named)
    return con


# ---- what the judge would say ----------------------------------------------------------------------


def verdict(con: duckdb.DuckDBPyConnection, *rows: tuple[Any, ...]) -> None:
    """The table of verdicts: (z_sl_n, refused, rule, defect, kod, withheld, payer)."""
    con.execute(
        """CREATE TABLE IF NOT EXISTS verdicts(z_sl_n BIGINT, pers_n BIGINT, xkey VARCHAR, idcase VARCHAR, sumv BIGINT,
        refused BOOLEAN, rule VARCHAR, defect VARCHAR, kod VARCHAR, withheld BIGINT, payer VARCHAR)"""
    )
    for n, *told in rows:
        con.execute(
            "INSERT INTO verdicts SELECT n, pers_n, xkey, idcase, sumv, ?, ?, ?, ?, ?, ? FROM z_sl WHERE n = ?",
            [*told, n],
        )


def finding(
    con: duckdb.DuckDBPyConnection,
    rule: str,
    z_sl_n: int | None,
    *,
    unit: str = "z_sl",
    n: int | None = None,
    element: str = "z_sl.rslt",
    value: str = "",
    severity: str = "reject",
    pers_n: int | None = None,
) -> None:
    """A row of findings."""
    con.execute(
        "INSERT INTO findings VALUES (?, 'sense', ?, ?, ?, ?, ?, ?, ?, 7, 'account')",
        [rule, severity, unit, n if n is not None else z_sl_n, z_sl_n, pers_n, element, value],
    )


def found(con: duckdb.DuckDBPyConnection, *rows: tuple[int, str | None, bool]) -> None:
    """The table of identification: (z_sl_n, smo, ambiguous)."""
    con.execute("CREATE TABLE ident(z_sl_n BIGINT, pers_n BIGINT, smo VARCHAR, found BOOLEAN, ambiguous BOOLEAN)")
    con.executemany(
        "INSERT INTO ident SELECT n, pers_n, $smo, $smo IS NOT NULL, $two FROM z_sl WHERE n = $n",
        [{"n": n, "smo": smo, "two": two} for n, smo, two in rows],
    )
