"""Lumbar, stage 1: where the canal and the foramina lie at each level, from heat maps on the two sagittal series.

The canal's five points are looked for on Sagittal T2/STIR, the ten foraminal ones on Sagittal T1. What lies where on
the axial stacks follows from those in patient millimetres (``template.locate``): never from a slice's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from curate.loading import Augmentation, CropRequest, CropShape
from curate.loading.crops import vector
from curate.loading.places import objects_by_study, places_by_study
from curate.loading.reader import Open
from curate.loading.samples import LUMBAR_SLOTS
from curate.volumes import open_volume
from pipelines.recipes.looking import StudyViews, ViewBatch, Views, digest_views, score_places, template_of
from pipelines.recipes.networks import PlacedUNet, Stride, centres_of_mass, lattice_points
from pipelines.train.task import Answers, Constants, Score, Term

PLACES = tuple(slot.object for slot in LUMBAR_SLOTS)  # 25: canal, left and right foramina, left and right recesses
SWAP = tuple(  # which place takes the place of which in a mirror
    PLACES.index(_other)
    for _other in (name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for name in PLACES)
)
VIEWS = ("Sagittal T2/STIR", "Sagittal T1")
_SEEN = 15  # places that have a heat map: five on the first view, ten on the second
_ON = (slice(0, 5), slice(5, 15))
_SIGMA_MM = 5.0  # of a heat map: readers differ by about as much
_REACH_MM = 10.0


@dataclass(frozen=True, slots=True)
class LevelSettings:
    """``shape``, ``spacing_mm``: the views, axes L, I, P, laid around the middle of each volume."""

    shape: tuple[int, int, int] = (12, 40, 28)
    spacing_mm: tuple[float, float, float] = (5.0, 5.5, 5.5)
    filters: tuple[int, ...] = (8, 16, 32)
    strides: tuple[Stride, ...] = ((1, 2, 2), (2, 2, 2))


class LevelNetwork(nn.Module):
    """views (B, 2, D, H, W), affines (B, 2, 4, 4), present (B, 2) -> logarithm of where each place lies
    (B, 15, voxels), the affine of each place's view (B, 15, 4, 4), places (B, 25, 4): LPS millimetres and confidence.

    In evaluation it also looks into a mirror, where left places are right ones; in training the places are zeros. The
    recesses have no heat map, and -1 for confidence: they follow from the others.
    """

    def __init__(self, settings: LevelSettings) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            PlacedUNet(on.stop - on.start, settings.filters, settings.strides, side=0) for on in _ON
        )

    def forward(
        self, views: torch.Tensor, affines: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        own = affines[:, [0] * 5 + [1] * 10]
        is_there = present[:, [0] * 5 + [1] * 10]
        logs = self._maps(views)
        if self.training:
            return logs.flatten(2).log_softmax(dim=2), own, is_there, logs.new_zeros((len(logs), len(PLACES), 4))
        mirrored = self._maps(views.flip(2)).flip(2)[:, list(SWAP[:_SEEN])]
        chances = (logs.flatten(2).softmax(dim=2) + mirrored.flatten(2).softmax(dim=2)) / 2
        found = heat_places(chances.reshape(*chances.shape[:2], *views.shape[2:]), own, is_there)
        places = torch.cat([found, found.new_full((len(found), len(PLACES) - _SEEN, 4), -1)], dim=1)
        return chances.clamp(min=1e-12).log(), own, is_there, places

    def _maps(self, views: torch.Tensor) -> torch.Tensor:
        return torch.cat([net(views[:, n : n + 1]).float() for n, net in enumerate(self.nets)], dim=1)


def heat_places(chances: torch.Tensor, affines: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """(B, C, D, H, W) chances, each channel summing to 1, (B, C, 4, 4), (B, C) -> (B, C, 4) float64: where the peak
    lies, LPS mm, and how much of the chance lies around it."""
    maps = chances.double().flatten(0, 1).unsqueeze(1)
    own = affines.double().flatten(0, 1)
    sharp = maps * maps  # the mean of a flat tail is no place
    centres = centres_of_mass(sharp, own, reach_mm=_REACH_MM)
    away = torch.cdist(centres, lattice_points(chances.shape[2:], own))
    near = (maps.flatten(2) * torch.exp(-((away / (2 * _REACH_MM)) ** 2) / 2)).sum(dim=2)
    return torch.cat([centres, (near * present.flatten()[:, None]).unsqueeze(2)], dim=2).reshape(*chances.shape[:2], 4)


class LevelLocator:
    """The task of stage 1. Its score: the mean distance in millimetres of found places from the readers' points."""

    name: str = "locate"
    terms: tuple[Term, ...] = (Term("heat maps"),)
    augmentation = Augmentation(shift_mm=12, turn_degrees=8, zoom=0.1, gain=0.15, offset=0.1, mirror=True)

    def __init__(self, settings: LevelSettings = LevelSettings()) -> None:
        self.settings = settings
        self.shape = CropShape(settings.shape, settings.spacing_mm)

    def samples(self, manifests: Mapping[str, pa.Table]) -> list[StudyViews]:
        """The largest volume of either sagittal type of each study."""
        places = places_by_study(manifests["volumes"], window=None)
        objects = objects_by_study(manifests["objects"])
        samples = []
        for row in sorted(manifests["samples"].to_pylist(), key=lambda row: row["study_key"]):
            key = row["study_key"]
            requests = tuple(_view(places.get(key, ()), kind) for kind in VIEWS)
            found = objects.get(key, {})
            truth = tuple(vector(found[name]["centroid_mm"]) if name in found else None for name in PLACES)
            samples.append(StudyViews(key, row["split"], requests, truth))
        return samples

    def is_labelled(self, sample: StudyViews) -> bool:
        return any(sample.truth_mm[:_SEEN]) and any(sample.requests)

    def classes(self, samples: Sequence[StudyViews]) -> list[int]:
        """One: a place is no rarer than another."""
        return [0] * len(samples)

    def digest(self, samples: Sequence[StudyViews]) -> str:
        return digest_views(samples, shape=list(self.shape.shape), spacing_mm=list(self.shape.spacing_mm))

    def warnings(self, samples: Sequence[StudyViews]) -> tuple[str, ...]:
        counts = [sum(sample.requests[n] is None for sample in samples) for n in range(len(VIEWS))]
        return tuple(
            f"{n} of {len(samples)} studies have no {kind}" for n, kind in zip(counts, VIEWS, strict=True) if n
        )

    def dataset(
        self, root: str, samples: Sequence[StudyViews], *, augment: bool, seed: int, open_url: Open = open_volume
    ) -> Views:
        augmentation = self.augmentation if augment else Augmentation()
        return Views(root, samples, self.shape, SWAP, augmentation=augmentation, seed=seed, open_url=open_url)

    def constants(self, samples: Sequence[StudyViews]) -> Constants:
        """(25, 4): the template, as ``looking.template_of`` gives it."""
        return template_of(samples, SWAP)

    def model(self, constants: Constants) -> nn.Module:
        return LevelNetwork(self.settings)

    def weights(self, batch: ViewBatch) -> torch.Tensor:
        counts = _targets(batch, batch.affines[:, [0] * 5 + [1] * 10])[1]
        return counts.sum()[None]

    def losses(self, outputs: Any, batch: ViewBatch) -> torch.Tensor:
        """How far each map is from a Gaussian around the reader's point (Kullback and Leibler), summed over points."""
        logs, affines = outputs[0], outputs[1]
        wanted, counts = _targets(batch, affines)
        apart = nn.functional.kl_div(logs, wanted, reduction="none").sum(dim=2)
        return (apart * counts).sum()[None]

    def answers(self, outputs: Any) -> torch.Tensor:
        places: torch.Tensor = outputs[3].double()
        return places

    def score(self, samples: Sequence[StudyViews], answers: Answers) -> Score:
        """Of the fifteen places that have a heat map."""
        return score_places(
            [StudyViews(s.study_key, s.split, s.requests, s.truth_mm[:_SEEN]) for s in samples], answers[:, :_SEEN]
        )


def _targets(batch: ViewBatch, affines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 15, voxels) maps that sum to 1, and (B, 15) whether each counts: a point is known and inside its view."""
    points = lattice_points(batch.views.shape[2:], affines.flatten(0, 1))
    truth = batch.truth[:, :_SEEN].flatten(0, 1)
    square = (points - truth.nan_to_num(nan=1e4)[:, None]).square().sum(dim=2)
    is_inside = (square.min(dim=1).values < _SIGMA_MM**2).reshape(-1, _SEEN)
    present = batch.present[:, [0] * 5 + [1] * 10]
    wanted = torch.softmax(-square / (2 * _SIGMA_MM**2), dim=1).reshape(-1, _SEEN, points.shape[1])
    return wanted, is_inside * present * batch.weight[:, None]


def _view(places: Sequence[Any], series_type: str) -> CropRequest | None:
    fitting = [place for place in places if place.series_type == series_type]
    if not fitting:
        return None
    place = max(fitting, key=lambda place: (int(np.prod(place.grid.shape)), place.uri))
    return CropRequest(place.uri, vector(place.centre_mm), "LIP", place.low, place.high)
