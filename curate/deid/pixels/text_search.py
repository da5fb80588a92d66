"""Text on the frames of one object: looked for, blanked, and looked for again until none is found.

Ultrasound regions come first: what lies outside them is blanked unseen. Boxes found on one frame are blanked on all,
since text stands still where a picture moves, and may be too faint on the next frame to be found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.deid.pixels.blank import Stored, blank_boxes, pictures_of
from curate.deid.pixels.native import PixelLayout
from curate.deid.pixels.ocr import TextFinder, text_finder
from curate.deid.pixels.palette import palette_of
from curate.deid.pixels.regions import Box, drop_covered, outside, ultrasound_regions
from curate.deid.pixels.risk import PixelRisk, Signal
from curate.errors import Quarantined
from curate.reasons import Reason

if TYPE_CHECKING:
    from curate.deid.header import Header

MOST_ROUNDS = 3
"""Looks for text until none is found, before an object is put aside."""


class Blanked(NamedTuple):
    """A rectangle that is black in every frame of the output, and why; ends not included."""

    cause: str  # outside_ultrasound_regions | text
    top: int
    left: int
    bottom: int
    right: int


class TextSearch:
    """Looks for text on every frame of one object and blanks it in place."""

    def __init__(self, header: Header, risk: PixelRisk, finder: TextFinder | None) -> None:
        self._header, self._risk = header, risk
        self._finder = text_finder() if finder is None else finder
        self.counts: Counter[str] = Counter()
        self.blanked: list[Blanked] = []
        self._known: dict[tuple[bytes, bool], list[Box]] = {}

    def clean(self, frames: Stored, layout: PixelLayout) -> bool:
        """Blank (frame, row, column, sample) pixels in place; whether anything changed."""
        regions = ultrasound_regions(self._header)
        size = (layout.rows, layout.columns)
        is_changed = self._blank(
            frames, outside(regions, *size) if regions else [], layout, "outside_ultrasound_regions"
        )
        palette = palette_of(self._header) if layout.photometric == b"PALETTE COLOR" else None
        self.counts["pixels: frames searched for text"] += layout.frames
        waiting = list(range(layout.frames))
        for tries in range(MOST_ROUNDS + 1):
            hits = []
            for number in waiting:
                if boxes := self._find(frames[number], layout, palette, must_read=tries > 0):
                    if tries == MOST_ROUNDS:
                        raise Quarantined(Reason.BURNED_IN_ANNOTATION, "text is still found after it was blanked")
                    is_changed |= self._blank(frames, boxes, layout, "text")
                    hits.append(number)
            waiting = hits
        if not is_changed and Signal.BURNED_IN in self._risk.signals:
            raise Quarantined(Reason.BURNED_IN_ANNOTATION, "the header says so, but no text was found")
        return is_changed

    def _find(
        self, frame: Stored, layout: PixelLayout, palette: NDArray[np.uint8] | None, *, must_read: bool
    ) -> list[Box]:
        """Boxes of text on one frame (row, column, sample); of equal frames only the first is looked at.

        What the header calls a screen is blanked wherever it looks like text, at the first look. An ordinary picture,
        and what is left after blanking, counts as text when letters can be read in it.
        """
        strict = must_read or not self._risk.is_high
        known = (hashlib.blake2b(frame.tobytes()).digest(), strict)
        if known not in self._known:
            pictures = pictures_of(frame, layout.photometric, palette)
            found = [self._finder.find(picture, must_read=strict) for picture in pictures]
            self._known[known] = drop_covered(box for boxes in found for box in boxes)
        return self._known[known]

    def _blank(self, frames: Stored, boxes: list[Box], layout: PixelLayout, cause: str) -> bool:
        if not boxes:
            return False
        is_changed = blank_boxes(frames, boxes, layout.photometric)
        if is_changed:
            self.blanked += [Blanked(cause, *box) for box in boxes]
            self.counts[f"pixels: boxes blanked ({cause.replace('_', ' ')})"] += len(boxes)
        return is_changed
