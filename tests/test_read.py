"""Reading a register: every attribute arrives, typed and in its place, whichever way the document is cut."""

from __future__ import annotations

import io
import pickle
import re
from datetime import date
from decimal import Decimal
from hashlib import blake2b

import duckdb
import pytest

from oms_batch.errors import Refusal
from oms_batch.formats import geometry, piecework, reestr_xml, sink
from tests.read_docs import LAYOUT, Maker, dump, plain_rows, read, read_rows, value


def texts(row: dict[str, str], table: str) -> dict[str, str]:
    """The oracle's texts in the form that typed values have."""
    kinds = {one.column: one for one in LAYOUT.tables[table]}
    made = {}
    for column, text in row.items():
        one = kinds[column]
        if one.type == "money":
            text = str(int(Decimal(text) * 100))
        elif one.type == "quantity":
            text = str(Decimal(text).quantize(Decimal(1).scaleb(-one.scale)))
        elif one.type == "int":
            text = str(int(text))
        made[column] = text
    return made


@pytest.mark.parametrize("encoding", ["windows-1251", "utf-8"])
@pytest.mark.parametrize("gap", ["\n", "", "\r\n  "])
@pytest.mark.parametrize("fast", [True, False])
def test_every_attribute_of_the_layout_is_read(encoding: str, gap: str, fast: bool) -> None:
    data = Maker(gap=gap).document(encoding=encoding)
    con, result = read(data, fast=fast)
    expected = plain_rows(data)
    assert all(expected.values()), "the document holds every table"
    found = read_rows(con)
    for table, rows in expected.items():
        assert found[table] == [texts(row, table) for row in rows], table
    assert con.execute("SELECT rule, element FROM findings").fetchall() == []
    assert (result.persons, result.accounts, result.encoding) == (11, len(expected["z_sl"]), encoding)
    assert result.size == len(data)


def test_the_fast_way_is_really_taken() -> None:
    """Else all comparisons of the two ways would compare one with itself."""
    data = Maker().document()  # also where a name has a Cyrillic letter, or is unknown
    assert ways(data) == ways(data.replace(b" sex=", b' colour="1" sex=')) == [True]
    assert ways(data, fast=False) == [False]


def ways(data: bytes, *, fast: bool = True) -> list[bool]:
    """Which way the parts of the patients of a document are read."""
    begin, end = data.index(b"<patients>") + 10, data.index(b"</patients>")
    task = piecework.Task(pickle.dumps(LAYOUT), "windows-1251", begin, 0, data[begin:end], fast)
    return [piece.fast for piece in piecework.work(task)]


@pytest.mark.parametrize(
    "odd",
    [
        (b"<docs>", b'<docs><odd a="2"/>'),  # an unknown element
        (b"<docs>", b'<docs><docs a="2"/>'),  # a known one in an unknown place
        (b"<docs>", b"<docs\n><Odd/>"),
        (b' sex="1"', b" sex='1'"),
        (b' sex="1"', b' sex="&#49;"'),
        (b' sex="1"', b' sex="1\t"'),
        (b"</patient>", b"</patient\n>"),
        (b"<patient ", b'<patient Odd="1" '),
    ],
)
def test_only_the_patient_at_fault_is_read_the_plain_way(odd: tuple[bytes, bytes]) -> None:
    whole = Maker().document(people=30)
    heads = [match.start() for match in re.finditer(b"<patient ", whole)]
    for chosen in ([0], [12], [28, 29], [5, 6, 20]):
        data = whole
        for one in reversed(chosen):
            at = heads[one]
            data = data[:at] + data[at:].replace(*odd, 1)
        assert dump(read(data, piece=10**9)[0]) == dump(read(data, piece=10**9, fast=False)[0])
        taken = ways(data)
        assert taken.count(False) <= 2 * len(chosen)  # it may be unclear to whom of two the odd place belongs
        assert True in taken


def test_a_piece_full_of_faults_is_read_the_plain_way_at_once() -> None:
    data = Maker().document(people=60).replace(b' sex="1"', b" sex='1'")
    assert ways(data) == [False]
    assert dump(read(data, piece=10**9)[0]) == dump(read(data, piece=10**9, fast=False)[0])


