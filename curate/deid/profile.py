"""De-identification profiles: Table E.1-1 with options, compiled once per SOP class into one rule a tag.

A profile is the Basic Application Level Confidentiality Profile plus options (PS3.15 E.1 to E.3) plus what a site
overrides. An option overrides the profile, a site overrides both; modified dates override any option that would keep
a date; a compound action takes its first part unless the IOD type forces a later one. An attribute outside the table
is kept only when its VR can be checked for what it may say: numbers, code strings, UIDs (mapped), dates (shifted),
sequences (entered); free text and bytes only by name (``tables/unlisted.json``). Tags that no dictionary knows,
overlays and curves are removed; private ones but those that ``private.py`` knows. Where the IOD needs the items of a
sequence that the table replaces by a dummy (type 1), the items stay and their texts become dummies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from types import MappingProxyType

from curate.deid import options as option_names
from curate.deid.options import OPTIONS, READY, settle_options
from curate.deid.overrides import Override, read_overrides
from curate.deid.tables import attribute_types, edition, method_codes, table_rows, unlisted
from curate.deid.vrs import KIND_OF_VR, VR_OF_TAG, Kind
from curate.errors import Misconfigured
from curate.identity import Json, digest_json

RULES_VERSION = 3
"""Part of every profile's digest: raised when the same file would get another result."""

PATIENT_NAME, PATIENT_ID, ACCESSION_NUMBER = 0x00100010, 0x00100020, 0x00080050
SECONDARY_CAPTURE = "secondary_capture"
_TIMED = (option_names.FULL_DATES, option_names.MODIFIED_DATES)


class Action(Enum):
    """What happens to one element. Checks fall back to the rule's fallback when a value is not what it must be."""

    __hash__ = object.__hash__  # members are single objects; hashing their names costs a tenth of a file

    KEEP = "kept"
    CHECK_BINARY = "binary number kept after a check"
    CHECK_TEXT = "text kept after a check"
    CHECK_CODE = "code kept after a check"
    CHECK_NUMBER = "number kept after a check"
    CHECK_UID = "uid kept after a check"
    CHECK_MARKED = "value kept as a person marked it"
    CLEAN = "text cleaned"
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a dummy"
    UID = "uid mapped"
    SHIFT = "date shifted"
    AGE = "age capped"
    ENTER = "sequence entered"
    DUMMY_ITEMS = "items filled with dummies"
    PATIENT = "patient key"
    TOKEN = "token"
    OWN_ID = "name equal to the id"


