"""RSNA 2022: which vertebrae are fractured. One crop a vertebra, one network for all seven; they say of the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import nn

from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import StudyBatch
from curate.loading.samples import cervical_samples
from curate.manifests.schemas import CERVICAL_TARGETS
from curate.scoring import score_cervical
from curate.scoring.cervical import OVERALL_WEIGHTS, VERTEBRA_WEIGHTS
from pipelines.train.models import Finder, smooth_maximum
from pipelines.train.task import Answers, Constants, Labels, Losses, Outputs, Score, guide

_WEIGHTS = (OVERALL_WEIGHTS, *([VERTEBRA_WEIGHTS] * 7))  # of each target, by its truth


class Cervical:
    """Targets in the order of ``CERVICAL_TARGETS``: patient_overall, C1..C7. Classes: intact, fractured."""

    name: str = "cervical"
    targets: tuple[str, ...] = CERVICAL_TARGETS
    shape = CropShape((20, 32, 32), (1.5, 1.5, 1.5))
    augmentation = Augmentation(shift_mm=3, turn_degrees=3, zoom=0.03, gain=0.1, offset=0.08, mirror=True)
    mark_stride: int | None = 4  # the cells of the model's attention

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudySample]:
        return cervical_samples(manifests)

    def model(self, constants: Constants) -> nn.Module:
        return Neck(constants)

    def losses(self, outputs: Outputs, batch: StudyBatch) -> Losses:
        logits, looks = outputs
        truth = batch.targets.clamp(min=0)
        weights = torch.tensor(_WEIGHTS, device=logits.device)[torch.arange(len(self.targets)), truth]
        weights = weights * (batch.targets >= 0) * batch.weight.unsqueeze(1)
        losses = weights * nn.functional.binary_cross_entropy_with_logits(
            logits.float(), truth.float(), reduction="none"
        )
        # the patient outweighs all vertebrae together, and says least about where to look: vertebrae teach once more
        judged = (batch.targets[:, 1:] >= 0) * batch.weight.unsqueeze(1)
        return Losses(
            losses.sum(), weights.sum(), *guide(looks.float(), batch), places=losses[:, 1:].sum(), judged=judged.sum()
        )

    def answers(self, outputs: Outputs) -> torch.Tensor:
        fractured = torch.sigmoid(outputs[0].double())
        return torch.stack([1 - fractured, fractured], dim=2)

    def constants(self, labels: Labels) -> Constants:
        """One number for the patient and one for every vertebra: the weighted share of fractured ones."""
        overall, vertebra = _share(labels[:, :1], OVERALL_WEIGHTS), _share(labels[:, 1:], VERTEBRA_WEIGHTS)
        fractured = np.array([overall] + [vertebra] * 7)
        return np.stack([1 - fractured, fractured], axis=1)

    def submission(self, keys: Sequence[str], answers: Answers) -> pd.DataFrame:
        rows = [f"{key}_{target}" for key in keys for target in self.targets]
        return pd.DataFrame({"row_id": rows, "fractured": answers[:, :, 1].ravel()})

    def score(self, keys: Sequence[str], labels: Labels, answers: Answers) -> Score:
        solution = self.submission(keys, np.stack([1 - labels, labels], axis=2).astype(np.float64))
        result = score_cervical(solution[(labels >= 0).ravel()], self.submission(keys, answers))
        return Score(result.score, {"patient_overall": result.patient_overall, "vertebrae": result.vertebrae})


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


def _share(labels: Labels, weights: tuple[float, float]) -> float:
    """Weighted share of fractured ones, with half a case of each kind added so that none is impossible."""
    intact, fractured = (((labels == truth).sum() + 0.5) * weights[truth] for truth in (0, 1))
    return float(fractured / (fractured + intact))
