"""What stands between the loop and Ray Train: errors, environment, and the line of steps. Ray itself: ``test_run``."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Callable

import pytest

from curate.errors import CurateError, Misconfigured, Rejected, Unavailable
from curate.reasons import Reason
from pipelines.train import launch
from pipelines.train.settings import Step


class Failed(Exception):
    """As Ray Train raises it: the exception of each rank that failed, by rank."""

    def __init__(self, worker_failures: dict[int, Exception]) -> None:
        super().__init__("worker group failed, with a traceback full of paths")
        self.worker_failures = worker_failures


class Wrapped(Exception):
    """As Ray wraps what a task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("RayTaskError")
        self.cause = cause


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


REFUSED = Unavailable("cannot read: Input/output error")
LYING = Misconfigured("the checkpoint was made with another seed or another manifest; train into another folder")
BROKEN = Rejected(Reason.UNDECODABLE_PIXELS, "in one slice")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (REFUSED, REFUSED),
        (Wrapped(LYING), LYING),
        (chained(RuntimeError("outer"), BROKEN), BROKEN),
        (chained(RuntimeError("outer"), Wrapped(REFUSED)), REFUSED),
    ],
)
def test_what_a_rank_raised_on_purpose_reaches_the_caller(failure: Exception, expected: CurateError) -> None:
    assert launch._cause(Failed({1: failure})) is expected


def test_a_purposeful_error_is_found_behind_another_rank_that_only_lost_its_peer() -> None:
    assert launch._cause(Failed({0: RuntimeError("connection closed by peer"), 1: Wrapped(LYING)})) is LYING


def test_other_failures_are_named_by_kind_only() -> None:
    found = launch._cause(Failed({0: ValueError("/secret/path"), 1: KeyError("JANE DOE"), 2: ValueError("again")}))
    assert isinstance(found, Unavailable)
    assert str(found) == "training stopped: a worker failed (KeyError, ValueError)"


def test_a_failure_of_the_controller_is_named_too() -> None:
    found = launch._cause(TimeoutError("/secret/path"))
    assert str(found) == "training stopped: a worker failed (TimeoutError)"


def test_the_environment_is_changed_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_TEST_KEPT", "user's")
    monkeypatch.delenv("CURATE_TEST_NEW", raising=False)
    with launch._environment({"CURATE_TEST_KEPT": "ours", "CURATE_TEST_NEW": "ours"}):
        assert os.environ["CURATE_TEST_KEPT"] == "user's"
        assert os.environ["CURATE_TEST_NEW"] == "ours"
    assert os.environ["CURATE_TEST_KEPT"] == "user's"
    assert "CURATE_TEST_NEW" not in os.environ


def test_the_environment_is_put_back_after_a_failure() -> None:
    with pytest.raises(Misconfigured), launch._environment({"CURATE_TEST_NEW": "ours"}):
        raise Misconfigured("stop")
    assert "CURATE_TEST_NEW" not in os.environ


def test_no_usage_statistics_are_asked_for() -> None:
    assert launch._ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"
    assert launch._ENVIRONMENT["RAY_TRAIN_METRICS_ENABLED"] == "0"


class Line:
    """A queue as Ray's, in this process."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps

    def get(self, *, block: bool, timeout: float | None) -> Step:
        if not self.steps:
            raise queue.Empty
        return self.steps.pop(0)


def step(number: int) -> Step:
    return Step(number, 3, 0, 0.5, 1e-3, 1.0)


@pytest.mark.parametrize("wait", [True, False])
def test_every_step_in_line_is_passed_on_in_order(wait: bool) -> None:
    seen: list[int] = []
    launch._pass_on(Line([step(1), step(2), step(3)]), lambda told: seen.append(told.step), wait=wait)
    assert seen == [1, 2, 3]


def test_what_the_caller_raises_about_a_step_is_the_callers() -> None:
    def stop(told: Step) -> None:
        raise KeyboardInterrupt

    line = Line([step(1), step(2)])
    with pytest.raises(KeyboardInterrupt):
        launch._pass_on(line, stop, wait=True)
    assert [left.step for left in line.steps] == [2]


def test_a_worker_takes_a_gpu_only_when_there_is_one_for_each() -> None:
    assert launch._needs(1.0, use_gpu=True) == {"CPU": 1.0, "GPU": 1}
    assert launch._needs(0.5, use_gpu=False) == {"CPU": 0.5}


@pytest.mark.parametrize(("is_initialized", "runs"), [(lambda: True, True), (lambda: False, False)])
def test_a_running_ray_is_seen(monkeypatch: pytest.MonkeyPatch, is_initialized: Callable[[], bool], runs: bool) -> None:
    class Ray:
        pass

    fake = Ray()
    fake.is_initialized = is_initialized  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)
    assert launch._ray_runs() is runs


def test_to_look_for_ray_does_not_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    assert not launch._ray_runs()
    assert "ray" not in sys.modules
