"""One object judged element by element, at every depth, against what its own statement allows (PS3.15 E.1 to E.3).

With the source beside it, values are compared too, and what relates files to each other is collected: UIDs, dates,
patients. Without the source, what can be seen in the output alone is judged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curate.deid.verification.claims import Claims
from curate.deid.verification.derive import Rename
from curate.deid.verification.entries import PIXELS, Contents, Entry, describe, flat
from curate.deid.verification.findings import Rule
from curate.deid.verification.forms import (
    NUMBER_VRS,
    has_contact,
    has_letters,
    is_dummy,
    is_key,
    is_malformed,
    is_old,
    is_token,
    looks_like_name,
    looks_like_uid,
    private_fault,
    words_of,
)
from curate.deid.verification.items import align, concept
from curate.deid.verification.labels import NAME, PATIENT_ID, STATEMENTS, Broken, meta_faults, statement_faults
from curate.deid.verification.reading import dictionary_vr
from curate.deid.verification.standard import (
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
from curate.deid.verification.words import TEXT_VRS, TIME_VRS, decode, encodings_of, is_standard, values

ISSUER, ACCESSION, SOP_CLASS, CHARACTER_SET = 0x00100021, 0x00080050, 0x00080016, 0x00080005
_RESTORED = frozenset((NAME, PATIENT_ID, SOP_CLASS, 0x00080018, CHARACTER_SET))
_KEEPING, _MAPPING = frozenset("KC"), frozenset("KCU")
_MARKED = {"keep": frozenset("K"), "clean": frozenset("C")}
_INDEX = re.compile(r"\[\d+\]")
_GRAPHICS = (0x5000, 0x6000)
_OTHER_VR = "of another VR than the standard's"
_PIXEL_VRS = ("OB", "OW", "OF", "OD", "UN")


@dataclass(slots=True)
class Judgement:
    """Broken rules as (rule, path, detail), and what has to hold between files."""

    broken: list[Broken] = field(default_factory=list)
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
        self._has_pixels = False
        self._encodings: tuple[str, ...] = ("latin-1",)
        self._source_encodings: tuple[str, ...] = ("latin-1",)
        self._marked_creators = claims.marked_creators()

    def judge(self, output: Contents, source: Contents | None = None) -> Judgement:
        """Everything wrong with one object."""
        self._out, self._has_source, self._has_pixels = Judgement(), source is not None, output.has_pixels()
        self._encodings = encodings_of(output.entries)
        self._source_encodings = encodings_of(source.entries) if source is not None else self._encodings
        self._out.broken += [*statement_faults(output, self._claims), *meta_faults(output)]
        self._dataset(output.entries, None if source is None else source.entries, "")
        if source is not None:
            self._note_patient(source, output)
        return self._out

    def _break(self, rule: Rule, where: str, detail: str = "") -> None:
        self._out.broken.append((rule, where, detail))

    def _dataset(self, entries: Sequence[Entry], before: Sequence[Entry] | None, path: str) -> None:
        old = {entry.tag: entry for entry in before or ()}
        self._out.elements += len(entries)
        if len({entry.tag for entry in entries}) < len(entries):  # PS3.5 7.1: two readers would see two objects
            self._break(Rule.UNREADABLE, path, "an attribute stands there twice")
        creators: Mapping[int, str] | None = None
        for entry in entries:
            tag = entry.tag
            where = path + describe(tag)
            if (tag >> 16) & 0xFF01 in _GRAPHICS:
                self._break(Rule.GRAPHICS, where)
            elif tag & 0x10000:
                creators = _creators(entries) if creators is None else creators
                self._private(entry, old.get(tag), creators, where, entries)
            elif tag in PIXELS:
                if entry.vr not in _PIXEL_VRS:
                    self._break(Rule.UNREADABLE, where, _OTHER_VR)
                elif path and not self._has_source:
                    self._break(Rule.MUST_GO, where)  # icons go with their sequence
            elif path or tag not in STATEMENTS:
                self._element(entry, old.get(tag), where, is_top=not path)

    def _private(
        self, entry: Entry, before: Entry | None, creators: Mapping[int, str], where: str, beside: Sequence[Entry]
    ) -> None:
        group, number = entry.tag >> 16, entry.tag & 0xFFFF
        chosen = {name: letter for name, letter in self._claims.overrides.items() if isinstance(name, tuple)}
        if 0x10 <= number <= 0xFF:
            owner = (group, creators[number])
            is_safe = SAFE_PRIVATE in self._claims.codes and owner in safe_creators()
            is_safe |= owner in self._marked_creators
            if not is_safe and not any((name[0], name[1]) == owner for name in chosen):
                self._break(Rule.PRIVATE, where, "a creator of nothing that is safe")
            elif not any(other.tag >> 8 == group << 8 | number for other in beside):
                self._break(Rule.PRIVATE, where, "a creator of nothing")
            return
        name = (group, creators.get(number >> 8, ""), number & 0xFF)
        vr = safe_private().get(name) if SAFE_PRIVATE in self._claims.codes else None
        vr = entry.vr if chosen.get(name) in _KEEPING else None if name in chosen else vr
        mark = self._mark(before, where, name[1])
        if mark == "remove" and before is not None and entry.value == before.value:
            vr = None
        elif mark in ("keep", "clean"):
            vr = entry.vr
        if vr is None:
            self._break(Rule.PRIVATE, where)
        elif fault := private_fault(entry, vr, self._encodings):
            self._break(Rule.PRIVATE, where, fault)
        elif before is None and is_malformed(vr, entry.value):
            self._break(Rule.NUMBER, where)
        elif entry.items:
            self._sequence(entry, before, frozenset("K"), where)

    def _element(self, entry: Entry, before: Entry | None, where: str, *, is_top: bool) -> None:
        letters = self._letters(entry.tag) | _MARKED.get(self._mark(before, where), frozenset())
        if self._mark(before, where) == "remove":
            letters -= _KEEPING
        is_restored = is_top and entry.tag in _RESTORED
        if letters == {"X"} and not is_restored:
            self._break(Rule.MUST_GO, where)
            return
        if not self._has_source and _is_of_another_kind(entry):
            self._break(Rule.UNREADABLE, where, _OTHER_VR)
        if entry.items is not None:
            self._sequence(entry, before, letters, where)
            return
        if before is None and is_malformed(entry.vr, entry.value):
            self._break(Rule.NUMBER, where)
        value = entry.value.strip(b" \0")
        if entry.tag == ACCESSION and not letters & _KEEPING:
            if not (not entry.value or is_token(value)):
                self._break(Rule.NOT_EMPTIED, where)
            return
        if not value and entry.vr not in NUMBER_VRS:
            return
        if before is None and self._has_source and not is_restored and not is_dummy(value):
            self._break(Rule.INVENTED, where)
            return
        if is_top and entry.tag in (NAME, PATIENT_ID):
            was = None if before is None else before.value.strip(b" \0")
            if not self._claims.keeps_ids and (value == was or (not self._has_source and not is_key(value))):
                self._break(Rule.NOT_EMPTIED, where)
        elif entry.vr == "UI" and (letters & _MAPPING or dictionary_vr(entry.tag) == "UI"):
            self._uids(entry, before, letters, where)
        elif is_dummy(value):
            return
        elif entry.vr in TIME_VRS:
            self._times(entry, before, letters, where)
        else:
            self._other(entry, before, letters, where)

    def _mark(self, before: Entry | None, where: str, creator: str = "") -> str:
        """What a person decided about the value that the source has here; empty where nobody did."""
        if before is None or not self._claims.marks:
            return ""
        path = _INDEX.sub("/", where)
        if creator:  # in findings a private attribute is named by its group alone
            path = (
                f"{path.removesuffix(describe(before.tag))}({before.tag >> 16:04x},xx{before.tag & 0xFF:02x},{creator})"
            )
        return self._claims.marks.get((path, decode(before.value, self._source_encodings)), "")

    def _letters(self, tag: int) -> frozenset[str]:
        """What may have been done with the attribute: letters of the table, K for what it does not list."""
        override = self._claims.overrides.get(tag)
        if override is not None:
            return frozenset(override)
        duty = attributes().get(tag)
        if duty is None:
            return frozenset("K")
        if self._claims.keeps_ids and tag in (PATIENT_ID, NAME):
            return frozenset("K")
        return under(duty, self._claims.codes)

    def _sequence(self, entry: Entry, before: Entry | None, letters: frozenset[str], where: str) -> None:
        items = entry.items or ()
        if items and not letters & _MAPPING and not ("D" in letters and not self._has_pixels and _say_nothing(items)):
            self._break(Rule.NOT_EMPTIED, where, "its items")  # reports and the like must have some: PS3.3 type 1
        old = None if before is None else before.items
        pairs = align(items, old) if old is not None else [None] * len(items)
        if self._has_source and None in pairs:
            self._break(Rule.INVENTED, where, "an item")
        for number, (item, matched) in enumerate(zip(items, pairs, strict=True)):
            inner = f"{where}[{number}]"
            duty = content_items().get(concept(item))
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
                if was is not None and was != uid and entry.tag != SOP_CLASS:
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
        if not letters & _KEEPING or not (codes & {FULL_DATES, MODIFIED_DATES}):
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
        if entry.vr == "AS" and any(is_old(age) for age in values(entry)):
            self._break(Rule.AGE, where)
        if entry.tag == PATIENT_ID and not self._claims.keeps_ids:  # of a nested patient
            if not is_key(entry.value):
                self._break(Rule.NOT_EMPTIED, where)
        elif entry.vr == "PN":
            if self._claims.overrides.get(entry.tag) != "K":
                self._break(Rule.PERSON, where)
        elif not letters & _KEEPING or (dictionary_vr(entry.tag) in TIME_VRS and entry.vr != "UN"):
            self._break(Rule.NOT_EMPTIED, where)  # dates are moved, or kept, as dates and not as anything else
        elif entry.vr in TEXT_VRS:
            self._text(entry, before, where)
        else:
            self._numbers(entry, before, letters, where)

    def _text(self, entry: Entry, before: Entry | None, where: str) -> None:
        if entry.vr == "UN" and looks_like_name(entry.value):
            self._break(Rule.PERSON, where)
        elif entry.vr == "UN" and looks_like_uid(entry.value) and KEEP_UIDS not in self._claims.codes:
            self._uids(entry, before, frozenset("U"), where)
        if has_contact(entry.value, self._encodings):
            self._break(Rule.TEXT, where)
        if entry.tag in attributes():
            return
        self._out.kept_text[describe(entry.tag)] += 1
        if before is not None and entry.value != before.value and not words_of(entry.value) <= words_of(before.value):
            self._break(Rule.CHANGED, where)

    def _numbers(self, entry: Entry, before: Entry | None, letters: frozenset[str], where: str) -> None:
        if has_letters(entry.tag, entry.vr, entry.value):
            self._break(Rule.NUMBER, where)
        if before is None or entry.value == before.value or "C" in letters or entry.vr == "AS":
            return
        cleaned_pixels = CLEAN_PIXELS in self._claims.codes and entry.tag >> 16 == 0x0028
        if entry.value.strip(b" \0") != before.value.strip(b" \0") and not cleaned_pixels:
            self._break(Rule.CHANGED, where)

    def _note_patient(self, source: Contents, output: Contents) -> None:
        old = " ".join(source.text(PATIENT_ID).upper().split())
        if old:
            self._out.patients.add((f"{source.text(ISSUER).upper()}\0{old}", output.text(PATIENT_ID)))


def _say_nothing(items: tuple[tuple[Entry, ...], ...]) -> bool:
    """Whether every text at every depth is a dummy."""
    texts = (entry for item in items for entry in flat(item) if entry.vr in TEXT_VRS)
    return all(is_dummy(entry.value) for entry in texts)


def _is_of_another_kind(entry: Entry) -> bool:
    """Whether a sequence or UID stands where the standard has something else, or no text where it must be one."""
    if entry.tag == CHARACTER_SET:
        return entry.vr != "CS"
    if entry.tag in (NAME, PATIENT_ID):
        return entry.vr not in TEXT_VRS
    return entry.vr in ("SQ", "UI") and dictionary_vr(entry.tag) not in (entry.vr, "UN")


def _creators(entries: Sequence[Entry]) -> dict[int, str]:
    return {
        entry.tag & 0xFFFF: entry.value.strip(b" \0").decode("latin-1")
        for entry in entries
        if entry.tag & 0x10000 and 0x10 <= entry.tag & 0xFFFF <= 0xFF
    }
