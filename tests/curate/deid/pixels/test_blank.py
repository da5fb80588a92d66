"""Rectangles painted black in stored values, whatever their layout; everything else stays bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curate.deid.pixels.blank import black_of, blank_boxes, frames_of, pictures_of, words_of
from curate.deid.pixels.native import PixelLayout
from curate.deid.pixels.regions import Box
from curate.errors import Quarantined

GREY = PixelLayout(6, 8, 2, 1, 16, 16, 15, False, b"MONOCHROME2")
COLOUR = PixelLayout(6, 8, 2, 3, 8, 8, 7, False, b"RGB")
BOX = Box(1, 2, 4, 7)


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_grey_words_keep_their_byte_order(little: bool, signed: bool) -> None:
    layout = replace(GREY, signed=signed)
    kind = f"{'<' if little else '>'}{'i' if signed else 'u'}2"
    stored = (np.arange(96).reshape(2, 6, 8) * 300).astype(kind)
    words = words_of(stored.tobytes(), layout, little=little)
    assert blank_boxes(frames_of(words, layout, is_planar=False), [BOX], b"MONOCHROME2")
    after = np.frombuffer(words.tobytes(), kind).reshape(2, 6, 8)
    for frame in range(2):
        assert (after[frame, 1:4, 2:7] == stored[frame].min()).all()
    outside = np.ones((6, 8), bool)
    outside[1:4, 2:7] = False
    assert np.array_equal(after[:, outside], stored[:, outside])


def test_black_of_monochrome1_is_its_highest_value() -> None:
    words = np.arange(96, dtype="<u2")
    frames = frames_of(words, GREY, is_planar=False)
    blank_boxes(frames, [BOX], b"MONOCHROME1")
    assert (words.reshape(2, 6, 8)[0, 1:4, 2:7] == 47).all()
    assert (words.reshape(2, 6, 8)[1, 1:4, 2:7] == 95).all()


@pytest.mark.parametrize("is_planar", [False, True])
def test_colour_by_pixel_and_by_plane(is_planar: bool) -> None:
    stored = np.random.default_rng(3).integers(1, 255, (2, 3, 6, 8) if is_planar else (2, 6, 8, 3), np.uint8)
    words = words_of(stored.tobytes(), COLOUR, little=True)
    blank_boxes(frames_of(words, COLOUR, is_planar=is_planar), [BOX], b"RGB")
    after = words.reshape(stored.shape)
    by_pixel, before = (value.transpose(0, 2, 3, 1) if is_planar else value for value in (after, stored))
    assert not by_pixel[:, 1:4, 2:7].any()
    assert np.array_equal(by_pixel[:, 4:], before[:, 4:])
    assert (by_pixel[:, 0] > 0).all()


def test_black_as_each_photometric_writes_it() -> None:
    frame = np.arange(3 * 4, dtype=np.uint8).reshape(2, 2, 3) + 5
    assert black_of(frame, b"YBR_FULL").tolist() == [0, 128, 128]
    assert black_of(frame, b"RGB").tolist() == [0, 0, 0]
    assert black_of(frame[..., :1], b"PALETTE COLOR").tolist() == [0]
    assert black_of(frame[..., :1], b"").tolist() == [5]


def test_what_is_black_already_is_no_change() -> None:
    words = np.zeros(96, "<u2")
    frames = frames_of(words, GREY, is_planar=False)
    assert not blank_boxes(frames, [BOX], b"MONOCHROME2")
    assert not blank_boxes(frames, [], b"MONOCHROME2")


def test_padding_is_no_pixel() -> None:
    odd = replace(COLOUR, rows=3, columns=3, frames=1)
    words = words_of(bytes(28), odd, little=True)
    assert frames_of(words, odd, is_planar=False).shape == (1, 3, 3, 3)


@pytest.mark.parametrize("changes", [{"photometric": b"YBR_FULL_422"}, {"samples": 4}])
def test_layouts_that_cannot_be_cleaned_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Quarantined):
        frames_of(np.zeros(1000, np.uint8), replace(COLOUR, **changes), is_planar=False)  # type: ignore[arg-type]


def test_bits_are_not_bytes() -> None:
    with pytest.raises(Quarantined):
        words_of(bytes(12), replace(GREY, bits_allocated=1), little=True)


def test_a_picture_spans_the_whole_range() -> None:
    frame = np.linspace(-1000, 3000, 48).reshape(6, 8, 1).astype(np.int16)
    (picture,) = pictures_of(frame, b"MONOCHROME2")
    assert picture.shape == (6, 8, 3)
    assert (picture.min(), picture.max()) == (0, 255)


def test_metal_does_not_hide_fainter_letters() -> None:
    frame = np.full((64, 64, 1), 100, np.int16)
    frame[:, 32:] = 130
    frame[0, 0] = 30000
    pictures = pictures_of(frame, b"MONOCHROME2")
    assert len(pictures) == 2
    assert int(pictures[0][10, 40, 0]) - int(pictures[0][10, 10, 0]) <= 1
    assert int(pictures[1][10, 40, 0]) - int(pictures[1][10, 10, 0]) > 200


def test_a_flat_frame_is_a_black_picture() -> None:
    (picture,) = pictures_of(np.full((4, 4, 1), 7, np.uint16), b"MONOCHROME2")
    assert not picture.any()


def test_a_palette_is_seen_in_its_colours() -> None:
    palette = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
    (picture,) = pictures_of(np.array([[[0], [1], [9]]], np.uint8), b"PALETTE COLOR", palette)
    assert picture[0].tolist() == [[0, 0, 0], [255, 0, 0], [255, 0, 0]]
