"""The join: receipts and label tables become the manifests that releases and trainers read.

A function of the catalogue, the label files and what the ledger says of the plan's items: run it again and the same
bytes stand there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from cluster.outcomes import ItemOutcome
from curate.errors import Misconfigured
from curate.identity import Json, canonical_json
from curate.labels import (
    Issue,
    issues_table,
    place_boxes,
    place_points,
    read_cervical_labels,
    read_lumbar_labels,
    with_series_types,
)
from curate.labels.checks import (
    check_cervical,
    check_coverage,
    check_lumbar,
    check_point_places,
)
from curate.labels.levels import with_levels
from curate.labels.masks import points_objects
from curate.manifests import assign_splits, cervical_samples, lumbar_samples, read_table, with_splits, write_table
from curate.manifests.schemas import (
    BOXES,
    CERVICAL_SAMPLES,
    FILE_AUDIT,
    LABEL_ISSUES,
    LUMBAR_SAMPLES,
    OBJECTS,
    POINTS,
    SERIES,
    SLICES,
    VOLUMES,
)
from curate.reasons import Reason
from curate.storage import sha256_bytes
from pipelines.grouping import FILES_TABLE
from pipelines.made_for import require_made_for
from pipelines.partitions import read_whole
from pipelines.spec import CervicalLabelFiles, CervicalSpec, LumbarLabelFiles, LumbarSpec, Spec
from pipelines.workspace import Workspace, curation_digest

Tables = dict[str, pa.Table]

JOINED_KEY = "manifests/joined.json"  # written last: which spec the tables are of, and their digests
ACCEPTED = "accepted"  # the status of a series that was not tried yet
NAMES = ("series", "volumes", "slices", "samples", "boxes", "points", "objects", "label_issues", "files", "audit")


def join(spec: Spec, workspace: Workspace, series: pa.Table, outcomes: Mapping[str, ItemOutcome]) -> Tables:
    """Write every manifest and return them by name. ``outcomes``: by series key, of every accepted series.

    An accepted series without an outcome stays ACCEPTED: the manifests say so and are not for a release.
    """
    rows = [_settled(row, outcomes.get(row["series_key"])) for row in series.to_pylist()]
    done = [(row, outcomes[row["series_key"]]) for row in rows if row["status"] == "done"]
    splits = assign_splits(
        series,
        salt=spec.split.salt,
        validation_fraction=spec.split.validation_fraction,
        test_fraction=spec.split.test_fraction,
        holdout_sites=spec.split.holdout_sites,
    )
    tables: Tables = {
        "series": pa.Table.from_pylist(rows, schema=SERIES),
        "volumes": with_splits(_volumes(done), splits),
        "slices": _parts(workspace, done, "slices", SLICES),
        "audit": _parts(workspace, done, "audit", FILE_AUDIT),
        "objects": pa.Table.from_pylist(
            [one for _, outcome in done for one in _list(outcome, "objects")], schema=OBJECTS
        ),
        "boxes": BOXES.empty_table(),
        "points": POINTS.empty_table(),
        "samples": (CERVICAL_SAMPLES if spec.task == "cervical" else LUMBAR_SAMPLES).empty_table(),
        "label_issues": LABEL_ISSUES.empty_table(),
        "files": read_whole(workspace.store, FILES_TABLE),
    }
    require_made_for(spec, workspace)
    match spec:
        case CervicalSpec(labels=CervicalLabelFiles() as files):
            tables |= _cervical(files, workspace, tables, splits)
        case LumbarSpec(labels=LumbarLabelFiles() as files):
            tables |= _lumbar(files, workspace, tables, splits)
    tables["label_issues"] = pa.concat_tables([tables["label_issues"], _mask_issues(done)])
    written = {name: write_table(workspace.store, f"manifests/{name}.parquet", tables[name]).sha256 for name in NAMES}
    untried = sum(row["status"] == ACCEPTED for row in rows)
    mark: dict[str, Json] = {
        "curation": curation_digest(spec, workspace),
        "tables": dict(written),
        "untried": untried,
    }
    workspace.store.put(JOINED_KEY, canonical_json(mark))
    return tables


def read_manifests(spec: Spec, workspace: Workspace) -> Tables:
    """What ``join`` wrote last.

    Raises ``Misconfigured`` when no run has finished, or the last one was of another spec or did not end: its tables
    are not what this spec says.
    """
    store = workspace.store
    try:
        mark = json.loads(store.get(JOINED_KEY))
    except FileNotFoundError:
        raise Misconfigured(f"{spec.store} holds no manifests yet: `curate run` first") from None
    if mark["curation"] != curation_digest(spec, workspace):
        raise Misconfigured("the manifests were made by a run of another spec: `curate run` this one first")
    if mark.get("untried"):
        raise Misconfigured(f"the last run left {mark['untried']} series untried (--only): `curate run` first")
    keys = {name: f"manifests/{name}.parquet" for name in NAMES}
    if any(sha256_bytes(store.get(key)) != mark["tables"][name] for name, key in keys.items()):
        raise Misconfigured("the manifests are not those of the last run that ended: `curate run` again")
    return {name: read_table(store, key) for name, key in keys.items()}


def _cervical(files: CervicalLabelFiles, workspace: Workspace, tables: Tables, splits: Mapping[str, str]) -> Tables:
    labels = read_cervical_labels(files.train, files.boxes, workspace.pseudonyms)
    boxes, misplaced = place_boxes(labels.boxes, tables["slices"], tables["volumes"], series=tables["series"])
    return {
        "boxes": boxes,
        "samples": cervical_samples(labels.targets, tables["volumes"], splits),
        "label_issues": pa.concat_tables(
            [
                labels.issues,
                misplaced,
                check_cervical(labels),
                check_coverage(labels.targets, tables["series"], tables["volumes"]),
            ]
        ),
    }


def _lumbar(files: LumbarLabelFiles, workspace: Workspace, tables: Tables, splits: Mapping[str, str]) -> Tables:
    labels = read_lumbar_labels(files.train, files.coordinates, files.series_descriptions, workspace.pseudonyms)
    series = with_series_types(tables["series"], labels.series_types)
    volumes = with_series_types(tables["volumes"], labels.series_types)
    points, misplaced = place_points(labels.points, tables["slices"], volumes, series=series)
    return {
        "series": series,
        "volumes": with_levels(volumes, points),
        "points": points,
        "objects": points_objects(points),
        "samples": lumbar_samples(labels.targets, volumes, splits),
        "label_issues": pa.concat_tables(
            [
                labels.issues,
                misplaced,
                check_lumbar(labels),
                check_coverage(labels.targets, series, volumes),
                check_point_places(points, labels),
            ]
        ),
    }


def _settled(row: dict[str, Any], outcome: ItemOutcome | None) -> dict[str, Any]:
    """The catalogue's row with its final status; a series that the headers rejected has no outcome.

    The catalogue's fingerprint knows file times, to notice change; the manifest's is of content alone, or null.
    """
    if outcome is None:
        return {**row, "fingerprint": None}
    reason = None if outcome.reason is None else outcome.reason.value
    equipment = outcome.record.get("equipment")
    known = dict(equipment) if isinstance(equipment, Mapping) else {}
    made_of = outcome.record.get("made_of")
    if "instances_used" in outcome.record:
        known["instances_used"] = outcome.record["instances_used"]
    detail = outcome.detail or str(outcome.record.get("detail", ""))
    ending = {"status": outcome.status.value, "reason": reason, "detail": detail}
    return {**row, **known, **ending, "fingerprint": None if made_of is None else str(made_of)}


def _volumes(done: Sequence[tuple[dict[str, Any], ItemOutcome]]) -> pa.Table:
    keys = ("site", "patient_key", "study_key", "series_key")
    rows = [
        {**{name: row[name] for name in keys}, **volume}
        for row, outcome in done
        for volume in _list(outcome, "volumes")
    ]
    return pa.Table.from_pylist(rows, schema=VOLUMES)


def _parts(
    workspace: Workspace, done: Sequence[tuple[dict[str, Any], ItemOutcome]], name: str, schema: pa.Schema
) -> pa.Table:
    """The tables that builders wrote for each series, as one."""
    parts = (read_table(workspace.store, str(outcome.record[name])) for _, outcome in done)
    return pa.concat_tables([schema.empty_table(), *parts])


def _mask_issues(done: Sequence[tuple[dict[str, Any], ItemOutcome]]) -> pa.Table:
    return issues_table(
        Issue("masks", None, row["study_key"], Reason(reason), detail)  # type: ignore[call-arg]
        for row, outcome in done
        for reason, detail in _list(outcome, "mask_faults")
    )


def _list(outcome: ItemOutcome, name: str) -> list[Any]:
    value = outcome.record.get(name)
    return value if isinstance(value, list) else []
