"""The small networks: shapes, attention, and that a crop is judged alone."""

from __future__ import annotations

import pytest
import torch

from pipelines.recipes.models import Finder, smooth_maximum


def finder(*, spread: float | None = None) -> Finder:
    torch.manual_seed(0)
    return Finder((8, 8, 16, 16), ((2, 2, 2), (2, 2, 2)), spread=spread)


def test_a_finder_says_what_and_where() -> None:
    found, looks = finder()(torch.randn(5, 1, 8, 16, 24))
    assert found.shape == (5,)
    assert looks.shape == (5, 2 * 4 * 6)
    assert torch.allclose(looks.exp().sum(dim=1), torch.ones(5), atol=1e-5)


def test_thick_slices_are_not_shrunk_away() -> None:
    model = Finder((8, 8, 16, 16), ((1, 2, 2), (1, 2, 2)), spread=0.5)
    assert model(torch.randn(1, 1, 3, 32, 32))[1].shape == (1, 3 * 8 * 8)


def test_a_crop_is_judged_alone() -> None:
    """Whoever shares the batch: else an answer would depend on the number of ranks."""
    model, crops = finder(), torch.randn(4, 1, 8, 16, 16)
    together = model(crops)[0]
    alone = torch.cat([model(crops[n : n + 1])[0] for n in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_attention_starts_in_the_middle_when_told_to() -> None:
    model = finder(spread=0.3)
    looks = model(torch.randn(6, 1, 16, 16, 16))[1].detach().exp().mean(dim=0).reshape(4, 4, 4)
    middle = looks[1:3, 1:3, 1:3].sum()
    assert middle > 0.8
    assert finder()(torch.randn(6, 1, 16, 16, 16))[1].exp().mean(dim=0).reshape(4, 4, 4)[1:3, 1:3, 1:3].sum() < 0.4


def test_the_same_sign_elsewhere_may_mean_something_else() -> None:
    """Cells know where they lie, so an answer is not blind to position."""
    crops = torch.zeros(2, 1, 16, 16, 16)
    crops[0, 0, 4:6, 4:6, 4:6] = 1
    crops[1, 0, 8:10, 8:10, 8:10] = 1
    first, second = finder()(crops)[0]
    assert abs(float((first - second).detach())) > 1e-5


def test_the_smooth_maximum_lies_between_mean_and_maximum() -> None:
    values = torch.tensor([[0.0, 1.0, 5.0]])
    assert float(smooth_maximum(values, dim=1, sharpness=1e-4)) == pytest.approx(2.0, abs=1e-2)
    assert float(smooth_maximum(values, dim=1, sharpness=200.0)) == pytest.approx(5.0, abs=1e-2)
    assert 2.0 < float(smooth_maximum(values, dim=1)) < 5.0
    assert float(smooth_maximum(torch.full((1, 7), 3.0), dim=1)) == pytest.approx(3.0)
