"""``python -m tests.bench.runtime.overhead``: what the runtime adds to each unit of work that does nothing.

Peer: a bare window of Ray tasks with ``ray.wait``, the same number in flight, on the same session, round by round in
turn. The runtime also packs, watches deadlines, writes a receipt a unit and keeps events. Wall seconds, best of the
rounds; a second table has work that writes one small object, with and without the runtime.

The store lies in memory (``--folder`` names another place): ext4 takes up to 1 ms to create any file for some seconds
after others of its block group were removed, which is as long as all the rest of a unit.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.events import EventLog
from cluster.executors.ray_tasks import RayTasks
from cluster.job import Done, Job
from cluster.session import Session, start
from cluster.units import Item, Unit, make_unit
from cluster.window import window_for
from curate.identity import Json
from curate.storage import open_store

AT_MOST = 1.25
LANE = 64 << 20


def open_empty(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """Work that does nothing."""
    return lambda item: Done()


def open_writing(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """Work that publishes one small object."""
    store = open_store(str(config["store"]))

    def work(item: Item) -> Done:
        store.put_new(f"objects/{item.fingerprint}", b"x" * 1000)
        return Done()

    return work


def make_units(count: int) -> list[Unit]:
    items = [Item(f"item-{n}", hashlib.sha256(f"{n}".encode()).hexdigest(), 1, 1) for n in range(count)]
    return [make_unit("empty", [item], LANE) for item in items]


def run_bare(session: Session, units: list[Unit], work: Callable[[Item], Done]) -> None:
    import ray

    def call(unit: Unit) -> int:
        return len([work(item) for item in unit.items])

    task = ray.remote(num_cpus=1, max_retries=0)(call).options(memory=LANE)
    most = window_for(session.workers, session.total_memory).most_units
    pending: list[Any] = []
    waiting = iter(units)
    while True:
        while len(pending) < most and (unit := next(waiting, None)) is not None:
            pending.append(task.remote(unit))
        if not pending:
            return
        ready, pending = ray.wait(pending, num_returns=1, fetch_local=False)
        ray.get(ready)


def measure(session: Session, opener: Callable[..., Any], count: int, rounds: int, folder: Path) -> tuple[float, float]:
    best_bare = best_ours = math.inf
    units = make_units(count)
    for turn in range(rounds + 1):
        root = folder / f"{opener.__name__}-{turn}"  # kept to the end: ext4 is slow to make files after removing many
        work = opener({"store": str(root / "bare")})
        began = time.perf_counter()
        run_bare(session, units, work)
        bare = time.perf_counter() - began
        store = open_store(root / "ours")
        began = time.perf_counter()
        with EventLog(store) as events:
            job = Job("empty", 1, opener, {"store": str(root / "ours")})
            for report in RayTasks(store.url, session, events).run(job, units):
                events.write("unit_settled", unit=report.unit_id, done=report.done)
        ours = time.perf_counter() - began
        if turn:  # the first round starts the workers
            best_bare, best_ours = min(best_bare, bare), min(best_ours, ours)
    return best_bare, best_ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", default="/dev/shm")
    options = parser.parse_args()
    with start() as session, tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, opener in (("empty work", open_empty), ("work that writes 1 kB", open_writing)):
            bare, ours = measure(session, opener, options.units, options.rounds, Path(folder))
            print(f"{name}, {options.units} units, {session.workers} workers")
            print(f"  bare ray.wait window   {1000 * bare / options.units:7.3f} ms a unit")
            print(
                f"  the runtime            {1000 * ours / options.units:7.3f} ms a unit   {ours / bare:.2f} x", end=""
            )
            print(f"   at most {AT_MOST} wanted" if opener is open_empty else "", flush=True)


if __name__ == "__main__":
    main()
