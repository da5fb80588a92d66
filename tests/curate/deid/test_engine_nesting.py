"""Identifiers in sequences of every kind and encoding: none is left, and what the sequences are for still stands.

The sequences are written here byte by byte, as other writers leave them, and read back with pydicom.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO
from struct import pack
from typing import NamedTuple

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.deid.engine import deidentify_bytes
from curate.deid.filemeta import open_file
from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed
from tests.support.deid_files import KEY, PATIENT_ID, PLANTS, STUDY, encode, make_ct

KEYED = Keyed(KEY)
PROFILES = {name: load_profile(name) for name in ("basic", "mira")}
OLD_UID = f"{STUDY}.5"
NESTED_PLANTS = ("Bertoldina", "Ravensworth", "OTHER-4711", "19410707", "20110417", "Lindengasse", "555-0199")
UNDEFINED = 0xFFFFFFFF
LONG = (b"SQ", b"UN", b"OB")
GROUPS, SHARED, MEASURES, DERIVATION, FRAME_CONTENT = 0x52009230, 0x52009229, 0x00289110, 0x00089124, 0x00209111
PRIVATE, CREATOR = 0x00291077, 0x00290010


class Syntax(NamedTuple):
    """A way to write headers."""

    implicit: bool
    order: str  # "<" or ">", as ``struct`` has it


EXPLICIT, IMPLICIT, BIG = Syntax(False, "<"), Syntax(True, "<"), Syntax(False, ">")
FILES = {
    "explicit little": (ExplicitVRLittleEndian, EXPLICIT),
    "implicit little": (ImplicitVRLittleEndian, IMPLICIT),
    "explicit big": (ExplicitVRBigEndian, BIG),
    "deflated": (DeflatedExplicitVRLittleEndian, EXPLICIT),
}


def element(tag: int, vr: bytes, value: bytes, syntax: Syntax, length: int | None = None) -> bytes:
    """Header and value (PS3.5 7.1)."""
    size = len(value) if length is None else length
    place = pack(f"{syntax.order}HH", tag >> 16, tag & 0xFFFF)
    if syntax.implicit:
        return place + pack(f"{syntax.order}I", size) + value
    if vr in LONG:
        return place + vr + pack(f"{syntax.order}HI", 0, size) + value
    return place + vr + pack(f"{syntax.order}H", size) + value


def mark(number: int, length: int, syntax: Syntax) -> bytes:
    """An item or delimiter: no VR in any syntax."""
    return pack(f"{syntax.order}HHI", 0xFFFE, number, length)


def sequence(
    tag: int, vr: bytes, bodies: list[bytes], outer: Syntax, inner: Syntax | None = None, *, undefined: bool
) -> bytes:
    """A sequence of these items, which may be written otherwise than what is around it."""
    inner = inner or outer
    if not undefined:
        value = b"".join(mark(0xE000, len(body), inner) + body for body in bodies)
        return element(tag, vr, value, outer)
    value = b"".join(mark(0xE000, UNDEFINED, inner) + body + mark(0xE00D, 0, inner) for body in bodies)
    return element(tag, vr, value + mark(0xE0DD, 0, inner), outer, UNDEFINED)


def payload(syntax: Syntax) -> bytes:
    """An item full of identifiers, with a number, a code, a reference and a date that images need."""
    rows = [
        (0x00080023, b"DA", b"20110417"),
        (0x00080080, b"LO", b"Ravensworth Clinic"),
        (0x00080081, b"ST", b"Lindengasse 9 "),
        (0x00081050, b"PN", b"Bertoldina^Ines "),
        (0x00081155, b"UI", OLD_UID.encode() + b"\0" * (len(OLD_UID) % 2)),
        (0x00100010, b"PN", b"Bertoldina^Ines "),
        (0x00100020, b"LO", b"OTHER-4711"),
        (0x00100030, b"DA", b"19410707"),
        (0x00102154, b"SH", b"555-0199"),
        (0x00104000, b"LT", b"Bertoldina came late"),
        (0x00110010, b"LO", b"RAVENSWORTH 1 "),
        (0x00111001, b"LO", b"of Bertoldina "),
        (0x00180022, b"CS", b"HELICAL "),
        (0x00180060, b"DS", b"100 "),
        (0x00189FFE, b"LO", b"Bertoldina"),  # no dictionary knows it
    ]
    return b"".join(element(tag, vr, value, syntax) for tag, vr, value in rows)


def planted(name: str, extra: bytes) -> bytes:
    """A CT file of that syntax with bytes in front of its pixels."""
    transfer_syntax, syntax = FILES[name]
    raw = encode(make_ct(), transfer_syntax)
    at = raw.index(b"\2\0\0\0UL\4\0") + 8  # the length of the meta information
    start = at + 4 + int.from_bytes(raw[at : at + 4], "little")
    meta, content = raw[:start], raw[start:]
    is_deflated = name == "deflated"
    if is_deflated:
        content = zlib.decompress(content, -15)
    pixels = content.rindex(pack(f"{syntax.order}HH", 0x7FE0, 0x0010))
    content = content[:pixels] + extra + content[pixels:]
    if is_deflated:
        packer = zlib.compressobj(wbits=-15)
        content = packer.compress(content) + packer.flush()
        content += b"\0" * (len(content) % 2)
    return meta + content


def clean(name: str, extra: bytes, profile: str) -> Dataset:
    """The cleaned file as pydicom reads it, after a look for all plants in its bytes and inflated bytes."""
    raw = planted(name, extra)
    source = open_file(raw).content.lower()
    assert all(plant.lower().encode() in source for plant in NESTED_PLANTS)  # or the search below would say nothing
    content = deidentify_bytes(raw, PROFILES[profile], KEYED, site="a").content
    searched = (content + open_file(content).content).lower()
    harmless = {"basic": (), "mira": ("comment on the patient", "private note about")}[profile]
    plants = [plant for plant in (*PLANTS, *NESTED_PLANTS) if plant not in harmless]
    assert [plant for plant in plants if plant.lower().encode() in searched] == []
    after = dcmread(BytesIO(content))
    assert after.file_meta.TransferSyntaxUID == FILES[name][0]
    assert (after.Rows, after.Columns, len(after.PixelData)) == (4, 6, 48)
    return after


def assert_kept(innermost: Dataset, after: Dataset) -> None:
    """The number, code, reference and date of ``payload``, and nothing else but what is empty or another's key."""
    assert (innermost.KVP, innermost.ScanOptions) == (100, "HELICAL")
    assert innermost.ReferencedSOPInstanceUID == KEYED.uid(OLD_UID)
    assert innermost.ContentDate != ""
    assert innermost.PatientID == KEYED.patient("OTHER-4711", site="a") != after.PatientID
    assert not innermost.get("PatientBirthDate")
    assert str(innermost.PatientName) in ("", "ANONYMIZED")
    gone = ("InstitutionName", "InstitutionAddress", "PerformingPhysicianName", "PatientTelephoneNumbers")
    assert not [keyword for keyword in gone if keyword in innermost]
    assert not [tag for tag in innermost.keys() if tag.is_private or tag == 0x00189FFE]  # noqa: SIM118


