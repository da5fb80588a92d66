"""Host memory for batches that is used again, so that the kernel need not find and clear fresh pages for each.

The rule that makes it safe: memory is used again once nobody holds the tensor that was made in it, nor a view of it,
nor a numpy array of either. A consumer may so keep any batch as long as it likes, and pays with memory alone.

Pinned memory (page-locked, which a GPU can copy from while the program goes on) is left to torch: its allocator keeps
freed blocks too, and hands none out again before the copies from it have ended on the device.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

_SMALL = 1 << 16  # bytes below which an allocation costs nothing


class HostMemory:
    """Gives out tensors; safe to share between threads. ``blocks``: how many free blocks of memory to keep.

    ``pin``: page-locked, where CUDA is there.
    """

    def __init__(self, *, blocks: int, pin: bool = False) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=blocks)  # one too many drops the oldest
        self._pin = pin and torch.cuda.is_available()

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of this shape; what is in it is whatever was there before."""
        size = math.prod(shape) * dtype.itemsize
        if self._pin or size < _SMALL:
            return torch.empty(*shape, dtype=dtype, pin_memory=self._pin)
        block = self._take(size)
        array = np.frombuffer(block.data, np.uint8, count=size)
        # tensors and their views hold this array, and it alone holds the block
        weakref.finalize(array, self._free.append, block).atexit = False
        return torch.from_numpy(array).view(dtype).reshape(tuple(shape))

    def _take(self, size: int) -> NDArray[np.uint8]:
        """A free block that fits without wasting more than half of it, or a new one. Without a lock: see below."""
        with contextlib.suppress(IndexError):  # another thread took the last one
            for _ in range(len(self._free)):
                block = self._free.popleft()
                if size <= len(block) <= 2 * size:
                    return block
                self._free.append(block)
        return np.empty(size, np.uint8)  # a lock would be taken twice by a thread that frees a tensor while it holds it
