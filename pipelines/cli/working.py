"""From a spec to a started executor whose work is watched: what every verb that computes begins with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.drain import Drain
from cluster.events import EventLog
from cluster.executors import Executor, open_executor
from cluster.flight import Flight
from cluster.metrics import Metrics
from pipelines.cli.console import notes
from pipelines.spec import Spec, read_spec
from pipelines.watch import Watch
from pipelines.workspace import Workspace, open_workspace, prove_zones


@dataclass(frozen=True)
class Work:
    """Everything opened."""

    spec: Spec
    workspace: Workspace
    executor: Executor
    watch: Watch


@contextmanager
def working(path: Path, executor: str | None, address: str | None, workers: int | None) -> Iterator[Work]:
    """Read the spec, open its zones, start the executor; options of the command line win over the spec's."""
    spec = read_spec(path)
    with starting(spec, executor, address, workers) as work:
        yield work


@contextmanager
def starting(spec: Spec, executor: str | None, address: str | None, workers: int | None) -> Iterator[Work]:
    """The same for a spec that is read already."""
    workspace = open_workspace(spec)
    prove_zones(workspace)
    kind = executor or spec.runtime.executor
    flight = Flight()
    with (
        EventLog(workspace.store, observers=(Metrics(flight).observe,)) as events,
        open_executor(
            kind,
            workspace.store.url,
            address=address or (spec.runtime.address if kind == "ray" else None),
            workers=workers or (None if kind == "inline" else spec.runtime.workers),
            events=events,
            drain=Drain(spec.runtime.grace_seconds),
            flight=flight,
        ) as opened,
    ):
        yield Work(spec, workspace, opened, Watch(notes, events, flight=flight))
