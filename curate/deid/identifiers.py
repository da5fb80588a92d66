"""What a file says that identifies someone: values that were removed or replaced, for the private zone only.

The engine uses them to look for the same words in what it keeps, and the leak scan looks for them in what was
written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from curate.deid.tables import unlisted
from curate.deid.text import fold
from curate.deid.vrs import Kind

_KIND_OF_TAG = {
    0x00080050: "accession",
    0x00080080: "institution",
    0x00080081: "address",
    0x00080092: "address",
    0x00080094: "phone",
    0x00081040: "institution",
    0x00100020: "patient_id",
    0x00100030: "birth_date",
    0x00101000: "patient_id",
    0x00101040: "address",
    0x00101090: "patient_id",
    0x00102154: "phone",
    0x00102155: "phone",
    0x00200010: "id",
    0x00321033: "institution",
    0x00380010: "id",
    0x00380060: "id",
    0x00400253: "id",
    0x00401001: "id",
    0x00401102: "address",
    0x00401103: "phone",
    0x00402010: "phone",
    0x00402016: "accession",
    0x00402017: "accession",
}
_KIND_OF_VALUE = {Kind.PERSON: "name", Kind.UID: "uid", Kind.TIME: "date"}
_WORDS = re.compile(r"[^\W\d_]+")
_SHORTEST_WORD, _SHORTEST_ID, _SHORTEST_STEM = 4, 4, 5


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """One value that identifies. ``repr`` shows the kind only, so that logs and exceptions cannot carry the value.

    Kinds: name, patient_id, accession, id, uid, birth_date, date, phone, address, institution.
    """

    kind: str
    value: str = field(repr=False)


def kind_of(tag: int, kind: Kind) -> str | None:
    """Kind of identifier that the element holds; None for one that is not worth searching for."""
    return _KIND_OF_TAG.get(tag) or _KIND_OF_VALUE.get(kind)


def name_words(value: str) -> list[str]:
    """Parts of a person's or institution's name, folded: 4 letters and more (2 of an ideographic script)."""
    words = _WORDS.findall(fold(value))
    known = unlisted().vocabulary
    return [w for w in words if (len(w) >= _SHORTEST_WORD or (not w.isascii() and len(w) > 1)) and w not in known]


class Guard:
    """Finds the file's own identifiers in text that a rule would keep."""

    def __init__(self, identifiers: Iterable[Identifier]) -> None:
        self._names: set[str] = set()
        patterns = set()
        for identifier in identifiers:
            if identifier.kind in ("name", "institution"):
                self._names.update(name_words(identifier.value))
            else:
                patterns.update(_patterns(identifier))
        self._stems = tuple(sorted({name[:_SHORTEST_STEM] for name in self._names if len(name) >= _SHORTEST_STEM}))
        self._search = None
        if patterns:
            self._search = re.compile(rf"(?<![^\W_])(?:{'|'.join(sorted(patterns))})(?![^\W_])").search

    def finds(self, text: str) -> bool:
        """Whether one of the identifiers stands in the text, whatever its case or accents.

        Ids and birth dates count as words of their own. Names count also when they are cut (PAPADOPOUL_CT1 names the
        room of a Dr Papadopoulos) or when letters follow; words of the trade never count.
        """
        folded = fold(text)
        if self._search is not None and self._search(folded):
            return True
        return any(self._is_name(word) for word in _WORDS.findall(folded)) if self._names else False

    def _is_name(self, word: str) -> bool:
        if word in self._names:
            return True
        if not word.startswith(self._stems) or word in unlisted().vocabulary:
            return False
        return any(_is_stem(word, name) or _is_stem(name, word) for name in self._names)


def _is_stem(start: str, word: str) -> bool:
    return len(start) >= _SHORTEST_STEM and word.startswith(start)


def _patterns(identifier: Identifier) -> list[str]:
    value = fold(identifier.value)
    if identifier.kind == "birth_date" and len(value) == 8:
        return [value, f"{value[:4]}[-./]{value[4:6]}[-./]{value[6:]}"]
    if identifier.kind in ("date", "uid") or len(value) < _SHORTEST_ID:
        return []
    return [re.escape(value)]
