"""A spec names the order: balanced or windowed, it is the same for any ranks and goes on exactly after any resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from curate.loading import State
from curate.loading.order import Shuffled
from pipelines.recipes.cervical import Cervical
from pipelines.recipes.levels import LevelLocator
from pipelines.recipes.lumbar import Lumbar
from pipelines.recipes.vertebrae import VertebraLocator
from pipelines.train.checkpoint import Checkpoints, read_record
from pipelines.train.loop import Assignment, read_ahead, train_rank
from pipelines.train.parallel import Ranks
from pipelines.train.reports import Report, Step
from pipelines.train.settings import TrainSettings
from pipelines.train.visiting import order_of
from tests.support.tiny_task import tiny_assignment
from tests.support.training_store import cervical_store, lumbar_store

CPU = torch.device("cpu")
SETTINGS = TrainSettings(epochs=2, batch_size=5, learning_rate=2e-2, workers=1, seed=5, threads=0, checkpoint_steps=1)
ORDERS: dict[str, dict[str, Any]] = {
    "balanced": {"order": "balanced", "visits": 2},
    "windowed": {"order": "windowed", "window": 3, "visits": 2},
    "shuffled": {"visits": 2},
}


def settings_of(name: str, **others: Any) -> TrainSettings:
    return TrainSettings(**{**SETTINGS.model_dump(), **ORDERS[name], **others})


def batches_of(assignment: Assignment, state: State, world: int) -> list[Counter[tuple[int, tuple[float, ...]]]]:
    """Every global batch as the ranks read it: which study, and what augmentation made of it."""
    ranks = []
    for rank in range(world):
        _, loader = read_ahead(assignment, state, rank=rank, world=world, device=CPU)
        with loader:
            ranks.append([_rows(batch) for batch in loader])
    return [sum(parts, Counter()) for parts in zip(*ranks, strict=True)]


def _rows(batch: Any) -> Counter[tuple[int, tuple[float, ...]]]:
    seen = zip(batch.index.tolist(), batch.features.tolist(), batch.weight.tolist(), strict=True)
    return Counter((index, tuple(features)) for index, features, weight in seen if weight > 0)


@pytest.mark.parametrize("name", list(ORDERS))
def test_any_ranks_and_any_resume_read_the_same_global_batches(tmp_path: Path, name: str) -> None:
    assignment = tiny_assignment(tmp_path, settings_of(name))
    start = State(5, assignment.manifest_digest)
    wanted = batches_of(assignment, start, 1)
    assert len(wanted) == assignment.steps == 10  # 12 studies twice an epoch, by fives
    every = sum(wanted, Counter())
    assert every.total() == len(every) == 48  # no visit looks like another
    sampler, _ = read_ahead(assignment, start, rank=0, world=1, device=CPU)
    for step, state in enumerate([start, *sampler.states[:-1]]):
        for world in (1, 2, 4, 8):
            assert batches_of(assignment, state, world) == wanted[step:]


@pytest.mark.parametrize("name", list(ORDERS))
def test_a_run_told_to_leave_at_any_step_ends_with_the_weights_of_a_calm_one(tmp_path: Path, name: str) -> None:
    torch.set_num_threads(1)
    digests = set()
    for leave_after in (99, 1, 5, 8):
        assignment = tiny_assignment(tmp_path / str(leave_after), settings_of(name), dropout=0.2)

        def leave(report: Report, step: int = leave_after) -> bool:
            return isinstance(report, Step) and report.step >= step

        outcome = train_rank(assignment, Ranks(), leave)
        if outcome.answers is None:
            outcome = train_rank(assignment, Ranks(), lambda report: False)
        assert outcome.step == 10
        digests.add(read_record(Checkpoints(assignment.place).place_of(outcome.step)).weights_digest)
    assert len(digests) == 1


def test_balanced_classes_come_equally_often(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path, settings_of("balanced"))
    classes = assignment.task.classes(assignment.train)
    assert 0 < sum(classes) < len(classes) / 3, "the second class is rare"
    order = order_of(assignment.settings, assignment.task, assignment.train)
    assert Counter(classes[index] for index in order.epoch(seed=5, epoch=0)) == {0: 12, 1: 12}


def test_a_windowed_order_keeps_the_visits_of_a_study_near_each_other(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path, settings_of("windowed"))
    visited = order_of(assignment.settings, assignment.task, assignment.train).epoch(seed=5, epoch=0).tolist()
    assert [len(set(visited[start : start + 6])) for start in range(0, 24, 6)] == [3] * 4
    assert any(one == other for one, other in pairwise(sorted(visited)))


def test_an_order_is_a_plain_shuffle_unless_asked_for(tmp_path: Path) -> None:
    assignment = tiny_assignment(tmp_path, SETTINGS)
    assert order_of(SETTINGS, assignment.task, assignment.train) == Shuffled(12)


def worst(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Of each study, by the samples table alone: the highest label."""
    labels = [[value for value in list(row.values())[5:] if value is not None] for row in rows]
    return [max(values) for values in labels]


def test_the_recipes_know_their_classes_without_reading_a_voxel(tmp_path: Path) -> None:
    """The stores' volumes are removed before anybody is asked."""
    for make, task, locator in (
        (cervical_store, Cervical(), VertebraLocator()),
        (lumbar_store, Lumbar(), LevelLocator()),
    ):
        manifests = make(tmp_path / task.name, studies=3)
        for file in (tmp_path / task.name).rglob("*"):
            if file.is_file():
                file.unlink()
        classes = task.classes(task.samples(manifests))
        assert classes == worst(manifests["samples"].to_pylist())
        assert len(set(classes)) > 1 or task.name == "lumbar"
        assert set(locator.classes(locator.samples(manifests))) == {0}
