"""Crops with the predicted mask of their own vertebra as a second channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from curate.loading import StudySample
from curate.loading.dataset import Draw, StudyBatch, StudyDataset
from pipelines.recipes.located import CoarseChances


@dataclass(frozen=True, slots=True)
class MaskedStudy(StudySample):
    """A study and what the locator's segmentation says of its vertebrae, in the order of the crops."""

    chances: CoarseChances | None = None

    @classmethod
    def of(cls, sample: StudySample, chances: CoarseChances | None) -> MaskedStudy:
        return cls(sample.study_key, sample.split, sample.targets, sample.crops, sample.marks, chances)


class MaskedCrops(StudyDataset):
    """As ``StudyDataset`` of ``MaskedStudy``, but ``crops`` is float32 (B, T, 2, D, H, W): the image, and how likely
    each voxel is of the vertebra that the crop was laid around, 0..1."""

    def __getitem__(self, draw: Draw) -> StudyBatch:
        """A batch of one. Raises ``Unavailable`` when the storage refuses."""
        batch, sample = super().__getitem__(draw), self._samples[draw.index]
        masks = np.zeros(batch.crops.shape, dtype=np.float32)
        if isinstance(sample, MaskedStudy) and sample.chances is not None:
            chances, grid = sample.chances.read(), sample.chances.grid
            for slot, (request, jitter) in enumerate(
                zip(sample.crops, self._jitters(draw, len(sample.crops)), strict=True)
            ):
                if request is not None:
                    index = grid.to_index(self._reader.places_mm(request, jitter, stride=1))
                    found = map_coordinates(chances[slot], index.T, output=np.float32, order=1, cval=0)
                    masks[0, slot] = found.reshape(self._shape.shape) / 255
        return replace(batch, crops=torch.stack([batch.crops, torch.from_numpy(masks)], dim=2))
