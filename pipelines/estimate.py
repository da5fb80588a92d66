"""What a plan will cost: bytes, core-hours, memory and money, from measured rates, each with where it comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.attempt import UnitReport
from cluster.events import FOLDER as EVENTS
from cluster.ledger import Ledger
from cluster.outcomes import Status
from curate.storage import Store
from pipelines.grouping import SERIES_TABLE
from pipelines.packing import PLAN_TABLE, items_of
from pipelines.partitions import read_part, read_partitions
from pipelines.plan import Plan
from pipelines.settled import read_settled

DEFAULT_BYTES_A_SECOND = 20e6  # one core: read, de-identify, decode, resample, write and verify, uncompressed CT
DEFAULT_WRITTEN = 1.5  # bytes written for a byte read: the de-identified file, and a volume of half its size
ENOUGH = 2000  # series or units, of those measured earlier: more would not make a rate much better
UNKNOWN = "a default, nothing is measured yet"


@dataclass(frozen=True)
class Rate:
    """A measured number and where it comes from."""

    value: float
    source: str = UNKNOWN


@dataclass(frozen=True)
class Rates:
    """What one core does to one byte, and how far the estimate of memory is off."""

    bytes_a_second: Rate = Rate(DEFAULT_BYTES_A_SECOND)  # of source, by one core
    written: Rate = Rate(DEFAULT_WRITTEN)  # bytes for a byte read
    memory: Rate = Rate(1.0)  # largest peak for a byte of the estimate


@dataclass(frozen=True)
class Cost:
    """What is left of a plan costs; for a person, nothing depends on it."""

    rejected: Mapping[str, int]  # series, by reason
    settled: int
    series_left: int
    units_left: int
    lanes: Mapping[int, int]  # bytes of a lane -> units left in it
    bytes_read: int
    bytes_written: int
    memory_bytes: int  # the largest estimate among what is left
    core_seconds: float
    seconds: float  # on that many cores, all of them busy
    cores: int
    price: float | None  # in the currency of the price per core-hour
    rates: Rates


def estimate_plan(plan: Plan, rates: Rates, cores: int, *, price_per_core_hour: float | None = None) -> Cost:
    """Cost of what is left, on so many cores."""
    left = plan.left
    core_seconds = left.bytes / rates.bytes_a_second.value
    return Cost(
        rejected=_rejected(plan.store),
        settled=plan.settled,
        series_left=left.series,
        units_left=left.units,
        lanes=left.lanes,
        bytes_read=left.bytes,
        bytes_written=round(left.bytes * rates.written.value),
        memory_bytes=left.memory_bytes,
        core_seconds=core_seconds,
        seconds=core_seconds / cores,
        cores=cores,
        price=None if price_per_core_hour is None else core_seconds / 3600 * price_per_core_hour,
        rates=rates,
    )


def measure_rates(plan: Plan, sample: Sequence[tuple[UnitReport, int]] = ()) -> Rates:
    """Rates from a sample that was built now (each unit with its estimate in bytes), or else from what the store knows
    of earlier runs, or else the defaults."""
    built = [(report, estimate) for report, estimate in sample if report.done]
    if built:
        source = f"{sum(report.done for report, _ in built)} series of this archive built now"
        size = sum(report.bytes_in for report, _ in built)
        seconds = sum(report.seconds for report, _ in built)
        written = sum(report.bytes_out for report, _ in built)
        peak = max(report.peak_memory_bytes / estimate for report, estimate in built)
        return Rates(Rate(size / seconds, source), Rate(written / size, source), Rate(peak, source))
    return Rates(
        _earlier_speed(plan.store, plan.job.stage) or Rates.bytes_a_second,
        _earlier_output(plan) or Rates.written,
        _earlier_peak(plan) or Rates.memory,
    )


def _rejected(store: Store) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for rows in read_partitions(store, SERIES_TABLE, columns=["reason"]):
        counts.update(rows["reason"].drop_null().to_pylist())
    return dict(sorted(counts.items()))


def _earlier_speed(store: Store, stage: str) -> Rate | None:
    """Source bytes that one worker settles in a second, from the latest events of the store."""
    units = seconds = size = 0.0
    for event in _events(store):
        if event.get("event") == "unit_settled" and event["stage"] == stage and event["done"]:
            units += 1
            seconds += event["seconds"]
            size += event["bytes_in"]
            if units == ENOUGH:
                break
    return Rate(size / seconds, f"{units:.0f} units of earlier runs of this store") if seconds else None


def _events(store: Store) -> Iterable[Mapping[str, Any]]:
    """Events of a store, the latest run first."""
    for key in sorted(store.list(EVENTS), reverse=True):
        yield from (json.loads(line) for line in store.get(key).splitlines())


def _earlier_output(plan: Plan) -> Rate | None:
    """Bytes written for a byte read, of the plan's series that are done."""
    series = size = written = 0
    with read_settled(Ledger(plan.store, plan.job.stage), plan.index.partitions) as settled:
        for number in range(plan.index.partitions if settled.rows else 0):
            endings = settled.partition(number)
            for item in items_of(read_part(plan.store, PLAN_TABLE, number, plan.index.partitions)):
                ending = endings.get(item.fingerprint)
                if ending is not None and ending.status is Status.DONE:
                    series, size, written = series + 1, size + item.cost, written + ending.size
            if series >= ENOUGH:
                break
    return Rate(written / size, f"{series} series of this store that are done") if size else None


def _earlier_peak(plan: Plan) -> Rate | None:
    """The largest peak of a unit of the plan for a byte of its estimate, from receipts."""
    peaks: dict[str, int] = {}
    for rows in Ledger(plan.store, plan.job.stage).rows(["unit", "peak"]):
        peaks |= dict(zip(rows["unit"].to_pylist(), rows["peak"].to_pylist(), strict=True))
        if len(peaks) >= ENOUGH:
            break
    found = [
        peaks[unit.id] / max(item.memory for item in unit.items)
        for unit in (plan.read_units() if peaks else ())
        if peaks.get(unit.id)
    ]
    return Rate(max(found), f"{len(found)} receipts of this store") if found else None
