"""Search for known identifiers in what was written: any bytes, whatever wrote them.

Every name, id, accession number, UID, phone number, address and birth date that the engine met is searched for in one
pass (Aho-Corasick) over the bytes, ASCII case ignored, in UTF-8, Latin-1, UTF-16 and the national sets of DICOM, and
with accents dropped. In the pixels of a DICOM file and in other bytes that are no text only long patterns count: four
letters occur by chance. What is deflated or compressed the caller passes decoded, except DICOM, which is inflated
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick

from curate.deid.chance import Sieve
from curate.deid.elements import PIXEL_TAGS, read_elements
from curate.deid.filemeta import open_file
from curate.deid.identifiers import Identifier, name_words
from curate.deid.text import fold
from curate.errors import Rejected

LONGEST_CHANCE_MATCH = 7  # bytes: shorter patterns are not believed in pixels or compressed bytes
_ENCODINGS = (
    "utf-8",
    "latin-1",
    "iso8859_2",
    "iso8859_5",
    "iso8859_7",
    "iso2022_jp",
    "shift_jis",
    "gb18030",
    "euc_kr",
)
_SHORTEST_ID = 5
_NEIGHBOURS = 2  # bytes before and after a match, which say whether it is part of a word
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_DIGITS = frozenset(b"0123456789")


@dataclass(frozen=True, slots=True)
class Leak:
    """Something found: the kind of identifier and where, never what."""

    kind: str
    offset: int  # in the bytes scanned; in the inflated data set for a deflated DICOM file


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: str
    boundary: frozenset[int]  # what may not stand right before or after
    step: int  # bytes a character


class LeakScanner:
    """Compiled once for many identifiers, then used on any number of byte strings."""

    def __init__(self, identifiers: Iterable[Identifier], *, dates: bool = False) -> None:
        """``dates``: also search for dates other than of birth.

        Only for the identifiers of one patient: a shifted date of one is the true date of another by chance.
        """
        table: dict[bytes, _Pattern] = {}
        for identifier in sorted(set(identifiers)):
            if identifier.kind != "date" or dates:
                for text, boundary in _spellings(identifier):
                    for encoded, step in _encoded(text):
                        table.setdefault(encoded, _Pattern(identifier.kind, boundary, step))
        self._patterns = list(table.values())
        self._automaton = BytesAhoCorasick(list(table)) if table else None
        self._longest = max(map(len, table), default=0)
        self._sieve = Sieve(pattern for pattern, how in table.items() if not _is_chance(len(pattern), how))

    def __len__(self) -> int:
        """Byte patterns searched for."""
        return len(self._patterns)

    def scan(self, content: bytes, *, opaque: bool = False) -> list[Leak]:
        """Identifiers in the bytes, by offset. ``opaque``: the bytes are no text, short matches are chance."""
        if self._automaton is None:
            return []
        if content[128:132] != b"DICM":
            return self._find(content, (0, len(content)) if opaque else (0, 0))
        try:
            file = open_file(content)
            elements = read_elements(file.content, file.start, file.syntax)
        except Rejected:
            return self._find(content, (0, 0))
        last = elements[-1]
        pixels = (last.start, last.end) if last.tag in PIXEL_TAGS else (0, 0)
        leaks = self._find(file.content, pixels)
        return leaks if file.content is content else leaks + self._find(content, (file_start(content), len(content)))

    def _find(self, content: bytes, opaque: tuple[int, int]) -> list[Leak]:
        first, last = opaque
        leaks = self._search(content, 0, first) | self._search(content, last, len(content))
        if self._sieve.may_hold(content, first, last + self._longest):
            leaks |= self._search(content, first, last, opaque=True)
        return [Leak(kind, start) for start, kind in sorted(leaks)]

    def _search(self, content: bytes, first: int, last: int, *, opaque: bool = False) -> set[tuple[int, str]]:
        """(offset, kind) of what starts at first <= offset < last; it may end behind."""
        assert self._automaton is not None
        if first >= last:
            return set()
        before = max(first - _NEIGHBOURS, 0)
        folded = content[before : last + self._longest + _NEIGHBOURS].lower()
        leaks = set()
        for index, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            pattern = self._patterns[index]
            if not first <= before + start < last or (opaque and _is_chance(end - start, pattern)):
                continue
            if not _is_inside_a_word(folded, start, end, pattern):
                leaks.add((before + start, pattern.kind))
        return leaks


def _is_chance(length: int, pattern: _Pattern) -> bool:
    return length <= LONGEST_CHANCE_MATCH * pattern.step


def file_start(content: bytes) -> int:
    """Where the data set of a DICOM file with a preamble starts: after 12 bytes of group length and its value."""
    return 132 + 12 + int.from_bytes(content[140:144], "little")


def _spellings(identifier: Identifier) -> Iterator[tuple[str, frozenset[int]]]:
    value = identifier.value.strip()
    if identifier.kind in ("birth_date", "date"):
        if len(value) == 8 and value.isdigit():
            for separator in ("", "-", ".", "/"):
                yield separator.join((value[:4], value[4:6], value[6:])), _DIGITS
            yield f"{value[6:]}.{value[4:6]}.{value[:4]}", _DIGITS
        return
    if identifier.kind == "name":
        words = name_words(value)
        for word in words:
            yield word, _LETTERS
        for word in _unfolded_words(value):
            yield word, _LETTERS
        if len(words) > 1:  # written together there is no boundary to ask for
            yield words[0] + words[1], frozenset()
            yield words[1] + words[0], frozenset()
        return
    if len(value) >= _SHORTEST_ID:
        yield value, _DIGITS | _LETTERS
        yield fold(value), _DIGITS | _LETTERS


def _unfolded_words(value: str) -> list[str]:
    """Words with their accents, in both cases: lowering bytes leaves letters outside ASCII as they are."""
    kept = []
    for group in value.replace("=", "^").split("^"):
        kept += [word for word in group.split() if not word.isascii() and len(word) > 1]
    return [spelling for word in kept for spelling in (word, word.lower(), word.upper(), word.title())]


def _encoded(text: str) -> Iterator[tuple[bytes, int]]:
    encodings = _ENCODINGS[:1] if text.isascii() else _ENCODINGS
    for encoding in encodings:
        try:
            yield text.encode(encoding).lower(), 1
        except UnicodeEncodeError:
            continue
    for encoding in ("utf-16-le", "utf-16-be"):
        yield text.encode(encoding, "ignore").lower(), 2


def _is_inside_a_word(content: bytes, start: int, end: int, pattern: _Pattern) -> bool:
    """Whether a letter or digit goes on right before or after.

    One that stands beside a zero byte is no text but a part of a tag or a length: (0032,1060) begins with a "2".
    """
    if pattern.step == 2:
        return _continues(content[max(start - 2, 0) : start], pattern) or _continues(content[end : end + 2], pattern)
    before, after = content[max(start - 2, 0) : start], content[end : end + 2]
    goes_before = bool(before) and before[-1] in pattern.boundary and before[0] != 0
    goes_on = bool(after) and after[0] in pattern.boundary and after[-1] != 0
    return goes_before or goes_on


def _continues(neighbour: bytes, pattern: _Pattern) -> bool:
    return len(neighbour) == 2 and 0 in neighbour and max(neighbour) in pattern.boundary
