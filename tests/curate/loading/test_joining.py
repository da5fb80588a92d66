"""Batches of any make are joined and moved without losing their order, their types or their kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch

from curate.loading.joining import join, tensors_of, to_device


@dataclass(frozen=True)
class Pair:
    image: torch.Tensor
    label: torch.Tensor


class Both(NamedTuple):
    left: Pair
    right: list[torch.Tensor]


def pair(value: int, rows: int = 1) -> Pair:
    return Pair(torch.full((rows, 2, 3), value, dtype=torch.bfloat16), torch.full((rows,), value % 2 == 0))


def test_rows_stand_in_the_order_of_the_batches() -> None:
    joined = join([pair(3), pair(1, rows=2), pair(2)])
    assert joined.image[:, 0, 0].tolist() == [3, 1, 1, 2]
    assert joined.label.tolist() == [False, False, False, True]
    assert joined.image.dtype == torch.bfloat16


def test_nested_batches_keep_their_kind() -> None:
    joined = join([Both(pair(n), [torch.tensor([n])]) for n in range(3)])
    assert isinstance(joined, Both)
    assert isinstance(joined.left, Pair)
    assert joined.right[0].tolist() == [0, 1, 2]
    assert join([{"a": torch.tensor([1])}, {"a": torch.tensor([2])}])["a"].tolist() == [1, 2]
    assert len(list(tensors_of(joined))) == 3


def test_arrays_are_joined_and_stay_with_the_host() -> None:
    joined = join([{"image": torch.tensor([n]), "key": np.array([n]), "none": None} for n in (3, 1)])
    assert joined["key"].tolist() == [3, 1]
    assert joined["none"] is None
    moved = to_device(joined, torch.device("meta"))  # a device that is not the host
    assert moved["image"].is_meta
    assert moved["key"] is joined["key"]


def test_joined_equals_what_torch_makes() -> None:
    parts = [torch.randn(n, 4, 5).transpose(1, 2) for n in (1, 3, 2)]  # not contiguous
    assert torch.equal(join(parts), torch.cat(parts))


def test_without_elements_there_is_still_a_shape() -> None:
    assert join([torch.empty(1, 7, 0), torch.empty(2, 7, 0)]).shape == (3, 7, 0)


def test_the_memory_asked_for_is_used() -> None:
    memory = torch.zeros(2, 3)
    joined = join([torch.ones(1, 3), torch.full((1, 3), 2.0)], lambda shape, dtype: memory)
    assert joined is memory
    assert memory[:, 0].tolist() == [1, 2]


@pytest.mark.parametrize("other", [torch.zeros(1, 4), torch.zeros(1, 3, dtype=torch.float64)])
def test_what_does_not_fit_is_refused(other: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="other shapes or types"):
        join([torch.zeros(1, 3), other])


def test_what_is_no_batch_is_refused() -> None:
    with pytest.raises(TypeError, match="not of str"):
        join(["a", "b"])


def test_a_copy_on_a_device_keeps_its_kind() -> None:
    moved = to_device(pair(5), torch.device("cpu"))
    assert isinstance(moved, Pair)
    assert torch.equal(moved.image, pair(5).image)
