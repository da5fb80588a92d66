"""Hostile files, part three: pixels, and what hides beside, above and inside them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from tests.bench.deid.hostile_frames import case
from tests.bench.deid.letters import burn
from tests.bench.deid.plants import Box, Case, Plant
from tests.support.deid_files import encode, insert_before_pixels, item, make_ct, raw_element

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
DIGITAL_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.1"
ULTRASOUND, ULTRASOUND_FRAMES = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
BURNED = "QUIXOTOVA ALMUDENA 19590214"
"""What is written into pixels: name and birth date."""


def pixel_cases() -> Iterator[Case]:
    """Overlays, icons, comments of codecs, palettes, unused bits, burned-in text."""
    yield _overlays()
    yield _high_bits()
    yield _icons()
    yield _longer_than_the_image()
    yield _tables()
    yield from _codec_comments()
    yield _fragments()
    for name, raw, boxes, outcome in burned_in_files():
        yield case(name, "burned-in text", raw, boxes=boxes, outcome=outcome)


def _overlays() -> Case:
    """Two overlay planes, one in a high group, and a curve with a label."""
    dataset = make_ct()
    for group in (0x6000, 0x601E):
        for number, vr, value in (
            (0x10, "US", 4),
            (0x11, "US", 6),
            (0x22, "LO", "mark of Sigismondo"),
            (0x40, "CS", "G"),
            (0x50, "SS", [1, 1]),
            (0x100, "US", 1),
            (0x102, "US", 0),
            (0x1500, "LO", "Sigismondo"),
            (0x4000, "LT", "about Sigismondo"),
            (0x3000, "OW", b"Sigismondo"),
        ):
            dataset.add(DataElement(group << 16 | number, vr, value))
    raw = encode(dataset)
    for number, value in ((0x0030, b"MMSI"), (0x2500, b"Sigismondo"), (0x3000, b"Sigismondo"), (0x0022, b"Sigismondo")):
        raw = insert_before_pixels(raw, raw_element(0x50020000 | number, b"LO", value))
    return case(
        "overlays and curves", "overlays and curves", raw, Plant("Sigismondo", "(6000,0022)"), outcome="cleaned"
    )


def _high_bits() -> Case:
    """A retired overlay in bit 15 of pixels of 12 bits; here the unused bits spell a word."""
    pixels = (np.arange(24, dtype="<u2") * 100) | np.resize(np.frombuffer(b"SIGN", "u1"), 24).astype("<u2") << 12
    dataset = make_ct(PixelData=pixels.astype("<u2").tobytes())
    dataset["PixelData"].VR = "OW"
    return case("letters in unused bits", "overlays and curves", encode(dataset), outcome="cleaned")


def _icons() -> Case:
    """An icon of the patient's page, at the top and inside references."""
    icon = item(
        Rows=2,
        Columns=8,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        SamplesPerPixel=1,
        PixelRepresentation=0,
        PhotometricInterpretation="MONOCHROME2",
        PixelData=b"ICON of Filiberto",
    )
    icon["PixelData"].VR = "OB"
    dataset = make_ct(
        IconImageSequence=Sequence([icon]),
        ReferencedImageSequence=Sequence(
            [
                item(
                    ReferencedSOPInstanceUID="1.2.3.4.99",
                    ReferencedSOPClassUID=CTImageStorage,
                    IconImageSequence=Sequence([icon]),
                )
            ]
        ),
    )
    return case(
        "icon images",
        "SR, graphics, PDF, icon",
        encode(dataset),
        Plant("Filiberto", "(0088,0200)>(7FE0,0010)"),
        outcome="cleaned",
    )


def _longer_than_the_image() -> Case:
    dataset = make_ct()
    dataset.PixelData = bytes(dataset.PixelData) + b"letters after the last pixel: Odoardo "
    dataset["PixelData"].VR = "OW"
    return case(
        "letters after the last pixel",
        "trailing bytes",
        encode(dataset),
        Plant("Odoardo", "end of (7FE0,0010)"),
        outcome="cleaned",
    )


