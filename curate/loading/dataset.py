"""A torch Dataset over study samples, and the sampler that gives each rank its part of every global batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from curate.loading.crops import Augmentation, CropReader, CropShape, Jitter
from curate.loading.order import Share, State, batches, rank_share, uniforms
from curate.loading.samples import StudySample


@dataclass(frozen=True, slots=True)
class Draw:
    """One visit of one sample: its index, the epoch (None: no augmentation), and whether it weighs anything."""

    index: int
    epoch: int | None
    counts: bool = True


@dataclass(frozen=True, slots=True)
class StudyBatch:
    """Studies as tensors. D, H, W: the crop's shape.

    ``crops``: float32 (B, T, D, H, W) in [-1, 1], zero where absent. ``present``: bool (B, T). ``marks``: bool (B, T,
    cells), the cells of the crop where a reader saw the finding. ``targets``: int64 (B, labels), -1 where not graded.
    ``weight``: float32 (B,), 0 for padding. ``index``: int64 (B,).
    """

    crops: torch.Tensor
    present: torch.Tensor
    marks: torch.Tensor
    targets: torch.Tensor
    weight: torch.Tensor
    index: torch.Tensor

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What a model is called with: crops and present."""
        return self.crops, self.present

    @classmethod
    def join(cls, batches: Sequence[StudyBatch]) -> StudyBatch:
        """Batches one after the other as one."""
        columns = zip(*(batch._tensors() for batch in batches), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def pin_memory(self) -> StudyBatch:
        return StudyBatch(*(tensor.pin_memory() for tensor in self._tensors()))

    def to(self, device: torch.device) -> StudyBatch:
        """Copy to a device; pinned tensors are copied without waiting."""
        return StudyBatch(*(tensor.to(device, non_blocking=True) for tensor in self._tensors()))

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.crops, self.present, self.marks, self.targets, self.weight, self.index


class StudyDataset(Dataset[StudyBatch]):
    """Studies by ``Draw``; augmentation is a pure function of (seed, epoch, index), so the order of reading is free.

    ``mark_stride``: voxels a side of a cell of ``marks``; None makes none.
    """

    def __init__(
        self,
        root: str,
        samples: Sequence[StudySample],
        shape: CropShape,
        *,
        augmentation: Augmentation,
        seed: int,
        mark_stride: int | None = None,
    ) -> None:
        self._samples = samples
        self._shape = shape
        self._augmentation = augmentation
        self._seed = seed
        self._stride = mark_stride
        self._cells = 0 if mark_stride is None else int(np.prod([n // mark_stride for n in shape.shape]))
        self._reader = CropReader(root, shape, augmentation)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, draw: Draw) -> StudyBatch:
        """A batch of one. Raises ``Unavailable`` when the storage refuses."""
        sample = self._samples[draw.index]
        slots = len(sample.crops)
        crops = np.zeros((1, slots, *self._shape.shape), dtype=np.float32)
        present = np.zeros((1, slots), dtype=bool)
        marks = np.zeros((1, slots, self._cells), dtype=bool)
        for slot, (request, jitter) in enumerate(zip(sample.crops, self._jitters(draw, slots), strict=True)):
            if request is None:
                continue
            crops[0, slot] = self._reader.read(request, jitter)
            present[0, slot] = True
            if self._stride is not None and sample.marks[slot]:
                cells = self._reader.places_mm(request, jitter, stride=self._stride)
                slack = self._stride * min(self._shape.spacing_mm) / 2
                marks[0, slot] = np.any([mark.holds(cells, slack_mm=slack) for mark in sample.marks[slot]], axis=0)
        return StudyBatch(
            crops=torch.from_numpy(crops),
            present=torch.from_numpy(present),
            marks=torch.from_numpy(marks),
            targets=torch.tensor([sample.targets], dtype=torch.int64),
            weight=torch.tensor([float(draw.counts)]),
            index=torch.tensor([draw.index]),
        )

    def _jitters(self, draw: Draw, slots: int) -> list[Jitter]:
        if draw.epoch is None:
            return [Jitter()] * slots
        count = Augmentation.DRAWS
        numbers = uniforms(slots * count, seed=self._seed, epoch=draw.epoch, index=draw.index)
        return [self._augmentation.jitter(row) for row in numbers.reshape(slots, count)]


class ElasticBatches(Sampler[list[Draw]]):
    """A rank's part of every global batch from ``state`` to the end of the last epoch, as a batch sampler.

    ``batch_size`` counts the whole global batch, over all ranks. ``states`` says, batch by batch, where the run stands
    after it.
    """

    def __init__(self, state: State, *, samples: int, batch_size: int, epochs: int, rank: int, world: int) -> None:
        self._plan = list(batches(state, samples=samples, batch_size=batch_size, epochs=epochs))
        self._rank = rank
        self._world = world

    @property
    def states(self) -> list[State]:
        return [batch.after for batch in self._plan]

    def __len__(self) -> int:
        return len(self._plan)

    def __iter__(self) -> Iterator[list[Draw]]:
        for batch in self._plan:
            yield draws(rank_share(batch.indices, rank=self._rank, world=self._world), epoch=batch.epoch)


def draws(share: Share, *, epoch: int | None) -> list[Draw]:
    """The visits that a share stands for."""
    pairs = zip(share.indices.tolist(), share.counts.tolist(), strict=True)
    return [Draw(index, epoch, counts) for index, counts in pairs]


def load(dataset: StudyDataset, sampler: Sampler[list[Draw]], *, pin: bool = False) -> DataLoader[StudyBatch]:
    """Batches in the sampler's order, read in this process; ``pin``: into page-locked memory, for a GPU."""
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=StudyBatch.join, num_workers=0, pin_memory=pin)
