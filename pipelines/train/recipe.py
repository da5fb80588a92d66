"""A recipe: the tasks that are trained one after the other, by the same loop, and what the last one answers.

A later stage may use an earlier one's model: a classifier reads its crops where the locator found the vertebrae.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from curate.identity import Json
from pipelines.train.task import Answers, Task

MakeTask = Callable[[str, Mapping[str, str]], Task[Any, Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One task of a recipe.

    ``make(root, checkpoints)`` gives the task. ``root``: URL of the store that the manifests' uris are relative to.
    ``checkpoints``: for each earlier stage, where its trained model lies (``checkpoint.load_weights`` reads it from a
    folder or an object store); read what is needed there and then, the ranks may run elsewhere. ``settings``: what this
    stage has in place of the defaults of ``TrainSettings``.
    """

    name: str
    make: MakeTask
    settings: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """``submission(study keys, answers of the last stage)``: a table in the challenge's long schema."""

    name: str
    stages: tuple[Stage, ...]
    submission: Callable[[Sequence[str], Answers], pd.DataFrame]
