"""Search for what is known to identify, in text and in bytes: whole, cut short, reversed, folded and in UTF-16.

One pass of Aho-Corasick over each. In text, letters and digits around a hit decide; in bytes that are no text (pixels,
compressed pages) only long patterns count, because four letters occur by chance. Many such bytes are searched squeezed
first: without those that occur in no pattern, which leaves a fifth of them and can add hits but hide none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import lru_cache

from ahocorasick_rs import AhoCorasick, BytesAhoCorasick, Implementation

from curate.deid.verification.words import COMMON, Known, fold

LONGEST_CHANCE = 7  # bytes
_REACH = 2  # bytes around opaque ones, to see what goes on
_WORTH_SQUEEZING = 1 << 16  # bytes
_FEW = 1000  # patterns: an automaton of few is made three times as fast when it is kept plain
_LOWER = bytes(range(256)).lower()
_SHORTEST_STEM, _SHORTEST_REVERSED = 5, 6
_KEY = re.compile(r"(?<![0-9a-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|(?=[a-z2-7]*[2-7])[a-z2-7]{16})(?![0-9a-z])")
_RAW_KEY = re.compile(rb"(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|(?=[A-Z]*[2-7])[A-Z2-7]{16})(?![0-9A-Za-z])")
_UID = re.compile(r"\d[\d.]{7,}")
_RAW_UID = re.compile(rb"\d[\d.]{7,63}")
_UID_KEY = re.compile(r"2\.25\.\d{30,39}")
_ENCODINGS = ("utf-8", "latin-1", "iso8859_2", "iso8859_5", "iso8859_7", "shift_jis", "gb18030", "euc_kr")


class Search:
    """Compiled once for what is known of one file, or of all of them."""

    def __init__(self, known: Iterable[Known]) -> None:
        known = frozenset(known)
        self._text: dict[str, tuple[str, str, str]] = {}  # pattern -> kind, how, whole
        self._bytes: dict[bytes, tuple[str, int]] = {}  # pattern -> kind, bytes a character
        for one in sorted(known):
            if one.kind != "uid":
                for pattern, how, whole in _spellings(one):
                    self._text.setdefault(pattern, (one.kind, how, whole))
                for written, step in _written(one):
                    self._bytes.setdefault(written, (one.kind, step))
        self._uids = frozenset(one.value for one in known if one.kind == "uid")
        plain = Implementation.NoncontiguousNFA if len(self._text) < _FEW else None
        self._in_text = AhoCorasick(list(self._text), implementation=plain) if self._text else None
        self._in_bytes = BytesAhoCorasick(list(self._bytes)) if self._bytes else None
        self._text_rows, self._byte_rows = list(self._text.values()), list(self._bytes.values())
        self._squeezed = _Squeezed(
            [pattern for pattern, (_, step) in self._bytes.items() if len(pattern) > LONGEST_CHANCE * step]
        )

    def with_uids(self, uids: Iterable[str]) -> Search:
        """The same search, for these UIDs too: they are looked up as wholes, so any number costs the same."""
        other = copy(self)
        other._uids = frozenset(uids)
        return other

    def __len__(self) -> int:
        """Patterns looked for."""
        return len(self._text) + len(self._bytes) + len(self._uids)

    def text(self, text: str) -> Counter[str]:
        """Hits in decoded text by kind and form, such as ``name`` or ``name reversed``."""
        found = Counter({"uid": sum(uid.rstrip(".") in self._uids for uid in _UID.findall(text))})
        if self._in_text is None or not text:
            return +found
        folded = fold(text)
        keys: list[tuple[int, int]] | None = None
        for index, start, end in self._in_text.find_matches_as_indexes(folded, overlapping=True):
            kind, how, whole = self._text_rows[index]
            if not _counts(folded, start, end, kind, how, whole):
                continue
            if keys is None:
                keys = [match.span() for rule in (_KEY, _UID_KEY) for match in rule.finditer(folded)]
            if not any(first <= start and end <= last for first, last in keys):
                found[kind if how == "whole" else f"{kind} {how}"] += 1
        return +found

    def bytes(self, content: bytes, *, opaque: tuple[int, int] = (0, 0)) -> Counter[str]:
        """Hits in bytes by kind. Between the two offsets of ``opaque`` short patterns are taken for chance."""
        first, last = opaque
        found = Counter[str]()
        for part in (content[:first], content[last:]) if last > first else (content,):
            found += _find(self._in_bytes, self._byte_rows, part)
            found["uid"] += sum(uid.decode().rstrip(".") in self._uids for uid in _RAW_UID.findall(part))
        if last > first:
            part = content[max(first - _REACH, 0) : last + _REACH]
            if len(part) < _WORTH_SQUEEZING or self._squeezed.may_be_in(part):
                found += _find(self._in_bytes, self._byte_rows, part, longer_than=LONGEST_CHANCE)
        return +found


class _Squeezed:
    """Patterns without their zero bytes, looked for in bytes of which only those are left that some pattern has."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._patterns = patterns
        self._made: tuple[bytes, BytesAhoCorasick] | None = None  # bytes to leave out; made when first needed

    def may_be_in(self, content: bytes) -> bool:
        """False: none of the patterns is in the bytes, in any case of its letters."""
        if not self._patterns:
            return False
        others, automaton = self._made or self._make()
        return bool(automaton.find_matches_as_indexes(content.translate(_LOWER, others)))

    def _make(self) -> tuple[bytes, BytesAhoCorasick]:
        squeezed = sorted({pattern.replace(b"\0", b"") for pattern in self._patterns})
        used = {byte for pattern in squeezed for byte in pattern}
        self._made = bytes(byte for byte in range(256) if _LOWER[byte] not in used), BytesAhoCorasick(squeezed)
        return self._made


