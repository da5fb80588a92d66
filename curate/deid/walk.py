"""One walk over the elements of an object with the rules of its profile, sequences included.

Collects, on the way, what was removed or replaced that identifies, the text that was kept, and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from curate.deid.dates import cap_age, shift_value
from curate.deid.elements import Element, Syntax, describe
from curate.deid.encode import encode_element, encode_items
from curate.deid.identifiers import Guard, Identifier, kind_of
from curate.deid.profile import PATIENT_ID, PATIENT_NAME, Action, Rule
from curate.deid.pseudonyms import Pseudonyms, canonical_id, is_well_known
from curate.deid.text import decode_text, encodings_of, is_code, is_number, is_uid, is_written, is_zone
from curate.deid.vrs import KIND_OF_VR, Kind
from curate.errors import Quarantined
from curate.reasons import Reason

_CHARACTER_SET, _TIMEZONE = 0x00080005, 0x00080201
_LONGEST_TEXT = 64
_TEXTUAL = (Kind.TEXT, Kind.CODE)
_DUMMIES = {
    Kind.DECIMALS: b"0",
    Kind.AGE: b"000Y",
    Kind.NUMBERS: bytes(8),
    Kind.BULK: bytes(8),
    Kind.UNKNOWN: b"",
}
_DUMMY_TIMES = {b"DA": b"19000101", b"TM": b"000000", b"DT": b"19000101000000"}
_VERBATIM = frozenset(action for action in Action if action is Action.KEEP or action.name.startswith("CHECK"))


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose object it is, and how that person's things are renamed."""

    pseudonyms: Pseudonyms
    patient_id: str
    patient_key: str
    site: str
    days: int
    keeps_ids: bool


class _Unfit(Exception):
    """The value is not what its rule takes it for; the rule's fallback is due."""


