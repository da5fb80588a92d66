"""``python -m tests.bench.train.step_time``: time of a step and the wait for data in the real loop, 1 and 2 gloo ranks.

A small store is made on disk, the first stage of a recipe is trained on it for some epochs as ``curate train`` would
(same loop, same loader, DDP), without Ray. The wait is that of rank 0 in ``Loader.waited_s``; the first epoch opens
files and compiles and is left out. Exit code 1 when the wait at 2 ranks is more than ``--at-most`` of the step time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pipelines.train.loop import train_rank
from pipelines.train.parallel import Ranks
from pipelines.train.reports import Report, Step
from pipelines.train.run import assign, recipe_named
from pipelines.train.settings import TrainSettings
from tests.support.training_store import cervical_store, lumbar_store

AT_MOST = 0.05


def in_rank(rank: int, world: int, folder: str, task: str, studies: int, settings: TrainSettings) -> None:
    """What each process does; rank 0 writes its steps."""
    torch.set_num_threads(1)
    root = Path(folder, task)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting-{world}", rank=rank, world_size=world)
    stage = recipe_named(task).stages[0]
    manifests = {"cervical": cervical_store, "lumbar": lumbar_store}[task](root / str(rank), studies=studies)
    made = stage.make(str(root / str(rank)), {})
    assignment = assign(made, str(root / str(rank)), manifests, settings, f"{folder}/runs-{world}", stage.name)
    dist.barrier()
    steps: list[Step] = []

    def hear(report: Report) -> bool:
        if isinstance(report, Step) and report.epoch > 0:
            steps.append(report)
        return False

    train_rank(assignment, Ranks.of_this_process(torch.device("cpu")), hear)
    if rank == 0:
        record = [[step.seconds, step.studies_per_second, step.wait_share] for step in steps]
        Path(folder, f"{world}.json").write_text(json.dumps(record))
    dist.destroy_process_group()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="cervical", choices=("cervical", "lumbar"))
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--at-most", type=float, default=AT_MOST)
    given = parser.parse_args()
    shares: dict[int, float] = {}
    print(f"{given.task}, batch {given.batch_size}, {given.threads} loader threads a rank")
    print("ranks  ms/step  steps/s  studies/s  data wait")
    for world in (1, 2):
        settings = TrainSettings(
            epochs=given.epochs,
            batch_size=given.batch_size,
            workers=world,
            threads=given.threads,
            evaluate_epochs=given.epochs,
        )
        with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
            mp.spawn(in_rank, (world, folder, given.task, given.studies, settings), nprocs=world)  # type: ignore[no-untyped-call]
            steps: list[Any] = json.loads(Path(folder, f"{world}.json").read_text())
        seconds = median(step[0] for step in steps)
        shares[world] = sum(step[0] * step[2] for step in steps) / sum(step[0] for step in steps)
        rate = median(step[1] for step in steps)
        print(f"{world:5d}  {1000 * seconds:7.1f}  {1 / seconds:7.2f}  {rate:9.2f}  {shares[world]:9.1%}", flush=True)
    return int(shares[2] > given.at_most)


if __name__ == "__main__":
    raise SystemExit(main())
