"""Small networks for small crops. Group normalisation: a study's answer must not depend on who shares its batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

Stride = tuple[int, int, int]


class Finder(nn.Module):
    """Looks over a crop and says what it found and where it looked.

    (N, channels, D, H, W) -> found (N,), attention log-probabilities (N, cells). Every cell gives its own evidence, and
    the crop's is their mean under a learned attention. Cells are told where in the crop they lie. ``spread``: attention
    starts as a Gaussian of that width around the middle (in half crops), for findings that lie where the crop was laid;
    None: anywhere. ``strides``: by how much the first and the third of four stages shrink the crop.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        strides: tuple[Stride, Stride],
        *,
        spread: float | None,
        channels: int = 1,
    ) -> None:
        super().__init__()
        first, second, third, last = widths
        self.local = nn.Sequential(
            _stage(channels, first, strides[0]),
            _stage(first, second, (1, 1, 1)),
            _stage(second, third, strides[1]),
        )
        self.placed = _stage(third + 3, last, (1, 1, 1))
        self.attention = nn.Conv3d(last, 1, 1, bias=False)
        self.evidence = nn.Conv3d(last, 1, 1, bias=False)
        self.spread = spread
        nn.init.normal_(self.attention.weight, std=0.1)
        nn.init.normal_(self.evidence.weight, std=0.3)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells = self.local(crops.contiguous(memory_format=torch.channels_last_3d))  # twice as fast on a CPU
        where = _positions(cells)
        cells = self.placed(torch.cat([cells, where.expand(len(cells), -1, -1, -1, -1)], dim=1))
        looks = self.attention(cells).flatten(1)
        if self.spread is not None:
            looks = looks - where.square().sum(dim=1).flatten(1) / (2 * self.spread**2)
        looks = looks.log_softmax(dim=1)
        return (looks.exp() * self.evidence(cells).flatten(1)).sum(dim=1), looks


def smooth_maximum(values: torch.Tensor, *, dim: int, sharpness: float = 2.0) -> torch.Tensor:
    """Log-mean-exp: between the mean (sharpness 0) and the maximum (infinite), with a gradient everywhere."""
    return (torch.logsumexp(values * sharpness, dim=dim) - math.log(values.shape[dim])) / sharpness


def _stage(before: int, after: int, stride: Stride) -> nn.Module:
    """Convolution, group normalisation, SiLU. An axis of even size is divided by its stride exactly."""
    deep, high, wide = (3 if step == 1 else 4 for step in stride)
    return nn.Sequential(
        nn.Conv3d(before, after, (deep, high, wide), stride=stride, padding=1, bias=False),
        nn.GroupNorm(max(1, after // 8), after),
        nn.SiLU(),
    )


def _positions(cells: torch.Tensor) -> torch.Tensor:
    """(1, 3, d, h, w): where each cell lies in the crop, -1..1 along each axis."""
    axes: Sequence[torch.Tensor] = [
        (torch.arange(n, device=cells.device, dtype=cells.dtype) + 0.5) * (2 / n) - 1 for n in cells.shape[2:]
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)
