"""From a release's or store's test split and trained models to a submission: what ``curate predict`` leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curate.errors import Misconfigured
from curate.loading.tables import open_manifests
from curate.storage.store import unavailable

if TYPE_CHECKING:
    from pipelines.train.recipe import Recipe

NEEDED = "samples", "volumes", "slices"
USED = ("objects",)  # of the training studies alone; a place without any does without


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was written."""

    submission: Path
    findings: Path
    studies: int
    models: int
    warnings: tuple[str, ...]


def predict_place(
    place: str, models: Path, output: Path, *, split: str = "test", recipe: Recipe | None = None
) -> Predicted:
    """Answer a split of the store or release at ``place`` with the models of the training run in ``models``.

    ``models``: what ``curate train`` wrote, with or without folds. ``recipe``: the one that was trained, if it is none
    of the ready ones. Writes ``submission.csv`` and ``findings.csv`` into ``output``. Raises ``Misconfigured`` when
    there is no such model, table or split, ``Unavailable`` when the storage refuses.
    """
    from pipelines.recipes.predict import predict
    from pipelines.train.run import place_of, recipe_named

    name, checkpoints = find_models(models)
    try:
        manifests = open_manifests(place, needed=NEEDED, used=USED)
    except FileNotFoundError as error:
        raise Misconfigured(f"{place} is neither a store nor a release: it holds no {error}") from None
    found = predict(recipe or recipe_named(name), place_of(place), manifests, checkpoints, split=split)
    try:
        output.mkdir(parents=True, exist_ok=True)
        found.submission.to_csv(output / "submission.csv", index=False)
        found.findings.to_csv(output / "findings.csv", index=False)
    except OSError as error:
        raise unavailable("write", error) from None
    studies = len(pd.unique(found.submission["row_id"].str.split("_", n=1).str[0]))
    return Predicted(output / "submission.csv", output / "findings.csv", studies, len(checkpoints), found.warnings)


def find_models(models: Path) -> tuple[str, list[dict[str, str]]]:
    """The recipe's name and, of each fold, the checkpoint of every stage, from the ``result.json`` of a run."""
    files = sorted(models.glob("fold-*/result.json")) or [models / "result.json"]
    names, found = set(), []
    for file in files:
        try:
            record = json.loads(file.read_bytes())
            names.add(str(record["task"]))
            found.append({stage["name"]: str(file.parent / stage["checkpoint"]) for stage in record["stages"]})
        except FileNotFoundError:
            raise Misconfigured(f"{models} holds no trained model: `curate train` first") from None
        except (ValueError, KeyError, TypeError):
            raise Misconfigured(f"{models}: a result.json is not one of `curate train`") from None
    if len(names) > 1:
        raise Misconfigured(f"{models}: its folds are of several recipes")
    return names.pop(), found
