"""The networks of the recipes, from MONAI, made small; and what has to hold of them whatever they are.

Normalisation is by group or instance: a study's answer must not depend on who shares its batch. What is seen in a
mirror is answered alike: in evaluation every network here looks at both and takes the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from curate.errors import Misconfigured

Stride = tuple[int, int, int]

ENCODERS = ("resnet10", "resnet18", "resnet34")
_LAYERS = {"resnet10": [1, 1, 1, 1], "resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3]}
_GROUPS = 4


class PlacedUNet(nn.Module):
    """(N, 1, D, H, W) -> (N, channels, D, H, W): a U-Net that is told where in the view it looks.

    Vertebrae look alike; which one it is follows from where it lies, and no small network sees that far. ``side``:
    which of the three axes runs from right to left; of that one it is told how far from the middle, not to which side.
    """

    def __init__(self, channels: int, filters: Sequence[int], strides: Sequence[Stride], *, side: int) -> None:
        super().__init__()
        self.side = side
        self.net = _unet(channels, filters, strides)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        axes = [torch.linspace(-1, 1, n, device=views.device, dtype=views.dtype) for n in views.shape[2:]]
        axes[self.side] = axes[self.side].abs()
        where = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        seen = torch.cat([views, where.expand(len(views), -1, -1, -1, -1)], dim=1)
        result: torch.Tensor = self.net(seen.contiguous(memory_format=torch.channels_last_3d))  # faster on a CPU
        return result


def _unet(channels: int, filters: Sequence[int], strides: Sequence[Stride]) -> nn.Module:
    """(N, 4, D, H, W) -> (N, channels, D, H, W), a ``DynUNet``; ``strides``: of each step down, one less than filters.

    The shape has to be divisible by the product of the strides.
    """
    from monai.networks.nets.dynunet import DynUNet

    network: nn.Module = DynUNet(
        spatial_dims=3,
        in_channels=4,
        out_channels=channels,
        kernel_size=[3] * len(filters),
        strides=[(1, 1, 1), *strides],
        upsample_kernel_size=list(strides),
        filters=list(filters),
        norm_name=("GROUP", {"num_groups": _GROUPS}),
    )
    return network


class SliceEncoder(nn.Module):
    """(N, slices, channels, H, W) -> evidence (N,) and attention log-probabilities (N, slices): the 2.5D classifier.

    A 2D ResNet of MONAI reads each slice with its channels; a linear layer each says what the slice shows and how much
    it matters. ``width``: features after its first stage.
    """

    def __init__(self, encoder: str, channels: int, *, width: int = 16) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet

        if encoder not in ENCODERS:
            raise Misconfigured(f"train.encoder: expected {', '.join(ENCODERS)}, got {encoder!r}")
        self.encoder = ResNet(
            "basic",
            _LAYERS[encoder],
            [width, 2 * width, 4 * width, 8 * width],
            spatial_dims=2,
            n_input_channels=channels,
            conv1_t_size=3,
            conv1_t_stride=2,
            no_max_pool=True,
            feed_forward=False,
        )
        _normalise_by_group(self.encoder)  # its own ``norm`` reaches the first layer alone (MONAI 1.6)
        self.attention = nn.Linear(8 * width, 1, bias=False)
        self.evidence = nn.Linear(8 * width, 1, bias=False)

    def forward(self, slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.encoder(slices.flatten(0, 1)).unflatten(0, slices.shape[:2])
        looks = self.attention(features).squeeze(2).log_softmax(dim=1)
        return (looks.exp() * self.evidence(features).squeeze(2)).sum(dim=1), looks


def _normalise_by_group(network: nn.Module) -> None:
    """Put group normalisation where a network has batch normalisation."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(_GROUPS, child.num_features))
        else:
            _normalise_by_group(child)


def neighbours(volume: torch.Tensor, *, reach: int, step: int) -> torch.Tensor:
    """(N, D, H, W) -> (N, slices, 2 reach + 1, H, W): every ``step``-th slice with ``reach`` neighbours a side."""
    return volume.unfold(1, 2 * reach + 1, step).movedim(-1, 2)


def log_mean(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mean of two tensors of log-probabilities."""
    return torch.logaddexp(first, second) - torch.log(torch.tensor(2.0, dtype=first.dtype, device=first.device))


def centres_of_mass(weights: torch.Tensor, affines: torch.Tensor, *, reach_mm: float) -> torch.Tensor:
    """(B, C, D, H, W) weights of 0 or more, (B, 4, 4) -> (B, C, 3) LPS millimetres: where each channel's mass lies.

    Starts from the mean of all of it and moves three times to the mean within about ``reach_mm`` (a Gaussian), so that
    a second, smaller lump elsewhere pulls nothing. Nothing is rounded or chosen: nearly equal weights, nearly equal
    places. A channel without mass gives the middle of the view.
    """
    points = lattice_points(weights.shape[2:], affines.to(weights.dtype))
    flat = weights.flatten(2)
    flat = flat + 1e-12
    centre = flat @ points / flat.sum(dim=2, keepdim=True)
    for _ in range(3):
        away = torch.cdist(centre, points)
        near = flat * torch.exp(-((away / reach_mm) ** 2) / 2) + 1e-12
        centre = near @ points / near.sum(dim=2, keepdim=True)
    return centre


def lattice_points(shape: Sequence[int], affines: torch.Tensor) -> torch.Tensor:
    """(B, 4, 4) affines -> (B, D * H * W, 3) LPS millimetres of the voxels of a lattice, in C order."""
    axes: list[Any] = [torch.arange(n, device=affines.device, dtype=affines.dtype) for n in shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    return index @ affines[:, :3, :3].transpose(1, 2) + affines[:, None, :3, 3]
