"""Train a task's baseline on a store's manifests and score it on the studies that it has not seen."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.errors import Misconfigured
from curate.identity import Json, canonical_json, digest_json
from curate.storage.store import unavailable
from pipelines.recipes.cervical import CERVICAL, CERVICAL_25D, CERVICAL_BASELINE
from pipelines.recipes.lumbar import LUMBAR, LUMBAR_25D, LUMBAR_BASELINE
from pipelines.train.launch import run_on_ray
from pipelines.train.loop import Assignment
from pipelines.train.recipe import Recipe
from pipelines.train.settings import OnStep, StageResult, TrainResult, TrainSettings
from pipelines.train.task import Answers, Sample, Task

_VERSION = 3  # raise it when the same settings and samples would train another model
_RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (CERVICAL_BASELINE, CERVICAL, CERVICAL_25D, LUMBAR_BASELINE, LUMBAR, LUMBAR_25D)
}


def run_training(
    recipe_name: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: Mapping[str, TrainSettings],
    output: Path,
    on_step: OnStep,
) -> TrainResult:
    """See ``pipelines.train.train``."""
    began = time.perf_counter()
    recipe = recipe_named(recipe_name)
    root = str(Path(store_url).resolve()) if "://" not in store_url else store_url
    results: dict[str, StageResult] = {}
    keys: list[str] = []
    for stage in recipe.stages:
        task = stage.make(root, {name: str(result.checkpoint) for name, result in results.items()})
        results[stage.name], held_out, answers = _train_stage(
            stage.name, task, root, manifests, settings[stage.name], output, on_step
        )
        keys = [sample.study_key for sample in held_out]
    submission = output / "submission.csv"
    try:
        recipe.submission(keys, answers).to_csv(submission, index=False)
        stages: list[Json] = [{**one.to_json(), "checkpoint": _within(output, one)} for one in results.values()]
        record: dict[str, Json] = {"task": recipe_name, "stages": stages}
        (output / "result.json").write_bytes(canonical_json(record) + b"\n")
    except OSError as error:
        raise unavailable("write", error) from None
    return TrainResult(recipe_name, tuple(results.values()), submission, time.perf_counter() - began)


def _within(output: Path, result: StageResult) -> str:
    """Where a stage's checkpoint lies in the folder of results: ``curate predict`` finds it by this."""
    return result.checkpoint.relative_to(output.resolve()).as_posix()


def recipe_named(name: str) -> Recipe:
    """The recipe of a task. Raises ``Misconfigured`` when there is none."""
    if name not in _RECIPES:
        raise Misconfigured(f"task: expected {' or '.join(_RECIPES)}, got {name!r}")
    return _RECIPES[name]


def _train_stage(
    name: str,
    task: Task[Any, Any],
    root: str,
    manifests: Mapping[str, pa.Table],
    settings: TrainSettings,
    output: Path,
    on_step: OnStep,
) -> tuple[StageResult, list[Sample], Answers]:
    labelled = [sample for sample in task.samples(manifests) if task.is_labelled(sample)]
    train = [sample for sample in labelled if sample.split == "train"]
    held_out = [sample for sample in labelled if sample.split in ("validation", "test")]
    for split, found in (("train", train), ("validation or test", held_out)):
        if not found:
            raise Misconfigured(f"training needs at least one graded study in the split {split}; there is none")
    digest = task.digest([*train, *held_out])
    constants = task.constants(train)
    assignment = Assignment(task, root, train, held_out, constants, settings, digest)
    answers, checkpoint = run_on_ray(assignment, _run_folder(output, task.name, name, settings, digest), on_step)
    score = task.score(held_out, answers)
    hindsight = np.repeat(task.constants(held_out)[None], len(held_out), axis=0)
    result = StageResult(
        name=name,
        score=score.score,
        constant_score=task.score(held_out, np.repeat(constants[None], len(held_out), axis=0)).score,
        hindsight_score=task.score(held_out, hindsight).score,
        parts=score.parts,
        studies={"train": len(train), "held_out": len(held_out)},
        warnings=task.warnings(labelled),
        checkpoint=checkpoint,
        steps=assignment.steps,
        settings=settings,
        samples_digest=digest,
    )
    return result, held_out, answers


def _run_folder(output: Path, task: str, stage: str, settings: TrainSettings, digest: str) -> Path:
    """A folder of the run's own: the same settings and samples go on where they stopped, others start anew."""
    key = digest_json({"version": _VERSION, "task": task, "settings": settings.to_json(), "samples": digest})
    folder = output.resolve() / "runs" / f"{stage}-{key[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unavailable("write", error) from None
    return folder
