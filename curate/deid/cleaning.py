"""Clean Descriptors (PS3.15 E.3.5): take out of a text what identifies, and leave every other word where it stands.

Driven by the crosswalk, the names, ids, dates and places that the same object holds elsewhere (``identifiers.Guard``),
and by forms that identify whoever they belong to: telephone numbers, addresses, electronic mail, dates, numbers with
a label such as MRN, names with a title or a caret. A name that nobody wrote into any field of the object has no such
form and stays: that is what the table of distinct values is for (``curate deid values``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from curate.deid.identifiers import Guard
from curate.deid.tables import unlisted

_MONTH = r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-zä]*"
_YEAR = r"(?:19|20)\d\d"
_DAY, _MONTH_NUMBER = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_STREET = r"(?i:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|square|way|straße|strasse|rue)"
_NAME = r"[A-ZÀ-Þ][\w'’\-]+"

_ALWAYS = (
    r"[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+",  # electronic mail
    r"(?<!\d)(?:\+?1[ .\-]?)?(?:\(\d{3}\)[ ]?|\d{3}[ .\-])\d{3}[ .\-]\d{4}(?!\d)",  # North American telephone
    r"\+\d{1,3}(?:[ .\-/()]{0,2}\d){7,12}(?!\d)",  # international telephone
    r"(?i:\b(?:tel|telephone|phone|fax|mobile|cell|pager)\b[.:]?\s*)[\d+(][\d()\-./ ]{4,}\d",
    r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)",  # social security number
)
_IN_TEXT = (
    r"(?i:https?://|www\.)\S+",
    r"(?<!\d)\d{3}-\d{4}(?!\d)",  # local telephone
    rf"(?<!\d){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)",
    rf"(?<!\d){_YEAR}[\-./]{_MONTH_NUMBER}[\-./]{_DAY}(?!\d)",
    rf"(?<![\d.]){_DAY}[\-./]{_MONTH_NUMBER}[\-./](?:{_YEAR}|\d\d)(?![\d.])",
    rf"(?<![\d.]){_MONTH_NUMBER}[\-./]{_DAY}[\-./](?:{_YEAR}|\d\d)(?![\d.])",
    rf"(?i:(?<!\d){_DAY}[. \-]{{1,2}}{_MONTH}[,. \-]{{1,2}}{_YEAR}(?!\d))",
    rf"(?i:\b{_MONTH}[. \-]{{1,2}}{_DAY}(?:st|nd|rd|th)?[,. \-]{{1,2}}{_YEAR}(?!\d))",
    r"(?i:\b(?:mrn|ssn|nhs|acc(?:ession)?|pat(?:ient)?[ .]?id|id|dob|case|chart|account)\b(?:[ ]?(?:no|nr|number)\b)?"
    r"[.:#=\-]*\s*)(?=[\w\-/]*\d)[\w\-/]{4,}",
    r"(?i:\b(?:patient|name|physician|operator|technologist|radiologist|nurse|referring)\b\s*[:=]\s*)"
    rf"{_NAME}(?:[ ,^]+{_NAME}){{0,2}}",
    r"[A-Za-zÀ-ÿ'’\-]{2,}\^[A-Za-zÀ-ÿ'’\-]{2,}(?:\^[A-Za-zÀ-ÿ'’.\-]*)*",  # a person name in the form of PN
    rf"\d{{1,5}}[A-Za-z]?[ ]+{_NAME}(?:[ ]{_NAME}){{0,2}}[ ]{_STREET}\b\.?",
    rf"\b{_NAME}(?:straße|strasse|weg|gasse|platz)[ ]\d{{1,4}}\b",
    r"(?<![\d.])\d+(?:\.\d+){4,}(?![\d.])",  # a UID
    r"(?<![\d.,])\d{7,}(?![\d.,])",  # a number as long as those of people
    r"(?i:\b(?:9\d|1[0-2]\d)[ \-]?(?:y\.?/?o\.?|yrs?|years?)(?:[ \-]old)?\b)",  # ages over 89
)
_TITLED = re.compile(rf"\b(?:Dr\.?|DR\.|Prof\.?|PROF\.|Mrs\.?|Mr\.|Ms\.)\s*({_NAME}(?:[ ]{_NAME})?)")
_PATTERN_ALWAYS = re.compile("|".join(f"(?:{pattern})" for pattern in _ALWAYS))
_PATTERN_TEXT = re.compile("|".join(f"(?:{pattern})" for pattern in (*_ALWAYS, *_IN_TEXT)))
_HINT = re.compile(r"[@^+]|\d{3}|\d[\-./ ]|www\.|://|[:=]|Dr|DR|Prof|PROF|Mr|Ms|(?i:tel|phone|fax|mobile|cell|pager)")
_BLANKS = re.compile(r"[ \t]{2,}")
_EMPTY_SIGNS = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}")
_LOOSE_ENDS = " \t,;:^_=-/&+"


def clean_text(text: str, guard: Guard) -> str:
    """The text without what identifies; the very same object when nothing does. May become empty."""
    spans = (*guard.spans(text), *_forms(text))
    return _without(text, spans) if spans else text


def has_contact(text: str) -> bool:
    """Whether a telephone number, address of mail or net, or a person with a title stands in a text to be kept."""
    if _HINT.search(text) is None:
        return False
    return _PATTERN_ALWAYS.search(text) is not None or next(_titled(text), None) is not None


@lru_cache(maxsize=4096)
def _forms(text: str) -> tuple[tuple[int, int], ...]:
    if _HINT.search(text) is None:
        return ()
    return (*(match.span() for match in _PATTERN_TEXT.finditer(text)), *_titled(text))


def _titled(text: str) -> Iterator[tuple[int, int]]:
    """A title with a name after it; DR and Dr also stand for radiography, before words of the trade."""
    for match in _TITLED.finditer(text):
        if match[1].split()[0].casefold() not in unlisted().vocabulary:
            yield match.span()


@lru_cache(maxsize=4096)
def _without(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    kept, position = [], 0
    for start, end in sorted(spans):
        if start > position:
            kept.append(text[position:start])
        position = max(position, end)
    kept.append(text[position:])
    cleaned = _BLANKS.sub(" ", _EMPTY_SIGNS.sub("", "".join(kept)))
    cleaned = "\n".join(line.strip(_LOOSE_ENDS + "\r") for line in cleaned.split("\n"))
    return cleaned if any(letter.isalnum() for letter in cleaned) else ""
