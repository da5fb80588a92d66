"""A unit was lost with its process: find the guilty item, try it again alone, and then name it.

The worker's file (``cluster.recorder``) usually says which item was begun last: then that one stands alone at once and
the others go on together. Else the unit is halved until one item is left. Alone it gets ``TRIES`` tries. One that ran
out of memory gets one more in the next lane, and is then too large. What goes with its node is run again and not
charged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from cluster.attempt import UnitReport, report, settle_without_work
from cluster.events import EventLog, Silent
from cluster.job import Job
from cluster.ledger.receipts import Ledger
from cluster.recorder import Tail
from cluster.units import Item, Unit, halve, make_unit
from curate.errors import Unavailable
from curate.reasons import Reason
from curate.storage import open_store

TRIES = 3  # of an item that stands alone
NODE_LOSSES = 20  # of one unit; more says that the cluster, not the unit, is broken
LOGS = "logs"  # folder of the store: the last lines of what was quarantined here


class Loss(StrEnum):
    """How a unit was lost."""

    CRASHED = "crashed"  # or overran its deadline: the worker's file tells
    OUT_OF_MEMORY = "out_of_memory"
    NODE_LOST = "node_lost"


@dataclass(frozen=True, slots=True)
class Trial:
    """A unit and what happened to it so far."""

    unit: Unit
    tries: int = 0  # that were charged, standing alone
    losses: int = 0  # with a node
    is_raised: bool = False  # to the next lane, after it ran out of memory


class Isolation:
    """Decides what is done after a loss. ``memory``: bytes of the largest lane; ``recall``: last words on a unit."""

    def __init__(
        self, job: Job, store_url: str, memory: int, events: EventLog | Silent, recall: Callable[[str], Tail]
    ) -> None:
        self._job = job
        self._store_url = store_url
        self._memory = memory
        self._events = events
        self._recall = recall

    def after(self, trial: Trial, loss: Loss) -> tuple[list[Trial], UnitReport | None]:
        """What to try again, and the report if the unit is settled after all. Raises ``Unavailable`` when a unit loses
        its node ``NODE_LOSSES`` times."""
        unit = trial.unit
        self._events.write("unit_lost", stage=unit.stage, unit=unit.id, items=len(unit.items), loss=loss.value)
        receipt = Ledger(open_store(self._store_url), self._job.stage).find_settled(unit.id)
        if receipt is not None:  # it died after it had published
            return [], report(receipt, unit, seconds=0.0)
        if loss is Loss.NODE_LOST:
            if trial.losses >= NODE_LOSSES:
                raise Unavailable(f"unit {unit.id} lost its node {NODE_LOSSES + 1} times")
            return [replace(trial, losses=trial.losses + 1)], None
        tail = self._recall(unit.id)
        if len(unit.items) > 1:
            return [Trial(part) for part in _apart(unit, tail.item)], None
        if loss is Loss.OUT_OF_MEMORY:
            return self._after_memory(trial, tail)
        if trial.tries + 1 < TRIES:
            return [replace(trial, tries=trial.tries + 1)], None
        if tail.timed_out:
            return [], self._quarantine(unit, Reason.TIMED_OUT, f"no end within its deadline, {TRIES} times", tail)
        return [], self._quarantine(unit, Reason.WORKER_CRASHED, f"the process ended, {TRIES} times", tail)

    def _after_memory(self, trial: Trial, tail: Tail) -> tuple[list[Trial], UnitReport | None]:
        unit = trial.unit
        lane = min(2 * unit.memory, self._memory)
        if trial.is_raised or lane <= unit.memory:
            detail = f"out of memory in a lane of {unit.memory} bytes"
            return [], self._quarantine(unit, Reason.TOO_LARGE, detail, tail)
        self._events.write("unit_raised", stage=unit.stage, unit=unit.id, lane_bytes=lane)
        return [replace(trial, unit=unit._replace(memory=lane), is_raised=True)], None

    def _quarantine(self, unit: Unit, reason: Reason, detail: str, tail: Tail) -> UnitReport:
        item = unit.items[0]
        self._events.write("item_quarantined", stage=unit.stage, unit=unit.id, key=item.key, reason=reason.value)
        settled = settle_without_work(self._job, unit.items, reason, detail, self._store_url)
        if tail.lines:
            content = "".join(f"{line}\n" for line in tail.lines).encode()
            open_store(self._store_url).put_new(log_key(unit.stage, unit.id), content)
        return settled


def log_key(stage: str, unit_id: str) -> str:
    """Where the last lines on a quarantined unit lie in a store."""
    return f"{LOGS}/{stage}/{unit_id}.txt"


def _apart(unit: Unit, guilty: str | None) -> list[Unit]:
    """The item that was begun last by itself and the others together, or two halves when nobody knows it."""
    alone = [item for item in unit.items if item.key == guilty]
    if len(alone) != 1:
        return [*halve(unit)]
    others: list[Item] = [item for item in unit.items if item.key != guilty]
    return [make_unit(unit.stage, others, unit.memory), make_unit(unit.stage, alone, unit.memory)]
