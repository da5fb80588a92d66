"""The pixels of one series: every image that its stacks use, decoded; what cannot be decoded counts as missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from curate.dicom.assemble import Acquired, Assembly
from curate.dicom.frames import DecodedSlice, decode_frames, decode_slice
from curate.dicom.series import Row, SortedSeries
from curate.errors import Rejected
from curate.reasons import Reason

DAMAGE = frozenset(
    (
        *(Reason.TRUNCATED_FILE, Reason.UNDECODABLE_PIXELS, Reason.UNSUPPORTED_TRANSFER_SYNTAX),
        *(Reason.IMPLAUSIBLE_HEADER, Reason.UNREADABLE_HEADER, Reason.EMPTY_FILE, Reason.NOT_DICOM),
    )
)
"""What makes a single image unusable, and leaves the others."""

Damaged: TypeAlias = Mapping[str, tuple[Reason, str]]
Sort: TypeAlias = Callable[[Damaged], SortedSeries]
Decode: TypeAlias = Callable[[Row, Sequence[int]], Sequence[DecodedSlice]]
_Plane: TypeAlias = tuple[str, int]  # key of the instance, frame


@dataclass(frozen=True, slots=True)
class SeriesPixels:
    """A series as it came out once every pixel was read. ``acquired``: the stacks of ``found``, in their order."""

    found: SortedSeries
    acquired: tuple[Acquired, ...]


def read_pixels(rows: Sequence[Row], sort: Sort, decode: Decode, modality: str) -> SeriesPixels:
    """Decode what the stacks of one series use, and sort the series again without what turns out to be damaged.

    ``sort``: the verdict on ``rows`` without the instances given as damaged. ``decode``: the frames, by number, of the
    instance of a row; it is asked once for each, with all of them. Every slice goes to its place in the volume at once:
    no more than one instance is decoded beside it. Raises Rejected when the verdict is a rejection, what ``decode``
    raises for other reasons than DAMAGE, and as ``curate.dicom.assemble`` does.
    """
    damaged: dict[str, tuple[Reason, str]] = {}
    held: dict[_Plane, tuple[Assembly, int]] = {}
    while True:
        found = sort(damaged)
        if found.reason is not None:
            raise Rejected(found.reason, found.detail)
        known = len(damaged)
        assemblies = [Assembly(stack, modality) for stack in found.stacks]
        places = _places(assemblies)
        for plane, (assembly, number) in places.items():
            if plane in held:
                assembly.adopt(number, *held[plane])
        placed = zip(rows, found.instances, strict=True)
        by_key = {one.instance_key: row for row, one in placed if one.reason in (None, Reason.REPEATED_POSITION)}
        for key, frames in _wanted(places):
            if (key, frames[0]) in held:
                continue
            try:
                decoded = decode(by_key[key], frames)
            except Rejected as rejection:
                if rejection.reason not in DAMAGE:
                    raise
                damaged[key] = rejection.reason, rejection.detail
                continue
            for frame, each in zip(frames, decoded, strict=True):
                assembly, number = places[key, frame]
                assembly.place(number, each)
        if len(damaged) == known:
            return SeriesPixels(found, tuple(assembly.finish() for assembly in assemblies))
        held |= {plane: place for plane, place in places.items() if plane[0] not in damaged}


def decode_instance(raw: bytes, row: Row, frames: Sequence[int]) -> list[DecodedSlice]:
    """Frames of one file, with what its functional groups say of each; tiles of a mosaic are frames as well.

    Raises as ``decode_slice`` does, and Rejected(IMPLAUSIBLE_HEADER) for a frame or tile that is not there.
    """
    described = row.get("frames")
    if not isinstance(described, Sequence):
        return [decode_slice(raw)]
    facts = {frame["frame"]: frame for frame in described}
    if all(facts[frame].get("tile") is None for frame in frames):
        try:
            decoded = list(decode_frames(raw, frames))
        except IndexError:
            raise Rejected(Reason.IMPLAUSIBLE_HEADER, "fewer frames than the header describes") from None
    else:
        decoded = list(_tiles(decode_slice(raw), [facts[frame]["tile"] for frame in frames]))
    return [_as_described(each, facts[frame]) for frame, each in zip(frames, decoded, strict=True)]


def _places(assemblies: Sequence[Assembly]) -> dict[_Plane, tuple[Assembly, int]]:
    """Where every plane goes: the slices of the stacks, and behind them their repeats."""
    return {
        (each.key, each.frame): (assembly, number)
        for assembly in assemblies
        for number, each in enumerate((*assembly.stack.slices, *(each for _, each in assembly.stack.repeats)))
    }


def _wanted(planes: Iterable[_Plane]) -> Iterator[tuple[str, list[int]]]:
    """Instances and the frames of each that are used, in the order of keys."""
    by_key: dict[str, list[int]] = {}
    for key, frame in planes:
        by_key.setdefault(key, []).append(frame)
    for key, frames in sorted(by_key.items()):
        yield key, sorted(frames)


def _tiles(mosaic: DecodedSlice, tiles: Sequence[Sequence[int]]) -> Iterator[DecodedSlice]:
    for row, column, rows, columns in tiles:
        part = mosaic.pixels[row : row + rows, column : column + columns]
        if part.shape != (rows, columns):
            raise Rejected(Reason.IMPLAUSIBLE_HEADER, "a tile lies outside the mosaic")
        yield replace(mosaic, pixels=part)


def _as_described(each: DecodedSlice, frame: Row) -> DecodedSlice:
    slope, intercept = frame.get("rescale_slope"), frame.get("rescale_intercept")
    if each.modality_lut is not None or (slope is None and intercept is None):
        return each
    return replace(
        each,
        slope=float(slope) if isinstance(slope, int | float) else each.slope,
        intercept=float(intercept) if isinstance(intercept, int | float) else each.intercept,
    )
