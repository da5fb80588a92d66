"""``python -m tests.bench.runtime.scaling``: one worker and two on the volumes of one archive, real work end to end.

Every round settles the same planned series, by workers that have done it once before, and then takes away what they
wrote. Wall seconds of the units alone, best of the rounds; of processes, rounds of one worker and of two take turns.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from cluster.executors import Executor, open_executor
from curate.compiled import warm_up
from curate.phantoms import make_phantoms
from pipelines.kernels import warm_kernels
from pipelines.plan import Plan, make_plan
from pipelines.spec import read_spec
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.support.curated import copy_archive

AT_LEAST = 1.85


@contextmanager
def open_round(archive: Path, kind: str, workers: int) -> Iterator[tuple[Path, Plan, Executor]]:
    """A copy of the archive, planned, and workers for it."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as name:
        folder = copy_archive(archive, Path(name, "copy"))
        spec = read_spec(folder / "spec.toml")
        workspace = open_workspace(spec)
        with open_executor("inline", workspace.store.url) as executor:
            plan = make_plan(spec, workspace, executor, Watch(Console(quiet=True)))
        with open_executor(kind, workspace.store.url, workers=workers) as executor:
            executor.prepare(warm_kernels)
            yield folder, plan, executor


def settle(folder: Path, plan: Plan, executor: Executor) -> float:
    """Seconds a series. Leaves the folder as it was, but for empty folders."""
    before = {path for path in folder.rglob("*") if path.is_file()}
    units = list(plan.read_left(largest_first=True))
    began = time.perf_counter()
    settled = sum(report.items for report in executor.run(plan.job, units))
    seconds = (time.perf_counter() - began) / settled
    for path in folder.rglob("*"):
        if path.is_file() and path not in before:
            path.unlink()
    return seconds


def measure(archive: Path, kind: str, rounds: int) -> dict[int, float]:
    """Seconds a series by the number of workers."""
    best = {1: math.inf, 2: math.inf}
    # those that wait cost nothing, but of Ray there is one session at a time
    for together in [(1, 2)] if kind == "processes" else [(1,), (2,)]:
        with ExitStack() as stack:
            opened = {workers: stack.enter_context(open_round(archive, kind, workers)) for workers in together}
            for number in range(rounds + 1):  # the first is not counted
                for workers, there in opened.items():
                    seconds = settle(*there)
                    best[workers] = min(best[workers], seconds if number else math.inf)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
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
            best = measure(archive, kind, options.rounds)
            print(f"{kind}: {1000 * best[1]:.0f} ms a series on one worker, {1000 * best[2]:.0f} ms on two: ", end="")
            print(f"{best[1] / best[2]:.2f} x   {AT_LEAST} wanted", flush=True)


if __name__ == "__main__":
    main()