@pytest.mark.parametrize("piece", [1, 700, 5_000, 40_000])
def test_cutting_changes_nothing(piece: int) -> None:
    data = Maker().document(people=23)
    whole = dump(read(data, piece=10**9, fast=False)[0])
    assert dump(read(data, piece=piece, fast=True)[0]) == whole
    assert dump(read(data, piece=piece, fast=False)[0]) == whole
    assert sum(map(len, whole.values())) > 500


@pytest.mark.parametrize("patience", [0, 50_000, 10**9])
def test_several_readers_give_the_same_tables(patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, processes, and threads that give way to processes."""
    data = Maker().document(people=40)
    odd = data.replace(b' sex="1"', b" sex='1'")  # the plain way
    monkeypatch.setattr(reestr_xml, "PATIENCE", patience)
    for one in (data, odd):
        assert dump(read(one, workers=2, alone=0, piece=20_000)[0]) == dump(read(one)[0])


def test_the_plain_way_is_left_to_processes() -> None:
    with reestr_xml.Crew(LAYOUT, 1) as crew:
        crew.heard([piecework.Piece({}, [], 0, 0, True, 10**9)])
        assert crew.processes is None
        task = piecework.Task(pickle.dumps(LAYOUT), "windows-1251", 0, 0, b"")
        assert crew.submit(task).result() == []
        assert crew.processes is None
        crew.heard([piecework.Piece({}, [], 0, 0, False, reestr_xml.PATIENCE)])
        assert crew.submit(task).result() == []
        assert crew.processes is not None


def test_findings_are_the_same_however_it_is_cut() -> None:
    data = (
        Maker()
        .document(people=20)
        .replace(b' sex="1"', b' sex="11"')
        .replace(b"<docs>", b'<docs what="1"><odd a="2"/>')
    )
    data = data.replace(b'mkb="', b'mkb="A00.12345678', 9).replace(b' cureend="2018', b' cureend="20-18', 5)
    ways = [dump(read(data, piece=piece, fast=fast)[0]) for piece in (900, 10**9) for fast in (True, False)]
    assert len(ways[0]["findings"]) > 40
    assert ways[0] == ways[1] == ways[2] == ways[3]
    assert dump(read(data, workers=2, alone=0, piece=9_000)[0]) == ways[0]


def test_findings_go_in_by_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Maker().document(people=9).replace(b"<docs>", b'<docs what="1"><odd a="2"/>')
    whole = dump(read(data, piece=2_000)[0])["findings"]
    monkeypatch.setattr(sink, "MOST_FOUND", 3)
    assert dump(read(data, piece=2_000)[0])["findings"] == whole
    assert len(whole) > 12


def test_types_ordinals_and_lines() -> None:
    data = Maker().document()
    con, _ = read(data)
    row = con.execute("SELECT n, up_n, z_sl_n, year, dschet, ogrn_mo FROM register").fetchone()
    assert row == (1, None, None, 2018, date(2018, 9, row[4].day), "1027600000108")
    assert con.execute("SELECT count(*) FROM z_sl WHERE n <> z_sl_n OR up_n <> pers_n").fetchone() == (0,)
    # every row's parent is the account or service around it in the bytes
    bad = """SELECT count(*) FROM usl_sum JOIN usl ON usl.n = usl_sum.up_n WHERE usl.z_sl_n <> usl_sum.z_sl_n"""
    assert con.execute(bad).fetchone() == (0,)
    lines = data.split(b"\n")
    for line, key in con.execute("SELECT line, xkey FROM z_sl").fetchall():
        assert b"<personal_account" in lines[line - 1]
        assert f'xkey="{key}"'.encode() in lines[line - 1]
    for line, mark in con.execute("SELECT line, code FROM flk_test WHERE code IS NOT NULL").fetchall():
        assert lines[line - 1].startswith(f'<test code="{mark}"'.encode())


def test_places_of_accounts_patients_and_splices() -> None:
    data = Maker().document()
    con, _ = read(data, piece=3_000)
    for start, end, key, digest in con.execute("SELECT byte_from, byte_to, xkey, digest FROM z_sl").fetchall():
        piece = data[start:end]
        assert piece.startswith(b"<personal_account ")
        assert piece.endswith((b"</personal_account>", b"/>"))
        assert piece.count(b"<personal_account ") == 1
        assert f' xkey="{key}"'.encode() in piece
        assert digest == blake2b(piece, digest_size=16).hexdigest()
    rows = con.execute("SELECT byte_from, byte_to, accounts_from, accounts_to, id_pac FROM pers").fetchall()
    for start, end, inside, closing, code in rows:
        assert data[start:end].startswith(f'<patient patientcod="{code}"'.encode())
        assert data[start:end].endswith(b"</patient>")
        assert data[:inside].endswith(b"<register_accounts>")
        assert data[closing:].startswith(b"</register_accounts>")
    spots = {what: data[start:end] for what, start, end in con.execute("FROM spot").fetchall()}
    assert spots["body_tag"].startswith(b"<body version=")
    assert spots["bill_tag"].startswith(b"<bill t_opl=")
    assert spots["bill_tag"].endswith(b">")
    assert spots["account_sum"].startswith(b"<account_sum>")
    assert spots["account_sum"].endswith(b"</account_sum>")
    assert spots["patients"].strip().startswith(b"<patient ")
    assert spots["patients"].strip().endswith(b"</patient>")
    assert spots["flk"].startswith(b"<flk ")
    assert spots["flk"].endswith(b"</flk>")


HEAD = (
    '<?xml version="1.0" encoding="windows-1251"?><package><body version="6.15" protocol="Reestr" creator="Ж" '
    'telcreator="1" ogrn_mo="1027600000108" kpp_mo="760401001" year="2018" month="09" date_1="2018-10-01">'
    '<bill t_opl="1" ogrn_smo="1" date_2="2018-10-01" n_out="1" date_in="2018-10-01">'
)
TAIL = "</bill></body></package>"
PERSON = '<patient patientcod="1" surname="Я" name="Я" birthdate="1980-01-01" sex="1">'
ACCOUNT = (
    '<personal_account help_type="1" help_cond="3" n_pp="1" xkey="k" n_card="1" curestart="2018-09-01" '
    'cureend="2018-09-02" doctor="d" spec="1" result="1" vg="2"'
)


def one(inside: str, account: str = ACCOUNT) -> bytes:
    """A register with one account that holds ``inside``."""
    accounts = f"<register_accounts>{account}>{inside}</personal_account></register_accounts>"
    text = f"{HEAD}<patients>{PERSON}{accounts}</patient></patients>{TAIL}"
    return text.encode("cp1251")


def findings(data: bytes) -> list[tuple[object, ...]]:
    return read(data)[0].execute("SELECT rule, element, value, refuses, z_sl_n, pers_n FROM findings").fetchall()


@pytest.mark.parametrize("patients", ["<patients/>", "<patients></patients>", "", "<patients>\n</patients>"])
def test_a_zero_register_is_a_register(patients: str) -> None:
    data = (HEAD + patients + TAIL).encode("cp1251")
    con, result = read(data)
    assert (result.accounts, result.persons, result.findings) == (0, 0, 0)
    spots = {what: (start, end) for what, start, end in con.execute("FROM spot").fetchall()}
    after_bill = data.index(b"<bill") + data[data.index(b"<bill") :].index(b">") + 1
    assert spots["account_sum"] == (after_bill, after_bill)
    assert spots["flk"] == (data.index(b"</body>"), data.index(b"</body>"))


def test_derived_sums_and_diagnosis() -> None:
    sums = '<sum><elem type_acc="1" suml="10.5" sum="10"/><elem type_acc="2" suml="0.07" sum="0"/></sum>'
    service = (
        '<manipulations><manipulation xkey="1" prof_oms="1" det="0" service="A" quantity="1" spec="1" '
        'date_1="2018-09-01" date_2="2018-09-01">'
    )
    con, _ = read(
        one(
            service
            + sums
            + "</manipulation></manipulations>"
            + '<diagnoses><diagnose type="2" mkb="I10"/><diagnose type="1" mkb="J06.9"/></diagnoses>'
            + sums
        )
    )
    assert con.execute("SELECT sumv, sump, ds1 FROM z_sl").fetchone() == (1057, 1000, "J06.9")
    assert con.execute("SELECT sumv_usl, sump_usl, kol_usl FROM usl").fetchone() == (1057, 1000, Decimal("1.00"))
    assert con.execute("SELECT sumv, sump, ds1 FROM z_sl").description[0][0] == "sumv"
    for part in (
        "",
        '<sum><elem type_acc="1" suml="1,5" sum="1"/></sum>',
        '<sum><elem type_acc="1" suml="1"/><elem type_acc="2"/></sum>',
    ):
        assert read(one(part))[0].execute("SELECT sumv, ds1 FROM z_sl").fetchone() == (None, None)


@pytest.mark.parametrize(
    "bad",
    ["1e5", "NaN", "inf", "1,50", "1 000", "1.005", "٣.00", "+1", "1.", ".5", " 1", "0x1", "1_0", "1.00 ", "9" * 14],
)
def test_a_sum_that_is_no_sum(bad: str) -> None:
    data = one(f'<sum><elem type_acc="1" suml="{bad}" sum="1.00"/></sum>'.replace("٣", "&#1635;"))
    assert findings(data) == [("S.00.0030", "personal_account/sum/elem/@suml", bad, "account", 1, 1)]


@pytest.mark.parametrize(
    "bad",
    [
        "2018-13-01",
        "2018-02-29",
        "20180901",
        "01.09.2018",
        "2018-9-1",
        "0000-00-00",
        "2018-09-01 ",
        "2018-09-01T00:00",
        "２018-09-01",
    ],
)
def test_a_date_that_is_no_date(bad: str) -> None:
    bad_bytes = "".join(c if c.isascii() else f"&#{ord(c)};" for c in bad)
    assert findings(one("", ACCOUNT.replace('curestart="2018-09-01"', f'curestart="{bad_bytes}"'))) == [
        ("S.00.0030", "personal_account/@curestart", bad, "account", 1, 1)
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((' xkey="k"', ""), ("S.00.0010", "personal_account/@xkey", "", "account")),
        ((' xkey="k"', ' xkey=""'), ("S.00.0010", "personal_account/@xkey", "", "account")),
        ((' xkey="k"', ' xkey="k" age="5"'), ("S.00.0020", "personal_account/@age", "5", "account")),
        ((' xkey="k"', ' xkey="k" XKEY="5"'), ("S.00.0020", "personal_account/@XKEY", "5", "account")),
        ((' xkey="k"', f' xkey="{"k" * 51}"'), ("S.00.0040", "personal_account/@xkey", "k" * 51, "account")),
        ((' xkey="k"', ' xkey=" k"'), ("S.00.0030", "personal_account/@xkey", " k", "account")),
        ((' xkey="k"', ' xkey="&#1635;"'), ("S.00.0030", "personal_account/@xkey", "\u0663", "account")),
        ((' surname="Я"', ' surname="Я&#9;"'), ("S.00.0030", "patient/@surname", "Я\t", "person")),
        ((' surname="Я"', ""), ("S.00.0010", "patient/@surname", "", "person")),
        ((' birthdate="1980-01-01"', ' birthdate="x"'), ("S.00.0030", "patient/@birthdate", "x", "person")),
        ((' year="2018"', ' year="2O18"'), ("S.00.0030", "body/@year", "2O18", "register")),
        ((' n_out="1"', ""), ("S.00.0010", "bill/@n_out", "", "register")),
        (("<patients>", "<odd/><patients>"), ("S.00.0020", "bill/odd", "", "register")),
        (
            ("<register_accounts>", "<odd><deep a='1'/></odd><register_accounts>"),
            ("S.00.0020", "patient/odd", "", "person"),
        ),
        (("</personal_account>", "<odd/></personal_account>"), ("S.00.0020", "personal_account/odd", "", "account")),
    ],
)
def test_structural_findings(change: tuple[str, str], expected: tuple[str, str, str, str]) -> None:
    data = one("").decode("cp1251").replace(*change).encode("cp1251")
    assert [row[:4] for row in findings(data)] == [expected]


def test_what_may_stand_once_stands_once() -> None:
    add = '<additionals><additional division="1" finsource="1" type_r="{}"/>{}</additionals>'
    second = '<additional division="2" finsource="1" type_r="2"/>'
    con, _ = read(one(add.format(1, second)))
    assert con.execute("SELECT podr, pr_nov FROM z_sl").fetchone() == ("1", "1")  # the first stays
    assert con.execute("SELECT rule, element FROM findings").fetchall() == [
        ("S.00.0050", "personal_account/additionals/additional")
    ]
    # also when the second has other attributes, which earlier accounts had
    third = '<additional type_r="3" division="3" finsource="1"/>'
    account = one(add.format(1, third)).decode("cp1251")
    both = ACCOUNT + "><additionals>" + third + "</additionals></personal_account>" + ACCOUNT
    for fast in (True, False):
        con, _ = read(account.replace(ACCOUNT, both).encode("cp1251"), fast=fast)
        assert con.execute("SELECT podr FROM z_sl ORDER BY n").fetchall() == [("3",), ("1",)]
    rows = findings(one("<sum/><sum/>"))
    assert [row[:2] for row in rows] == [("S.00.0050", "personal_account/sum")]


def test_register_types_have_their_own_elements() -> None:
    inside = "<consiliums><consilium pr='1'/></consiliums>"
    assert findings(one(inside)) == []
    wrong = findings(one(inside, ACCOUNT.replace('vg="2"', 'vg="6"')))
    assert wrong == [("S.00.0060", "consiliums", "6", "account", 1, 1)]
    unknown = findings(one(inside, ACCOUNT.replace('vg="2"', 'vg="99"')))
    assert unknown == []  # a type that nobody knows is another rule's finding


def test_entities_and_quotes() -> None:
    text = one("", ACCOUNT + ' comment="a &amp; &lt;b&gt; &quot;c&quot; &#39;d&apos;"').decode("cp1251")
    for data in (text, text.replace('xkey="k"', "xkey='k'"), text.replace('n_card="1"', "n_card='\"1\"'")):
        con, _ = read(data.encode("cp1251"))
        assert con.execute("SELECT comentsl FROM z_sl").fetchone() == ("a & <b> \"c\" 'd'",)
        assert con.execute("SELECT xkey FROM z_sl").fetchone() == ("k",)
        assert con.execute("SELECT count(*) FROM findings").fetchone() == (0,)


def test_line_ends_inside_values_become_blanks() -> None:
    con, _ = read(one("", ACCOUNT + ' comment="a\nb\tc"'))
    assert con.execute("SELECT comentsl FROM z_sl").fetchone() == ("a b c",)


def test_end_of_a_tag_is_found_behind_quotes() -> None:
    assert geometry.tag_end(b"<a b='>' c=\">\">x", 0) == 15
    assert geometry.tag_end(b"<a b='>", 0) == -1


def test_the_order_within_an_account_is_free() -> None:
    a = '<sum><elem type_acc="1" suml="1" sum="1"/></sum>'
    b = '<diagnoses><diagnose type="1" mkb="A00"/></diagnoses>'
    assert findings(one(a + b)) == findings(one(b + a)) == []


def test_nothing_stays_behind_a_refusal() -> None:
    con = duckdb.connect()
    with pytest.raises(Refusal):
        read(one("")[:-20], con=con)
    assert con.execute("SHOW TABLES").fetchall() == []
    read(one(""), con=con)
    with pytest.raises(duckdb.CatalogException):
        read(one(""), con=con)
    assert con.execute("SELECT count(*) FROM z_sl").fetchone() == (1,)


def test_values_of_the_maker_are_valid() -> None:
    assert value(LAYOUT.nodes["/package/body"].fields["year"], 5) == "2018"
    assert io.BytesIO(Maker().document()).read(5) == b"<?xml"
