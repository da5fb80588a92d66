"""Run a stage's units while someone looks: progress for a person, events for the store, an early stop for a bug."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from cluster.budget import within_budget
from cluster.events import EventLog, Silent
from cluster.executors import Executor
from cluster.job import Job
from cluster.progress import show_progress
from cluster.units import Unit


@dataclass
class Watch:
    """Who looks, and how long each stage took."""

    console: Console
    events: EventLog | Silent = field(default_factory=Silent)
    seconds: dict[str, float] = field(default_factory=dict)  # by stage, in the order of their start

    def run(self, executor: Executor, job: Job, units: Sequence[Unit]) -> None:
        """Settle the units. Raises ``BudgetSpent`` when the same unforeseen failure hits again and again."""
        self.stream(executor, job, units, count=len(units), items=sum(len(unit.items) for unit in units))

    def stream(self, executor: Executor, job: Job, units: Iterable[Unit], *, count: int, items: int) -> None:
        """``run`` for units that are made as they are asked for: so many of them, with so many items."""
        began = time.monotonic()
        self.events.write("stage_started", stage=job.stage, units=count)
        if count:
            with show_progress(job.stage, items, console=self.console) as advance:
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
                        seconds=round(report.seconds, 3),
                        peak_memory_bytes=report.peak_memory_bytes,
                    )
        self.seconds[job.stage] = self.seconds.get(job.stage, 0.0) + time.monotonic() - began
        self.events.write("stage_ended", stage=job.stage, seconds=round(self.seconds[job.stage], 3))
