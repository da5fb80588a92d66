"""What the loop needs to know of a task: its samples, how they become tensors, a model, a loss, and a score.

Generic in the sample and in the batch, so that one loop trains a locator that reads overviews and a classifier that
reads crops. A ``Recipe`` (``recipe.py``) says which tasks follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from curate.loading.dataset import StudyBatch
from curate.loading.reader import Open
from curate.volumes import open_volume

Answers = NDArray[np.float64]  # (studies, ...): what a model says of each study, in the task's own shape
Constants = NDArray[np.float64]  # (...): one such answer, of nobody in particular
Labels = NDArray[np.int64]  # (studies, targets), -1 where not graded
Outputs = tuple[torch.Tensor, torch.Tensor]  # what a crop model says of each target; where it looked (B, slots, cells)


class Sample(Protocol):
    """One study as a task sees it; any picklable record."""

    @property
    def study_key(self) -> str: ...

    @property
    def split(self) -> str:
        """train, validation or test."""


class Batch(Protocol):
    """Studies as tensors, in a dataclass that ``curate.loading.joining`` can join and move. The first axis of each
    counts studies; a dataset gives batches of one."""

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """What the model is called with."""

    @property
    def weight(self) -> torch.Tensor:
        """float32 (B,), 0 for padding."""

    @property
    def index(self) -> torch.Tensor:
        """int64 (B,): which sample of the dataset each study is."""


S = TypeVar("S", bound=Sample)
B = TypeVar("B", bound=Batch)


@dataclass(frozen=True, slots=True)
class Term:
    """A part of the loss: factor x (its sum over the global batch) / (its weight over the global batch + prior)."""

    name: str
    factor: float = 1.0
    prior: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """The number that counts, lower is better, and what it is made of."""

    score: float
    parts: Mapping[str, float]


class Task(Protocol[S, B]):
    """One thing to learn. Picklable: every rank gets a copy.

    ``terms``: of what the loss is made; the first is what is reported (the challenge's own loss).
    """

    name: str
    terms: tuple[Term, ...]

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[S]:
        """Every study of the samples table, sorted by key."""

    def is_labelled(self, sample: S) -> bool:
        """Whether there is anything to learn from a study, or to score it by."""

    def digest(self, samples: Sequence[S]) -> str:
        """All that the samples, and what the task was made with, bring into a trained model."""

    def warnings(self, samples: Sequence[S]) -> tuple[str, ...]:
        """What a reader of the score should know of the samples."""

    def classes(self, samples: Sequence[S]) -> Sequence[int]:
        """Of each sample what a balanced order balances, by labels alone: nothing is read."""

    def dataset(
        self, root: str, samples: Sequence[S], *, augment: bool, seed: int, open_url: Open = open_volume
    ) -> Dataset[B]:
        """Batches of one by ``curate.loading.dataset.Draw``. ``root``: URL of the store that uris are relative to;
        ``open_url``: how its volumes are opened.

        Augmentation is a pure function of (seed, the draw's epoch, its index, its visit).
        """

    def constants(self, samples: Sequence[S]) -> Constants:
        """The best answer that looks at no image, fitted to labels: of the shape of one study's answer."""

    def model(self, constants: Constants) -> nn.Module:
        """An untrained model, to be called with ``batch.inputs``, that starts from the constant answer."""

    def weights(self, batch: B) -> torch.Tensor:
        """float (terms,): what each term's sum is divided by, summed over the batch. Not of what the model says, so
        that the weight of a batch is known before all of it has been through the model."""

    def losses(self, outputs: Any, batch: B) -> torch.Tensor:
        """float (terms,): each term summed over the batch; what has no label, and padding, adds nothing."""

    def answers(self, outputs: Any) -> torch.Tensor:
        """float64 (B, ...): the answer for each study."""

    def score(self, samples: Sequence[S], answers: Answers) -> Score:
        """The official metric; a task that is no challenge has its own, such as millimetres.

        Raises ``curate.scoring.SubmissionError`` when there is nothing that it can score.
        """


def guided_crops(batch: StudyBatch) -> torch.Tensor:
    """bool (B, slots): crops that have marks, padding aside."""
    return batch.marks.any(dim=2) & (batch.weight > 0).unsqueeze(1)


def missed_marks(looks: torch.Tensor, batch: StudyBatch) -> torch.Tensor:
    """Minus the log of the attention that fell on marked cells, summed over ``guided_crops``; a scalar."""
    if not batch.marks.shape[2]:
        return looks.new_zeros(())
    missed = -torch.logsumexp(looks.masked_fill(~batch.marks, -1e4), dim=2)
    return torch.where(guided_crops(batch), missed, 0.0).sum()
