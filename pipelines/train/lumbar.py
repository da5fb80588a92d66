"""RSNA 2024: how narrow each passage is at each level. One crop a target, one network a group of conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import StudyBatch, StudyDataset
from curate.loading.samples import digest_samples, lumbar_samples
from curate.manifests.schemas import LUMBAR_TARGETS
from curate.scoring import score_lumbar
from curate.scoring.lumbar import GRADE_COLUMNS, GRADE_WEIGHTS, GROUPS, group_of
from pipelines.train.cervical import labels_of
from pipelines.train.models import Finder
from pipelines.train.recipe import Recipe, Stage
from pipelines.train.task import Answers, Constants, Labels, Outputs, Score, Term
from pipelines.train.warnings import about_crops

_GROUP: NDArray[np.int64] = np.array([GROUPS.index(group_of(target)) for target in LUMBAR_TARGETS])  # of each target
_MEMBERS = [
    np.flatnonzero(group == _GROUP).tolist() for group in range(len(GROUPS))
]  # targets of each group, ascending
_SPINAL = GROUPS.index("spinal") == _GROUP


class Lumbar:
    """Targets in the order of ``LUMBAR_TARGETS``. Classes: Normal/Mild, Moderate, Severe."""

    name: str = "lumbar"
    terms: tuple[Term, ...] = (Term("challenge"),)
    targets: tuple[str, ...] = LUMBAR_TARGETS
    shape = CropShape((3, 32, 32), (4.0, 1.25, 1.25))
    augmentation = Augmentation(shift_mm=2, turn_degrees=5, zoom=0.06, gain=0.15, offset=0.1)

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudySample]:
        return lumbar_samples(manifests)

    def is_labelled(self, sample: StudySample) -> bool:
        return max(sample.targets) >= 0

    def digest(self, samples: Sequence[StudySample]) -> str:
        return digest_samples(samples)

    def warnings(self, samples: Sequence[StudySample]) -> tuple[str, ...]:
        return about_crops(samples)

    def dataset(self, root: str, samples: Sequence[StudySample], *, augment: bool, seed: int) -> StudyDataset:
        augmentation = self.augmentation if augment else Augmentation()
        return StudyDataset(root, samples, self.shape, augmentation=augmentation, seed=seed)

    def model(self, constants: Constants) -> nn.Module:
        return Back(constants)

    def weights(self, batch: StudyBatch) -> torch.Tensor:
        return _weights(batch).sum().unsqueeze(0)

    def losses(self, outputs: Outputs, batch: StudyBatch) -> torch.Tensor:
        """Log loss weighted by grade."""
        chosen = outputs[0].float().gather(2, batch.targets.clamp(min=0).unsqueeze(2)).squeeze(2)
        return -(_weights(batch) * chosen).sum().unsqueeze(0)

    def answers(self, outputs: Outputs) -> torch.Tensor:
        return torch.softmax(outputs[0].double(), dim=2)

    def constants(self, samples: Sequence[StudySample]) -> Constants:
        """One row a group: the weighted shares of its grades; the canal's severe share as the whole metric wants it."""
        labels = labels_of(samples)
        shares = np.stack([_shares(labels[:, group == _GROUP]) for group in range(len(GROUPS))])
        if not ((labels[:, _SPINAL] >= 0).any() and (labels[:, ~_SPINAL] >= 0).any()):
            return shares[_GROUP]

        def cost(severe: float) -> float:
            answers = np.repeat(_with_severe(shares, severe)[_GROUP][None], len(labels), axis=0)
            return self.score(samples, answers).score

        best = minimize_scalar(cost, bounds=(0.01, 0.9), method="bounded", options={"xatol": 1e-3})
        return _with_severe(shares, float(best.x))[_GROUP]

    def score(self, samples: Sequence[StudySample], answers: Answers) -> Score:
        keys, labels = [sample.study_key for sample in samples], labels_of(samples)
        graded = (labels >= 0).ravel()
        solution = submission(keys, np.eye(3)[np.maximum(labels, 0)])[graded]
        solution = solution.assign(sample_weight=np.array(GRADE_WEIGHTS)[labels.ravel()[graded]])
        result = score_lumbar(solution, submission(keys, answers))
        return Score(
            result.score,
            {
                "spinal": result.spinal,
                "foraminal": result.foraminal,
                "subarticular": result.subarticular,
                "any_severe_spinal": result.any_severe_spinal,
            },
        )


