"""One attempt at one unit: settle each item, then publish the receipt.

Results are published by the work itself, under immutable keys, before the receipt exists; whoever dies in between has
only left objects that no reader believes and that the next attempt finds in place.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import NamedTuple, TypeVar

from cluster.job import Job, Work, describe, open_work
from cluster.ledger.receipts import Ledger
from cluster.memory import measure_peak, reset_peak
from cluster.outcomes import ItemOutcome, Receipt, Status
from cluster.recorder import Recorder
from cluster.units import Item, Unit, make_unit
from curate.errors import Misconfigured, Quarantined, Rejected, Unavailable
from curate.reasons import Reason
from curate.storage import open_store

Result = TypeVar("Result")

_REPEATING = frozenset({Reason.UNEXPECTED_ERROR, Reason.STORAGE_UNAVAILABLE})

TRIES = 4
FIRST_PAUSE_SECONDS = 0.25  # doubled after each refusal, and up to as much again at random


class UnitReport(NamedTuple):
    """What the driver learns of a settled unit. For progress and totals only: nothing of it is hashed or released."""

    stage: str
    unit_id: str
    done: int = 0
    rejected: int = 0
    quarantined: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    reasons: Mapping[str, int] = {}
    details: Mapping[str, int] = {}  # of unexpected errors and refused storage, to count repeats

    @property
    def items(self) -> int:
        """How many items the unit has."""
        return self.done + self.rejected + self.quarantined


def attempt(
    job: Job,
    unit: Unit,
    store_url: str,
    *,
    recorder: Recorder | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> UnitReport:
    """Settle every item of the unit and publish the receipt. With a ``recorder`` each item has a deadline.

    ``Rejected`` and ``Quarantined`` are final. ``Unavailable`` is tried again with growing pauses and then quarantined.
    Any other exception quarantines the item and keeps only its type and place. Raises ``Misconfigured`` and
    ``StageBroken`` when nothing can work, and ``Unavailable`` when the receipt itself cannot be written: then nothing
    is lost, the unit is simply not settled.
    """
    began = time.monotonic()
    reset_peak()
    if recorder is not None:
        recorder.begin(unit.id)
    work = open_work(job)
    outcomes: list[ItemOutcome] = []
    for item in unit.items:
        if recorder is not None:
            recorder.item(item.key, job.deadline_seconds(item))
        outcomes.append(_settle(job, work, item, sleep))
    receipt = _receipt(job, unit, tuple(outcomes), peak=measure_peak())
    _persist(lambda: _ledger(store_url, job.stage).publish(receipt), unit.id, sleep)
    if recorder is not None:
        recorder.end()
    return report(receipt, unit, seconds=time.monotonic() - began)


def settle_without_work(job: Job, items: Iterable[Item], reason: Reason, detail: str, store_url: str) -> UnitReport:
    """Quarantine items that no worker could or should try, in one receipt that the driver publishes."""
    unit = make_unit(job.stage, tuple(items), 0)
    outcomes = tuple(ItemOutcome(item.key, item.fingerprint, Status.QUARANTINED, reason, detail) for item in unit.items)
    receipt = _receipt(job, unit, outcomes, peak=0)
    _ledger(store_url, job.stage).publish(receipt)
    return report(receipt, unit, seconds=0.0)


def report(receipt: Receipt, unit: Unit, *, seconds: float) -> UnitReport:
    """Count a receipt."""
    statuses = Counter(outcome.status for outcome in receipt.outcomes)
    return UnitReport(
        stage=receipt.stage,
        unit_id=receipt.unit_id,
        done=statuses[Status.DONE],
        rejected=statuses[Status.REJECTED],
        quarantined=statuses[Status.QUARANTINED],
        bytes_in=unit.cost,
        bytes_out=sum(outcome.size for outcome in receipt.outcomes),
        seconds=seconds,
        peak_memory_bytes=receipt.peak_memory_bytes,
        reasons=dict(Counter(outcome.reason.value for outcome in receipt.outcomes if outcome.reason)),
        details=dict(Counter(outcome.detail for outcome in receipt.outcomes if outcome.reason in _REPEATING)),
    )


def _settle(job: Job, work: Work, item: Item, sleep: Callable[[float], None]) -> ItemOutcome:
    try:
        done = _persist(lambda: work(item), item.fingerprint, sleep)
    except Misconfigured:
        raise
    except Quarantined as error:
        return ItemOutcome(item.key, item.fingerprint, Status.QUARANTINED, error.reason, error.detail)
    except Rejected as error:
        return ItemOutcome(item.key, item.fingerprint, Status.REJECTED, error.reason, error.detail)
    except Unavailable as error:
        return ItemOutcome(item.key, item.fingerprint, Status.QUARANTINED, Reason.STORAGE_UNAVAILABLE, str(error))
    except Exception as error:  # noqa: BLE001 - one item must not take its unit along; it is named, never dropped
        return ItemOutcome(
            item.key, item.fingerprint, Status.QUARANTINED, Reason.UNEXPECTED_ERROR, describe(error, job)
        )
    return ItemOutcome(item.key, item.fingerprint, Status.DONE, outputs=tuple(done.outputs), record=dict(done.record))


def _persist(action: Callable[[], Result], seed: str, sleep: Callable[[float], None]) -> Result:
    """Call until storage stops refusing, ``TRIES`` times at most."""
    jitter: random.Random | None = None
    for tried in range(TRIES - 1):
        try:
            return action()
        except Unavailable:
            jitter = jitter or random.Random(seed)
            pause = FIRST_PAUSE_SECONDS * 2**tried
            sleep(pause + jitter.uniform(0, pause))
    return action()


def _receipt(job: Job, unit: Unit, outcomes: tuple[ItemOutcome, ...], *, peak: int) -> Receipt:
    return Receipt(
        stage=job.stage,
        version=job.version,
        unit_id=unit.id,
        parameters=job.parameters,
        outcomes=outcomes,
        peak_memory_bytes=peak,
        code_version=_version_of("spine-curate"),
        libraries={"python": ".".join(map(str, sys.version_info[:3]))}
        | {name: _version_of(name) for name in job.libraries},
    )


@cache
def _ledger(store_url: str, stage: str) -> Ledger:
    return Ledger(open_store(store_url), stage)


@cache
def _version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
