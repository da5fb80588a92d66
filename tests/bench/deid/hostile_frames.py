"""Hostile files, part one: what lies around the data set and how it is encoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from tests.bench.deid.plants import Case, Plant
from tests.support.deid_files import PLANTS, encode, insert_before_pixels, item, make_ct, raw_element

_HARMLESS = ("comment on the patient", "private note about")  # by itself this names nobody: Clean Descriptors keeps it
BASE = tuple(Plant(text, "everywhere in the base file") for text in PLANTS if text not in _HARMLESS)
"""What ``make_ct`` and ``encode`` plant: names, ids, dates, UIDs, address, meta information, preamble, private."""


def case(name: str, failure: str, raw: bytes, *plants: Plant, **more: object) -> Case:
    """A case with the plants of the base file and its own."""
    return Case(name, failure, raw, BASE + plants, **more)  # type: ignore[arg-type]


def frame_cases() -> Iterator[Case]:
    """Preamble, meta information, syntaxes, padding, trailing bytes and broken encodings."""
    yield case("plain explicit little endian", "baseline", encode(make_ct()), outcome="cleaned")
    yield case("implicit little endian", "encoding", encode(make_ct(), ImplicitVRLittleEndian), outcome="cleaned")
    yield case("big endian", "encoding", encode(make_ct(), ExplicitVRBigEndian), outcome="cleaned")
    yield case("deflated", "encoding", encode(make_ct(), DeflatedExplicitVRLittleEndian), outcome="cleaned")
    yield case("no preamble and no meta", "encoding", _bare(encode(make_ct())), outcome="cleaned")
    yield _dual_format()
    yield _private_meta()
    yield _after_the_pixels()
    yield _group_lengths()
    yield _odd_groups()
    yield _reserved_bytes()
    yield _twice()
    yield _unordered()
    yield _text_in_delimiters()
    yield _undefined_lengths()
    yield _truncated()
    yield _un_encoded()
    yield _wrong_syntax()


def _bare(raw: bytes) -> bytes:
    """The data set without preamble and meta information."""
    return raw[132 + 12 + struct.unpack_from("<I", raw, 140)[0] :]


def _dual_format() -> Case:
    text = b"II*\0\x10\0\0\0 Montefeltro TIFF artist"
    return case(
        "TIFF header in the preamble",
        "meta and preamble",
        encode(make_ct(), preamble=text),
        Plant("Montefeltro", "preamble"),
        outcome="cleaned",
    )


def _private_meta() -> Case:
    raw = encode(make_ct())
    extra = (
        raw_element(0x00020017, b"AE", b"SENDING_GIULIANO")
        + raw_element(0x00020018, b"AE", b"RECV_GIULIANO_AE")
        + raw_element(0x00020026, b"UR", b"")[:4]
        + b"UR\0\0"
        + struct.pack("<I", 22)
        + b"http://pacs.giuliano/1"
        + raw_element(0x00020100, b"UI", b"1.2.826.0.1.99.5.4")
        + b"\x02\0\x02\x01OB\0\0"
        + struct.pack("<I", 20)
        + b"Giuliano MRN-554477 "
    )
    length = struct.unpack_from("<I", raw, 140)[0]
    end = 144 + length
    raw = raw[:140] + struct.pack("<I", length + len(extra)) + raw[144:end] + extra + raw[end:]
    return case(
        "private information in the meta group",
        "meta and preamble",
        raw,
        Plant("Giuliano", "(0002,0102)"),
        Plant("1.2.826.0.1.99.5.4", "(0002,0100)"),
        outcome="cleaned",
    )


def _after_the_pixels() -> Case:
    padding = b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 20) + b"padding of Tiburzio "
    signature = b"\xfa\xff\xfa\xffSQ\0\0" + struct.pack("<I", 0)
    return case(
        "bytes after the pixel data",
        "trailing bytes",
        encode(make_ct()) + signature + padding + b"TRAILERNEMO",
        Plant("Tiburzio", "(FFFC,FFFC)"),
        Plant("TRAILERNEMO", "after the end"),
        outcome="cleaned",
    )


def _group_lengths() -> Case:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x60000000, b"LO", b"Bonaventura "))
    raw = insert_before_pixels(raw, raw_element(0x7FE00000, b"LO", b"Fioravanti"))
    return case(
        "text in group lengths",
        "encoding",
        raw,
        Plant("Bonaventura", "(6000,0000)"),
        Plant("Fioravanti", "(7FE0,0000)"),
        outcome="cleaned",
    )


def _odd_groups() -> Case:
    """Groups below 8 that no data set may have, and a creator outside its place."""
    raw = encode(make_ct())
    start = 144 + struct.unpack_from("<I", raw, 140)[0]
    low = raw_element(0x00040010, b"LO", b"Castruccio") + raw_element(0x00041130, b"CS", b"FS_CASTRUCCIO ")
    return case(
        "directory elements in an image",
        "attributes outside the table",
        raw[:start] + low + raw[start:],
        Plant("Castruccio", "(0004,1130)"),
    )


def _reserved_bytes() -> Case:
    """Two bytes after a long VR are reserved; here they are letters, at the pixels and at a palette."""
    palette = b"\x28\0\x01\x12OWQq" + struct.pack("<I", 4) + b"\1\0\2\0"
    raw = insert_before_pixels(encode(make_ct()).replace(b"\xe0\x7f\x10\0OW\0\0", b"\xe0\x7f\x10\0OWZz"), palette)
    return case(
        "letters in reserved bytes",
        "encoding",
        raw,
        Plant("OWZz", "header of (7FE0,0010)"),
        Plant("OWQq", "header of (0028,1201)"),
    )


def _twice() -> Case:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00100010, b"PN", b"Secondo^Gaspare "))
    raw = insert_before_pixels(raw, raw_element(0x00081030, b"LO", b"again Gaspare "))
    return case("the same element twice", "encoding", raw, Plant("Gaspare", "second (0010,0010)"))


def _unordered() -> Case:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00080081, b"ST", b"Via Ludovisi 9"))
    raw = insert_before_pixels(raw, raw_element(0x00080090, b"PN", b"Ludovisi^Aldo "))
    return case("elements out of order", "encoding", raw, Plant("Ludovisi", "late (0008,0090)"))


def _text_in_delimiters() -> Case:
    """A sequence of undefined length whose delimiter claims bytes of its own, and an item with padding."""
    inner = raw_element(0x00080104, b"LO", b"Bertoldo")
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0x51575A58)  # letters that no hexadecimal token holds by chance
    sequence = struct.pack("<HH2s2xI", 0x0040, 0x0440, b"SQ", 0xFFFFFFFF) + items + end
    return case(
        "a delimiter with a length",
        "encoding",
        insert_before_pixels(encode(make_ct()), sequence),
        Plant("Bertoldo", "(0040,0440)>(0008,0104)"),
        Plant("XZWQ", "length of the delimiter"),
    )


def _undefined_lengths() -> Case:
    dataset = make_ct()
    deep = item(PatientName="Zaccaria^Deep", StudyDate="20191231")
    for _ in range(12):
        deep = item(RequestAttributesSequence=Sequence([deep]))
        deep["RequestAttributesSequence"].is_undefined_length = True
    dataset.update(deep)
    return case(
        "twelve sequences of undefined length",
        "nested attributes",
        encode(dataset),
        Plant("Zaccaria", "(0040,0275) x 12 > (0010,0010)"),
        Plant("20191231", "nested (0008,0020)"),
        outcome="cleaned",
    )


def _truncated() -> Case:
    return case("cut inside the pixels", "damage", encode(make_ct())[:-10], outcome="refused")


def _un_encoded() -> Case:
    """Known attributes written as UN, among them a sequence of defined length (PS3.5 6.2.2 note 2)."""
    inner = struct.pack("<HHI", 0x0010, 0x0010, 8) + b"Onofrio "
    inner += struct.pack("<HHI", 0x0010, 0x0020, 8) + b"ONO-1234"
    items = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00104000, b"UN", b"comment about Onofrio "))
    raw = insert_before_pixels(raw, raw_element(0x00400275, b"UN", items))
    raw = insert_before_pixels(raw, raw_element(0x00091001, b"UN", items))
    return case(
        "known attributes written as UN",
        "nested attributes",
        raw,
        Plant("Onofrio", "(0040,0275)>(0010,0010)"),
        Plant("ONO-1234", "(0040,0275)>(0010,0020)"),
    )


def _wrong_syntax() -> Case:
    explicit, implicit = encode(make_ct()), _bare(encode(make_ct(), ImplicitVRLittleEndian))
    frame = explicit[: len(explicit) - len(_bare(explicit))]
    return case("implicit bytes under an explicit syntax", "encoding", frame + implicit)


def slice_of(sop_class: str = CTImageStorage, **changes: object) -> Dataset:
    """The base slice under another SOP class."""
    dataset = make_ct(**changes)
    dataset.SOPClassUID = sop_class
    return dataset
