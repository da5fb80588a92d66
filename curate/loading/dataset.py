"""A torch Dataset over study samples, and the sampler that gives each rank its part of every global batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from curate.loading.crops import Augmentation, CropShape, Jitter
from curate.loading.joining import join, pinned, to_device
from curate.loading.order import DRAWS, PLACES, Order, Share, State, batches, rank_share, uniforms, visit_key
from curate.loading.reader import CropReader, Open
from curate.loading.samples import StudySample
from curate.volumes import open_volume

Sample = TypeVar("Sample", covariant=True)

_NO_EPOCH = -1


@dataclass(frozen=True, slots=True)
class Draw:
    """One visit of one sample: its index, the epoch (None: no augmentation), and whether it weighs anything.

    ``visit``: how often the epoch has used the sample before, so that no two visits look alike.
    """

    index: int
    epoch: int | None
    counts: bool = True
    visit: int = 0


@dataclass(frozen=True, slots=True)
class StudyBatch:
    """Studies as tensors. D, H, W: the crop's shape.

    ``crops``: float32 (B, T, D, H, W) in [-1, 1], or (B, T, D, channels, H, W) of stacks; zero where absent.
    ``present``: bool (B, T). ``marks``: bool (B, T, cells), the cells of the crop where a reader saw the finding.
    ``targets``: int64 (B, labels), -1 where not graded. ``weight``: float32 (B,), 0 for padding. ``index``: int64 (B,).
    ``key``: int64 (B,), of the visit: what transforms draw from (``curate.loading.transforms``); always on the host.
    """

    crops: torch.Tensor
    present: torch.Tensor
    marks: torch.Tensor
    targets: torch.Tensor
    weight: torch.Tensor
    index: torch.Tensor
    key: NDArray[np.int64] | None = None

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What a model is called with: crops and present."""
        return self.crops, self.present

    @classmethod
    def join(cls, batches: Sequence[StudyBatch]) -> StudyBatch:
        """Batches one after the other as one."""
        return join(batches)

    def pin_memory(self) -> StudyBatch:
        return pinned(self)

    def to(self, device: torch.device) -> StudyBatch:
        """Copy to a device; pinned tensors are copied without waiting."""
        return to_device(self, device)


class StudyDataset(Dataset[StudyBatch]):
    """Studies by ``Draw``, in any order: augmentation is a pure function of (seed, epoch, index, visit).

    ``mark_stride``: voxels a side of a cell of ``marks``; None makes none. ``open_url``: how volumes are opened. Safe
    to share between threads, to pickle and to keep over a fork.
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
        open_url: Open = open_volume,
    ) -> None:
        self._samples = samples
        self._shape = shape
        self._augmentation = augmentation
        self._seed = seed
        self._stride = mark_stride
        self._cells = 0 if mark_stride is None else int(np.prod([n // mark_stride for n in shape.shape]))
        self._reader = CropReader(root, shape, open_url=open_url)

    @property
    def samples(self) -> Sequence[StudySample]:
        return self._samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, draw: Draw) -> StudyBatch:
        """A batch of one. Raises ``Unavailable`` when the storage refuses."""
        sample = self._samples[draw.index]
        slots = len(sample.crops)
        crops = np.zeros((1, slots, *self._shape.size), dtype=np.float32)
        present = np.zeros((1, slots), dtype=bool)
        marks = np.zeros((1, slots, self._cells), dtype=bool)
        places = self._uniforms(draw, slots, 3, kind=PLACES)
        for slot, (wish, jitter) in enumerate(zip(sample.crops, self._jitters(draw, slots), strict=True)):
            if wish is None:
                continue
            request = wish.drawn(places[slot])
            self._reader.read(request, jitter, out=crops[0, slot])
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
            key=np.array([visit_key(seed=self._seed, epoch=_epoch(draw), index=draw.index, visit=draw.visit)]),
        )

    def _jitters(self, draw: Draw, slots: int) -> list[Jitter]:
        if draw.epoch is None:
            return [Jitter()] * slots
        return [self._augmentation.jitter(row) for row in self._uniforms(draw, slots, Augmentation.DRAWS)]

    def _uniforms(self, draw: Draw, slots: int, count: int, *, kind: int = DRAWS) -> NDArray[np.float64]:
        """(slots, count) numbers of a visit's own; without an epoch those of a place in time that is none."""
        epoch = _epoch(draw)
        numbers = uniforms(slots * count, seed=self._seed, epoch=epoch, index=draw.index, visit=draw.visit, kind=kind)
        return numbers.reshape(slots, count)


def _epoch(draw: Draw) -> int:
    return _NO_EPOCH if draw.epoch is None else draw.epoch


class ElasticBatches(Sampler[list[Draw]]):
    """A rank's part of every global batch from ``state`` to the end of the last epoch, as a batch sampler.

    ``samples``: how many, or an ``Order`` of them. ``batch_size`` counts the whole global batch, over all ranks.
    ``states`` says, batch by batch, where the run stands after it.
    """

    def __init__(
        self, state: State, *, samples: int | Order, batch_size: int, epochs: int, rank: int, world: int
    ) -> None:
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
            share = rank_share(np.arange(len(batch.indices)), rank=self._rank, world=self._world)
            own = zip(share.indices, share.counts.tolist(), strict=True)
            yield [Draw(int(batch.indices[n]), batch.epoch, counts, int(batch.visits[n])) for n, counts in own]


def draws(share: Share, *, epoch: int | None) -> list[Draw]:
    """The visits that a share stands for."""
    pairs = zip(share.indices.tolist(), share.counts.tolist(), strict=True)
    return [Draw(index, epoch, counts) for index, counts in pairs]


def load(
    dataset: Dataset[Sample], sampler: Sampler[list[Draw]], *, workers: int = 0, pin: bool = False
) -> DataLoader[Sample]:
    """The same batches as ``curate.loading.loader.Loader`` gives, read by processes: for transforms in slow Python.

    ``workers``: processes (0: this one), forked from a server that has read nothing, or spawned where there is none,
    so that no lock or socket of a reader is inherited; the dataset is pickled to them. ``pin``: page-locked memory.
    """
    context: BaseContext | None = None
    if workers:
        context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        context.set_forkserver_preload([__name__])  # its children need not import torch again
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=join,
        num_workers=workers,
        multiprocessing_context=context,
        pin_memory=pin,
    )
