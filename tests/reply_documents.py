"""Small documents for the tests of answers, and the tables that reading one of them gives.

The little reader here is not the program's: it is what the tests of answers measure against.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

import duckdb
from lxml import etree

TABLES = """
CREATE TABLE register(n BIGINT, nschet VARCHAR, plat_ogrn VARCHAR);
CREATE TABLE pers(n BIGINT, line INTEGER, id_pac VARCHAR, fam VARCHAR, im VARCHAR, ot VARCHAR, dr DATE,
    byte_from BIGINT, byte_to BIGINT, accounts_from BIGINT, accounts_to BIGINT);
CREATE TABLE z_sl(n BIGINT, pers_n BIGINT, line INTEGER, xkey VARCHAR, idcase VARCHAR, date_z_1 DATE, date_z_2 DATE,
    ds1 VARCHAR, pay VARCHAR, sumv BIGINT, sump BIGINT, byte_from BIGINT, byte_to BIGINT);
CREATE TABLE z_sl_sum(n BIGINT, z_sl_n BIGINT, type_acc VARCHAR, suml BIGINT, sum_acc BIGINT);
CREATE TABLE usl(n BIGINT, z_sl_n BIGINT, idserv VARCHAR);
CREATE TABLE sum_t(n BIGINT, type_acc VARCHAR, amountl BIGINT, amount BIGINT);
CREATE TABLE an_mes(n BIGINT, z_sl_n BIGINT, an_mes VARCHAR);
CREATE TABLE spot(what VARCHAR, byte_from BIGINT, byte_to BIGINT);
CREATE TABLE findings(rule VARCHAR, run_pass VARCHAR, severity VARCHAR, unit VARCHAR, n BIGINT, z_sl_n BIGINT,
    pers_n BIGINT, element VARCHAR, value VARCHAR, line INTEGER, refuses VARCHAR);
