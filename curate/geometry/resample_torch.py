"""The same resampling on torch tensors: the axis operators of ``curate.geometry.weights`` as matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.geometry.resample import axis_steps, resampled_grid
from curate.geometry.weights import ORDERS, axis_matrix, nearest_indices, sample_positions

if TYPE_CHECKING:
    import torch

_CHUNK = 1 << 24  # voxels that are turned into float32 at a time


def resample_tensor(
    volume: torch.Tensor | NDArray[Any],
    grid: Grid,
    spacing_mm: Sequence[float | None],
    *,
    order: int = 1,
    antialias: bool = True,
    device: str | torch.device | None = None,
) -> tuple[torch.Tensor, Grid]:
    """``resample`` of a tensor or array (k, j, i) on ``device`` (that of the tensor); the result stays there.

    Agrees with ``curate.geometry.resample`` to 1e-3 of values of the size of Hounsfield units, and to one unit where an
    integer lies at a half. Sums are float32 (float64 for float64, int32 and int64). A host array goes to a CUDA device
    from pinned memory without blocking; memory there is the volume, the result and one chunk of slices. The order of
    sums is the device's: bits may differ between devices.

    Raises ``Misconfigured`` for a spacing that is not positive or another order, ``ValueError`` when the tensor does
    not fit the grid, ``ModuleNotFoundError`` without torch.
    """
    import torch

    if tuple(volume.shape) != grid.shape:
        raise ValueError("volume: its shape is not that of the grid")
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    target = resampled_grid(grid, spacing_mm)
    tensor = _on_device(volume, device)
    steps = axis_steps(grid, target)
    changed = [axis for axis in range(3) if steps[axis] is not None]
    if not changed:
        return tensor.clone(), target
    if order == 0:
        for axis in changed:
            positions = sample_positions(grid.shape[axis], target.shape[axis], steps[axis] or 1.0)
            index = torch.from_numpy(nearest_indices(positions, grid.shape[axis])).to(tensor.device)
            tensor = tensor.index_select(axis, index)
        return tensor, target
    is_wide = tensor.dtype in (torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64)
    work = torch.float64 if is_wide else torch.float32
    matrices: dict[int, torch.Tensor] = {}
    for axis in changed:
        weights = axis_matrix(
            grid.shape[axis], target.shape[axis], steps[axis] or 1.0, order=order, antialias=antialias
        )
        matrices[axis] = torch.from_numpy(weights.toarray()).to(tensor.device, work)
    return _multiply(tensor, matrices, target.shape, work), target


def _on_device(volume: torch.Tensor | NDArray[Any], device: str | torch.device | None) -> torch.Tensor:
    import torch

    if isinstance(volume, np.ndarray):
        volume = torch.from_numpy(np.ascontiguousarray(volume.astype(volume.dtype.newbyteorder("="), copy=False)))
    place = volume.device if device is None else torch.device(device)
    if place.type == "cuda" and volume.device.type == "cpu":
        return volume.pin_memory().to(place, non_blocking=True)
    return volume.to(place)


def _multiply(
    tensor: torch.Tensor, matrices: dict[int, torch.Tensor], shape: tuple[int, int, int], work: torch.dtype
) -> torch.Tensor:
    """In-plane products a chunk of slices at a time, then along k a chunk of rows at a time."""
    import torch

    down, across, along = (matrices.get(axis) for axis in (1, 2, 0))
    middle_type = tensor.dtype if along is None else work
    middle = torch.empty((tensor.shape[0], shape[1], shape[2]), dtype=middle_type, device=tensor.device)
    thickness = max(1, _CHUNK // max(1, tensor.shape[1] * tensor.shape[2]))
    for start in range(0, tensor.shape[0], thickness):
        part = tensor[start : start + thickness].to(work)
        part = part if across is None else torch.matmul(part, across.T)
        part = part if down is None else torch.matmul(down, part)
        middle[start : start + thickness] = _rounded(part, middle_type)
    if along is None:
        return middle
    result = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
    height = max(1, _CHUNK // max(1, tensor.shape[0] * shape[2]))
    for start in range(0, shape[1], height):
        rows = middle[:, start : start + height]
        found = torch.matmul(along, rows.reshape(rows.shape[0], -1))
        result[:, start : start + height] = _rounded(found, tensor.dtype).reshape(shape[0], -1, shape[2])
    return result


def _rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    import torch

    if dtype.is_floating_point:
        return values.to(dtype)
    if dtype == torch.bool:
        return values > 0.5
    limits = torch.iinfo(dtype)
    high = float(limits.max)
    if int(high) > limits.max:
        high = float(np.nextafter(high, 0))
    return values.round_().clamp_(float(limits.min), high).to(dtype)
