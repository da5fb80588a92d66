"""Train the stages of a recipe in this process, without Ray, in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from curate.loading import State
from pipelines.train.loop import Assignment, Rank, train_rank
from pipelines.train.recipe import Recipe
from pipelines.train.settings import Step, TrainSettings
from pipelines.train.task import Answers, Score


def train_task(
    task: Any, root: Path, manifests: Mapping[str, pa.Table], settings: TrainSettings, folder: Path
) -> tuple[Path, list[Step], Answers, Score, Score]:
    """Last checkpoint, steps, answers for what was held out, their score, and that of the constant."""
    torch.set_num_threads(1)
    labelled = [sample for sample in task.samples(manifests) if task.is_labelled(sample)]
    train = [sample for sample in labelled if sample.split == "train"]
    held_out = [sample for sample in labelled if sample.split != "train"]
    saved: list[Path] = []
    steps: list[Step] = []

    def save(made: Path | None, state: State, *_: Any) -> None:
        assert made is not None
        saved.append(folder / f"{task.name}-{state.epoch}")
        shutil.copytree(made, saved[-1], dirs_exist_ok=True)

    constants = task.constants(train)
    assignment = Assignment(task, str(root), train, held_out, constants, settings, "digest")
    own = Rank(0, 1, torch.device("cpu"), lambda model: model, steps.append, save, None)
    answers = train_rank(assignment, own)
    constant = task.score(held_out, constants[None].repeat(len(held_out), axis=0))
    return saved[-1], steps, answers, task.score(held_out, answers), constant


def train_recipe(
    recipe: Recipe, root: Path, manifests: Mapping[str, pa.Table], settings: Mapping[str, TrainSettings], folder: Path
) -> tuple[dict[str, str], dict[str, list[Step]], dict[str, Score], Score]:
    """Checkpoint, steps and score of each stage, and the last one's constant; leaves ``result.json`` as a run does."""
    checkpoints: dict[str, str] = {}
    steps, scores = {}, {}
    for stage in recipe.stages:
        task = stage.make(str(root), checkpoints)
        made = train_task(task, root, manifests, settings[stage.name], folder / stage.name)
        checkpoints[stage.name], steps[stage.name], scores[stage.name], constant = (
            str(made[0]),
            made[1],
            made[3],
            made[4],
        )
    stages = [{"name": name, "checkpoint": str(Path(path).relative_to(folder))} for name, path in checkpoints.items()]
    (folder / "result.json").write_text(json.dumps({"task": recipe.name, "stages": stages}))
    return checkpoints, steps, scores, constant
