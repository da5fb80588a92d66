"""The plan: what is to be done, before anything is done to a pixel.

Planning reads headers (the catalogue stage), rejects what cannot become a volume, and packs the rest into units. It
writes the catalogue, its private counterpart and ``catalogue/plan.parquet``; it writes no image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cluster.executors import Executor
from cluster.executors.compacting import Compacting
from cluster.job import Job
from cluster.ledger import Ledger, compact
from cluster.outcomes import ItemOutcome, Status
from cluster.units import Item, Unit, make_unit, pack, separate_too_large
from curate.errors import Misconfigured
from curate.identity import fingerprint
from curate.manifests import sort_rows, table_bytes
from curate.storage import sha256_bytes
from pipelines.catalogue import PROCESS_MEMORY, catalogue_job, headers_key, list_sites
from pipelines.grouping import group
from pipelines.made_for import mark_catalogue
from pipelines.masks import list_masks
from pipelines.selection import EVERYTHING, Selection
from pipelines.spec import Runtime, Spec
from pipelines.volumes import volumes_job
from pipelines.watch import Watch
from pipelines.workspace import Workspace, volume_parameters

PLAN_KEY = "catalogue/plan.parquet"
LEAST_UNITS = 16  # of a plan that has as many items
PLAN = pa.schema(
    [
        ("unit", pa.string()),
        ("series_key", pa.string()),
        ("fingerprint", pa.string()),
        ("size_bytes", pa.int64()),
        ("memory_bytes", pa.int64()),
        ("lane_bytes", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """Every series of the archives, and what is left to do of them."""

    job: Job
    series: pa.Table  # SERIES, status accepted | rejected
    scanned: tuple[ItemOutcome, ...]  # the catalogue stage's items
    items: tuple[Item, ...]  # accepted series
    too_large: tuple[Item, ...]  # of them, those that no lane holds
    largest_lane: int  # bytes
    units: tuple[Unit, ...]  # all of them
    left: tuple[Unit, ...]  # those that this run tries: no receipt settles them
    digest: str  # of plan.parquet


def make_plan(
    spec: Spec, workspace: Workspace, executor: Executor, watch: Watch, selection: Selection = EVERYTHING
) -> Plan:
    """List, scan, group and pack. Raises ``Misconfigured`` for archives or label folders that are missing or empty, and
    for a selection of series that are not there."""
    require_label_files(spec)
    lanes = lane_bytes(spec.runtime, executor.memory)
    listing_key, chunks = list_sites(spec, workspace)
    masks_key, masks = list_masks(spec, workspace)
    scan = catalogue_job(spec, workspace, listing_key)
    scanned = _scan(scan, chunks, cut(scan.stage, chunks, spec.runtime, lanes), workspace, executor, watch, selection)
    mark_catalogue(spec, workspace)
    series = group(workspace, listing_key, scanned, volume_parameters(spec, workspace))
    job = volumes_job(spec, workspace, masks_key)
    items = _items(job, series, masks)
    fitting, too_large = separate_too_large(items, lanes)
    units = cut(job.stage, fitting, spec.runtime, lanes)
    table = table_bytes(sort_rows(_table(units, too_large), ("series_key",)))
    workspace.store.put(PLAN_KEY, table)
    selection.check(series["series_key"].to_pylist())
    left = selection.of(without_settled(units, Ledger(workspace.store, job.stage).settled(again=selection.again)))
    return Plan(job, series, scanned, tuple(items), tuple(too_large), max(lanes), units, left, sha256_bytes(table))


def cut(stage: str, items: Sequence[Item], runtime: Runtime, lanes: Sequence[int]) -> tuple[Unit, ...]:
    """Units of about the size that the spec asks for, smaller where a small archive would keep only few workers busy.

    The same items give the same units, whatever is settled and whoever works.
    """
    share = sum(item.cost for item in items) // LEAST_UNITS
    target = min(runtime.unit_megabytes * 2**20, max(share, 1))
    return tuple(pack(stage, items, target_cost=target, lanes=lanes))


def without_settled(units: Sequence[Unit], settled: Mapping[str, ItemOutcome]) -> tuple[Unit, ...]:
    """Plan minus ledger: what is settled leaves its unit; a unit of which nothing is settled stays as it is."""
    left = ((unit, [item for item in unit.items if item.fingerprint not in settled]) for unit in units)
    return tuple(make_unit(unit.stage, items, unit.memory) for unit, items in left if items)


def lane_bytes(runtime: Runtime, machine: int) -> tuple[int, ...]:
    """The memory lanes in bytes, those that the largest machine (bytes) can hold; the machine itself if none."""
    lanes = (megabytes * 2**20 for megabytes in runtime.lanes_megabytes)
    return tuple(lane for lane in lanes if lane <= machine) or (machine,)


def require_label_files(spec: Spec) -> None:
    """Raises ``Misconfigured``, with the path of the key, for a label file that is not there."""
    for name, path in dict(spec.labels or {}).items():
        if path is not None and not path.exists():
            raise Misconfigured(f"labels.{name}: {path} does not exist")


def _scan(
    job: Job,
    chunks: Sequence[Item],
    units: Sequence[Unit],
    workspace: Workspace,
    executor: Executor,
    watch: Watch,
    selection: Selection,
) -> tuple[ItemOutcome, ...]:
    """The outcome of every chunk. A chunk whose private part is gone is scanned again."""
    ledger = Ledger(workspace.store, job.stage)
    settled = {
        mark: outcome
        for mark, outcome in ledger.settled(again=selection.again).items()
        if outcome.status is not Status.DONE or workspace.private.exists(headers_key(mark))
    }
    watch.run(Compacting(executor, workspace.store), job, without_settled(units, settled))
    compact(ledger)
    outcomes = ledger.outcomes()
    return tuple(outcomes[chunk.fingerprint] for chunk in chunks)


def _items(job: Job, series: pa.Table, masks: Mapping[str, str]) -> list[Item]:
    accepted = [row for row in series.to_pylist() if row["status"] == "accepted"]
    accepted.sort(key=lambda row: (row["site"], row["patient_key"], row["series_key"]))
    items = []
    for row in accepted:
        mask = masks.get(row["study_key"])
        made_of = [row["fingerprint"], *([mask] if mask else [])]
        mark = fingerprint(job.stage, job.version, job.parameters, made_of)
        items.append(Item(row["series_key"], mark, cost=row["size_bytes"], memory=PROCESS_MEMORY + row["memory_bytes"]))
    return items


def _table(units: Sequence[Unit], too_large: Sequence[Item]) -> pa.Table:
    """PLAN rows; what no lane holds has neither unit nor lane."""
    placed: list[tuple[Item, str | None, int | None]] = [
        (item, one.id, one.memory) for one in units for item in one.items
    ]
    rows = [
        {
            "unit": unit,
            "series_key": item.key,
            "fingerprint": item.fingerprint,
            "size_bytes": item.cost,
            "memory_bytes": item.memory,
            "lane_bytes": lane,
        }
        for item, unit, lane in [*placed, *((item, None, None) for item in too_large)]
    ]
    return pa.Table.from_pylist(rows, schema=PLAN)
