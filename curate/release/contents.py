"""What goes into a release: rows selected from a store's manifests, with their paths rewritten to the release's own.

Released are the studies that have a label row and at least one volume. Rows that tell the labels of the hidden split
(grades, boxes, points, places found in masks, and the masks inside the volumes) go to the private folder.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.deid.records.anonymity import suppress
from curate.deid.records.audit_chain import chain_audit
from curate.errors import Misconfigured
from curate.manifests import schemas
from curate.reasons import Reason
from curate.release.description import HIDDEN_SPLIT, SPLITS
from curate.storage import Store
from curate.volumes.layout import LABELS_PATH, OURS

LABEL_FOLDER = f"{LABELS_PATH}/"  # mask arrays inside a volume (OME-Zarr)
SAMPLE_KEYS = 5  # columns of a samples table before its targets

EXCLUSIONS = pa.schema(
    [(name, pa.string()) for name in ("site", "study_key", "series_key", "status", "reason", "text")]
)

TABLES = ("samples", "series", "volumes", "slices", "boxes", "points", "objects", "label_issues", "exclusions", "audit")
_ANSWERS = (
    "boxes",
    "points",
    "objects",
    "label_issues",
)  # tables whose rows of the hidden split are part of the answer
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Copy:
    """One object to copy from the store. ``sha256``: what it must be, where a manifest says so. ``content``: what to
    write instead of the object, where the release's differs from the store's."""

    source: str
    path: str
    sha256: str | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """Tables and copies of the public folder, and of the private one.

    ``suppressed``: table -> column -> cells blanked because they would have singled patients out.
    """

    tables: Mapping[str, pa.Table]
    copies: tuple[Copy, ...]
    private_tables: Mapping[str, pa.Table]
    private_copies: tuple[Copy, ...]
    suppressed: Mapping[str, Mapping[str, int]]


def schema_of(table: str, task: str) -> pa.Schema:
    """The Arrow schema of a table of a release."""
    if table == "samples":
        return schemas.CERVICAL_SAMPLES if task == "cervical" else schemas.LUMBAR_SAMPLES
    if table == "exclusions":
        return EXCLUSIONS
    return getattr(schemas, table.upper())


def table_names(task: str) -> tuple[str, ...]:
    """The tables that a release of a task holds."""
    return tuple(name for name in TABLES if name != ("points" if task == "cervical" else "boxes"))


def select(manifests: Mapping[str, pa.Table], store: Store, *, task: str, include_volumes: bool) -> Contents:
    """Choose rows and files. Of the store only sizes and the root metadata of masked volumes are read.

    Needed tables: samples, series, volumes, slices; boxes, points, objects, label_issues and audit (of schema
    FILE_AUDIT) may be missing. Raises
    ``Misconfigured`` when a needed table is missing, a sample has no split, a patient stands in two splits, a key
    cannot be a file name, or nothing is left to release.
    """
    given = {name: _take(manifests, name, task) for name in table_names(task) if name not in ("exclusions", "audit")}
    split_of = _splits(given["samples"], set(given["volumes"]["study_key"].to_pylist()))
    chosen = {name: _of_studies(table, split_of) for name, table in given.items() if "study_key" in table.column_names}
    volumes = chosen["volumes"].to_pylist()
    _require_plain_keys(volumes)
    released = {(row["series_key"], row["stack"]) for row in volumes}
    chosen["series"] = _where_in(given["series"], "series_key", {series for series, _ in released})
    chosen["series"], figure = suppress("series", chosen["series"])
    chosen["exclusions"] = _exclusions(given["series"], {series for series, _ in released})
    chosen["label_issues"] = given["label_issues"]
    slices = [row for row in given["slices"].to_pylist() if (row["series_key"], row["stack"]) in released]
    images, chosen["slices"] = _place_images(slices, volumes, split_of, task)
    arrays, masks, chosen["volumes"], uris = _place_volumes(volumes, split_of, store, include_volumes)
    chosen["samples"] = _relocate(chosen["samples"], uris)
    chosen["audit"] = _audit(manifests, chosen["slices"])
    return Contents(
        tables=_without_answers(chosen, split_of),
        copies=tuple(sorted([*images, *arrays], key=lambda copy: copy.path)),
        private_tables=_answers(chosen, split_of),
        private_copies=tuple(sorted(masks, key=lambda copy: copy.path)),
        suppressed={"series": dict(figure.suppressed)},
    )


def _take(manifests: Mapping[str, pa.Table], name: str, task: str) -> pa.Table:
    schema = schema_of(name, task)
    if name not in manifests:
        if name in _ANSWERS:
            return schema.empty_table()
        raise Misconfigured(f"release: the store has no {name} manifest; run 'curate run' first")
    try:
        return manifests[name].select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError):
        raise Misconfigured(f"release: the {name} manifest has not the columns of its schema") from None


def _audit(manifests: Mapping[str, pa.Table], slices: pa.Table) -> pa.Table:
    """The chained audit of the released images; a store of before there was one has none."""
    if "audit" not in manifests:
        return schemas.AUDIT.empty_table()
    images = set(zip(*(slices[name].to_pylist() for name in ("series_key", "instance_key")), strict=True))
    given = manifests["audit"]
    keys = zip(*(given[name].to_pylist() for name in ("series_key", "instance_key")), strict=True)
    return chain_audit(given.filter(pa.array([key in images for key in keys], pa.bool_())))


def _splits(samples: pa.Table, imaged: set[str]) -> dict[str, str]:
    split_of: dict[str, str] = {}
    patients: dict[str, str] = {}
    for study, patient, split in zip(
        *(samples[n].to_pylist() for n in ("study_key", "patient_key", "split")), strict=True
    ):
        if split not in SPLITS:
            raise Misconfigured("release: a sample has no split, or one that is not known")
        if patients.setdefault(patient, split) != split:
            raise Misconfigured("release: a patient stands in two splits")
        if study in split_of:
            raise Misconfigured("release: a study stands twice in the samples")
        if study in imaged:
            split_of[study] = split
    if not split_of:
        raise Misconfigured("release: no study has both a label row and a volume")
    return split_of


def _where_in(table: pa.Table, column: str, values: Iterable[str]) -> pa.Table:
    return table.filter(pc.is_in(table[column], pa.array(sorted(values), pa.string())))


def _of_studies(table: pa.Table, studies: Iterable[str]) -> pa.Table:
    return _where_in(table, "study_key", studies)


def _require_plain_keys(volumes: Iterable[Mapping[str, Any]]) -> None:
    for row in volumes:
        if not all(_KEY.fullmatch(row[name] or "") for name in ("study_key", "series_key")):
            raise Misconfigured("release: a study or series key has characters that no file name may have")


def _exclusions(series: pa.Table, released: set[str]) -> pa.Table:
    rows = []
    for row in series.to_pylist():
        if row["series_key"] in released:
            continue
        reason = row["reason"] or ""
        status = row["status"] if reason else "not_selected"
        known = reason in {member.value for member in Reason}
        text = Reason(reason).text if known else "No label row names the study."  # type: ignore[call-arg]
        rows.append(
            {
                **{n: row[n] for n in ("site", "study_key", "series_key")},
                "status": status,
                "reason": reason,
                "text": text,
            }
        )
    return pa.Table.from_pylist(rows, EXCLUSIONS)


def _place_images(
    slices: list[dict[str, Any]], volumes: list[dict[str, Any]], split_of: Mapping[str, str], task: str
) -> tuple[list[Copy], pa.Table]:
    """``<split>_images/<study>/[<series>/]<instance number>.dcm``, the layout of the challenges.

    The 2022 layout has no series folder; a cervical study of several series gets one. A series whose instance numbers
    are missing or repeated, or whose instances hold several slices each (numbered by frame), is named by instance keys
    instead. An object of many frames is copied once; its slices name it and their frame.
    """
    study_of = {row["series_key"]: row["study_key"] for row in volumes}
    series_in = Counter(study_of.values())
    numbers = Counter((row["series_key"], row["instance_number"]) for row in slices)
    unclear = {series for (series, number), n in numbers.items() if n > 1 or number is None or number < 0}
    frames: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for row in slices:
        frames[row["series_key"], row["instance_key"]].add(row["frame"] or 0)
    unclear |= {series for (series, _), found in frames.items() if len(found) > 1}
    copies, rows = [], []
    for row in slices:
        series = row["series_key"]
        study = study_of[series]
        folder = f"{split_of[study]}_images/{study}"
        if task == "lumbar" or series_in[study] > 1:
            folder = f"{folder}/{series}"
        name = row["instance_key"] if series in unclear else row["instance_number"]
        copy = Copy(row["dicom"], f"{folder}/{name}.dcm", row["dicom_sha256"])
        if (row["frame"] or 0) == min(frames[series, row["instance_key"]]):
            copies.append(copy)
        rows.append({**row, "dicom": copy.path})
    return copies, pa.Table.from_pylist(rows, schemas.SLICES)


def _place_volumes(
    volumes: list[dict[str, Any]], split_of: Mapping[str, str], store: Store, include: bool
) -> tuple[list[Copy], list[Copy], pa.Table, dict[str, str]]:
    """Copies of arrays, copies of the hidden split's masks, the volumes table, and store uri -> release uri."""
    arrays: list[Copy] = []
    masks: list[Copy] = []
    rows: list[dict[str, Any]] = []
    uris: dict[str, str] = {}
    for row in volumes:
        split = split_of[row["study_key"]]
        if not include:
            rows.append({**row, "split": split, "uri": None, "objects": [], "size_bytes": 0, "sha256": None})
            continue
        uri = uris[row["uri"]] = f"volumes/{row['study_key']}/{row['series_key']}/{row['stack']}.zarr"
        copies = [Copy(f"{row['uri']}/{name}", f"{uri}/{name}") for name in sorted(row["objects"])]
        if split == HIDDEN_SPLIT and any(name.startswith(LABEL_FOLDER) for name in row["objects"]):
            masks.extend(copy for copy in copies if copy.path.startswith(f"{uri}/{LABEL_FOLDER}"))
            copies = [
                _without_masks(copy, store) for copy in copies if not copy.path.startswith(f"{uri}/{LABEL_FOLDER}")
            ]
        arrays.extend(copies)
        size = sum(store.size(copy.source) if copy.content is None else len(copy.content) for copy in copies)
        names = [copy.path.removeprefix(f"{uri}/") for copy in copies]
        rows.append({**row, "split": split, "uri": uri, "objects": names, "size_bytes": size})
    return arrays, masks, pa.Table.from_pylist(rows, schemas.VOLUMES), uris


