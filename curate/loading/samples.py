"""From manifest rows to what a trainer reads: one sample a study, one crop a target, in a fixed order of targets.

A crop goes where the objects table says that the vertebra or level lies. Where it says nothing, it goes to the mean
place in the training studies, relative to the study's reference volume; where the right volume is missing altogether
the crop is None, and a model has to answer from the prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.identity import Json, digest_json
from curate.loading.crops import CropRequest, vector
from curate.loading.marks import Mark, marks_by_study, share_out
from curate.loading.places import Place, estimate_offsets, largest, objects_by_study, places_by_study, sagittal
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_CONDITIONS, LUMBAR_LEVELS

BONE_WINDOW_HU = (
    -200.0,
    1000.0,
)  # narrower than a reader's bone window: soft tissue in a cleft must stand out from marrow

SERIES_TYPE_OF = {  # which series each condition is graded on
    "spinal_canal_stenosis": "Sagittal T2/STIR",
    "left_neural_foraminal_narrowing": "Sagittal T1",
    "right_neural_foraminal_narrowing": "Sagittal T1",
    "left_subarticular_stenosis": "Axial T2",
    "right_subarticular_stenosis": "Axial T2",
}
_AXES_OF = {"Sagittal T2/STIR": "LIP", "Sagittal T1": "LIP", "Axial T2": "SPL"}  # slice, row, column


@dataclass(frozen=True, slots=True)
class StudySample:
    """One study. ``targets``: the labels in the challenge's order, class numbers, -1 where it was not graded.

    ``crops``: what to look at, one a vertebra or level. ``marks``: for each crop, where readers saw the finding; empty
    where nobody said. ``split``: train, validation or test.
    """

    study_key: str
    split: str
    targets: tuple[int, ...]
    crops: tuple[CropRequest | None, ...]
    marks: tuple[tuple[Mark, ...], ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """What one crop of a sample shows: an object, in a series type (None: any), which way round."""

    object: str
    series_type: str | None
    axes: str
    mirrored: bool = False
    label: int = 0  # the object's value in the masks


CERVICAL_SLOTS = tuple(Slot(name, None, "SPL", label=n) for n, name in enumerate(CERVICAL_TARGETS[1:], 1))
LUMBAR_SLOTS = tuple(
    Slot(
        f"{condition}:{level}",
        SERIES_TYPE_OF[condition],
        _AXES_OF[SERIES_TYPE_OF[condition]],
        mirrored=condition.startswith("right_"),
    )
    for condition in LUMBAR_CONDITIONS
    for level in LUMBAR_LEVELS
)


def cervical_samples(manifests: Mapping[str, pa.Table]) -> list[StudySample]:
    """One crop for each of C1..C7; targets as ``CERVICAL_TARGETS``. Sorted by study key.

    ``manifests``: tables ``samples``, ``volumes``, ``objects`` and, for marks, ``boxes``, of
    ``curate.manifests.schemas``.
    """
    places = places_by_study(manifests["volumes"], window=BONE_WINDOW_HU)
    references = {key: largest(found) for key, found in places.items()}
    marks = marks_by_study(manifests)
    samples = []
    for key, split, row, crops in _crops(manifests, CERVICAL_SLOTS, places, references):
        targets = _labels(row, CERVICAL_TARGETS)
        centres = [None if crop is None else np.array(crop.centre_mm) for crop in crops]
        shares = share_out(marks.get(key, ()), centres, [target == 1 for target in targets[1:]])
        samples.append(StudySample(key, split, targets, crops, shares))
    return samples


def lumbar_samples(manifests: Mapping[str, pa.Table]) -> list[StudySample]:
    """One crop for each of the 25 targets, in a volume of the series type that the condition is graded on.

    Crops of the right side are mirrored, so that every sided crop looks like a left one. Sorted by study key.
    """
    places = places_by_study(manifests["volumes"], window=None)
    references = {key: sagittal(found) for key, found in places.items()}
    names = [slot.object.replace(":", "_") for slot in LUMBAR_SLOTS]
    return [
        StudySample(key, split, _labels(row, names), crops, ((),) * len(crops))
        for key, split, row, crops in _crops(manifests, LUMBAR_SLOTS, places, references)
    ]


def labels_of(samples: Sequence[StudySample]) -> NDArray[np.int64]:
    """int64 (studies, targets), -1 where not graded."""
    return np.array([sample.targets for sample in samples], dtype=np.int64)


def digest_samples(samples: Iterable[StudySample]) -> str:
    """What a training run depends on, as one string: order, labels, places, marks and volumes of all samples."""
    rows: list[Json] = [
        [
            sample.study_key,
            sample.split,
            list(sample.targets),
            [None if crop is None else _crop_json(crop) for crop in sample.crops],
            [[[*mark.corner, *mark.along, *mark.across, mark.half_depth] for mark in marks] for marks in sample.marks],
        ]
        for sample in samples
    ]
    return digest_json(rows)


def _crops(
    manifests: Mapping[str, pa.Table],
    slots: Sequence[Slot],
    places: Mapping[str, Sequence[Place]],
    references: Mapping[str, Place | None],
) -> Iterable[tuple[str, str, Mapping[str, int | None], tuple[CropRequest | None, ...]]]:
    """(study key, split, row of the samples table, crops) of each study, sorted by study key."""
    rows = sorted(manifests["samples"].to_pylist(), key=lambda row: row["study_key"])
    objects = objects_by_study(manifests["objects"])
    known = {key: place for key, place in references.items() if place is not None}
    training = {row["study_key"]: objects.get(row["study_key"], {}) for row in rows if row["split"] == "train"}
    offsets = estimate_offsets(training, known)
    for row in rows:
        key = row["study_key"]
        found, own, reference = objects.get(key, {}), places.get(key, ()), known.get(key)
        crops = tuple(_crop(slot, own, found.get(slot.object), offsets.get(slot.object), reference) for slot in slots)
        yield key, row["split"], row, crops


def _crop(
    slot: Slot,
    places: Sequence[Place],
    row: Mapping[str, object] | None,
    offset: NDArray[np.float64] | None,
    reference: Place | None,
) -> CropRequest | None:
    if row is not None:
        for place in places:
            if (place.series_key, place.stack) == (row["series_key"], row["stack"]):
                return _request(slot, place, np.asarray(row["centroid_mm"]), is_estimated=False)
    fitting = [place for place in places if slot.series_type is None or place.series_type == slot.series_type]
    if not fitting or offset is None or reference is None:
        return None
    point = reference.centre_mm + offset
    # several stacks may hold the point: take the one whose middle is nearest
    best = min(fitting, key=lambda p: (p.mm_outside(point), float(np.linalg.norm(p.centre_mm - point)), p.uri))
    return _request(slot, best, point, is_estimated=True)


def _request(slot: Slot, place: Place, point_mm: NDArray[np.float64], *, is_estimated: bool) -> CropRequest:
    centre = vector(point_mm)
    return CropRequest(place.uri, centre, slot.axes, place.low, place.high, slot.mirrored, is_estimated, slot.label)


def _labels(row: Mapping[str, int | None], names: Iterable[str]) -> tuple[int, ...]:
    values = [row[name] for name in names]
    return tuple(-1 if value is None else int(value) for value in values)


def _crop_json(crop: CropRequest) -> Json:
    region: Json = None if crop.region is None else [list(edge) for edge in crop.region]
    how: list[Json] = [crop.mirrored, crop.is_estimated, crop.label, region]
    return [crop.uri, list(crop.centre_mm), crop.axes, crop.low, crop.high, *how]
