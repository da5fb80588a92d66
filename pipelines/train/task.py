"""What the loop needs to know of a task: samples, crops, a model, a loss, and how answers are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import StudyBatch

Answers = NDArray[np.float64]  # (studies, targets, classes), in the challenge's order of targets
Constants = NDArray[np.float64]  # (targets, classes)
Labels = NDArray[np.int64]  # (studies, targets), -1 where not graded
Outputs = tuple[torch.Tensor, torch.Tensor]  # what the model says of each target; where it looked (B, slots, cells)


@dataclass(frozen=True, slots=True)
class Losses:
    """Sums over the studies of a batch, each with what to divide it by: scalars.

    ``challenge``: the challenge's own loss and its weights; the only one that counts. The others teach. ``guidance``:
    how far the model looked away from where the readers saw the finding, and how many crops say so. ``places``: the
    loss of each crop judged by itself, and how many were.
    """

    challenge: torch.Tensor
    weight: torch.Tensor
    guidance: torch.Tensor
    guided: torch.Tensor
    places: torch.Tensor
    judged: torch.Tensor


@dataclass(frozen=True, slots=True)
class Score:
    """The official number and what it is made of."""

    score: float
    parts: Mapping[str, float]


class Task(Protocol):
    """One challenge."""

    name: str
    targets: tuple[str, ...]
    shape: CropShape
    augmentation: Augmentation
    mark_stride: int | None

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudySample]:
        """Every study of the samples table, sorted by key."""

    def model(self, constants: Constants) -> nn.Module:
        """An untrained model (crops, present) -> ``Outputs`` that starts from the constant answer."""

    def losses(self, outputs: Outputs, batch: StudyBatch) -> Losses:
        """The challenge's loss; what was not graded, and padding, weighs nothing."""

    def answers(self, outputs: Outputs) -> torch.Tensor:
        """(B, targets, classes) float64 probabilities, each row summing to 1."""

    def constants(self, labels: Labels) -> Constants:
        """The best answer that looks at no image, fitted to labels."""

    def submission(self, keys: Sequence[str], answers: Answers) -> pd.DataFrame:
        """Answers in the challenge's long schema."""

    def score(self, keys: Sequence[str], labels: Labels, answers: Answers) -> Score:
        """The official metric. Raises ``curate.scoring.SubmissionError`` when there is nothing that it can score."""


def guide(looks: torch.Tensor, batch: StudyBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Minus the log of the attention that fell on marked cells, summed over crops that have any; and their number."""
    if not batch.marks.shape[2]:
        return looks.new_zeros(()), looks.new_zeros(())
    marked = batch.marks.any(dim=2) & (batch.weight > 0).unsqueeze(1)
    missed = -torch.logsumexp(looks.masked_fill(~batch.marks, -1e4), dim=2)
    return torch.where(marked, missed, 0.0).sum(), marked.sum().to(looks.dtype)