_KEEPS_TEXT = (Action.CHECK_TEXT, Action.CLEAN)
_INSTEAD = {None: Action.REMOVE, "empty": Action.EMPTY, "dummy": Action.DUMMY}


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one tag: the action, the kind of value it is for, and what to do when the value does not fit."""

    action: Action
    kind: Kind
    fallback: Action
    refuse: bool = False  # a value here means that the object is not what the profile takes it for


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of options over one edition of Table E.1-1, and what a site overrides."""

    name: str
    options: tuple[str, ...]
    edition: str
    keeps_ids: bool = False
    overrides: tuple[Override, ...] = ()
    allows_captures: bool = False  # secondary captures are let in, where pixel data are cleaned

    def has(self, option: str) -> bool:
        """Whether the option is chosen."""
        return option in self.options

    def with_overrides(self, choices: Mapping[str, str]) -> Profile:
        """The same profile at a site that decides otherwise about some tags; its words count before older ones.

        Raises Misconfigured for what is no tag, no choice, or must not be overridden.
        """
        if not choices:
            return self
        merged = {one.tag: one.choice for one in self.overrides} | {
            one.tag: one.choice for one in read_overrides(choices)
        }
        return replace(self, overrides=read_overrides(merged))

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of everything that decides what becomes of an element."""
        return _digest(self)

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """CID 7050 (code value, meaning) of the profile and its options; none for ids that were public before."""
        if self.keeps_ids:
            return ()
        chosen = ("113100", *(OPTIONS[name].code for name in self.options))
        return tuple((code, method_codes()[code]) for code in chosen)

    @property
    def method(self) -> str:
        """For DeidentificationMethod (0012,0063); at most 64 characters."""
        if self.keeps_ids:
            return f"spine-curate {self.name}: public source, ids and dates kept"
        site = " with site overrides" if self.overrides else ""
        return f"spine-curate {self.name}{site}, PS3.15 {self.edition}"

    @property
    def dates(self) -> str:
        """For LongitudinalTemporalInformationModified (0028,0303), PS3.3 C.12.1.1.7."""
        if self.has(option_names.FULL_DATES):
            return "UNMODIFIED"
        return "MODIFIED" if self.has(option_names.MODIFIED_DATES) else "REMOVED"


def load_profile(
    name: str,
    *,
    options: Iterable[str] | None = None,
    overrides: Mapping[str, str] | Iterable[Override] = (),
    allow: Iterable[str] = (),
) -> Profile:
    """The profile of that name, with other ``options`` than its own where they are given, and a site's overrides.

    ``basic``: Basic Profile, dates shifted per patient, patient characteristics (ages over 89 become 090Y) and device
    identity kept. ``mira``: the same, descriptors cleaned instead of removed, safe private attributes kept, text
    burned into pixels looked for. ``public``: for archives that were published with their ids: keeps UIDs, ids and
    dates, removes what ``basic`` removes, and refuses an object in which anything else identifies.

    ``allow``: classes of objects that a keyed profile refuses otherwise; only ``secondary_capture`` can be asked for,
    of a profile that cleans pixel data.

    Raises Misconfigured for a name or option that is none, options that exclude each other, a wrong override, and for
    any options beside ``public``.
    """
    if name not in READY:
        raise Misconfigured(f"deid.profile: no profile {name!r}; there are {', '.join(sorted(READY))}")
    if options is not None and name == "public":
        raise Misconfigured("deid.options: the profile 'public' has its own and takes no others")
    chosen = settle_options(READY[name] if options is None else options)
    allowed = set(allow)
    if allowed - {SECONDARY_CAPTURE}:
        raise Misconfigured(f"deid.allow: only {SECONDARY_CAPTURE!r} can be allowed")
    if allowed and option_names.CLEAN_PIXELS not in chosen:
        raise Misconfigured(f"deid.allow: needs the option {option_names.CLEAN_PIXELS}")
    return Profile(
        name,
        chosen,
        edition(),
        keeps_ids=name == "public",
        overrides=read_overrides(overrides),
        allows_captures=SECONDARY_CAPTURE in allowed,
    )


@cache
def compile_profile(profile: Profile, sop_class_uid: str) -> Mapping[int, Rule]:
    """One rule for every tag of the dictionary and the table. A tag that is not in it is removed."""
    types = attribute_types(sop_class_uid)
    rules = {}
    for tag in sorted(VR_OF_TAG.keys() | table_rows().keys()):
        kind = KIND_OF_VR[VR_OF_TAG.get(tag, b"UN")]
        rules[tag] = _rule(profile, tag, kind, types.get(tag, ""))
    for override in profile.overrides:
        if isinstance(override.key, int):
            rules[override.key] = _overridden(override.choice, override.key, rules.get(override.key))
    return MappingProxyType(rules)


@cache
def compile_dummies(profile: Profile, sop_class_uid: str) -> Mapping[int, Rule]:
    """The rules in the items of a sequence that is replaced by a dummy: what would keep a text there makes it one."""
    return MappingProxyType(
        {
            tag: replace(rule, action=Action.DUMMY, fallback=Action.DUMMY) if rule.action in _KEEPS_TEXT else rule
            for tag, rule in compile_profile(profile, sop_class_uid).items()
        }
    )


def settle(compound: str, attribute_type: str) -> str:
    """One of X, Z, D, U from a compound action such as X/Z/D: the first, unless the type forces a later one.

    Type 1 needs a value (D or U), type 2 needs the element (Z or more). ``attribute_type`` is empty when the IOD does
    not define the attribute: then nothing forces.
    """
    parts = compound.rstrip("*").split("/")
    wanted = {"1": ("D", "U", "Z"), "2": ("Z", "D", "U")}.get(attribute_type[:1], ())
    return next((part for part in wanted if part in parts), parts[0])


@cache
def _digest(profile: Profile) -> str:
    lists = unlisted()
    rules: dict[str, Json] = {
        "name": profile.name,
        "options": [*profile.options],
        "overrides": [[one.tag, one.choice] for one in profile.overrides],
        "captures": profile.allows_captures,
        "edition": profile.edition,
        "version": RULES_VERSION,
        "text": [*sorted(lists.retained_text)],
        "needed": [[tag, lists.needed[tag]] for tag in sorted(lists.needed)],
        "bulk": [*sorted(lists.retained_bulk)],
        "refuses": [*sorted(lists.public_refuses)],
        "vocabulary": [*sorted(lists.vocabulary)],
    }
    return digest_json(rules)


def _rule(profile: Profile, tag: int, kind: Kind, attribute_type: str) -> Rule:
    refuse = profile.keeps_ids and (tag in unlisted().public_refuses or kind is Kind.PERSON)
    if tag in (PATIENT_NAME, PATIENT_ID):
        action = Action.OWN_ID if profile.keeps_ids and tag == PATIENT_NAME else Action.PATIENT
        return Rule(action, kind, action)
    group = tag >> 16
    if group < 0x0008 or tag & 0xFFFF == 0 or group & 0xFF01 in (0x5000, 0x6000) or group & 1:
        return Rule(Action.REMOVE, kind, Action.REMOVE)
    row = table_rows().get(tag)
    if row is None:
        instead = _INSTEAD[unlisted().needed.get(tag)]
        action = _default(profile, tag, kind)
        return Rule(instead if action is Action.REMOVE else action, kind, instead, refuse)
    letter = settle(row.basic, attribute_type)
    base = action_of_letter(letter, kind)
    if letter == "D" and kind is Kind.SEQUENCE and attribute_type.startswith("1"):
        base = Action.DUMMY_ITEMS
    if tag == ACCESSION_NUMBER:
        return Rule(Action.TOKEN, kind, base) if not profile.keeps_ids else Rule(base, kind, base)
    return Rule(_with_options(profile, row.options, kind) or base, kind, base, refuse)


def _overridden(choice: str, tag: int, rule: Rule | None) -> Rule:
    """What a site wants, with the rule of the profile to fall back to."""
    kind = rule.kind if rule is not None else KIND_OF_VR[VR_OF_TAG.get(tag, b"UN")]
    fallback = rule.fallback if rule is not None else Action.REMOVE
    if choice in ("remove", "empty"):
        action = Action.REMOVE if choice == "remove" else Action.EMPTY
        return Rule(action, kind, action)
    if kind is Kind.PERSON:
        return Rule(Action.CHECK_TEXT, kind, fallback)
    if choice == "clean" and kind in (Kind.TEXT, Kind.CODE):
        return Rule(Action.CLEAN, kind, fallback)
    return Rule(keep(kind), kind, fallback)


def _with_options(profile: Profile, options: Mapping[str, str], kind: Kind) -> Action | None:
    """What the profile's options make of a listed attribute; None when they leave it to the basic profile.

    C (clean): dates are shifted, text loses the words that identify, sequences are entered. C of an application
    entity title, which an option for devices offers, falls to the basic action: titles name hospitals in ways that
    no list of words knows.
    """
    chosen = {name: options[name] for name in profile.options if name in options}
    if kind is Kind.TIME:
        return Action.SHIFT if any(name in chosen for name in _TIMED) else None
    if "K" in chosen.values():
        return keep(kind)
    if "C" not in chosen.values():
        return None
    if kind is Kind.SEQUENCE:
        return Action.ENTER
    return Action.CLEAN if kind in (Kind.TEXT, Kind.CODE) and profile.has(option_names.CLEAN_DESCRIPTORS) else None


def _default(profile: Profile, tag: int, kind: Kind) -> Action:
    """What becomes of an attribute that the dictionary knows and the table does not list."""
    lists = unlisted()
    if kind is Kind.TEXT:
        return Action.CHECK_TEXT if tag in lists.retained_text else Action.REMOVE
    if kind is Kind.BULK:
        if tag not in lists.retained_bulk:
            return Action.REMOVE
        return Action.KEEP if tag >> 16 == 0x7FE0 else Action.CHECK_BINARY
    if kind in (Kind.PERSON, Kind.UNKNOWN):
        return Action.REMOVE
    if kind is Kind.TIME and not any(profile.has(option) for option in _TIMED):
        return Action.REMOVE
    return Action.UID if kind is Kind.UID and not profile.has(option_names.UIDS) else keep(kind)


def keep(kind: Kind) -> Action:
    """How a value of the kind is kept: as little on trust as the kind allows."""
    return {
        Kind.NUMBERS: Action.CHECK_BINARY,
        Kind.DECIMALS: Action.CHECK_NUMBER,
        Kind.CODE: Action.CHECK_CODE,
        Kind.TEXT: Action.CHECK_TEXT,
        Kind.UID: Action.CHECK_UID,
        Kind.TIME: Action.SHIFT,
        Kind.AGE: Action.AGE,
        Kind.SEQUENCE: Action.ENTER,
    }.get(kind, Action.REMOVE)


def action_of_letter(letter: str, kind: Kind) -> Action:
    """The action of one letter of the table. A dummy sequence that nothing needs is an empty one."""
    if letter == "U":
        return Action.ENTER if kind is Kind.SEQUENCE else Action.UID
    if letter == "D":
        return Action.EMPTY if kind is Kind.SEQUENCE else Action.DUMMY
    return {"X": Action.REMOVE, "Z": Action.EMPTY}[letter]
