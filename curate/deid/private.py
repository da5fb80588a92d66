"""Private attributes: all go but those that are known to be safe by name, type, number of values and value.

PS3.15 E.3.10 and Table E.3.10-1, and what a site adds (``overrides.py``). A private attribute is named by its group,
its creator, and the last byte of its element number (PS3.5 7.8.1). The creator's own element is written anew from the
table: in the file it may hold anything. Bytes (OB, OW, UN) are never kept, since no check can read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from pydicom._private_dict import private_dictionaries

from curate.deid.elements import Element
from curate.deid.options import SAFE_PRIVATE, UIDS
from curate.deid.overrides import PrivateName
from curate.deid.profile import Action, Profile, Rule, keep
from curate.deid.tables import safe_private
from curate.deid.vrs import KIND_OF_VR, Kind

OTHER_CREATORS = "other creators"
_NUMBER_BYTES = {b"US": 2, b"SS": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"AT": 4, b"FD": 8, b"SV": 8, b"UV": 8}
_UNCHECKED = (Kind.BULK, Kind.UNKNOWN)
_REMOVE = Rule(Action.REMOVE, Kind.UNKNOWN, Action.REMOVE)


@dataclass(frozen=True, slots=True)
class PrivateRule:
    """The rule of one private attribute. ``vr`` is empty where a site keeps it as whatever the file says it is."""

    action: Action | None  # None: as the kind of value is kept
    vr: bytes
    fewest: int
    most: int  # 0: any number

    @property
    def kept_as(self) -> Action:
        """How a value of the known VR is kept; a site's own attribute is kept as what its file says it is."""
        return keep(KIND_OF_VR[self.vr]) if self.vr else Action.KEEP


@cache
def compile_private(profile: Profile) -> Mapping[PrivateName, PrivateRule]:
    """Every private attribute that the profile or its site knows; empty when all go."""
    rules = {}
    if profile.has(SAFE_PRIVATE):
        for (group, creator, number), row in safe_private().items():
            if KIND_OF_VR[row.vr] not in _UNCHECKED:
                rules[PrivateName(group, creator, number)] = PrivateRule(
                    Action.UID if row.vr == b"UI" and not profile.has(UIDS) else None, row.vr, row.fewest, row.most
                )
    for override in profile.overrides:
        if isinstance(override.key, PrivateName):
            action = {"remove": Action.REMOVE, "empty": Action.EMPTY, "clean": Action.CLEAN}.get(override.choice)
            rules[override.key] = PrivateRule(action, b"", 1, 0)
    return MappingProxyType(rules)


def rule_of(known: PrivateRule, element: Element, value: bytes) -> Rule:
    """The rule for an element of a known name; removal when its VR or number of values is not the known one.

    A VR of UN, or the lack of one in implicit syntaxes, is taken for the VR of the table.
    """
    vr = known.vr or element.vr
    kind = KIND_OF_VR[vr]
    if kind in _UNCHECKED or (known.vr and element.vr not in (known.vr, b"UN")):
        return _REMOVE
    if kind is not Kind.SEQUENCE and not _has_right_number(vr, value, known):
        return _REMOVE
    if known.action is Action.CLEAN and kind not in (Kind.TEXT, Kind.CODE):
        return Rule(keep(kind), kind, Action.REMOVE)
    return Rule(known.action or keep(kind), kind, Action.REMOVE)


def public_name(creator: str) -> str:
    """The creator as an audit may show it: only known ones, since a creator can hold anything (E.3.10 note)."""
    return creator if is_public(creator) else OTHER_CREATORS


def is_public(creator: str) -> bool:
    """Whether the creator is a vendor's that the dictionaries know."""
    return creator in private_dictionaries or creator in _safe_creators()


@cache
def _safe_creators() -> frozenset[str]:
    return frozenset(creator for _, creator, _ in safe_private())


def _has_right_number(vr: bytes, value: bytes, known: PrivateRule) -> bool:
    if not value:
        return True
    size = _NUMBER_BYTES.get(vr)
    if size is None:
        count = value.count(b"\\") + 1
    elif len(value) % size:
        return False
    else:
        count = len(value) // size
    return count >= known.fewest and (known.most == 0 or count <= known.most)
