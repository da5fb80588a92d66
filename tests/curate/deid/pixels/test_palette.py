"""Palettes as pydicom applies them."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut

from curate.deid.pixels.palette import palette_of
from tests.support.deid_files import encode, make_ct
from tests.support.pixel_files import header_of


def with_palette(entries: int, first: int, bits: int, table: bytes) -> bytes:
    dataset = make_ct(PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [entries, first, bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", table)
    return encode(dataset)


def test_colours_are_those_of_pydicom() -> None:
    path = str(get_testdata_file("examples_palette.dcm"))
    dataset = dcmread(path)
    with open(path, "rb") as stream:
        palette = palette_of(header_of(stream.read()))
    assert palette is not None
    wanted = apply_color_lut(dataset.pixel_array, dataset)
    assert np.array_equal(palette[dataset.pixel_array], wanted >> 8 if wanted.dtype == np.uint16 else wanted)


def test_indices_below_the_first_get_its_colour() -> None:
    palette = palette_of(header_of(with_palette(2, 3, 8, b"\x0a\x14")))
    assert palette is not None
    assert palette[:, 0].tolist() == [10, 10, 10, 10, 20]


@pytest.mark.parametrize("raw", [encode(make_ct()), with_palette(4, 0, 16, b"\0\0")])
def test_no_palette_and_a_short_one_are_none(raw: bytes) -> None:
    assert palette_of(header_of(raw)) is None