def _tables() -> Case:
    """Bytes beside the pixels that tools keep unread: palettes, lookup tables, colour profiles."""
    profile = b"\0\0\0\x80" + bytes(124) + b"desc Raimondo's display"
    table = item(LUTDescriptor=[4, 0, 16], LUTExplanation="made for Raimondo", ModalityLUTType="HU")
    table.add(DataElement(0x00283006, "OW", b"Raimondo"))
    dataset = make_ct(VOILUTSequence=Sequence([table]))
    for tag, vr, value in (
        (0x00281221, "OW", b"Raimondo"),
        (0x00282000, "OB", profile),
        (0x00281408, "OW", b"Raimondo"),
        (0x00189810, "FD", 1.5),
        (0x00287FE0, "UT", "http://raimondo.example/p"),
        (0x56000020, "OF", b"Raimondo"),
    ):
        dataset.add(DataElement(tag, vr, value))
    return case(
        "palettes, lookup tables and colour profiles",
        "attributes outside the table",
        encode(dataset),
        Plant("Raimondo", "(0028,2000)", listed=False),
    )


@cache
def _frames_of(name: str) -> tuple[Dataset, tuple[bytes, ...]]:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    dataset = pydicom.dcmread(path)
    frames = int(dataset.get("NumberOfFrames", 1))
    return dataset, tuple(generate_frames(dataset.PixelData, number_of_frames=frames))


def _encapsulated(name: str, frames: list[bytes], *, pixels: bytes | None = None) -> bytes:
    """The base slice with the compressed frames and the pixel module of a test file."""
    source, _ = _frames_of(name)
    dataset = make_ct()
    for keyword in (
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
    ):
        if keyword in source:
            setattr(dataset, keyword, source[keyword].value)
    if source.get("SamplesPerPixel", 1) == 1:
        dataset.SOPClassUID = MRImageStorage
        dataset.Modality = "MR"
    else:
        dataset.SOPClassUID = ULTRASOUND
        dataset.Modality = "US"
    dataset.PixelData = encapsulate(frames) if pixels is None else pixels
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return encode(dataset, UID(source.file_meta.TransferSyntaxUID))


def _codec_comments() -> Iterator[Case]:
    """Text in segments of the codestreams: COM, EXIF, XMP, and the comment marker of JPEG 2000."""
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 17) + b"scan of Ermelinda"
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 6 + 24) + b"Exif\0\0" + b"MM\0*Artist Ermelinda C. "
    icc = b"\xff\xe2" + struct.pack(">H", 2 + 22) + b"ICC_PROFILE\0Ermelinda "
    for title, name, segments in (
        ("comment and EXIF in lossy JPEG", "JPGExtended.dcm", comment + exif),
        ("comment and ICC in colour JPEG", "SC_rgb_jpeg_dcmtk.dcm", comment + icc + exif),
        ("comment in JPEG-LS", "MR_small_jpeg_ls_lossless.dcm", comment + exif),
    ):
        _, (frame, *_rest) = _frames_of(name)
        raw = _encapsulated(name, [frame[:2] + segments + frame[2:]])
        yield case(title, "JPEG COM segment", raw, Plant("Ermelinda", "COM and APP segments"))
    _, (frame, *_rest) = _frames_of("MR_small_jp2klossless.dcm")
    size = 4 + struct.unpack_from(">H", frame, 4)[0]  # SOC, then SIZ
    marker = b"\xff\x64" + struct.pack(">HH", 2 + 2 + 17, 1) + b"scan of Ermelinda"
    yield case(
        "comment in JPEG 2000",
        "JPEG COM segment",
        _encapsulated("MR_small_jp2klossless.dcm", [frame[:size] + marker + frame[size:]]),
        Plant("Ermelinda", "COM marker"),
    )
    _, (frame, *_rest) = _frames_of("MR_small_RLE.dcm")
    yield case(
        "letters after the RLE segments",
        "trailing bytes",
        _encapsulated("MR_small_RLE.dcm", [frame + b"by Ermelinda"]),
        Plant("Ermelinda", "end of the fragment"),
    )
    _, (frame, *_rest) = _frames_of("JPGExtended.dcm")
    yield case(
        "letters after the end of a JPEG",
        "trailing bytes",
        _encapsulated("JPGExtended.dcm", [frame + b"\0by Ermelinda "]),
        Plant("Ermelinda", "after EOI"),
    )


def _fragments() -> Case:
    """A fragment more than the frames, letters in the offset table, bytes in the delimiter."""
    _, (frame, *_rest) = _frames_of("MR_small_RLE.dcm")

    def fragment(content: bytes) -> bytes:
        return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content

    body = fragment(b"table of Ippolita   ") + fragment(frame) + fragment(b"extra Ippolita")
    raw = _encapsulated("MR_small_RLE.dcm", [], pixels=body)
    return case(
        "fragments that are no frames", "trailing bytes", raw, Plant("Ippolita", "offset table and last fragment")
    )


