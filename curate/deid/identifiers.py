"""What a file says that identifies someone: values that were removed or replaced, for the private zone only.

The engine uses them to look for the same words in what it keeps, and the leak scan looks for them in what was
written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

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
_JOINT = re.compile(r"[\s,;^_.'\-=]{1,3}")
_Found = TypeVar("_Found")
_LARGEST_MEMORY = 1024
_FIRST_IDEOGRAPH = 0x2E80  # CJK radicals: kana, ideographs and Hangul follow
_SHORTEST_WORD, _SHORTEST_ID, _SHORTEST_STEM, _SHORTEST_WITHIN, _SHORTEST_JOINED = 4, 4, 5, 6, 3


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
        self._glyphs: set[str] = set()
        self._parts: set[frozenset[str]] = set()
        literals: set[str] = set()
        for identifier in identifiers:
            if identifier.kind in ("name", "institution"):
                self._names.update(name_words(identifier.value))
                self._glyphs.update(_ideographs(identifier.value))
                self._parts.add(frozenset(_WORDS.findall(fold(identifier.value))))
            else:
                literals.update(_literals(identifier))
        self._names.update([name[::-1] for name in self._names if len(name) > _SHORTEST_STEM])
        self._within = tuple(sorted(name for name in self._names if len(name) >= _SHORTEST_WITHIN))
        self._stems = tuple(sorted({name[:_SHORTEST_STEM] for name in self._names if len(name) >= _SHORTEST_STEM}))
        self._literals = tuple(sorted(literals))
        self._finds: dict[str, bool] = {}
        self._spans: dict[str, tuple[tuple[int, int], ...]] = {}

    def finds(self, text: str) -> bool:
        """Whether one of the identifiers stands in the text, whatever its case or accents.

        Ids and birth dates count as words of their own. Names count also when they are cut (PAPADOPOUL_CT1 names the
        room of a Dr Papadopoulos), when letters stand around them, or backwards; words of the trade never count.
        """
        found = self._finds.get(text)
        if found is None:
            found = _remember(self._finds, text, self._find(fold(text)))
        return found

    def _find(self, folded: str) -> bool:
        if next(self._occurrences(folded), None) is not None:
            return True
        if any(glyphs in folded for glyphs in self._glyphs):
            return True
        return any(self._is_name(word) for word in _WORDS.findall(folded)) if self._names else False

    def spans(self, text: str) -> tuple[tuple[int, int], ...]:
        """Where identifiers stand in text that is to be cleaned: (start, end) of each, in order.

        Finds more than ``finds``: names of three letters, names written together or with an initial (JSmith,
        smithjohn), and words of the trade where they stand beside another part of the same name: HAND XR stays of a
        patient named Hand, JOHN HAND goes. Two letters alone are never a name.
        """
        spans = self._spans.get(text)
        if spans is None:
            spans = _remember(self._spans, text, tuple(self._locate(text)))
        return spans

    def _locate(self, text: str) -> list[tuple[int, int]]:
        folded, places = _fold_in_place(text)
        found = list(self._occurrences(folded))
        for glyphs in self._glyphs:
            found += [match.span() for match in re.finditer(glyphs, folded)]
        if self._parts:
            words = list(_WORDS.finditer(folded))
            found += [word.span() for word in words if self._is_name(word[0]) or self._is_joined(word[0])]
            found += self._neighbours(folded, words, text if text.isascii() else folded)
        return sorted({(places[start], places[end - 1] + 1) for start, end in found})

    def _occurrences(self, folded: str) -> Iterator[tuple[int, int]]:
        """Ids and birth dates as words of their own. A pattern of all of them costs more to compile than a file."""
        for literal in self._literals:
            start = folded.find(literal)
            while start >= 0:
                end = start + len(literal)
                if not (folded[max(start - 1, 0) : start].isalnum() or folded[end : end + 1].isalnum()):
                    yield start, end
                start = folded.find(literal, start + 1)

    def _is_name(self, word: str) -> bool:
        if word in self._names:
            return True
        if word in unlisted().vocabulary:
            return False
        if len(word) > _SHORTEST_WITHIN and any(name in word for name in self._within):
            return True
        if not word.startswith(self._stems):
            return False
        return any(_is_stem(word, name) or _is_stem(name, word) for name in self._names)

    def _is_joined(self, word: str) -> bool:
        """A name of three letters, two parts written as one word, or a part with an initial."""
        if len(word) < _SHORTEST_JOINED or word in unlisted().vocabulary:
            return False
        for parts in self._parts:
            for part in parts:
                if word == part:
                    return True
                if len(part) >= _SHORTEST_JOINED and part in word:
                    before, _, after = word.partition(part)
                    rest = before + after
                    if rest in parts or (len(rest) == 1 and any(other[0] == rest for other in parts)):
                        return True
        return False

    def _neighbours(self, folded: str, words: Sequence[re.Match[str]], text: str) -> Iterator[tuple[int, int]]:
        """Runs of at least two different parts of one name with nothing but signs between them."""
        present = {word[0] for word in words}
        for parts in self._parts:
            if len(present & parts) < 2:
                continue
            run: list[re.Match[str]] = []
            for word in words:
                if word[0] in parts:
                    if run and not _JOINT.fullmatch(folded, run[-1].end(), word.start()):
                        yield from _run_spans(run, text)
                        run = []
                    run.append(word)
                else:
                    yield from _run_spans(run, text)
                    run = []
            yield from _run_spans(run, text)


def guard_for(identifiers: frozenset[Identifier]) -> Guard:
    """The guard of these identifiers: one for all files of a series, whose UIDs and dates it does not look for."""
    return _guard_of(frozenset([one for one in identifiers if one.kind not in ("uid", "date")]))


@lru_cache(maxsize=16)
def _guard_of(identifiers: frozenset[Identifier]) -> Guard:
    return Guard(identifiers)


def _remember(memory: dict[str, _Found], text: str, found: _Found) -> _Found:
    """Files of a series repeat their texts."""
    if len(memory) >= _LARGEST_MEMORY:
        memory.clear()
    memory[text] = found
    return found


def _ideographs(value: str) -> Iterator[str]:
    """Parts of a name in a script that puts no blanks between words, and family and given name written together."""
    for group in fold(value).split("="):
        words = [word for word in _WORDS.findall(group) if ord(word[0]) >= _FIRST_IDEOGRAPH]
        yield from (word for word in words if len(word) > 1)
        if len(words) > 1:
            yield words[0] + words[1]


def _run_spans(run: Sequence[re.Match[str]], text: str) -> Iterator[tuple[int, int]]:
    """Words of a run that make up a name. Of a word of the trade that stands there twice (C-SPINE Anna Spine), the one
    that is written like the rest of the name; both when that does not tell them apart.
    """
    distinct = {word[0] for word in run}
    if len(distinct) < 2 or all(len(word) == 1 for word in distinct):
        return
    known = unlisted().vocabulary
    sure = [word for word in run if word[0] not in known]
    styles = {_style(text, word) for word in sure}
    counts = Counter(word[0] for word in run)
    chosen = []
    for word in run:
        rivals = [other for other in run if other[0] == word[0]]
        alike = [other for other in rivals if _style(text, other) in styles]
        if word in sure or counts[word[0]] == 1 or not alike or word in alike:
            chosen.append(word)
    for before, word in zip([None, *chosen], chosen, strict=False):
        follows = before is not None and run.index(word) == run.index(before) + 1
        yield (before.start() if before is not None and follows else word.start()), word.end()


def _style(text: str, word: re.Match[str]) -> tuple[bool, bool]:
    """Whether a word is written in capitals, and whether it begins with one."""
    original = text[word.start() : word.end()]
    return original.isupper(), original[:1].isupper()


def _fold_in_place(text: str) -> tuple[str, Sequence[int]]:
    """The folded text, and for each of its letters the place it comes from."""
    if text.isascii():
        return text.lower(), range(len(text))
    pieces = [fold(letter) for letter in text]
    return "".join(pieces), [place for place, piece in enumerate(pieces) for _ in piece]


def _is_stem(start: str, word: str) -> bool:
    return len(start) >= _SHORTEST_STEM and word.startswith(start)


def _literals(identifier: Identifier) -> list[str]:
    value = fold(identifier.value)
    if identifier.kind == "birth_date" and len(value) == 8:
        return [value, *(f"{value[:4]}{a}{value[4:6]}{b}{value[6:]}" for a in "-./" for b in "-./")]
    if identifier.kind in ("date", "uid") or len(value) < _SHORTEST_ID:
        return []
    return [value]
