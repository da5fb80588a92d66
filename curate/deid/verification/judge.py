"""One object judged element by element, at every depth, against what its own statement allows (PS3.15 E.1 to E.3).

With the source beside it, values are compared too, and what relates files to each other is collected: UIDs, dates,
patients. Without the source, what can be seen in the output alone is judged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from curate.deid.verification.claims import Claims
from curate.deid.verification.derive import Rename
from curate.deid.verification.findings import Rule
from curate.deid.verification.reading import PIXELS, Contents, Entry, describe
from curate.deid.verification.standard import (
    BASIC,
    CLEAN_PIXELS,
    FULL_DATES,
    KEEP_UIDS,
    MODIFIED_DATES,
    SAFE_PRIVATE,
    attributes,
    content_items,
    safe_creators,
    safe_private,
    under,
)
from curate.deid.verification.times import Moved, moved
from curate.deid.verification.words import TEXT_VRS, TIME_VRS, contact_in, decode, encodings_of, is_standard, values

NAME, PATIENT_ID, ISSUER, ACCESSION = 0x00100010, 0x00100020, 0x00100021, 0x00080050
_REMOVED, _METHOD, _CODES, _DATES = 0x00120062, 0x00120063, 0x00120064, 0x00280303
_STATEMENTS = frozenset((_REMOVED, _METHOD, _CODES, _DATES, 0x00280301, 0x00280302))
_RESTORED = frozenset((NAME, PATIENT_ID, 0x00080016, 0x00080018, 0x00080005))
_META = frozenset((0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013))
_CONCEPT = 0x0040A043
_NUMBER_VRS = frozenset(("US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV"))
_DUMMIES = frozenset(
    (b"ANONYMIZED", b"ANONYMOUS", b"REMOVED", b"UNKNOWN", b"0", b"000Y", b"19000101", b"000000", b"19000101000000")
)
_DECIMALS = re.compile(rb"[0-9+\-.eE \0\\]*")
_CODE = re.compile(rb"[\w ./+\-:\\]*\0?")
_WRITTEN = re.compile(rb"[A-Za-z^ ]{8,}\0*")
_TOKEN = re.compile(rb"[0-9a-f]{16}|[A-Z2-7]{16}")
_TABLES_OF_BYTES = frozenset((0x00281201, 0x00281202, 0x00281203, 0x00281204, 0x00283006))


@dataclass(slots=True)
class Judgement:
    """Broken rules as (rule, path, detail), and what has to hold between files."""

    broken: list[tuple[Rule, str, str]] = field(default_factory=list)
    uids: set[tuple[str, str]] = field(default_factory=set)  # of the source, of the output
    patients: set[tuple[str, str]] = field(default_factory=set)
    days: set[int] = field(default_factory=set)  # offsets found; one a patient
    seconds: set[int] = field(default_factory=set)  # of times of day, modulo a day
    kept_text: Counter[str] = field(default_factory=Counter)  # tag -> values kept that the table does not list
    elements: int = 0


class Judge:
    """Judges objects of one claim under one key."""

    def __init__(self, claims: Claims, rename: Rename | None = None) -> None:
        """``rename``: what UIDs must become; None when the key is not known."""
        self._claims = claims
        self._rename = rename if KEEP_UIDS not in claims.codes else None
        self._out = Judgement()
        self._has_source = False
        self._encodings: tuple[str, ...] = ("latin-1",)

    def judge(self, output: Contents, source: Contents | None = None) -> Judgement:
        """Everything wrong with one object."""
        self._out, self._has_source = Judgement(), source is not None
        self._encodings = encodings_of(output.entries)
        self._judge_statement(output)
        self._judge_meta(output)
        self._dataset(output.entries, None if source is None else source.entries, "")
        if source is not None:
            self._note_patient(source, output)
        return self._out

    def _break(self, rule: Rule, where: str, detail: str = "") -> None:
        self._out.broken.append((rule, where, detail))

    def _judge_statement(self, output: Contents) -> None:
        if output.text(_REMOVED) != "YES":
            self._break(Rule.STATEMENT, describe(_REMOVED), "does not say YES")
        codes = self._claims.codes
        if not self._claims.keeps_ids and BASIC not in codes:
            self._break(Rule.STATEMENT, describe(_CODES), f"lacks code {BASIC}")
        dates = "UNMODIFIED" if FULL_DATES in codes else "MODIFIED" if MODIFIED_DATES in codes else "REMOVED"
        said = output.text(_DATES)
        if said != dates and not (dates == "REMOVED" and said == "MODIFIED"):
            self._break(Rule.STATEMENT, describe(_DATES), f"does not say {dates}")
        if not self._claims.keeps_ids and output.value(NAME) != output.value(PATIENT_ID):
            self._break(Rule.STATEMENT, describe(NAME), "is not the patient's key")

    def _judge_meta(self, output: Contents) -> None:
        for entry in output.meta:
            if entry.tag not in _META:
                self._break(Rule.FILE_META, describe(entry.tag))
            elif entry.tag == 0x00020003 and entry.value.strip(b" \0") != output.value(0x00080018):
                self._break(Rule.FILE_META, describe(entry.tag), "is not the SOP Instance UID")

    def _dataset(self, entries: Sequence[Entry], before: Sequence[Entry] | None, path: str) -> None:
        old = {entry.tag: entry for entry in before or ()}
        creators = _creators(entries)
        for entry in entries:
            self._out.elements += 1
            where = path + describe(entry.tag)
            if (entry.tag >> 16) & 0xFF01 in (0x5000, 0x6000):
                self._break(Rule.GRAPHICS, where)
            elif entry.tag & 0x10000:
                self._private(entry, creators, where)
            elif entry.tag in PIXELS:
                continue
            elif path or entry.tag not in _STATEMENTS:
                self._element(entry, old.get(entry.tag), where, is_top=not path)

    def _private(self, entry: Entry, creators: Mapping[int, str], where: str) -> None:
        group, number = entry.tag >> 16, entry.tag & 0xFFFF
        chosen = {name: letter for name, letter in self._claims.overrides.items() if isinstance(name, tuple)}
        if 0x10 <= number <= 0xFF:
            owner = (group, creators[number])
            is_safe = SAFE_PRIVATE in self._claims.codes and owner in safe_creators()
            if not is_safe and not any((name[0], name[1]) == owner for name in chosen):
                self._break(Rule.PRIVATE, where, "a creator of nothing that is safe")
        else:
            name = (group, creators.get(number >> 8, ""), number & 0xFF)
            vr = safe_private().get(name) if SAFE_PRIVATE in self._claims.codes else None
            vr = entry.vr if chosen.get(name) in ("K", "C") else None if name in chosen else vr
            if vr is None:
                self._break(Rule.PRIVATE, where)
            elif vr in ("DS", "IS") and _DECIMALS.fullmatch(entry.value) is None:
                self._break(Rule.PRIVATE, where, "not a number")
            elif vr in _NUMBER_VRS and _WRITTEN.fullmatch(entry.value):
                self._break(Rule.PRIVATE, where, "text where numbers belong")
            elif vr in TEXT_VRS and contact_in(decode(entry.value, self._encodings)):
                self._break(Rule.TEXT, where)

    def _element(self, entry: Entry, before: Entry | None, where: str, *, is_top: bool) -> None:
        letters = self._letters(entry.tag)
        if letters == {"X"} and not (is_top and entry.tag in _RESTORED):
            self._break(Rule.MUST_GO, where)
            return
        if entry.items is not None:
            self._sequence(entry, before, where)
            return
        value = entry.value.strip(b" \0")
        if not value and entry.vr not in _NUMBER_VRS:
            return
        if self._has_source and before is None and not is_dummy(entry) and not (is_top and entry.tag in _RESTORED):
            self._break(Rule.INVENTED, where)
            return
        if is_top and entry.tag in (NAME, PATIENT_ID):
            if before is not None and value == before.value.strip(b" \0") and not self._claims.keeps_ids:
                self._break(Rule.NOT_EMPTIED, where)
        elif entry.vr == "UI":
            self._uids(entry, before, letters, where)
        elif entry.vr in TIME_VRS:
            self._times(entry, before, letters, where)
        else:
            self._other(entry, before, letters, where)

    def _letters(self, tag: int) -> frozenset[str]:
        """What may have been done with the attribute: letters of the table, K for what it does not list."""
        override = self._claims.overrides.get(tag)
        if override is not None:
            return frozenset(override)
        duty = attributes().get(tag)
        if duty is None:
            return frozenset("K")
        if self._claims.keeps_ids and tag in (PATIENT_ID, NAME, ACCESSION, ISSUER):
            return frozenset("K")
        return under(duty, self._claims.codes)

    def _sequence(self, entry: Entry, before: Entry | None, where: str) -> None:
        items = entry.items or ()
        old = None if before is None else before.items
        pairs = align(items, old) if old is not None else [None] * len(items)
        if self._has_source and None in pairs:
            self._break(Rule.INVENTED, where, "an item")
        for number, (item, matched) in enumerate(zip(items, pairs, strict=True)):
            inner = f"{where}[{number}]"
            duty = content_items().get(_concept(item))
            if duty is not None and under(duty, self._claims.codes) == {"X"}:
                self._break(Rule.CONTENT_ITEM, inner)
            if matched is not None or not self._has_source:
                self._dataset(item, matched, inner)

    def _uids(self, entry: Entry, before: Entry | None, letters: frozenset[str], where: str) -> None:
        new = values(entry)
        old = [] if before is None else values(before)
        may_stay = KEEP_UIDS in self._claims.codes or ("K" in letters and entry.tag in attributes())
        if before is not None and len(old) != len(new):
            self._break(Rule.CHANGED, where, "number of values")
            return
        for number, uid in enumerate(new):
            was = old[number] if old else None
            if not uid or is_standard(uid):
                if was is not None and was != uid and (entry.tag != 0x00080016):
                    self._break(Rule.CHANGED, where)
                continue
            if was is not None:
                self._out.uids.add((was, uid))
            if may_stay and was in (None, uid):
                continue
            if not uid.startswith("2.25.") or was == uid:
                self._break(Rule.KEPT_UID, where)
            elif was is not None and self._rename is not None and self._rename(was) != uid:
                self._break(Rule.WRONG_UID, where)

    def _times(self, entry: Entry, before: Entry | None, letters: frozenset[str], where: str) -> None:
        codes = self._claims.codes
        if is_dummy(entry):
            return
        if not letters & {"K", "C"} or not (codes & {FULL_DATES, MODIFIED_DATES}):
            self._break(Rule.NOT_EMPTIED, where)
            return
        if before is None:
            return
        found = moved(entry.vr, before.value, entry.value)
        if found is None or (FULL_DATES in codes and found not in (Moved(), Moved(frozenset({0}), frozenset({0})))):
            if found is None or found.days - {0} or found.seconds - {0}:
                self._break(Rule.DATE, where)
        elif FULL_DATES not in codes:
            if 0 in found.days:
                self._break(Rule.DATE, where, "not moved")
            self._out.days |= found.days
            self._out.seconds |= found.seconds

    def _other(self, entry: Entry, before: Entry | None, letters: frozenset[str], where: str) -> None:
        """Names, ages, text, numbers, codes and bytes."""
        if is_dummy(entry) or (entry.tag == ACCESSION and _TOKEN.fullmatch(entry.value.strip(b" \0"))):
            return
        if entry.vr == "AS" and any(is_old(age) for age in values(entry)):
            self._break(Rule.AGE, where)
        if entry.tag == PATIENT_ID and not self._claims.keeps_ids:  # of a nested patient
            if _TOKEN.fullmatch(entry.value.strip(b" \0")) is None:
                self._break(Rule.NOT_EMPTIED, where)
            return
        if entry.vr == "PN":
            self._break(Rule.PERSON, where)
        elif not letters & {"K", "C"}:
            self._break(Rule.NOT_EMPTIED, where)
        elif entry.vr in TEXT_VRS:
            self._text(entry, before, where)
        else:
            self._numbers(entry, before, letters, where)

    def _text(self, entry: Entry, before: Entry | None, where: str) -> None:
        text = decode(entry.value, self._encodings)
        if contact_in(text):
            self._break(Rule.TEXT, where)
        if entry.tag not in attributes():
            self._out.kept_text[describe(entry.tag)] += 1
            if before is not None and not words_of(entry.value) <= words_of(before.value):
                self._break(Rule.CHANGED, where)

    def _numbers(self, entry: Entry, before: Entry | None, letters: frozenset[str], where: str) -> None:
        value = entry.value
        if (
            (entry.vr in ("DS", "IS") and _DECIMALS.fullmatch(value) is None)
            or (entry.vr == "CS" and _CODE.fullmatch(value) is None)
            or (entry.vr not in ("DS", "IS", "CS", "AS") and entry.tag not in _TABLES_OF_BYTES and _is_written(value))
        ):
            self._break(Rule.NUMBER, where)
        if before is None or "C" in letters or entry.vr == "AS":
            return
        cleaned_pixels = CLEAN_PIXELS in self._claims.codes and entry.tag >> 16 == 0x0028
        if value.strip(b" \0") != before.value.strip(b" \0") and not cleaned_pixels:
            self._break(Rule.CHANGED, where)

    def _note_patient(self, source: Contents, output: Contents) -> None:
        old = " ".join(source.text(PATIENT_ID).upper().split())
        if old:
            self._out.patients.add((f"{source.text(ISSUER).upper()}\0{old}", output.text(PATIENT_ID)))


def align(items: Sequence[Sequence[Entry]], old: Sequence[Sequence[Entry]]) -> list[Sequence[Entry] | None]:
    """The source's item of each output item: by number, or, when some were dropped, the next that fits."""
    if len(items) == len(old):
        return list(old)
    position, found = 0, list[Sequence[Entry] | None]()
    for item in items:
        match = next((n for n in range(position, len(old)) if _fits(item, old[n])), None)
        found.append(None if match is None else old[match])
        position = position if match is None else match + 1
    return found