def _without_masks(copy: Copy, store: Store) -> Copy:
    """The root metadata of a volume must not name masks that are not there."""
    if not copy.path.endswith(".zarr/zarr.json"):
        return copy
    metadata = json.loads(store.get(copy.source))
    metadata["attributes"][OURS]["labels"] = []
    return replace(copy, content=json.dumps(metadata, indent=2).encode())


def _relocate(samples: pa.Table, uris: Mapping[str, str]) -> pa.Table:
    volumes = [[uris[uri] for uri in row or () if uri in uris] for row in samples["volumes"].to_pylist()]
    column = samples.schema.get_field_index("volumes")
    return samples.set_column(column, samples.schema.field(column), pa.array(volumes, pa.list_(pa.string())))


def _answers(tables: Mapping[str, pa.Table], split_of: Mapping[str, str]) -> dict[str, pa.Table]:
    hidden = [study for study, split in split_of.items() if split == HIDDEN_SPLIT]
    return {name: _of_studies(tables[name], hidden) for name in ("samples", *_ANSWERS) if name in tables}


def _without_answers(tables: Mapping[str, pa.Table], split_of: Mapping[str, str]) -> dict[str, pa.Table]:
    hidden = pa.array(sorted(study for study, split in split_of.items() if split == HIDDEN_SPLIT), pa.string())
    public = dict(tables)
    for name in _ANSWERS:
        if name in public:
            public[name] = public[name].filter(pc.invert(pc.is_in(public[name]["study_key"], hidden)))
    public["samples"] = blank_targets(public["samples"])
    return public


def blank_targets(samples: pa.Table) -> pa.Table:
    """The same samples with null in every target of the hidden split."""
    is_hidden = pc.equal(samples["split"], HIDDEN_SPLIT)
    for number, field in enumerate(samples.schema):
        if number >= SAMPLE_KEYS:
            samples = samples.set_column(
                number, field, pc.if_else(is_hidden, pa.scalar(None, field.type), samples[field.name])
            )
    return samples
