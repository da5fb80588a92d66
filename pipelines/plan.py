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
from cluster.executors.compacting import Compacting
from cluster.job import Job
from cluster.ledger import Ledger, compact
from cluster.outcomes import ItemOutcome, Status
from cluster.units import Item, Unit
from curate.errors import Misconfigured
from curate.storage import Store
from pipelines.catalogue import Listing, catalogue_job, headers_key, list_sites
from pipelines.grouping import SERIES_TABLE, group
from pipelines.made_for import mark_catalogue
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
from pipelines.partitions import Index, read_part, read_partitions
from pipelines.selection import EVERYTHING, Selection
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
    left: Amount  # what was to be tried when the plan was made: no receipt settled it
    selection: Selection = EVERYTHING

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
        """Series that earlier runs settled, or that are not asked for."""
        return self.amount.series - self.left.series

    def read_items(self) -> Iterator[Item]:
        """Every item."""
        for number in range(self.index.partitions):
            yield from items_of(read_part(self.store, PLAN_TABLE, number, self.index.partitions))

    def read_too_large(self) -> Iterator[list[Item]]:
        """The items that no lane holds and that are asked for, those of one partition at a time."""
        for number in range(self.index.partitions if self.too_large else 0):
            alone = pc.is_null(pc.field("unit"))
            rows = read_part(self.store, PLAN_TABLE, number, self.index.partitions, filters=alone)
            if items := [item for item in items_of(rows) if self.selection.wants(item.key)]:
                yield items

    def read_units(self) -> Iterator[Unit]:
        """Every unit, whatever is settled."""
        for number in range(self.index.partitions):
            yield from units_of(self.job.stage, read_part(self.store, PLAN_TABLE, number, self.index.partitions))

    def read_left(self, *, largest_first: bool = False) -> Iterator[Unit]:
        """The units of what is to be tried: what no receipt settles now. ``largest_first`` as in ``units_left``."""
        return units_left(
            self.store, self.job.stage, self.index.partitions, self.selection, largest_first=largest_first
        )


def make_plan(
    spec: Spec, workspace: Workspace, executor: Executor, watch: Watch, selection: Selection = EVERYTHING
) -> Plan:
    """List, scan, group and pack. Raises ``Misconfigured`` for archives or label folders that are missing or empty, and
    for a selection of series that are not there."""
    require_label_files(spec)
    lanes = lane_bytes(spec.runtime, executor.memory)
    listing = list_sites(spec, workspace)
    masks_key, masks = list_masks(spec, workspace)
    scanned = _scan(spec, listing, lanes, workspace, executor, watch, selection)
    mark_catalogue(spec, workspace)
    parameters = volume_parameters(spec, workspace)
    series = group(workspace, listing, scanned, parameters, rows_per_partition=spec.runtime.partition_instances)
    job = volumes_job(spec, workspace, masks_key, series.partitions)
    return plan_series(workspace.store, series, Packing(job, masks, spec.runtime, lanes), selection)


def plan_series(store: Store, series: Index, packing: Packing, selection: Selection = EVERYTHING) -> Plan:
    """From the SERIES rows of a store on: the plan, and what is left of it. Raises as ``make_plan`` does."""
    if selection.only:
        names = read_partitions(store, SERIES_TABLE, columns=["series_key"])
        selection.check(key for part in names for key in part["series_key"].to_pylist())
    index = lay_out(store, series, packing)
    left = count_left(store, packing.job.stage, index, selection)
    return Plan(packing.job, store, series, index, max(packing.lanes), left, selection)


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
    selection: Selection,
) -> dict[str, ItemOutcome]:
    """The outcome of every chunk, by fingerprint. A chunk whose private part is gone is scanned again."""
    job = catalogue_job(spec, workspace)
    ledger = Ledger(workspace.store, job.stage)
    settled = {
        mark: outcome
        for mark, outcome in ledger.settled(again=selection.again).items()
        if outcome.status is not Status.DONE or workspace.private.exists(headers_key(mark))
    }
    units = without_settled(cut(job.stage, listing.chunks, spec.runtime, lanes), settled)
    watch.run(Compacting(executor, workspace.store), job, units)
    compact(ledger)
    outcomes = ledger.outcomes() if units else settled
    return {chunk.fingerprint: outcomes[chunk.fingerprint] for chunk in listing.chunks}
