"""One object in, one de-identified object out: decides on raw elements, decodes only what changes, splices the pixels.

The header is walked once with the rules of its SOP class (``walk.py``), which decides about every element and finds
what identifies; then every element is acted on (``acts.py``), and text that is to stay is searched for all that.
Whatever cannot be read, or cannot be shown to be clean, raises: nothing is copied through. Equal bytes, profile and
key give equal bytes. Messages name tags, never values.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

from curate.deid.acts import Acts, Subject
from curate.deid.elements import Syntax, read_elements
from curate.deid.encode import Encoded, encode_element, encode_items, in_order
from curate.deid.filemeta import build_file, open_file
from curate.deid.header import Header, refuse_what_is_not_allowed, refuse_without_pixels
from curate.deid.identifiers import Identifier, guard_for
from curate.deid.options import CLEAN_FEATURES, FULL_DATES, UIDS
from curate.deid.pixels.clean import PixelOutcome, clean_pixels
from curate.deid.pixels.native import PixelLayout, trim_native
from curate.deid.profile import Action, Profile
from curate.deid.pseudonyms import Pseudonyms, patient_key
from curate.deid.records.audit import FileAudit
from curate.deid.review.decisions import Decisions
from curate.deid.rules import rules_for
from curate.deid.walk import Walk
from curate.errors import Misconfigured, Quarantined
from curate.reasons import Reason

HideFeatures: TypeAlias = Callable[[bytes, PixelLayout], bytes]
"""Native pixel bytes, as they lie in the file, and their layout -> as many bytes without a recognisable face."""

_CODES = 0x00120064
_PATIENT_ID, _ISSUER, _PIXEL_DATA = 0x00100020, 0x00100021, 0x7FE00010


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What became of one object. ``identifiers`` is for the private zone only; the rest may be published."""

    content: bytes
    audit: FileAudit
    identifiers: frozenset[Identifier]


def deidentify_bytes(
    raw: bytes,
    profile: Profile,
    pseudonyms: Pseudonyms,
    *,
    site: str = "",
    decisions: Decisions | None = None,
    known: Iterable[Identifier] = (),
    hide_features: HideFeatures | None = None,
) -> Deidentified:
    """De-identify one DICOM file given as bytes.

    ``site`` tells apart equal patient ids of two sites when no issuer is named. ``decisions``: what a person marked in
    the table of distinct values. ``known``: what identifies the patient beyond what the object says, from the owner's
    register. ``hide_features``: for a profile with the Clean Recognizable Visual Features Option,
    which nothing here can do by itself. Raises Rejected for bytes that are
    damaged or not DICOM (TRUNCATED_FILE, UNREADABLE_HEADER, NOT_DICOM, EMPTY_FILE, ...); Quarantined for what may be
    fine but cannot be shown to be (DEIDENTIFICATION_FAILED, BURNED_IN_ANNOTATION, UNKNOWN_SOP_CLASS,
    SECONDARY_CAPTURE); Misconfigured when the profile asks for a key that is not there, or has one and keeps ids, or
    asks for a cleaning that nobody supplies.
    """
    if profile.keeps_ids != (pseudonyms.shift_days("") == 0):
        raise Misconfigured(f"deid.profile: {profile.name!r} and the kind of pseudonyms do not go together")
    if profile.has(CLEAN_FEATURES) and hide_features is None:
        raise Misconfigured(f"deid.options: {CLEAN_FEATURES} needs a function that does it")
    file = open_file(raw)
    elements = read_elements(file.content, file.start, file.syntax)
    header = Header(file, {element.tag: element for element in elements})
    refuse_what_is_not_allowed(header, profile)
    refuse_without_pixels(header)
    subject = _subject(profile, pseudonyms, header.text(_PATIENT_ID), header.text(_ISSUER), header.study_uid, site)  # type: ignore[arg-type]  # both kinds are frozen, so they hash
    rules = rules_for(profile, header.sop_class_uid)

    walk = Walk(file.content, rules, subject.patient_id, decisions)
    plan = walk.plan(elements, file.syntax)
    identifiers = walk.found.identifiers()
    acts = Acts(file.content, subject, guard_for(identifiers.union(known)))
    encoded = acts.carry_out(plan)
    if walk.has_wrong_item_numbers:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "content items are referred to by a number that is gone")
    pixels = clean_pixels(header, profile)
    encoded = {tag: value for tag, value in encoded.items() if tag not in pixels.removed} | dict(pixels.replaced)
    if hide_features is not None and profile.has(CLEAN_FEATURES):
        _hide(hide_features, header, encoded)
    _state_what_was_done(header, profile, subject, encoded)
    content = build_file(
        in_order(encoded),
        transfer_syntax_uid=pixels.transfer_syntax_uid or file.transfer_syntax_uid,
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=_new_instance_uid(header, profile, subject),
    )
    audit = FileAudit(
        profile=profile.name,
        profile_digest=profile.digest,
        edition=profile.edition,
        key_fingerprint=pseudonyms.fingerprint,
        sop_class_uid=header.sop_class_uid,
        source_digest=pseudonyms.digest(raw, "source"),
        output_sha256=hashlib.sha256(content).hexdigest(),
        counts=_counts(walk, acts, pixels),
        flags=pixels.flags,
        blanked=tuple(pixels.blanked),
    )
    return Deidentified(content, audit, identifiers)


