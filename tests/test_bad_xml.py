"""Documents that are refused, each with its own code, and a storm of mutations that must never be misread."""

from __future__ import annotations

import random
import re
from collections import Counter

import duckdb
import pytest
from lxml import etree

from oms_batch.errors import Refusal
from tests.read_docs import Maker, plain_rows, read, read_rows
from tests.test_read import ACCOUNT, HEAD, TAIL, one, texts

GOOD = one("").decode("cp1251")
UTF8 = GOOD.replace("windows-1251", "utf-8")
CYRILLIC = GOOD.replace('creator="Ж"', 'creator="ГУЗ ЯО Областная клиническая больница города Ярославля"')


def refused(data: bytes | str, **cut: int) -> Refusal:
    raw = data if isinstance(data, bytes) else data.encode("cp1251")
    with pytest.raises(Refusal) as caught:
        read(raw, **cut)
    return caught.value


def inside(text: str) -> str:
    """The good register with something between account and patient end."""
    return GOOD.replace("</register_accounts>", text + "</register_accounts>")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (GOOD.replace("<package>", "<!DOCTYPE package><package>"), "XML_DTD"),
        (GOOD.replace("<package>", '<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><package>'), "XML_DTD"),
        (GOOD.replace("<package>", '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><package>'), "XML_DTD"),
        (inside("<!DOCTYPE a>"), "XML_DTD"),
        (inside("<!-- -->"), "XML_MIXED"),
        (inside("<!-- </patient> -->"), "XML_MIXED"),
        (inside("<?go on?>"), "XML_MIXED"),
        (inside("<![CDATA[ ]]>"), "XML_MIXED"),
        (inside("text"), "XML_MIXED"),
        (inside("&#65;"), "XML_MIXED"),
        (GOOD.replace("<bill ", "text<bill "), "XML_MIXED"),
        (GOOD.replace("<bill ", "<!-- --><bill "), "XML_MIXED"),
        (GOOD.replace("</body>", "text</body>"), "XML_MIXED"),
        (GOOD + "<!-- -->", "XML_MIXED"),
        (GOOD.replace("<package>", "<?xml-stylesheet href='a'?><package>"), "XML_FOREIGN"),
        (inside('<xi:include href="a"/>'), "XML_FOREIGN"),
        (inside('<odd xmlns:xi="http://www.w3.org/2001/XInclude"/>'), "XML_FOREIGN"),
        (GOOD.replace("<package>", '<package xsi:schemaLocation="a b">'), "XML_FOREIGN"),
        (GOOD.replace("<package>", '<package xmlns="urn:x">'), "XML_NAMESPACE"),
        (GOOD.replace("<package>", '<package xmlns:p="urn:x">'), "XML_NAMESPACE"),
        (inside('<odd xmlns=""/>'), "XML_NAMESPACE"),
        (inside("<p:odd/>"), "XML_NAMESPACE"),
        (GOOD.replace(' n_card="1"', f' n_card="{"9" * 70_000}"'), "XML_LIMIT"),
        (GOOD.replace('creator="Ж"', f'creator="{"9" * 70_000}"'), "XML_LIMIT"),
        (inside("<odd>" * 300 + "</odd>" * 300), "XML_LIMIT"),
        (inside(f"<odd {' '.join(f'a{i}=' + chr(34) * 2 for i in range(200))}/>"), "XML_LIMIT"),
        (inside(f"<{'a' * 60_000}/>"), "XML_LIMIT"),
        (inside(f"<odd {'a' * 60_000}=''/>"), "XML_LIMIT"),
        (GOOD[:-30], "XML_SYNTAX"),
        (GOOD[: GOOD.index("<personal_account") + 40], "XML_SYNTAX"),
        (GOOD[: GOOD.index("<bill") + 9], "XML_SYNTAX"),
        (GOOD + "<package/>", "XML_SYNTAX"),
        (GOOD + "garbage", "XML_SYNTAX"),
        (inside("\0"), "XML_SYNTAX"),
        (GOOD.replace('n_card="1"', 'n_card="&#1;"'), "XML_SYNTAX"),
        (GOOD.replace('n_card="1"', 'n_card="&nbsp;"'), "XML_SYNTAX"),
        (GOOD.replace('n_card="1"', 'n_card="<"'), "XML_SYNTAX"),
        (GOOD.replace('n_card="1"', "n_card=1"), "XML_SYNTAX"),
        (GOOD.replace('n_card="1"', 'n_card="1" n_card="2"'), "XML_DUPLICATE"),
        (GOOD.replace("</patient>", "</patients>", 1), "XML_SYNTAX"),
        (GOOD.replace("package>", "paket>"), "XML_SCHEMA"),
        (GOOD.replace("<bill ", "<bil ").replace("</bill>", "</bil>").replace("patient", "man"), "XML_SCHEMA"),
        (HEAD + "<patients/><patients/>" + TAIL, "XML_SCHEMA"),
        (HEAD + "<patients/><account_sum/>" + TAIL, "XML_SCHEMA"),
        (HEAD + "<patients/></bill><bill/></body></package>", "XML_SCHEMA"),
        (HEAD + "<patients/></bill></body><body/></package>", "XML_SCHEMA"),
        ('<?xml version="1.0" encoding="windows-1251"?><package></package>', "XML_SCHEMA"),
        (inside("<patient/>"), "XML_SCHEMA"),
        (inside("<odd><patient></patient></odd>"), "XML_SCHEMA"),
        (GOOD.replace("</personal_account>", "<personal_account/></personal_account>"), "XML_SCHEMA"),
        (GOOD.replace("<register_accounts>", "<register_accounts><register_accounts/>"), "XML_SCHEMA"),
        (GOOD.replace('version="1.0"', 'version="1.1"', 1), "XML_SYNTAX"),
        (GOOD.replace('version="1.0"', "version='1.b'", 1), "XML_SYNTAX"),
        (GOOD.replace("windows-1251", "KOI8-R"), "XML_ENCODING"),
        (GOOD.replace("windows-1251", "utf-7"), "XML_ENCODING"),
        (GOOD.replace("windows-1251", "'\">&").replace("Ж", "Z"), "XML_ENCODING"),
        (UTF8.encode("utf-16"), "XML_ENCODING"),
        (UTF8.encode("utf-16-le"), "XML_ENCODING"),
        (UTF8.encode("utf-32"), "XML_ENCODING"),
        (UTF8.encode("utf-7").replace(b"<", b"+ADw-", 1), "XML_ENCODING"),
        (UTF8.encode("cp500", "replace"), "XML_ENCODING"),
        (b"\xef\xbb\xbf" + GOOD.encode("cp1251"), "XML_ENCODING_MISMATCH"),
        (CYRILLIC.replace("Ж", "И").encode("utf-8"), "XML_ENCODING_MISMATCH"),
        (UTF8.encode("cp1251"), "XML_ENCODING_MISMATCH"),
        (b"", "FILE_FORMAT"),
        (b"   not xml", "FILE_FORMAT"),
        (b"\x89PNG\r\n\x1a\n", "FILE_FORMAT"),
    ],
)
@pytest.mark.parametrize("piece", [64, 10**9])
def test_a_bad_document_is_refused_with_its_code(data: bytes | str, code: str, piece: int) -> None:
    assert refused(data, piece=piece).code == code


