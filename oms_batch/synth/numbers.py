"""Numbers that obey their check digits, and draws that are the same on every machine."""

from __future__ import annotations

import hashlib
from datetime import date

_MASK = (1 << 64) - 1


def base(seed: object) -> int:
    """A 64-bit start for ``mix`` out of any printable seed."""
    return int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "big")


def mix(number: int) -> int:
    """64 well mixed bits of an integer (splitmix64): a draw without state, so any part can be made alone."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def luhn(digits: str) -> str:
    """The Luhn check digit of a row of digits."""
    total = 0
    for place, letter in enumerate(reversed(digits)):
        value = int(letter)
        if place % 2 == 0:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return str(-total % 10)


_NINES = str.maketrans("0123456789", "9876543210")


def enp(region: str, born: date, male: bool, serial: int) -> str:
    """A single policy number (16 digits) of a person: region, turned birth date and sex, serial, check digit."""
    month = born.month + (20 if born.year <= 1950 else 40 if born.year <= 2000 else 0)
    turned = f"{month:02d}{str(born.year)[::-1]}{born.day + (50 if male else 0):02d}".translate(_NINES)
    digits = f"{region}{turned}{serial:05d}"
    return digits + luhn(digits)


def snils(number: int) -> str:
    """A pension insurance number ``NNN-NNN-NNN NN`` out of its first nine digits (above 001001998)."""
    digits = f"{number:09d}"
    total = sum(int(digit) * (9 - place) for place, digit in enumerate(digits))
    check = total if total < 100 else 0 if total < 102 else total % 101 % 100
    return f"{digits[:3]}-{digits[3:6]}-{digits[6:]} {check:02d}"
