"""A series straight from its files to volumes on their final grids: slice by slice where no other slice is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.dicom.assemble import Volume, write_slice
from curate.dicom.pixels import DAMAGE, Decode, Sort, read_pixels
from curate.dicom.series import Row, SortedSeries
from curate.dicom.stacks import Stack
from curate.errors import Rejected
from curate.geometry.streaming import SliceResampler


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The grid that is wanted: as ``Acquired.normalise`` takes it."""

    spacing_mm: Sequence[float | None] = (None, None, None)
    orientation: str | None = None
    antialias: bool = True
    threads: int = 1


def read_normalised(
    rows: Sequence[Row], sort: Sort, decode: Decode, modality: str, wanted: Normalisation
) -> tuple[SortedSeries, list[Volume]]:
    """``read_pixels`` and ``normalise``, with the same voxels -> the series as it came out, a volume a stack.

    A CT series of regular, upright, whole stacks of single images is resampled while it is read, a few slices being in
    memory. Any other is assembled first; so is one that turns out to be damaged, and then ``decode`` is asked again for
    what it gave before. Raises as both do.
    """
    found = sort({})
    if found.reason is None and modality == "CT" and wanted.threads == 1:
        volumes = _stream(found, rows, decode, wanted)
        if volumes is not None:
            return found, volumes
    pixels = read_pixels(rows, lambda damaged: sort(damaged) if damaged else found, decode, modality)
    found, acquired = pixels.found, list(pixels.acquired)
    del pixels
    volumes = []
    while acquired:  # each is let go once it is normalised
        volumes.append(
            acquired.pop(0).normalise(
                wanted.spacing_mm,
                orientation=wanted.orientation,
                antialias=wanted.antialias,
                threads=wanted.threads,
            )
        )
    return found, volumes


def _stream(found: SortedSeries, rows: Sequence[Row], decode: Decode, wanted: Normalisation) -> list[Volume] | None:
    """None when slices must be seen together, or an image is damaged."""
    by_key = {one.instance_key: row for row, one in zip(rows, found.instances, strict=True)}
    keys = [each.key for stack in found.stacks for each in stack.slices]
    is_single = len(set(keys)) == len(keys) and all(each.frame == 0 for stack in found.stacks for each in stack.slices)
    if not (is_single and all(_is_plain(stack, wanted) for stack in found.stacks)):
        return None
    volumes = []
    for stack in found.stacks:
        assert stack.grid is not None
        resampler = SliceResampler(
            np.int16, stack.grid, wanted.spacing_mm, orientation=wanted.orientation, antialias=wanted.antialias
        )
        flags: set[str] = set()
        for number, each in enumerate(stack.slices):
            try:
                (decoded,) = decode(by_key[each.key], [each.frame])
            except Rejected as rejection:
                if rejection.reason in DAMAGE:
                    return None
                raise
            flags |= write_slice(number, decoded, "CT", resampler.slice(number))
        volumes.append(Volume(resampler.finish(), resampler.grid, "CT", "HU", stack, tuple(sorted(flags))))
    return volumes


def _is_plain(stack: Stack, wanted: Normalisation) -> bool:
    return stack.grid is not None and not stack.repeats and SliceResampler.is_for(stack.grid, wanted.spacing_mm)
