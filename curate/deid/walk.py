"""One walk over the elements of an object with the rules of its profile, sequences included.

Collects, on the way, what was removed or replaced that identifies, the text that was kept, and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from curate.deid.cleaning import clean_text, has_contact
from curate.deid.content import (
    CONTENT_SEQUENCE,
    CONTENT_SEQUENCES,
    REFERENCED_ITEM,
    compile_content,
    concept_of,
    has_content,
    letter_of,
)
from curate.deid.dates import cap_age, shift_value
from curate.deid.decisions import Decisions, join_path
from curate.deid.elements import Element, Item, Syntax, describe, read_private_items
from curate.deid.encode import Encoded, encode_element, encode_items
from curate.deid.identifiers import Guard, Identifier, kind_of
from curate.deid.overrides import PrivateName
from curate.deid.private import PrivateRule, compile_private, is_public, public_name, rule_of
from curate.deid.profile import PATIENT_ID, PATIENT_NAME, Action, Profile, Rule, compile_profile
from curate.deid.pseudonyms import Pseudonyms, canonical_id, is_well_known
from curate.deid.text import (
    decode_exactly,
    decode_text,
    encode_text,
    encodings_of,
    is_code,
    is_number,
    is_uid,
    is_written,
    is_zone,
)
from curate.deid.vrs import KIND_OF_VR, LONG_VRS, Kind
from curate.errors import Quarantined, Rejected
from curate.reasons import Reason

_CHARACTER_SET, _TIMEZONE, _CODE_MEANING = 0x00080005, 0x00080201, 0x00080104
_CODES = (0x00080100, 0x00080119, 0x00080120)
_LONG_CODES = (0x00080119, 0x00080120)
_PIXEL_GROUP = 0x7FE0
_LONGEST_TEXT = 64
_LARGE = 65536  # bytes: elements above it are not copied before they are written
_SEVERAL = frozenset((b"AE", b"CS", b"LO", b"SH", b"UC"))
_MARKABLE = (Kind.TEXT, Kind.CODE, Kind.DECIMALS)
_TEXTUAL = (Kind.TEXT, Kind.CODE)
_DUMMIES = {
    Kind.DECIMALS: b"0",
    Kind.AGE: b"000Y",
    Kind.NUMBERS: bytes(8),
    Kind.BULK: bytes(8),
    Kind.UNKNOWN: b"",
}
_DUMMY_TIMES = {b"DA": b"19000101", b"TM": b"000000", b"DT": b"19000101000000"}
_REMOVED = Rule(Action.REMOVE, Kind.UNKNOWN, Action.REMOVE)
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


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decides about one class of objects; made by ``rules_for``."""

    profile: Profile
    sop_class_uid: str
    public: Mapping[int, Rule]
    private: Mapping[PrivateName, PrivateRule]
    content: Mapping[str, Mapping[int, Rule]] | None  # by letter; None when content items are not looked into


@cache
def rules_for(profile: Profile, sop_class_uid: str) -> Rules:
    """The rules of a profile for a SOP class, compiled once."""
    content = None
    if has_content(profile):
        content = MappingProxyType({letter: compile_content(profile, sop_class_uid, letter) for letter in "KCD"})
    return Rules(profile, sop_class_uid, compile_profile(profile, sop_class_uid), compile_private(profile), content)


