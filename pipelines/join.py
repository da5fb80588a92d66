"""The join: receipts and label tables become the manifests that releases and trainers read.

A function of the catalogue, the label files and what the ledger says of the plan's items: run it again and the same
bytes stand there. Series go by some at a time and wait for their place in a scratch folder, so that memory does not
grow with the archive.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome
from cluster.scratch import scratch_folder
from curate.errors import Misconfigured
from curate.identity import Json, canonical_json
from curate.labels import Issue, issues_table
from curate.manifests import assign_splits, read_table, with_splits, write_pieces, write_table
from curate.manifests.schemas import (
    BOXES,
    CERVICAL_SAMPLES,
    FILE_AUDIT,
    FILES,
    LABEL_ISSUES,
    LUMBAR_SAMPLES,
    OBJECTS,
    POINTS,
    SERIES,
    SLICES,
    VOLUMES,
)
from curate.manifests.tables import SORT_KEYS
from curate.reasons import Reason
from curate.storage import sha256_bytes
from pipelines.grouping import FILES_TABLE, SERIES_TABLE
from pipelines.labelling import Labels, read_labels
from pipelines.made_for import require_made_for
from pipelines.ordering import Ordering
from pipelines.partitions import read_part, read_partitions
from pipelines.settled import read_records
from pipelines.spec import Spec
from pipelines.workspace import Workspace, curation_digest

Tables = dict[str, pa.Table]

JOINED_KEY = "manifests/joined.json"  # written last: which spec the tables are of, and their digests
ACCEPTED = "accepted"  # the status of a series that was not tried yet
NAMES = ("series", "volumes", "slices", "samples", "boxes", "points", "objects", "label_issues", "files", "audit")
SERIES_AT_ONCE = 512  # as Python objects in memory
_GOING_BY = {  # tables as large as the archive, and their schemas
    "series": SERIES,
    "volumes": VOLUMES,
    "slices": SLICES,
    "audit": FILE_AUDIT,
    "objects": OBJECTS,
    "files": FILES,
}


@dataclass(frozen=True)
class Joined:
    """What was written, counted."""

    endings: Counter[tuple[str, str]]  # series by (status, reason or "")
    files: Counter[str]  # in no series, by reason
    label_issues: Counter[str]  # by reason
    volumes: int
    size_bytes: int  # of all series, as they came

    def series(self, status: str) -> dict[str, int]:
        """Series that ended so, by reason, sorted."""
        return {reason: count for (ending, reason), count in sorted(self.endings.items()) if ending == status}

    @property
    def untried(self) -> int:
        """Series that no run has tried."""
        return sum(self.series(ACCEPTED).values())


def join(spec: Spec, workspace: Workspace, stage: str, partitions: int) -> Joined:
    """Write every manifest, from the catalogue and plan of so many partitions and the ledger of a stage.

    An accepted series without an outcome stays ACCEPTED: the manifests say so and are not for a release.
    """
    labels = read_labels(spec, workspace)
    splitter = _Splitter(spec, workspace)
    with (
        scratch_folder("curate-join-") as scratch,
        read_records(Ledger(workspace.store, stage), partitions) as records,
    ):
        going_by = _GoingBy(scratch, workspace, labels, splitter)
        for number in range(partitions):
            series = read_part(workspace.store, SERIES_TABLE, number, partitions)
            known = records(number, series["series_key"])
            for first in range(0, series.num_rows, SERIES_AT_ONCE):
                some = series.slice(first, SERIES_AT_ONCE)
                going_by.add(some, known(first, some.num_rows))
        for part in read_partitions(workspace.store, FILES_TABLE):
            going_by.add_files(part)
        require_made_for(spec, workspace)
        return _write(spec, workspace, going_by, labels, splitter)


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


class _Splitter:
    """The split of patients, wherever they stand: one at a held-out site is in test with all that it has elsewhere."""

    def __init__(self, spec: Spec, workspace: Workspace) -> None:
        self._split = spec.split
        sites = pa.array(spec.split.holdout_sites, pa.string())
        columns = ["patient_key", "site"]
        held_out = [pa.table({name: pa.array([], pa.string()) for name in columns})]
        if len(sites):
            of_sites = pc.field("site").isin(sites)
            parts = read_partitions(workspace.store, SERIES_TABLE, columns=columns, filters=of_sites)
            held_out += [part.group_by(columns).aggregate([]).select(columns) for part in parts]
        self._held_out = pa.concat_tables(held_out)

    def of(self, patients: pa.Table) -> dict[str, str]:
        """The split of every ``patient_key`` of a table that has also ``site``."""
        elsewhere = pc.is_in(self._held_out["patient_key"], value_set=patients["patient_key"].combine_chunks())
        known = pa.concat_tables([patients.select(["patient_key", "site"]), self._held_out.filter(elsewhere)])
        return assign_splits(
            known,
            salt=self._split.salt,
            validation_fraction=self._split.validation_fraction,
            test_fraction=self._split.test_fraction,
            holdout_sites=self._split.holdout_sites,
        )


class _GoingBy:
    """The tables that are as large as the archive, on their way into order; of studies with labels a copy stays."""

    def __init__(self, scratch: Path, workspace: Workspace, labels: Labels | None, splitter: _Splitter) -> None:
        self.tables = {name: Ordering(scratch / name, of, SORT_KEYS[name]) for name, of in _GOING_BY.items()}
        self.labelled = {name: [_GOING_BY[name].empty_table()] for name in ("series", "volumes", "slices")}
        self.mask_issues: list[Issue] = []
        self.endings: Counter[tuple[str, str]] = Counter()
        self.files: Counter[str] = Counter()
        self.size_bytes = 0
        self._workspace = workspace
        self._labels = labels
        self._studies = None if labels is None else labels.studies
        self._splitter = splitter

    def add(self, series: pa.Table, outcomes: Sequence[ItemOutcome | None]) -> None:
        """Some SERIES rows of the catalogue, and what became of each."""
        rows, done = [], []
        for row, outcome in zip(series.to_pylist(), outcomes, strict=True):
            settled = _settled(row, outcome)
            rows.append(settled)
            self.endings[settled["status"], settled["reason"] or ""] += 1
            self.size_bytes += settled["size_bytes"]
            if outcome is not None and settled["status"] == "done":
                done.append((settled, outcome))
        found = {
            "series": pa.Table.from_pylist(rows, schema=SERIES),
            "volumes": with_splits(_volumes(done), self._splitter.of(series)),
            "slices": self._parts(done, "slices"),
        }
        if self._labels is not None:
            found |= {name: self._labels.typed(found[name]) for name in ("series", "volumes")}
            self._keep(found)
        found["audit"] = self._parts(done, "audit")
        objects = [one for _, outcome in done for one in _list(outcome, "objects")]
        found["objects"] = pa.Table.from_pylist(objects, schema=OBJECTS)
        for name, table in found.items():
            self.tables[name].add(table)
        self.mask_issues += _mask_issues(done)

    def add_files(self, files: pa.Table) -> None:
        """FILES rows of the catalogue."""
        self.tables["files"].add(files)
        self.files.update(files["reason"].to_pylist())

    def _keep(self, found: Tables) -> None:
        for name in ("series", "volumes"):
            self.labelled[name].append(found[name].filter(pc.is_in(found[name]["study_key"], self._studies)))
        of_series = self.labelled["volumes"][-1]["series_key"]
        self.labelled["slices"].append(found["slices"].filter(pc.is_in(found["slices"]["series_key"], of_series)))

    def _parts(self, done: Sequence[tuple[dict[str, Any], ItemOutcome]], name: str) -> pa.Table:
        """The tables that builders wrote for each series, as one."""
        parts = (read_table(self._workspace.store, str(outcome.record[name])) for _, outcome in done)
        return pa.concat_tables([_GOING_BY[name].empty_table(), *parts])


def _write(spec: Spec, workspace: Workspace, going_by: _GoingBy, labels: Labels | None, splitter: _Splitter) -> Joined:
    tables: Tables = {
        "boxes": BOXES.empty_table(),
        "points": POINTS.empty_table(),
        "samples": (CERVICAL_SAMPLES if spec.task == "cervical" else LUMBAR_SAMPLES).empty_table(),
        "label_issues": LABEL_ISSUES.empty_table(),
    }
    if labels is not None:
        built = {name: pa.concat_tables(parts) for name, parts in going_by.labelled.items()}
        tables |= labels.place(built, splitter.of(built["series"]))
    tables["label_issues"] = pa.concat_tables([tables["label_issues"], issues_table(going_by.mask_issues)])

    def pieces(name: str) -> Iterator[pa.Table]:
        ordered = going_by.tables[name].pieces()
        return map(labels.finished, ordered) if labels is not None and name == "volumes" else ordered

    written: dict[str, Json] = {}
    for name in NAMES:
        key = f"manifests/{name}.parquet"
        of_labels = tables.get(name)
        found = (
            write_pieces(workspace.store, key, pieces(name))
            if of_labels is None
            else write_table(workspace.store, key, of_labels)
        )
        written[name] = found.sha256
    joined = Joined(
        endings=going_by.endings,
        files=going_by.files,
        label_issues=Counter(tables["label_issues"]["reason"].to_pylist()),
        volumes=going_by.tables["volumes"].rows,
        size_bytes=going_by.size_bytes,
    )
    mark: dict[str, Json] = {
        "curation": curation_digest(spec, workspace),
        "tables": written,
        "untried": joined.untried,
    }
    workspace.store.put(JOINED_KEY, canonical_json(mark))
    return joined


def _mask_issues(done: Sequence[tuple[dict[str, Any], ItemOutcome]]) -> list[Issue]:
    return [
        Issue("masks", None, row["study_key"], Reason(reason), detail)  # type: ignore[call-arg]
        for row, outcome in done
        for reason, detail in _list(outcome, "mask_faults")
    ]


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


def _list(outcome: ItemOutcome, name: str) -> list[Any]:
    value = outcome.record.get(name)
    return value if isinstance(value, list) else []
