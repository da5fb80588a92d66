"""Answers for studies that nobody labelled: every fold's model looks, and the mean of what they say is answered.

Nothing here reads a label of a study that is answered: the tables of labels are emptied first. A recipe without a
locator looks where things lie on average in the training studies of the same place, if it holds any. The mean is taken
of probabilities, so rows still sum to 1 and a patient's probability is still at least that of each vertebra.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry import Grid
from curate.labels.placement import source_of
from curate.loading.places import Place, places_by_study
from curate.loading.samples import CERVICAL_SLOTS, LUMBAR_SLOTS, Slot
from curate.manifests.schemas import OBJECTS
from pipelines.recipes.located import KnownFinds, about_places, trained_model, volume_for
from pipelines.recipes.template import Located
from pipelines.train.evaluate import answer
from pipelines.train.parallel import Ranks
from pipelines.train.recipe import Recipe
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Answers

Checkpoints = Mapping[str, str]  # of each stage, the folder of its trained model

_SAMPLE_KEYS = 5  # columns of a samples table before its targets

FINDINGS = (
    "study_key", "object", "is_found", "share_of_models", "x_mm", "y_mm", "z_mm", "series_key", "stack",
    "instance_key", "frame", "instance_number", "slice", "column", "row", "distance_mm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prediction:
    """``submission``: the challenge's schema. ``findings``: one row an object that has a place, columns ``FINDINGS``
    and the probability of each class; pixels are those of the nearest acquired slice. ``warnings``: what is missing or
    guessed."""

    submission: pd.DataFrame
    findings: pd.DataFrame
    warnings: tuple[str, ...]


def predict(
    recipe: Recipe, root: str, manifests: Mapping[str, pa.Table], models: Sequence[Checkpoints], *, split: str = "test"
) -> Prediction:
    """Answer every study of a split. ``root``: store or release of the manifests; ``models``: one entry a fold.

    Needs the tables ``samples``, ``volumes`` and ``slices``; labels in them are not looked at. Raises ``Misconfigured``
    when the split is empty or there is no model, ``Unavailable`` when the storage refuses.
    """
    if not models:
        raise Misconfigured("predict: expected the checkpoints of at least one training run")
    blind = without_labels(manifests, split)
    if not len(blind["samples"]):
        raise Misconfigured(f"predict: no study is in the split {split}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    answers: list[Answers] = []
    places: list[Mapping[str, Located]] = []
    keys: list[str] = []
    warnings: list[str] = []
    for checkpoints in models:
        task: Any = [stage.make(root, checkpoints) for stage in recipe.stages][-1]
        if task.locator is not None:
            finds = task.locator.find(blind)
            task.locator = KnownFinds(finds)
            places.append(finds.located)
            samples = list(task.samples(blind))
        else:
            samples = [one for one in task.samples(with_training_places(manifests, split)) if one.split == split]
        keys = [sample.study_key for sample in samples]
        model = trained_model(task, checkpoints[recipe.stages[-1].name]).to(device)
        answers.append(answer(task, root, samples, model, TrainSettings(batch_size=1), Ranks(device=device)))
        warnings += task.warnings(samples)
    mean: Answers = np.mean(answers, axis=0)
    slots = CERVICAL_SLOTS if recipe.name.startswith("cervical") else LUMBAR_SLOTS
    columns = [*FINDINGS, *(f"p{grade}" for grade in range(mean.shape[2]))]
    findings = pd.DataFrame(list(_findings(blind, keys, slots, places, mean)), columns=columns)
    warnings += about_places([one for study in places for one in study.values()], "places")
    return Prediction(recipe.submission(keys, mean), findings, tuple(dict.fromkeys(warnings)))


def without_labels(manifests: Mapping[str, pa.Table], split: str) -> dict[str, pa.Table]:
    """The manifests of one split, as somebody gets them who knows no label: no grades, boxes, points or masks."""
    samples = manifests["samples"].filter(pc.field("split") == split)
    for n in range(_SAMPLE_KEYS, samples.num_columns):
        target = samples.schema.field(n)
        samples = samples.set_column(n, target, pa.nulls(len(samples), target.type))
    volumes = manifests["volumes"]
    of_split = pc.is_in(volumes["study_key"], value_set=samples["study_key"].combine_chunks())
    return {
        "samples": samples,
        "volumes": volumes.filter(of_split),
        "slices": manifests["slices"],
        "objects": OBJECTS.empty_table(),
    }


def with_training_places(manifests: Mapping[str, pa.Table], split: str) -> dict[str, pa.Table]:
    """``without_labels``, and beside it the training studies with where their objects lie, and no more of them."""
    blind = without_labels(manifests, split)
    if split == "train" or "objects" not in manifests:
        return blind
    training = without_labels(manifests, "train")
    objects = manifests["objects"]
    known = pc.is_in(objects["study_key"], value_set=training["samples"]["study_key"].combine_chunks())
    return {
        **blind,
        "samples": pa.concat_tables([blind["samples"], training["samples"]]),
        "volumes": pa.concat_tables([blind["volumes"], training["volumes"]]),
        "objects": objects.filter(known),
    }


def _findings(
    manifests: Mapping[str, pa.Table],
    keys: Sequence[str],
    slots: Sequence[Slot],
    places: Sequence[Mapping[str, Located]],
    answers: Answers,
) -> Iterator[dict[str, Any]]:
    volumes = places_by_study(manifests["volumes"], window=None)
    rows = {(row["series_key"], row["stack"]): row for row in manifests["volumes"].to_pylist()}
    first = answers.shape[1] - len(slots)  # patient_overall has no place
    for study, key in enumerate(keys):
        own = [found[key] for found in places if key in found]
        for n, slot in enumerate(slots):
            known = [one for one in own if one.is_known[n]]
            if not known:
                continue
            point: NDArray[np.float64] = np.mean([one.places_mm[n] for one in known], axis=0)
            place = volume_for(volumes.get(key, ()), point, slot.series_type)
            seen = float(np.mean([one.is_found[n] for one in own]))
            chances = {f"p{grade}": float(p) for grade, p in enumerate(answers[study, first + n])}
            if place is not None:
                where = _source(rows[place.series_key, place.stack], place, point, manifests["slices"])
                x, y, z = (round(float(v), 3) for v in point)
                yield {
                    "study_key": key, "object": slot.object, "is_found": seen >= 0.5, "share_of_models": seen,
                    "x_mm": x, "y_mm": y, "z_mm": z, **where, **chances,
                }  # fmt: skip


def _source(volume: Mapping[str, Any], place: Place, point_mm: NDArray[np.float64], slices: pa.Table) -> dict[str, Any]:
    """The acquired slice and pixel of a point: what a viewer of the DICOM files needs."""
    grid = Grid((int(volume["shape"][0]), int(volume["shape"][1]), int(volume["shape"][2])), place.grid.affine)
    k, j, i = (float(v) for v in grid.to_index(point_mm))
    pixel = source_of((k, j, i), volume, slices)
    return {
        "series_key": place.series_key,
        "stack": place.stack,
        "instance_key": pixel.instance_key,
        "frame": pixel.frame,
        "instance_number": pixel.instance_number,
        "slice": pixel.position_in_stack,
        "column": round(pixel.column, 2),
        "row": round(pixel.row, 2),
        "distance_mm": round(pixel.distance_mm, 3),
    }
