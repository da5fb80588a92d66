"""What kind of text a value looks like, so that a person reads what matters first.

A guess by form alone, in words for people. It decides nothing about what is kept; only the order of the review does.
"""

from __future__ import annotations

import re

NAMES_ITS_PATIENT = "names a person of its own file"
_NAME, _CONTACT, _DATE, _NUMBER = "looks like a name", "looks like a contact", "looks like a date", "looks like an id"
_SENTENCE, _PHRASE, _CODE = "free text", "short text", "code"

CLASSES = (NAMES_ITS_PATIENT, _NAME, _CONTACT, _DATE, _NUMBER, _SENTENCE, _PHRASE, _CODE)
"""Of listed values, those that most need a look first."""

SUSPICIOUS = CLASSES[:6]

NOT_LISTED = {
    "personal": "names, ids and contacts",
    "uid": "UIDs",
    "time": "dates and times",
    "sequence": "a sequence that goes as a whole",
    "number": "numbers",
    "age": "ages",
    "bytes": "bytes",
    "long": "text too long for a table",
    "many": "more different values than can be reviewed",
}
"""Why values are counted and not listed."""

# MR and DR in capitals are modalities, unless a full stop follows
_TITLE = re.compile(
    r"\b(?:Dr|Prof|Mr|Mrs|Ms|Miss|Herr|Frau|Sr|Sra|Mme)\b\.? *[^\W\d_]{2,}|\b(?:DR|PROF|MRS?)\. *[^\W\d_]{2,}"
)
_COMMA_NAME = re.compile(r"\b[A-Z][^\W\d_]+, ?[A-Z][^\W\d_]+\b")
_MAIL_OR_ADDRESS = re.compile(
    r"\S@\S|https?://|www\.|\b(?:street|strasse|straße|avenue|road|rue|platz|boulevard|p\.? ?o\.? ?box)\b|str\. \d",
    re.IGNORECASE,
)
_PHONE = re.compile(r"(?<![\w.])(?:\+|\(?0)[\d ()/-]{6,}\d(?![\w.])|\b\d{3}[-. ]\d{3,4}(?:[-. ]\d{4})?\b")
_A_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-./]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])|\d{1,2}([-./])\d{1,2}\2(?:19|20)?\d\d)"
    r"(?!\d)"
)
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{5,}(?![\d.])|\b[A-Z]{1,4}[-_]?\d{4,}\b")
_MOST_PHRASE_WORDS, _LONGEST_PHRASE = 6, 64


def classify(text: str, *, is_code: bool) -> str:
    """One of CLASSES but the first, which only the file of the value can tell."""
    if is_code:
        return _CODE
    if "^" in text or _TITLE.search(text) or _COMMA_NAME.search(text):
        return _NAME
    if _MAIL_OR_ADDRESS.search(text):
        return _CONTACT
    if _A_DATE.search(text):
        return _DATE
    if _PHONE.search(text):
        return _CONTACT
    if _LONG_NUMBER.search(text):
        return _NUMBER
    if len(text) > _LONGEST_PHRASE or "\n" in text or len(text.split()) > _MOST_PHRASE_WORDS:
        return _SENTENCE
    return _PHRASE


def rank(value_class: str) -> int:
    """Place in the order of reading; what is not listed comes last."""
    return CLASSES.index(value_class) if value_class in CLASSES else len(CLASSES)
