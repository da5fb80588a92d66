"""Both recipes made small and trained on small stores, in seconds; and the stores with something missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.geometry import Grid
from curate.volumes import open_volume, write_volume
from pipelines.recipes.cervical import FractureSettings, cervical_recipe
from pipelines.recipes.levels import LevelSettings
from pipelines.recipes.lumbar import GradeSettings, lumbar_recipe
from pipelines.recipes.predict import Prediction, predict
from pipelines.recipes.vertebrae import VertebraSettings
from pipelines.train.recipe import Recipe
from pipelines.train.reports import Step
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Score
from tests.support.quick_training import train_recipe, train_task
from tests.support.training_store import slices_of

Tables = dict[str, pa.Table]

NECK = cervical_recipe(
    "cervical-located",
    FractureSettings(planes=(8, 16, 16), spacing_mm=(2.0, 2.0, 2.0)),
    VertebraSettings((24, 12, 12), filters=(8, 8, 16)),
)
BACK = lumbar_recipe(
    "lumbar-located",
    GradeSettings(shape=(3, 16, 16), spacing_mm=(4.0, 2.0, 2.0)),
    LevelSettings((12, 32, 12), filters=(8, 8, 16)),
)

NECK_25D = cervical_recipe(
    "cervical-2.5d",
    FractureSettings("resnet10", planes=(9, 16, 16), spacing_mm=(2.0, 2.0, 2.0), reach=1, width=8),
    VertebraSettings((24, 12, 12), filters=(8, 8, 16)),
)
BACK_25D = lumbar_recipe(
    "lumbar-2.5d",
    GradeSettings("resnet10", shape=(3, 16, 16), spacing_mm=(4.0, 2.0, 2.0), width=8),
    LevelSettings((12, 32, 12), filters=(8, 8, 16)),
)

QUICK = {
    "cervical": {
        "locate": TrainSettings(epochs=12, batch_size=2, learning_rate=1e-2, threads=0, seed=3, evaluate_epochs=99),
        "classify": TrainSettings(epochs=16, batch_size=2, learning_rate=8e-3, threads=0, seed=3, evaluate_epochs=99),
    },
    "lumbar": {
        "locate": TrainSettings(epochs=20, batch_size=2, learning_rate=1e-2, threads=0, seed=3, evaluate_epochs=99),
        "classify": TrainSettings(epochs=10, batch_size=2, learning_rate=8e-3, threads=0, seed=3, evaluate_epochs=99),
    },
}


@dataclass
class Trained:
    recipe: Recipe
    store: Path
    models: Path
    manifests: Tables
    checkpoints: dict[str, str]
    steps: Mapping[str, list[Step]]
    scores: Mapping[str, Score]
    constant: Score
    predicted: dict[str, Prediction] = field(default_factory=dict)

    def predict(self, manifests: Tables | None = None, *, split: str = "test") -> Prediction:
        if manifests is not None:
            return predict(self.recipe, str(self.store), manifests, [self.checkpoints], split=split)
        if split not in self.predicted:
            self.predicted[split] = self.predict(self.manifests, split=split)
        return self.predicted[split]


def trained(recipe: Recipe, store: Path, manifests: Tables) -> Trained:
    manifests["slices"] = slices_of(manifests["volumes"])
    models = store / "training"
    models.mkdir()
    found = train_recipe(recipe, store, manifests, QUICK[recipe.name.partition("-")[0]], models)
    return Trained(recipe, store, models, manifests, *found)


def trained_on(base: Trained, recipe: Recipe) -> Trained:
    """The last stage of another recipe, trained with the locator that is trained already."""
    settings = QUICK[recipe.name.partition("-")[0]]
    task = recipe.stages[-1].make(str(base.store), base.checkpoints)
    models = base.store / recipe.name
    made, steps, score, constant = train_task(task, base.store, base.manifests, settings["classify"], models)
    checkpoints = {**base.checkpoints, "classify": str(made)}
    every, scores = {**base.steps, "classify": steps}, {**base.scores, "classify": score}
    return Trained(recipe, base.store, models, base.manifests, checkpoints, every, scores, constant)


def of_study(frame: pd.DataFrame, study: str) -> pd.DataFrame:
    return frame[frame["row_id"].str.startswith(f"{study}_")]


def without(manifests: Tables, **dropped: Any) -> Tables:
    """The manifests without the volumes whose column has the value."""
    volumes = manifests["volumes"]
    for name, value in dropped.items():
        volumes = volumes.filter(pc.field(name).is_null() | (pc.field(name) != value))
    return {**manifests, "volumes": volumes}


def cut(neck: Trained, root: Path, *, keep: int) -> Tables:
    """The store with the uppermost ``keep`` slices of every volume."""
    rows = neck.manifests["volumes"].to_pylist()
    for row in rows:
        volume = open_volume(neck.store / row["uri"])
        first = volume.shape[0] - keep
        affine = volume.grid.affine.copy()
        affine[:3, 3] = volume.grid.to_patient([first, 0, 0])
        grid = Grid((keep, *volume.shape[1:]), affine)
        write_volume(root / row["uri"], np.ascontiguousarray(volume.read()[first:]), grid)
        row["shape"] = row["source_shape"] = list(grid.shape)
        row["affine"] = row["source_affine"] = affine.ravel().tolist()
    volumes = pa.Table.from_pylist(rows, schema=neck.manifests["volumes"].schema)
    return {**neck.manifests, "volumes": volumes, "slices": slices_of(volumes)}


def in_two_stacks(back: Trained, root: Path) -> Tables:
    """The store with every axial volume parted into its lower and upper half, a stack each."""
    rows = []
    for row in back.manifests["volumes"].to_pylist():
        volume = open_volume(back.store / row["uri"])
        if row["series_type"] != "Axial T2":
            write_volume(root / row["uri"], volume.read(), volume.grid)
            rows.append(row)
            continue
        half = volume.shape[0] // 2
        for stack, first in enumerate((0, half)):
            affine = volume.grid.affine.copy()
            affine[:3, 3] = volume.grid.to_patient([first, 0, 0])
            grid = Grid((half, *volume.shape[1:]), affine)
            uri = row["uri"].replace("/0.zarr", f"/{stack}.zarr")
            write_volume(root / uri, np.ascontiguousarray(volume.read()[first : first + half]), grid)
            place = {"affine": affine.ravel().tolist(), "shape": list(grid.shape)}
            place |= {"source_affine": place["affine"], "source_shape": place["shape"]}
            rows.append({**row, **place, "uri": uri, "stack": stack})
    volumes = pa.Table.from_pylist(rows, schema=back.manifests["volumes"].schema)
    return {**back.manifests, "volumes": volumes, "slices": slices_of(volumes)}
