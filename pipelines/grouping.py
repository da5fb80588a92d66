"""From the parts of the catalogue to its three tables: instances sorted into series and stacks, series, files.

Cheap checks on headers happen here, so that what cannot become a volume is rejected before a pixel is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa

from cluster.outcomes import ItemOutcome, Status
from curate.dicom.estimate import estimate_memory
from curate.dicom.pixels import Damaged
from curate.dicom.series import SortedSeries, sort_out
from curate.dicom.stacks import StackLimits
from curate.errors import Rejected
from curate.identity import digest_json
from curate.manifests import read_table, sort_rows, table_bytes, write_table
from curate.manifests.schemas import FILES, INSTANCES, SERIES
from curate.reasons import Reason
from pipelines.catalogue import HEADERS, SOURCES, headers_key
from pipelines.workspace import Workspace

INSTANCES_KEY, SERIES_KEY, FILES_KEY = (f"catalogue/{name}.parquet" for name in ("instances", "series", "files"))
SOURCES_KEY = "sources.parquet"
_IDENTITY = ("site", "patient_key", "study_key")


def group(
    workspace: Workspace, listing_key: str, parts: Iterable[ItemOutcome], parameters: Mapping[str, Any]
) -> pa.Table:
    """Write the catalogue's tables from the parts that the catalogue stage made; return the SERIES rows.

    ``parameters``: those of the volumes stage; how series are judged is under ``sorting``, see ``sort_series``. Files
    of a chunk that could not be scanned are named one by one, with the chunk's reason.
    """
    outcomes = {part.key: part for part in parts}
    done = sorted(part.fingerprint for part in outcomes.values() if part.status is Status.DONE)
    names = [mark[:16] for mark in done]
    store, private = workspace.store, workspace.private
    listing = read_table(private, listing_key)
    rows = _concatenate(INSTANCES, (read_table(store, f"catalogue/parts/{name}/instances.parquet") for name in names))
    instances: list[dict[str, Any]] = []
    series: list[dict[str, Any]] = []
    ordered = sorted(rows.to_pylist(), key=itemgetter("series_key", "site", "instance_key", "file_key"))
    for _, members in groupby(ordered, key=itemgetter("series_key")):
        placed, verdict = _settle(list(members), parameters)
        instances += placed
        series.append(verdict)
    files = _concatenate(
        FILES,
        (
            *(read_table(store, f"catalogue/parts/{name}/files.parquet") for name in names),
            _unscanned(listing, outcomes),
        ),
    )
    headers = _concatenate(HEADERS, (read_table(private, headers_key(mark)) for mark in done))
    sources = listing.join(headers, keys="file_key", join_type="inner").select(SOURCES.names).cast(SOURCES)
    write_table(store, INSTANCES_KEY, pa.Table.from_pylist(instances, schema=INSTANCES))
    write_table(store, FILES_KEY, files)
    private.put(SOURCES_KEY, table_bytes(sort_rows(sources, ("series_key", "file_key"))))
    table = pa.Table.from_pylist(series, schema=SERIES)
    write_table(store, SERIES_KEY, table)
    return table


def sort_series(
    rows: Sequence[Mapping[str, Any]], sorting: Mapping[str, Any], damaged: Damaged | None = None
) -> SortedSeries:
    """``sort_out`` for the catalogue rows of one series, which must be of one patient, study and site.

    ``sorting``: the ``modality`` that the task uses, the ``limits`` of a stack, and the sites at which a header without
    a modality has the task's (``assumed_at``). ``damaged``: instances whose pixels turned out to be unusable. Raises
    Rejected(MIXED_IDENTITY) for rows of several.
    """
    if len({tuple(row[name] for name in _IDENTITY) for row in rows}) > 1:
        raise Rejected(Reason.MIXED_IDENTITY)
    return sort_out(
        rows,
        modality=sorting["modality"],
        assume_modality=rows[0]["site"] in sorting["assumed_at"],
        limits=StackLimits(**sorting["limits"]),
        damaged=damaged,
    )


def digest_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """What the catalogue knows a series by: the headers, sizes and times of its files."""
    return digest_json(sorted(f"{row['header_digest']}{row['stamp']}" for row in rows))


def _settle(rows: list[dict[str, Any]], parameters: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    first = rows[0]
    verdict = {name: first[name] for name in (*_IDENTITY, "series_key", "modality")}
    verdict |= {
        "instances": len(rows),
        "size_bytes": sum(row["size_bytes"] for row in rows),
        "fingerprint": digest_rows(rows),
    }
    try:
        found = sort_series(rows, parameters["sorting"])
    except Rejected as rejection:
        placed = [{**row, "reason": rejection.reason.value} for row in rows]
        verdict |= {"instances_used": 0, "stacks": 0, "memory_bytes": 0}
        return placed, {**verdict, "status": "rejected", "reason": rejection.reason.value, "detail": rejection.detail}
    placed = [
        {
            **row,
            "reason": None if place.reason is None else place.reason.value,
            "stack": place.stack,
            "position_in_stack": place.position_in_stack,
        }
        for row, place in zip(rows, found.instances, strict=True)
    ]
    verdict |= {
        "instances_used": sum(row["reason"] is None for row in placed),
        "stacks": len(found.stacks),
        "memory_bytes": estimate_memory(rows, spacing_mm=_bounding_spacing(parameters)),
        "status": "accepted" if found.reason is None else "rejected",
        "reason": None if found.reason is None else found.reason.value,
        "detail": found.detail,
    }
    return placed, verdict


def _bounding_spacing(parameters: Mapping[str, Any]) -> list[float | None]:
    """The target spacing along (slice, row, column), or one that needs no less memory where axes are permuted."""
    spacing: list[float | None] = list(parameters["spacing_mm"])
    if parameters["orientation"] == "radiological":
        return spacing
    return [min((each for each in spacing if each is not None), default=None)] * 3


def _unscanned(listing: pa.Table, outcomes: Mapping[str, ItemOutcome]) -> pa.Table:
    """FILES rows of the chunks that ended otherwise than done."""
    rows = []
    for row in listing.to_pylist():
        outcome = outcomes[row["chunk"]]
        if outcome.reason is not None:
            detail = f"its chunk of the header scan: {outcome.detail}"
            rows.append({**row, "size_bytes": row["size"], "reason": outcome.reason.value, "detail": detail})
    return pa.Table.from_pylist([{name: row[name] for name in FILES.names} for row in rows], schema=FILES)


def _concatenate(schema: pa.Schema, tables: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *tables])