class Walk:
    """Mutable state of one pass over one object."""

    def __init__(self, content: bytes, rules: Mapping[int, Rule], subject: Subject, guard: Guard) -> None:
        self.counts: Counter[str] = Counter()
        self._actions: Counter[Action] = Counter()
        self.kept_texts: list[str] = []
        self._content = content
        self._rules = rules
        self._subject = subject
        self._guard = guard
        self._found: set[tuple[str, bytes, tuple[str, ...]]] = set()
        self._encodings: tuple[str, ...] = ("iso8859",)

    def totals(self) -> Counter[str]:
        """Elements by what was done to them, and findings, under the names that an audit shows."""
        return Counter({action.value: count for action, count in self._actions.items()}) + self.counts

    def identifiers(self) -> frozenset[Identifier]:
        """Everything removed or replaced that identifies, decoded, one entry a value."""
        found = set()
        for kind, value, encodings in self._found:
            for part in decode_text(value, encodings).split("\\"):
                text = part.strip(" \0")
                if kind in ("date", "birth_date"):
                    text = text.replace(".", "")[:8]
                if text and not (kind == "date" and len(text) < 8) and not (kind == "uid" and is_well_known(text)):
                    found.add(Identifier(kind, text))
        return frozenset(found)

    def dataset(self, elements: Iterable[Element], syntax: Syntax, *, depth: int = 0) -> dict[int, bytes]:
        """Encoded elements that stay, by tag. A data set may name a character set of its own."""
        outer = self._encodings
        encoded = {}
        for element in elements:
            if element.tag == _CHARACTER_SET:
                self._encodings = tuple(encodings_of(self._content[element.start : element.end]))
            result = self._element(element, syntax, depth)
            if result is not None:
                encoded[element.tag] = result
        self._encodings = outer
        return encoded

    def _element(self, element: Element, syntax: Syntax, depth: int) -> bytes | None:
        rule = self._rules.get(element.tag)
        if rule is None:
            self.counts["private removed" if element.tag & 0x10000 else "unknown removed"] += 1
            return None
        kind = _kind(element, rule)
        action = rule.action if _trusts(rule, kind) else Action.REMOVE
        if rule.refuse and element.end > element.start:
            self._refuse(element, kind)
        if action not in _VERBATIM and element.end > element.start:
            self._note(element, kind)
        try:
            encoded = self._apply(action, element, kind, syntax, depth)
        except _Unfit:
            self.counts["did not fit its rule"] += 1
            action = rule.fallback
            encoded = self._apply(action, element, kind, syntax, depth)
        self._actions[action] += 1
        return encoded

    def _apply(self, action: Action, element: Element, kind: Kind, syntax: Syntax, depth: int) -> bytes | None:
        """Bytes of the element, None to leave it out. Raises _Unfit when its value does not fit the action."""
        if action is Action.REMOVE:
            return None
        whole = self._content[element.head : element.end]
        if action is Action.KEEP or (element.start == element.end and not element.undefined):
            return whole
        if action is Action.ENTER:
            items = [
                (item.syntax, self.dataset(item.elements, item.syntax, depth=depth + 1)) for item in element.items or ()
            ]
            return encode_element(element.tag, element.vr, encode_items(items), syntax)
        value = self._content[element.start : element.end]
        if action in _VERBATIM:
            if not self._passes(action, element.tag, value):
                raise _Unfit
            return whole
        replaced = self._replace(action, element, kind, value, depth)
        if replaced is None:
            raise _Unfit
        return encode_element(element.tag, element.vr, replaced, syntax)

    def _passes(self, action: Action, tag: int, value: bytes) -> bool:
        if action is Action.CHECK_BINARY:
            return not is_written(value)
        if action is Action.CHECK_NUMBER:
            return is_number(value)
        if action is Action.CHECK_UID:
            return is_uid(value)
        if action is Action.CHECK_CODE and not is_code(value):
            return False
        if tag == _TIMEZONE:
            return is_zone(value)
        text = decode_text(value, self._encodings)
        if action is Action.CHECK_TEXT and ("@" in text or any(len(part) > _LONGEST_TEXT for part in text.split("\\"))):
            return False
        if self._guard.finds(text):
            self.counts["identifier found in kept text"] += 1
            return False
        self.kept_texts.append(text)
        return True

    def _replace(self, action: Action, element: Element, kind: Kind, value: bytes, depth: int) -> bytes | None:
        subject = self._subject
        if action is Action.EMPTY:
            return b""
        if action is Action.SHIFT:
            return shift_value(element.vr, value, subject.days) if element.vr in _DUMMY_TIMES else None
        if action is Action.AGE:
            return cap_age(value)
        if action is Action.UID:
            old = value.decode("latin-1").split("\\")
            return "\\".join(subject.pseudonyms.uid(part) for part in old).encode("latin-1", "replace")
        if action is Action.TOKEN:
            return subject.pseudonyms.token("accession", decode_text(value, self._encodings)).encode()
        if action in (Action.PATIENT, Action.OWN_ID):
            return self._patient(element.tag, value, depth)
        if kind is Kind.TIME:
            return _DUMMY_TIMES.get(element.vr, b"")
        if kind is Kind.UID:
            return self._replace(Action.UID, element, kind, value, depth)
        return _DUMMIES.get(kind, b"ANONYMIZED")

    def _patient(self, tag: int, value: bytes, depth: int) -> bytes:
        """Id and name of the patient, or of another one whom a nested item names."""
        subject = self._subject
        text = decode_text(value, self._encodings)
        if subject.keeps_ids:
            if tag == PATIENT_NAME and text != subject.patient_id:
                raise Quarantined(Reason.DEIDENTIFICATION_FAILED, f"{describe(tag)} is not the id")
            return value
        if tag == PATIENT_ID and canonical_id(text) != canonical_id(subject.patient_id):
            return subject.pseudonyms.patient(text, site=subject.site).encode()
        return subject.patient_key.encode() if depth == 0 or tag == PATIENT_ID else b"ANONYMIZED"

    def _refuse(self, element: Element, kind: Kind) -> None:
        """Public profile: the object is not what it was taken for when something in it still identifies."""
        value = self._content[element.start : element.end]
        text = decode_text(value, self._encodings)
        if element.items == () or not text or (kind is Kind.PERSON and text == self._subject.patient_id):
            return
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, f"{describe(element.tag)} identifies")

    def _note(self, element: Element, kind: Kind) -> None:
        """Remember what identifies, also below a sequence that goes as a whole."""
        if element.items is not None:
            if self._rules[element.tag].action is not Action.ENTER:
                for item in element.items:
                    for inner in item.elements:
                        self._note_inner(inner)
            return
        if self._subject.keeps_ids and (kind in (Kind.UID, Kind.TIME) or element.tag in (PATIENT_ID, PATIENT_NAME)):
            return
        wanted = kind_of(element.tag, kind)
        if wanted is None or (wanted in ("date", "birth_date") and element.vr == b"TM"):
            return
        value = self._content[element.start : element.end]
        self._found.add((wanted, value, self._encodings))

    def _note_inner(self, element: Element) -> None:
        rule = self._rules.get(element.tag)
        if rule is not None and element.end > element.start:
            self._note(element, rule.kind)


def _kind(element: Element, rule: Rule) -> Kind:
    """What the element holds, by its own word; an UN is taken for what the dictionary says."""
    if element.items is not None:
        return Kind.SEQUENCE
    return rule.kind if element.vr == b"UN" else KIND_OF_VR[element.vr]


def _trusts(rule: Rule, kind: Kind) -> bool:
    """Whether the VR of the file is one that the rule of the tag was made for."""
    if kind is rule.kind or rule.action in (Action.REMOVE, Action.EMPTY):
        return True
    if kind in _TEXTUAL and rule.kind in _TEXTUAL:
        return True
    return rule.kind is Kind.BULK and kind is Kind.NUMBERS
