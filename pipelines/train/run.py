"""Train the stages of a recipe one after the other on a store's manifests; score each on studies it has not seen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.errors import Misconfigured
from curate.identity import Json, canonical_json, digest_json
from curate.storage import is_url, open_store
from pipelines.recipes.cervical import CERVICAL, CERVICAL_25D, CERVICAL_BASELINE
from pipelines.recipes.lumbar import LUMBAR, LUMBAR_25D, LUMBAR_BASELINE
from pipelines.train.checkpoint import Checkpoints, read_record
from pipelines.train.launch import run_on_ray
from pipelines.train.logs import logging_to
from pipelines.train.loop import Assignment
from pipelines.train.recipe import Recipe
from pipelines.train.reports import OnReport, Report
from pipelines.train.settings import StagedSettings, StageResult, TrainResult, TrainSettings
from pipelines.train.task import Answers, Task

_VERSION = 4  # raise it when the same settings and samples would train another model
_RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (CERVICAL_BASELINE, CERVICAL, CERVICAL_25D, LUMBAR_BASELINE, LUMBAR, LUMBAR_25D)
}


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where a recipe is trained. ``output``: folder or URL for checkpoints and results; ``logs``: a folder, or none."""

    recipe: Recipe
    root: str
    manifests: Mapping[str, pa.Table]
    output: str
    logs: Path | None
    on_report: OnReport


def run_training(
    recipe_name: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: StagedSettings,
    output: Path | str,
    on_report: OnReport,
    logs: Path | None,
) -> TrainResult:
    """See ``pipelines.train.train``."""
    began = time.perf_counter()
    recipe = recipe_named(recipe_name)
    by_stage = stage_settings(recipe, settings)
    store = open_store(output if is_url(output) else Path(output).resolve())
    shop = Workshop(recipe, place_of(store_url), manifests, store.url, logs, on_report)
    results: list[StageResult] = []
    for stage in recipe.stages:
        task = stage.make(shop.root, {result.name: result.checkpoint for result in results})
        result, keys, answers = _train_stage(shop, stage.name, task, by_stage[stage.name])
        results.append(result)
    submission = recipe.submission(keys, answers).to_csv(index=False)
    store.put("submission.csv", submission.encode())
    stages: list[Json] = [
        {**result.to_json(), "checkpoint": result.checkpoint.removeprefix(f"{store.url}/")} for result in results
    ]
    record: dict[str, Json] = {"task": recipe_name, "stages": stages}
    store.put("result.json", canonical_json(record) + b"\n")
    return TrainResult(recipe_name, tuple(results), f"{store.url}/submission.csv", time.perf_counter() - began)


def recipe_named(name: str) -> Recipe:
    """The recipe of a task. Raises ``Misconfigured`` when there is none."""
    if name not in _RECIPES:
        raise Misconfigured(f"task: expected {' or '.join(_RECIPES)}, got {name!r}")
    return _RECIPES[name]


def stage_settings(recipe: Recipe, settings: StagedSettings) -> dict[str, TrainSettings]:
    """What each stage is trained with. Raises ``Misconfigured`` for settings of a stage that there is not."""
    names = [stage.name for stage in recipe.stages]
    if unknown := sorted(set(settings.stages) - set(names)):
        raise Misconfigured(f"train.stages.{unknown[0]}: expected {' or '.join(names)}")
    return {stage.name: settings.of(stage.name, stage.settings) for stage in recipe.stages}


def assign(
    task: Task[Any, Any], root: str, manifests: Mapping[str, pa.Table], settings: TrainSettings, runs: str, stage: str
) -> Assignment:
    """What the ranks of a stage need to know. ``runs``: folder or URL below which the run has its place.

    Raises ``Misconfigured`` when there is nothing to train on or to score.
    """
    labelled = [sample for sample in task.samples(manifests) if task.is_labelled(sample)]
    train = [sample for sample in labelled if sample.split == "train"]
    held_out = [sample for sample in labelled if sample.split in ("validation", "test")]
    for split, found in (("train", train), ("validation or test", held_out)):
        if not found:
            raise Misconfigured(f"training needs at least one graded study in the split {split}; there is none")
    digest = task.digest([*train, *held_out])
    # a place of the run's own: the same settings and samples go on where they stopped, others start anew
    run: dict[str, Json] = {"version": _VERSION, "task": task.name, "settings": settings.identity(), "samples": digest}
    place = f"{runs}/{stage}-{digest_json(run)[:16]}"
    return Assignment(task, root, train, held_out, task.constants(train), settings, digest, place)


def place_of(url: str) -> str:
    """A URL, or a folder by its whole path."""
    return url if is_url(url) else str(Path(url).resolve())


def _train_stage(
    shop: Workshop, name: str, task: Task[Any, Any], settings: TrainSettings
) -> tuple[StageResult, list[str], Answers]:
    assignment = assign(task, shop.root, shop.manifests, settings, f"{shop.output}/runs", name)
    run = assignment.place.rpartition("/")[2]
    with logging_to(shop.logs, recipe=shop.recipe.name, run=run, settings=settings) as log:

        def tell(report: Report) -> None:
            log(report)
            shop.on_report(report)

        outcome = run_on_ray(assignment, tell)
    if outcome.answers is None:
        raise RuntimeError("a run that was not told to leave answers")
    held_out = assignment.held_out
    score = task.score(held_out, outcome.answers)

    def constant(fitted: Any) -> float:
        return task.score(held_out, np.repeat(fitted[None], len(held_out), axis=0)).score

    checkpoint = Checkpoints(assignment.place).place_of(outcome.step)
    result = StageResult(
        name=name,
        score=score.score,
        constant_score=constant(assignment.constants),
        hindsight_score=constant(task.constants(held_out)),
        parts=score.parts,
        studies={"train": len(assignment.train), "held_out": len(held_out)},
        warnings=task.warnings([*assignment.train, *held_out]),
        checkpoint=checkpoint,
        weights_digest=read_record(checkpoint).weights_digest,
        steps=outcome.step,
        settings=settings,
        samples_digest=assignment.manifest_digest,
    )
    return result, [sample.study_key for sample in held_out], outcome.answers
