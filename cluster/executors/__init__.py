"""Executors: one protocol, so that where units run changes nothing in what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from cluster.attempt import UnitReport
from cluster.drain import Drain
from cluster.events import EventLog, Silent
from cluster.executors.inline import Inline
from cluster.flight import Flight
from cluster.job import Job
from cluster.units import Unit
from curate.errors import Misconfigured


class Executor(Protocol):
    """Runs units of a job against one store."""

    workers: int
    memory: int  # bytes that the largest unit may ask for

    def prepare(self, call: Callable[[], None]) -> None:
        """Let every worker call a module-level function before its first unit, while the caller goes on."""

    def run(self, job: Job, units: Iterable[Unit]) -> Iterator[UnitReport]:
        """Settle every unit, yielding a report as each is settled, in no particular order.

        Closing the iterator, or an exception in it, stops: nothing more is started, what is settled stays settled, the
        rest is left for the next run. Raises ``Misconfigured``, ``StageBroken`` or ``Unavailable`` when going on is
        useless.
        """


@contextmanager
def open_executor(
    kind: str,
    store_url: str,
    *,
    address: str | None = None,
    workers: int | None = None,
    events: EventLog | Silent | None = None,
    drain: Drain | None = None,
    flight: Flight | None = None,
) -> Iterator[Executor]:
    """Start an executor by name, "inline", "processes" or "ray", and stop it at the end.

    ``address`` and ``workers`` are those of ``cluster.session.start``. While it is open, SIGTERM and SIGUSR1 ask
    ``drain``. Raises ``Misconfigured`` for another name, for an address that is not for Ray, and for several workers
    asked of "inline".
    """
    drain = drain or Drain()
    if kind != "ray" and address is not None:
        raise Misconfigured(f"the executor '{kind}' works on this machine alone and has no address")
    if kind == "inline":
        if workers not in (None, 1):
            raise Misconfigured("the inline executor has one worker")
        with drain.on_signals():
            yield Inline(store_url, drain, flight)
    elif kind == "processes":
        from cluster.executors.processes import start_processes

        with start_processes(store_url, workers, events, drain, flight) as processes, drain.on_signals():
            yield processes
    elif kind == "ray":
        from cluster.executors.ray_tasks import RayTasks  # Ray takes a second to import; inline runs do without
        from cluster.session import start

        with start(address, workers) as session, drain.on_signals():
            yield RayTasks(store_url, session, events, drain, flight)
    else:
        raise Misconfigured(f"executor: expected 'inline', 'processes' or 'ray', got '{kind}'")


__all__ = ["Executor", "Inline", "open_executor"]
