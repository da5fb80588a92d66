"""Whether every row of a release points at something, and every file is pointed at by a row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from curate.release.findings import Finding, Kind

Files = Mapping[str, tuple[str, int]]  # path -> sha256, bytes


def check_references(tables: Mapping[str, pa.Table], files: Files) -> list[Finding]:
    """``tables``: the manifests as read from the release; ``files``: what lies there."""
    return [
        *_check_volumes(tables["volumes"], files),
        *_check_images(tables["slices"], files),
        *_check_series(tables),
        *_check_samples(tables),
        *(
            finding
            for name in ("boxes", "points", "objects")
            if name in tables
            for finding in _check_marks(tables, name)
        ),
    ]


def rows_of(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """Rows as tuples of the named columns."""
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def at_row(name: str, row: int, kind: Kind, detail: str) -> Finding:
    """A finding about a row, counted from 0."""
    return Finding(f"manifests/{name}.parquet", kind, f"row {row}: {detail}")


def _check_volumes(volumes: pa.Table, files: Files) -> Iterator[Finding]:
    named = set()
    for row, (uri, objects, size, digest) in enumerate(rows_of(volumes, "uri", "objects", "size_bytes", "sha256")):
        if uri is None:  # a release without volumes
            continue
        paths = [f"{uri}/{name}" for name in objects or ()]
        named.update(paths)
        there = [path for path in paths if path in files]
        if not paths or len(there) < len(paths):
            yield at_row("volumes", row, Kind.REFERENCE, "objects of its volume are not there")
            continue
        if sum(files[path][1] for path in there) != size:
            yield at_row("volumes", row, Kind.NUMBER, "size_bytes is not the size of its objects")
        if digest not in {files[path][0] for path in there}:
            yield at_row("volumes", row, Kind.REFERENCE, "none of its objects has its sha256")
    for path in sorted(path for path in files if path.startswith("volumes/") and path not in named):
        yield Finding(path, Kind.REFERENCE, "no row of volumes names it")


def _check_images(slices: pa.Table, files: Files) -> Iterator[Finding]:
    named: set[tuple[str, int]] = set()
    owners: dict[str, tuple[str, str]] = {}
    columns = ("dicom", "dicom_sha256", "frame", "series_key", "instance_key")
    for row, (path, digest, frame, *owner) in enumerate(rows_of(slices, *columns)):
        if path not in files:
            yield at_row("slices", row, Kind.REFERENCE, "its image is not there")
        elif files[path][0] != digest:
            yield at_row("slices", row, Kind.REFERENCE, "its image has another sha256")
        if (path, frame or 0) in named or owners.setdefault(path, tuple(owner)) != tuple(owner):
            yield at_row("slices", row, Kind.REFERENCE, "its image belongs to another row too")
        named.add((path, frame or 0))
    for path in sorted(path for path in files if path.endswith(".dcm") and path not in owners):
        yield Finding(path, Kind.REFERENCE, "no row of slices names it")


def _check_series(tables: Mapping[str, pa.Table]) -> Iterator[Finding]:
    """Series, volumes and slices name the same series and stacks, of the same study and patient."""
    keys = ("series_key", "study_key", "patient_key", "site")
    series = {row[0]: row for row in rows_of(tables["series"], *keys)}
    yield from _repeated("series", tables["series"]["series_key"].to_pylist())
    stacks = list(rows_of(tables["volumes"], "series_key", "stack"))
    yield from _repeated("volumes", stacks)
    for row, owner in enumerate(rows_of(tables["volumes"], *keys)):
        if owner[0] not in series:
            yield at_row("volumes", row, Kind.REFERENCE, "its series is not in series")
        elif series[owner[0]] != owner:
            yield at_row("volumes", row, Kind.REFERENCE, "series gives its series another study, patient or site")
    imaged = {key for key, _ in stacks}
    for row, key in enumerate(tables["series"]["series_key"].to_pylist()):
        if key not in imaged:
            yield at_row("series", row, Kind.REFERENCE, "it has no volume row")
    known = set(stacks)
    seen = set()
    for row, place in enumerate(rows_of(tables["slices"], "series_key", "stack")):
        seen.add(place)
        if place not in known:
            yield at_row("slices", row, Kind.REFERENCE, "its stack is not in volumes")
    for row, place in enumerate(stacks):
        if place not in seen:
            yield at_row("volumes", row, Kind.REFERENCE, "it has no slices")
    for row, key in enumerate(tables["exclusions"]["series_key"].to_pylist()):
        if key in series:
            yield at_row("exclusions", row, Kind.REFERENCE, "its series is in the release")


def _check_samples(tables: Mapping[str, pa.Table]) -> Iterator[Finding]:
    owners = {
        study: (patient, site)
        for study, patient, site in rows_of(tables["volumes"], "study_key", "patient_key", "site")
    }
    uris: dict[str, set[str]] = defaultdict(set)
    for study, uri in rows_of(tables["volumes"], "study_key", "uri"):
        uris[study].update([uri] if uri is not None else [])
    yield from _repeated("samples", tables["samples"]["study_key"].to_pylist())
    for row, (study, patient, site, volumes) in enumerate(
        rows_of(tables["samples"], "study_key", "patient_key", "site", "volumes")
    ):
        if study not in owners:
            yield at_row("samples", row, Kind.REFERENCE, "its study has no volume row")
        elif owners[study] != (patient, site):
            yield at_row("samples", row, Kind.REFERENCE, "volumes gives its study another patient or site")
        if sorted(volumes or ()) != sorted(uris[study]):
            yield at_row("samples", row, Kind.REFERENCE, "its volumes are not those of its study")
    labelled = set(tables["samples"]["study_key"].to_pylist())
    for row, study in enumerate(tables["volumes"]["study_key"].to_pylist()):
        if study not in labelled:
            yield at_row("volumes", row, Kind.REFERENCE, "its study is not in samples")


def _check_marks(tables: Mapping[str, pa.Table], name: str) -> Iterator[Finding]:
    """Boxes, points and objects lie in a stack of the release; boxes and points on an image of it."""
    stacks = set(rows_of(tables["volumes"], "study_key", "series_key", "stack"))
    images = set(rows_of(tables["slices"], "series_key", "stack", "instance_key", "instance_number"))
    for row, place in enumerate(rows_of(tables[name], "study_key", "series_key", "stack")):
        if place not in stacks:
            yield at_row(name, row, Kind.REFERENCE, "its stack is not in volumes")
    if name != "objects":
        for row, image in enumerate(rows_of(tables[name], "series_key", "stack", "instance_key", "instance_number")):
            if image not in images:
                yield at_row(name, row, Kind.REFERENCE, "its image is not in slices")


def _repeated(name: str, keys: Iterable[Any]) -> Iterator[Finding]:
    if repeated := sum(n > 1 for n in Counter(keys).values()):
        yield Finding(f"manifests/{name}.parquet", Kind.REFERENCE, f"{repeated} keys stand more than once")