files = pytest.mark.parametrize("name", FILES)
profiles = pytest.mark.parametrize("profile", PROFILES)
lengths = pytest.mark.parametrize("undefined", [False, True], ids=["defined", "undefined"])


@files
@profiles
@lengths
def test_a_public_sequence_is_cleaned_item_by_item(name: str, profile: str, undefined: bool) -> None:
    syntax = FILES[name][1]
    extra = sequence(MEASURES, b"SQ", [payload(syntax), b"", payload(syntax)], syntax, undefined=undefined)
    after = clean(name, extra, profile)
    first, second, third = after.PixelMeasuresSequence
    assert len(second) == 0
    assert_kept(first, after)
    assert_kept(third, after)


@files
@profiles
@lengths
def test_a_sequence_written_as_un_is_cleaned_item_by_item(name: str, profile: str, undefined: bool) -> None:
    """PS3.5 6.2.2: implicit little endian inside, whatever is around it."""
    extra = sequence(MEASURES, b"UN", [payload(IMPLICIT), b""], FILES[name][1], IMPLICIT, undefined=undefined)
    after = clean(name, extra, profile)
    first, second = items_of_un(after) if name == "explicit big" else after.PixelMeasuresSequence
    assert len(second) == 0
    assert_kept(first, after)


def items_of_un(after: Dataset) -> Iterator[Dataset]:
    """The items of an UN in a big endian file: pydicom reads them in the order of the file, so they are put into one
    of little endian.
    """
    raw = after.get_item(MEASURES)
    assert raw.VR == "UN"
    buffer = element(MEASURES, b"SQ", raw.value, IMPLICIT)
    yield from dcmread(BytesIO(buffer), force=True).PixelMeasuresSequence


@pytest.mark.parametrize("name", ["explicit little", "deflated"])
@profiles
@lengths
def test_explicit_items_in_an_un_are_cleaned_too(name: str, profile: str, undefined: bool) -> None:
    """Not what the standard says, but what some writers do."""
    extra = sequence(MEASURES, b"UN", [payload(EXPLICIT)], EXPLICIT, EXPLICIT, undefined=undefined)
    clean(name, extra, profile)


@files
@profiles
@lengths
@pytest.mark.parametrize("vr", [b"SQ", b"UN"])
def test_private_sequences_go_with_their_creator(name: str, profile: str, undefined: bool, vr: bytes) -> None:
    outer = FILES[name][1]
    inner = IMPLICIT if vr == b"UN" else outer
    extra = sequence(PRIVATE, vr, [payload(inner)], outer, inner, undefined=undefined)
    after = clean(name, extra, profile)
    assert PRIVATE not in after
    assert CREATOR not in after


