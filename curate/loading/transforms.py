"""Augmentation of whole batches where they are: torch's own operations, so on a GPU when the batch lies there.

What is drawn for a sample is a pure function of its ``key`` (``curate.loading.dataset.visit_key``), whatever rank or
batch it is in. That is why no library of transforms is used: theirs draw from a generator that is carried from sample
to sample. Noise alone differs in its bits between kinds of devices, whose generators differ.

Tensors are float (B, C, D, H, W), C being crops or channels; values in [-1, 1] unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch.nn import functional

from curate.loading.order import uniforms

_DRAWS = 9


@dataclass(frozen=True, slots=True)
class Transform:
    """How far a batch may be changed, each way; zero leaves alone.

    ``spacing_mm``: of the voxels along (D, H, W), so that turns keep their angles. ``zoom`` 0.1: from 0.9 to 1.1 times
    the size. ``gamma`` 0.3: brightness to a power from exp(-0.3) to exp(0.3). ``noise``: largest standard deviation.
    """

    spacing_mm: tuple[float, float, float]
    shift_mm: float = 0.0
    turn_degrees: float = 0.0
    zoom: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0

    def __call__(self, values: torch.Tensor, keys: NDArray[np.int64]) -> torch.Tensor:
        """``values`` changed; ``keys``: int64 (B,), on the host. All C of a sample move alike; -1 comes from outside.

        Raises ``ValueError`` when keys and values do not fit.
        """
        draws = self._draws(values, keys)
        if self.shift_mm or self.turn_degrees or self.zoom:
            values = move(values, self.matrices(values.shape[2:], draws))
        if self.gamma:
            values = change_gamma(values, torch.from_numpy(np.exp(self.gamma * draws[:, 7])))
        if self.noise:
            values = add_noise(values, torch.from_numpy(self.noise * (draws[:, 8] + 1) / 2), keys)
        return values

    def move_labels(self, labels: torch.Tensor, keys: NDArray[np.int64]) -> torch.Tensor:
        """Masks of the same shape, moved as the values are: nearest, 0 from outside; their dtype is kept."""
        moved = move(labels.float() - 1, self.matrices(labels.shape[2:], self._draws(labels, keys)), mode="nearest")
        return (moved + 1).round().to(labels.dtype)

    def matrices(self, shape: Sequence[int], draws: NDArray[np.float64]) -> torch.Tensor:
        """(B, 3, 4) for ``move``: turned and stretched in millimetres around the middle, then shifted."""
        half_mm = np.array(shape) / 2 * np.array(self.spacing_mm)
        turns = Rotation.from_euler("xyz", self.turn_degrees * draws[:, :3], degrees=True).as_matrix()
        linear = turns * (1 + self.zoom * draws[:, 3])[:, None, None]
        # from millimetres to the -1..1 of the crop's edges, on both sides
        scaled = linear * half_mm[None, None, :] / half_mm[None, :, None]
        shift = self.shift_mm * draws[:, 4:7] / half_mm
        return torch.from_numpy(np.concatenate([scaled, shift[:, :, None]], axis=2))

    def _draws(self, values: torch.Tensor, keys: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, 9) numbers in [-1, 1)."""
        if values.ndim != 5 or keys.shape != values.shape[:1]:
            raise ValueError("values: expected (B, C, D, H, W); keys: (B,)")
        return np.stack([2 * uniforms(_DRAWS, seed=key, epoch=0, index=0) - 1 for key in keys.tolist()])


def move(values: torch.Tensor, matrices: torch.Tensor, *, mode: str = "bilinear") -> torch.Tensor:
    """Sample at other places: voxel p, in the -1..1 of the edges of (D, H, W), gets what lay at matrix @ (p, 1).

    ``matrices``: (B, 3, 4). ``mode``: bilinear (of eight neighbours) or nearest. From outside comes -1.
    """
    flipped = matrices.flip(1).clone()  # torch counts W, H, D
    flipped[:, :, :3] = flipped[:, :, :3].flip(2)
    places = functional.affine_grid(flipped.to(values), list(values.shape), align_corners=False)
    return functional.grid_sample(values + 1, places, mode=mode, padding_mode="zeros", align_corners=False) - 1


def change_gamma(values: torch.Tensor, gammas: torch.Tensor) -> torch.Tensor:
    """Brightness, 0 at -1 and 1 at 1, to the power of each sample's gamma (B,)."""
    return ((values + 1) / 2).clamp(0, 1).pow(_each(gammas, values)) * 2 - 1


def add_noise(values: torch.Tensor, deviations: torch.Tensor, keys: NDArray[np.int64]) -> torch.Tensor:
    """Gaussian noise of each sample's standard deviation (B,), drawn from its key (B,); held between -1 and 1."""
    noise = torch.empty_like(values)
    for row, key in zip(noise, keys.tolist(), strict=True):
        row.normal_(generator=torch.Generator(values.device).manual_seed(key))
    return (values + noise * _each(deviations, values)).clamp(-1, 1)


def as_windows(
    values: torch.Tensor, windows: Sequence[tuple[float, float]], *, scaled_from: tuple[float, float] | None = None
) -> torch.Tensor:
    """(B, C, ...) -> (B, C x windows, ...): each channel seen through each window, low..high becoming -1..1.

    Windows are in the volume's units (HU). ``scaled_from``: the low..high that the crops were read with, None when
    the values are still in those units. Channel c through window w stands at c x windows + w.
    """
    if scaled_from is not None:
        values = (values + 1) * ((scaled_from[1] - scaled_from[0]) / 2) + scaled_from[0]
    seen = [((values - low) * (2 / (high - low)) - 1).clamp(-1, 1) for low, high in windows]
    return torch.stack(seen, dim=2).flatten(1, 2)


def scale_percentiles(values: torch.Tensor, *, low: float = 1.0, high: float = 99.0) -> torch.Tensor:
    """Each channel of each sample by its own percentiles: they become -1 and 1, what is beyond is held there.

    A percentile is the smallest value with at least so many percent of the voxels at or below it.
    """
    flat = values.flatten(2)
    ends = [flat.kthvalue(max(1, math.ceil(q / 100 * flat.shape[2])), dim=2).values for q in (low, high)]
    least, most = (end.reshape(*end.shape, *[1] * (values.ndim - 2)) for end in ends)
    return ((values - least) * (2 / (most - least).clamp(min=1e-6)) - 1).clamp(-1, 1)


def _each(numbers: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return numbers.to(values).reshape(-1, *[1] * (values.ndim - 1))