def _counts(walk: Walk, acts: Acts, pixels: PixelOutcome) -> tuple[tuple[str, int], ...]:
    """Elements by what was done to them, and findings, under the names that an audit shows."""
    counts = {action.value: count for action, count in Counter(acts.actions).items()}
    if walk.removed:
        counts[Action.REMOVE.value] = counts.get(Action.REMOVE.value, 0) + walk.removed
    for found in (walk.counts, acts.counts, pixels.counts):
        for name, count in found.items():
            counts[name] = counts.get(name, 0) + count
    return tuple(sorted(counts.items()))


@lru_cache(maxsize=16)
def _subject(
    profile: Profile, pseudonyms: Pseudonyms, patient_id: str, issuer: str, study_uid: str, site: str
) -> Subject:
    """One for all files of a study; it remembers the UIDs that it renamed."""
    key = patient_key(pseudonyms, patient_id=patient_id, study_uid=study_uid, issuer=issuer, site=site)
    days = 0 if profile.has(FULL_DATES) else pseudonyms.shift_days(key)
    return Subject(pseudonyms, patient_id, key, site, days, profile.keeps_ids)


def _new_instance_uid(header: Header, profile: Profile, subject: Subject) -> str:
    old = header.sop_instance_uid
    return old if profile.has(UIDS) else subject.rename(old.encode("latin-1", "replace")).decode("latin-1")


def _hide(hide_features: HideFeatures, header: Header, encoded: dict[int, Encoded]) -> None:
    """PS3.15 E.3.2, on native pixels alone."""
    element = header.by_tag.get(_PIXEL_DATA)
    if element is None:
        return
    if not header.file.is_native:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "visual features of compressed pixels are not cleaned")
    length = len(trim_native(header.view(_PIXEL_DATA), header.pixels))
    value = bytes(encoded[_PIXEL_DATA][-length:])  # blanked already, where text was found
    hidden = hide_features(value, header.pixels)
    if len(hidden) != length:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "cleaned pixels of another size")
    encoded[_PIXEL_DATA] = encode_element(_PIXEL_DATA, element.vr, hidden, header.file.syntax)


def _state_what_was_done(header: Header, profile: Profile, subject: Subject, encoded: dict[int, Encoded]) -> None:
    """PS3.15 E.1.1: say that identity was removed and how; and make whole what the header lacks."""
    syntax = header.file.syntax

    def put(tag: int, vr: bytes, value: str) -> None:
        encoded[tag] = encode_element(tag, vr, value.encode("ascii"), syntax)

    if header.sop_class_uid:
        put(0x00080016, b"UI", header.sop_class_uid)
    if header.sop_instance_uid:
        put(0x00080018, b"UI", _new_instance_uid(header, profile, subject))
    if not profile.keeps_ids:
        put(0x00100010, b"PN", subject.patient_key)
        put(0x00100020, b"LO", subject.patient_key)
    put(0x00120062, b"CS", "YES")
    put(0x00120063, b"LO", profile.method)
    encoded.pop(_CODES, None)
    if profile.codes:
        encoded[_CODES] = _method_codes(profile, syntax)
    put(0x00280303, b"CS", profile.dates)


@cache
def _method_codes(profile: Profile, syntax: Syntax) -> bytes:
    """DeidentificationMethodCodeSequence (0012,0064)."""
    codes = []
    for value, meaning in profile.codes:
        row = ((0x00080100, b"SH", value), (0x00080102, b"SH", "DCM"), (0x00080104, b"LO", meaning))
        codes.append((syntax, {tag: encode_element(tag, vr, text.encode(), syntax) for tag, vr, text in row}))
    return encode_element(_CODES, b"SQ", encode_items(codes), syntax)
