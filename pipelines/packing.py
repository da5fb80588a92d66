"""From SERIES rows to items, units and the rows of the plan, one partition at a time.

The plan lies in ``catalogue/plan/``: one row an item, in the order in which units hold their items. What it says of one
partition depends on the rows of that partition alone, so partitions could be planned anywhere, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.job import Job
from cluster.outcomes import ItemOutcome
from cluster.units import Item, Unit, make_unit, pack, separate_too_large
from curate.identity import Json, digest_json, fingerprinter
from curate.storage import Store
from pipelines.catalogue import PROCESS_MEMORY
from pipelines.grouping import SERIES_TABLE
from pipelines.partitions import Index, PartitionWriter, find_index, read_part
from pipelines.spec import Runtime

VERSION = 2  # raised when the rows would be others
PLAN_TABLE = "catalogue/plan"
LEAST_UNITS = 16  # of a plan that has as many items
PLAN = pa.schema(
    [
        ("unit", pa.string()),  # null: no lane holds the item
        ("series_key", pa.string()),
        ("fingerprint", pa.string()),
        ("size_bytes", pa.int64()),
        ("memory_bytes", pa.int64()),
        ("lane_bytes", pa.int64()),  # null: no lane holds the item
    ]
)
_ORDER = ("site", "patient_key", "series_key")  # in which items are packed: what lies together is read together
_COUNTED = ("units", "series", "bytes", "memory_bytes")
_NEEDED = [*_ORDER, "study_key", "status", "fingerprint", "size_bytes", "memory_bytes"]


@dataclass(frozen=True)
class Amount:
    """How much work some rows of a plan are; what no lane holds is not work."""

    units: int = 0
    series: int = 0
    bytes: int = 0  # to read
    memory_bytes: int = 0  # the largest estimate among them
    lanes: Mapping[int, int] = field(default_factory=dict)  # bytes -> units, ascending

    def __add__(self, other: Amount) -> Amount:
        lanes = {lane: self.lanes.get(lane, 0) + other.lanes.get(lane, 0) for lane in {**self.lanes, **other.lanes}}
        return Amount(
            self.units + other.units,
            self.series + other.series,
            self.bytes + other.bytes,
            max(self.memory_bytes, other.memory_bytes),
            dict(sorted(lanes.items())),
        )


@dataclass(frozen=True)
class Packing:
    """How the series of a catalogue become units."""

    job: Job
    masks: Mapping[str, str]  # stamp of a study's mask, by study key: a mask is an input like the series
    runtime: Runtime
    lanes: tuple[int, ...]  # bytes


def lay_out(store: Store, series: Index, packing: Packing) -> Index:
    """Write the plan of a catalogue, unless it stands there already, and return its index.

    What it counts is read by ``amount_of``; ``too_large`` are the items that no lane holds.
    """
    made_of = digest_json([VERSION, series.digest, _identity(packing)])
    if known := find_index(store, PLAN_TABLE, made_of):
        return known
    writer = PartitionWriter(store, PLAN_TABLE, series.partitions, distinct=("unit", "series_key", "fingerprint"))
    amount, too_large = Amount(), 0
    for number in range(series.partitions):
        found = read_part(store, SERIES_TABLE, number, series.partitions, columns=_NEEDED)
        rows = plan_rows(found, packing, partitions=series.partitions)
        writer.write([rows])
        amount += count_rows(rows)
        too_large += rows["unit"].null_count
    lanes = {f"units_of_{lane}": count for lane, count in amount.lanes.items()}
    counted = {name: getattr(amount, name) for name in _COUNTED}
    return writer.finish(made_of, {**counted, **lanes, "too_large": too_large})


def amount_of(index: Index) -> Amount:
    """All the work of a plan."""
    lanes = {int(name.rpartition("_")[2]): n for name, n in index.counts.items() if name.startswith("units_of_")}
    return Amount(**{name: index.counts[name] for name in _COUNTED}, lanes=dict(sorted(lanes.items())))


def count_rows(rows: pa.Table) -> Amount:
    """How much work these rows of PLAN are."""
    rows = rows.filter(pc.is_valid(rows["unit"]))
    if not rows.num_rows:
        return Amount()
    counted = rows.group_by("lane_bytes", use_threads=False).aggregate([("unit", "count_distinct")])
    lanes = dict(zip(counted["lane_bytes"].to_pylist(), counted["unit_count_distinct"].to_pylist(), strict=True))
    size, memory = pc.sum(rows["size_bytes"]).as_py(), pc.max(rows["memory_bytes"]).as_py()
    return Amount(sum(lanes.values()), rows.num_rows, size, memory, dict(sorted(lanes.items())))


def plan_rows(series: pa.Table, packing: Packing, *, partitions: int) -> pa.Table:
    """PLAN of one of so many partitions: its units in their order, then what no lane holds."""
    items = make_items(series, packing)
    fitting, too_large = separate_too_large(items, packing.lanes)
    least = -(-LEAST_UNITS // partitions)
    units = cut(packing.job.stage, fitting, packing.runtime, packing.lanes, least=least)
    packed = [item for unit in units for item in unit.items] + too_large
    names = [unit.id for unit in units for _ in unit.items]
    lanes = [unit.memory for unit in units for _ in unit.items]
    none = [None] * len(too_large)
    columns: dict[str, list[Any]] = {
        "unit": [*names, *none],
        "series_key": [item.key for item in packed],
        "fingerprint": [item.fingerprint for item in packed],
        "size_bytes": [item.cost for item in packed],
        "memory_bytes": [item.memory for item in packed],
        "lane_bytes": [*lanes, *none],
    }
    return pa.table(columns, schema=PLAN)


def make_items(series: pa.Table, packing: Packing) -> list[Item]:
    """One item for every accepted row of SERIES, in the order in which they are packed."""
    job, masks = packing.job, packing.masks
    accepted = series.select(_NEEDED).filter(pc.equal(series["status"], "accepted"))
    accepted = accepted.sort_by([(name, "ascending") for name in _ORDER])
    mark = fingerprinter(job.stage, job.version, job.parameters)
    names = ("series_key", "study_key", "fingerprint", "size_bytes", "memory_bytes")
    return [
        Item(key, mark((made_of, masks[study]) if study in masks else (made_of,)), cost, PROCESS_MEMORY + memory)
        for key, study, made_of, cost, memory in zip(*(accepted[name].to_pylist() for name in names), strict=True)
    ]


def cut(
    stage: str, items: Sequence[Item], runtime: Runtime, lanes: Sequence[int], *, least: int = LEAST_UNITS
) -> tuple[Unit, ...]:
    """Units of about the size that the spec asks for, smaller where there would be less than ``least`` of them.

    The same items give the same units, whatever is settled and whoever works.
    """
    share = sum(item.cost for item in items) // least
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


def items_of(rows: pa.Table) -> Iterator[Item]:
    """The items of PLAN rows."""
    columns = (rows[name].to_pylist() for name in ("series_key", "fingerprint", "size_bytes", "memory_bytes"))
    return map(Item, *columns)


def units_of(stage: str, rows: pa.Table) -> Iterator[Unit]:
    """The units of PLAN rows that are in one; of a unit that has lost items, the unit of those that are left."""
    packed = rows.filter(pc.is_valid(rows["unit"]))
    named = zip(packed["unit"].to_pylist(), packed["lane_bytes"].to_pylist(), items_of(packed), strict=True)
    for (_, lane), members in groupby(named, key=itemgetter(0, 1)):
        yield make_unit(stage, [item for _, _, item in members], lane)


def _identity(packing: Packing) -> Json:
    job = packing.job
    return {
        "job": [job.stage, job.version, job.parameters],
        "masks": dict(packing.masks),
        "unit_megabytes": packing.runtime.unit_megabytes,
        "lanes": list(packing.lanes),
    }
