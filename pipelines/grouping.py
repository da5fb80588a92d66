"""From the parts of the catalogue to its tables: instances sorted into series and stacks, series, files, sources.

Cheap checks on headers happen here, so that what cannot become a volume is rejected before a pixel is read. The rows
are sorted out into partitions first (``pipelines/partitions.py``); each partition is then judged by itself, so memory
does not grow with the archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.outcomes import ItemOutcome, Status
from cluster.scratch import scratch_folder
from curate.dicom.estimate import estimate_memory
from curate.dicom.pixels import Damaged
from curate.dicom.series import SortedSeries, sort_out
from curate.dicom.stacks import StackLimits
from curate.errors import Rejected
from curate.identity import digest_json
from curate.manifests import read_table, sort_rows
from curate.manifests.schemas import FILES, INSTANCES, SERIES
from curate.manifests.tables import ROWS_PER_GROUP, SORT_KEYS
from curate.reasons import Reason
from curate.storage import Store
from pipelines.catalogue import HEADERS, SOURCES, Listing, headers_key, listing_key, part_keys
from pipelines.partitions import Index, PartitionWriter, find_index, partition_count
from pipelines.shuffle import Shuffle
from pipelines.workspace import Workspace

VERSION = 2  # raised when the tables would be others
INSTANCES_TABLE, SERIES_TABLE, FILES_TABLE = (f"catalogue/{name}" for name in ("instances", "series", "files"))
SOURCES_TABLE = "sources"  # private
_IDENTITY = ("site", "patient_key", "study_key")
_ORDER = ("series_key", "site", "instance_key", "file_key")  # in which the rows of a series are judged


def group(
    workspace: Workspace,
    listing: Listing,
    scanned: Mapping[str, ItemOutcome],
    parameters: Mapping[str, Any],
    *,
    rows_per_partition: int,
) -> Index:
    """Write the catalogue's tables from the parts that the catalogue stage made; return the index of the series.

    ``scanned``: the outcome of every chunk, by fingerprint. ``parameters``: those of the volumes stage; how series are
    judged is under ``sorting``, see ``sort_series``. Files of a chunk that could not be scanned are named one by one,
    with the chunk's reason. Nothing is written again where the tables are made of the same already.
    """
    instances = sum(int(str(outcome.record.get("instances", 0))) for outcome in scanned.values())
    partitions = partition_count(instances, rows_per_partition)
    ends = [[chunk.key, chunk.fingerprint, scanned[chunk.fingerprint].status.value] for chunk in listing.chunks]
    made_of = digest_json([VERSION, partitions, dict(parameters), ends])
    private_made_of = digest_json([made_of, listing.digest])
    known = [find_index(workspace.store, table, made_of) for table in (INSTANCES_TABLE, FILES_TABLE, SERIES_TABLE)]
    if known[-1] and all(known) and find_index(workspace.private, SOURCES_TABLE, private_made_of):
        return known[-1]
    with scratch_folder("curate-plan-") as scratch:
        rows = _Rows(scratch, partitions)
        for chunk in listing.chunks:
            rows.add(workspace, scanned[chunk.fingerprint])
        return rows.write(workspace, parameters, made_of, private_made_of)


def series_writer(store: Store, partitions: int) -> PartitionWriter:
    """Writes the SERIES rows of a catalogue, partition by partition."""
    return PartitionWriter(store, SERIES_TABLE, partitions, distinct=(*_IDENTITY[1:], "series_key", "fingerprint"))


def group_rows(rows: pa.Table, parameters: Mapping[str, Any]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Judge the instances of one partition: (INSTANCES, SERIES), some whole series at a time, by series key.

    A pure function: the same rows in any order give the same tables. What is held as Python objects is one series.
    """
    rows = rows.combine_chunks()
    order = pc.sort_indices(rows, [(name, "ascending") for name in _ORDER]).to_numpy()
    keys = rows["series_key"].combine_chunks().dictionary_encode()
    codes = keys.indices.to_numpy(zero_copy_only=False)[order]
    starts = [*np.flatnonzero(np.diff(codes, prepend=-1)).tolist(), len(order)]
    first = 0
    for last in range(1, len(starts)):
        if starts[last] - starts[first] >= ROWS_PER_GROUP or last == len(starts) - 1:
            bounds = [start - starts[first] for start in starts[first : last + 1]]
            yield _judge(rows.take(pa.array(order[starts[first] : starts[last]])), bounds, parameters)
            first = last


def sort_series(
    rows: Sequence[Mapping[str, Any]], sorting: Mapping[str, Any], damaged: Damaged | None = None
) -> SortedSeries:
    """``sort_out`` for the catalogue rows of one series, which must be of one patient, study and site.

    ``sorting``: the ``modality`` that the task uses, the ``limits`` of a stack, and the sites at which a header without
    a modality has the task's (``assumed_at``). ``damaged``: instances whose pixels turned out to be unusable. Raises
    Rejected(SEVERAL_SITES), which says at which, or Rejected(MIXED_IDENTITY) for rows of several.
    """
    sites, patients, studies = (Counter(row[name] for row in rows) for name in _IDENTITY)
    if len(sites) > 1:  # a patient's key depends on the site, so nothing can be said of patients
        at = ", ".join(f"{site} ({count} instances)" for site, count in sorted(sites.items()))
        raise Rejected(Reason.SEVERAL_SITES, f"at {at}")
    if len(patients) > 1 or len(studies) > 1:
        raise Rejected(Reason.MIXED_IDENTITY, f"{len(patients)} patients, {len(studies)} studies")
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


