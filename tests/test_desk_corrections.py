"""Corrections: only the named attribute changes; everything else is the same byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oms_batch.desk import corrections, fragment
from oms_batch.desk.wire import Wire, canonical, load_wire
from oms_batch.errors import Refusal, WrongState
from oms_batch.exchange import load_profile

ACCOUNT = (
    '<personal_account help_type="13"  n_pp=\'7\' xkey="K-1"\n'
    ' n_card="12/26" curestart="2026-11-02" result="301" vg="2">\n'
    '<manipulations><manipulation xkey="S1" service="B01" quantity="1"><sum><elem type_acc="1" suml="5.00" sum="5.00"/>'
    '</sum></manipulation>\n\t<manipulation xkey="S2" service=\'A&gt;1\' quantity="2"><sum>'
    '<elem type_acc="1" suml="7.00" sum="7.00"></elem></sum></manipulation></manipulations>\n'
    '<diagnoses><diagnose type="1" mkb="J06.9"/></diagnoses>\n'
    '<sum><elem type_acc="1" suml="12.00" sum="12.00"/></sum></personal_account>'
)
PATIENT = (
    '<patient patientcod="1" surname="Иванов" sex="1"><polises><polis polisnum="1"/></polises>'
    "<register_accounts/></patient>"
)
WIRE = load_wire(load_profile("yaroslavl"))
FIXED = load_profile("yaroslavl").rules.toml("yaroslavl/desk.toml")["corrections"]["fixed"]


def mend(*changes: tuple[str, str], encoding: str = "windows-1251") -> str:
    return corrections.apply(ACCOUNT.encode(encoding), changes, WIRE, encoding, fixed=FIXED).decode(encoding)


def mend_patient(*changes: tuple[str, str]) -> str:
    return corrections.apply(PATIENT.encode("cp1251"), changes, WIRE, "cp1251", "pers", FIXED).decode("cp1251")


def code_of(*changes: tuple[str, str]) -> str:
    with pytest.raises(WrongState) as caught:
        mend(*changes)
    return str(caught.value)


def test_one_attribute_changes_and_nothing_else() -> None:
    assert mend(("z_sl.rslt", "302")) == ACCOUNT.replace('result="301"', 'result="302"')
    assert mend(("usl[2].code_usl", "B02")) == ACCOUNT.replace("service='A&gt;1'", "service='B02'")
    assert mend(("ds[1].mkb", "J00")) == ACCOUNT.replace("J06.9", "J00")
    assert mend(("ds.mkb", "J00")) == mend(("ds[1].mkb", "J00")), "the number may be left out when there is one row"
    assert mend(("z_sl_sum[1].suml", "13")) == ACCOUNT.replace('suml="12.00"', 'suml="13.00"')
    assert mend(("usl_sum[2].suml", "7,5")) == ACCOUNT.replace('suml="7.00"', 'suml="7.50"')
    assert mend_patient(("pers.npolis", "99")) == PATIENT.replace('polisnum="1"', 'polisnum="99"')


def test_what_is_absent_is_put_where_the_layout_has_it() -> None:
    assert mend(("z_sl.ishod", "304")) == ACCOUNT.replace('vg="2">', 'vg="2" outcome="304">')
    added = mend(("ds[2].mkb", "I10"), ("ds[2].ds_type", "2"))
    assert added == ACCOUNT.replace("</diagnoses>", '<diagnose mkb="I10" type="2"/></diagnoses>')
    podr = mend(("z_sl.podr", "100"), ("z_sl.finsource", "1"))
    assert podr == ACCOUNT.replace(
        '<sum><elem type_acc="1" suml="12',
        '<additionals><additional division="100" finsource="1"/></additionals><sum><elem type_acc="1" suml="12',
    )
    assert mend_patient(("pers.docnum", "5")) == PATIENT.replace(
        "<register_acc", '<docs><doc docnum="5"/></docs><register_acc'
    )
    assert mend(("usl[2].n_ksg", "st01")) == ACCOUNT.replace(
        "</elem></sum></manipulation>",
        '</elem></sum><additionals><additional ksg="st01"/></additionals></manipulation>',
    )


def test_an_empty_value_takes_an_optional_attribute_out() -> None:
    assert mend(("z_sl.ishod", "")) == ACCOUNT
    assert mend(("z_sl.ishod", "304"), ("z_sl.ishod", " ")) == ACCOUNT
    assert code_of(("z_sl.rslt", "")).startswith("VALUE_EMPTY")


def test_what_may_not_be_done_is_told_by_code() -> None:
    assert code_of(("z_sl.reslt", "1")).startswith("FIELD_UNKNOWN: z_sl.rslt")
    assert "pers.npolis" in code_of(("npolis", "1"))
    assert code_of(("usl[2]code", "1")).startswith("FIELD_UNKNOWN")
    assert code_of(("register.nschet", "1")).startswith("FIELD_UNKNOWN")
    assert code_of(("z_sl.xkey", "1")) == "FIELD_FIXED: z_sl.xkey"
    assert code_of(("an_mes[1].an_mes", "1")).startswith("FIELD_FIXED")
    assert code_of(("usl.code_usl", "1")) == "FIELD_AMBIGUOUS: usl.code_usl: 2"
    assert code_of(("usl[4].code_usl", "1")) == "FIELD_ABSENT: usl.code_usl: 2"
    assert code_of(("pers.fam", "1")).startswith("FIELD_ABSENT")
    assert code_of(("z_sl.date_z_1", "32.01.2026")).startswith("VALUE_TYPE")
    assert code_of(("z_sl.vg", "123")) == "VALUE_SIZE: z_sl.vg: code(2)"
    assert code_of(("z_sl.nhistory", "a\x00b")).startswith("VALUE_CHARACTER")


def test_refusals_carry_no_value() -> None:
    assert "Секретный" not in code_of(("z_sl.date_z_1", "Секретный"))


def test_fields_lists_what_may_be_corrected() -> None:
    names = [one.name for one in corrections.fields(WIRE, FIXED)]
    assert "pers.npolis" in names and "z_sl.rslt" in names and "usl[N].code_usl" in names and "ds[N].mkb" in names
    assert not [one for one in names if one.startswith(("an_", "register", "flk"))] and "z_sl.xkey" not in names
    assert len(names) == len(set(names))


def test_split_tells_the_patient_from_the_account() -> None:
    pair = corrections.split([("pers.fam", "a"), ("usl[1].kol_usl", "1"), ("address[1].dom", "2")], WIRE, FIXED)
    assert [[name for name, _ in one] for one in pair] == [["pers.fam", "address[1].dom"], ["usl[1].kol_usl"]]


def test_fragments_with_text_or_comments_or_torn_are_refused() -> None:
    for torn in ("<a>x</a>", "<a><!-- --></a>", "<a>", "<a></b>", "<a/><a/>", "", "<b/>", "<a></a>x"):
        with pytest.raises(Refusal):
            fragment.parse(torn.encode(), "/a", "utf-8")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=50)
CHANGEABLE = [
    "z_sl.nhistory",
    "z_sl.comentsl",
    "z_sl.rslt",
    "usl[1].code_usl",
    "usl[2].code_usl",
    "ds[1].mkb",
    "z_sl.disp_type",
]


@given(name=st.sampled_from(CHANGEABLE), text=TEXT, encoding=st.sampled_from(["windows-1251", "utf-8"]))
def test_property_only_the_named_attribute_changes(name: str, text: str, encoding: str) -> None:
    attribute = corrections.locate(name, WIRE).attribute
    shaped, code = canonical(attribute, text)
    assume(shaped and not code)
    before = ACCOUNT.encode(encoding)
    after = corrections.apply(before, [(name, text)], WIRE, encoding)
    path = WIRE.rows["z_sl"]
    old, new = (fragment.parse(one, path, encoding) for one in (before, after))
    seen = {
        (node.path, at, key): fragment.value(after, node, key, encoding)
        for at, node in enumerate(new.walk())
        for key in node.attributes
    }
    was = {
        (node.path, at, key): fragment.value(before, node, key, encoding)
        for at, node in enumerate(old.walk())
        for key in node.attributes
    }
    changed = [key for key in seen.keys() | was.keys() if seen.get(key) != was.get(key)]
    if attribute.path in {node.path for node in old.walk()}:
        assert all(key[0] == attribute.path and key[2] == attribute.name for key in changed) and len(changed) <= 1
    assert shaped in seen.values()
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    assert before[:head] == after[:head] and before[len(before) - tail :] == after[len(after) - tail :]
    assert not re.search(rb"<|>", before[head : len(before) - tail]), "what was replaced is inside one value"


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(CHANGEABLE), st.from_regex(r"[A-Z0-9.]{1,10}", fullmatch=True)), max_size=6
    )
)
def test_property_corrections_can_be_taken_back(changes: list[tuple[str, str]]) -> None:
    there = {
        "z_sl.nhistory": "12/26",
        "z_sl.rslt": "301",
        "usl[1].code_usl": "B01",
        "usl[2].code_usl": "A>1",
        "ds[1].mkb": "J06.9",
    }
    changes = [one for one in changes if one[0] in there]
    back = [(name, there[name]) for name, _ in changes]
    assert mend(*changes, *back) == ACCOUNT


def test_wire_is_one_object_per_layout() -> None:
    assert isinstance(WIRE, Wire) and WIRE.parent_table("crit") == "usl" and WIRE.parent_table("pers") == "register"