"""


def kopecks(value: str | None) -> int | None:
    return None if value is None else round(float(value) * 100)


def tables_of(document: bytes) -> duckdb.DuckDBPyConnection:
    """The tables of a document, in memory."""
    con = duckdb.connect()
    con.execute(TABLES)
    parser = expat.ParserCreate()
    rows: dict[str, list[list[Any]]] = {}
    spots: dict[str, tuple[int, int]] = {}
    path: list[str] = []
    opened: list[tuple[str, int]] = []
    last: dict[str, Any] = {}

    def end_of_tag(at: int) -> int:
        quote = 0
        for index in range(at, len(document)):
            byte = document[index]
            if quote:
                quote = 0 if byte == quote else quote
            elif byte in b"\"'":
                quote = byte
            elif byte == ord(">"):
                return index + 1
        raise AssertionError

    def add(table: str, *values: Any) -> list[Any]:
        row = [len(rows.setdefault(table, [])) + 1, *values]
        rows[table].append(row)
        return row

    def start(name: str, given: dict[str, str]) -> None:
        at, line = parser.CurrentByteIndex, parser.CurrentLineNumber
        path.append(name)
        opened.append((name, at))
        inner = end_of_tag(at)
        if name == "bill":
            spots["bill_tag"] = (at, inner)
            spots["account_sum"] = (inner, inner)
            add("register", given.get("n_out"), given.get("ogrn_smo"))
        elif name == "patients":
            spots["patients"] = (inner, inner)
        elif name == "account_elem" and path[-2] == "account_elem_t":
            add("sum_t", given["type_acc"], kopecks(given.get("amountl")), kopecks(given.get("amount")))
        elif name == "patient":
            last["pers"] = add(
                "pers",
                line,
                given["patientcod"],
                given.get("surname"),
                given.get("name"),
                None,
                None,
                at,
                0,
                None,
                None,
            )
        elif name == "register_accounts":
            last["pers"][9] = inner
        elif name == "personal_account":
            last["z_sl"] = add(
                "z_sl",
                last["pers"][0],
                line,
                given["xkey"],
                given["n_pp"],
                given["curestart"],
                given["cureend"],
                None,
                None,
                0,
                0,
                at,
                0,
            )
        elif name == "diagnose" and path[-3] == "personal_account" and given["type"] == "1":
            last["z_sl"][7] = given["mkb"]
        elif name == "manipulation":
            add("usl", last["z_sl"][0], given["xkey"])
        elif name == "smo":
            last["z_sl"][8] = given["pay"]
        elif name == "an_mes":
            add("an_mes", last["z_sl"][0], given["an_mes"])
        elif name == "elem" and path[-3] == "personal_account":
            claimed, accepted = kopecks(given.get("suml")), kopecks(given.get("sum"))
            add("z_sl_sum", last["z_sl"][0], given["type_acc"], claimed, accepted)
            last["z_sl"][9] += claimed or 0
            last["z_sl"][10] += accepted or 0

    def end(name: str) -> None:
        at = parser.CurrentByteIndex
        path.pop()
        begun = opened.pop()[1]
        empty = document[end_of_tag(begun) - 2 : end_of_tag(begun)] == b"/>"
        after = end_of_tag(begun) if empty else end_of_tag(at)
        if name in ("account_sum", "flk"):
            spots[name] = (begun, after)
        elif name == "patients":
            spots["patients"] = (spots["patients"][0], at if not empty else spots["patients"][0])
        elif name == "patient":
            last["pers"][8] = after
        elif name == "register_accounts":
            last["pers"][10] = last["pers"][9] if empty else at
        elif name == "personal_account":
            last["z_sl"][12] = after
        elif name == "body":
            spots.setdefault("flk", (at, at))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(document, True)
    for table, found in rows.items():
        marks = ", ".join("?" * len(found[0]))
        if table == "z_sl":
            con.executemany(f"INSERT INTO z_sl VALUES ({marks})", found)
        else:
            con.executemany(f"INSERT INTO {table} VALUES ({marks})", found)
    con.executemany("INSERT INTO spot VALUES (?, ?, ?)", [[what, *span] for what, span in spots.items()])
    return con


def account(n: int, *, claimed: tuple[str, ...] = ("100.00", "25.50"), smo: str = "", more: str = "") -> str:
    """One account; ``smo`` is put at its end as given."""
    elems = "".join(f'<elem type_acc="{i}" suml="{s}" sum="{s}"/>' for i, s in enumerate(claimed, 1))
    return (
        f'<personal_account n_pp=\'{n}\' xkey="K-{n}" curestart="2026-10-01" cureend="2026-10-0{n % 9 + 1}"'
        f' comment="a &gt; b > c">\n  <manipulations><manipulation xkey="U-{n}"><sum>{elems}</sum></manipulation>'
        f"</manipulations>\n  <diagnoses><diagnose type='1' mkb='J06.9'/></diagnoses>{more}\n  <sum>{elems}</sum>{smo}"
        f"\n</personal_account>"
    )


def patient(n: int, *accounts: str, end: str = "", name: str = "Иванов") -> str:
    inside = "".join(f"\n   {one}" for one in accounts)
    return (
        f'<patient patientcod="P{n}" surname="{name}"><unknown keep = "me"/>'
        f"<register_accounts>{inside}\n  </register_accounts>{end}</patient>"
    )


def document(*patients: str, totals: str = "", flk: str = "", tail: str = "", encoding: str = "windows-1251") -> bytes:
    inside = "".join(f"\n {one}" for one in patients)
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n<package><body version=\'6.15\'>'
        f'<bill t_opl="1" ogrn_smo=\'1027600000306\' n_out="12">{totals}<patients>{inside}\n</patients>{tail}</bill>\n'
        f"{flk}</body></package>\n"
    ).encode(encoding, "xmlcharrefreplace")


def totals(claimed: tuple[str, str], accepted: tuple[str, str] | None = None) -> str:
    rows = "".join(
        f'<account_elem type_acc="{i}" amountl="{a}" amount="{b}"/>'
        for i, (a, b) in enumerate(zip(claimed, accepted or claimed, strict=True), 1)
    )
    return f"<account_sum><account_elem_t>{rows}</account_elem_t><account_elem_s/></account_sum>"


def verdict(con: duckdb.DuckDBPyConnection, *rows: tuple[Any, ...]) -> None:
    """The table of verdicts: (z_sl_n, refused, rule, defect, withheld, payer)."""
    con.execute(
        """CREATE TABLE IF NOT EXISTS verdicts(z_sl_n BIGINT, pers_n BIGINT, xkey VARCHAR, idcase VARCHAR, sumv BIGINT,
        refused BOOLEAN, rule VARCHAR, defect VARCHAR, kod VARCHAR, withheld BIGINT, payer VARCHAR)"""
    )
    for n, refused, rule, defect, withheld, payer in rows:
        con.execute(
            """INSERT INTO verdicts SELECT n, pers_n, xkey, idcase, sumv, ?, ?, ?, '53', ?, ? FROM z_sl WHERE n = ?""",
            [refused, rule, defect, withheld, payer, n],
        )


def finding(
    con: duckdb.DuckDBPyConnection,
    rule: str,
    *,
    z_sl_n: int | None = None,
    pers_n: int | None = None,
    element: str = "z_sl.rslt",
    value: str = "",
    severity: str = "reject",
    unit: str = "z_sl",
    n: int | None = None,
) -> None:
    con.execute(
        "INSERT INTO findings VALUES (?, 'sense', ?, ?, ?, ?, ?, ?, ?, 7, 'account')",
        [rule, severity, unit, n if n is not None else z_sl_n, z_sl_n, pers_n, element, value],
    )


def parsed(raw: bytes) -> Any:
    """The tree of a document, as another parser sees it."""
    return etree.fromstring(raw)
