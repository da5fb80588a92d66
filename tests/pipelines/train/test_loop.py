"""The loop of one rank, without Ray: it learns, it repeats itself exactly, and it resumes where it stopped."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from curate.loading import State
from pipelines.recipes.cervical import Cervical
from pipelines.train.checkpoint import read_record
from pipelines.train.loop import Assignment, Rank, learning_rate_at, train_rank
from pipelines.train.settings import Step, TrainSettings
from pipelines.train.task import Answers
from tests.support.training_store import cervical_store

SETTINGS = TrainSettings(epochs=4, batch_size=2, learning_rate=3e-3, workers=1, seed=5)


@dataclass
class Recorder:
    """Stands where Ray Train would: keeps steps and checkpoints."""

    folder: Path
    steps: list[Step] = field(default_factory=list)
    saved: list[Path] = field(default_factory=list)

    def save(self, folder: Path | None, state: State, loss: float) -> None:
        assert folder is not None
        self.saved.append(self.folder / f"{state.epoch}-{state.consumed}")
        shutil.copytree(folder, self.saved[-1])

    def run(self, assignment: Assignment, resume: Path | None = None) -> Answers:
        torch.set_num_threads(1)
        own = Rank(0, 1, torch.device("cpu"), lambda model: model, self.steps.append, self.save, resume)
        return train_rank(assignment, own)


@pytest.fixture(scope="module")
def assignment(tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    root = tmp_path_factory.mktemp("store")
    task = Cervical()
    samples = task.samples(cervical_store(root, studies=10))
    train = [sample for sample in samples if sample.split == "train"]
    held_out = [sample for sample in samples if sample.split != "train"]
    constants = task.constants(train)
    return Assignment(task, str(root), train, held_out, constants, SETTINGS, "digest")


@pytest.fixture(scope="module")
def whole(assignment: Assignment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Answers, Recorder]:
    recorder = Recorder(tmp_path_factory.mktemp("checkpoints"))
    return recorder.run(assignment), recorder


def test_there_is_a_line_for_every_step(assignment: Assignment, whole: tuple[Answers, Recorder]) -> None:
    steps = whole[1].steps
    assert [step.step for step in steps] == list(range(1, 13))
    assert {step.steps for step in steps} == {12} == {assignment.steps}
    assert [step.epoch for step in steps] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(np.isfinite(step.loss) and step.studies_per_second > 0 for step in steps)


def test_answers_are_probabilities_for_every_held_out_study(
    assignment: Assignment, whole: tuple[Answers, Recorder]
) -> None:
    assert whole[0].shape == (len(assignment.held_out), 8, 2)
    assert np.allclose(whole[0].sum(axis=2), 1)


def test_the_same_assignment_trains_the_same_model(
    assignment: Assignment, whole: tuple[Answers, Recorder], tmp_path: Path
) -> None:
    again = Recorder(tmp_path)
    assert np.array_equal(again.run(assignment), whole[0])
    assert [step.loss for step in again.steps] == [step.loss for step in whole[1].steps]


def test_a_checkpoint_stands_at_the_end_of_every_quarter(whole: tuple[Answers, Recorder]) -> None:
    assert [path.name for path in whole[1].saved] == ["1-0", "2-0", "3-0", "4-0"]
    assert read_record(whole[1].saved[1]).state == State(5, "digest", 2, 0)
    assert read_record(whole[1].saved[1]).task == "cervical"


def test_a_resumed_run_ends_with_the_same_model(
    assignment: Assignment, whole: tuple[Answers, Recorder], tmp_path: Path
) -> None:
    resumed = Recorder(tmp_path)
    answers = resumed.run(assignment, whole[1].saved[1])
    assert [(s.step, s.loss) for s in resumed.steps] == [(s.step, s.loss) for s in whole[1].steps[6:]]
    assert np.array_equal(answers, whole[0])


def test_a_finished_run_only_answers(assignment: Assignment, whole: tuple[Answers, Recorder], tmp_path: Path) -> None:
    resumed = Recorder(tmp_path)
    assert np.array_equal(resumed.run(assignment, whole[1].saved[-1]), whole[0])
    assert not resumed.steps
    assert not resumed.saved


def test_another_seed_trains_another_model(
    assignment: Assignment, whole: tuple[Answers, Recorder], tmp_path: Path
) -> None:
    other = replace(assignment, settings=replace(SETTINGS, seed=6, epochs=1))
    assert not np.array_equal(Recorder(tmp_path).run(other), whole[0])


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate_at(step, 100, 1.0) for step in range(1, 101)]
    assert rates[0] < 0.11
    assert max(rates) == rates[19] == 1.0
    assert all(a < b for a, b in pairwise(rates[:20]))
    assert all(a > b for a, b in pairwise(rates[19:]))
    assert 0 < rates[-1] < 0.01
    assert learning_rate_at(1, 1, 0.5) == 0.5
