"""Batches as trees of tensors: several joined into one, and one copied to a device.

A batch is a tensor, a numpy array, None, or a dataclass, tuple, list or dict of batches; the first axis of tensors and
arrays counts samples. Arrays are for the host and stay there: reading a number from a GPU would wait for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

Batch = TypeVar("Batch")
Empty = Callable[[Sequence[int], torch.dtype], torch.Tensor]


def join(batches: Sequence[Batch], empty: Empty | None = None) -> Batch:
    """Batches of one kind -> one batch, in order; ``empty`` (shape, dtype) gives the memory, ``torch.empty`` if None.

    Raises ``ValueError`` when tensors do not fit together, ``TypeError`` for a batch that is none.
    """
    joined: Batch = _combine(lambda tensors: _concatenate(tensors, empty or _fresh), batches)
    return joined


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A copy on the device, without waiting where the batch lies in pinned memory."""
    moved: Batch = _combine(lambda tensors: tensors[0].to(device, non_blocking=True), [batch])
    return moved


def pinned(batch: Batch) -> Batch:
    """A copy in page-locked memory; raises ``RuntimeError`` where there is no CUDA."""
    locked: Batch = _combine(lambda tensors: tensors[0].pin_memory(), [batch])
    return locked


def tensors_of(batch: object) -> Iterator[torch.Tensor]:
    """Every tensor of a batch."""
    found: list[torch.Tensor] = []
    _combine(lambda tensors: found.extend(tensors), [batch])
    return iter(found)


def _combine(leaf: Callable[[Sequence[torch.Tensor]], Any], batches: Sequence[Any]) -> Any:
    first = batches[0]
    if isinstance(first, torch.Tensor):
        return leaf(batches)
    if isinstance(first, np.ndarray):
        return first if len(batches) == 1 else np.concatenate(batches)
    if first is None:
        return None
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in dataclasses.fields(first)]
        parts = {name: _combine(leaf, [getattr(batch, name) for batch in batches]) for name in names}
        return type(first)(**parts)
    if isinstance(first, Mapping):
        return {key: _combine(leaf, [batch[key] for batch in batches]) for key in first}
    if isinstance(first, tuple | list):
        columns = [_combine(leaf, column) for column in zip(*batches, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
    raise TypeError(
        f"a batch is made of tensors, arrays, dataclasses, tuples, lists and dicts, not of {type(first).__name__}"
    )


def _concatenate(tensors: Sequence[torch.Tensor], empty: Empty) -> torch.Tensor:
    shape, dtype = tensors[0].shape[1:], tensors[0].dtype
    if any(tensor.shape[1:] != shape or tensor.dtype != dtype for tensor in tensors):
        raise ValueError("batches to join: tensors of other shapes or types")
    output = empty((sum(len(tensor) for tensor in tensors), *shape), dtype)
    start = 0
    for tensor in tensors:
        # numpy copies: it releases the GIL, and starts no threads of its own as torch would in every thread of a loader
        rows = output[start : start + len(tensor)]
        rows.view(torch.uint8).numpy()[...] = tensor.contiguous().view(torch.uint8).numpy()
        start += len(tensor)
    return output


def _fresh(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(*shape, dtype=dtype)
