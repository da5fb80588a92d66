"""What a training run is asked to do, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.train.settings import StagedSettings, StageResult, TrainSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": -2},
        {"workers": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"precision": "fp16"},
        {"strategy": "horovod"},
        {"patience": -1},
        {"clip": 0.0},
        {"epoch": 3},
        {"order": "alphabetical"},
        {"window": 0},
        {"visits": 0},
        {"cache_gigabytes": -1.0},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainSettings(**wrong)
    assert caught.value.errors()[0]["loc"] == tuple(wrong)


def test_settings_are_plain_data() -> None:
    record = TrainSettings(epochs=3, seed=9).to_json()
    assert TrainSettings.model_validate(record) == TrainSettings(epochs=3, seed=9)


def test_how_the_work_is_cut_makes_no_other_run() -> None:
    first = TrainSettings(epochs=3)
    assert TrainSettings(epochs=3, workers=8, accumulate=2, threads=4, strategy="fsdp").identity() == first.identity()
    assert TrainSettings(epochs=3, cache_gigabytes=5).identity() == first.identity()
    assert TrainSettings(epochs=3, batch_size=8).identity() != first.identity()
    assert TrainSettings(epochs=3, order="balanced").identity() != first.identity()
    assert TrainSettings(epochs=3, precision="bf16").identity() != first.identity()


@pytest.mark.parametrize(
    ("settings", "every"),
    [({"epochs": 30}, 8), ({"epochs": 3}, 1), ({"epochs": 30, "patience": 3}, 1), ({"evaluate_epochs": 5}, 5)],
)
def test_how_often_it_is_scored(settings: dict[str, Any], every: int) -> None:
    assert TrainSettings(**settings).evaluates_every == every


def test_a_stage_has_its_own_then_those_for_all_then_the_recipes() -> None:
    staged = StagedSettings(epochs=9, stages={"locate": TrainSettings(batch_size=2)})
    locate = staged.of("locate", {"epochs": 50, "learning_rate": 0.1, "batch_size": 16})
    assert (locate.epochs, locate.learning_rate, locate.batch_size, locate.seed) == (9, 0.1, 2, 0)
    assert staged.of("classify", {}) == TrainSettings(epochs=9)


@pytest.mark.parametrize(("score", "has_learned"), [(0.3, True), (0.5, False), (0.6, False)])
def test_to_have_learned_is_to_beat_every_constant(score: float, has_learned: bool) -> None:
    result = StageResult("classify", score, 0.7, 0.5, {}, {}, (), "place", "weights", 1, TrainSettings(), "samples")
    assert result.has_learned == has_learned
