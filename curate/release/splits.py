"""Whether the splits are disjoint: by the tables, by the folders, by the DICOM headers and by the bytes themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.release.contents import LABEL_FOLDER, SAMPLE_KEYS
from curate.release.description import HIDDEN_SPLIT, SPLITS
from curate.release.findings import Finding, Kind
from curate.release.references import Files, at_row, rows_of


@dataclass(frozen=True, slots=True)
class Ids:
    """What the header of an image says of itself; empty where it says nothing."""

    patient_id: str
    study_uid: str
    instance_uid: str
    series_uid: str = ""


def split_of_path(path: str) -> str | None:
    """``train`` for ``train_images/...``; None for what is no image folder."""
    folder = path.split("/", 1)[0]
    split = folder.removesuffix("_images")
    return split if split != folder and split in SPLITS else None


def study_of_path(path: str) -> str:
    """The study folder of an image; empty for a path without one."""
    return f"{path}/".split("/")[1]


def check_splits(tables: Mapping[str, pa.Table], instances: Mapping[str, Ids], files: Files) -> list[Finding]:
    """``instances``: path -> ids of every image. A patient, a study, an instance or an image is in one split only."""
    return [
        *_check_samples(tables["samples"]),
        *_check_rows(tables),
        *_check_headers(instances),
        *_check_copies(files),
        *_check_answers(tables, files),
    ]


def _check_samples(samples: pa.Table) -> Iterator[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for row, (patient, split) in enumerate(rows_of(samples, "patient_key", "split")):
        if split not in SPLITS:
            yield at_row("samples", row, Kind.SPLIT, "its split is not known")
        splits[patient].add(split)
        if len(splits[patient]) > 1:
            yield at_row("samples", row, Kind.SPLIT, "its patient is in another split too")


def _check_rows(tables: Mapping[str, pa.Table]) -> Iterator[Finding]:
    """Volumes and images stand where the sample of their study says."""
    split_of = dict(rows_of(tables["samples"], "study_key", "split"))
    patient_in: dict[str, set[Any]] = defaultdict(set)
    study_of: dict[str, str] = {}
    for row, (patient, study, series, split) in enumerate(
        rows_of(tables["volumes"], "patient_key", "study_key", "series_key", "split")
    ):
        study_of[series] = study
        if split_of.get(study) != split:
            yield at_row("volumes", row, Kind.SPLIT, "samples gives its study another split")
        patient_in[patient].add(split)
        if len(patient_in[patient]) > 1:
            yield at_row("volumes", row, Kind.SPLIT, "its patient is in another split too")
    for row, (series, path) in enumerate(rows_of(tables["slices"], "series_key", "dicom")):
        study, path = study_of.get(series, ""), path or ""
        if split_of_path(path) != split_of.get(study) or study_of_path(path) != study:
            yield at_row("slices", row, Kind.SPLIT, "its image lies in the folder of another split or study")


def _check_headers(instances: Mapping[str, Ids]) -> Iterator[Finding]:
    """What the files themselves say, whatever the tables do."""
    for name, what in (("patient_id", "patient"), ("study_uid", "study"), ("instance_uid", "instance")):
        first: dict[str, str] = {}
        for path, ids in instances.items():
            value, place = getattr(ids, name), path if name == "instance_uid" else split_of_path(path)
            if value and first.setdefault(value, str(place)) != place:
                yield Finding(path, Kind.SPLIT, f"by its header, its {what} lies at {first[value]} too")


def _check_copies(files: Files) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for path, (digest, _) in files.items():
        if path.endswith(".dcm") and first.setdefault(digest, path) != path:
            yield Finding(path, Kind.SPLIT, f"the same bytes as {first[digest]}")


def _check_answers(tables: Mapping[str, pa.Table], files: Files) -> Iterator[Finding]:
    """No label of the hidden split lies in the public folder."""
    samples = tables["samples"]
    is_hidden = [split == HIDDEN_SPLIT for split in samples["split"].to_pylist()]
    for field in list(samples.schema)[SAMPLE_KEYS:]:
        for row, value in enumerate(samples[field.name].to_pylist()):
            if is_hidden[row] and value is not None:
                yield at_row("samples", row, Kind.ANSWER, f"{field.name} of the hidden split is given")
    hidden = {study for study, split in rows_of(samples, "study_key", "split") if split == HIDDEN_SPLIT}
    for name in ("boxes", "points", "objects", "label_issues"):
        for row, study in enumerate(tables[name]["study_key"].to_pylist() if name in tables else ()):
            if study in hidden:
                yield at_row(name, row, Kind.ANSWER, "it tells of a label of the hidden split")
    uris = {uri for study, uri in rows_of(tables["volumes"], "study_key", "uri") if study in hidden}
    for path in files:
        uri, marker, _ = path.partition(f"/{LABEL_FOLDER}")
        if marker and uri in uris:
            yield Finding(path, Kind.ANSWER, "a mask of the hidden split")
