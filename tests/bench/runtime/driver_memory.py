"""``python -m tests.bench.runtime.driver_memory [UNITS]``: a driver's memory at so many units, and at ten times more.

Each run is a process of its own: a plan of series that take no work, one series a unit, settled, accounted for and
joined. Printed is the largest anonymous resident memory (RssAnon: what files map does not count) of the driver.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from cluster.executors import open_executor
from pipelines.cli import environment
from pipelines.run import carry_out
from pipelines.watch import Watch
from tests.support.tiny_series import plan_tiny

UNITS = 2_000
SERIES_PER_PARTITION = 1_000
MUST_REACH = "ten times the units: less than 50 MB more"


class Anonymous:
    """Watches this process from a thread, in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)
            time.sleep(0.02)


def run_once(units: int, executor: str, folder: Path) -> None:
    """Plan, settle, account and join, and say what it took."""
    began, used = time.perf_counter(), time.process_time()
    spec, plan, workspace = plan_tiny(folder, units, max(units // SERIES_PER_PARTITION, 1), slices=3)
    planned = Anonymous()
    with open_executor(executor, workspace.store.url) as opened:
        balance = carry_out(spec, plan, workspace, opened, Watch(Console(quiet=True)))
    print(
        f"{balance.done:,} units ({executor}): driver at most {planned.peak / 1e6:.0f} MB, "
        f"{time.perf_counter() - began:.0f} s ({time.process_time() - used:.0f} s CPU)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("units", type=int, nargs="?", default=UNITS)
    parser.add_argument("--executor", default="inline", choices=("inline", "processes"))
    parser.add_argument("--folder", type=Path, help="where to work: in memory, nothing waits for the disk")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.once:
        run_once(chosen.units, chosen.executor, chosen.folder)
        return
    print(f"must reach: {MUST_REACH}")
    for units in (chosen.units, 10 * chosen.units):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            words = [str(units), "--executor", chosen.executor, "--folder", folder, "--once"]
            command = [sys.executable, "-m", __spec__.name, *words]
            subprocess.run(command, check=True, env=os.environ | environment())  # as the command line has it


if __name__ == "__main__":
    main()
