"""The verdict on one series from its headers alone: which instances count, which stacks they make, or why not.

Works on rows that carry the columns of ``curate.manifests.schemas.INSTANCES`` (or of HEADER_SCHEMA plus an
``instance_key``), and never looks inside the keys: they may be UIDs or pseudonyms of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from curate.dicom.frames import DECODABLE_SYNTAXES, NATIVE_SYNTAXES
from curate.dicom.image_pixel import MAXIMUM_PIXELS
from curate.dicom.planes import Slice
from curate.dicom.stacks import SplitSeries, Stack, StackLimits, split_stacks
from curate.errors import Rejected
from curate.reasons import Reason

_IMAGE_CLASSES = {  # PS3.4 B.5: single-frame objects that are assembled
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
}
_MULTIFRAME_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2.1", "2.2", "4.1", "4.2", "4.3", "4.4")
)  # enhanced and legacy converted enhanced CT and MR, spectroscopy
_LOSSES = frozenset(  # what a volume would have a hole for
    (
        *(Reason.TRUNCATED_FILE, Reason.IMPLAUSIBLE_HEADER, Reason.UNDECODABLE_PIXELS, Reason.MISSING_GEOMETRY),
        *(Reason.MIXED_MATRIX, Reason.MISSING_RESCALE),
    )
)
_KINDS = (  # columns that may tell images at one position apart, the likeliest first
    *("echo_time_ms", "b_value", "temporal_position", "trigger_time_ms", "inversion_time_ms", "flip_angle_deg"),
    *("image_type", "kernel_key", "convolution_kernel", "acquisition_number"),
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_MAXIMUM_SPACING_MM = 100.0

Row = Mapping[str, object]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SortedInstance:
    """What became of one instance. ``reason`` None: used, at this position of this stack (both None if the series is
    rejected; of a multi-frame object the place of its first frame that is used)."""

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
    headers: Sequence[Row],
    *,
    modality: str,
    assume_modality: bool = False,
    limits: StackLimits | None = None,
    damaged: Mapping[str, tuple[Reason, str]] | None = None,
) -> SortedSeries:
    """Sort the instances of ONE series into stacks, or say why it cannot be done.

    ``modality``: CT or MR, what the task uses; ``assume_modality``: a header without a modality has it (a header with
    another one is still set apart). ``damaged``: instances whose pixels turned out to be unusable, and why. Copies,
    secondary captures, localizers, colour and foreign objects are set apart with a reason and the rest goes on; if
    nothing is left, the series is rejected with the reason most instances have. What is damaged, has no geometry or
    another matrix than the rest is set apart too, as long as it is no more than ``limits.maximum_missing`` of the
    images: else the series is rejected, as it is for two contents under one instance UID.
    """
    limits = limits or StackLimits()
    apart: dict[int, tuple[Reason, str]] = {}
    fatal = _find_copies(headers, apart)
    for index, row in enumerate(headers):
        if index not in apart and (found := _why_apart(row, modality, assume_modality)):
            apart[index] = found
    images = [index for index in range(len(headers)) if index not in apart]
    if fatal is None and not images:
        fatal = _most_common(apart.values())
    if fatal is None:
        _find_unusable(headers, images, damaged or {}, apart)
        fatal = _too_many(apart, images, limits)
    if fatal is not None:
        return _rejected(headers, apart, *fatal)
    planes = [plane for index in images if index not in apart for plane in _slices(headers[index])]
    try:
        split = split_stacks(planes, limits)
    except Rejected as rejection:
        return _rejected(headers, apart, rejection.reason, rejection.detail)
    _set_apart(headers, images, split, apart)
    fatal = _too_many(apart, images, limits)
    return _rejected(headers, apart, *fatal) if fatal else _accepted(headers, apart, split.stacks)


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
    if (sop_class in _MULTIFRAME_CLASSES or (is_image_class and frames > 1)) and not row.get("frames"):
        return Reason.MULTIFRAME, f"{frames} frames without functional groups"
    if not is_image_class and sop_class not in _MULTIFRAME_CLASSES:
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


def _find_unusable(
    headers: Sequence[Row],
    images: Sequence[int],
    damaged: Mapping[str, tuple[Reason, str]],
    apart: dict[int, tuple[Reason, str]],
) -> None:
    """Set apart what is damaged, has no geometry, or promises more pixels than its file holds."""
    matrices = {index: _matrix(headers[index]) for index in images}
    fitting = {index for index in images if _fits(headers[index], matrices[index])}
    whole = {matrices[index] for index in fitting}
    for index in images:
        row = headers[index]
        if (key := str(row["instance_key"])) in damaged:
            apart[index] = damaged[key]
        elif not row.get("frames") and not _has_geometry(row):
            apart[index] = Reason.MISSING_GEOMETRY, "no position, orientation or pixel spacing"
        elif index not in fitting:
            # Other slices of this matrix are whole, so the matrix is right and the file was cut.
            is_cut = matrices[index] in whole
            rows, columns, _ = matrices[index]
            detail = f"{rows} x {columns} pixels in a file of {_int(row, 'size_bytes')} bytes"
            apart[index] = (Reason.TRUNCATED_FILE if is_cut else Reason.IMPLAUSIBLE_HEADER), detail


def _too_many(
    apart: Mapping[int, tuple[Reason, str]], images: Sequence[int], limits: StackLimits
) -> tuple[Reason, str] | None:
    """Why the series cannot go on without what was set apart, or None when that is little enough."""
    lost = [apart[index] for index in images if index in apart and apart[index][0] in _LOSSES]
    if len(lost) <= limits.maximum_missing * len(images) and len(lost) < len(images):
        return None
    reason, detail = _most_common(lost)
    return reason, f"{len(lost)} of {len(images)} images; {detail}"


def _set_apart(
    headers: Sequence[Row], images: Sequence[int], split: SplitSeries, apart: dict[int, tuple[Reason, str]]
) -> None:
    """Name the instances of which no plane is in a stack."""
    used = {each.key for stack in split.stacks for each in stack.slices}
    repeats = {each.key for stack in split.stacks for _, each in stack.repeats}
    for index in images:
        key = str(headers[index]["instance_key"])
        if index in apart or key in used:
            continue
        own = [found for (name, _), found in split.apart.items() if name == key]
        apart[index] = (Reason.REPEATED_POSITION, "") if key in repeats else _most_common(own)


def _fits(row: Row, matrix: tuple[int, int, int]) -> bool:
    rows, columns, bits = matrix
    if not 0 < rows * columns <= MAXIMUM_PIXELS or bits not in (8, 16, 32):
        return False
    syntax, size = _text(row, "transfer_syntax_uid"), _int(row, "size_bytes")
    is_stored_plainly = (not syntax or syntax in NATIVE_SYNTAXES) and not syntax.endswith(".1.99")
    if not is_stored_plainly or size is None:
        return True
    frames = max(1, _int(row, "number_of_frames") or 1)
    return rows * columns * bits // 8 * frames <= size - (_int(row, "header_bytes") or 0)


def _has_geometry(row: Row) -> bool:
    if len(_floats(row, "image_position_mm")) != 3 or len(_floats(row, "image_orientation")) != 6:
        return False
    spacings = _floats(row, "pixel_spacing_mm")
    return len(spacings) == 2 and min(spacings) > 0 and max(spacings) <= _MAXIMUM_SPACING_MM


def _slices(row: Row) -> list[Slice]:
    """The planes of one instance: one, or one a frame."""
    frames = row.get("frames")
    if isinstance(frames, Sequence):
        return [_slice(row, {**row, **frame}) for frame in frames]
    return [_slice(row, row)]


def _slice(row: Row, frame: Row) -> Slice:
    rows, columns, _ = _matrix(row)
    if (tile := frame.get("tile")) is not None and isinstance(tile, Sequence):
        rows, columns = int(tile[2]), int(tile[3])
    thickness, kind = frame.get("slice_thickness_mm"), frame.get("kind")
    named = [(name, row.get(name)) for name in _KINDS]
    if kind is not None:
        named = [*(dict(named) | _pairs(kind)).items()]
    unknown = float("nan")  # set apart as missing geometry
    return Slice(
        key=str(row["instance_key"]),
        position_mm=cast(tuple[float, float, float], _floats(frame, "image_position_mm") or (unknown,) * 3),
        orientation=cast(
            tuple[float, float, float, float, float, float], _floats(frame, "image_orientation") or (unknown,) * 6
        ),
        spacing_mm=cast(tuple[float, float], _floats(frame, "pixel_spacing_mm") or (unknown,) * 2),
        rows=rows,
        columns=columns,
        instance_number=_int(frame, "instance_number"),
        thickness_mm=float(thickness) if isinstance(thickness, int | float) else None,
        frame=_int(frame, "frame") or 0,
        kind=tuple([(name, str(value)) for name, value in named if value is not None]),
    )


def _pairs(kind: object) -> dict[str, object]:
    """What tells frames apart, as the catalogue keeps it: a list of (name, value)."""
    if isinstance(kind, Mapping):
        return dict(kind)
    return {str(pair["name"]): pair["value"] for pair in kind} if isinstance(kind, Sequence) else {}


def _accepted(
    headers: Sequence[Row], apart: Mapping[int, tuple[Reason, str]], stacks: tuple[Stack, ...]
) -> SortedSeries:
    places: dict[str, tuple[int, int]] = {}
    for stack in stacks:
        for k, each in enumerate(stack.slices):
            places.setdefault(each.key, (stack.index, k))
    instances = []
    for index, row in enumerate(headers):
        key = str(row["instance_key"])
        instances.append(
            SortedInstance(key, *apart[index]) if index in apart else SortedInstance(key, None, "", *places[key])
        )
    return SortedSeries(None, "; ".join(stack.detail for stack in stacks if stack.detail), stacks, tuple(instances))


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


def _text(row: Row, name: str) -> str:
    found = row.get(name)
    return found if isinstance(found, str) else ""


def _int(row: Row, name: str) -> int | None:
    found = row.get(name)
    return found if isinstance(found, int) else None


def _floats(row: Row, name: str) -> tuple[float, ...]:
    found = row.get(name)
    if type(found) is list or (isinstance(found, Sequence) and not isinstance(found, str)):  # the first is quicker
        return tuple(map(float, found))
    return ()
