"""What stands between the loop and Ray Train: errors, the environment, the line of reports; and lost ranks for real."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.drain import Drain, Drained
from cluster.session import start
from curate.errors import CurateError, Misconfigured, Rejected, Unavailable
from curate.reasons import Reason
from pipelines.train import launch
from pipelines.train.checkpoint import Checkpoints, read_record
from pipelines.train.loop import Assignment
from pipelines.train.reports import Began, Evaluation, Report, Step
from pipelines.train.settings import TrainSettings
from tests.support.tiny_task import tiny_assignment


@pytest.fixture(scope="module", autouse=True)
def own_temporary() -> Iterator[None]:
    """Temporary folders apart from those of tests that train at the same time; a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        yield


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


def step(number: int) -> Step:
    return Step(number, 9, 0, 0.5, 1e-3, 1.0, 0.1, 0.0)


def test_the_line_carries_reports_one_way_and_the_word_to_leave_the_other() -> None:
    line = launch.Line()
    assert not line.tell(Began(0, 9))
    line.leave()
    assert line.tell(step(1))
    assert line.take() == [Began(0, 9), step(1)]
    assert line.take() == []
    assert line.asked_to_leave()


def test_what_a_rank_refuses_is_kept_and_makes_the_others_leave() -> None:
    line = launch.Line()
    line.refuse(LYING)
    line.refuse(BROKEN)
    assert line.refusal() is LYING
    assert line.asked_to_leave()


def test_no_step_is_passed_on_twice() -> None:
    """As after a lost rank: the run goes on from a checkpoint and takes steps again."""
    seen: list[Report] = []
    once = launch._Once(seen.append)
    best = Evaluation(2, 1, 0.5, {}, True)
    once([Began(0, 9), step(1), step(2), step(3)])
    once([Began(1, 9), step(2), best, step(3), step(4)])
    assert seen == [Began(0, 9), step(1), step(2), step(3), Began(1, 9), best, step(4)]


def test_what_the_caller_raises_about_a_step_is_the_callers() -> None:
    def stop(told: Report) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch._Once(stop)([step(1)])


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


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    with start(None, 2):
        yield


SETTINGS = TrainSettings(epochs=4, batch_size=5, learning_rate=2e-2, workers=2, checkpoint_steps=2)


def losses(reports: list[Report]) -> list[tuple[int, float]]:
    return [(report.step, report.loss) for report in reports if isinstance(report, Step)]


@pytest.fixture(scope="module")
def calm(session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Report], str]:
    """What a run says that nothing happens to, and the digest of its weights."""
    return trained(tiny_assignment(tmp_path_factory.mktemp("calm"), SETTINGS, dropout=0.2))


def trained(assignment: Assignment, drain: Drain | None = None) -> tuple[list[Report], str]:
    reports: list[Report] = []
    outcome = launch.run_on_ray(assignment, reports.append, drain)
    return reports, read_record(Checkpoints(assignment.place).place_of(outcome.step)).weights_digest


def test_a_lost_worker_is_started_again_with_the_very_next_batch(
    calm: tuple[list[Report], str], tmp_path: Path
) -> None:
    """One of the two ranks is killed by SIGKILL in the third epoch; all go on from the checkpoint before."""
    flag = tmp_path / "killed"
    reports, digest = trained(tiny_assignment(tmp_path / "run", SETTINGS, dropout=0.2, dies=str(flag)))
    assert flag.exists()
    began = [report for report in reports if isinstance(report, Began)]
    assert began[0].step == 0
    assert began[-1].step in (4, 6)  # threads read ahead: the rank dies a few steps before it comes to the sample
    assert losses(reports) == losses(calm[0])
    assert digest == calm[1]


def test_a_worker_lost_once_more_than_allowed_ends_the_run(session: None, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_failures": 0})
    with pytest.raises(Unavailable, match="training stopped: a worker failed"):
        trained(tiny_assignment(tmp_path / "run", settings, dies=str(tmp_path / "killed")))


def test_told_to_stop_it_leaves_a_checkpoint_and_goes_on_from_it(
    calm: tuple[list[Report], str], tmp_path: Path
) -> None:
    assignment, drain, before = tiny_assignment(tmp_path, SETTINGS, dropout=0.2, seconds=0.02), Drain(), list[Report]()

    def hear(report: Report) -> None:
        before.append(report)
        if isinstance(report, Step) and report.step >= 3:
            drain.ask()

    with pytest.raises(Drained, match="the same command goes on") as caught:
        launch.run_on_ray(assignment, hear, drain)
    assert str(tmp_path) not in str(caught.value)
    *_, stopped = Checkpoints(assignment.place).steps()  # the best may stand beside it
    assert 3 <= stopped < 12
    after, digest = trained(assignment)
    assert after[0] == Began(stopped, 12)
    assert losses(before + after) == losses(calm[0])
    assert digest == calm[1]


def test_a_checkpoint_of_another_version_is_refused_at_once(session: None, tmp_path: Path) -> None:
    record = tmp_path / "00000003/checkpoint.json"
    record.parent.mkdir()
    record.write_text('{"version":99}')
    with pytest.raises(Misconfigured, match="made by another version"):
        trained(tiny_assignment(tmp_path, SETTINGS))


def test_nothing_of_ray_train_is_left(calm: tuple[list[Report], str]) -> None:
    assert not Path("~/ray_results").expanduser().exists()
    assert not [name for name in os.environ if name.startswith("RAY_TRAIN_")]
    assert not list(Path(tempfile.gettempdir()).glob("curate-train-*"))  # see own_temporary
