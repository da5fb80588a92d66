"""Run a stage's units while someone looks: progress for a person, events for the store, an early stop for a bug."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from cluster.budget import within_budget
from cluster.events import EventLog, Silent
from cluster.executors import Executor
from cluster.flight import Flight
from cluster.job import Job
from cluster.progress import Tally, show_progress
from cluster.units import Unit


@dataclass
class Watch:
    """Who looks, and how long each stage took. ``flight`` is the executor's, which says what is out."""

    console: Console
    events: EventLog | Silent = field(default_factory=Silent)
    seconds: dict[str, float] = field(default_factory=dict)  # by stage, in the order of their start
    flight: Flight = field(default_factory=Flight)

    def run(self, executor: Executor, job: Job, units: Sequence[Unit]) -> None:
        """Settle the units. Raises ``BudgetSpent`` when the same unforeseen failure hits again and again."""
        items, cost = sum(len(unit.items) for unit in units), sum(unit.cost for unit in units)
        self.stream(executor, job, units, count=len(units), items=items, cost=cost)

    def stream(self, executor: Executor, job: Job, units: Iterable[Unit], *, count: int, items: int, cost: int) -> None:
        """``run`` for units that are made as they are asked for: so many, with so many items and bytes to read."""
        began = time.monotonic()
        tally = Tally(all_items=items, all_bytes=cost, flight=self.flight)
        self.events.write("stage_started", stage=job.stage, units=count, items=items)
        if count:
            self._settle(executor, job, units, tally)
        self.seconds[job.stage] = self.seconds.get(job.stage, 0.0) + time.monotonic() - began
        self.events.write(
            "stage_ended",
            stage=job.stage,
            seconds=round(self.seconds[job.stage], 3),
            done=tally.done,
            rejected=tally.rejected,
            quarantined=tally.quarantined,
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
        )

    def _settle(self, executor: Executor, job: Job, units: Iterable[Unit], tally: Tally) -> None:
        with show_progress(job.stage, tally, console=self.console) as advance:
            for report in within_budget(executor.run(job, units)):
                advance(report)
                self.events.write(
                    "unit_settled",
                    stage=report.stage,
                    unit=report.unit_id,
                    done=report.done,
                    rejected=report.rejected,
                    quarantined=report.quarantined,
                    bytes_in=report.bytes_in,
                    bytes_out=report.bytes_out,
                    seconds=round(report.seconds, 3),
                    peak_memory_bytes=report.peak_memory_bytes,
                )
