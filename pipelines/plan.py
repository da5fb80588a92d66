"""The plan: what is to be done, before anything is done to a pixel.

Planning reads headers (the catalogue stage), rejects what cannot become a volume, and packs the rest into units. It
writes the catalogue, its private counterpart and ``catalogue/plan/``; it writes no image. All of it lies in partitions
(``pipelines/partitions.py``) and is made and read one partition at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from cluster.executors import Executor
from cluster.job import Job
from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome, Status
from cluster.units import Item, Unit
from curate.errors import Misconfigured
from curate.storage import Store
from pipelines.catalogue import Listing, catalogue_job, headers_key, list_sites
from pipelines.grouping import group
from pipelines.masks import list_masks
from pipelines.packing import (
    PLAN_TABLE,
    Amount,
    Packing,
    amount_of,
    cut,
    items_of,
    lane_bytes,
    lay_out,
    units_of,
    without_settled,
)
from pipelines.partitions import Index, read_part
from pipelines.settled import count_left, units_left
from pipelines.spec import Spec
from pipelines.volumes import volumes_job
from pipelines.watch import Watch
from pipelines.workspace import Workspace, volume_parameters


@dataclass(frozen=True)
class Plan:
    """Where the plan lies and what it comes to; items and units are read from it partition by partition."""

    job: Job
    store: Store
    series: Index  # of SERIES, status accepted | rejected
    index: Index  # of PLAN
    largest_lane: int  # bytes
    left: Amount  # what no receipt settled when the plan was made

    @property
    def amount(self) -> Amount:
        """All the work there is, settled or not."""
        return amount_of(self.index)

    @property
    def items(self) -> int:
        """Accepted series, those that no lane holds among them."""
        return self.amount.series + self.too_large

    @property
    def too_large(self) -> int:
        """Accepted series that no lane holds."""
        return self.index.counts["too_large"]

    @property
    def settled(self) -> int:
        """Series that earlier runs settled."""
        return self.amount.series - self.left.series

    def read_items(self) -> Iterator[Item]:
        """Every item."""
        for number in range(self.index.partitions):
            yield from items_of(read_part(self.store, PLAN_TABLE, number, self.index.partitions))

    def read_too_large(self) -> Iterator[list[Item]]:
        """The items that no lane holds, those of one partition at a time."""
        for number in range(self.index.partitions if self.too_large else 0):
            alone = pc.is_null(pc.field("unit"))
            rows = read_part(self.store, PLAN_TABLE, number, self.index.partitions, filters=alone)
            if rows.num_rows:
                yield list(items_of(rows))

    def read_units(self) -> Iterator[Unit]:
        """Every unit, whatever is settled."""
        for number in range(self.index.partitions):
            yield from units_of(self.job.stage, read_part(self.store, PLAN_TABLE, number, self.index.partitions))

    def read_left(self) -> Iterator[Unit]:
        """The units of what no receipt settles now."""
        return units_left(self.store, self.job.stage, self.index.partitions)


def make_plan(spec: Spec, workspace: Workspace, executor: Executor, watch: Watch) -> Plan:
    """List, scan, group and pack. Raises ``Misconfigured`` for archives or label folders that are missing or empty."""
    require_label_files(spec)
    lanes = lane_bytes(spec.runtime, executor.memory)
    listing = list_sites(spec, workspace)
    masks_key, masks = list_masks(spec, workspace)
    scanned = _scan(spec, listing, lanes, workspace, executor, watch)
    parameters = volume_parameters(spec, workspace)
    series = group(workspace, listing, scanned, parameters, rows_per_partition=spec.runtime.partition_instances)
    job = volumes_job(spec, workspace, masks_key, series.partitions)
    return plan_series(workspace.store, series, Packing(job, masks, spec.runtime, lanes))


def plan_series(store: Store, series: Index, packing: Packing) -> Plan:
    """From the SERIES rows of a store on: the plan, and what is left of it."""
    index = lay_out(store, series, packing)
    left = count_left(store, packing.job.stage, index)
    return Plan(packing.job, store, series, index, max(packing.lanes), left)


def require_label_files(spec: Spec) -> None:
    """Raises ``Misconfigured``, with the path of the key, for a label file that is not there."""
    for name, path in dict(spec.labels or {}).items():
        if path is not None and not path.exists():
            raise Misconfigured(f"labels.{name}: {path} does not exist")


def _scan(
    spec: Spec,
    listing: Listing,
    lanes: tuple[int, ...],
    workspace: Workspace,
    executor: Executor,
    watch: Watch,
) -> dict[str, ItemOutcome]:
    """The outcome of every chunk, by fingerprint. A chunk whose private part is gone is scanned again."""
    job = catalogue_job(spec, workspace)
    ledger = Ledger(workspace.store, job.stage)
    settled = {
        mark: outcome
        for mark, outcome in ledger.settled().items()
        if outcome.status is not Status.DONE or workspace.private.exists(headers_key(mark))
    }
    units = without_settled(cut(job.stage, listing.chunks, spec.runtime, lanes), settled)
    watch.run(executor, job, units)
    outcomes = ledger.outcomes() if units else settled
    return {chunk.fingerprint: outcomes[chunk.fingerprint] for chunk in listing.chunks}
