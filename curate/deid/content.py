"""Structured content item by item: what becomes of a content item is read from the concept that names it.

PS3.15 E.3.4 and Table E.3.4-1, under the Clean Structured Content Option. An item whose concept the table removes
goes with all below it; one that it replaces keeps its name and gets a dummy; one that an option keeps is kept. Text
of other items is cleaned like a descriptor, names are replaced, references follow their UIDs, dates are shifted.
Without the option the sequences that hold content items fall to Table E.1-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from curate.deid.elements import Item
from curate.deid.options import CLEAN_CONTENT, CLEAN_DESCRIPTORS, FULL_DATES, MODIFIED_DATES, UIDS
from curate.deid.profile import Action, Profile, Rule, compile_profile
from curate.deid.tables import content_rows
from curate.deid.vrs import Kind

CONTENT_SEQUENCE = 0x0040A730
CONTENT_SEQUENCES = frozenset((CONTENT_SEQUENCE, 0x00400555, 0x00400612, 0x00400440, 0x00400441))
"""Content, acquisition context, specimen preparation step content, protocol context, and the modifiers of items."""
REFERENCED_ITEM = 0x0040DB73  # by its number, which is wrong once an item before it is gone
_CONCEPT_NAME, _SCHEME = 0x0040A043, 0x00080102
_CODES = (0x00080100, 0x00080119, 0x00080120)
_TEXT, _PERSON, _UID = 0x0040A160, 0x0040A123, 0x0040A124
_TIMES = (0x0040A120, 0x0040A121, 0x0040A122)


def has_content(profile: Profile) -> bool:
    """Whether content items are kept at all."""
    return profile.has(CLEAN_CONTENT)


def concept_of(content: bytes, item: Item) -> tuple[str, str] | None:
    """(coding scheme, code value) of the concept that names a content item; None when nothing names it."""
    for element in item.elements:
        if element.tag == _CONCEPT_NAME and element.items:
            values = {
                inner.tag: content[inner.start : inner.end].strip(b" \0").decode("latin-1")
                for inner in element.items[0].elements
            }
            code = next((values[tag] for tag in _CODES if tag in values), None)
            return None if code is None else (values.get(_SCHEME, ""), code)
    return None


def letter_of(profile: Profile, concept: tuple[str, str] | None) -> str:
    """K, C, D or X for the concept; C for one that the table does not list.

    An option overrides the profile. X/D is X: no type forces a value, since templates are not modules.
    """
    row = None if concept is None else content_rows().get(concept)
    if row is None:
        return "C"
    letters = {row.options[name] for name in profile.options if name in row.options}
    if "K" in letters or "C" in letters:
        return "K" if "K" in letters else "C"
    return row.basic.split("/")[0]


@cache
def compile_content(profile: Profile, sop_class_uid: str, letter: str) -> Mapping[int, Rule]:
    """The rules inside a content item whose letter is K, C or D: those of the class, with other ones for its value."""
    is_timed = profile.has(MODIFIED_DATES) or profile.has(FULL_DATES)
    values = {
        _TEXT: Rule(Action.DUMMY, Kind.TEXT, Action.DUMMY),
        _PERSON: Rule(Action.DUMMY, Kind.PERSON, Action.DUMMY),
    }
    if letter == "K":
        values[_TEXT] = Rule(Action.CHECK_TEXT, Kind.TEXT, Action.DUMMY)
    elif letter == "C" and profile.has(CLEAN_DESCRIPTORS):
        values[_TEXT] = Rule(Action.CLEAN, Kind.TEXT, Action.DUMMY)
    keeps_uid = profile.has(UIDS) or letter == "K"
    values[_UID] = Rule(Action.CHECK_UID if keeps_uid else Action.UID, Kind.UID, Action.UID)
    for tag in _TIMES:
        shifted = is_timed and letter != "D"
        values[tag] = Rule(Action.SHIFT if shifted else Action.DUMMY, Kind.TIME, Action.DUMMY)
    return MappingProxyType({**compile_profile(profile, sop_class_uid), **values})
