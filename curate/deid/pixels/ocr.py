"""Where text is in a picture: the detector of RapidOCR (PP-OCRv4 weights inside its wheel), looked up only when needed.

Only the place of text is wanted, never what it says: nothing that was read leaves this module. Small letters are
found by looking at overlapping tiles, enlarged; large ones by looking at the whole.
"""

from __future__ import annotations

import importlib.util
import logging
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.deid.pixels.regions import Box, drop_covered
from curate.errors import Misconfigured

TILE, OVERLAP = 640, 96
MARGIN, GRID = 2, 4
"""Pixels around a found box, whose corners then move outwards to multiples of ``GRID``."""

_SHORT_SIDE, _LONG_SIDE, _LARGEST_FACTOR = 736, 960, 2.5
_THICKEST = 0.15  # of the short side of a picture: thicker boxes are anatomy unless they can be read
_LEAST_CONFIDENCE, _FEWEST_LETTERS = 0.3, 2
_PACKAGE = "rapidocr_onnxruntime"


class TextFinder(Protocol):
    """Finds text in a picture."""

    def find(self, picture: NDArray[np.uint8], *, must_read: bool) -> list[Box]:
        """Boxes of text in a (rows, columns, 3) picture, inside it, sorted.

        ``must_read``: leave out boxes in which nobody can read two letters; anatomy often looks like text from afar.
        """
        ...


class RapidTextFinder:
    """The detector of RapidOCR on one thread, so that equal pictures give equal boxes."""

    def __init__(self) -> None:
        require_ocr()
        try:
            rapidocr: Any = importlib.import_module(_PACKAGE)
            self._images: Any = importlib.import_module("cv2")
        except ImportError:
            raise Misconfigured("deid: text detection does not load; OpenCV needs libgl1 and libglib2.0-0") from None
        self._read = rapidocr.RapidOCR(
            intra_op_num_threads=1, inter_op_num_threads=1, det_limit_type="max", text_score=_LEAST_CONFIDENCE
        )
        logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)  # it warns for every picture without text

    def find(self, picture: NDArray[np.uint8], *, must_read: bool) -> list[Box]:
        """Boxes of text in a (rows, columns, 3) picture, inside it, sorted; see ``TextFinder``."""
        found = self._look(picture, must_read=must_read)
        thickest = _THICKEST * min(picture.shape[:2])
        thin = [box for box in found if min(box.bottom - box.top, box.right - box.left) <= thickest]
        if must_read or len(thin) == len(found):
            return found
        return drop_covered([*thin, *self._look(picture, must_read=True)])

    def _look(self, picture: NDArray[np.uint8], *, must_read: bool) -> list[Box]:
        rows, columns = picture.shape[:2]
        found = []
        for tile in tiles(rows, columns):
            part = picture[tile.top : tile.bottom, tile.left : tile.right]
            factor = enlargement(*part.shape[:2])
            quads = self._quads(self._resize(part, factor), must_read=must_read)
            found += [_around(np.asarray(quad, np.float64) / factor, tile, rows, columns) for quad in quads]
        return drop_covered(found)

    def _resize(self, part: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
        resized: NDArray[np.uint8] = self._images.resize(
            np.ascontiguousarray(part), None, fx=factor, fy=factor, interpolation=self._images.INTER_CUBIC
        )
        return resized

    def _quads(self, picture: NDArray[np.uint8], *, must_read: bool) -> list[Any]:
        if not must_read:
            quads, _ = self._read(picture, use_det=True, use_cls=False, use_rec=False)
            return [] if quads is None else list(quads)
        lines, _ = self._read(picture, use_det=True, use_cls=False, use_rec=True)
        return [quad for quad, text, _ in lines or () if sum(map(str.isalnum, text)) >= _FEWEST_LETTERS]


def require_ocr() -> None:
    """Raises Misconfigured, naming the extra to install, when the detector is not there."""
    if importlib.util.find_spec(_PACKAGE) is None:
        raise Misconfigured("deid: clean_pixel_data needs text detection: pip install 'spine-curate[ocr]'")


@cache
def text_finder() -> TextFinder:
    """The detector of this process, loaded once (half a second). Raises Misconfigured when it is not installed."""
    return RapidTextFinder()


def tiles(rows: int, columns: int) -> list[Box]:
    """The whole picture, and overlapping parts of it when it is larger than one."""
    whole = Box(0, 0, rows, columns)
    if max(rows, columns) <= TILE + OVERLAP:
        return [whole]
    parts = [
        Box(top, left, min(rows, top + TILE), min(columns, left + TILE))
        for top in _starts(rows)
        for left in _starts(columns)
    ]
    return [whole, *parts]


def enlargement(rows: int, columns: int) -> float:
    """Factor that brings small letters to the size that the detector was made for; below 1 for a large picture."""
    if max(rows, columns) > TILE + OVERLAP:
        return min(1.0, _LONG_SIDE / max(rows, columns))
    return min(max(1.0, _SHORT_SIDE / min(rows, columns)), _LARGEST_FACTOR)


def _starts(size: int) -> range:
    return range(0, max(1, size - OVERLAP), TILE - OVERLAP)


def _around(corners: NDArray[np.floating], tile: Box, rows: int, columns: int) -> Box:
    left, top = np.floor((corners.min(axis=0) - MARGIN + (tile.left, tile.top)) / GRID).astype(int) * GRID
    right, bottom = np.ceil((corners.max(axis=0) + 1 + MARGIN + (tile.left, tile.top)) / GRID).astype(int) * GRID
    return Box(max(0, int(top)), max(0, int(left)), min(rows, int(bottom)), min(columns, int(right)))
