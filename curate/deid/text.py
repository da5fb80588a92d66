"""Text values: decoding by the declared character set, checks of what may stay, and what a value must look like.

PS3.3 C.12.1.1.2 names the character sets. Decoding here never fails: what the declared set cannot
read is read as Latin-1, so that a search for names still sees the bytes.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import decode_bytes, encode_string, python_encoding

_NUMBER = re.compile(rb"[0-9+\-.eE \0\\]*")
_CODE = re.compile(rb"[A-Za-z0-9 _./+\-]{0,16}[ \0]?(?:\\[A-Za-z0-9 _./+\-]{0,16}[ \0]?)*")
_UID = re.compile(rb"[0-9. \0\\]*")
_LETTERS = re.compile(rb"(?:[A-Za-z0-9^ ]{8,}|[A-Za-z]{6,})\0*")
_ZONE = re.compile(rb"[+-]\d{4} *")
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5C, 0x5E, 0x3D}


def is_number(value: bytes) -> bool:
    """Whether a DS or IS holds numbers and nothing else."""
    return _NUMBER.fullmatch(value) is not None


def is_code(value: bytes) -> bool:
    """Whether a CS has the form of a code; lower case and a few signs that vendors write are let through."""
    return _CODE.fullmatch(value) is not None


def is_uid(value: bytes) -> bool:
    """Whether a UI holds digits and dots only."""
    return _UID.fullmatch(value) is not None


def is_written(value: bytes) -> bool:
    """Whether binary numbers are letters in truth: six and more in a row do not happen to numbers."""
    return _LETTERS.fullmatch(value) is not None


def is_zone(value: bytes) -> bool:
    """Whether a value is an offset from UTC."""
    return _ZONE.fullmatch(value) is not None


@lru_cache(maxsize=256)
def encodings_of(character_set: bytes) -> tuple[str, ...]:
    """Python encodings of SpecificCharacterSet (0008,0005); an unknown term counts as Latin-1."""
    terms = [term.strip(b" \0").decode("latin-1") for term in character_set.split(b"\\")]
    return tuple(python_encoding.get(term, "iso8859") for term in terms)


def decode_text(value: bytes, encodings: Sequence[str]) -> str:
    """Text of a value without its padding."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").strip(" \0")
    try:
        if b"\x1b" not in value:  # no escape to another set: the first one holds
            return value.decode(encodings[0]).strip(" \0")
        return _decode_escaped(value, encodings).strip(" \0")
    except (LookupError, UnicodeError, ValueError):
        return value.decode("latin-1").strip(" \0")


def _decode_escaped(value: bytes, encodings: Sequence[str]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown escapes
        return decode_bytes(value, encodings, _DELIMITERS)


def decode_exactly(value: bytes, encodings: Sequence[str]) -> str | None:
    """Text of a value, None when the declared character set cannot read it: then nothing can be said about it."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").strip(" \0")
    if b"\x1b" not in value:
        try:
            return value.decode(encodings[0]).strip(" \0")
        except UnicodeError:
            return None
    text = decode_text(value, encodings)
    return None if "\x1b" in text or "\ufffd" in text else text


def encode_text(text: str, encodings: Sequence[str]) -> bytes | None:
    """Bytes of a text in the declared character sets, with escapes; None when they lack a letter of it."""
    if text.isascii():
        return text.encode("ascii")
    try:
        if len(encodings) == 1 or not any(name.startswith("iso2022") for name in encodings):
            return text.encode(encodings[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoded = encode_string(text, list(encodings))
    except (LookupError, UnicodeError, ValueError):
        return None
    return encoded if decode_text(encoded, encodings) == text else None


def fold(text: str) -> str:
    """One spelling for comparison: compatibility forms composed away, accents dropped, case folded."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()
