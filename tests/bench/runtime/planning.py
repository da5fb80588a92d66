"""``python -m tests.bench.runtime.planning``: what a plan takes, and what it takes to know that nothing is left of it.

Each measurement is a process of its own, on one core. Plans: synthetic archives of growing size (``--series`` for
another), laid out from SERIES rows to the partitioned plan. Resume: the plan of an archive whose ledger settles every
series, receipts published the usual way; then, in a fresh process, from the opened store to the count of what is left.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster.ledger import Ledger
from cluster.memory import measure_peak
from cluster.outcomes import ItemOutcome, Output, Receipt, Status
from cluster.units import Unit
from curate.storage import open_store
from pipelines.packing import PLAN_TABLE
from pipelines.partitions import read_index
from pipelines.settled import account_of, count_left
from pipelines.simulate import simulate
from pipelines.spec import Runtime
from pipelines.volumes import STAGE

SIZES = 100_000, 1_000_000
MUST_REACH = "10,000,000 series in 300 s and 4 GB on one core; resume of 1,000,000 in 30 s"
RESUME_OF = 1_000_000


def plan_once(task: str, series: int, folder: Path) -> None:
    """Lay one archive out and say what it took."""
    began, used = time.perf_counter(), time.process_time()
    made = simulate(open_store(folder), task, series, Runtime())  # type: ignore[arg-type]
    print(
        f"plan of {series:>10,} {task} series: {_took(began, used)}, "
        f"peak {measure_peak() / 1e6:6.0f} MB, {made.plan.amount.units:,} units in {made.plan.index.partitions} parts"
    )


def settle(folder: Path, series: int) -> None:
    """An archive of lumbar series, and a receipt for every unit of its plan."""
    store = open_store(folder)
    made = simulate(store, "lumbar", series, Runtime())
    ledger = Ledger(store, STAGE)
    for unit in made.plan.read_units():
        ledger.publish(_receipt(unit))


def resume_once(folder: Path) -> None:
    """What a run does first when another has finished."""
    store = open_store(folder)
    began, used = time.perf_counter(), time.process_time()
    index = read_index(store, PLAN_TABLE)
    left = count_left(store, STAGE, index)
    print(
        f"resume of {index.counts['series']:,} settled series: {_took(began, used)} to know that {left.series} are "
        f"left, peak {measure_peak() / 1e6:.0f} MB"
    )
    began, used = time.perf_counter(), time.process_time()
    account = account_of(store, STAGE, index.partitions)
    print(f"account of {account.inputs:,} series: {_took(began, used)}, peak {measure_peak() / 1e6:.0f} MB")


def _took(began: float, used: float) -> str:
    return f"{time.perf_counter() - began:.1f} s ({time.process_time() - used:.1f} s CPU)"


def _receipt(unit: Unit) -> Receipt:
    outcomes = tuple(
        ItemOutcome(
            item.key,
            item.fingerprint,
            Status.DONE,
            outputs=(
                Output(f"volumes/{item.key}/{item.fingerprint[:16]}.zarr/0/c/0/0/0", item.fingerprint, item.cost),
            ),
        )
        for item in unit.items
    )
    return Receipt(STAGE, 4, unit.id, "0" * 64, outcomes, peak_memory_bytes=10**9)


def _apart(*words: str) -> None:
    core = str(min(os.sched_getaffinity(0)))
    subprocess.run(["taskset", "-c", core, sys.executable, "-m", __spec__.name, *words], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, action="append", help=f"sizes of plans, by default {SIZES}")
    parser.add_argument("--task", default="cervical", choices=("cervical", "lumbar"))
    parser.add_argument("--resume", type=int, default=RESUME_OF, help="settled series; 0: no resume")
    parser.add_argument("--step", choices=("plan", "settle", "resume"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    match chosen.step:
        case "plan":
            plan_once(chosen.task, chosen.series[0], chosen.folder)
            return
        case "settle":
            settle(chosen.folder, chosen.resume)
            return
        case "resume":
            resume_once(chosen.folder)
            return
    print(f"must reach: {MUST_REACH}")
    for series in chosen.series or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            _apart("--step", "plan", "--series", str(series), "--task", chosen.task, "--folder", folder)
    if chosen.resume:
        with tempfile.TemporaryDirectory() as folder:
            _apart("--step", "settle", "--resume", str(chosen.resume), "--folder", folder)
            _apart("--step", "resume", "--folder", folder)


if __name__ == "__main__":
    main()
