"""``python -m tests.bench.runtime.scaling``: one worker and two on the volumes of one archive, real work end to end.

Each run settles the same planned series into a store of its own, by workers that have compiled and opened everything.
Wall seconds of the units alone, best of the rounds, 1 and 2 workers in turn.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

from rich.console import Console

from cluster.executors import open_executor
from curate.compiled import warm_up
from curate.phantoms import make_phantoms
from pipelines.kernels import warm_kernels
from pipelines.plan import make_plan
from pipelines.spec import read_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.curated import copy_archive

AT_LEAST = 1.85
FIRST = 4  # units


def run_once(archive: Path, kind: str, workers: int) -> float:
    """Seconds a series: the same series for any number of workers, after others that made them ready."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        spec = read_spec(copy_archive(archive, Path(name, "copy")) / "spec.toml")
        workspace = open_workspace(spec)
        with open_executor("inline", workspace.store.url) as executor:
            plan = make_plan(spec, workspace, executor, Watch(Console(quiet=True)))
        units = list(plan.read_left(largest_first=True))  # as in a run
        with open_executor(kind, workspace.store.url, workers=workers) as executor:
            executor.prepare(warm_kernels)
            list(executor.run(plan.job, units[:FIRST]))  # every worker has opened the stage
            began = time.perf_counter()
            settled = sum(report.items for report in executor.run(plan.job, units[FIRST:]))
            return (time.perf_counter() - began) / settled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--matrix", type=int, default=256)
    parser.add_argument("--folder", type=Path, help="where to work: in memory, nothing waits for the disk")
    parser.add_argument("--kinds", nargs="+", default=["processes", "ray"], choices=["processes", "ray"])
    options = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        archive = Path(name, "phantoms")
        make_phantoms(archive, task="lumbar", sites=2, studies=options.studies, seed=3, matrix=options.matrix)
        for kind in options.kinds:
            best = {1: math.inf, 2: math.inf}
            for _ in range(options.rounds):
                for workers in best:
                    best[workers] = min(best[workers], run_once(archive, kind, workers))
            print(f"{kind}: {1000 * best[1]:.0f} ms a series on one worker, {1000 * best[2]:.0f} ms on two: ", end="")
            print(f"{best[1] / best[2]:.2f} x   {AT_LEAST} wanted", flush=True)


if __name__ == "__main__":
    main()
