"""What is planted in a file, and how it is looked for in what came out.

A plant is one string that identifies somebody, put at one place. The search shares nothing with the leak scan of the
product: it tries every encoding that DICOM text occurs in, on the bytes as they lie and on the inflated data set.
"""

from __future__ import annotations

import unicodedata
import zlib
from dataclasses import dataclass, field
from io import BytesIO

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

_ENCODINGS = (
    "utf-8",
    "latin-1",
    "iso8859_2",
    "iso8859_5",
    "iso8859_7",
    "iso2022_jp",
    "shift_jis",
    "gb18030",
    "euc_kr",
    "utf-16-le",
    "utf-16-be",
)


@dataclass(frozen=True, slots=True)
class Plant:
    """A string that must be gone. ``listed``: a rule of PS3.15 names its place; else only judgement finds it."""

    text: str
    where: str  # tag path such as (0040,0275)>(0040,0007), or a place such as "preamble"
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels with letters in it: half-open rows and columns of one frame."""

    frame: int
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile file. ``outcome``: "cleaned" when refusing it would throw a good image away, "refused", "either"."""

    name: str
    failure: str  # failure class of the survey of tools
    raw: bytes = field(repr=False)
    plants: tuple[Plant, ...] = field(repr=False)
    keeps: tuple[str, ...] = ()  # words of the description that do not identify and must stay under Clean Descriptors
    boxes: tuple[Box, ...] = ()
    outcome: str = "either"
    intact: bool = True  # whether decoded pixels outside the boxes must be as they were


def survives(content: bytes, text: str) -> bool:
    """Whether the string can be read in the file, in any usual encoding, ASCII case ignored."""
    bodies = [content.lower()]
    if content[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() + b"\0" in content[:1024]:
        bodies.append(_inflate(content).lower())
    return any(pattern in body for pattern in _patterns(text) for body in bodies)


def _patterns(text: str) -> set[bytes]:
    patterns = set()
    for form in ("NFC", "NFD"):
        for encoding in _ENCODINGS:
            try:
                patterns.add(unicodedata.normalize(form, text).encode(encoding).lower())
            except UnicodeEncodeError:
                continue
    return patterns


def _inflate(content: bytes) -> bytes:
    meta = pydicom.filereader.read_file_meta_info(BytesIO(content))
    start = 132 + 12 + int(meta.FileMetaInformationGroupLength)
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:])