def is_dummy(entry: Entry) -> bool:
    """Whether the value is one of the constants that stand for nothing, or zeros."""
    value = entry.value.strip(b" \0")
    return not value or all(part in _DUMMIES for part in value.split(b"\\"))


def is_old(age: str) -> bool:
    """Over 89 years, and not the 090Y that stands for all of them."""
    per_year = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}.get(age[-1:], 0.0)
    return bool(per_year) and age[:-1].isdigit() and int(age[:-1]) / per_year >= 90 and age != "090Y"


def words_of(value: bytes) -> Counter[bytes]:
    """Words with how often each occurs."""
    return Counter(re.findall(rb"[^\s\\\0]+", value))


def _is_written(value: bytes) -> bool:
    return _WRITTEN.fullmatch(value) is not None


def _creators(entries: Sequence[Entry]) -> dict[int, str]:
    return {
        entry.tag & 0xFFFF: entry.value.strip(b" \0").decode("latin-1")
        for entry in entries
        if entry.tag & 0x10000 and 0x10 <= entry.tag & 0xFFFF <= 0xFF
    }


def _fits(item: Sequence[Entry], old: Sequence[Entry]) -> bool:
    return {entry.tag for entry in item} <= {entry.tag for entry in old} and _concept(item) == _concept(old)


def _concept(item: Sequence[Entry]) -> tuple[str, str]:
    """Scheme and code of the concept name of a structured report's content item."""
    cells: dict[int, str] = {}
    for entry in _inside(item):
        cells[entry.tag] = entry.value.strip(b" \0").decode("latin-1")
    return cells.get(0x00080102, ""), cells.get(0x00080100, "")


def _inside(item: Sequence[Entry]) -> Iterator[Entry]:
    for entry in item:
        if entry.tag == _CONCEPT and entry.items:
            yield from entry.items[0]
