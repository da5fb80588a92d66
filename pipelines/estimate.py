"""What a plan will cost, from what the store has measured or, on a new store, from a stated default rate."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cluster.events import FOLDER as EVENTS
from curate.storage import Store
from pipelines.grouping import SERIES_TABLE
from pipelines.partitions import read_partitions
from pipelines.plan import Plan

DEFAULT_BYTES_A_SECOND = 20e6  # one worker: read, de-identify, decode, resample, write and verify, uncompressed CT


@dataclass(frozen=True)
class Cost:
    """Estimates for a person; nothing depends on them."""

    rejected: Mapping[str, int]  # series, by reason
    settled: int
    series_left: int
    bytes_left: int
    lanes: Mapping[int, int]  # bytes of a lane -> units left in it
    seconds: float
    rate_from: str


def estimate_plan(plan: Plan, store: Store, workers: int) -> Cost:
    """Cost of what is left, on so many workers."""
    rate = measured_rate(store, plan.job.stage)
    rejected: Counter[str] = Counter()
    for rows in read_partitions(store, SERIES_TABLE, columns=["reason"]):
        rejected.update(rows["reason"].drop_null().to_pylist())
    return Cost(
        rejected=dict(sorted(rejected.items())),
        settled=plan.settled,
        series_left=plan.left.series,
        bytes_left=plan.left.bytes,
        lanes=dict(plan.left.lanes),
        seconds=plan.left.bytes / (rate or DEFAULT_BYTES_A_SECOND) / workers,
        rate_from="from earlier units of this store" if rate else "from a default rate: nothing is measured yet",
    )


def measured_rate(store: Store, stage: str) -> float | None:
    """Source bytes that one worker settles in a second, from the store's events; None if there are none."""
    seconds = size = 0.0
    for key in store.list(EVENTS):
        for line in store.get(key).splitlines():
            event = json.loads(line)
            if event["event"] == "unit_settled" and event["stage"] == stage and event["done"]:
                seconds += event["seconds"]
                size += event["bytes_in"]
    return size / seconds if seconds else None
