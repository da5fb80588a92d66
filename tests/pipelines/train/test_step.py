"""One optimiser step: its gradient is clipped, its rate rises and falls, and padding weighs nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from curate.loading.dataset import Draw
from curate.loading.joining import join
from pipelines.train.parallel import Ranks
from pipelines.train.settings import TrainSettings
from pipelines.train.step import autocast, learning_rate_at, take_step
from tests.support.tiny_task import Rows, Tiny, tiny_assignment

TASK = Tiny()


def batch(count: int = 6) -> Rows:
    assignment = tiny_assignment("", TrainSettings())
    dataset = TASK.dataset("", assignment.train, augment=False, seed=0)  # type: ignore[arg-type]
    return join([dataset[Draw(n, None)] for n in range(count)])


def gradient_after(given: Rows, settings: TrainSettings) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = TASK.model(np.zeros(1))
    optimiser = torch.optim.AdamW(model.parameters())
    reported = take_step(TASK, settings, model, optimiser, [given], 1e-3, Ranks())
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), reported


def test_the_gradient_is_clipped() -> None:
    free, _ = gradient_after(batch(), TrainSettings(clip=1e9))
    assert float(free.norm()) > 0.1
    clipped, _ = gradient_after(batch(), TrainSettings(clip=0.01))
    assert float(clipped.norm()) == pytest.approx(0.01, rel=1e-3)
    assert torch.allclose(clipped / clipped.norm(), free / free.norm(), atol=1e-5)


def test_the_gradient_is_that_of_the_terms_over_their_weights() -> None:
    given = batch()
    found, reported = gradient_after(given, TrainSettings(clip=1e9))
    torch.manual_seed(0)
    model = TASK.model(np.zeros(1))
    said = model(given.features)
    loss = (said - given.target).square().sum() / 6 + 0.01 * said.square().sum() / 7
    error = float((said - given.target).square().mean().detach())
    loss.backward()  # type: ignore[no-untyped-call]
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.allclose(found, expected, atol=1e-6)
    assert float(reported[0] / reported[1]) == pytest.approx(error, rel=1e-5)


def test_padding_changes_nothing() -> None:
    whole = batch(4)
    padded = replace(batch(6), weight=torch.tensor([1.0, 1, 1, 1, 0, 0]))
    assert torch.allclose(gradient_after(whole, TrainSettings())[0], gradient_after(padded, TrainSettings())[0])


def test_a_batch_that_weighs_nothing_moves_nothing_and_stays_finite() -> None:
    empty = replace(batch(), weight=torch.zeros(6))
    gradient, reported = gradient_after(empty, TrainSettings())
    assert not gradient.any()
    assert torch.isfinite(reported).all()


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate_at(step, 100, TrainSettings(learning_rate=0.5)) for step in range(1, 101)]
    assert rates[0] < 0.055
    assert max(rates) == rates[19] == 0.5
    assert all(a < b for a, b in pairwise(rates[:20]))
    assert all(a > b for a, b in pairwise(rates[19:]))
    assert 0 < rates[-1] < 0.005


def test_the_warm_up_is_a_setting() -> None:
    late = [learning_rate_at(step, 100, TrainSettings(warm_up=0.5)) for step in range(1, 101)]
    assert int(np.argmax(late)) == 49
    assert learning_rate_at(1, 100, TrainSettings(warm_up=0.0)) == TrainSettings().learning_rate
    assert learning_rate_at(1, 1, TrainSettings()) == TrainSettings().learning_rate


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("auto", torch.float32)]
)
def test_the_precision_is_a_setting_and_fp32_on_a_cpu(precision: str, dtype: torch.dtype) -> None:
    with autocast(TrainSettings.model_validate({"precision": precision}), torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
