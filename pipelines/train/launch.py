"""Run the loop on Ray Train: gloo on CPUs, nccl where the cluster has a GPU for every worker. Quiet, in one folder."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cluster.session import start
from curate.errors import CurateError, Unavailable
from curate.loading import State
from pipelines.train.loop import Assignment, Rank, train_rank
from pipelines.train.settings import OnStep, Step
from pipelines.train.task import Answers

_ENVIRONMENT = {  # what Ray Train reads in this process when a run starts
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # the controller would sleep two seconds before it sees the end
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # importing torch on a loaded machine takes longer than a minute
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_ONE_NODE = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}  # the node that would be lost is this one
_POLL_S = 0.1


def run_on_ray(assignment: Assignment, folder: Path, on_step: OnStep) -> tuple[Answers, Path]:
    """Train with ``assignment.settings.workers`` ranks; gives the held-out studies' answers and the last checkpoint.

    Uses the Ray that is running in this process, else an embedded one that is stopped at the end. All that is written
    lies in ``folder``; a run that was cut short there is taken up from its last checkpoint. ``on_step`` is called in
    this thread. Raises the ``CurateError`` that a rank raised, ``Unavailable`` when a rank died or failed otherwise.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(_ENVIRONMENT))
        if not _ray_runs():
            stack.enter_context(start(None, assignment.settings.workers))
        return _fit(assignment, folder, on_step)


def _fit(assignment: Assignment, folder: Path, on_step: OnStep) -> tuple[Answers, Path]:
    import ray
    from ray.util.queue import Queue

    told = Queue(actor_options={"num_cpus": 0})
    trainer = _trainer(assignment, folder, told)
    outcome: list[Any] = []

    def fit() -> None:  # in a thread: Ray Train would take over Ctrl-C, and never give it back, in the main one
        try:
            outcome.append(trainer.fit())
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            outcome.append(error)

    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    with _environment(_ONE_NODE if len(nodes) == 1 else {}):
        thread.start()
        try:
            while thread.is_alive():
                _pass_on(told, on_step, wait=True)
            _pass_on(told, on_step, wait=False)
        finally:
            told.shutdown(force=True)  # ranks that still run fail at their next step, which ends the run
            thread.join(timeout=10)
    result = outcome[0]
    if isinstance(result, Exception):
        raise _cause(result) from None
    return np.asarray(result.return_value, dtype=np.float64), Path(result.checkpoint.path)


def _trainer(assignment: Assignment, folder: Path, told: Any) -> Any:
    import ray.train.torch

    kit: Any = ray.train  # version 2 of its interface; what a type checker sees is version 1
    workers = assignment.settings.workers
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    use_gpu = resources.get("GPU", 0) >= workers
    cpus = min(1.0, int(100 * resources.get("CPU", 1) / workers) / 100)  # fewer CPUs than workers: they share
    return kit.torch.TorchTrainer(
        _run_rank,
        train_loop_config={"assignment": assignment, "told": told},
        scaling_config=kit.ScalingConfig(
            num_workers=workers, use_gpu=use_gpu, resources_per_worker=_needs(cpus, use_gpu)
        ),
        run_config=kit.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            failure_config=kit.FailureConfig(max_failures=0),
            checkpoint_config=kit.CheckpointConfig(num_to_keep=1),
            logging_config=kit.LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _needs(cpus: float, use_gpu: bool) -> dict[str, float]:
    return {"CPU": cpus, "GPU": 1} if use_gpu else {"CPU": cpus}


def _run_rank(config: dict[str, Any]) -> list[Any]:
    """The function that Ray Train calls in every worker process."""
    import ray.train
    import ray.train.torch
    import torch

    assignment: Assignment = config["assignment"]
    context = ray.train.get_context()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_world_size() // 2))
    checkpoint = ray.train.get_checkpoint()
    with contextlib.ExitStack() as stack:
        resume = None if checkpoint is None else Path(stack.enter_context(checkpoint.as_directory()))
        answers = train_rank(
            assignment,
            Rank(
                rank=context.get_world_rank(),
                world=context.get_world_size(),
                device=ray.train.torch.get_device(),
                wrap=lambda model: ray.train.torch.prepare_model(model, move_to_device=False),
                tell=config["told"].put,
                save=_save,
                resume=resume,
            ),
        )
    result: list[Any] = answers.tolist()
    return result


def _save(folder: Path | None, state: State, loss: float) -> None:
    import ray.train

    checkpoint = None if folder is None else ray.train.Checkpoint.from_directory(str(folder))
    name = f"epoch-{state.epoch:04d}"
    ray.train.report({"epoch": state.epoch, "loss": loss}, checkpoint=checkpoint, checkpoint_dir_name=name)


def _pass_on(told: Any, on_step: OnStep, *, wait: bool) -> None:
    """Give every step that has been told to the caller."""
    with contextlib.suppress(queue.Empty):
        while True:
            step: Step = told.get(block=wait, timeout=_POLL_S if wait else None)
            on_step(step)


def _cause(error: Exception) -> Exception:
    """What a rank raised, if it was on purpose; else that training failed, and how."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        found: BaseException | None = failure
        while found is not None:
            if isinstance(found, CurateError):
                return found
            found = getattr(found, "cause", None) or found.__cause__
    kinds = sorted({type(failure).__name__ for failure in failures.values()}) or [type(error).__name__]
    return Unavailable(f"training stopped: a worker failed ({', '.join(kinds)})")


def _ray_runs() -> bool:
    ray = sys.modules.get("ray")  # not imported here: a session sets what Ray reads when imported
    return ray is not None and bool(ray.is_initialized())


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a while; what the user has set stays."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
