"""Memory is used again, and never while somebody can still see what is in it."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from curate.loading.host_memory import HostMemory

LARGE = (64, 1024)


def filled(memory: HostMemory, value: float) -> torch.Tensor:
    return memory.empty(LARGE, torch.float32).fill_(value)


def test_memory_that_nobody_holds_is_used_again() -> None:
    memory = HostMemory(blocks=2)
    places = set()
    for value in range(20):
        places.add(filled(memory, value).data_ptr())
    assert len(places) == 1


@pytest.mark.parametrize(
    "keep",
    [
        lambda tensor: tensor,
        lambda tensor: tensor[3:5, ::7],
        lambda tensor: tensor.numpy(),
        lambda tensor: tensor[2].numpy()[4:9],
        lambda tensor: tensor.view(torch.int32).T,
    ],
)
def test_whatever_looks_at_it_keeps_it(keep: object) -> None:
    memory = HostMemory(blocks=2)
    tensor = filled(memory, 7)
    place = tensor.data_ptr()
    kept = keep(tensor)  # type: ignore[operator]
    before = np.asarray(kept).copy()
    del tensor
    others = [filled(memory, value) for value in range(5)]
    assert (np.asarray(kept) == before).all()
    assert place not in {other.data_ptr() for other in others}


def test_what_a_gradient_needs_is_kept() -> None:
    memory = HostMemory(blocks=2)
    weight = torch.ones(1, requires_grad=True)
    loss = (weight * filled(memory, 7)).sum()
    for value in range(5):
        filled(memory, value)
    loss.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert weight.grad.item() == 7 * 64 * 1024


def test_no_more_is_kept_than_asked_for() -> None:
    memory = HostMemory(blocks=3)
    held = [filled(memory, value) for value in range(10)]
    assert len({tensor.data_ptr() for tensor in held}) == 10
    held.clear()
    assert len(memory._free) == 3


def test_another_size_is_not_cut_out_of_a_block_twice_as_large() -> None:
    memory = HostMemory(blocks=4)
    large = memory.empty((4, 1 << 20), torch.uint8)
    place = large.data_ptr()
    del large
    little, fitting = memory.empty((1 << 20,), torch.uint8), memory.empty((3, 1 << 20), torch.uint8)
    assert little.data_ptr() != place
    assert fitting.data_ptr() == place
    assert fitting.shape == (3, 1 << 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64, torch.uint8])
@pytest.mark.parametrize("shape", [(2, 3), (5, 40_000), (0, 4), (300_000,)])
def test_tensors_have_the_shape_and_type_asked_for(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = HostMemory(blocks=1, pin=True).empty(shape, dtype)  # pinned where there is CUDA; else plain memory
    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert tensor.is_pinned() == torch.cuda.is_available()


def test_threads_never_get_the_same_memory() -> None:
    memory = HostMemory(blocks=4)
    wrong = []

    def work(value: int) -> None:
        for _ in range(300):
            tensor = filled(memory, value)
            if not bool((tensor == value).all()):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_tensor_outlives_the_memory_it_came_from() -> None:
    memory = HostMemory(blocks=4)
    tensor = filled(memory, 3)
    del memory
    assert (tensor == 3).all()
