"""Left and right changed round in a batch, with everything that knows which side it is on.

A mirrored patient's left is the other's right: targets that have a side change places, and so do the crops that show
them. Crops of the right side may be read mirrored already, so that all look like left ones
(``CropRequest.mirrored``); then they change places and their voxels stay, which is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from curate.loading.dataset import StudyBatch
from curate.loading.samples import CERVICAL_SLOTS, LUMBAR_SLOTS, Slot
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_TARGETS


def _other_side(name: str) -> str:
    for side, other in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(side):
            return other + name.removeprefix(side)
    return name


def _side_axis(axes: str) -> int:
    return next(n for n, code in enumerate(axes) if code in "LR")


@dataclass(frozen=True, slots=True)
class Mirroring:
    """What changes places. ``slots``, ``targets``: where the new one n is taken from.

    ``axes``: the axis (0, 1, 2) of crop n that runs between left and right and is turned round; None: its voxels stay.
    """

    slots: tuple[int, ...]
    targets: tuple[int, ...]
    axes: tuple[int | None, ...]

    @classmethod
    def of(cls, slots: Sequence[Slot], targets: Sequence[str]) -> Mirroring:
        """By the names of objects and targets: ``left_`` and ``right_`` are each other's partner."""
        objects = [slot.object for slot in slots]
        partners = [objects.index(_other_side(name)) for name in objects]
        axes = [
            None if slots[n].mirrored != slots[partner].mirrored else _side_axis(slots[n].axes)
            for n, partner in enumerate(partners)
        ]
        names = list(targets)
        return cls(tuple(partners), tuple(names.index(_other_side(name)) for name in names), tuple(axes))


CERVICAL_MIRRORING = Mirroring.of(CERVICAL_SLOTS, CERVICAL_TARGETS)
LUMBAR_MIRRORING = Mirroring.of(LUMBAR_SLOTS, LUMBAR_TARGETS)


def mirror(
    batch: StudyBatch, which: NDArray[np.bool_], how: Mirroring, *, cells: tuple[int, int, int] | None = None
) -> StudyBatch:
    """The batch with the studies of ``which``, bool (B,), as their mirror images would have been read.

    ``cells``: how many cells of ``marks`` lie along each axis of a crop; needed when there are any. Raises
    ``ValueError`` without.
    """
    if batch.marks.shape[2] and cells is None:
        raise ValueError("cells: a batch with marks needs their number along each axis")
    slots, targets = list(how.slots), list(how.targets)
    marks = batch.marks[:, slots]
    if batch.marks.shape[2]:
        marks = _turned(marks.reshape(*marks.shape[:2], *(cells or ())), how.axes).flatten(2)
    return replace(
        batch,
        crops=_chosen(which, _turned(batch.crops[:, slots], how.axes), batch.crops),
        present=_chosen(which, batch.present[:, slots], batch.present),
        marks=_chosen(which, marks, batch.marks),
        targets=_chosen(which, batch.targets[:, targets], batch.targets),
    )


def mirror_points(
    points: torch.Tensor, which: NDArray[np.bool_], *, axis: int, size: int, partners: Sequence[int]
) -> torch.Tensor:
    """Points (B, P, 3) in voxels of a crop of ``size`` voxels along ``axis``; ``partners``: as ``Mirroring.slots``."""
    turned = points[:, list(partners)].clone()
    turned[:, :, axis] = size - 1 - turned[:, :, axis]
    return _chosen(which, turned, points)


def _turned(crops: torch.Tensor, axes: Sequence[int | None]) -> torch.Tensor:
    """(B, T, D, H, W), or (B, T, D, channels, H, W): crop n turned round along its axis."""
    turned = crops.clone()
    is_stack = crops.ndim == 6
    for slot, axis in enumerate(axes):
        if axis is not None:
            turned[:, slot] = crops[:, slot].flip(axis + 1 + (is_stack and axis > 0))  # channels stand behind D
        if is_stack and axis == 0:  # neighbours of a slice change sides too; their number is odd, so a last one is even
            slices = (crops.shape[3] - 1) // 2 * 2 + 1
            turned[:, slot, :, :slices] = turned[:, slot, :, :slices].flip(2)
    return turned


def _chosen(which: NDArray[np.bool_], changed: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    is_chosen = torch.from_numpy(which).to(kept.device, non_blocking=True)
    return torch.where(is_chosen.reshape(-1, *[1] * (kept.ndim - 1)), changed, kept)
