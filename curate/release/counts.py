"""The numbers of a release, counted in one place from its tables.

Whatever states a number (``release.json``, the dataset card) is written from this record, and ``verify`` counts again
from the tables that lie in the release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_GRADES, LUMBAR_TARGETS
from curate.release.description import PUBLIC_SPLITS, SPLITS

UNITS = ("patients", "studies", "series", "volumes", "images")


@dataclass(frozen=True, slots=True)
class Counts:
    """``splits``: split -> unit -> number; ``sites``: site -> split -> studies; ``labels``: public split -> target ->
    label -> studies; ``annotations``: public split -> boxes or points; ``excluded``: reason -> series."""

    splits: Mapping[str, Mapping[str, int]]
    sites: Mapping[str, Mapping[str, int]]
    labels: Mapping[str, Mapping[str, Mapping[str, int]]]
    annotations: Mapping[str, int]
    excluded: Mapping[str, int]
    image_bytes: int
    volume_bytes: int

    def total(self, unit: str) -> int:
        """Over all splits; a patient or study is in one split only."""
        return sum(split[unit] for split in self.splits.values())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def count(tables: Mapping[str, pa.Table], *, task: str, image_bytes: int, volume_bytes: int) -> Counts:
    """Count the tables of a release (paths already the release's own)."""
    samples = tables["samples"].select(["site", "patient_key", "study_key", "split"]).to_pylist()
    split_of = {row["study_key"]: row["split"] for row in samples}
    volumes = tables["volumes"].select(["study_key", "series_key", "uri"]).to_pylist()
    study_of = {row["series_key"]: row["study_key"] for row in volumes}
    slices = tables["slices"]
    files = zip(slices["series_key"].to_pylist(), slices["dicom"].to_pylist(), strict=True)
    images = Counter(split_of.get(study_of.get(series, "")) for series, _ in set(files))
    splits = {
        split: {
            "patients": len({row["patient_key"] for row in samples if row["split"] == split}),
            "studies": sum(row["split"] == split for row in samples),
            "series": sum(split_of.get(study) == split for study in study_of.values()),
            "volumes": sum(split_of.get(row["study_key"]) == split for row in volumes if row["uri"] is not None),
            "images": images[split],
        }
        for split in SPLITS
    }
    by_site = Counter((row["site"], row["split"]) for row in samples)
    marks = tables["boxes" if task == "cervical" else "points"]["study_key"].to_pylist()
    marked = Counter(split_of.get(study) for study in marks)
    return Counts(
        splits=splits,
        sites={site: {s: by_site[site, s] for s in SPLITS} for site in sorted({row["site"] for row in samples})},
        labels={split: _labels(tables["samples"], split, task) for split in PUBLIC_SPLITS},
        annotations={split: marked[split] for split in PUBLIC_SPLITS},
        excluded=dict(sorted(Counter(tables["exclusions"]["reason"].to_pylist()).items())),
        image_bytes=image_bytes,
        volume_bytes=volume_bytes,
    )


def label_names(task: str) -> tuple[str, ...]:
    """What the numbers 0, 1, ... of a target mean."""
    return ("negative", "positive") if task == "cervical" else LUMBAR_GRADES


def _labels(samples: pa.Table, split: str, task: str) -> dict[str, dict[str, int]]:
    targets = CERVICAL_TARGETS if task == "cervical" else LUMBAR_TARGETS
    splits = samples["split"].to_pylist()
    labels = {}
    for target in targets:
        seen = Counter(value for value, s in zip(samples[target].to_pylist(), splits, strict=True) if s == split)
        labels[target] = {name: seen[value] for value, name in enumerate(label_names(task))}
    return labels