def burned_in_files() -> Iterator[tuple[str, bytes, tuple[Box, ...], str]]:
    """Name, file, boxes and outcome; every box holds ``BURNED``."""
    yield _burned("CT that says so", CTImageStorage, "MONOCHROME2", flag="YES")
    yield _burned(
        "derived secondary CT, flag absent", CTImageStorage, "MONOCHROME2", kind="DERIVED\\SECONDARY\\SCREEN SAVE"
    )
    yield _burned("MONOCHROME1 radiograph", COMPUTED_RADIOGRAPHY, "MONOCHROME1", flag="YES")
    yield _burned("digital radiograph of 12 bits", DIGITAL_RADIOGRAPHY, "MONOCHROME2", flag="YES")
    yield _burned("RGB ultrasound by pixel", ULTRASOUND, "RGB", flag="YES", planar=0)
    yield _burned("RGB ultrasound by plane", ULTRASOUND, "RGB", flag="YES", planar=1)
    yield _burned("ultrasound, text in the last frame only", ULTRASOUND_FRAMES, "RGB", frames=3, flag="YES")
    yield _burned("ultrasound with regions, text outside", ULTRASOUND, "RGB", regions=True)
    yield _burned("secondary capture of a page", SECONDARY_CAPTURE, "MONOCHROME2", conversion="WSD")


def _burned(
    name: str,
    sop_class: str,
    photometric: str,
    *,
    flag: str = "",
    kind: str = "ORIGINAL\\PRIMARY\\AXIAL",
    planar: int = 0,
    frames: int = 1,
    regions: bool = False,
    conversion: str = "",
) -> tuple[str, bytes, tuple[Box, ...], str]:
    colour = photometric == "RGB"
    pixels = _scene(frames, colour, inverted=photometric == "MONOCHROME1")
    value = 255 if colour else (10 if photometric == "MONOCHROME1" else 4000)
    box, _ = burn(pixels, BURNED, frame=frames - 1, row=20, column=24, value=value)
    stored = np.moveaxis(pixels, -1, 1) if planar else pixels
    changes: dict[str, object] = {
        "Rows": 256,
        "Columns": 512,
        "PhotometricInterpretation": photometric,
        "ImageType": kind.split("\\"),
        "BitsAllocated": 8 if colour else 16,
        "BitsStored": 8 if colour else 12,
        "HighBit": 7 if colour else 11,
        "SamplesPerPixel": 3 if colour else 1,
        "PixelData": stored.tobytes(),
        "Modality": {
            ULTRASOUND: "US",
            ULTRASOUND_FRAMES: "US",
            COMPUTED_RADIOGRAPHY: "CR",
            DIGITAL_RADIOGRAPHY: "DX",
        }.get(sop_class, "CT"),
    }
    if colour:
        changes["PlanarConfiguration"] = planar
    if frames > 1:
        changes["NumberOfFrames"] = frames
    if flag:
        changes["BurnedInAnnotation"] = flag
    if conversion:
        changes["ConversionType"] = conversion
    if regions:
        changes["SequenceOfUltrasoundRegions"] = Sequence(
            [
                item(
                    RegionSpatialFormat=1,
                    RegionDataType=1,
                    RegionFlags=0,
                    RegionLocationMinX0=64,
                    RegionLocationMinY0=80,
                    RegionLocationMaxX1=450,
                    RegionLocationMaxY1=240,
                    PhysicalUnitsXDirection=3,
                    PhysicalUnitsYDirection=3,
                    PhysicalDeltaX=0.1,
                    PhysicalDeltaY=0.1,
                )
            ]
        )
    dataset = make_ct(**changes)
    dataset.SOPClassUID = sop_class
    dataset["PixelData"].VR = "OB" if colour else "OW"
    return f"burned in: {name}", encode(dataset, ExplicitVRLittleEndian), (box,), "either"


def _scene(frames: int, colour: bool, *, inverted: bool) -> NDArray[np.generic]:
    """Something round on a dark ground with noise, (frame, row, column[, sample]); 12 bits or colour of 8."""
    rows, columns = np.mgrid[0:256, 0:512]
    noise = np.random.default_rng(5).integers(0, 60, (frames, 256, 512))
    disc = ((rows - 160) / 80.0) ** 2 + ((columns - 256) / 180.0) ** 2 < 1
    grey = noise + np.where(disc, 1200, 100)
    if colour:
        return np.repeat((grey // 16).astype("u1")[..., None], 3, axis=-1)
    return (4095 - grey if inverted else grey).astype("<u2")
