"""Metrics of a run for Prometheus, through ``ray.util.metrics``: a view of the run's events, and nothing else.

Where no Ray runs nothing happens. Where it runs without its dashboard's packages (``ray[default]``) numbers are kept
and no node exports them. Tags are stages, outcomes and kinds of loss, never a key: each set of tags is a time series.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cluster.events import Event
from cluster.flight import Flight

OUTCOMES = ("done", "rejected", "quarantined")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it is called, counts, and is told apart by. Bytes and seconds."""

    kind: Literal["counter", "gauge", "histogram"]
    description: str
    tags: tuple[str, ...]
    boundaries: tuple[float, ...] = ()

    def exported(self, name: str) -> tuple[str, ...]:
        """The names of its time series in Prometheus: Ray adds a prefix, Prometheus' own rules a suffix."""
        suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
        return tuple(f"ray_{name}{suffix}" for suffix in suffixes[self.kind])


METRICS: Mapping[str, Metric] = {
    "curate_items": Metric("counter", "Items settled.", ("stage", "outcome")),
    "curate_bytes_in": Metric("counter", "Bytes of input settled.", ("stage",)),
    "curate_bytes_out": Metric("counter", "Bytes published.", ("stage",)),
    "curate_units_lost": Metric("counter", "Attempts that did not come back.", ("stage", "kind")),
    "curate_units_in_flight": Metric("gauge", "Units that are out.", ("stage",)),
    "curate_oldest_unit_seconds": Metric("gauge", "How long the oldest unit has been out.", ("stage",)),
    "curate_unit_seconds": Metric("histogram", "Time of a settled unit.", ("stage",), (1, 3, 10, 30, 60, 180, 600)),
    "curate_unit_peak_bytes": Metric(
        "histogram",
        "Peak memory of the process that settled a unit.",
        ("stage",),
        tuple(float(1 << power) for power in range(27, 37)),  # 128 MiB to 64 GiB
    ),
}


class Metrics:
    """An observer of events that keeps the metrics of this process's Ray session."""

    def __init__(self, flight: Flight | None = None) -> None:
        self._flight = flight
        self._opened: dict[str, Any] = {}
        self._session = ""

    def observe(self, kind: str, fields: Event) -> None:
        """Count one event; those that no metric is about are passed over."""
        if kind not in ("stage_started", "unit_settled", "unit_lost", "stage_ended") or not self._is_open():
            return
        stage = str(fields.get("stage", ""))
        if kind == "unit_settled":
            for outcome in OUTCOMES:
                self._add("curate_items", fields.get(outcome, 0), stage=stage, outcome=outcome)
            self._add("curate_bytes_in", fields.get("bytes_in", 0), stage=stage)
            self._add("curate_bytes_out", fields.get("bytes_out", 0), stage=stage)
            self._opened["curate_unit_seconds"].observe(fields["seconds"], tags={"stage": stage})
            self._opened["curate_unit_peak_bytes"].observe(fields["peak_memory_bytes"], tags={"stage": stage})
        if kind == "unit_lost":
            self._add("curate_units_lost", 1, stage=stage, kind=str(fields.get("loss", "")))
        if self._flight is not None:
            self._opened["curate_units_in_flight"].set(self._flight.units, tags={"stage": stage})
            self._opened["curate_oldest_unit_seconds"].set(self._flight.oldest_seconds, tags={"stage": stage})

    def _add(self, name: str, amount: str | float, **tags: str) -> None:
        if amount:  # a counter takes nothing that is not positive
            self._opened[name].inc(amount, tags=tags)

    def _is_open(self) -> bool:
        """Whether there is a Ray session; metrics belong to the one in which they were made."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return False
        session = ray.get_runtime_context().get_job_id()
        if session != self._session:
            self._session, self._opened = session, {name: _make(name, metric) for name, metric in METRICS.items()}
        return True


def _make(name: str, metric: Metric) -> Any:
    from ray.util import metrics

    if metric.kind == "histogram":
        return metrics.Histogram(name, metric.description, boundaries=list(metric.boundaries), tag_keys=metric.tags)
    made = metrics.Counter if metric.kind == "counter" else metrics.Gauge
    return made(name, metric.description, tag_keys=metric.tags)