class Walk:
    """Mutable state of one pass over one object."""

    def __init__(
        self, content: bytes, rules: Rules, subject: Subject, guard: Guard, decisions: Decisions | None = None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._actions: Counter[Action] = Counter()
        self.kept_texts: list[str] = []
        self.cleaned_texts: list[str] = []
        self._content = content
        self._rules = rules
        self._active = rules.public
        self._subject = subject
        self._guard = guard
        self._decisions = decisions
        self._found: set[tuple[str, bytes, tuple[str, ...]]] = set()
        self._encodings: tuple[str, ...] = ("iso8859",)
        self._path = ""
        self._items_gone = self._counts_items = False

    def totals(self) -> Counter[str]:
        """Elements by what was done to them, and findings, under the names that an audit shows."""
        return Counter({action.value: count for action, count in self._actions.items()}) + self.counts

    def must_run_again(self, guard: Guard) -> bool:
        """Whether what was kept holds something that the whole object shows to identify."""
        if any(guard.finds(text) for text in self.kept_texts):
            return True
        return any(clean_text(text, guard) != text for text in self.cleaned_texts)

    @property
    def has_wrong_item_numbers(self) -> bool:
        """Whether content items are referred to by their number while others are gone."""
        return self._items_gone and self._counts_items

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

    def dataset(self, elements: Iterable[Element], syntax: Syntax, *, depth: int = 0) -> dict[int, Encoded]:
        """Encoded elements that stay, by tag. A data set may name a character set of its own."""
        elements = tuple(elements)
        if len({element.tag for element in elements}) < len(elements):  # PS3.5 7.1; two readers would see two objects
            raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "an element stands twice in one data set")
        outer = self._encodings
        encoded: dict[int, Encoded] = {}
        creators: dict[int, str] = {}
        for element in elements:
            tag = element.tag
            if tag & 0x10000:
                result = self._private(element, syntax, depth, creators, encoded)
            else:
                if tag == _CHARACTER_SET:
                    self._encodings = tuple(encodings_of(self._content[element.start : element.end]))
                result = self._element(element, syntax, depth)
            if result is not None:
                encoded[tag] = result
        self._encodings = outer
        if _CODE_MEANING in encoded and not any(tag in encoded for tag in _CODES):
            del encoded[_CODE_MEANING]  # a meaning without a code is free text
            self.counts["meaning without a code removed"] += 1
        return encoded

    def _element(self, element: Element, syntax: Syntax, depth: int) -> Encoded | None:
        rule = self._active.get(element.tag)
        if rule is None or (depth and element.tag >> 16 == _PIXEL_GROUP):
            self.counts["unknown removed"] += 1
            return None
        if self._decisions is not None and self._decisions.concern(element.tag):
            rule = self._marked(rule, element, "")
        return self._follow(rule, element, syntax, depth)

    def _follow(self, rule: Rule, element: Element, syntax: Syntax, depth: int) -> Encoded | None:
        """Apply a rule, or its fallback to a value that does not fit."""
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

    def _private(
        self, element: Element, syntax: Syntax, depth: int, creators: dict[int, str], encoded: dict[int, Encoded]
    ) -> Encoded | None:
        """A private element; the creator of a block comes along, written anew, with the first one that stays."""
        tag = element.tag
        number = tag & 0xFFFF
        if 0x10 <= number <= 0xFF:
            creators[tag] = decode_text(self._content[element.start : element.end], self._encodings)
            return None
        creator_tag = tag & 0xFFFF0000 | number >> 8
        creator = creators.get(creator_tag, "")
        result = None
        known = self._rules.private.get(PrivateName(tag >> 16, creator, number & 0xFF)) if creator else None
        if known is not None:
            result = self._known_private(known, element, syntax, depth, creator)
        elif self._decisions is not None and self._decisions.concern(tag, creator) and is_public(creator):
            rule = self._marked(Rule(Action.REMOVE, KIND_OF_VR[element.vr], Action.REMOVE), element, creator)
            result = self._follow(rule, element, syntax, depth) if rule.action is not Action.REMOVE else None
        if result is None:
            self.counts[f"private removed: {public_name(creator)}"] += 1
        elif creator_tag not in encoded:
            encoded[creator_tag] = encode_element(creator_tag, b"LO", creator.encode("latin-1"), syntax)
        return result

    def _known_private(
        self, known: PrivateRule, element: Element, syntax: Syntax, depth: int, creator: str
    ) -> Encoded | None:
        rule = rule_of(known, element, self._content[element.start : element.end])
        if rule.kind is Kind.SEQUENCE and rule.action is Action.ENTER:
            try:
                element = element._replace(items=read_private_items(self._content, element, syntax))
            except Rejected:
                return None
        elif element.items is not None:
            return None
        if self._decisions is not None and self._decisions.concern(element.tag, creator):
            rule = self._marked(rule, element, creator)
        if rule.action is Action.REMOVE:
            return None
        return self._follow(rule, element, syntax, depth)

    def _marked(self, rule: Rule, element: Element, creator: str) -> Rule:
        """The rule with what a person marked for this value; what stands for a person cannot be marked."""
        kind = _kind(element, rule)
        if self._decisions is None or kind not in _MARKABLE or rule.action in (Action.PATIENT, Action.TOKEN):
            return rule
        text = decode_text(self._content[element.start : element.end], self._encodings)
        path = join_path(self._path, element.tag, creator)
        mark = self._decisions.action(path, element.vr.decode("ascii"), text)
        if mark is None:
            return rule
        self.counts[f"marked: {mark}"] += 1
        if mark == "remove":
            return Rule(rule.fallback, rule.kind, rule.fallback, rule.refuse)
        if mark == "clean" and kind in _TEXTUAL:
            return Rule(Action.CLEAN, rule.kind, rule.fallback, rule.refuse)
        return Rule(Action.CHECK_MARKED, rule.kind, rule.fallback, rule.refuse)

    def _apply(self, action: Action, element: Element, kind: Kind, syntax: Syntax, depth: int) -> Encoded | None:
        """Bytes of the element, None to leave it out. Raises _Unfit when its value does not fit the action."""
        if action is Action.REMOVE:
            return None
        if action is Action.KEEP or (element.start == element.end and not element.undefined):
            return self._whole(element, syntax)
        if action is Action.ENTER:
            return encode_element(element.tag, element.vr, encode_items(self._items(element, depth)), syntax)
        value = self._content[element.start : element.end]
        if action in _VERBATIM:
            if not self._passes(action, element, value):
                raise _Unfit
            return self._whole(element, syntax)
        replaced = self._replace(action, element, kind, value, depth)
        if replaced is None:
            raise _Unfit
        return encode_element(element.tag, element.vr, replaced, syntax)

    def _whole(self, element: Element, syntax: Syntax) -> Encoded:
        """The element as it stands; the two reserved bytes of a long header are made zero (PS3.5 7.1.2)."""
        head = element.head
        if element.vr in LONG_VRS and not syntax.implicit and self._content[head + 6 : head + 8] != b"\0\0":
            self.counts["reserved bytes cleared"] += 1
            return self._content[head : head + 6] + b"\0\0" + self._content[head + 8 : element.end]
        if element.end - head > _LARGE:
            return memoryview(self._content)[head : element.end]
        return self._content[head : element.end]

    def _items(self, element: Element, depth: int) -> list[tuple[Syntax, dict[int, Encoded]]]:
        """Items of a sequence that is entered; content items under the rules of their concept."""
        outer, path = self._active, self._path
        if self._decisions is not None:
            self._path = join_path(path, element.tag)
        by_concept = self._rules.content if element.tag in CONTENT_SEQUENCES else None
        items = []
        for item in element.items or ():
            if by_concept is not None:
                letter = letter_of(self._rules.profile, concept_of(self._content, item))
                if letter == "X":
                    self.counts["content item removed"] += 1
                    self._items_gone = True
                    self._note_item(item)
                    continue
                self._active = by_concept[letter]
            if element.tag == CONTENT_SEQUENCE:
                self._counts_items |= any(inner.tag == REFERENCED_ITEM for inner in item.elements)
            items.append((item.syntax, self.dataset(item.elements, item.syntax, depth=depth + 1)))
        self._active, self._path = outer, path
        return items

    def _passes(self, action: Action, element: Element, value: bytes) -> bool:
        """Whether a value may stay as it is."""
        if action is Action.CHECK_BINARY:
            return not is_written(value)
        if action is Action.CHECK_NUMBER:
            return is_number(value)
        if action is Action.CHECK_UID:
            return is_uid(value)
        if action is Action.CHECK_CODE and not is_code(value):
            return False
        if element.tag == _TIMEZONE:
            return is_zone(value)
        text = decode_exactly(value, self._encodings)
        if text is None:
            return False
        if action is Action.CHECK_TEXT and not _is_harmless(element.tag, text):
            return False
        if self._guard.finds(text):
            self.counts["identifier found in kept text"] += 1
            return False
        self.kept_texts.append(text)
        return True

    def _clean(self, element: Element, value: bytes) -> bytes | None:
        """Text without what identifies; None when nothing is left or the character set cannot be read."""
        text = decode_exactly(value, self._encodings)
        if text is None:
            return None
        parts = text.split("\\") if element.vr in _SEVERAL else [text]
        cleaned = [clean_text(part, self._guard) for part in parts]
        self.cleaned_texts += parts
        if cleaned == parts:
            return value
        self.counts["words taken out of text"] += 1
        return encode_text("\\".join(cleaned), self._encodings) if any(cleaned) else None

    def _replace(self, action: Action, element: Element, kind: Kind, value: bytes, depth: int) -> bytes | None:
        subject = self._subject
        if action is Action.EMPTY:
            return b""
        if action is Action.CLEAN:
            return self._clean(element, value)
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
            if self._active.get(element.tag, _REMOVED).action is not Action.ENTER:
                for item in element.items:
                    self._note_item(item)
            return
        if self._subject.keeps_ids and (kind in (Kind.UID, Kind.TIME) or element.tag in (PATIENT_ID, PATIENT_NAME)):
            return
        wanted = kind_of(element.tag, kind)
        if wanted is None or (wanted in ("date", "birth_date") and element.vr == b"TM"):
            return
        value = self._content[element.start : element.end]
        self._found.add((wanted, value, self._encodings))

    def _note_item(self, item: Item) -> None:
        """Remember what identifies in an item that goes as a whole."""
        for element in item.elements:
            rule = self._active.get(element.tag)
            if rule is not None and element.end > element.start:
                self._note(element, rule.kind)
                for inner in element.items or () if rule.action is Action.ENTER else ():
                    self._note_item(inner)


def _is_harmless(tag: int, text: str) -> bool:
    """Whether text outside the table may stay: short, with no way to reach anyone; a long code has no blanks."""
    if tag in _LONG_CODES and " " in text:
        return False
    return not has_contact(text) and all(len(part) <= _LONGEST_TEXT for part in text.split("\\"))


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
