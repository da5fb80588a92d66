"""Train the stages of a recipe in this process, without Ray, in seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from pipelines.train.checkpoint import Checkpoints
from pipelines.train.loop import train_rank
from pipelines.train.parallel import Ranks
from pipelines.train.recipe import Recipe
from pipelines.train.reports import Step
from pipelines.train.run import assign
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Score


def train_task(
    task: Any, root: Path, manifests: Mapping[str, pa.Table], settings: TrainSettings, folder: Path
) -> tuple[Path, list[Step], Score, Score]:
    """Last checkpoint, steps, the score on what was held out, and that of the constant."""
    torch.set_num_threads(1)
    steps: list[Step] = []

    def tell(report: object) -> bool:
        if isinstance(report, Step):
            steps.append(report)
        return False

    assignment = assign(task, str(root), manifests, settings, str(folder), task.name)
    outcome = train_rank(assignment, Ranks(), tell)
    assert outcome.answers is not None
    held_out, constants = assignment.held_out, assignment.constants
    constant = task.score(held_out, constants[None].repeat(len(held_out), axis=0))
    checkpoint = Path(Checkpoints(assignment.place).place_of(outcome.step))
    return checkpoint, steps, task.score(held_out, outcome.answers), constant


def train_recipe(
    recipe: Recipe, root: Path, manifests: Mapping[str, pa.Table], settings: Mapping[str, TrainSettings], folder: Path
) -> tuple[dict[str, str], dict[str, list[Step]], dict[str, Score], Score]:
    """Checkpoint, steps and score of each stage, and the last one's constant; leaves ``result.json`` as a run does."""
    checkpoints: dict[str, str] = {}
    steps, scores = {}, {}
    for stage in recipe.stages:
        task = stage.make(str(root), checkpoints)
        made, told, score, constant = train_task(task, root, manifests, settings[stage.name], folder / stage.name)
        checkpoints[stage.name], steps[stage.name], scores[stage.name] = str(made), told, score
    stages = [{"name": name, "checkpoint": str(Path(path).relative_to(folder))} for name, path in checkpoints.items()]
    (folder / "result.json").write_text(json.dumps({"task": recipe.name, "stages": stages}))
    return checkpoints, steps, scores, constant
