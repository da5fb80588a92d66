"""What identifies, as the verifier collects it from a source file: by its own list, from every depth, private included.

A value that the standard removes is remembered as a whole; names, ids, UIDs, dates and contacts are remembered by kind.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from curate.deid.verification.entries import Contents, Entry, flat
from curate.deid.verification.standard import attributes, safe_creators, under

TEXT_VRS = frozenset(("AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT", "PN", "UN"))
TIME_VRS = frozenset(("DA", "DT", "TM"))
_TELLING_VRS = TEXT_VRS | {"UI", "DA", "DT"}
_IDS = frozenset(
    (0x00080050, 0x00100020, 0x00101000, 0x00101001, 0x00101090, 0x00200010, 0x00380010, 0x00380060, 0x0040_0009,
     0x00400253, 0x00401001, 0x00402016, 0x00402017, 0x00400241)
)  # fmt: skip
_BIRTH = 0x00100030
_PLACES = frozenset((0x00080080, 0x00081040, 0x00321033, 0x0040_0243))
_PYTHON_NAME = {
    "": "latin-1",
    "ISO_IR 6": "latin-1",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859_11",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_ESCAPES = {  # PS3.3 C.12.1.1.2: escape sequence -> encoding of what follows
    b"(B": "ascii", b"(J": "shift_jis", b")I": "shift_jis", b"-A": "latin-1", b"-B": "iso8859_2", b"-C": "iso8859_3",
    b"-D": "iso8859_4", b"-L": "iso8859_5", b"-G": "iso8859_6", b"-F": "iso8859_7", b"-H": "iso8859_8",
    b"-M": "iso8859_9", b"-T": "iso8859_11", b"$)C": "euc_kr", b"$)A": "gb2312", b"$B": "iso2022_jp",
    b"$(D": "iso2022_jp_1",
}  # fmt: skip
_ESCAPED = re.compile(rb"\x1b(\$\)[AC]|\$\(D|\$B|[()-][A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")
_CONTACT = re.compile(
    r"[\w.+-]+@[\w-]+\.\w|https?://|\bwww\.|\b\d{3}[-. ]\d{3}[-. ]\d{4}\b|\(\d{3}\) ?\d{3}[-. ]\d{4}|\+\d[\d ()-]{7,}\d"
    r"|\b\d{3}-\d{2}-\d{4}\b",
    re.IGNORECASE,
)
SHORTEST_NAME, SHORTEST_ID, SHORTEST_PHRASE = 4, 4, 8

COMMON = frozenset(
    resources.files("curate.deid.verification").joinpath("common_words.txt").read_text(encoding="ascii").split()
)
"""Words of the trade: a patient may be called Hand, and 'HAND XR' says nothing about it."""


class Known(NamedTuple):
    """Something that must not be found. Kinds: name, id, uid, date, phrase. ``repr`` hides the value."""

    kind: str
    value: str

    def __repr__(self) -> str:
        return f"Known(kind={self.kind!r})"


def known_of(source: Contents, claims: frozenset[str]) -> frozenset[Known]:
    """Everything in the file that identifies under the claimed options."""
    encodings = encodings_of(source.entries)
    found: set[Known] = set()
    kept: set[str] = set()
    for entry in flat((*source.meta, *source.entries)):
        if entry.value and (entry.vr in _TELLING_VRS or entry.tag in _IDS):
            known, stays = _known_in(entry, encodings, claims)
            found.update(known)
            kept.update(stays)
    return frozenset(one for one in found if one.kind != "phrase" or one.value not in kept)


@lru_cache(maxsize=1 << 13)  # files of a series say the same again and again
def _known_in(
    entry: Entry, encodings: tuple[str, ...], claims: frozenset[str]
) -> tuple[tuple[Known, ...], tuple[str, ...]]:
    """What identifies in one element, and what it says that may stay."""
    stays: set[str] = set()
    known: Iterable[Known] = ()
    if entry.vr == "UI":
        known = (Known("uid", uid) for uid in values(entry) if uid and not is_standard(uid))
    elif entry.vr in ("DA", "DT"):
        known = (Known("date", day) for day in map(day_of, values(entry)) if day)
    else:
        known = _from_text(entry, decode(entry.value, encodings), claims, stays)
    return tuple(known), tuple(stays)


def _from_text(entry: Entry, text: str, claims: frozenset[str], kept: set[str]) -> Iterator[Known]:
    if entry.vr == "PN":
        yield from (Known("name", word) for word in name_words(text))
        return
    parts = [part.strip() for part in text.split("\\")]
    if entry.tag in _IDS:
        yield from (Known("id", part) for part in parts if len(part) >= SHORTEST_ID)
    elif entry.tag in _PLACES:
        yield from (Known("name", word) for word in name_words(text) if len(word) > SHORTEST_NAME)
    if _stays(entry, claims):
        kept.update(parts)
    elif is_readable(text):
        yield from (Known("phrase", part) for part in parts if len(part) >= SHORTEST_PHRASE and " " in part)


def _stays(entry: Entry, claims: frozenset[str]) -> bool:
    """Whether the rules let the value, or most of it, stand in the output."""
    if entry.tag & 0x10000:
        return (entry.tag >> 16, entry.value.strip(b" \0").decode("latin-1")) in safe_creators()
    duty = attributes().get(entry.tag)
    return duty is None or bool(under(duty, claims) & {"K", "C"})


def is_readable(text: str) -> bool:
    """Whether it is text at all and not numbers in an unknown VR."""
    return len(text) > 0 and all(letter.isprintable() or letter in "\r\n\t\f" for letter in text)


def contact_in(text: str) -> bool:
    """Whether a phone number, e-mail address, link or social security number stands in the text."""
    return _CONTACT.search(text) is not None


def name_words(text: str) -> list[str]:
    """Words of a name worth looking for: folded, four letters and more, two of a script without alphabet."""
    return [
        word
        for word in _LETTERS.findall(fold(text))
        if (len(word) >= SHORTEST_NAME or (len(word) > 1 and ord(word[0]) > 0x2E80)) and word not in COMMON
    ]


def fold(text: str) -> str:
    """Case and accents gone."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()


