"""RSNA 2022: which vertebrae are fractured. One crop a vertebra, one network for all seven; they say of the patient.

Stage "locate" finds the vertebrae (``vertebrae.py``), stage "classify" judges a crop of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import nn

from curate.identity import Json, digest_json
from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import StudyBatch, StudyDataset
from curate.loading.reader import Open
from curate.loading.samples import CERVICAL_SLOTS, cervical_samples, digest_samples, labels_of
from curate.manifests.schemas import CERVICAL_TARGETS
from curate.scoring import score_cervical
from curate.scoring.cervical import OVERALL_WEIGHTS, VERTEBRA_WEIGHTS
from curate.volumes import open_volume
from pipelines.recipes.crop_warnings import about_crops
from pipelines.recipes.located import Locator, located_recipe, where_seen, with_found_objects
from pipelines.recipes.masked import MaskedCrops, MaskedStudy
from pipelines.recipes.models import Finder, smooth_maximum
from pipelines.recipes.networks import SliceEncoder, log_mean, neighbours
from pipelines.recipes.vertebrae import VERTEBRAE, VertebraLocator, VertebraSettings
from pipelines.train.recipe import Recipe, Stage
from pipelines.train.task import Answers, Constants, Labels, Outputs, Score, Term, guided_crops, missed_marks

_WEIGHTS = (OVERALL_WEIGHTS, *([VERTEBRA_WEIGHTS] * 7))  # of each target, by its truth


@dataclass(frozen=True, slots=True)
class FractureSettings:
    """How fractures are looked for, at the places of the vertebrae.

    ``encoder``: "3d", a small 3D network that looks for the cleft anywhere in the crop; or 2.5D, one of
    ``networks.ENCODERS``: every ``step``-th slice of the crop with ``reach`` neighbours a side as channels and the
    predicted mask as one more, a 2D network on each, attention over them. ``crop_mm``, ``spacing_mm``: (S, P, L); the
    2.5D crop of winners has 15 slices with 2 neighbours a side: 33 planes at step 2.
    """

    encoder: str = "3d"
    planes: tuple[int, int, int] = (20, 32, 32)
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    reach: int = 2
    step: int = 2
    width: int = 16


WINNERS = FractureSettings("resnet18", (33, 96, 96), (1.0, 0.75, 0.75), width=64)


class Cervical:
    """Targets in the order of ``CERVICAL_TARGETS``: patient_overall, C1..C7. Classes: intact, fractured.

    ``locator``: what finds the vertebrae; None: crops go where masks say, else to the mean place, and there is no mask
    channel.
    """

    name: str = "cervical"
    terms: tuple[Term, ...] = (
        Term("challenge"),
        Term("guidance", prior=1.0),  # looking where readers looked
        Term("places", factor=0.5),  # each vertebra judged by itself
    )
    targets: tuple[str, ...] = CERVICAL_TARGETS
    mark_stride = 4  # the cells of the 3D model's attention

    def __init__(self, settings: FractureSettings = FractureSettings(), locator: Locator | None = None) -> None:
        self.settings, self.locator = settings, locator
        self.shape = CropShape(settings.planes, settings.spacing_mm)
        shift_mm = 3 if locator is None else 5  # covers how far off a locator is
        self.augmentation = Augmentation(
            shift_mm=shift_mm, turn_degrees=3, zoom=0.03, gain=0.1, offset=0.08, mirror=True
        )

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudySample]:
        if self.locator is None:
            return cervical_samples(manifests)
        finds = self.locator.find(manifests)
        samples = cervical_samples(with_found_objects(manifests, finds, VERTEBRAE, CERVICAL_SLOTS))
        return [
            MaskedStudy.of(where_seen(sample, finds.located.get(sample.study_key)), finds.chances.get(sample.study_key))
            for sample in samples
        ]

    def is_labelled(self, sample: StudySample) -> bool:
        return max(sample.targets) >= 0

    def classes(self, samples: Sequence[StudySample]) -> list[int]:
        """Whether anything is fractured."""
        return [max(sample.targets) for sample in samples]

    def digest(self, samples: Sequence[StudySample]) -> str:
        chances: list[Json] = [_chances_digest(sample) for sample in samples]
        return digest_json({"samples": digest_samples(samples), "settings": asdict(self.settings), "masks": chances})

    def warnings(self, samples: Sequence[StudySample]) -> tuple[str, ...]:
        return about_crops(samples, is_located=self.locator is not None)

    def dataset(
        self, root: str, samples: Sequence[StudySample], *, augment: bool, seed: int, open_url: Open = open_volume
    ) -> StudyDataset:
        augmentation = self.augmentation if augment else Augmentation()
        stride = self.mark_stride if augment and self.settings.encoder == "3d" else None  # marks teach where to look
        kind = StudyDataset if self.locator is None else MaskedCrops
        return kind(
            root, samples, self.shape, augmentation=augmentation, seed=seed, mark_stride=stride, open_url=open_url
        )

    def model(self, constants: Constants) -> nn.Module:
        return Neck(constants, self.settings, has_mask=self.locator is not None)

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


class Neck(nn.Module):
    """crops (B, 7, D, H, W) or, with the mask beside the image, (B, 7, 2, D, H, W), present (B, 7) -> logits (B, 8),
    attention (B, 7, cells or slices). Without a crop the prior answers.

    The patient's odds are learned from those of the vertebrae, and are at least the highest of them: log(odds of the
    most suspicious vertebra + odds that follow from all). In evaluation it also looks into a mirror, and a mirrored
    neck gets the same answer.
    """

    def __init__(
        self, constants: Constants, settings: FractureSettings = FractureSettings(), *, has_mask: bool = False
    ) -> None:
        super().__init__()
        logits = np.log(constants[:, 1] / constants[:, 0])
        self.settings = settings
        self.finder: nn.Module
        if settings.encoder == "3d":
            strides = (2, 2, 2), (2, 2, 2)
            self.finder = Finder((16, 16, 32, 32), strides, spread=None, channels=1 + has_mask)
        else:
            self.finder = SliceEncoder(settings.encoder, 2 * settings.reach + 1 + has_mask, width=settings.width)
        rest = max(np.exp(logits[0]) - np.exp(logits[1]), 1e-3)  # of the patient's odds, beyond one vertebra's
        self.usual = nn.Parameter(torch.tensor([logits[1]], dtype=torch.float32))
        self.slope = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.tensor([np.log(rest) - logits[1]], dtype=torch.float32))

    def forward(self, crops: torch.Tensor, present: torch.Tensor) -> Outputs:
        studies, slots = present.shape
        crops = crops.flatten(0, 1)
        crops = crops if crops.ndim == 5 else crops.unsqueeze(1)
        found, looks = self._find(crops)
        if not self.training:
            mirrored, other = self._find(crops.flip(4))
            found, looks = (found + mirrored) / 2, log_mean(looks, self._turn(other))
        vertebrae = self.usual + torch.where(present, found.reshape(studies, slots), 0.0)
        rest = self.slope * smooth_maximum(vertebrae, dim=1) + self.bias
        overall = torch.logaddexp(vertebrae.amax(dim=1), rest)
        return torch.cat([overall.unsqueeze(1), vertebrae], dim=1), looks.reshape(studies, slots, -1)

    def _find(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.settings.encoder != "3d":
            reach, step = self.settings.reach, self.settings.step
            slices = neighbours(crops[:, 0], reach=reach, step=step)
            masks = crops[:, 1:, reach : crops.shape[2] - reach : step].movedim(1, 2)
            crops = torch.cat([slices, masks], dim=2)
        found: tuple[torch.Tensor, torch.Tensor] = self.finder(crops)
        return found

    def _turn(self, looks: torch.Tensor) -> torch.Tensor:
        """Attention on the cells of a mirrored crop, as on those of the crop."""
        if self.settings.encoder != "3d":
            return looks
        cells = [n // Cervical.mark_stride for n in self.settings.planes]
        return looks.reshape(-1, *cells).flip(3).flatten(1)


def _chances_digest(sample: StudySample) -> str | None:
    chances = sample.chances if isinstance(sample, MaskedStudy) else None
    return None if chances is None else sha256(chances.packed).hexdigest()


def _weights(batch: StudyBatch) -> torch.Tensor:
    """float32 (B, 8): of each target, by its truth; nothing where it was not graded."""
    table = torch.tensor(_WEIGHTS, device=batch.targets.device)
    weights = table[torch.arange(len(_WEIGHTS), device=table.device), batch.targets.clamp(min=0)]
    return weights * (batch.targets >= 0) * batch.weight.unsqueeze(1)


def _share(labels: Labels, weights: tuple[float, float]) -> float:
    """Weighted share of fractured ones, with half a case of each kind added so that none is impossible."""
    intact, fractured = (((labels == truth).sum() + 0.5) * weights[truth] for truth in (0, 1))
    return float(fractured / (fractured + intact))


def cervical_recipe(name: str, settings: FractureSettings, vertebrae: VertebraSettings) -> Recipe:
    """Both stages: the locator, and a classifier that reads its crops where the locator says."""
    return located_recipe(name, VertebraLocator(vertebrae), lambda locator: Cervical(settings, locator), submission)


CERVICAL = cervical_recipe("cervical-located", FractureSettings(), VertebraSettings())
CERVICAL_25D = cervical_recipe("cervical-2.5d", WINNERS, VertebraSettings())
CERVICAL_BASELINE = Recipe("cervical", (Stage("classify", lambda root, checkpoints: Cervical()),), submission)
