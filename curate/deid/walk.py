"""One walk over the elements of an object: decides what is done to each, sequences included, and changes nothing.

Collects on the way what will be removed or replaced that identifies, so that ``acts.py`` knows all of it before the
first text is kept or cleaned.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeAlias

from curate.deid.content import CONTENT_SEQUENCE, CONTENT_SEQUENCES, REFERENCED_ITEM, concept_of, letter_of
from curate.deid.elements import Element, Syntax, describe, read_private_items
from curate.deid.found import Found, own_encodings
from curate.deid.overrides import PrivateName
from curate.deid.private import PrivateRule, is_public, public_name, rule_of
from curate.deid.profile import Action, Rule
from curate.deid.review.decisions import Decisions, join_path
from curate.deid.rules import TEXTUAL, VERBATIM, Rules, Step, make_step
from curate.deid.text import decode_text
from curate.deid.vrs import KIND_OF_VR, Kind
from curate.errors import Quarantined, Rejected
from curate.reasons import Reason

_PIXEL_GROUP = 0x7FE0
_MARKABLE = (*TEXTUAL, Kind.DECIMALS)


Decided: TypeAlias = "tuple[Element, Step, tuple[Plan, ...], str | None]"
"""An element that may stay, what is done to it, its items where they are looked into, the creator of a private one."""


class Plan(NamedTuple):
    """What is done to one data set: the object or an item."""

    syntax: Syntax
    encodings: tuple[str, ...]
    elements: list[Decided]


class Walk:
    """Mutable state of one pass over one object."""

    def __init__(self, content: bytes, rules: Rules, patient_id: str, decisions: Decisions | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.removed = 0
        self.found = Found(content)
        self._content = content
        self._rules = rules
        self._active = rules.standard
        self._patient_id = patient_id
        self._decisions = decisions
        self._encodings: tuple[str, ...] = ("iso8859",)
        self._path = ""
        self._items_gone = self._counts_items = False

    @property
    def has_wrong_item_numbers(self) -> bool:
        """Whether content items are referred to by their number while others are gone."""
        return self._items_gone and self._counts_items

    def plan(self, elements: tuple[Element, ...], syntax: Syntax, *, depth: int = 0) -> Plan:
        """What is done to the elements of a data set, which may name character sets of its own.

        Raises Quarantined(DEIDENTIFICATION_FAILED) for a tag that stands twice, or a value that the profile refuses.
        """
        if len({element.tag for element in elements}) < len(elements):  # PS3.5 7.1; two readers would see two objects
            raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "an element stands twice in one data set")
        outer = self._encodings
        self._encodings = own_encodings(self._content, elements, outer)
        decided: list[Decided] = []
        creators: dict[int, str] = {}
        steps = self._active
        for element in elements:
            tag, vr, _, _, _, _, inner = element
            if tag & 0x10000:
                private = self._private(element, syntax, depth, creators)
                if private is not None:
                    decided.append(private)
                continue
            step = steps[tag, vr if inner is None else b"SQ"]
            if step is None or (depth and tag >> 16 == _PIXEL_GROUP):
                self.counts["unknown removed"] += 1
                continue
            if self._decisions is not None and self._decisions.concern(tag):
                step = self._step(self._marked(steps.rules[tag], element, ""), element)
            if step.is_quiet or self._stays(step, element):
                decided.append((element, step, self._items(element, step, depth) if inner else (), None))
        plan = Plan(syntax, self._encodings, decided)
        self._encodings = outer
        return plan

    def _stays(self, step: Step, element: Element) -> bool:
        """Whether anything of the element may stay; remembers what identifies in one that is not kept as it is."""
        if element.end > element.start:
            if step.refuses:
                self._refuse(element, step.kind)
            if step.finds is not None:
                self.found.add(step.finds, self._content[element.start : element.end], self._encodings)
            elif element.items and step.action not in VERBATIM and not self._active.enters(element.tag):
                self.found.add_items(element, self._active, self._encodings)
        if step.action is Action.REMOVE:
            self.removed += 1
            return False
        return True

    def _private(self, element: Element, syntax: Syntax, depth: int, creators: dict[int, str]) -> Decided | None:
        """A private element that may stay: known to be safe, or marked by a person."""
        tag = element.tag
        number = tag & 0xFFFF
        if 0x10 <= number <= 0xFF:
            creators[tag] = decode_text(self._content[element.start : element.end], self._encodings)
            return None
        creator = creators.get(tag & 0xFFFF0000 | number >> 8, "")
        known = self._rules.private.get(PrivateName(tag >> 16, creator, number & 0xFF)) if creator else None
        step = None
        if known is not None:
            element, step = self._known_private(known, element, syntax, creator)
        elif self._decisions is not None and self._decisions.concern(tag, creator) and is_public(creator):
            rule = Rule(Action.REMOVE, KIND_OF_VR[element.vr], Action.REMOVE)
            rule = self._marked(rule, element, creator)
            step = self._step(rule, element) if rule.action is not Action.REMOVE else None
        if step is None or not self._stays(step, element):
            self.counts[f"private removed: {public_name(creator)}"] += 1
            return None
        return element, step, self._items(element, step, depth), creator

    def _known_private(
        self, known: PrivateRule, element: Element, syntax: Syntax, creator: str
    ) -> tuple[Element, Step | None]:
        rule = rule_of(known, element, self._content[element.start : element.end])
        if rule.kind is Kind.SEQUENCE and rule.action is Action.ENTER:
            try:
                element = element._replace(items=read_private_items(self._content, element, syntax))
            except Rejected:
                return element, None
        elif element.items is not None:
            return element, None
        if self._decisions is not None and self._decisions.concern(element.tag, creator):
            rule = self._marked(rule, element, creator)
        return element, None if rule.action is Action.REMOVE else self._step(rule, element)

    def _step(self, rule: Rule, element: Element) -> Step:
        """The step of a rule that stands in no table."""
        vr = element.vr if element.items is None else b"SQ"
        return make_step(rule, element.tag, vr, keeps_ids=self._active.keeps_ids)

    def _marked(self, rule: Rule, element: Element, creator: str) -> Rule:
        """The rule with what a person marked for this value; what stands for a person cannot be marked."""
        kind = self._step(rule, element).kind
        if self._decisions is None or kind not in _MARKABLE or rule.action in (Action.PATIENT, Action.TOKEN):
            return rule
        text = decode_text(self._content[element.start : element.end], self._encodings)
        path = join_path(self._path, element.tag, creator)
        mark = self._decisions.action(path, element.vr.decode("ascii"), text)
        if mark is None:
            return rule
        self.counts[f"marked: {mark}"] += 1
        action = Action.CHECK_MARKED
        if mark == "remove":
            action = rule.fallback
        elif mark == "clean" and kind in TEXTUAL:
            action = Action.CLEAN
        return Rule(action, rule.kind, rule.fallback, rule.refuse)

    def _items(self, element: Element, step: Step, depth: int) -> tuple[Plan, ...]:
        """Items of a sequence that is entered; content items under the rules of their concept."""
        if step.action not in (Action.ENTER, Action.DUMMY_ITEMS):
            return ()
        outer, path = self._active, self._path
        if step.action is Action.DUMMY_ITEMS:
            self._active = self._rules.dummies
        if self._decisions is not None:
            self._path = join_path(path, element.tag)
        by_concept = self._rules.content if element.tag in CONTENT_SEQUENCES else None
        plans = []
        for item in element.items or ():
            if by_concept is not None:
                letter = letter_of(self._rules.profile, concept_of(self._content, item))
                if letter == "X":
                    self.counts["content item removed"] += 1
                    self._items_gone = True
                    self.found.add_item(item, self._active, self._encodings)
                    continue
                self._active = by_concept[letter]
            if element.tag == CONTENT_SEQUENCE:
                self._counts_items |= any(inner.tag == REFERENCED_ITEM for inner in item.elements)
            plans.append(self.plan(item.elements, item.syntax, depth=depth + 1))
        self._active, self._path = outer, path
        return tuple(plans)

    def _refuse(self, element: Element, kind: Kind) -> None:
        """Public profile: the object is not what it was taken for when something in it still identifies."""
        text = decode_text(self._content[element.start : element.end], self._encodings)
        if element.items == () or not text or (kind is Kind.PERSON and text == self._patient_id):
            return
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, f"{describe(element.tag)} identifies")