def values(entry: Entry) -> list[str]:
    """Parts of a value of an ASCII VR."""
    return [part.strip(" \0") for part in entry.value.decode("latin-1").split("\\")]


def day_of(value: str) -> str:
    """YYYYMMDD of a DA or DT value, empty when it gives no day."""
    digits = value[:10].replace(".", "")[:8]
    return digits if len(digits) == 8 and digits.isdigit() else ""


@lru_cache(maxsize=1 << 14)
def is_standard(uid: str) -> bool:
    """A UID that the standard defines: below DICOM's root and of short arcs; those that devices make there are long."""
    root = "1.2.840.10008."
    return uid.startswith(root) and all(arc.isdigit() and int(arc) < 100_000 for arc in uid[len(root) :].split("."))


def encodings_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Python encodings of SpecificCharacterSet (0008,0005) at this level."""
    stated = next((entry for entry in entries if entry.tag == 0x00080005), None)
    terms = values(stated) if stated is not None else [""]
    return tuple(_PYTHON_NAME.get(term.replace("ISO 2022 IR", "ISO_IR"), "latin-1") for term in terms)


def decode(value: bytes, encodings: tuple[str, ...]) -> str:
    """Text of a value, escape sequences followed, without padding; never fails."""
    if b"\x1b" not in value:
        return _decoded(value, encodings[0]).strip(" \0")
    pieces = _ESCAPED.split(value)
    text = _decoded(pieces[0], encodings[0])
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        encoding = _ESCAPES.get(mark, encodings[0])
        text += _decoded(b"\x1b" + mark + piece if encoding.startswith("iso2022") else piece, encoding)
    return text.strip(" \0")


def _decoded(value: bytes, encoding: str) -> str:
    if value.isascii() and not encoding.startswith("iso2022"):
        return value.decode("ascii")
    try:
        return value.decode(encoding)
    except UnicodeDecodeError:
        return value.decode("latin-1")
