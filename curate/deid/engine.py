"""One object in, one de-identified object out: decides on raw elements, decodes only what changes, splices the pixels.

The header is walked once with the rules of its SOP class (``profile.py``). What is kept as text is then searched for
the file's own names, ids and dates; a hit means a second walk in which every such value falls back to removal.
Whatever cannot be read, or cannot be shown to be clean, raises: nothing is copied through. Equal bytes, profile and
key give equal bytes. Messages name tags, never values.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

from curate.deid.audit import FileAudit
from curate.deid.elements import PIXEL_TAGS, read_elements
from curate.deid.encode import encode_element, encode_items, join_elements
from curate.deid.filemeta import build_file, open_file
from curate.deid.header import Header, refuse_what_is_not_an_image, refuse_without_pixels
from curate.deid.identifiers import Guard, Identifier
from curate.deid.pixels import clear_unused_bits, trim_native
from curate.deid.profile import Profile, compile_profile
from curate.deid.pseudonyms import Pseudonyms, patient_key
from curate.deid.walk import Subject, Walk
from curate.errors import Misconfigured, Quarantined, Rejected
from curate.reasons import Reason


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What became of one object. ``identifiers`` is for the private zone only; the rest may be published."""

    content: bytes
    audit: FileAudit
    identifiers: frozenset[Identifier]


def deidentify_bytes(raw: bytes, profile: Profile, pseudonyms: Pseudonyms, *, site: str = "") -> Deidentified:
    """De-identify one DICOM file given as bytes.

    ``site`` tells apart equal patient ids of two sites when no issuer is named. Raises Rejected for bytes that are
    damaged or not DICOM (TRUNCATED_FILE, UNREADABLE_HEADER, NOT_DICOM, EMPTY_FILE, ...); Quarantined for what may be
    fine but cannot be shown to be (DEIDENTIFICATION_FAILED, BURNED_IN_ANNOTATION, UNKNOWN_SOP_CLASS,
    SECONDARY_CAPTURE); Misconfigured when the profile asks for a key that is not there, or has one and keeps ids.
    """
    if profile.keeps_ids != (pseudonyms.shift_days("") == 0):
        raise Misconfigured(f"deid.profile: {profile.name!r} and the kind of pseudonyms do not go together")
    file = open_file(raw)
    elements = read_elements(file.content, file.start, file.syntax)
    header = Header(file, {element.tag: element for element in elements})
    refuse_what_is_not_an_image(header, keeps_ids=profile.keeps_ids)
    refuse_without_pixels(header, elements[-1])
    subject = _subject(header, profile, pseudonyms, site)
    rules = compile_profile(profile, header.sop_class_uid)

    walk = Walk(file.content, rules, subject, Guard(()))
    encoded = walk.dataset(elements, file.syntax)
    identifiers = walk.identifiers()
    guard = Guard(identifiers)
    if guard.finds("\n".join(walk.kept_texts)):
        walk = Walk(file.content, rules, subject, guard)
        encoded = walk.dataset(elements, file.syntax)
    _check_pixels(header, encoded, walk.counts)
    _state_what_was_done(header, profile, subject, encoded)
    content = build_file(
        join_elements(encoded),
        transfer_syntax_uid=file.transfer_syntax_uid,
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=pseudonyms.uid(header.sop_instance_uid),
    )
    audit = FileAudit(
        profile=profile.name,
        profile_digest=profile.digest,
        edition=profile.edition,
        key_fingerprint=pseudonyms.fingerprint,
        sop_class_uid=header.sop_class_uid,
        source_digest=pseudonyms.digest(raw, "source"),
        output_sha256=hashlib.sha256(content).hexdigest(),
        counts=tuple(sorted(walk.totals().items())),
    )
    return Deidentified(content, audit, identifiers)


def _subject(header: Header, profile: Profile, pseudonyms: Pseudonyms, site: str) -> Subject:
    patient_id = header.text(0x00100020)
    key = patient_key(
        pseudonyms,
        patient_id=patient_id,
        study_uid=header.study_uid,
        issuer=header.text(0x00100021),
        site=site,
    )
    return Subject(pseudonyms, patient_id, key, site, pseudonyms.shift_days(key), profile.keeps_ids)


def _check_pixels(header: Header, encoded: dict[int, bytes], counts: Counter[str]) -> None:
    """Cut and clear native pixels in place; leave encapsulated ones alone."""
    tag = next((tag for tag in header.by_tag if tag in PIXEL_TAGS), None)
    if tag is None:
        raise Rejected(Reason.NOT_AN_IMAGE, "no pixel data")
    element = header.by_tag[tag]
    layout = header.pixels
    if header.file.is_native and element.undefined:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "fragments under a transfer syntax that has none")
    if not header.file.is_native:
        if not element.undefined:
            raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "native pixels under a compressed transfer syntax")
        return
    value = header.value(tag)
    trimmed = trim_native(value, layout)
    cleared = clear_unused_bits(trimmed, layout, little=header.file.syntax.little) if tag == 0x7FE00010 else None
    if cleared is not None:
        counts["pixels: unused bits cleared"] += 1
    if trimmed is not value:
        counts["pixels: bytes after the last pixel cut"] += 1
    if cleared is not None or trimmed is not value:
        encoded[tag] = encode_element(tag, element.vr, cleared or trimmed, header.file.syntax)


def _state_what_was_done(header: Header, profile: Profile, subject: Subject, encoded: dict[int, bytes]) -> None:
    """PS3.15 E.1.1: say that identity was removed and how; and make whole what the header lacks."""
    syntax = header.file.syntax

    def put(tag: int, vr: bytes, value: str) -> None:
        encoded[tag] = encode_element(tag, vr, value.encode("ascii"), syntax)

    if header.sop_class_uid:
        put(0x00080016, b"UI", header.sop_class_uid)
    if header.sop_instance_uid:
        put(0x00080018, b"UI", subject.pseudonyms.uid(header.sop_instance_uid))
    if not profile.keeps_ids:
        put(0x00100010, b"PN", subject.patient_key)
        put(0x00100020, b"LO", subject.patient_key)
    put(0x00120062, b"CS", "YES")
    put(0x00120063, b"LO", profile.method)
    codes = []
    for value, meaning in profile.codes:
        row = ((0x00080100, b"SH", value), (0x00080102, b"SH", "DCM"), (0x00080104, b"LO", meaning))
        codes.append((syntax, {tag: encode_element(tag, vr, text.encode(), syntax) for tag, vr, text in row}))
    encoded.pop(0x00120064, None)
    if codes:
        encoded[0x00120064] = encode_element(0x00120064, b"SQ", encode_items(codes), syntax)
    put(0x00280303, b"CS", profile.dates)
