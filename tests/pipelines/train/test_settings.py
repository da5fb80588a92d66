"""What a training run is asked to do, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import Misconfigured
from pipelines.train.settings import StageResult, Step, TrainSettings


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"epochs": 0}, "train.epochs: expected at least 1, got 0"),
        ({"batch_size": -2}, "train.batch_size: expected at least 1, got -2"),
        ({"workers": 0}, "train.workers: expected at least 1, got 0"),
        ({"learning_rate": 0.0}, "train.learning_rate: expected above 0 and below 1, got 0.0"),
        ({"learning_rate": float("nan")}, "train.learning_rate: expected above 0 and below 1, got nan"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        TrainSettings(**wrong)  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_settings_are_plain_data() -> None:
    record = TrainSettings(epochs=3, seed=9).to_json()
    assert TrainSettings(**record) == TrainSettings(epochs=3, seed=9)  # type: ignore[arg-type]


def test_a_step_is_one_line() -> None:
    line = str(Step(3, 40, 0, 0.51234, 1e-3, 12.34))
    assert line == "step 3/40  epoch 1  loss 0.5123  lr 1.00e-03  12.3 studies/s"


@pytest.mark.parametrize(("score", "has_learned"), [(0.3, True), (0.5, False), (0.6, False)])
def test_to_have_learned_is_to_beat_every_constant(score: float, has_learned: bool) -> None:
    result = StageResult("classify", score, 0.7, 0.5, {}, {}, (), Path("c"), 1, TrainSettings(), "digest")
    assert result.has_learned == has_learned
