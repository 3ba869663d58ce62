"""DBF files for the tests and the bench: an invented register of 40 fields, small or as big as is wanted."""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO

from oms_batch.exchange import Profile
from oms_batch.formats.dbf_gate import Column, check
from oms_batch.formats.dbf_write import write
from oms_batch.ruledata import RuleData

WHEN = date(2018, 10, 1)
# name, kind, size, decimals, mark, type: the fields that registers of the regions have, 377 bytes in all
SHAPE = """RECID C 7 0 О code|SN_POL C 25 0 О code|TIP_P C 1 0 Н code|QQ C 2 0 О code|ENP C 16 0 У code
FAM C 40 0 О text|IM C 40 0 О text|OT C 40 0 Н text|W N 1 0 О code|DR D 8 0 О date|D_TYPE C 1 0 Н code
SV C 3 0 Н code|PRIK N 6 0 О int|TIP C 1 0 Н code|IOTD C 8 0 О code|DS C 6 0 О code|DS_2 C 6 0 Н code
DS_3 C 6 0 Н code|KUR N 5 3 Н quantity|COD N 6 0 О code|CODNOM C 14 0 Н code|DET N 1 0 О code|K_U N 3 0 О int
NOVOR C 9 0 Н code|VNOV_M N 4 0 Н int|RSLT N 3 0 О code|PCOD C 10 0 О code|PRVS N 4 0 О code|ORD N 1 0 Н code
DATE_ORD D 8 0 Н date|LPU_ORD N 6 0 Н code|DS_0 C 6 0 Н code|N_VMP C 17 0 Н code|ISHOD N 3 0 О code
LPU_ID N 6 0 О code|FIL_ID N 6 0 О code|S_ALL N 11 2 О money|D_U D 8 0 О date|K2 N 5 3 Н quantity
COMMENT C 20 0 Н text"""
ROWS = [one.split() for one in SHAPE.replace("\n", "|").split("|")]
FIELDS = [Column(name, kind, int(size), int(decimals)) for name, kind, size, decimals, _, _ in ROWS]
NAMES = ("ИВАНОВ", "Ёлкина-Смит", "Щукин", "ПОЛУЭКТОВ", "Абрамова", "Жуковский", "Эм", "Чайка", "ЮРЬЕВ", "Дуб")


def layout_csv(rows: Sequence[Sequence[str]] = ROWS, table: str = "raw") -> str:
    """The layout of these fields: all into one table, columns named as the fields."""
    lines = ["# origin: invented for the tests", "field;kind;size;decimals;mark;type;table;column;values;note"]
    lines += [f"{n};{k};{s};{d};{mark};{type_};{table};{n.lower()};;" for n, k, s, d, mark, type_ in rows]
    return "\n".join(lines) + "\n"


def record(chance: random.Random, n: int) -> list[str | None]:
    """One invented record, values in the order of the fields."""
    born = date(1930, 1, 1) + timedelta(days=chance.randrange(32_000))
    day = date(2018, 9, 1) + timedelta(days=chance.randrange(30))
    code = f"{chance.choice('ABCIJKMN')}{chance.randrange(100):02d}.{chance.randrange(10)}"
    rare = chance.random()
    return [
        f"{n % 10**7:07d}", f"{chance.randrange(10**15):016d}", "П", "Р2", f"{chance.randrange(10**16):016d}",
        chance.choice(NAMES) + chance.choice(("", "ОВ", "ева")), chance.choice(NAMES), chance.choice(NAMES),
        str(n % 2 + 1), born.isoformat(), None, "001", str(1000 + n % 900), None, f"{n % 10**8:08d}", code,
        code if rare < 0.2 else None, None, "1.000", str(chance.randrange(1000, 99999)), None, str(n % 2),
        str(1 + n % 9), None, None, "304", f"D{n % 1000}", str(chance.randrange(1, 99)), None,
        day.isoformat() if rare < 0.5 else None, None, None, None, "304", "4708", "4708",
        f"{chance.randrange(1, 10**6)}.{chance.randrange(100):02d}", day.isoformat(), "1.050", None,
    ]  # fmt: skip


def small(records: int = 50, page: str = "cp866", seed: int = 1) -> bytes:
    """A file of so many records."""
    out, chance = io.BytesIO(), random.Random(seed)
    write(out, FIELDS, (record(chance, n) for n in range(records)), page, WHEN)
    return out.getvalue()


def big(out: BinaryIO, records: int, page: str = "cp866") -> None:
    """A file as big as is wanted: ten thousand different records, over and over."""
    kinds = min(records, 10_000)
    data = small(kinds, page)
    header, wide = int.from_bytes(data[8:10], "little"), int.from_bytes(data[10:12], "little")
    out.write(data[:4] + records.to_bytes(4, "little") + data[8:header])
    body = data[header:-1]
    for _ in range(records // kinds):
        out.write(body)
    out.write(body[: records % kinds * wide] + b"\x1a")


def table(fields: Sequence[Column], rows: Sequence[Sequence[str | None]], page: str = "cp866") -> bytes:
    """A table of these rows; values are bytes-exact only where ``write`` writes them so, see ``patch``."""
    out = io.BytesIO()
    write(out, fields, rows, page, WHEN)
    return out.getvalue()


def patch(data: bytes, record: int, field: str, raw: bytes) -> bytes:
    """The file with other bytes in a field of a record (from 1), whatever they are."""
    found = check(io.BytesIO(data))
    place = dict(zip((one.name for one in found.columns), zip(found.columns, found.offsets, strict=True), strict=True))
    one, at = place[field]
    assert len(raw) == one.size
    start = found.header + (record - 1) * found.record + at
    return data[:start] + raw + data[start + one.size :]


def profile(folder: Path, layouts: Mapping[str, str], **dbf: object) -> Profile:
    """A profile of these layouts (name → text), laid over the shipped rules in a folder of the test."""
    (folder / "tst" / "layouts").mkdir(parents=True, exist_ok=True)
    for name, text in layouts.items():
        (folder / "tst" / "layouts" / f"{name}.csv").write_text(text, encoding="utf-8")
    return Profile("tst", {"format": "dbf", "dbf": dbf}, RuleData(str(folder)))