@pytest.mark.parametrize("declared", ["", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-8"?>'])
def test_utf8_with_and_without_mark(declared: str) -> None:
    text = UTF8.replace('<?xml version="1.0" encoding="utf-8"?>', declared)
    for data in (text.encode(), text.encode("utf-8-sig")):
        con, result = read(data)
        assert con.execute("SELECT fam FROM pers").fetchone() == ("Я",)
        place = con.execute("SELECT byte_from, byte_to FROM z_sl").fetchone()
        assert place is not None
        assert data[place[0] : place[1]].startswith(b"<personal_account")
        assert result.encoding == "utf-8"


def test_a_comment_before_the_root_is_nothing() -> None:
    con, _ = read(GOOD.replace("<package>", "<!-- <patients> '\" --><package>").encode("cp1251"))
    assert con.execute("SELECT count(*) FROM z_sl").fetchone() == (1,)


def test_real_russian_text_is_no_mojibake() -> None:
    names = "СЁМИН РЁМИН Сёмин Ёлкин РУЖЬЁ № 5 «Рёв» — С°"
    read(GOOD.replace('surname="Я"', f'surname="{names}"').encode("cp1251"))


def test_the_place_is_shown_by_line_and_column() -> None:
    refusal = refused(GOOD.replace("<bill ", "\n\n  <bill <"))
    assert re.fullmatch(r"line 3, column \d+", refusal.problems[0].place)
    far = "\n".join(
        [GOOD.replace("<register_accounts>", "\n" * 40 + "<register_accounts>").replace("</patient>", "<</patient>")]
    )
    assert refused(far).problems[0].place == refused(far, piece=64).problems[0].place
    assert refused(far).problems[0].place.startswith("line 41,")


def test_no_value_of_the_file_is_told() -> None:
    for text in (
        GOOD.replace("Я", "Тайна")[:-30],
        GOOD.replace("Я", "Тайна&#1;"),
        GOOD.replace("Я", "Тайна").replace("<bill", "Тайна<bill"),
    ):
        refusal = refused(text)
        assert "айна" not in repr(refusal.problems) + str(refusal)


def test_the_first_fault_in_the_document_is_told_however_it_is_cut() -> None:
    person = GOOD[GOOD.index("<patient ") : GOOD.index("</patients>")]
    many = [person] * 40
    many[30] = person.replace("<register_accounts>", "<!-- --><register_accounts>")
    many[35] = person.replace("/", "", 1)
    data = GOOD.replace(person, "\n".join(many))
    found = {refused(data, piece=piece).problems for piece in (64, 900, 5000, 10**9)}
    assert len(found) == 1
    assert found.pop()[0].code == "XML_MIXED"


def test_a_token_without_end_is_not_collected() -> None:
    endless = GOOD.replace('creator="Ж"', 'creator="' + "9" * 30_000_000)
    assert refused(endless[: endless.index("9" * 100) + 30_000_000]).code in ("XML_LIMIT", "XML_SYNTAX")


# What a mutation puts in: bytes that mean something in XML, letters, digits, and whole pieces of markup.
BITS = [
    *(b"<", b">", b'"', b"'", b"&", b"/", b"=", b" ", b"\0", b"\n", b"\x98", b"\xd0\x9f", b"1", b"e", b'xmlns=""'),
    *(b"<!--", b"-->", b"]]>", b"<![CDATA[", b"&#0;", b"&amp;", b"</patient>", b"<patient>"),
]


def mutate(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(out))
        kind = chance.randrange(6)
        if kind == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[at : at + chance.randrange(1, 30)] = b""
        elif kind == 2:
            out[at:at] = chance.choice(BITS)
        elif kind == 3:
            out[at : at + 1] = chance.choice(BITS)
        elif kind == 4:
            end = at + chance.randrange(1, 200)
            out[at:at] = out[at:end]
        else:
            other = chance.randrange(len(out))
            size = chance.randrange(1, 60)
            out[at : at + size], out[other : other + size] = out[other : other + size], out[at : at + size]
    return bytes(out)


def storm(seed: int, count: int) -> Counter[str]:
    """Mutations of a small register: each is refused, or read as lxml reads it, and both ways of reading agree."""
    chance = random.Random(seed)
    base = re.sub(' сomment="[^"]*"'.encode("cp1251"), b"", Maker().document(people=4))
    small = re.sub(rb"<(flk|expertises|personals)\b.*?</\1>\n?", b"", base, flags=re.S)
    seen: Counter[str] = Counter()
    con = duckdb.connect()
    for number in range(count):
        data = mutate(small, chance)
        answers = []
        for way in ({"fast": True, "piece": 2_000}, {"fast": False, "piece": 10**9}):
            con.execute("CREATE SCHEMA work; USE work")
            try:
                read(data, con=con, **way)
                answers.append(
                    (
                        read_rows(con),
                        con.execute("FROM findings ORDER BY ALL").fetchall(),
                        con.execute("SELECT byte_from, byte_to, digest FROM z_sl").fetchall(),
                    )
                )
            except Refusal as refusal:
                answers.append(refusal.problems)
            finally:
                con.execute("USE main; DROP SCHEMA work CASCADE")
        assert answers[0] == answers[1], f"seed {seed}, mutation {number}"
        if isinstance(answers[0][0], dict):
            expected = plain_rows(data)
            wrong = {
                (row[3], row[7].rpartition("@")[2]) for row in answers[0][1] if row[0] in ("S.00.0030", "S.00.0050")
            }
            for table, rows in expected.items():
                found = answers[0][0][table]
                assert len(found) == len(rows), f"seed {seed}, mutation {number}: {table}"
                if not wrong:
                    assert found == [texts(row, table) for row in rows], f"seed {seed}, mutation {number}: {table}"
            seen["read"] += 1
        else:
            seen[answers[0][0].code] += 1
    return seen


def test_mutations_are_refused_or_read_rightly() -> None:
    seen = storm(20181001, 120)
    assert seen["read"] > 10
    assert seen["XML_SYNTAX"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_many_mutations(seed: int) -> None:
    assert sum(storm(seed, 400).values()) == 400


def test_the_oracle_sees_a_wrong_reading() -> None:
    """The comparison with lxml is worth something only if it differs where the document differs."""
    data = one("", ACCOUNT)
    rows = plain_rows(data)
    assert rows["z_sl"][0]["xkey"] == "k"
    assert plain_rows(data.replace(b'xkey="k"', b'xkey="l"')) != rows
    with pytest.raises(etree.XMLSyntaxError):
        plain_rows(data[:-5])
