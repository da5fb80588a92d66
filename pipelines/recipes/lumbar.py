"""RSNA 2024: how narrow each passage is at each level. One crop a target, one network a group of conditions.

Stage "locate" finds the canal and the foramina at each level (``levels.py``), stage "classify" judges 25 crops of the
three series types. Crops of the right side are mirrored, so one network judges both sides and cannot mix them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

from curate.identity import digest_json
from curate.loading import Augmentation, CropShape, StudySample
from curate.loading.dataset import StudyBatch, StudyDataset
from curate.loading.reader import Open
from curate.loading.samples import LUMBAR_SLOTS, digest_samples, labels_of, lumbar_samples
from curate.manifests.schemas import LUMBAR_TARGETS
from curate.scoring import score_lumbar
from curate.scoring.lumbar import GRADE_COLUMNS, GRADE_WEIGHTS, GROUPS, group_of
from curate.volumes import open_volume
from pipelines.recipes.crop_warnings import about_crops
from pipelines.recipes.levels import PLACES, LevelLocator, LevelSettings
from pipelines.recipes.located import Locator, located_recipe, where_seen, with_found_objects
from pipelines.recipes.models import Finder
from pipelines.recipes.networks import SliceEncoder, log_mean
from pipelines.train.recipe import Recipe, Stage
from pipelines.train.task import Answers, Constants, Labels, Outputs, Score, Term

_GROUP: NDArray[np.int64] = np.array([GROUPS.index(group_of(target)) for target in LUMBAR_TARGETS])  # of each target
_MEMBERS = [
    np.flatnonzero(group == _GROUP).tolist() for group in range(len(GROUPS))
]  # targets of each group, ascending
_SPINAL = GROUPS.index("spinal") == _GROUP


@dataclass(frozen=True, slots=True)
class GradeSettings:
    """How narrow places are judged. ``encoder``: "3d", a small 3D network, or one of ``networks.ENCODERS``, a 2D
    network whose channels are the slices. ``shape``: slices, and pixels of the crop; ``spacing_mm``: of both; the first
    is the distance of adjacent slices. 40 pixels of 1.25 mm are the 50 x 50 mm of winners."""

    encoder: str = "3d"
    shape: tuple[int, int, int] = (3, 40, 40)
    spacing_mm: tuple[float, float, float] = (4.0, 1.25, 1.25)
    width: int = 16


WINNERS = GradeSettings("resnet18", (5, 96, 96), (4.0, 0.52, 0.52), width=64)


class Lumbar:
    """Targets in the order of ``LUMBAR_TARGETS``. Classes: Normal/Mild, Moderate, Severe.

    ``locator``: what finds the levels; None: crops go where readers' points are, else to the mean place.
    """

    name: str = "lumbar"
    terms: tuple[Term, ...] = (Term("challenge"), Term("any severe", factor=0.25))
    targets: tuple[str, ...] = LUMBAR_TARGETS

    def __init__(self, settings: GradeSettings = GradeSettings(), locator: Locator | None = None) -> None:
        self.settings, self.locator = settings, locator
        self.shape = CropShape(settings.shape, settings.spacing_mm)
        shift_mm = 2 if locator is None else 4  # covers how far off a locator is
        self.augmentation = Augmentation(shift_mm=shift_mm, turn_degrees=5, zoom=0.06, gain=0.15, offset=0.1)

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudySample]:
        if self.locator is None:
            return lumbar_samples(manifests)
        finds = self.locator.find(manifests)
        samples = lumbar_samples(with_found_objects(manifests, finds, PLACES, LUMBAR_SLOTS))
        return [where_seen(sample, finds.located.get(sample.study_key)) for sample in samples]

    def is_labelled(self, sample: StudySample) -> bool:
        return max(sample.targets) >= 0

    def classes(self, samples: Sequence[StudySample]) -> list[int]:
        """The worst grade of a study."""
        return [max(sample.targets) for sample in samples]

    def digest(self, samples: Sequence[StudySample]) -> str:
        return digest_json({"samples": digest_samples(samples), "settings": asdict(self.settings)})

    def warnings(self, samples: Sequence[StudySample]) -> tuple[str, ...]:
        return about_crops(samples, is_located=self.locator is not None)

    def dataset(
        self, root: str, samples: Sequence[StudySample], *, augment: bool, seed: int, open_url: Open = open_volume
    ) -> StudyDataset:
        augmentation = self.augmentation if augment else Augmentation()
        return StudyDataset(root, samples, self.shape, augmentation=augmentation, seed=seed, open_url=open_url)

    def model(self, constants: Constants) -> nn.Module:
        return Back(constants, self.settings)

    def weights(self, batch: StudyBatch) -> torch.Tensor:
        return torch.stack([_weights(batch).sum(), _any_severe(batch)[1].sum()])

    def losses(self, outputs: Outputs, batch: StudyBatch) -> torch.Tensor:
        """Log loss weighted by grade; and any_severe_spinal of the metric: is the highest severe chance of the canal
        that of a study with a severe level?"""
        logs = outputs[0].float()
        chosen = logs.gather(2, batch.targets.clamp(min=0).unsqueeze(2)).squeeze(2)
        is_severe, weights = _any_severe(batch)
        highest = logs[:, _MEMBERS[0], 2].masked_fill(batch.targets[:, _MEMBERS[0]] < 0, -30.0).amax(dim=1)
        none = torch.log(-torch.expm1(highest.clamp(max=-1e-6)))
        return torch.stack(
            [-(_weights(batch) * chosen).sum(), -(weights * torch.where(is_severe, highest, none)).sum()]
        )

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


class Back(nn.Module):
    """crops (B, 25, D, H, W), present (B, 25) -> log-probabilities (B, 25, 3), attention.

    Each group has a network that says how narrow the passage is on one scale, and two thresholds on that scale: grades
    are ordered, and an ordered answer needs fewer examples. Without a crop the answer is the prior. The canal has no
    side: it is also looked at in a mirror, so that a mirrored study gets the mirrored answer.
    """

    def __init__(self, constants: Constants, settings: GradeSettings = GradeSettings()) -> None:
        super().__init__()
        self.finders = nn.ModuleList(_finder(settings) for _ in GROUPS)
        prior = np.stack([constants[group == _GROUP][0] for group in range(len(GROUPS))])
        moderate, severe = _logit(prior[:, 1] + prior[:, 2]), _logit(prior[:, 2])
        self.moderate = nn.Parameter(torch.tensor(moderate, dtype=torch.float32))  # logit of at least moderate
        self.apart = nn.Parameter(torch.tensor(np.log(np.expm1(moderate - severe)), dtype=torch.float32))

    def forward(self, crops: torch.Tensor, present: torch.Tensor) -> Outputs:
        studies = len(present)
        found, looks = [], []
        for group, (members, finder) in enumerate(zip(_MEMBERS, self.finders, strict=True)):  # one after the other
            shown = crops[:, members].flatten(0, 1).unsqueeze(1)
            narrow, where = finder(shown)
            if group == GROUPS.index("spinal"):
                mirrored, other = finder(shown.flip(2))
                narrow, where = (narrow + mirrored) / 2, log_mean(where, _turn(other, shown.shape[2]))
            found.append(narrow.reshape(studies, len(members)))
            looks.append(where.reshape(studies, len(members), -1))
        narrow = torch.where(present, torch.cat(found, dim=1), 0.0).float()
        moderate = self.moderate[_GROUP.tolist()] + narrow
        severe = moderate - nn.functional.softplus(self.apart)[_GROUP.tolist()]
        return _ordered(moderate, severe), torch.cat(looks, dim=1)


class FlatFinder(nn.Module):
    """(N, 1, D, H, W) -> evidence (N,) and attention (N, 1) on the one picture whose channels are the slices."""

    def __init__(self, settings: GradeSettings) -> None:
        super().__init__()
        self.encoder = SliceEncoder(settings.encoder, settings.shape[0], width=settings.width)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        result: tuple[torch.Tensor, torch.Tensor] = self.encoder(crops)
        return result


def _finder(settings: GradeSettings) -> nn.Module:
    if settings.encoder == "3d":
        return Finder((16, 16, 32, 32), ((1, 2, 2), (1, 2, 2)), spread=0.5)
    return FlatFinder(settings)


def _turn(looks: torch.Tensor, slices: int) -> torch.Tensor:
    """Attention on the cells of a mirrored sagittal crop, as on those of the crop: slices run from right to left."""
    return looks if looks.shape[1] == 1 else looks.reshape(len(looks), slices, -1).flip(1).flatten(1)


def _any_severe(batch: StudyBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """bool (B,) and float32 (B,): whether a graded level of the canal is severe, and the study's weight in the metric,
    0 where none is graded."""
    targets = batch.targets[:, _MEMBERS[0]]
    grades = torch.tensor(GRADE_WEIGHTS, device=targets.device)[targets.clamp(min=0)] * (targets >= 0)
    return (targets == 2).any(dim=1), grades.amax(dim=1) * batch.weight


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


def lumbar_recipe(name: str, settings: GradeSettings, levels: LevelSettings) -> Recipe:
    """Both stages: the locator, and a classifier that reads its crops where the locator says."""
    return located_recipe(name, LevelLocator(levels), lambda locator: Lumbar(settings, locator), submission)


LUMBAR = lumbar_recipe("lumbar-located", GradeSettings(), LevelSettings())
LUMBAR_25D = lumbar_recipe("lumbar-2.5d", WINNERS, LevelSettings())
LUMBAR_BASELINE = Recipe(  # of `curate demo`: a minute on two cores
    "lumbar", (Stage("classify", lambda root, checkpoints: Lumbar(GradeSettings(shape=(3, 32, 32)))),), submission
)
