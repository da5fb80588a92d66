"""Everything that decides about one class of objects, and what a rule comes to for the VR that a file gives.

Compiled once per profile and SOP class; what becomes of a (tag, VR) is then looked up, not thought about, for every
element of every file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from curate.deid.content import compile_content, has_content
from curate.deid.identifiers import kind_of
from curate.deid.overrides import PrivateName
from curate.deid.private import PrivateRule, compile_private
from curate.deid.profile import PATIENT_ID, PATIENT_NAME, Action, Profile, Rule, compile_dummies, compile_profile
from curate.deid.vrs import KIND_OF_VR, Kind

VERBATIM = frozenset(action for action in Action if action is Action.KEEP or action.name.startswith("CHECK"))
"""Actions that leave the bytes of an element as they are, or else fall back."""

TEXTUAL = (Kind.TEXT, Kind.CODE)


class Step(NamedTuple):
    """What is done to an element: a rule that has seen the VR of the file."""

    action: Action
    fallback: Action
    kind: Kind
    refuses: bool  # a value here means that the object is not what the profile takes it for
    finds: str | None  # kind of identifier that a value is which does not stay; None when it is none
    is_quiet: bool  # stays in one form or another, finds nothing, and needs no further thought before it is acted on


class RuleSet(dict[tuple[int, bytes], Step | None]):
    """The step of every (tag, VR) met so far, made when it is first asked for; None for tags that no rule knows.

    The VR of a sequence is SQ, whatever its file calls it.
    """

    def __init__(self, rules: Mapping[int, Rule], *, keeps_ids: bool) -> None:
        super().__init__()
        self.rules, self.keeps_ids = rules, keeps_ids

    def __missing__(self, key: tuple[int, bytes]) -> Step | None:
        tag, vr = key
        rule = self.rules.get(tag)
        step = None if rule is None else make_step(rule, tag, vr, keeps_ids=self.keeps_ids)
        self[key] = step
        return step

    def enters(self, tag: int) -> bool:
        """Whether the rule of a tag looks into its items."""
        rule = self.rules.get(tag)
        return rule is not None and rule.action is Action.ENTER


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The rules of a profile for a SOP class; made by ``rules_for``."""

    profile: Profile
    sop_class_uid: str
    public: Mapping[int, Rule]
    private: Mapping[PrivateName, PrivateRule]
    standard: RuleSet  # of ``public``
    dummies: RuleSet  # in the items of sequences that are replaced by dummies
    content: Mapping[str, RuleSet] | None  # by letter; None when content items are not looked into


@cache
def rules_for(profile: Profile, sop_class_uid: str) -> Rules:
    """The rules of a profile for a SOP class, compiled once."""
    public = compile_profile(profile, sop_class_uid)
    content = None
    if has_content(profile):
        content = MappingProxyType(
            {
                letter: RuleSet(compile_content(profile, sop_class_uid, letter), keeps_ids=profile.keeps_ids)
                for letter in "KCD"
            }
        )
    standard = RuleSet(public, keeps_ids=profile.keeps_ids)
    dummies = RuleSet(compile_dummies(profile, sop_class_uid), keeps_ids=profile.keeps_ids)
    return Rules(profile, sop_class_uid, public, compile_private(profile), standard, dummies, content)


def make_step(rule: Rule, tag: int, vr: bytes, *, keeps_ids: bool) -> Step:
    """The step of a rule for a value of this VR; removal when the rule is not made for its kind.

    An UN is taken for what the rule says.
    """
    kind = rule.kind if vr == b"UN" else KIND_OF_VR[vr]
    action = rule.action if _trusts(rule, kind) else Action.REMOVE
    finds = None if action in VERBATIM else what_it_finds(tag, vr, kind, keeps_ids=keeps_ids)
    is_loud = rule.refuse or finds is not None or action is Action.REMOVE or kind is Kind.SEQUENCE
    return Step(action, rule.fallback, kind, rule.refuse, finds, not is_loud)


def what_it_finds(tag: int, vr: bytes, kind: Kind, *, keeps_ids: bool) -> str | None:
    """Kind of identifier in an element that is removed or replaced; a time of day alone is none."""
    if kind is Kind.SEQUENCE:
        return None
    if keeps_ids and (kind in (Kind.UID, Kind.TIME) or tag in (PATIENT_ID, PATIENT_NAME)):
        return None
    found = kind_of(tag, kind)
    return None if found in ("date", "birth_date") and vr == b"TM" else found


def _trusts(rule: Rule, kind: Kind) -> bool:
    """Whether the VR of the file is one that the rule of the tag was made for."""
    if kind is rule.kind or rule.action in (Action.REMOVE, Action.EMPTY):
        return True
    if kind in TEXTUAL and rule.kind in TEXTUAL:
        return True
    return rule.kind is Kind.BULK and kind is Kind.NUMBERS
