"""What is done to single elements once everything that identifies is known: checked, cleaned, replaced or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from curate.deid.cleaning import clean_text, has_contact
from curate.deid.dates import cap_age, shift_value
from curate.deid.elements import Element, Syntax, describe
from curate.deid.encode import Encoded, encode_element, encode_items
from curate.deid.identifiers import Guard
from curate.deid.private import public_name
from curate.deid.profile import PATIENT_ID, PATIENT_NAME, Action
from curate.deid.pseudonyms import Pseudonyms, canonical_id
from curate.deid.rules import VERBATIM, Step
from curate.deid.text import decode_exactly, decode_text, encode_text, is_code, is_number, is_uid, is_written, is_zone
from curate.deid.vrs import LONG_VRS, Kind
from curate.deid.walk import Plan
from curate.errors import Quarantined
from curate.reasons import Reason

_TIMEZONE, _CODE_MEANING = 0x00080201, 0x00080104
_CODES = (0x00080100, 0x00080119, 0x00080120)
_LONG_CODES = (0x00080119, 0x00080120)
_LONGEST_TEXT = 64
_MOST_RENAMED, _MOST_OUTCOMES = 4096, 2048
_SMALL = 256  # bytes of an element whose outcome is remembered
_LARGE = 65536  # bytes: elements above it are not copied before they are written
_SEVERAL = frozenset((b"AE", b"CS", b"LO", b"SH", b"UC"))
_DUMMIES = {
    Kind.DECIMALS: b"0",
    Kind.AGE: b"000Y",
    Kind.NUMBERS: bytes(8),
    Kind.BULK: bytes(8),
    Kind.UNKNOWN: b"",
}
_DUMMY_TIMES = {b"DA": b"19000101", b"TM": b"000000", b"DT": b"19000101000000"}
_PLAIN_CHECKS: Mapping[Action, Callable[[bytes], bool]] = MappingProxyType(
    {
        Action.CHECK_BINARY: lambda value: not is_written(value),
        Action.CHECK_NUMBER: is_number,
        Action.CHECK_UID: is_uid,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Whose object it is, and how that person's things are renamed."""

    pseudonyms: Pseudonyms
    patient_id: str
    patient_key: str
    site: str
    days: int
    keeps_ids: bool
    renamed: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    def rename(self, uids: bytes) -> bytes:
        """New UIDs of one value; those of a study come again in all its files."""
        new = self.renamed.get(uids)
        if new is None:
            old = uids.decode("latin-1").split("\\")
            new = "\\".join(self.pseudonyms.uid(part) for part in old).encode("latin-1", "replace")
            if len(self.renamed) >= _MOST_RENAMED:
                self.renamed.clear()
            self.renamed[uids] = new
        return new


class _Outcome(NamedTuple):
    """What one act came to."""

    step: Step
    result: Encoded | None
    action: Action
    findings: tuple[str, ...]


@lru_cache(maxsize=64)
def _outcomes(
    subject: Subject, guard: Guard, syntax: Syntax, encodings: tuple[str, ...], is_top: bool
) -> dict[bytes, _Outcome]:
    """What acts came to before, by the bytes of the element: the files of a series repeat most of theirs.

    An outcome holds for the very step that led to it, and for everything that is named here.
    """
    return {}