@files
@profiles
@lengths
def test_private_sequences_below_public_ones_go(name: str, profile: str, undefined: bool) -> None:
    syntax = FILES[name][1]
    hidden = element(0x00290010, b"LO", b"Bertoldina", syntax)
    hidden += sequence(0x00291001, b"SQ", [payload(syntax)], syntax, undefined=undefined)
    body = element(0x00180060, b"DS", b"100 ", syntax) + hidden
    after = clean(name, sequence(MEASURES, b"SQ", [body], syntax, undefined=undefined), profile)
    assert [int(tag) for tag in after.PixelMeasuresSequence[0].keys()] == [0x00180060]  # noqa: SIM118


@files
@lengths
def test_a_safe_private_sequence_is_cleaned_where_the_profile_keeps_it(name: str, undefined: bool) -> None:
    """(7E01,xx10) of HOLOGIC, Table E.3.10-1: the only kind of private sequence that is ever kept."""
    syntax = FILES[name][1]
    extra = element(0x7E010010, b"LO", b"HOLOGIC, Inc. ", syntax)
    extra += sequence(0x7E011010, b"SQ", [payload(syntax)], syntax, undefined=undefined)
    assert 0x7E011010 not in clean(name, extra, "basic")
    after = clean(name, extra, "mira")
    assert after[0x7E010010].value == "HOLOGIC, Inc."
    if name == "implicit little":
        return  # a reader that does not know the creator sees bytes; they were searched
    assert_kept(after[0x7E011010].value[0], after)


@files
@profiles
@lengths
@pytest.mark.parametrize("groups", [GROUPS, SHARED])
def test_functional_groups_keep_their_frames(name: str, profile: str, undefined: bool, groups: int) -> None:
    syntax = FILES[name][1]
    frame = sequence(FRAME_CONTENT, b"SQ", [payload(syntax)], syntax, undefined=undefined)
    frame += sequence(MEASURES, b"SQ", [payload(syntax)], syntax, undefined=not undefined)
    after = clean(name, sequence(groups, b"SQ", [frame] * 3, syntax, undefined=undefined), profile)
    frames = after[groups].value
    assert len(frames) == 3
    for one in frames:
        assert_kept(one.FrameContentSequence[0], after)
        assert_kept(one.PixelMeasuresSequence[0], after)


@files
@profiles
@lengths
def test_twenty_sequences_within_each_other_are_cleaned_to_the_last(name: str, profile: str, undefined: bool) -> None:
    syntax = FILES[name][1]
    body = payload(syntax)
    for depth in range(20):  # defined and undefined lengths in turn
        is_undefined = undefined if depth % 2 else not undefined
        number = element(0x00180080, b"DS", b"%03d " % depth, syntax)  # RepetitionTime, to tell the levels apart
        body = sequence(DERIVATION, b"SQ", [body], syntax, undefined=is_undefined) + number
    after = clean(name, body, profile)
    innermost = after
    for depth in reversed(range(20)):
        assert innermost.RepetitionTime == depth
        (innermost,) = innermost.DerivationImageSequence
    assert_kept(innermost, after)


@files
@profiles
def test_twenty_un_sequences_within_each_other_are_cleaned_to_the_last(name: str, profile: str) -> None:
    body = payload(IMPLICIT)
    for _ in range(19):
        body = sequence(DERIVATION, b"SQ", [body], IMPLICIT, undefined=False)
    extra = sequence(MEASURES, b"UN", [body], FILES[name][1], IMPLICIT, undefined=False)
    after = clean(name, extra, profile)
    (innermost,) = items_of_un(after) if name == "explicit big" else after.PixelMeasuresSequence
    for _ in range(19):
        (innermost,) = innermost.DerivationImageSequence
    assert_kept(innermost, after)


@files
@profiles
def test_dates_and_patients_of_items_are_those_of_the_top(name: str, profile: str) -> None:
    syntax = FILES[name][1]
    body = element(0x00080023, b"DA", b"20200229", syntax) + element(0x00100020, b"LO", b"mrn-554477", syntax)
    body += (
        payload(syntax)
        .replace(element(0x00080023, b"DA", b"20110417", syntax), b"")
        .replace(element(0x00100020, b"LO", b"OTHER-4711", syntax), b"")
    )
    extra = sequence(MEASURES, b"SQ", [body, payload(syntax)], syntax, undefined=True)
    after = clean(name, extra, profile)
    nested = after.PixelMeasuresSequence[0]
    assert nested.ContentDate == after.StudyDate
    assert nested.PatientID == after.PatientID == KEYED.patient(PATIENT_ID, site="a")
