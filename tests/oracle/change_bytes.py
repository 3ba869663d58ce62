"""Changes of bytes and of tokens: blind to what the bytes mean, or knowing no more than where a tag ends."""

from __future__ import annotations

import random
import re

# Bytes that mean something in XML, letters, digits, and whole pieces of markup.
BITS = (
    *(b"<", b">", b'"', b"'", b"&", b"/", b"=", b" ", b"\0", b"\n", b"\r", b"\t", b"\x1a", b"\x98", b"\xff", b"\xa0"),
    *(b"\xd0\x9f", b"\xef\xbb\xbf", b"0", b"1", b"9", b"e", b"-", b".", b",", b"\xb8", b'xmlns=""', b"xsi:nil='true'"),
    *(b"<!--", b"-->", b"]]>", b"<![CDATA[", b"<?x y?>", b"<!DOCTYPE a>", b"&#0;", b"&#65;", b"&amp;", b"&lt;", b"&a;"),
    *(b"</ZAP>", b"<ZAP>", b"</patient>", b"<patient>", b"<SUMV>1</SUMV>", b"/>", b"</", b"  ", b"0" * 40),
)
_TOKEN = re.compile(rb"<[^<>]*>|[^<>]+")
_VALUE = re.compile(rb"[0-9][0-9.\-]*")


def bytewise(data: bytes, chance: random.Random) -> bytes:
    """One to five changes of single bytes or of stretches of them."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        if not out:
            break
        at = chance.randrange(len(out))
        kind = chance.randrange(8)
        if kind == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[at : at + chance.randrange(1, 30)] = b""
        elif kind == 2:
            out[at:at] = chance.choice(BITS)
        elif kind == 3:
            out[at : at + 1] = chance.choice(BITS)
        elif kind == 4:
            out[at:at] = out[at : at + chance.randrange(1, 200)]
        elif kind == 5:
            other, size = chance.randrange(len(out)), chance.randrange(1, 60)
            out[at : at + size], out[other : other + size] = out[other : other + size], out[at : at + size]
        elif kind == 6:
            out[at] = chance.randrange(256)
        else:
            del out[at:]
    return bytes(out)


def tokenwise(data: bytes, chance: random.Random) -> bytes:
    """Tags and texts dropped, doubled, moved, exchanged; digits changed inside values."""
    tokens = _TOKEN.findall(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
        kind = chance.randrange(7)
        if kind == 0 and len(tokens) > 1:
            del tokens[at]
        elif kind == 1:
            tokens.insert(at, tokens[at])
        elif kind == 2:
            tokens.insert(other, tokens[at])
        elif kind == 3:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        elif kind == 4:
            stop = min(len(tokens), at + chance.randrange(1, 12))
            tokens[other:other] = tokens[at:stop]
        elif kind == 5:
            tokens[at] = _VALUE.sub(lambda match: _digits(match[0], chance), tokens[at], count=1)
        else:
            tokens[at] = tokens[at].swapcase() if chance.randrange(2) else tokens[at].replace(b" ", b"\n", 1)
    return b"".join(tokens)


def _digits(text: bytes, chance: random.Random) -> bytes:
    """Another number or date of the same shape."""
    at = chance.randrange(len(text))
    return text[:at] + str(chance.randrange(10)).encode() + text[at + 1 :]
