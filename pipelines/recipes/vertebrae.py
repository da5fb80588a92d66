"""Cervical, stage 1: where C1..C7 lie. A small U-Net tells the vertebrae apart on a coarse view of the whole neck.

Learns from the studies that have a mask (in the challenge one in twenty); answers for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from curate.loading import Augmentation, CropRequest, CropShape
from curate.loading.crops import vector
from curate.loading.places import largest, objects_by_study, places_by_study
from curate.loading.reader import Open
from curate.loading.samples import BONE_WINDOW_HU
from curate.manifests.schemas import CERVICAL_TARGETS
from curate.volumes import open_volume
from pipelines.recipes.looking import StudyViews, ViewBatch, Views, digest_views, score_places, template_of
from pipelines.recipes.networks import PlacedUNet, Stride, centres_of_mass, lattice_points
from pipelines.train.task import Answers, Constants, Score, Term

VERTEBRAE = CERVICAL_TARGETS[1:]  # C1..C7: labels 1..7 of the mask
MASK = "vertebrae"
_OTHER = 8  # T1 and below: so that C7 is not the last of anything
_CLASS_WEIGHTS = (0.05, *([1.0] * _OTHER))  # most of a neck is background
_SMALLEST_MM3 = 1500.0  # of bone from which a vertebra counts as in view: half of C1 of a small adult
_REACH_MM = 18.0  # the end of a spinous process belongs to its vertebra, the next vertebra does not


@dataclass(frozen=True, slots=True)
class VertebraSettings:
    """``shape``, ``spacing_mm``: the view, axes S, P, L, laid around the middle of the volume."""

    shape: tuple[int, int, int] = (40, 24, 24)
    spacing_mm: tuple[float, float, float] = (5.0, 5.0, 5.0)
    filters: tuple[int, ...] = (8, 16, 32)
    strides: tuple[Stride, ...] = ((2, 2, 2), (2, 2, 2))


class VertebraNetwork(nn.Module):
    """views (B, 1, D, H, W), affines (B, 1, 4, 4), present (B, 1) -> logarithm of the chance of each class
    (B, 9, D, H, W), and places (B, 7, 4): LPS millimetres and confidence 0..1 of each vertebra.

    In evaluation it also looks into a mirror, so that a mirrored neck gives the mirrored answer; in training the places
    are zeros.
    """

    def __init__(self, settings: VertebraSettings) -> None:
        super().__init__()
        self.net = PlacedUNet(_OTHER + 1, settings.filters, settings.strides, side=2)

    def forward(
        self, views: torch.Tensor, affines: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logs = self.net(views).float().log_softmax(dim=1)
        if self.training:
            return logs, logs.new_zeros((len(logs), len(VERTEBRAE), 4))
        mirrored = self.net(views.flip(4)).float().softmax(dim=1).flip(4)
        chances = (logs.exp() + mirrored) / 2
        return chances.clamp(min=1e-12).log(), vertebra_places(chances, affines[:, 0], present[:, 0])


def vertebra_places(chances: torch.Tensor, affines: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """(B, 9, D, H, W) chances, (B, 4, 4), (B,) -> (B, 7, 4) float64: centroid, LPS mm, and confidence 0..1."""
    own = affines.double()
    bone = chances[:, 1:_OTHER].double()
    sure = bone.square()  # doubt far away is no place
    centres = centres_of_mass(sure, own, reach_mm=_REACH_MM)
    away = torch.cdist(centres, lattice_points(chances.shape[2:], own))
    near = torch.exp(-((away / (2 * _REACH_MM)) ** 2) / 2)
    one_lump = (sure.flatten(2) * near).sum(dim=2) / (sure.flatten(2).sum(dim=2) + 1e-9)
    bone_mm3 = (bone.flatten(2) * near).sum(dim=2) * own[:, :3, :3].det().abs()[:, None]
    confidence = one_lump * (bone_mm3 / _SMALLEST_MM3).clamp(max=1) * present[:, None]
    return torch.cat([centres, confidence.unsqueeze(2)], dim=2)


class VertebraLocator:
    """The task of stage 1. Its score: the mean distance in millimetres of found centroids from those of the masks."""

    name: str = "locate"
    terms: tuple[Term, ...] = (Term("segmentation"),)
    augmentation = Augmentation(shift_mm=12, turn_degrees=8, zoom=0.1, gain=0.15, offset=0.1, mirror=True)

    def __init__(self, settings: VertebraSettings = VertebraSettings()) -> None:
        self.settings = settings
        self.shape = CropShape(settings.shape, settings.spacing_mm)

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudyViews]:
        """A view of the volume with most voxels of each study."""
        places = places_by_study(manifests["volumes"], window=BONE_WINDOW_HU)
        objects = objects_by_study(manifests["objects"])
        samples = []
        for row in sorted(manifests["samples"].to_pylist(), key=lambda row: row["study_key"]):
            key = row["study_key"]
            place, found = largest(places.get(key, ())), objects.get(key, {})
            request, truth = None, {}
            if place is not None:
                request = CropRequest(place.uri, vector(place.centre_mm), "SPL", place.low, place.high)
                own = place.series_key, place.stack
                truth = {name: o for name, o in found.items() if (o["series_key"], o["stack"]) == own}
            places_mm = tuple(vector(truth[name]["centroid_mm"]) if name in truth else None for name in VERTEBRAE)
            samples.append(StudyViews(key, row["split"], (request,), places_mm, MASK if any(places_mm) else None))
        return samples

    def is_labelled(self, sample: StudyViews) -> bool:
        return sample.mask is not None

    def classes(self, samples: Sequence[StudyViews]) -> list[int]:
        """One: a place is no rarer than another."""
        return [0] * len(samples)

    def digest(self, samples: Sequence[StudyViews]) -> str:
        return digest_views(samples, shape=list(self.shape.shape), spacing_mm=list(self.shape.spacing_mm))

    def warnings(self, samples: Sequence[StudyViews]) -> tuple[str, ...]:
        absent = sum(sample.requests == (None,) for sample in samples)
        return (f"{absent} of {len(samples)} studies have no volume",) if absent else ()

    def dataset(
        self, root: str, samples: Sequence[StudyViews], *, augment: bool, seed: int, open_url: Open = open_volume
    ) -> Views:
        augmentation = self.augmentation if augment else Augmentation()
        return Views(
            root, samples, self.shape, range(len(VERTEBRAE)), augmentation=augmentation, seed=seed, open_url=open_url
        )

    def constants(self, samples: Sequence[StudyViews]) -> Constants:
        """(7, 4): the template, as ``looking.template_of`` gives it."""
        return template_of(samples, range(len(VERTEBRAE)))

    def model(self, constants: Constants) -> nn.Module:
        return VertebraNetwork(self.settings)

    def weights(self, batch: ViewBatch) -> torch.Tensor:
        return _drawn(batch).sum()[None]

    def losses(self, outputs: Any, batch: ViewBatch) -> torch.Tensor:
        """Of each study with a mask: cross entropy weighted by class, and how far each vertebra's chances, made to sum
        to 1 over the view, are from its mask, made so too (Kullback and Leibler): all vertebrae count alike."""
        logs: torch.Tensor = outputs[0]
        truth = batch.masks.clamp(max=_OTHER).long()
        weights = torch.tensor(_CLASS_WEIGHTS, device=logs.device)
        entropy = nn.functional.nll_loss(logs, truth, weights, reduction="none").flatten(1).sum(dim=1)
        entropy = entropy / weights[truth].flatten(1).sum(dim=1)
        drawn = torch.stack([truth == n for n in range(1, _OTHER + 1)], dim=1).flatten(2).float()
        sizes = drawn.sum(dim=2)
        maps = logs[:, 1:].flatten(2).log_softmax(dim=2)
        apart = -(drawn * maps).sum(dim=2) / sizes.clamp(min=1) - sizes.clamp(min=1).log()
        misplaced = (apart * (sizes > 0)).sum(dim=1) / (sizes > 0).sum(dim=1).clamp(min=1)
        return (_drawn(batch) * (entropy + misplaced)).sum()[None]

    def answers(self, outputs: Any) -> torch.Tensor:
        places: torch.Tensor = outputs[1].double()
        return places

    def score(self, samples: Sequence[StudyViews], answers: Answers) -> Score:
        return score_places(samples, answers)


def _drawn(batch: ViewBatch) -> torch.Tensor:
    """(B,): 1 where a mask says something, 0 for padding."""
    return batch.weight * batch.masks.flatten(1).any(dim=1)