class Acts:
    """Carries out the plan of one object."""

    def __init__(self, content: bytes, subject: Subject, guard: Guard) -> None:
        self.counts: Counter[str] = Counter()
        self.actions: list[Action] = []
        self._content = content
        self._subject = subject
        self._guard = guard
        self._findings: list[str] = []

    def carry_out(self, plan: Plan, *, depth: int = 0) -> dict[int, Encoded]:
        """Encoded elements that stay, by tag."""
        content, actions = self._content, self.actions
        known = _outcomes(self._subject, self._guard, plan.syntax, plan.encodings, depth == 0)
        if len(known) > _MOST_OUTCOMES:
            known.clear()
        encoded: dict[int, Encoded] = {}
        for element, step, items, creator in plan.elements:
            tag, _, head, _, end, _, inner = element
            raw = content[head:end] if end - head <= _SMALL and inner is None else None
            outcome = None if raw is None else known.get(raw)
            if outcome is None or outcome[0] is not step:
                outcome = self._outcome(element, step, items, plan, depth)
                if raw is not None:
                    known[raw] = outcome
            _, result, action, findings = outcome
            actions.append(action)
            if findings:
                self.counts.update(findings)
            if result is not None:
                encoded[tag] = result
            if creator is not None:
                self._bring(creator, tag, plan.syntax, encoded)
        if _CODE_MEANING in encoded and not any(tag in encoded for tag in _CODES):
            del encoded[_CODE_MEANING]  # a meaning without a code is free text
            self.counts["meaning without a code removed"] += 1
        return encoded

    def _outcome(self, element: Element, step: Step, items: tuple[Plan, ...], plan: Plan, depth: int) -> _Outcome:
        """Bytes of the element, None to leave it out; the rule's fallback is due for a value that does not fit it."""
        action, syntax = step.action, plan.syntax
        self._findings = []
        if action is Action.KEEP or (element.start == element.end and not element.undefined):
            result: Encoded | None = self._whole(element, syntax)
        elif action in (Action.ENTER, Action.DUMMY_ITEMS):
            inner = [(item.syntax, self.carry_out(item, depth=depth + 1)) for item in items]
            self._findings = []
            result = encode_element(element.tag, element.vr, encode_items(inner), syntax)
        else:
            result = self._act(action, step, element, plan, depth)
            if result is None:
                self._findings.append("did not fit its rule")
                action = step.fallback
                result = None if action is Action.REMOVE else self._act(action, step, element, plan, depth)
        return _Outcome(step, result, action, tuple(self._findings))

    def _act(self, action: Action, step: Step, element: Element, plan: Plan, depth: int) -> Encoded | None:
        """Bytes of the element; None when its value is not what the action takes it for."""
        value = self._content[element.start : element.end]
        check = _PLAIN_CHECKS.get(action)
        if check is not None:
            return self._whole(element, plan.syntax) if check(value) else None
        if action in VERBATIM:
            return self._whole(element, plan.syntax) if self._passes(action, element, value, plan.encodings) else None
        new = self._replace(action, step.kind, element, value, plan.encodings, depth)
        return None if new is None else encode_element(element.tag, element.vr, new, plan.syntax)

    def _bring(self, creator: str, tag: int, syntax: Syntax, encoded: dict[int, Encoded]) -> None:
        """The creator of a private block comes along, written anew, with the first element that stays."""
        creator_tag = tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8
        if tag not in encoded:
            self.counts[f"private removed: {public_name(creator)}"] += 1
        elif creator_tag not in encoded:
            encoded[creator_tag] = encode_element(creator_tag, b"LO", creator.encode("latin-1"), syntax)

    def _whole(self, element: Element, syntax: Syntax) -> Encoded:
        """The element as it stands; the two reserved bytes of a long header are made zero (PS3.5 7.1.2)."""
        content, head, end = self._content, element.head, element.end
        if element.vr in LONG_VRS and not syntax.implicit and content[head + 6 : head + 8] != b"\0\0":
            self._findings.append("reserved bytes cleared")
            return content[head : head + 6] + b"\0\0" + content[head + 8 : end]
        if end - head > _LARGE:
            return memoryview(content)[head:end]
        return content[head:end]

    def _passes(self, action: Action, element: Element, value: bytes, encodings: tuple[str, ...]) -> bool:
        """Whether a text may stay as it is."""
        if action is Action.CHECK_CODE and not is_code(value):
            return False
        if element.tag == _TIMEZONE:
            return is_zone(value)
        text = decode_exactly(value, encodings)
        if text is None or (action is Action.CHECK_TEXT and not _is_harmless(element.tag, text)):
            return False
        if self._guard.finds(text):
            self._findings.append("identifier found in kept text")
            return False
        return True

    def _replace(
        self, action: Action, kind: Kind, element: Element, value: bytes, encodings: tuple[str, ...], depth: int
    ) -> bytes | None:
        """The new value; None when the old one is not well formed or nothing is left of it."""
        subject = self._subject
        if action is Action.UID:
            return subject.rename(value)
        if action is Action.EMPTY:
            return b""
        if action is Action.CLEAN:
            return self._clean(element, value, encodings)
        if action is Action.SHIFT:
            return shift_value(element.vr, value, subject.days) if element.vr in _DUMMY_TIMES else None
        if action is Action.AGE:
            return cap_age(value)
        if action is Action.TOKEN:
            return subject.pseudonyms.token("accession", decode_text(value, encodings)).encode()
        if action in (Action.PATIENT, Action.OWN_ID):
            return self._patient(element.tag, value, encodings, depth)
        if kind is Kind.TIME:
            return _DUMMY_TIMES.get(element.vr, b"")
        return subject.rename(value) if kind is Kind.UID else _DUMMIES.get(kind, b"ANONYMIZED")

    def _clean(self, element: Element, value: bytes, encodings: tuple[str, ...]) -> bytes | None:
        """Text without what identifies; None when nothing is left or the character set cannot be read."""
        text = decode_exactly(value, encodings)
        if text is None:
            return None
        parts = text.split("\\") if element.vr in _SEVERAL else [text]
        cleaned = [clean_text(part, self._guard) for part in parts]
        if cleaned == parts:
            return value
        self._findings.append("words taken out of text")
        return encode_text("\\".join(cleaned), encodings) if any(cleaned) else None

    def _patient(self, tag: int, value: bytes, encodings: tuple[str, ...], depth: int) -> bytes:
        """Id and name of the patient, or of another one whom a nested item names."""
        subject = self._subject
        text = decode_text(value, encodings)
        if subject.keeps_ids:
            if tag == PATIENT_NAME and text != subject.patient_id:
                raise Quarantined(Reason.DEIDENTIFICATION_FAILED, f"{describe(tag)} is not the id")
            return value
        if tag == PATIENT_ID and canonical_id(text) != canonical_id(subject.patient_id):
            return subject.pseudonyms.patient(text, site=subject.site).encode()
        return subject.patient_key.encode() if depth == 0 or tag == PATIENT_ID else b"ANONYMIZED"


def _is_harmless(tag: int, text: str) -> bool:
    """Whether text outside the table may stay: short, with no way to reach anyone; a long code has no blanks."""
    if tag in _LONG_CODES and " " in text:
        return False
    return not has_contact(text) and all(len(part) <= _LONGEST_TEXT for part in text.split("\\"))
