"""RSNA 2022: which vertebrae are fractured. One crop a vertebra, one network for all seven; they say of the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import nn

from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import StudyBatch, StudyDataset
from curate.loading.samples import cervical_samples, digest_samples
from curate.manifests.schemas import CERVICAL_TARGETS
from curate.scoring import score_cervical
from curate.scoring.cervical import OVERALL_WEIGHTS, VERTEBRA_WEIGHTS
from pipelines.train.models import Finder, smooth_maximum
from pipelines.train.recipe import Recipe, Stage
from pipelines.train.task import Answers, Constants, Labels, Outputs, Score, Term, guided_crops, missed_marks
from pipelines.train.warnings import about_crops

_WEIGHTS = (OVERALL_WEIGHTS, *([VERTEBRA_WEIGHTS] * 7))  # of each target, by its truth


class Cervical:
    """Targets in the order of ``CERVICAL_TARGETS``: patient_overall, C1..C7. Classes: intact, fractured."""

    name: str = "cervical"
    terms: tuple[Term, ...] = (
        Term("challenge"),
        Term("guidance", prior=1.0),  # looking where readers looked
        Term("places", factor=0.5),  # each vertebra judged by itself
    )
    targets: tuple[str, ...] = CERVICAL_TARGETS
    shape = CropShape((20, 32, 32), (1.5, 1.5, 1.5))
    augmentation = Augmentation(shift_mm=3, turn_degrees=3, zoom=0.03, gain=0.1, offset=0.08, mirror=True)
    mark_stride = 4  # the cells of the model's attention

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudySample]:
        return cervical_samples(manifests)

    def is_labelled(self, sample: StudySample) -> bool:
        return max(sample.targets) >= 0

    def digest(self, samples: Sequence[StudySample]) -> str:
        return digest_samples(samples)

    def warnings(self, samples: Sequence[StudySample]) -> tuple[str, ...]:
        return about_crops(samples)

    def dataset(self, root: str, samples: Sequence[StudySample], *, augment: bool, seed: int) -> StudyDataset:
        augmentation = self.augmentation if augment else Augmentation()
        stride = self.mark_stride if augment else None  # marks teach; nobody else needs them
        return StudyDataset(root, samples, self.shape, augmentation=augmentation, seed=seed, mark_stride=stride)

    def model(self, constants: Constants) -> nn.Module:
        return Neck(constants)

    def weights(self, batch: StudyBatch) -> torch.Tensor:
        # the patient outweighs all vertebrae together, and says least about where to look: vertebrae teach once more
        judged = (batch.targets[:, 1:] >= 0) * batch.weight.unsqueeze(1)
        return torch.stack([_weights(batch).sum(), guided_crops(batch).sum(), judged.sum()])

    def losses(self, outputs: Outputs, batch: StudyBatch) -> torch.Tensor:
        logits, looks = outputs
        losses = _weights(batch) * nn.functional.binary_cross_entropy_with_logits(
            logits.float(), batch.targets.clamp(min=0).float(), reduction="none"
        )
        return torch.stack([losses.sum(), missed_marks(looks.float(), batch), losses[:, 1:].sum()])

    def answers(self, outputs: Outputs) -> torch.Tensor:
        fractured = torch.sigmoid(outputs[0].double())
        return torch.stack([1 - fractured, fractured], dim=2)

    def constants(self, samples: Sequence[StudySample]) -> Constants:
        """One number for the patient and one for every vertebra: the weighted share of fractured ones."""
        labels = labels_of(samples)
        overall, vertebra = _share(labels[:, :1], OVERALL_WEIGHTS), _share(labels[:, 1:], VERTEBRA_WEIGHTS)
        fractured = np.array([overall] + [vertebra] * 7)
        return np.stack([1 - fractured, fractured], axis=1)

    def score(self, samples: Sequence[StudySample], answers: Answers) -> Score:
        keys, labels = [sample.study_key for sample in samples], labels_of(samples)
        solution = submission(keys, np.stack([1 - labels, labels], axis=2).astype(np.float64))
        result = score_cervical(solution[(labels >= 0).ravel()], submission(keys, answers))
        return Score(result.score, {"patient_overall": result.patient_overall, "vertebrae": result.vertebrae})


def submission(keys: Sequence[str], answers: Answers) -> pd.DataFrame:
    """float64 (studies, 8, 2) in the challenge's long schema."""
    rows = [f"{key}_{target}" for key in keys for target in CERVICAL_TARGETS]
    return pd.DataFrame({"row_id": rows, "fractured": answers[:, :, 1].ravel()})


def labels_of(samples: Sequence[StudySample]) -> Labels:
    """int64 (studies, targets), -1 where not graded."""
    return np.array([sample.targets for sample in samples], dtype=np.int64)


CERVICAL = Recipe("cervical", (Stage("classify", lambda root, checkpoints: Cervical()),), submission)


class Neck(nn.Module):
    """crops (B, 7, D, H, W), present (B, 7) -> logits (B, 8), attention. Without a crop the prior answers."""

    def __init__(self, constants: Constants) -> None:
        super().__init__()
        logits = np.log(constants[:, 1] / constants[:, 0])
        self.finder = Finder((16, 16, 32, 32), ((2, 2, 2), (2, 2, 2)), spread=None)
        self.usual = nn.Parameter(torch.tensor([logits[1]], dtype=torch.float32))
        self.slope = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.tensor([logits[0] - logits[1]], dtype=torch.float32))

    def forward(self, crops: torch.Tensor, present: torch.Tensor) -> Outputs:
        studies, slots = present.shape
        found, looks = self.finder(crops.flatten(0, 1).unsqueeze(1))
        vertebrae = self.usual + torch.where(present, found.reshape(studies, slots), 0.0)
        overall = self.slope * smooth_maximum(vertebrae, dim=1) + self.bias
        return torch.cat([overall.unsqueeze(1), vertebrae], dim=1), looks.reshape(studies, slots, -1)


def _weights(batch: StudyBatch) -> torch.Tensor:
    """float32 (B, 8): of each target, by its truth; nothing where it was not graded."""
    table = torch.tensor(_WEIGHTS, device=batch.targets.device)
    weights = table[torch.arange(len(_WEIGHTS), device=table.device), batch.targets.clamp(min=0)]
    return weights * (batch.targets >= 0) * batch.weight.unsqueeze(1)


def _share(labels: Labels, weights: tuple[float, float]) -> float:
    """Weighted share of fractured ones, with half a case of each kind added so that none is impossible."""
    intact, fractured = (((labels == truth).sum() + 0.5) * weights[truth] for truth in (0, 1))
    return float(fractured / (fractured + intact))
