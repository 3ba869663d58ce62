"""What an XML register may be at all: its encoding, and which markup is refused outright.

One strict profile, without options: windows-1251 or UTF-8, no DOCTYPE, no comments, processing
instructions or CDATA inside the document, no namespaces, no text between elements.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.parsers import expat

from oms_batch.errors import Refusal, refuse

HEAD = 4096
LONGEST_VALUE = 65_536
LONGEST_NAME = 200
MOST_ATTRIBUTES = 64
DEEPEST = 32
WHITE = " \t\r\n"

_DECLARED = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_VERSION = re.compile(rb"""<\?xml\s+version\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_UTF8_PAIR = re.compile(rb"[\xd0\xd1][\x80-\xbf]")
_DECLARATION = re.compile(rb"^.{0,4}<!(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.DOTALL)
_ASCII = bytes(range(128))
_FOREIGN_MARKS = {
    b"\xff\xfe": "UTF-16/32",
    b"\xfe\xff": "UTF-16",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\x4c\x6f\xa7\x94": "EBCDIC",
}
_TEXT = re.compile(rb">[ \t\r\n]*[^< \t\r\n]")


def encoding_of(head: bytes, allowed: Sequence[str]) -> str:
    """The encoding of a document by its first bytes: ``windows-1251`` or ``utf-8``.

    Refuses ``FILE_FORMAT`` (no XML at all), ``XML_SYNTAX`` (another version of XML), ``XML_ENCODING`` and
    ``XML_ENCODING_MISMATCH``.
    """
    for mark, name in _FOREIGN_MARKS.items():
        if head.startswith(mark):
            raise refuse("XML_ENCODING", "byte 0", expected=", ".join(allowed), found=name)
    if head.startswith((b"+ADw", b"+/v")):
        raise refuse("XML_ENCODING", "byte 0", expected=", ".join(allowed), found="UTF-7")
    if b"\x00" in head[:8]:
        raise refuse("XML_ENCODING", "byte 0", expected=", ".join(allowed), found="UTF-16/32")
    bom = head.startswith(b"\xef\xbb\xbf")
    body = head[3:] if bom else head
    if not body.lstrip(b" \t\r\n").startswith(b"<"):
        raise refuse("FILE_FORMAT", "byte 0", expected="XML", found=magic_hex(head))
    version = _VERSION.match(body)
    if version is not None and (version[1] or version[2]) != b"1.0":  # expat takes any, others do not
        raise refuse("XML_SYNTAX", "line 1", expected="1.0")
    match = _DECLARED.match(body)
    declared = (match[1] or match[2] or b"").decode("latin-1").lower() if match else "utf-8"
    declared = {"utf8": "utf-8", "cp1251": "windows-1251"}.get(declared, declared)
    if declared not in allowed:
        shown = declared if re.fullmatch(r"[a-z0-9_.:-]{1,40}", declared) else "?"
        raise refuse("XML_ENCODING", "line 1", expected=", ".join(allowed), found=shown)
    if bom and declared != "utf-8":
        raise refuse("XML_ENCODING_MISMATCH", "line 1", expected=declared, found="UTF-8 (BOM)")
    return declared


def magic_hex(head: bytes) -> str:
    """The first bytes for a protocol: magic numbers, never text."""
    return head[:4].hex(" ")


def utf8_pairs(data: bytes) -> tuple[int, int]:
    """Bytes above ASCII, and how many of them lie in pairs that are Cyrillic in UTF-8."""
    high = data.translate(None, _ASCII)
    return len(high), 2 * len(_UTF8_PAIR.findall(high)) if high else 0


def is_mojibake(high: int, paired: int) -> bool:
    """Whether a document declared windows-1251 holds UTF-8; real Russian text has under a fifth in such pairs."""
    return paired >= 16 and paired * 10 > high * 8


def may_hold_text(data: bytes) -> bool:
    """False when there is surely nothing but white space between the tags; True: look closer."""
    return _TEXT.search(data) is not None


def newlines(data: bytes) -> int:
    """Line ends as XML counts them: LF, CR LF and a lone CR are one each."""
    if b"\r" in data:
        return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
    return data.count(b"\n")


def check_name(name: str, line: int) -> None:
    """An element or attribute name: no prefix, no namespace, not endless."""
    if len(name) > LONGEST_NAME:
        raise refuse("XML_LIMIT", f"line {line}", expected=LONGEST_NAME, found=len(name))
    if ":" in name or name == "xmlns":
        foreign = name.startswith(("xsi:", "xi:", "xlink:"))
        raise refuse("XML_FOREIGN" if foreign else "XML_NAMESPACE", f"line {line}")


def check_names(names: Sequence[str], values: Sequence[str], line: int) -> None:
    """The attribute names of one element."""
    if len(names) > MOST_ATTRIBUTES:
        raise refuse("XML_LIMIT", f"line {line}", expected=MOST_ATTRIBUTES, found=len(names))
    for name, value in zip(names, values, strict=True):
        if name.startswith("xmlns") and any(word in value for word in ("XInclude", "XMLSchema-instance")):
            raise refuse("XML_FOREIGN", f"line {line}")
        check_name(name, line)


def refusal_of(error: expat.ExpatError, before: bytes, around: bytes, encoding: str) -> Refusal:
    """An expat error as a problem; ``before`` and ``around`` are the bytes up to and from the place of the error."""
    place = f"line {error.lineno}, column {error.offset + 1}"
    reason = expat.ErrorString(error.code) or ""
    if _DECLARATION.search(before[-4:] + around):
        return refuse("XML_DTD", place)
    if reason == expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE:
        return refuse("XML_DUPLICATE", place)
    if reason in (expat.errors.XML_ERROR_UNKNOWN_ENCODING, expat.errors.XML_ERROR_INCORRECT_ENCODING):
        return refuse("XML_ENCODING", place, found=encoding)
    if reason == expat.errors.XML_ERROR_INVALID_TOKEN and around[:1] >= b"\x80":
        return refuse("XML_ENCODING_MISMATCH", place, expected=encoding)
    return refuse("XML_SYNTAX", place, found=reason)
