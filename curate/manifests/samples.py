"""One row a study that can be learnt from or scored: its labels, its split and where its volumes lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.manifests.schemas import (
    CERVICAL_SAMPLES,
    CERVICAL_TARGETS,
    LUMBAR_SAMPLES,
    LUMBAR_TARGETS,
    SERIES_TYPES,
)


def cervical_samples(targets: pa.Table, volumes: pa.Table, splits: Mapping[str, str]) -> pa.Table:
    """CERVICAL_SAMPLES: studies that have labels, at least one volume and a split, sorted by (site, patient, study).

    ``targets``: ``study_key`` and CERVICAL_TARGETS; ``volumes``: VOLUMES; ``splits``: patient_key -> split. A study
    whose volumes are of two patients or two sites cannot be given to one split and is left out; ``labels.checks``
    names it.
    """
    return _samples(targets, volumes, splits, CERVICAL_TARGETS, CERVICAL_SAMPLES)


def lumbar_samples(targets: pa.Table, volumes: pa.Table, splits: Mapping[str, str]) -> pa.Table:
    """LUMBAR_SAMPLES, as ``cervical_samples``; volumes stand in the order of SERIES_TYPES, then series and stack."""
    return _samples(targets, volumes, splits, LUMBAR_TARGETS, LUMBAR_SAMPLES)


def _samples(
    targets: pa.Table,
    volumes: pa.Table,
    splits: Mapping[str, str],
    names: Sequence[str],
    schema: pa.Schema,
) -> pa.Table:
    by_study: dict[str, list[dict[str, Any]]] = defaultdict(list)
    columns = ["site", "patient_key", "study_key", "series_key", "stack", "series_type", "uri"]
    for volume in volumes.select(columns).to_pylist():
        by_study[volume["study_key"]].append(volume)

    rows = []
    for label in targets.select(["study_key", *names]).to_pylist():
        of_study = by_study.get(label["study_key"], [])
        owners = {(volume["site"], volume["patient_key"]) for volume in of_study}
        if len(owners) != 1:
            continue
        site, patient_key = next(iter(owners))
        split = splits.get(patient_key)
        if split is None:
            continue
        uris = [volume["uri"] for volume in sorted(of_study, key=_display_order)]
        rows.append({"site": site, "patient_key": patient_key, "split": split, "volumes": uris, **label})
    rows.sort(key=lambda row: (row["site"], row["patient_key"], row["study_key"]))
    return pa.Table.from_pylist(rows, schema=schema)


def _display_order(volume: Mapping[str, Any]) -> tuple[int, str, int]:
    kind = volume["series_type"]
    rank = SERIES_TYPES.index(kind) if kind in SERIES_TYPES else len(SERIES_TYPES)
    return rank, volume["series_key"], volume["stack"]