class _Rows:
    """What all chunks gave, sorted out into partitions."""

    def __init__(self, scratch: Path, partitions: int) -> None:
        self.partitions = partitions
        self.instances = Shuffle(scratch / "instances", INSTANCES, partitions)
        self.files = Shuffle(scratch / "files", FILES, partitions)
        self.sources = Shuffle(scratch / "sources", SOURCES, partitions)

    def add(self, workspace: Workspace, chunk: ItemOutcome) -> None:
        """The parts of a chunk; of one that could not be scanned, its files with the reason."""
        listing = read_table(workspace.private, listing_key(chunk.fingerprint))
        if chunk.status is not Status.DONE:
            files = _unscanned(listing, chunk)
            self.files.add(files, files["file_key"])
            return
        instances, files = (read_table(workspace.store, key) for key in part_keys(chunk.fingerprint))
        headers = read_table(workspace.private, headers_key(chunk.fingerprint)).cast(HEADERS)
        sources = listing.join(headers, keys="file_key", join_type="inner", use_threads=False)
        self.instances.add(instances, instances["series_key"])
        self.files.add(files, files["file_key"])
        self.sources.add(sources, sources["series_key"])

    def write(self, workspace: Workspace, parameters: Mapping[str, Any], made_of: str, private_made_of: str) -> Index:
        """Write every partition of the four tables, then their indexes."""
        store = workspace.store
        distinct = ("instance_key", "file_key", "header_digest", "stamp")
        instances = PartitionWriter(store, INSTANCES_TABLE, self.partitions, distinct=distinct)
        series = series_writer(store, self.partitions)
        files = PartitionWriter(store, FILES_TABLE, self.partitions, distinct=("file_key",))
        sources = PartitionWriter(workspace.private, SOURCES_TABLE, self.partitions, distinct=("file_key", "member"))
        count = 0
        for number in range(self.partitions):
            verdicts = [SERIES.empty_table()]
            instances.write(_placed(self.instances.partition(number), parameters, verdicts))
            found = sort_rows(pa.concat_tables(verdicts), SORT_KEYS["series"])
            series.write([found])
            files.write([sort_rows(self.files.partition(number), SORT_KEYS["files"])])
            sources.write([sort_rows(self.sources.partition(number), ("series_key", "file_key"))])
            count += found.num_rows
        sources.finish(private_made_of)
        instances.finish(made_of, {"rows": self.instances.rows})
        files.finish(made_of, {"rows": self.files.rows})
        return series.finish(made_of, {"rows": count})


def _placed(rows: pa.Table, parameters: Mapping[str, Any], verdicts: list[pa.Table]) -> Iterator[pa.Table]:
    """INSTANCES of a partition in pieces, sorted; the SERIES rows are put into ``verdicts`` on the way."""
    if not rows.num_rows:
        yield INSTANCES.empty_table()
    for placed, series in group_rows(rows, parameters):
        verdicts.append(series)
        yield sort_rows(placed, SORT_KEYS["instances"])


def _judge(rows: pa.Table, bounds: Sequence[int], parameters: Mapping[str, Any]) -> tuple[pa.Table, pa.Table]:
    """The rows of some series, one after another between the bounds, with their places, and the verdicts."""
    places: list[tuple[str | None, int | None, int | None]] = []
    series = []
    for first, end in pairwise(bounds):
        found, verdict = _settle(rows.slice(first, end - first).to_pylist(), parameters)
        places += found
        series.append(verdict)
    columns = zip(("reason", "stack", "position_in_stack"), zip(*places, strict=True), strict=True)
    for name, values in columns:
        at = INSTANCES.get_field_index(name)
        rows = rows.set_column(at, INSTANCES.field(name), pa.array(values, INSTANCES.field(name).type))
    return rows, pa.Table.from_pylist(series, schema=SERIES)


def _settle(
    rows: list[dict[str, Any]], parameters: Mapping[str, Any]
) -> tuple[list[tuple[str | None, int | None, int | None]], dict[str, Any]]:
    """(reason, stack, position in it) of every row of one series, and its SERIES row."""
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
        reason = rejection.reason.value
        verdict |= {"instances_used": 0, "stacks": 0, "memory_bytes": 0}
        verdict |= {"status": "rejected", "reason": reason, "detail": rejection.detail}
        return [(reason, None, None)] * len(rows), verdict
    places = [
        (None if place.reason is None else place.reason.value, place.stack, place.position_in_stack)
        for place in found.instances
    ]
    verdict |= {
        "instances_used": sum(reason is None for reason, _, _ in places),
        "stacks": len(found.stacks),
        "memory_bytes": estimate_memory(rows, spacing_mm=_bounding_spacing(parameters)),
        "status": "accepted" if found.reason is None else "rejected",
        "reason": None if found.reason is None else found.reason.value,
        "detail": found.detail,
    }
    return places, verdict


def _bounding_spacing(parameters: Mapping[str, Any]) -> list[float | None]:
    """The target spacing along (slice, row, column), or one that needs no less memory where axes are permuted."""
    spacing: list[float | None] = list(parameters["spacing_mm"])
    if parameters["orientation"] == "radiological":
        return spacing
    return [min((each for each in spacing if each is not None), default=None)] * 3


def _unscanned(listing: pa.Table, chunk: ItemOutcome) -> pa.Table:
    """FILES rows of a chunk that ended otherwise than done."""
    assert chunk.reason is not None
    told = {
        "size_bytes": listing["size"],
        "reason": pa.repeat(chunk.reason.value, listing.num_rows),
        "detail": pa.repeat(f"its chunk of the header scan: {chunk.detail}", listing.num_rows),
    }
    return pa.table({"site": listing["site"], "file_key": listing["file_key"], **told}, schema=FILES)
