"""Run the loop on Ray Train: gloo on CPUs, nccl where the cluster has a GPU for every worker. Quiet, in no folder.

Ray Train places the ranks, joins them, and starts them again when one is lost; where a run goes on is read from the
run's own checkpoints, which know nothing of Ray. So Ray's own storage holds nothing of value and is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.drain import Drain, Drained
from cluster.scratch import scratch_folder
from cluster.session import start
from curate.errors import CurateError, Unavailable
from pipelines.train.loop import Assignment, Outcome, train_rank
from pipelines.train.parallel import Ranks
from pipelines.train.reports import OnReport, Report, Step

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
_LEAVE_S = 10.0  # for the ranks to notice that nobody waits for them any more


class Line:
    """Between rank 0 and the caller: reports one way, the word to leave the other. An actor of no CPU."""

    def __init__(self) -> None:
        self._reports: list[Report] = []
        self._leave = False
        self._refusal: CurateError | None = None

    def tell(self, report: Report) -> bool:
        """Whether the ranks are to leave."""
        self._reports.append(report)
        return self._leave

    def take(self) -> list[Report]:
        """What was told since the last call."""
        taken, self._reports = self._reports, []
        return taken

    def leave(self) -> None:
        self._leave = True

    def refuse(self, error: CurateError) -> None:
        """A rank cannot go on, and never will: ranks that start again leave at once."""
        self._refusal, self._leave = self._refusal or error, True

    def asked_to_leave(self) -> bool:
        return self._leave

    def refusal(self) -> CurateError | None:
        return self._refusal


def run_on_ray(assignment: Assignment, on_report: OnReport, drain: Drain | None = None) -> Outcome:
    """Train with ``assignment.settings.workers`` ranks, to the end.

    Uses the Ray that is running in this process, else an embedded one that is stopped at the end. ``on_report`` is
    called in this thread, with no step twice. ``drain``: when asked, the ranks make a checkpoint and ``Drained`` is
    raised; by default SIGTERM and SIGUSR1 ask. Raises the ``CurateError`` that a rank raised, ``Unavailable`` when
    ranks were lost more often than the settings allow, or failed otherwise.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(_ENVIRONMENT))
        if not _ray_runs():
            stack.enter_context(start(None, assignment.settings.workers))
        asked = stack.enter_context(Drain().on_signals()) if drain is None else drain
        scratch = stack.enter_context(scratch_folder("curate-train-"))
        outcome = _fit(assignment, scratch, on_report, asked)
    if outcome.answers is None:
        raise Drained(f"told to stop: a checkpoint stands after step {outcome.step}; the same command goes on from it")
    return outcome


def _fit(assignment: Assignment, scratch: Path, on_report: OnReport, drain: Drain) -> Outcome:
    import ray

    line: Any = ray.remote(num_cpus=0)(Line).remote()
    trainer = _trainer(assignment, scratch, line)
    done: list[Any] = []

    def fit() -> None:  # in a thread: Ray Train would take over Ctrl-C, and never give it back, in the main one
        try:
            done.append(trainer.fit())
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            done.append(error)

    thread = threading.Thread(target=fit, name="ray-train", daemon=True)
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    tell_once = _Once(on_report)
    with _environment(_ONE_NODE if len(nodes) == 1 else {}):
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_POLL_S)
                if drain.is_asked:
                    line.leave.remote()
                tell_once(ray.get(line.take.remote()))
            tell_once(ray.get(line.take.remote()))
            refusal = ray.get(line.refusal.remote())
        except ray.exceptions.RayError as error:  # the line's node is gone
            raise Unavailable(f"training stopped: Ray is lost ({type(error).__name__})") from None
        finally:
            line.leave.remote()  # whoever interrupts: ranks that still run leave after the step they are at
            thread.join(_LEAVE_S)
            ray.kill(line)
    if refusal is not None:
        raise refusal
    (result,) = done
    if isinstance(result, Exception):
        raise _cause(result) from None
    outcome: Outcome = result.return_value
    return outcome


def _trainer(assignment: Assignment, scratch: Path, line: Any) -> Any:
    import ray.train.torch

    kit: Any = ray.train  # version 2 of its interface; what a type checker sees is version 1
    settings = assignment.settings
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    use_gpu = resources.get("GPU", 0) >= settings.workers
    cpus = min(1.0, int(100 * resources.get("CPU", 1) / settings.workers) / 100)  # fewer CPUs than workers: they share
    return kit.torch.TorchTrainer(
        _run_rank,
        train_loop_config={"assignment": assignment, "line": line},
        scaling_config=kit.ScalingConfig(
            num_workers=settings.workers, use_gpu=use_gpu, resources_per_worker=_needs(cpus, use_gpu)
        ),
        run_config=kit.RunConfig(
            name="run",
            storage_path=str(scratch),
            failure_config=kit.FailureConfig(max_failures=settings.max_failures),
            logging_config=kit.LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _needs(cpus: float, use_gpu: bool) -> dict[str, float]:
    return {"CPU": cpus, "GPU": 1} if use_gpu else {"CPU": cpus}


def _run_rank(config: dict[str, Any]) -> Outcome:
    """The function that Ray Train calls in every worker process."""
    import ray
    import ray.train.torch
    import torch

    assignment: Assignment = config["assignment"]
    line: Any = config["line"]
    if ray.get(line.asked_to_leave.remote()):
        return Outcome(None, 0)
    device = ray.train.torch.get_device()
    ranks = Ranks.of_this_process(device)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // ranks.world // 2))
    teller = _Teller(line)
    try:
        outcome = train_rank(assignment, ranks, teller)
    except CurateError as error:
        if not isinstance(error, Unavailable):  # storage may come back
            ray.get(line.refuse.remote(error))
        raise
    teller.flush()
    return outcome


class _Teller:
    """Rank 0's end of the line. What it hears is the answer to the report before, so that no step waits for one."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self._last: Any = None

    def __call__(self, report: Report) -> bool:
        leave = self.flush()
        self._last = self._line.tell.remote(report)
        return leave

    def flush(self) -> bool:
        import ray

        last, self._last = self._last, None
        return last is not None and bool(ray.get(last))


class _Once:
    """Passes reports on, of steps those alone that are new: after a lost rank some are taken again."""

    def __init__(self, on_report: OnReport) -> None:
        self._on_report = on_report
        self._step = 0

    def __call__(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report, Step):
                if report.step <= self._step:
                    continue
                self._step = report.step
            self._on_report(report)


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
