"""What identifies someone and does not stay: remembered as raw values on the way through an object.

For the private zone, and for the search of the object's own names in what it keeps.
"""

from __future__ import annotations

from functools import lru_cache

from curate.deid.elements import Element, Item
from curate.deid.identifiers import Identifier
from curate.deid.pseudonyms import is_well_known
from curate.deid.rules import RuleSet, what_it_finds
from curate.deid.text import decode_text, encodings_of

CHARACTER_SET = 0x00080005


class Found:
    """Values by kind, each with the character sets that it is written in. ``repr`` shows none."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._values: set[tuple[str, bytes, tuple[str, ...]]] = set()

    def add(self, kind: str, value: bytes, encodings: tuple[str, ...]) -> None:
        """Remember the value of one element."""
        self._values.add((kind, value, encodings))

    def add_items(self, element: Element, rules: RuleSet, encodings: tuple[str, ...]) -> None:
        """Remember what the items of a sequence hold that goes as a whole."""
        for item in element.items or ():
            self.add_item(item, rules, encodings)

    def add_item(self, item: Item, rules: RuleSet, encodings: tuple[str, ...]) -> None:
        """Remember what an item holds that goes as a whole."""
        encodings = own_encodings(self._content, item.elements, encodings)
        for element in item.elements:
            rule = rules.rules.get(element.tag)
            if rule is None or element.end == element.start:
                continue
            if element.items is not None:
                self.add_items(element, rules, encodings)
            else:
                kind = what_it_finds(element.tag, element.vr, rule.kind, keeps_ids=rules.keeps_ids)
                if kind is not None:
                    self.add(kind, self._content[element.start : element.end], encodings)

    def identifiers(self) -> frozenset[Identifier]:
        """Everything found, decoded, one entry a value."""
        return frozenset([one for found in self._values for one in _identifiers(*found)])


def own_encodings(content: bytes, elements: tuple[Element, ...], outer: tuple[str, ...]) -> tuple[str, ...]:
    """Character sets of a data set: those that it names, wherever it does, or else those around it."""
    for element in elements:
        if element.tag == CHARACTER_SET:
            return encodings_of(content[element.start : element.end])
    return outer


@lru_cache(maxsize=8192)
def _identifiers(kind: str, value: bytes, encodings: tuple[str, ...]) -> tuple[Identifier, ...]:
    """The files of a series repeat most of them."""
    found = []
    for part in decode_text(value, encodings).split("\\"):
        text = part.strip(" \0")
        if kind in ("date", "birth_date"):
            text = text.replace(".", "")[:8]
        if text and not (kind == "date" and len(text) < 8) and not (kind == "uid" and is_well_known(text)):
            found.append(Identifier(kind, text))
    return tuple(found)