def submission(keys: Sequence[str], answers: Answers) -> pd.DataFrame:
    """float64 (studies, 25, 3) in the challenge's long schema."""
    rows = [f"{key}_{target}" for key in keys for target in LUMBAR_TARGETS]
    return pd.DataFrame({"row_id": rows, **dict(zip(GRADE_COLUMNS, answers.reshape(-1, 3).T, strict=True))})


LUMBAR = Recipe("lumbar", (Stage("classify", lambda root, checkpoints: Lumbar()),), submission)


class Back(nn.Module):
    """crops (B, 25, D, H, W), present (B, 25) -> log-probabilities (B, 25, 3), attention.

    Each group has a ``Finder`` that says how narrow the passage is on one scale, and two thresholds on that scale:
    grades are ordered, and an ordered answer needs fewer examples. Without a crop the answer is the prior.
    """

    def __init__(self, constants: Constants) -> None:
        super().__init__()
        self.finders = nn.ModuleList(Finder((16, 16, 32, 32), ((1, 2, 2), (1, 2, 2)), spread=0.5) for _ in GROUPS)
        prior = np.stack([constants[group == _GROUP][0] for group in range(len(GROUPS))])
        moderate, severe = _logit(prior[:, 1] + prior[:, 2]), _logit(prior[:, 2])
        self.moderate = nn.Parameter(torch.tensor(moderate, dtype=torch.float32))  # logit of at least moderate
        self.apart = nn.Parameter(torch.tensor(np.log(np.expm1(moderate - severe)), dtype=torch.float32))

    def forward(self, crops: torch.Tensor, present: torch.Tensor) -> Outputs:
        studies = len(present)
        found, looks = [], []
        for members, finder in zip(_MEMBERS, self.finders, strict=True):  # groups follow each other in the targets
            narrow, where = finder(crops[:, members].flatten(0, 1).unsqueeze(1))
            found.append(narrow.reshape(studies, len(members)))
            looks.append(where.reshape(studies, len(members), -1))
        narrow = torch.where(present, torch.cat(found, dim=1), 0.0).float()
        moderate = self.moderate[_GROUP.tolist()] + narrow
        severe = moderate - nn.functional.softplus(self.apart)[_GROUP.tolist()]
        return _ordered(moderate, severe), torch.cat(looks, dim=1)


def _weights(batch: StudyBatch) -> torch.Tensor:
    """float32 (B, 25): of each target by its grade. Canal rows count double: the metric averages groups; theirs is half
    as large."""
    grades = torch.tensor(GRADE_WEIGHTS, device=batch.targets.device)[batch.targets.clamp(min=0)]
    rows = torch.tensor(np.where(_SPINAL, 2.0, 1.0), device=grades.device, dtype=torch.float32)
    return grades * rows * (batch.targets >= 0) * batch.weight.unsqueeze(1)


def _ordered(moderate: torch.Tensor, severe: torch.Tensor) -> torch.Tensor:
    """(...), logits of "at least moderate" and "severe" -> (..., 3) log-probabilities of the grades."""
    between = torch.log(-torch.expm1(severe - moderate))  # of moderate, before both sigmoids
    log = nn.functional.logsigmoid
    return torch.stack([log(-moderate), log(moderate) + log(-severe) + between, log(severe)], dim=-1)


def _shares(labels: Labels) -> Constants:
    """Weighted shares of the grades, half a case of each added so that none is impossible; (3,)."""
    counts = np.array([(labels == grade).sum() + 0.5 for grade in range(3)]) * np.array(GRADE_WEIGHTS)
    shares: Constants = counts / counts.sum()
    return shares


def _with_severe(shares: Constants, severe: float) -> Constants:
    """The canal's severe share set, its other grades scaled to fit; (groups, 3)."""
    changed = shares.copy()
    spinal = GROUPS.index("spinal")
    changed[spinal] = shares[spinal] * (1 - severe) / (1 - shares[spinal, 2])
    changed[spinal, 2] = severe
    return changed


def _logit(share: Constants) -> Constants:
    logit: Constants = np.log(share / (1 - share))
    return logit
