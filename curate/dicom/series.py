"""The verdict on one series from its headers alone: which instances count, which stacks they make, or why not.

Works on rows that carry the columns of ``curate.manifests.schemas.INSTANCES`` (or of HEADER_SCHEMA plus an
``instance_key``), and never looks inside the keys: they may be UIDs or pseudonyms of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import dist, prod
from typing import TypeVar, cast

from curate.dicom.frames import DECODABLE_SYNTAXES, MAXIMUM_PIXELS, NATIVE_SYNTAXES
from curate.dicom.stacks import Slice, Stack, split_stacks
from curate.errors import Rejected
from curate.reasons import Reason

_IMAGE_CLASSES = {  # PS3.4 B.5: single-frame objects that are assembled
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
}
_MULTIFRAME_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2.1", "2.2", "4.1", "4.2", "4.3", "4.4")
)  # enhanced and legacy converted enhanced CT and MR, spectroscopy
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MAXIMUM_SPACING_MM = 100.0

Row = Mapping[str, object]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SortedInstance:
    """What became of one instance. ``reason`` None: used, at this position of this stack (both None if the series is
    rejected)."""

    instance_key: str
    reason: Reason | None
    detail: str = ""
    stack: int | None = None
    position_in_stack: int | None = None


@dataclass(frozen=True, slots=True)
class SortedSeries:
    """``reason`` None: accepted. ``instances`` stand in the order of the rows that came in."""

    reason: Reason | None
    detail: str
    stacks: tuple[Stack, ...]
    instances: tuple[SortedInstance, ...]

    @property
    def is_accepted(self) -> bool:
        return self.reason is None


def sort_out(
    headers: Sequence[Row], *, modality: str, assume_modality: bool = False, minimum_slices: int = 1
) -> SortedSeries:
    """Sort the instances of ONE series into stacks, or say why it cannot be done.

    ``modality``: CT or MR, what the task uses; ``assume_modality``: a header without a modality has it (a header with
    another one is still set apart). Copies, secondary captures, localizers, colour, multi-frame and foreign objects
    are set apart with a reason and the rest goes on; if nothing is left, the series is rejected with the reason most
    instances have. One truncated, conflicting or implausible instance rejects the whole series: a volume with a
    silent hole is worse.
    """
    apart: dict[int, tuple[Reason, str]] = {}
    fatal = _find_copies(headers, apart)
    for index, row in enumerate(headers):
        if index not in apart and (found := _why_apart(row, modality, assume_modality)):
            apart[index] = found
    images = [index for index in range(len(headers)) if index not in apart]
    if fatal is None and not images:
        fatal = _most_common(apart.values())
    if fatal is None:
        fatal = _find_impossible(headers, images, apart)
    if fatal is not None:
        return _rejected(headers, apart, *fatal)
    try:
        stacks = split_stacks([_slice(headers[index]) for index in images], minimum_slices=minimum_slices)
    except Rejected as rejection:
        return _rejected(headers, apart, rejection.reason, rejection.detail)
    return _accepted(headers, apart, stacks)


def estimate_memory(headers: Sequence[Row], *, spacing_mm: Sequence[float | None] | None = None) -> int:
    """Bytes at the peak of building the volumes of one series, from headers alone: never below what is needed.

    The files are held one at a time and the volume whole: 2 bytes a voxel as acquired, as oriented, as float32 for
    the resampling, and the resampled grid in float32, in its own type and encoded. ``spacing_mm``: target along
    (slice, row, column), None keeps an axis. The interpreter and its libraries come on top.
    """
    acquired = sum(_pixels(row) for row in headers)
    largest = max((_int(row, "size_bytes") or 0 for row in headers), default=0)
    growth = max((_growth(row, spacing_mm) for row in headers), default=1.0)
    item = max((max(16, _int(row, "bits_allocated") or 16) // 8 for row in headers), default=2)
    along_slices = _slice_growth(headers, spacing_mm)
    resampled = int(acquired * growth * along_slices)
    between = max(acquired, int(acquired * growth), int(acquired * along_slices), resampled)
    return acquired * 2 * item + between * 8 + resampled * (4 + 2 * item) + 4 * largest


def _find_copies(headers: Sequence[Row], apart: dict[int, tuple[Reason, str]]) -> tuple[Reason, str] | None:
    """Set exact copies apart, keeping the largest file; the same key over different headers is fatal."""
    same_key: defaultdict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(headers):
        same_key[str(row["instance_key"])].append(index)
    conflicts = 0
    for indices in same_key.values():
        if len({headers[index].get("header_digest") for index in indices}) > 1:
            conflicts += 1
            apart.update((index, (Reason.CONFLICTING_INSTANCE, "")) for index in indices)
            continue
        best_first = sorted(
            indices, key=lambda index: (-(_int(headers[index], "size_bytes") or 0), str(headers[index].get("file_key")))
        )
        apart.update((index, (Reason.DUPLICATE_INSTANCE, "")) for index in best_first[1:])
    return (Reason.CONFLICTING_INSTANCE, f"{conflicts} instance ids name different content") if conflicts else None


def _why_apart(row: Row, modality: str, assume_modality: bool) -> tuple[Reason, str] | None:
    """Why this instance is no slice of a CT or MR volume, or None."""
    sop_class, frames = _text(row, "sop_class_uid"), _int(row, "number_of_frames") or 1
    is_image_class = sop_class in _IMAGE_CLASSES or not sop_class
    own = _text(row, "modality") or (modality if assume_modality else "")
    # A classic CT or MR object may carry a conversion type by mistake; without its class the conversion type decides.
    if sop_class.startswith(_SECONDARY_CAPTURE) or (sop_class not in _IMAGE_CLASSES and _text(row, "conversion_type")):
        return Reason.SECONDARY_CAPTURE, ""
    if own != modality or (sop_class in _IMAGE_CLASSES and _IMAGE_CLASSES[sop_class] != modality):
        return Reason.WRONG_MODALITY, f"{modality} expected" if own else f"{modality} expected, the header names none"
    if sop_class in _MULTIFRAME_CLASSES or (is_image_class and frames > 1):
        return Reason.MULTIFRAME, f"{frames} frames"
    if not is_image_class:
        return Reason.UNKNOWN_SOP_CLASS, ""
    if "LOCALIZER" in _text(row, "image_type").upper().split("\\"):
        return Reason.LOCALIZER, ""
    if (_int(row, "samples_per_pixel") or 1) != 1 or not _is_monochrome(row):
        return Reason.NOT_MONOCHROME, ""
    syntax = _text(row, "transfer_syntax_uid")
    if syntax and syntax not in DECODABLE_SYNTAXES:
        return Reason.UNSUPPORTED_TRANSFER_SYNTAX, ""
    return None


def _is_monochrome(row: Row) -> bool:
    return (_text(row, "photometric_interpretation") or "MONOCHROME2").upper() in ("MONOCHROME1", "MONOCHROME2")


def _find_impossible(
    headers: Sequence[Row], images: Sequence[int], apart: dict[int, tuple[Reason, str]]
) -> tuple[Reason, str] | None:
    """Geometry that is missing, and sizes that the bytes of the file contradict."""
    fatal: list[tuple[Reason, str]] = []
    without = [index for index in images if not _has_geometry(headers[index])]
    if without:
        fatal.append((Reason.MISSING_GEOMETRY, f"{len(without)} of {len(images)} images"))
    whole = {_matrix(headers[index]) for index in images if _fits(headers[index])}
    for index in images:
        if not _fits(headers[index]):
            # Other slices of this matrix are whole, so the matrix is right and the file was cut.
            is_cut = _matrix(headers[index]) in whole
            reason = Reason.TRUNCATED_FILE if is_cut else Reason.IMPLAUSIBLE_HEADER
            rows, columns, _ = _matrix(headers[index])
            apart[index] = (
                reason,
                f"{rows} x {columns} pixels in a file of {_int(headers[index], 'size_bytes')} bytes",
            )
            fatal.append(apart[index])
    return _most_common(fatal) if fatal else None


def _fits(row: Row) -> bool:
    rows, columns, bits = _matrix(row)
    if not 0 < rows * columns <= MAXIMUM_PIXELS or bits not in (8, 16, 32):
        return False
    syntax, size = _text(row, "transfer_syntax_uid"), _int(row, "size_bytes")
    is_stored_plainly = (not syntax or syntax in NATIVE_SYNTAXES) and not syntax.endswith(".1.99")
    if not is_stored_plainly or size is None:
        return True
    return rows * columns * bits // 8 <= size - (_int(row, "header_bytes") or 0)


def _has_geometry(row: Row) -> bool:
    lengths = {"image_position_mm": 3, "image_orientation": 6, "pixel_spacing_mm": 2}
    if any(len(_floats(row, name)) != length for name, length in lengths.items()):
        return False
    return all(0 < spacing <= _MAXIMUM_SPACING_MM for spacing in _floats(row, "pixel_spacing_mm"))


def _slice(row: Row) -> Slice:
    rows, columns, _ = _matrix(row)
    thickness = row.get("slice_thickness_mm")
    return Slice(
        key=str(row["instance_key"]),
        position_mm=cast(tuple[float, float, float], _floats(row, "image_position_mm")),
        orientation=cast(tuple[float, float, float, float, float, float], _floats(row, "image_orientation")),
        spacing_mm=cast(tuple[float, float], _floats(row, "pixel_spacing_mm")),
        rows=rows,
        columns=columns,
        instance_number=_int(row, "instance_number"),
        thickness_mm=float(thickness) if isinstance(thickness, int | float) else None,
    )


def _accepted(
    headers: Sequence[Row], apart: Mapping[int, tuple[Reason, str]], stacks: tuple[Stack, ...]
) -> SortedSeries:
    places = {each.key: (stack.index, k) for stack in stacks for k, each in enumerate(stack.slices)}
    instances = []
    for index, row in enumerate(headers):
        key = str(row["instance_key"])
        if index in apart:
            instances.append(SortedInstance(key, *apart[index]))
        elif key in places:
            instances.append(SortedInstance(key, None, "", *places[key]))
        else:
            instances.append(SortedInstance(key, Reason.TOO_FEW_SLICES, "its stack is too short"))
    return SortedSeries(None, "", stacks, tuple(instances))


def _rejected(
    headers: Sequence[Row], apart: Mapping[int, tuple[Reason, str]], reason: Reason, detail: str
) -> SortedSeries:
    instances = (
        SortedInstance(str(row["instance_key"]), *apart.get(index, (None, ""))) for index, row in enumerate(headers)
    )
    return SortedSeries(reason, detail, (), tuple(instances))


def _most_common(found: Iterable[tuple[Reason, str]]) -> tuple[Reason, str]:
    """The reason that most have, ties by code, with the first of its details."""
    pairs = list(found)
    counts = Counter(reason for reason, _ in pairs)
    if not counts:
        return Reason.TOO_FEW_SLICES, "no images"
    winner = min(counts, key=lambda reason: (-counts[reason], reason.value))
    details = sorted({detail for reason, detail in pairs if reason is winner})
    return winner, details[0]


def _matrix(row: Row) -> tuple[int, int, int]:
    return _int(row, "rows") or 0, _int(row, "columns") or 0, _int(row, "bits_allocated") or 16


def _pixels(row: Row) -> int:
    rows, columns, _ = _matrix(row)
    return rows * columns


def _growth(row: Row, spacing_mm: Sequence[float | None] | None) -> float:
    """How many times more pixels the plane has at the target spacing."""
    own = _floats(row, "pixel_spacing_mm")
    if spacing_mm is None or len(own) != 2:
        return 1.0
    ratios = [have / want for have, want in zip(own, spacing_mm[1:], strict=True) if want]
    return prod(ratios, start=1.0)


def _slice_growth(headers: Sequence[Row], spacing_mm: Sequence[float | None] | None) -> float:
    """How many times more slices there are at the target spacing: from the spread of the positions."""
    positions = [_floats(row, "image_position_mm") for row in headers]
    known = [position for position in positions if len(position) == 3]
    if spacing_mm is None or not spacing_mm[0] or len(known) < 2:
        return 1.0
    spread = dist(*(tuple(pick(axis) for axis in zip(*known, strict=True)) for pick in (min, max)))
    return max(spread / spacing_mm[0] + 1, 1) / len(known)


def _text(row: Row, name: str) -> str:
    found = row.get(name)
    return found if isinstance(found, str) else ""


def _int(row: Row, name: str) -> int | None:
    found = row.get(name)
    return found if isinstance(found, int) else None


def _floats(row: Row, name: str) -> tuple[float, ...]:
    found = row.get(name)
    return tuple(map(float, found)) if isinstance(found, Sequence) and not isinstance(found, str) else ()
