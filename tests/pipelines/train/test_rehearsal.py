"""What a rehearsal says of a network that can be counted by hand; it writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.train import StagedSettings, TrainSettings, rehearse
from pipelines.train.recipe import Recipe, Stage
from pipelines.train.rehearsal import Rehearsal, rehearse_stage
from tests.support.tiny_task import Tiny, tiny_assignment, tiny_manifests

PARAMETERS = 4 * 8 + 8 + 8 + 1


def rehearsal(**settings: Any) -> Rehearsal:
    seconds = settings.pop("seconds", 0.0)
    return rehearse_stage("only", tiny_assignment("", TrainSettings(**settings), seconds=seconds))


def test_memory_is_counted_by_what_it_is_for() -> None:
    found = rehearsal(batch_size=4, workers=1, epochs=3)
    assert found.parameters == PARAMETERS
    assert found.weight_bytes == found.gradient_bytes == 4 * PARAMETERS
    assert found.optimiser_bytes == 4 * (2 * PARAMETERS + 4)  # two moments, and the step of each of four tensors
    assert found.batch_bytes == 4 * 4 * 4  # float32 (4, 4)
    # what tanh gave is kept once, though tanh and the next layer both need it; then the loss's own: (4, 1) each
    assert 4 * 4 * 8 <= found.activation_bytes <= 4 * 4 * 8 + 8 * 4 * 4
    assert found.memory_bytes > found.weight_bytes + found.gradient_bytes + found.optimiser_bytes
    assert found.steps == 3 * 3


def test_more_parts_take_less_memory_for_activations() -> None:
    whole, parts = rehearsal(batch_size=8, workers=1), rehearsal(batch_size=8, workers=1, accumulate=4)
    assert parts.activation_bytes * 3 < whole.activation_bytes
    assert parts.weight_bytes == whole.weight_bytes


def test_shared_out_a_rank_keeps_its_share() -> None:
    copied, shared = rehearsal(workers=4), rehearsal(workers=4, strategy="fsdp")
    assert shared.weight_bytes == copied.weight_bytes // 4
    assert shared.optimiser_bytes == copied.optimiser_bytes // 4


def test_time_is_that_of_a_step_times_the_steps() -> None:
    found = rehearsal(batch_size=4, workers=1, epochs=100, seconds=0.01, threads=0)
    assert 0.04 <= found.step_seconds < 2
    assert found.wait_share > 0.5
    assert found.seconds == found.step_seconds * 300


def test_every_stage_is_rehearsed_on_earlier_ones_untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[dict[str, str]] = []

    def second(root: str, checkpoints: Any) -> Tiny:
        made.append(dict(checkpoints))
        return Tiny(earlier=checkpoints["first"])

    first_stage = Stage("first", lambda root, checkpoints: Tiny())
    recipe = Recipe("tiny", (first_stage, Stage("second", second)), lambda keys, answers: pd.DataFrame())
    monkeypatch.setattr("pipelines.train.rehearsal.recipe_named", lambda name: recipe)
    settings = StagedSettings(epochs=2, workers=1, stages={"second": TrainSettings(epochs=5)})
    first, second_found = rehearse("tiny", str(tmp_path), tiny_manifests(), settings)
    assert (first.stage, second_found.stage) == ("first", "second")
    assert (first.steps, second_found.steps) == (2 * 3, 5 * 3)
    assert list(made[0]) == ["first"]
    assert not list(tmp_path.iterdir())
