"""The proof of a reformulation, made from the two documents alone.

It shares no code with what makes the file: it reads both documents side by side, patient by
patient, with its own scanner, and compares bytes. The insurer runs the same proof when it has
the fund's file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from itertools import zip_longest
from typing import Any, BinaryIO

from oms_batch.errors import Problem
from oms_batch.i18n import N_

_CHUNK = 1 << 20
_HOLD = 1 << 16
_TAG = rb"""[^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*>"""
_PATIENTS = re.compile(rb"<patients(?=[\s/>])" + _TAG)
_PATIENT = re.compile(rb"\s*<patient(?=[\s/>])" + _TAG)
_PATIENT_END = re.compile(rb"</patient\s*>")
_ACCOUNT = re.compile(rb"<personal_account(?=[\s/>])" + _TAG + rb"(?:(?<=/>)|.*?</personal_account\s*>)", re.S)
_ACCOUNT_TAG = re.compile(rb"<personal_account(?=[\s/>])" + _TAG)
_SMO = re.compile(rb"<smo(?=[\s/>])" + _TAG)
_ELEM = re.compile(rb"<elem(?=[\s/>])" + _TAG)
_SERVICES = re.compile(rb"<manipulations(?=[\s>]).*</manipulations\s*>", re.S)
_REASON = re.compile(rb"<an_(?:mes|sum|ps)(?=[\s/>])" + _TAG)
_REASONS = ("an_mes", "an_sum", "an_ps")
_VALUE = re.compile(rb"""([^\s=/<>"']+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TOTALS = re.compile(rb"<account_elem_t(?=[\s/>])" + _TAG + rb"(?:(?<=/>)|.*?</account_elem_t\s*>)", re.S)
_TOTAL = re.compile(rb"<account_elem(?=[\s/>])" + _TAG)
_NO_TOTALS = re.compile(rb"<account_sum\s*(?:/>|>\s*</account_sum\s*>)")
_FLK = re.compile(rb"<flk(?=[\s/>])" + _TAG)
_FLK_END = re.compile(rb"</flk\s*>")
LISTED = 1000


_Sums = list[tuple[str, int | None, int | None]]


@dataclass
class _Side:
    accounts: int = 0
    kopecks: int = 0
    types: dict[str, tuple[int, int]] = field(default_factory=dict)
    bad: int = 0

    def add(self, sums: _Sums) -> None:
        self.accounts += 1
        for code, claimed, accepted in sums:
            self.bad += claimed is None or accepted is None
            one, two = self.types.get(code, (0, 0))
            self.types[code] = (one + (claimed or 0), two + (accepted or 0))
            self.kopecks += claimed or 0

    def told(self) -> dict[str, Any]:
        types = {code: {"claimed": _money(a), "accepted": _money(b)} for code, (a, b) in sorted(self.types.items())}
        return {"accounts": self.accounts, "sum": _money(self.kopecks), "types": types}


@dataclass
class _Around:
    """The document before its first patient, and digests of what follows the last one."""

    head: bytes = b""
    tail: bytes = b""
    tail_without_flk: bytes = b""

    def read_tail(self, buffer: bytes, stream: BinaryIO) -> None:
        whole, rest = sha256(), sha256()
        state = "before"
        piece = buffer
        buffer = b""
        while piece:
            whole.update(piece)
            buffer += piece
            piece = stream.read(_CHUNK)
            if state == "before":
                if found := _FLK.search(buffer):
                    rest.update(buffer[: found.start()].rstrip(b" \t\r\n"))
                    buffer = buffer[found.end() :]
                    state = "after" if found[0].endswith(b"/>") else "inside"
                elif piece:
                    rest.update(buffer[:-_HOLD])
                    buffer = buffer[-_HOLD:]
            if state == "inside":
                if end := _FLK_END.search(buffer):
                    buffer, state = buffer[end.end() :], "after"
                else:
                    buffer = buffer[-_HOLD:]
            if state == "after" or not piece:
                rest.update(buffer)
                buffer = b""
        self.tail, self.tail_without_flk = whole.digest(), rest.digest()


def verify(old: BinaryIO, new: BinaryIO, refused_pay: str) -> dict[str, Any]:
    """Whether ``new`` is ``old`` minus the accounts flagged ``refused_pay``, and nothing else.

    Both are seekable documents (not containers). The result lists the excluded accounts with
    code and sum, totals of both sides, ``kept_byte_equal`` and the problems: ``SET_NOT_SUBSET``
    (an account that was refused or never sent), ``SET_CHANGED`` (one left out that was not
    refused, other bytes, another order, another head or patient) and ``HDR_SUM`` (totals that
    are not the sum of what is there).
    """
    excluded: list[dict[str, str]] = []
    before, after = _Side(), _Side()
    one, two = _Around(), _Around()
    equal = True
    kept = _kept(old, one, refused_pay, before, after, excluded)
    for want, have in zip_longest(kept, _patients(new, two)):
        equal = equal and want == have
    if not equal:
        after = _Side()
        for patient in _patients(new, _Around()):
            for account in _ACCOUNT.findall(patient):
                after.add(_sums(account))
    problems = [] if equal else _difference(old, new, refused_pay)
    problems += _around(one, two, bool(excluded))
    problems += _control_totals(two.head, after)
    return {
        "excluded": excluded,
        "before": before.told(),
        "after": after.told(),
        "kept_byte_equal": equal,
        "problems": problems[:LISTED],
        "problems_total": len(problems),
    }


# ---- the comparison -----------------------------------------------------------------------------


def _kept(
    stream: BinaryIO, around: _Around, refused_pay: str, before: _Side, after: _Side, excluded: list[dict[str, str]]
) -> Iterator[bytes]:
    """What every patient of the old document must look like in the new one; patients left empty fall out."""
    for patient in _patients(stream, around):
        kept: list[bytes] = []
        done, had, gone = 0, 0, 0
        for found in _ACCOUNT.finditer(patient):
            had += 1
            sums = _sums(found[0])
            before.add(sums)
            if _pay(found[0]) != refused_pay:
                after.add(sums)
                continue
            gone += 1
            excluded.append(_describe(found[0], _encoding(around.head)))
            kept.append(patient[done : found.start()].rstrip(b" \t\r\n"))
            done = found.end()
        if not had or gone < had:
            yield b"".join([*kept, patient[done:]])


def _difference(old: BinaryIO, new: BinaryIO, refused_pay: str) -> list[Problem]:
    """Which accounts differ; only asked for when something does."""
    sent = dict(_digests(_patients(old, _Around()), refused_pay))
    came = dict(_digests(_patients(new, _Around()), refused_pay))
    problems: list[Problem] = []
    for key, (digest, _flag, idcase) in came.items():
        before = sent.get(key)
        if before is None or before[1]:
            found = N_("refused by the fund") if before else N_("never sent")
            problems.append(Problem("SET_NOT_SUBSET", f"personal_account n_pp={idcase}", found=found))
        elif before[0] != digest:
            problems.append(Problem("SET_CHANGED", f"personal_account n_pp={idcase}", found=N_("other bytes")))
    for key, (_digest, flag, idcase) in sent.items():
        if not flag and key not in came:
            left_out = N_("left out, though not refused")
            problems.append(Problem("SET_CHANGED", f"personal_account n_pp={idcase}", found=left_out))
    return problems or [Problem("SET_CHANGED", N_("patients: own data or order"))]


def _digests(patients: Iterable[bytes], refused_pay: str) -> Iterator[tuple[tuple[str, int], tuple[bytes, bool, str]]]:
    seen: dict[str, int] = {}
    for patient in patients:
        for account in _ACCOUNT.findall(patient):
            said = _describe(account, "windows-1251")
            seen[said["account"]] = turn = seen.get(said["account"], 0) + 1
            digest = sha256(account).digest()
            yield (said["account"], turn), (digest, _pay(account) == refused_pay, said["idcase"])


def _around(old: _Around, new: _Around, excluded: bool) -> list[Problem]:
    problems: list[Problem] = []
    same_head = _without_totals(old.head) == _without_totals(new.head) if excluded else old.head == new.head
    if not same_head:
        problems.append(Problem("SET_CHANGED", N_("head of the document")))
    if new.tail not in ((old.tail, old.tail_without_flk) if excluded else (old.tail,)):
        problems.append(Problem("SET_CHANGED", N_("tail of the document")))
    return problems


def _without_totals(head: bytes) -> bytes:
    return _NO_TOTALS.sub(b"", _TOTALS.sub(b"", head))


def _control_totals(head: bytes, side: _Side) -> list[Problem]:
    block = _TOTALS.search(head)
    said: dict[str, tuple[int | None, int | None]] = {}
    for tag in _TOTAL.findall(block[0] if block else b""):
        values = _values(tag)
        said[values.get("type_acc", "")] = (_kopecks(values.get("amountl", "")), _kopecks(values.get("amount", "")))
    problems = [Problem("HDR_SUM", "sum/elem", found=f"{side.bad} sums that are no money")] if side.bad else []
    for code in sorted({*said, *side.types}):
        want, have = side.types.get(code, (0, 0)), said.get(code, (0, 0))
        if want != have:
            told = ["-" if one is None else _money(one) for one in have]
            place = f"account_elem_t type_acc={code or '-'}"
            expected = f"amountl={_money(want[0])} amount={_money(want[1])}"
            problems.append(Problem("HDR_SUM", place, expected, f"amountl={told[0]} amount={told[1]}"))
    return problems


# ---- reading ----------------------------------------------------------------------------------------


def _patients(stream: BinaryIO, around: _Around) -> Iterator[bytes]:
    """Every patient with the white space before it; what stands around them goes into ``around``."""
    stream.seek(0)
    buffer = b""
    while not (found := _PATIENTS.search(buffer)) and (piece := stream.read(_CHUNK)):
        buffer += piece
    around.head, buffer = (buffer[: found.end()], buffer[found.end() :]) if found else (buffer, b"")
    at = 0
    while True:
        start = _PATIENT.match(buffer, at)
        end = start
        if start and not start[0].endswith(b"/>"):
            end = _PATIENT_END.search(buffer, start.end())
        if end:
            yield buffer[at : end.end()]
            at = end.end()
            continue
        buffer, at = buffer[at:], 0
        head = buffer.lstrip()[:9]
        if not (start or len(head) < 9 or head.startswith(b"<patient")) or not (piece := stream.read(_CHUNK)):
            break
        buffer += piece
    around.read_tail(buffer, stream)


def _values(tag: bytes) -> dict[str, str]:
    return {name.decode("latin-1"): (one or two).decode("latin-1") for name, one, two in _VALUE.findall(tag)}


def _sums(account: bytes) -> _Sums:
    said = [_values(elem) for elem in _ELEM.findall(_SERVICES.sub(b"", account))]
    claimed = [one.get("suml", "0") for one in said]
    return [
        (one.get("type_acc", ""), _kopecks(asked), _kopecks(one.get("sum", asked)))
        for one, asked in zip(said, claimed, strict=True)
    ]


def _pay(account: bytes) -> str:
    found = _SMO.search(account)
    return _values(found[0]).get("pay", "") if found else ""


def _describe(account: bytes, encoding: str) -> dict[str, str]:
    start = _ACCOUNT_TAG.match(account)
    head = _values(start[0]) if start else {}
    reasons: dict[str, str] = {}
    for tag in _REASON.findall(account):
        said = _values(tag)
        reasons.update({name: said[name] for name in _REASONS if name in said and name not in reasons})
    code = next((reasons[name] for name in _REASONS if name in reasons), "")

    def told(value: str) -> str:
        return unescape(value.encode("latin-1").decode(encoding, "replace"))

    return {
        "account": told(head.get("xkey", "")),
        "idcase": told(head.get("n_pp", "")),
        "code": told(code),
        "sum": _money(sum(claimed or 0 for _, claimed, _ in _sums(account))),
    }


def _encoding(head: bytes) -> str:
    return "utf-8" if re.search(rb"encoding\s*=\s*[\"']utf-8[\"']", head[:200], re.I) else "windows-1251"


def _kopecks(text: str) -> int | None:
    found = re.fullmatch(r"(-?)(\d{1,15})(?:\.(\d{1,2}))?", text, re.ASCII)
    if not found:
        return None
    value = int(found[2]) * 100 + int((found[3] or "0").ljust(2, "0"))
    return -value if found[1] else value


def _money(kopecks: int) -> str:
    sign = "-" if kopecks < 0 else ""
    return f"{sign}{abs(kopecks) // 100}.{abs(kopecks) % 100:02d}"
