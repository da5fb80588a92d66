"""The loop of one rank, without Ray: it learns, repeats itself exactly, resumes where it stopped, and knows when to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curate.errors import Misconfigured
from curate.scoring import SubmissionError
from pipelines.train.checkpoint import Checkpoints, read_record
from pipelines.train.loop import Assignment, Outcome, cut, train_rank
from pipelines.train.parallel import Ranks
from pipelines.train.reports import Began, Evaluation, Report, Step
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Answers, Score
from tests.support.tiny_task import Row, Tiny, tiny_assignment

SETTINGS = TrainSettings(epochs=4, batch_size=5, learning_rate=2e-2, workers=1, seed=5, checkpoint_steps=2)
STEPS = 12  # 12 studies to train on: 3 batches of 5, 5 and 2 an epoch


@dataclass
class Listener:
    """Stands where Ray Train would; asks to leave after a step."""

    leave_after: int = 10**9
    reports: list[Report] = field(default_factory=list)

    def __call__(self, report: Report) -> bool:
        self.reports.append(report)
        return isinstance(report, Step) and report.step >= self.leave_after

    @property
    def steps(self) -> list[Step]:
        return [report for report in self.reports if isinstance(report, Step)]

    @property
    def losses(self) -> list[tuple[int, float]]:
        return [(step.step, step.loss) for step in self.steps]

    @property
    def evaluations(self) -> list[Evaluation]:
        return [report for report in self.reports if isinstance(report, Evaluation)]


def run(assignment: Assignment, leave_after: int = 10**9) -> tuple[Outcome, Listener]:
    torch.set_num_threads(1)
    listener = Listener(leave_after)
    return train_rank(assignment, Ranks(), listener), listener


def weights_digest(assignment: Assignment, outcome: Outcome) -> str:
    return read_record(Checkpoints(assignment.place).place_of(outcome.step)).weights_digest


def changed(**settings: Any) -> TrainSettings:
    return TrainSettings(**{**SETTINGS.model_dump(), **settings})


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Assignment, Outcome, Listener]:
    """A run that nothing happens to, with dropout: what the network draws has to come back too."""
    assignment = tiny_assignment(tmp_path_factory.mktemp("calm"), SETTINGS, dropout=0.2)
    return assignment, *run(assignment)


def test_there_is_a_report_of_every_step(calm: tuple[Assignment, Outcome, Listener]) -> None:
    _, _, listener = calm
    assert listener.reports[0] == Began(0, STEPS)
    assert [step.step for step in listener.steps] == list(range(1, STEPS + 1))
    assert {step.steps for step in listener.steps} == {STEPS}
    assert [step.epoch for step in listener.steps] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(step.studies_per_second > 0 and step.seconds > 0 for step in listener.steps)
    assert all(0 <= step.wait_share <= 1 for step in listener.steps)


def test_waiting_for_data_is_said(tmp_path: Path) -> None:
    _, listener = run(tiny_assignment(tmp_path, changed(epochs=1, threads=0), seconds=0.02))
    assert all(step.wait_share > 0.5 for step in listener.steps)
    assert [round(step.studies_per_second * step.seconds) for step in listener.steps] == [5, 5, 2]


def test_reports_may_be_fewer_than_steps(tmp_path: Path) -> None:
    _, listener = run(tiny_assignment(tmp_path, changed(report_steps=5)))
    assert [step.step for step in listener.steps] == [5, 10, 12]


def test_it_learns(calm: tuple[Assignment, Outcome, Listener]) -> None:
    assignment, outcome, listener = calm
    assert outcome.answers is not None
    assert outcome.answers.shape == (8, 1)
    assert np.mean([step.loss for step in listener.steps[-3:]]) < np.mean([step.loss for step in listener.steps[:3]])
    constant = np.repeat(assignment.constants[None], 8, axis=0)
    task = assignment.task
    assert task.score(assignment.held_out, outcome.answers).score < task.score(assignment.held_out, constant).score


def test_the_same_assignment_trains_the_same_model(calm: tuple[Assignment, Outcome, Listener], tmp_path: Path) -> None:
    again = tiny_assignment(tmp_path, SETTINGS, dropout=0.2)
    outcome, listener = run(again)
    assert listener.losses == calm[2].losses
    assert weights_digest(again, outcome) == weights_digest(calm[0], calm[1])


@pytest.mark.parametrize("step", [1, 3, 4, 11])
def test_a_run_told_to_leave_goes_on_with_the_very_next_batch(
    calm: tuple[Assignment, Outcome, Listener], tmp_path: Path, step: int
) -> None:
    """In the middle of an epoch, at its end, on a checkpoint and beside one."""
    assignment = tiny_assignment(tmp_path, SETTINGS, dropout=0.2)
    first, before = run(assignment, leave_after=step)
    assert first == Outcome(None, step)
    second, after = run(assignment)
    assert after.reports[0] == Began(step, STEPS)
    assert before.losses + after.losses == calm[2].losses
    assert weights_digest(assignment, second) == weights_digest(calm[0], calm[1])


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    calm: tuple[Assignment, Outcome, Listener], tmp_path: Path
) -> None:
    assignment = tiny_assignment(tmp_path, SETTINGS, dropout=0.2)

    def die(report: Report) -> bool:
        if isinstance(report, Step) and report.step == 5:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train_rank(assignment, Ranks(), die)
    _, after = run(assignment)
    assert after.losses == calm[2].losses[4:]


def test_another_cut_of_the_work_goes_on_with_the_same_run(
    calm: tuple[Assignment, Outcome, Listener], tmp_path: Path
) -> None:
    run(tiny_assignment(tmp_path, SETTINGS, dropout=0.0), leave_after=6)
    _, after = run(tiny_assignment(tmp_path, changed(accumulate=3, threads=2), dropout=0.0))
    _, whole = run(tiny_assignment(tmp_path / "whole", SETTINGS, dropout=0.0))
    assert [loss for _, loss in after.losses] == pytest.approx([loss for _, loss in whole.losses[6:]], rel=1e-5)


def test_a_finished_run_only_answers(calm: tuple[Assignment, Outcome, Listener]) -> None:
    assignment, outcome, _ = calm
    again, listener = run(assignment)
    assert not listener.reports
    assert np.array_equal(again.answers, outcome.answers)  # type: ignore[arg-type]


def test_another_seed_trains_another_model(calm: tuple[Assignment, Outcome, Listener], tmp_path: Path) -> None:
    _, listener = run(tiny_assignment(tmp_path, changed(seed=6)))
    assert listener.losses[0] != calm[2].losses[0]


def test_checkpoints_of_another_seed_are_refused(tmp_path: Path) -> None:
    run(tiny_assignment(tmp_path, SETTINGS), leave_after=1)
    with pytest.raises(Misconfigured, match="another seed or another manifest"):
        run(tiny_assignment(tmp_path, changed(seed=6)))


def test_the_last_checkpoint_and_the_best_are_kept(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path, SETTINGS, contrary=True)  # the first evaluation is the best
    outcome, listener = run(assignment)
    assert [evaluation.is_best for evaluation in listener.evaluations] == [True, False, False, False]
    assert [evaluation.step for evaluation in listener.evaluations] == [3, 6, 9, 12]
    assert Checkpoints(assignment.place).steps() == [3, 12]
    assert outcome.step == 12


def test_the_best_weights_answer_where_the_settings_say_so(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path, changed(select="best"), contrary=True)
    outcome, listener = run(assignment)
    assert outcome.step == 3
    validation = [n for n, row in enumerate(assignment.held_out) if row.split == "validation"]
    rows = [assignment.held_out[n] for n in validation]
    assert outcome.answers is not None
    score = assignment.task.score(rows, outcome.answers[validation]).score
    assert score == pytest.approx(listener.evaluations[0].score, rel=1e-6)


def test_training_stops_early_when_the_metric_gets_no_better(tmp_path: Path) -> None:
    settings = changed(epochs=30, patience=2, evaluate_epochs=2)
    assignment = tiny_assignment(tmp_path, settings, contrary=True)
    outcome, listener = run(assignment)
    assert [evaluation.epoch for evaluation in listener.evaluations] == [2, 4, 6]
    assert listener.steps[-1].step == 18
    assert outcome.step == 6
    again, after = run(assignment)
    assert not after.reports
    assert again.step == 6


def test_patience_is_not_lost_by_a_resume(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path, changed(epochs=30, patience=2), contrary=True)
    run(assignment, leave_after=7)
    _, listener = run(assignment)
    assert listener.steps[-1].step == 9


class Unscorable(Tiny):
    def score(self, samples: Sequence[Row], answers: Answers) -> Score:
        raise SubmissionError("nothing to score")


def test_a_validation_split_that_cannot_be_scored_stops_only_those_who_wait_for_it(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path / "a", SETTINGS)
    object.__setattr__(assignment, "task", Unscorable())
    _, listener = run(assignment)
    assert not listener.evaluations
    impatient = tiny_assignment(tmp_path / "b", changed(patience=1))
    object.__setattr__(impatient, "task", Unscorable())
    with pytest.raises(Misconfigured, match="nothing that can be scored"):
        run(impatient)


@pytest.mark.parametrize("parts", [2, 5, 9])
def test_a_batch_in_parts_takes_the_step_of_the_whole(tmp_path: Path, parts: int) -> None:
    _, whole = run(tiny_assignment(tmp_path / "whole", SETTINGS))
    _, cut_up = run(tiny_assignment(tmp_path / "parts", changed(accumulate=parts)))
    assert [loss for _, loss in cut_up.losses] == pytest.approx([loss for _, loss in whole.losses], rel=1e-5)


def test_bf16_trains_nearly_the_same(tmp_path: Path) -> None:
    _, exact = run(tiny_assignment(tmp_path / "fp32", SETTINGS))
    _, coarse = run(tiny_assignment(tmp_path / "bf16", changed(precision="bf16")))
    assert coarse.losses != exact.losses
    assert [loss for _, loss in coarse.losses] == pytest.approx([loss for _, loss in exact.losses], rel=0.2)


@pytest.mark.parametrize(
    ("parts", "expected"), [(1, [[0, 1, 2, 3, 4]]), (2, [[0, 1], [2, 3, 4]]), (9, [[0], [1], [2], [3], [4]])]
)
def test_a_share_is_cut_into_parts_none_of_them_empty(parts: int, expected: list[list[int]]) -> None:
    assert list(cut([range(5)], parts)) == expected
