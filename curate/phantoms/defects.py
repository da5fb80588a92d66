"""Planting what goes wrong in real archives: broken series, series that are no volumes, broken files.

A broken series comes in a study of its own, so that sound studies stay sound; stray series and files lie among them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage, SecondaryCaptureImageStorage

from curate.geometry.grid import Grid
from curate.phantoms.draws import uid
from curate.phantoms.encoding import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from curate.phantoms.headers import SeriesFacts
from curate.phantoms.planes import plane_grid
from curate.phantoms.studies import AcquiredSeries, AcquiredStack, Study
from curate.phantoms.writing import ImageFile
from curate.reasons import Reason


@dataclass(frozen=True, slots=True)
class SeriesDefect:
    """What is wrong with a series. ``change`` works on the series, ``spoil`` on its files.

    ``flag``: the series is done nevertheless, and its volume says so.
    """

    name: str
    reason: Reason | None = None
    outcome: str = "rejected"
    flag: str | None = None
    also: tuple[Reason, ...] = ()  # codes that say the same of it as truly
    change: Callable[[AcquiredSeries], AcquiredSeries] | None = None
    spoil: Callable[[list[ImageFile]], list[ImageFile]] | None = None
    tilt_deg: float = 0.0


def _drop_slice(files: list[ImageFile]) -> list[ImageFile]:
    ordered = sorted(file.number for file in files)
    lost = ordered[len(ordered) // 2]
    return [file for file in files if file.number != lost]


def _cut_file(files: list[ImageFile]) -> list[ImageFile]:
    middle = sorted(file.number for file in files)[len(files) // 2]
    return [replace(f, content=_cut_pixels(f.content)) if f.number == middle else f for f in files]


def _cut_pixels(content: bytes) -> bytes:
    """Without the last 40% of the pixel data; of the whole file where those are deflated with the header."""
    start = max(0, content.find(b"\xe0\x7f\x10\x00"))
    return content[: start + int((len(content) - start) * 0.6)]


def _move_a_namesake(series: AcquiredSeries) -> AcquiredSeries:
    """One more image under the number (and so the UID) of the middle one, half a millimetre away."""
    stack, half = _halves(series)
    affine = stack.grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * half + stack.grid.directions[:, 0] * 0.5
    namesake = AcquiredStack(
        Grid((1, *stack.grid.shape[1:]), affine), stack.pixels[half : half + 1, ::-1], stack.numbers[half : half + 1]
    )
    return replace(series, stacks=(stack, namesake))


def _halves(series: AcquiredSeries) -> tuple[AcquiredStack, int]:
    stack = series.stacks[0]
    return stack, stack.grid.shape[0] // 2


def _mix_matrix(series: AcquiredSeries) -> AcquiredSeries:
    stack, half = _halves(series)
    rows = stack.pixels.shape[1] - 8
    return _rejoin(series, stack, half, stack.grid.affine, rows)


def _stretch_half(series: AcquiredSeries) -> AcquiredSeries:
    stack, half = _halves(series)
    affine = stack.grid.affine.copy()
    affine[:3, 3] -= affine[:3, 0] * 0.5 * (half - 1)  # the wider step starts after the first half
    affine[:3, 0] *= 1.5
    return _rejoin(series, stack, half, affine, stack.pixels.shape[1])


def _rejoin(
    series: AcquiredSeries, stack: AcquiredStack, half: int, affine: NDArray[np.float64], rows: int
) -> AcquiredSeries:
    """The first half as it was; the second half on planes of ``affine`` (continued from slice 0) and fewer rows."""
    columns, count = stack.pixels.shape[2], stack.grid.shape[0]
    shifted = affine.copy()
    shifted[:3, 3] = affine[:3, 3] + affine[:3, 0] * half
    first = AcquiredStack(
        Grid((half, *stack.grid.shape[1:]), stack.grid.affine), stack.pixels[:half], stack.numbers[:half]
    )
    grid = Grid((count - half, rows, columns), shifted)
    second = AcquiredStack(grid, stack.pixels[half:, :rows], stack.numbers[half:])
    return replace(series, stacks=(first, second))


def _repeat_positions(series: AcquiredSeries) -> AcquiredSeries:
    stack = series.stacks[0]
    later = (stack.pixels // 2).astype(stack.pixels.dtype)
    again = AcquiredStack(stack.grid, later, stack.numbers + stack.grid.shape[0])
    return replace(series, stacks=(stack, again))


def _omit_position(series: AcquiredSeries) -> AcquiredSeries:
    return replace(series, facts=replace(series.facts, omitted=(0x00200032,)))


def _burn_in(series: AcquiredSeries) -> AcquiredSeries:
    return replace(series, facts=replace(series.facts, extra=(("BurnedInAnnotation", "YES"),)))


SERIES_DEFECTS = (
    SeriesDefect("missing_slice", outcome="done", flag="missing_slices", spoil=_drop_slice),
    SeriesDefect("truncated_file", outcome="done", flag="missing_slices", spoil=_cut_file),
    SeriesDefect("mixed_matrix", Reason.MIXED_MATRIX, change=_mix_matrix),
    SeriesDefect("gantry_tilt", outcome="done", flag="gantry_tilt", tilt_deg=14.0),
    SeriesDefect("burned_in_annotation", Reason.BURNED_IN_ANNOTATION, outcome="quarantined", change=_burn_in),
    SeriesDefect("conflicting_instance", Reason.CONFLICTING_INSTANCE, change=_move_a_namesake),
    SeriesDefect("repeated_position", Reason.REPEATED_POSITION, change=_repeat_positions),
    SeriesDefect("missing_position", Reason.MISSING_GEOMETRY, change=_omit_position),
    SeriesDefect("irregular_spacing", outcome="done", flag="uneven_spacing", change=_stretch_half),
)


def stray_series(seed: int, kind: str, study: Study) -> AcquiredSeries:
    """A series that is no volume of the task. ``kind``: localizer | secondary_capture | wrong_modality."""
    main = study.series[0]
    series_uid = uid(seed, "stray", kind, main.facts.series_uid)
    number = {"localizer": 1, "secondary_capture": 99, "wrong_modality": 50}[kind]
    facts = replace(main.facts, series_uid=series_uid, number=number, description=kind.upper().replace("_", " "))
    stack = main.stacks[0]
    count = 4 if kind == "wrong_modality" else 1
    planes = plane_grid(
        stack.grid.to_patient((np.array(stack.grid.shape) - 1) / 2),
        stack.grid.directions[:, 2],
        stack.grid.directions[:, 1],
        (count, *stack.grid.shape[1:]),
        stack.grid.spacing_mm,
    )
    pixels = stack.pixels[:count]
    return AcquiredSeries(
        series_uid, "", _stray_facts(kind, facts), (AcquiredStack(planes, pixels, np.arange(1, count + 1)),)
    )


def _stray_facts(kind: str, facts: SeriesFacts) -> SeriesFacts:
    if kind == "localizer":
        return replace(facts, extra=(("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]),))
    if kind == "secondary_capture":
        extra = (("ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]), ("ConversionType", "WSD"), ("Modality", "OT"))
        return replace(facts, extra=extra, sop_class_uid=str(SecondaryCaptureImageStorage))
    other = "MR" if facts.modality == "CT" else "CT"
    return replace(facts, modality=other, weighting="T1" if other == "MR" else "")


def directory_file(seed: int) -> bytes:
    """A DICOMDIR: a DICOM object without pixels."""
    listing = Dataset()
    listing.file_meta = FileMetaDataset()
    listing.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    listing.file_meta.MediaStorageSOPInstanceUID = UID(uid(seed, "directory"))
    listing.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    listing.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    listing.file_meta.ImplementationVersionName = IMPLEMENTATION_NAME
    listing.FileSetID, listing.FileSetConsistencyFlag = "PHANTOM", 0
    listing.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    listing.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    listing.DirectoryRecordSequence = []
    target = io.BytesIO()
    dcmwrite(target, listing, enforce_file_format=True)
    return target.getvalue()


def _beside(path: str, word: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{word}_{name}"


def copied_file(file: ImageFile) -> ImageFile:
    """The same bytes under another name."""
    return replace(file, path=_beside(file.path, "again"))
