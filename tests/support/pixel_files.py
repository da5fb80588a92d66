"""Images with text drawn into their pixels, and the pixel step of de-identification run on them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from curate.deid.elements import read_elements
from curate.deid.encode import join_elements
from curate.deid.filemeta import build_file, open_file
from curate.deid.header import Header
from curate.deid.pixels.clean import PixelOutcome, clean_pixels
from curate.deid.pixels.regions import Box
from curate.deid.profile import Profile, load_profile
from tests.support.deid_files import encode, make_ct

BASIC = load_profile("basic")
CLEANING: Profile = replace(BASIC, options=(*BASIC.options, "clean_pixel_data"))


@dataclass
class ScriptedFinder:
    """Answers with the boxes it was given, one list a look, then with none."""

    answers: list[list[Box]] = field(default_factory=list)
    seen: list[NDArray[np.uint8]] = field(default_factory=list)
    strictness: list[bool] = field(default_factory=list)

    def find(self, picture: NDArray[np.uint8], *, must_read: bool) -> list[Box]:
        self.seen.append(picture)
        self.strictness.append(must_read)
        return self.answers.pop(0) if self.answers else []


def header_of(raw: bytes) -> Header:
    """The look-ups of one file."""
    file = open_file(raw)
    return Header(file, {element.tag: element for element in read_elements(file.content, file.start, file.syntax)})


def clean_file(raw: bytes, profile: Profile, finder: object = None) -> tuple[bytes, PixelOutcome]:
    """The file after the pixel step and no other."""
    header = header_of(raw)
    outcome = clean_pixels(header, profile, finder)  # type: ignore[arg-type]
    content = header.file.content
    encoded = {tag: content[element.head : element.end] for tag, element in header.by_tag.items()}
    kept = {tag: value for tag, value in encoded.items() if tag not in outcome.removed} | dict(outcome.replaced)
    made = build_file(
        join_elements(kept),
        transfer_syntax_uid=outcome.transfer_syntax_uid or header.file.transfer_syntax_uid,
        sop_class_uid=header.sop_class_uid,
        sop_instance_uid=header.sop_instance_uid,
    )
    return made, outcome


def read(raw: bytes) -> Dataset:
    """The file by pydicom."""
    return dcmread(BytesIO(raw))


def written(
    size: tuple[int, int], lines: Sequence[tuple[int, int, str]], *, height: int = 14, ink: int = 255, paper: int = 40
) -> NDArray[np.uint8]:
    """Letters at (row, column) on seeded grain, (rows, columns) of 8 bits."""
    grain = np.random.default_rng(7).normal(paper, 8, size).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(grain)
    drawing, font = ImageDraw.Draw(picture), ImageFont.load_default(size=height)
    for row, column, text in lines:
        drawing.text((column, row), text, ink, font=font)
    return np.asarray(picture)


def make_image(pixels: NDArray[np.generic], photometric: str = "MONOCHROME2", **changes: object) -> Dataset:
    """A data set around frames: (rows, columns), (rows, columns, 3), (frames, rows, columns[, 3])."""
    colour = pixels.shape[-1] == 3
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    frames = pixels.size // (rows * columns * (3 if colour else 1))
    bits = 8 * pixels.dtype.itemsize
    dataset = make_ct(
        Rows=rows, Columns=columns, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1,
        SamplesPerPixel=3 if colour else 1, PhotometricInterpretation=photometric,
        PixelRepresentation=int(np.issubdtype(pixels.dtype, np.signedinteger)), PixelData=None,
    )  # fmt: skip
    if colour:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes & 1)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def make_file(pixels: NDArray[np.generic], photometric: str = "MONOCHROME2", **changes: object) -> bytes:
    """``make_image`` as explicit little endian."""
    return encode(make_image(pixels, photometric, **changes), ExplicitVRLittleEndian)
