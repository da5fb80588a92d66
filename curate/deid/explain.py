"""What happens to a tag under a profile, and why, in words.

Reads the same compiled rules that the engine follows, and the rows of the tables that they come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag

from curate.deid.options import OPTIONS
from curate.deid.overrides import Override, PrivateName, format_tag, parse_tag
from curate.deid.private import PrivateRule, compile_private
from curate.deid.profile import Action, Profile, Rule, compile_profile, settle
from curate.deid.tables import attribute_types, safe_private, table_rows, unlisted
from curate.deid.vrs import VR_OF_TAG

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_FIXED = {
    Action.PATIENT: "it names the patient: the patient's key, made with the project key, takes its place",
    Action.OWN_ID: "it may stay where it is nothing but the patient's public id",
    Action.TOKEN: "it names the study elsewhere: a short code made with the project key takes its place",
}
_CHECKS = {
    Action.CHECK_BINARY: "kept unless the numbers are letters in truth",
    Action.CHECK_NUMBER: "kept unless something else than numbers stands in it",
    Action.CHECK_CODE: "kept unless it has not the form of a code or holds a name, id or date of the same object",
    Action.CHECK_TEXT: "kept unless it is long, holds a way to reach someone, or a name, id or date of the same object",
    Action.CHECK_UID: "kept unless something else than a UID stands in it",
    Action.CLEAN: "kept without the words that identify; nothing is left of a text that is nothing else",
    Action.ENTER: "each of its items is cleaned by the same rules",
    Action.DUMMY_ITEMS: "its items stay, as the class needs them; every text in them is replaced",
    Action.SHIFT: "moved by the patient's number of days; a malformed one falls back",
    Action.UID: "replaced by a UID made from it with the project key",
    Action.AGE: "kept; over 89 years it becomes 090Y",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One tag under one profile for one SOP class."""

    tag: str  # (gggg,eeee) or (gggg,"CREATOR",ee)
    name: str
    vr: str
    basic: str  # letters of Table E.1-1; empty for what the table does not list
    attribute_type: str  # 1, 1C, 2, 2C, 3; empty where the SOP class does not define the attribute
    options: tuple[tuple[str, str], ...]  # of the profile that speak of the tag, and their letter
    action: Action
    fallback: Action  # what happens to a value that does not fit
    why: str


def explain(profile: Profile, tag: int | str, sop_class_uid: str = CT_IMAGE) -> Explanation:
    """What happens to a tag, given as a number, as ``(gggg,eeee)`` or, if private, ``(gggg,"CREATOR",ee)``.

    Raises Misconfigured for a tag that is none.
    """
    key = parse_tag(tag) if isinstance(tag, str) else tag
    if isinstance(key, PrivateName):
        return _explain_private(profile, key)
    rule = compile_profile(profile, sop_class_uid).get(key)
    row = table_rows().get(key)
    attribute_type = attribute_types(sop_class_uid).get(key, "")
    applied = () if row is None else tuple((name, row.options[name]) for name in profile.options if name in row.options)
    return Explanation(
        tag=format_tag(key),
        name=keyword_for_tag(key) or (row.name if row is not None else ""),
        vr=VR_OF_TAG.get(key, b"").decode(),
        basic="" if row is None else row.basic,
        attribute_type=attribute_type,
        options=applied,
        action=Action.REMOVE if rule is None else rule.action,
        fallback=Action.REMOVE if rule is None else rule.fallback,
        why=". ".join(_reasons(profile, key, rule, applied, attribute_type)),
    )


def explain_all(profile: Profile, sop_class_uid: str = CT_IMAGE) -> Iterator[Explanation]:
    """Every tag of Table E.1-1, and every one that a site overrides, in order."""
    tags = set(table_rows())
    for override in profile.overrides:
        if isinstance(override.key, int):
            tags.add(override.key)
    for tag in sorted(tags):
        yield explain(profile, tag, sop_class_uid)
    for name in sorted(compile_private(profile)):
        yield _explain_private(profile, name)


def _reasons(
    profile: Profile, tag: int, rule: Rule | None, applied: tuple[tuple[str, str], ...], attribute_type: str
) -> Iterator[str]:
    override = _override(profile, format_tag(tag))
    row = table_rows().get(tag)
    if rule is None:
        yield "No dictionary and no table knows it: removed"
        return
    if rule.action in _FIXED:
        yield f"Whatever the profile: {_FIXED[rule.action]}"
        return
    if override is not None:
        yield f"The site overrides the profile: {override.choice}"
    elif row is None:
        yield _why_unlisted(tag, rule)
    elif applied and rule.action is not rule.fallback:
        yield "; ".join(f"{_upper_first(OPTIONS[name].effect)} ({name}: {letter})" for name, letter in applied)
    else:
        yield _why_basic(row.basic, attribute_type)
    if rule.action in _CHECKS:
        yield f"Here: {_CHECKS[rule.action]}"
        if rule.fallback is not rule.action:
            yield f"A value that does not fit is {rule.fallback.value}"


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _why_basic(basic: str, attribute_type: str) -> str:
    if "/" not in basic:
        return f"The Basic Profile says {basic} and no chosen option says otherwise"
    letter = settle(basic, attribute_type)
    known = f"type {attribute_type}" if attribute_type else "not part of the object's modules"
    return f"The Basic Profile says {basic}; it is {known}, so {letter} holds"


def _why_unlisted(tag: int, rule: Rule) -> str:
    if tag >> 16 < 8 or tag & 0xFFFF == 0:
        return "Not part of a data set that is published: removed"
    if tag >> 16 & 0xFF01 in (0x5000, 0x6000):
        return "Overlays and curves are removed as whole groups"
    if tag in unlisted().retained_text or tag in unlisted().retained_bulk:
        return "Table E.1-1 does not list it; the project keeps it by name"
    if rule.action is Action.REMOVE:
        return f"Table E.1-1 does not list it and its kind of value ({rule.kind.value}) can hold anything: removed"
    return f"Table E.1-1 does not list it and its kind of value ({rule.kind.value}) can be checked"


def _explain_private(profile: Profile, name: PrivateName) -> Explanation:
    known = compile_private(profile).get(name)
    row = safe_private().get((name.group, name.creator, name.number))
    override = _override(profile, format_tag(name))
    if override is not None:
        why = f"The site overrides the profile: {override.choice}, as far as the kind of value can be checked"
    elif known is not None:
        why = "Table E.3.10-1 lists it as safe; kept where VR, number of values and value are what the table says"
    elif row is not None:
        why = "Table E.3.10-1 lists it as safe, but no private attributes are kept or its bytes cannot be checked"
    else:
        why = "A private attribute that no table lists as safe: removed"
    return Explanation(
        tag=format_tag(name),
        name="",
        vr="" if row is None else row.vr.decode(),
        basic="X",
        attribute_type="",
        options=(("retain_safe_private", "C"),) if known is not None and override is None else (),
        action=_private_action(known),
        fallback=Action.REMOVE,
        why=why,
    )


def _private_action(known: PrivateRule | None) -> Action:
    if known is None:
        return Action.REMOVE
    return known.action or known.kept_as


def _override(profile: Profile, spelling: str) -> Override | None:
    return next((one for one in profile.overrides if one.tag == spelling), None)
