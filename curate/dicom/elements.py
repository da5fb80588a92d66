"""The raw elements of one file, up to its pixel data: bytes, not yet values.

Works on a head of the file as well as on the whole of it; never reads past what it was given, so lengths that lie cost
nothing. pydicom walks the elements (PS3.5 section 7); a compiled scanner can replace it behind ``read_elements``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag

from curate.dicom.encoding import PARSING_ERRORS, Encoding, find_encoding, inflate

PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
UNDEFINED_LENGTH = 0xFFFFFFFF
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))


@dataclass(frozen=True, slots=True)
class Element:
    """One value as it stands in the file; ``vr`` is None in implicit encoding."""

    vr: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class PixelElement:
    """The pixel data element: its tag, where its value starts in the body, and its declared length."""

    tag: int
    vr: str | None
    header_start: int  # offset of the element in ``Elements.body``
    start: int  # offset of its value
    length: int  # UNDEFINED_LENGTH: encapsulated


@dataclass(frozen=True, slots=True)
class Elements:
    """Wanted elements of a data set. ``body`` holds the data set: the file itself, or what it inflates to."""

    encoding: Encoding
    body: bytes
    values: dict[int, Element]
    sequences: frozenset[int]  # wanted tags that are there as sequences
    pixels: PixelElement | None
    is_complete: bool  # False: the given bytes end inside the header, or break the encoding rules
    is_damaged: bool  # they break the encoding rules before they end


def read_elements(content: bytes, wanted: Collection[int]) -> Elements:
    """Collect the wanted top-level elements of a file or of its head.

    Raises Rejected(EMPTY_FILE | NOT_DICOM | TRUNCATED_FILE | UNREADABLE_HEADER | SUSPICIOUS_COMPRESSION) when not
    even the data set can be found. Bytes that end inside the header give ``is_complete=False``: only the caller knows
    whether the file goes on.
    """
    encoding = find_encoding(content)
    body, start, ends_well = content, encoding.offset, True
    if encoding.is_deflated:
        body, ends_well = inflate(content[encoding.offset :])
        start = 0
    stream = BytesIO(body)
    stream.seek(start)
    values: dict[int, Element] = {}
    sequences: set[int] = set()
    pixels: PixelElement | None = None
    has_stopped = False

    def is_past_header(tag: BaseTag, vr: str | None, length: int) -> bool:
        # Groups above the pixels hold only padding and signatures.
        nonlocal pixels, has_stopped
        if tag < PIXEL_TAGS[0] or tag.group == 0xFFFE:
            return False
        if tag in PIXEL_TAGS:
            is_long = not encoding.is_implicit and (vr or "").encode() in _LONG_VRS
            pixels = PixelElement(int(tag), vr, stream.tell() - (12 if is_long else 8), stream.tell(), length)
        has_stopped = True
        return True

    tags: list[BaseTag | int] = list(wanted)
    is_damaged = False
    try:
        for element in data_element_generator(
            stream, encoding.is_implicit, encoding.is_little_endian, is_past_header, specific_tags=tags
        ):
            if isinstance(element, RawDataElement) and isinstance(element.value, bytes) and element.VR != "SQ":
                if len(element.value) < element.length != UNDEFINED_LENGTH:
                    ends_well = False  # the bytes end inside this value
                    break
                values.setdefault(int(element.tag), Element(element.VR, element.value))
            elif element.value:
                sequences.add(int(element.tag))
    except PARSING_ERRORS:
        is_damaged = stream.tell() < len(body)
    is_complete = has_stopped or (stream.tell() == len(body) and ends_well and not is_damaged)
    return Elements(encoding, body, values, frozenset(sequences), pixels, is_complete, is_damaged)
