"""Code pages of DBF: which of the two a file is in, decided by its letters; which bytes are no letters in it.

cp866 has its letters in 80-AF and E0-F1, cp1251 in C0-FF, A8 and B8. What the header says (byte 29) counts only where
the letters do not speak: it is often absent or wrong.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from oms_batch.errors import refuse
from oms_batch.formats.values import CONTROL

PAGES = {0x26: "cp866", 0x65: "cp866", 0xC9: "cp1251", 0x57: "cp1251"}
MARKS = {"cp866": 0x65, "cp1251": 0xC9}
CLEAR = 10  # so many times more letters of one page than of the other
ENOUGH = 500
# Signs of cp1251 that Russian text does hold (Ё № « » quotes and dashes): they speak for neither page.
_NEUTRAL = (0x85, 0x93, 0x94, 0x96, 0x97, 0xA0, 0xA8, 0xAB)
_NEUTRAL_OEM = (0xF8, 0xFA, 0xFC, 0xFF)  # the same of cp866: ° · № and the hard blank
# What is no letter and no sign of a text: line drawing, letters of other alphabets that stand where the other page
# has its letters. A text with them was written in the other page.
_ODD = {
    "cp866": "─│┌┐└┘├┤┬┴┼═║╒╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡╢╣╤╥╦╧╨╩╪╫╬▀▄█▌▐░▒▓■∙√¤",
    "cp1251": "ЂЃѓ†‡€‰Љ‹ЊЌЋЏђ™љ›њќћџ¤¦¬®ЈјЅѕ",
}
Counts = npt.NDArray[np.int64]


def count(data: npt.NDArray[np.uint8]) -> Counts:
    """How often each byte from 80 on stands there."""
    high = data[data >= 0x80]
    return np.bincount(high.reshape(-1), minlength=256).astype(np.int64)


def _sides(counts: Counts) -> tuple[int, int]:
    oem = int(counts[0x80:0xB0].sum()) - int(counts[list(_NEUTRAL)].sum())
    ansi = int(counts[0xC0:0xE0].sum()) + int(counts[0xF2:0x100].sum()) - int(counts[list(_NEUTRAL_OEM)].sum())
    return oem, ansi


def enough(counts: Counts) -> bool:
    """Whether more letters could hardly say anything else."""
    return sum(_sides(counts)) >= ENOUGH


def decide(mark: int, counts: Counts) -> str:
    """``cp866`` or ``cp1251``; refuses ``DBF_CODEPAGE`` when neither header nor letters tell which."""
    oem, ansi = _sides(counts)
    stated = PAGES.get(mark, "")
    if oem > CLEAR * ansi:
        return "cp866"
    if ansi > CLEAR * oem:
        return "cp1251"
    if not oem and not ansi and (stated or not counts[0xE0:0xF2].sum()):
        return stated or "cp866"
    raise refuse("DBF_CODEPAGE", f"byte {29}", expected=stated, found=f"cp866 {oem}, cp1251 {ansi}")


@cache
def width(page: str) -> npt.NDArray[np.int32]:
    """Bytes that each byte of the page takes in UTF-8."""
    return np.array([len(bytes([one]).decode(page, "replace").encode()) for one in range(256)], dtype=np.int32)


@cache
def no_text(page: str) -> npt.NDArray[np.bool_]:
    """Which bytes may not stand in a text of this page."""
    letters = [bytes([one]).decode(page, "replace") for one in range(256)]
    return np.array([bool(CONTROL.search(one)) or one in _ODD[page] or one == "\ufffd" for one in letters])


@cache
def no_code(page: str) -> npt.NDArray[np.bool_]:
    """Which bytes may not stand in a code: those of no text, and the blank that is no blank."""
    found = no_text(page).copy()
    found["\u00a0".encode(page)[0]] = True
    return found
