"""Text detection: drawn letters of many sizes and contrasts are found, and grain is not."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from curate.deid.pixels import ocr
from curate.deid.pixels.ocr import OVERLAP, TILE, enlargement, require_ocr, text_finder, tiles
from curate.deid.pixels.regions import Box
from curate.errors import Misconfigured
from tests.support.pixel_files import written

NAME = "QUIXOTOVA ALMUDENA 1959"


def colour(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=-1)


def covered(boxes: list[Box], row: int, column: int, text: str, height: int) -> float:
    """Fraction of the place of the letters that the boxes cover."""
    left, top, right, bottom = ImageFont.load_default(size=height).getbbox(text)
    mask = np.zeros((2000, 2000), bool)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    return float(mask[row + int(top) : row + int(bottom), column + int(left) : column + int(right)].mean())


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (480, 640)])
@pytest.mark.parametrize("height", [10, 14, 24])
@pytest.mark.parametrize(("ink", "paper"), [(255, 40), (0, 160)])
def test_drawn_names_are_covered(size: tuple[int, int], height: int, ink: int, paper: int) -> None:
    text = NAME if height < 20 else "QUIXOTOVA"
    picture = colour(written(size, [(30, 20, text)], height=height, ink=ink, paper=paper))
    for must_read in (False, True):
        assert covered(text_finder().find(picture, must_read=must_read), 30, 20, text, height) > 0.97


def test_small_letters_on_a_large_picture_are_found() -> None:
    text = "MRN 554477"
    picture = colour(written((1400, 1400), [(1290, 1200, text), (20, 30, NAME)], height=11))
    boxes = text_finder().find(picture, must_read=False)
    assert covered(boxes, 1290, 1200, text, 11) > 0.97
    assert covered(boxes, 20, 30, NAME, 11) > 0.97


def test_grain_alone_is_no_text() -> None:
    assert text_finder().find(colour(written((512, 512), [])), must_read=False) == []


def test_equal_pictures_give_equal_boxes_inside_them() -> None:
    picture = colour(written((300, 500), [(2, 1, NAME), (280, 380, NAME)]))
    first, second = (text_finder().find(picture, must_read=False) for _ in range(2))
    assert first == second == sorted(first)
    assert all(0 <= box.top < box.bottom <= 300 and 0 <= box.left < box.right <= 500 for box in first)


def test_tiles_cover_a_large_picture_with_room_for_a_word_between() -> None:
    parts = tiles(2000, 900)
    assert parts[0] == Box(0, 0, 2000, 900)
    seen = np.zeros((2000, 900), int)
    for top, left, bottom, right in parts[1:]:
        assert bottom - top <= TILE
        assert right - left <= TILE
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1
    assert (seen[TILE - OVERLAP : TILE, 0] == 2).all()
    assert tiles(512, 512) == [Box(0, 0, 512, 512)]


def test_small_pictures_are_enlarged_within_reason_and_large_ones_made_smaller() -> None:
    assert enlargement(64, 64) == 2.5
    assert enlargement(512, 512) == pytest.approx(736 / 512)
    assert enlargement(736, 736) == 1.0
    assert enlargement(2000, 900) == pytest.approx(0.48)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Misconfigured, match=r"spine-curate\[ocr\]"):
        require_ocr()


def test_a_missing_system_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError("libGL.so.1")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(Misconfigured, match="libgl1"):
        ocr.RapidTextFinder()