def _find(
    automaton: BytesAhoCorasick | None, rows: list[tuple[str, int]], content: bytes, *, longer_than: int = 0
) -> Counter[str]:
    """``longer_than``: characters that a pattern must have more than to count."""
    found: Counter[str] = Counter()
    if automaton is None or not content:
        return found
    lowered = content.lower()
    keys: list[tuple[int, int]] | None = None
    for index, start, end in automaton.find_matches_as_indexes(lowered, overlapping=True):
        kind, step = rows[index]
        if end - start <= longer_than * step or _goes_on(lowered, start, end, kind, step):
            continue
        if keys is None:
            keys = [match.span() for match in _RAW_KEY.finditer(content)]
        if not any(first <= start and end <= last for first, last in keys):
            found[kind] += 1
    return found


@lru_cache(maxsize=4096)
def _spellings(known: Known) -> tuple[tuple[str, str, str], ...]:
    """Folded patterns, what they are (the whole, the stem of a name, the thing reversed), and the whole."""
    whole = fold(known.value)
    return tuple((pattern, how, whole) for pattern, how in _forms(known.kind, whole))


def _forms(kind: str, value: str) -> Iterator[tuple[str, str]]:
    if kind == "date":
        yield from ((form, "whole") for form in date_forms(value))
        return
    if kind == "name":
        stem = max(_SHORTEST_STEM, -(-2 * len(value) // 3))
        yield (value[:stem], "cut") if len(value) > stem else (value, "whole")
        if len(value) >= _SHORTEST_REVERSED and value[::-1] != value and value[::-1] not in COMMON:
            yield value[::-1], "reversed"
        return
    yield value, "whole"
    if kind == "id" and len(value) >= _SHORTEST_REVERSED and value[::-1] != value:
        yield value[::-1], "reversed"
    bare = re.sub(r"[\s_./-]", "", value)
    if kind == "id" and bare != value and len(bare) >= _SHORTEST_REVERSED:
        yield bare, "whole"


@lru_cache(maxsize=4096)
def _written(known: Known) -> tuple[tuple[bytes, int], ...]:
    """Lower case bytes of everything that it is written as, and how many bytes a character has."""
    return tuple(dict.fromkeys(row for text in _texts(known) for row in _encoded(text)))


def _texts(known: Known) -> Iterator[str]:
    if known.kind == "date":
        yield from date_forms(known.value)
        return
    yield known.value
    if fold(known.value) != known.value.lower():
        yield fold(known.value)
    if not known.value.isascii():
        yield from (known.value.upper(), known.value.title())
    if known.kind in ("name", "id") and len(known.value) > _SHORTEST_REVERSED:
        yield known.value[::-1]


def _encoded(text: str) -> Iterator[tuple[bytes, int]]:
    for encoding in _ENCODINGS[:1] if text.isascii() else _ENCODINGS:
        try:
            yield text.encode(encoding).lower(), 1
        except UnicodeEncodeError:
            continue
    for encoding in ("utf-16-le", "utf-16-be"):
        yield text.encode(encoding, "ignore").lower(), 2


def date_forms(day: str) -> Iterator[str]:
    """As dates are written: 20200229, 2020-02-29, 29.02.2020, 02/29/2020 and their like."""
    year, month, of_month = day[:4], day[4:6], day[6:]
    yield day
    for mark in "-./":
        yield mark.join((year, month, of_month))
        yield mark.join((of_month, month, year))
    yield f"{month}/{of_month}/{year}"


def _counts(text: str, start: int, end: int, kind: str, how: str, whole: str) -> bool:
    """Whether what stands around the hit leaves it what it is."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if kind == "date":
        return not (before.isdigit() or after.isdigit() or before == "." or after == ".")
    if kind == "phrase":
        return True
    if kind == "id" or how == "reversed":
        return not (before.isalnum() or after.isalnum())
    first, last = start, end
    while first > 0 and text[first - 1].isalpha():
        first -= 1
    while last < len(text) and text[last].isalpha():
        last += 1
    word = text[first:last]
    if word in COMMON:
        return False
    if not whole.isascii() and ord(whole[0]) > 0x2E80:  # scripts without spaces
        return True
    if first != start:
        return len(whole) > _SHORTEST_STEM and whole in word
    return word.startswith(whole) if len(word) >= len(whole) else whole.startswith(word)


def _goes_on(content: bytes, start: int, end: int, kind: str, step: int) -> bool:
    """Whether a letter or digit goes on. One beside a zero byte is part of a tag or length, not of text."""
    if kind == "phrase" or end - start > 12 * step:
        return False
    if step == 2:
        return any(
            len(pair) == 2 and 0 in pair and bytes((max(pair),)).isalnum()
            for pair in (content[start - 2 : start], content[end : end + 2])
        )
    before, after = content[max(start - 2, 0) : start], content[end : end + 2]
    inside = bytes.isdigit if kind == "date" else bytes.isalnum
    return (inside(before[-1:]) and before[0] != 0) or (inside(after[:1]) and after[-1] != 0)
