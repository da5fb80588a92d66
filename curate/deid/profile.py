"""De-identification profiles: Table E.1-1 with options, compiled once per SOP class into one rule a tag.

A profile is the Basic Application Level Confidentiality Profile plus options (PS3.15 E.1 to E.3). An option overrides
the profile; modified dates override any option that would keep a date; a compound action takes its first part unless
the IOD type forces a later one. An attribute outside the table is kept only when its VR can be checked for what it
may say: numbers, code strings, UIDs (mapped), dates (shifted), sequences (entered); free text and bytes only by name
(``tables/unlisted.json``). Tags that no dictionary knows, private ones, overlays and curves are removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType

from curate.deid.tables import attribute_types, edition, method_codes, table_rows, unlisted
from curate.deid.vrs import KIND_OF_VR, VR_OF_TAG, Kind
from curate.errors import Misconfigured
from curate.identity import Json, digest_json

RULES_VERSION = 1
"""Part of every profile's digest: raised when the same file would get another result."""

PATIENT_NAME, PATIENT_ID, ACCESSION_NUMBER = 0x00100010, 0x00100020, 0x00080050


class Action(Enum):
    """What happens to one element. Checks fall back to the rule's fallback when a value is not what it must be."""

    __hash__ = object.__hash__  # members are single objects; hashing their names costs a tenth of a file

    KEEP = "kept"
    CHECK_BINARY = "binary number kept after a check"
    CHECK_TEXT = "text kept after a check"
    CHECK_CODE = "code kept after a check"
    CHECK_NUMBER = "number kept after a check"
    CHECK_UID = "uid kept after a check"
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced by a dummy"
    UID = "uid mapped"
    SHIFT = "date shifted"
    AGE = "age capped"
    ENTER = "sequence entered"
    PATIENT = "patient key"
    TOKEN = "token"
    OWN_ID = "name equal to the id"


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one tag: the action, the kind of value it is for, and what to do when the value does not fit."""

    action: Action
    kind: Kind
    fallback: Action
    refuse: bool = False  # a value here means that the object is not what the profile takes it for


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of options over one edition of Table E.1-1."""

    name: str
    options: tuple[str, ...]
    edition: str
    keeps_ids: bool = False

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of everything that decides what becomes of an element."""
        return _digest(self)

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """CID 7050 (code value, meaning) of the profile and its options; none for ids that were public before."""
        if self.keeps_ids:
            return ()
        return tuple((code, method_codes()[code]) for code in ("113100", *(_CODES[name] for name in self.options)))

    @property
    def method(self) -> str:
        """For DeidentificationMethod (0012,0063); at most 64 characters."""
        if self.keeps_ids:
            return f"spine-curate {self.name}: public source, ids and dates kept"
        return f"spine-curate {self.name}, PS3.15 {self.edition}"

    @property
    def dates(self) -> str:
        """For LongitudinalTemporalInformationModified (0028,0303)."""
        return "UNMODIFIED" if "retain_longitudinal_full_dates" in self.options else "MODIFIED"


_CODES = {
    "retain_longitudinal_full_dates": "113106",
    "retain_longitudinal_modified_dates": "113107",
    "retain_patient_characteristics": "113108",
    "retain_device_identity": "113109",
    "retain_uids": "113110",
}
_CHARACTERISTICS = ("retain_patient_characteristics", "retain_device_identity")
_OPTIONS = {
    "basic": ("retain_longitudinal_modified_dates", *_CHARACTERISTICS),
    "public": ("retain_longitudinal_full_dates", *_CHARACTERISTICS, "retain_uids"),
}


def load_profile(name: str) -> Profile:
    """The profile of that name. Raises Misconfigured for a name that is not one.

    ``basic``: Basic Profile, dates shifted per patient, patient characteristics (ages over 89 become 090Y) and device
    identity kept. ``public``: for archives that were published with their ids: keeps UIDs, ids and dates, removes what
    ``basic`` removes, and refuses an object in which anything else identifies.
    """
    if name not in _OPTIONS:
        raise Misconfigured(f"deid.profile: no profile {name!r}; there are {', '.join(sorted(_OPTIONS))}")
    return Profile(name, _OPTIONS[name], edition(), keeps_ids=name == "public")


@cache
def compile_profile(profile: Profile, sop_class_uid: str) -> Mapping[int, Rule]:
    """One rule for every tag of the dictionary and the table. A tag that is not in it is removed."""
    types = attribute_types(sop_class_uid)
    rules = {}
    for tag in sorted(VR_OF_TAG.keys() | table_rows().keys()):
        kind = KIND_OF_VR[VR_OF_TAG.get(tag, b"UN")]
        rules[tag] = _rule(profile, tag, kind, types.get(tag, ""))
    return MappingProxyType(rules)


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
        "edition": profile.edition,
        "version": RULES_VERSION,
        "text": [*sorted(lists.retained_text)],
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
        return Rule(_default(profile, tag, kind), kind, Action.REMOVE, refuse)
    base = _of_letter(settle(row.basic, attribute_type), kind)
    if tag == ACCESSION_NUMBER:
        return Rule(Action.TOKEN, kind, base) if not profile.keeps_ids else Rule(base, kind, base)
    return Rule(_with_options(profile, row.options, tag, kind) or base, kind, base, refuse)


def _with_options(profile: Profile, options: Mapping[str, str], tag: int, kind: Kind) -> Action | None:
    """What the profile's options make of a listed attribute; None when they leave it to the basic profile.

    C (clean) is met by shifting dates. Cleaning of text is an option that no profile here claims, so C falls to the
    basic action, which removes.
    """
    chosen = {name: options[name] for name in profile.options if name in options}
    if kind is Kind.TIME:
        timed = any(name.startswith("retain_longitudinal") for name in chosen)
        return Action.SHIFT if timed else None
    if "K" not in chosen.values():
        return None
    return _keep(profile, kind)


def _default(profile: Profile, tag: int, kind: Kind) -> Action:
    """What becomes of an attribute that the dictionary knows and the table does not list."""
    lists = unlisted()
    if kind is Kind.TEXT:
        return Action.CHECK_TEXT if tag in lists.retained_text else Action.REMOVE
    if kind is Kind.BULK:
        return Action.KEEP if tag in lists.retained_bulk else Action.REMOVE
    if kind in (Kind.PERSON, Kind.UNKNOWN):
        return Action.REMOVE
    return Action.UID if kind is Kind.UID and not profile.keeps_ids else _keep(profile, kind)


def _keep(profile: Profile, kind: Kind) -> Action:
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


def _of_letter(letter: str, kind: Kind) -> Action:
    """The action of one letter of the table. A dummy sequence is an empty one: entering it could keep what it says."""
    if letter == "U":
        return Action.ENTER if kind is Kind.SEQUENCE else Action.UID
    if letter == "D":
        return Action.EMPTY if kind is Kind.SEQUENCE else Action.DUMMY
    return {"X": Action.REMOVE, "Z": Action.EMPTY}[letter]
