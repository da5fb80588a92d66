"""What a locator is shown: coarse views of a study's volumes, and where its objects truly lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from curate.identity import Json, digest_json
from curate.loading import Augmentation, CropRequest, CropShape, Jitter
from curate.loading.crops import Vector
from curate.loading.dataset import Draw
from curate.loading.order import uniforms
from curate.loading.reader import Open
from curate.loading.views import ViewReader
from curate.volumes import open_volume
from pipelines.train.task import Answers, Score

_MISSED_MM = 20.0  # what an object that was not found counts as


@dataclass(frozen=True, slots=True)
class StudyViews:
    """One study as a locator sees it. ``requests``: a view each, None where the series is missing.

    ``truth_mm``: each object's place by the labels, LPS, None where there is no label. ``mask``: name of the first
    volume's mask, None when nobody drew one.
    """

    study_key: str
    split: str
    requests: tuple[CropRequest | None, ...]
    truth_mm: tuple[Vector | None, ...]
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class ViewBatch:
    """``views``: float32 (B, V, D, H, W), zero where absent. ``affines``: float32 (B, V, 4, 4), to LPS millimetres.
    ``present``: bool (B, V). ``masks``: uint8 (B, D, H, W) on the first view, all 0 without one. ``truth``: float32
    (B, objects, 3), LPS millimetres, NaN where unknown. ``weight``: float32 (B,), 0 for padding. ``index``: (B,)."""

    views: torch.Tensor
    affines: torch.Tensor
    present: torch.Tensor
    masks: torch.Tensor
    truth: torch.Tensor
    weight: torch.Tensor
    index: torch.Tensor

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        return self.views, self.affines, self.present


class Views(Dataset[ViewBatch]):
    """Views by ``Draw``, batches of one; augmentation is a pure function of (seed, epoch, index, visit).

    All views of a study are moved alike. ``swap``: for each object the one that takes its place in a mirror.
    """

    def __init__(
        self,
        root: str,
        samples: Sequence[StudyViews],
        shape: CropShape,
        swap: Sequence[int],
        *,
        augmentation: Augmentation,
        seed: int,
        open_url: Open = open_volume,
    ) -> None:
        self._samples, self._shape, self._swap = samples, shape, list(swap)
        self._augmentation, self._seed = augmentation, seed
        self._reader = ViewReader(root, shape, open_url=open_url)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, draw: Draw) -> ViewBatch:
        """Raises ``Unavailable`` when the storage refuses."""
        sample = self._samples[draw.index]
        jitter = Jitter()
        if draw.epoch is not None:
            numbers = uniforms(
                Augmentation.DRAWS, seed=self._seed, epoch=draw.epoch, index=draw.index, visit=draw.visit
            )
            jitter = self._augmentation.jitter(numbers)
        count = len(sample.requests)
        views = np.zeros((1, count, *self._shape.shape), dtype=np.float32)
        affines = np.repeat(np.eye(4, dtype=np.float32)[None, None], count, axis=1)
        masks = np.zeros((1, *self._shape.shape), dtype=np.uint8)
        for n, request in enumerate(sample.requests):
            if request is not None:
                view = self._reader.read(request, jitter, label=sample.mask if n == 0 else None)
                views[0, n], affines[0, n] = view.values, view.grid.affine
                if view.labels is not None:
                    masks[0] = view.labels
        truth = np.array([place or (np.nan,) * 3 for place in sample.truth_mm], dtype=np.float32)
        return ViewBatch(
            views=torch.from_numpy(views),
            affines=torch.from_numpy(affines),
            present=torch.tensor([[request is not None for request in sample.requests]]),
            masks=torch.from_numpy(masks),
            truth=torch.from_numpy(truth[self._swap] if jitter.mirrored else truth)[None],
            weight=torch.tensor([float(draw.counts)]),
            index=torch.tensor([draw.index]),
        )


def score_places(samples: Sequence[StudyViews], answers: Answers) -> Score:
    """Mean distance of ``answers`` (studies, objects, 4) from the truth, millimetres; a miss counts 20.

    ``found``: share of the objects with a label that were found.
    """
    away: list[float] = []
    found: list[bool] = []
    for sample, answer in zip(samples, answers, strict=True):
        for own, said in zip(sample.truth_mm, answer, strict=True):
            if own is not None:
                found.append(bool(said[3] >= 0.5))
                away.append(float(np.linalg.norm(said[:3] - np.array(own))) if found[-1] else _MISSED_MM)
    mean = float(np.mean(away)) if away else float("nan")
    return Score(mean, {"millimetres": mean, "found": float(np.mean(found)) if found else float("nan")})


def template_of(samples: Sequence[StudyViews], swap: Sequence[int]) -> NDArray[np.float64]:
    """(objects, 4): mean place relative to the middle of the study's first view, LPS mm, and 0, for it was not seen.

    An object that no study has a label of is at 0, 0, 0 with -1. ``swap``: for each object the one that takes its place
    in a mirror; the template is its own mirror image.
    """
    offsets = np.array([_offsets(sample) for sample in samples if any(sample.requests)])
    known = np.isfinite(offsets)
    means = np.where(known, offsets, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    seen = np.where(known.all(axis=2).any(axis=0), 0.0, -1.0)
    mirrored = means[list(swap)] * [-1, 1, 1]
    result: NDArray[np.float64] = np.concatenate([(means + mirrored) / 2, seen[:, None]], axis=1)
    return result


def digest_views(samples: Sequence[StudyViews], **settings: Json) -> str:
    """All that a locator is trained on, as one string."""
    rows: list[Json] = [
        [
            sample.study_key,
            sample.split,
            [None if r is None else [r.uri, *r.centre_mm, r.low, r.high] for r in sample.requests],
            [None if place is None else list(place) for place in sample.truth_mm],
            sample.mask,
        ]
        for sample in samples
    ]
    return digest_json({"samples": rows, **settings})


def _offsets(sample: StudyViews) -> NDArray[np.float64]:
    middle = next(np.array(request.centre_mm) for request in sample.requests if request is not None)
    result: NDArray[np.float64] = np.array([place or (np.nan,) * 3 for place in sample.truth_mm], dtype=float) - middle
    return result
