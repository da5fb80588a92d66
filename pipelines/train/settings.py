"""What a training run is asked to do, and what it comes to. Needs neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.identity import Json

# What changes nothing about the trained model but rounding: a run goes on when these change, others start anew.
_HOW = {
    "workers",
    "accumulate",
    "strategy",
    "threads",
    "cache_gigabytes",
    "checkpoint_steps",
    "report_steps",
    "max_failures",
}


class TrainSettings(BaseModel):
    """``batch_size`` counts the studies of one optimiser step, over all workers. ``workers``: ranks of the process
    group.

    ``accumulate``: into how many parts a rank cuts its share of a batch, one through the model at a time: less memory,
    the same step. ``strategy``: ddp keeps all of the model on every rank; fsdp shares weights, gradients and the
    optimiser out. ``precision``: bf16 | fp32; auto is bf16 on CUDA, fp32 elsewhere. ``clip``: the largest norm of the
    gradient. ``warm_up``: share of the steps in which the learning rate rises, before it falls as a cosine.
    ``order``: "shuffled"; "balanced" lets every class of the task come equally often, rare ones by coming back, so that
    what is answered is of a world where they are as frequent; "windowed" keeps the visits of a study near each other,
    for volumes in a bucket: of ``window`` studies at a time. ``visits``: how often an epoch visits a study (balanced:
    on average), each time with another augmentation. ``cache_gigabytes``: of a node's disk for volumes of a bucket,
    shared by its ranks; None: 20 for a bucket, or half of what is free if that is less.
    ``evaluate_epochs``: how often the validation split is scored and a checkpoint made; by default four times a run, or
    every epoch where ``patience`` counts. ``checkpoint_steps``: checkpoints besides, by optimiser steps. ``patience``:
    stop after so many evaluations without a better one; 0 never stops early. ``select``: which weights answer.
    ``max_failures``: how many times the ranks are started again after one was lost. ``threads``: that read ahead on
    every rank. ``deterministic``: only algorithms that repeat themselves (on CUDA slower, and some networks have none).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=4, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0.0, lt=1.0)
    warm_up: float = Field(default=0.2, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.02, ge=0.0, lt=1.0)
    clip: float = Field(default=1.0, gt=0.0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    strategy: Literal["ddp", "fsdp"] = "ddp"
    workers: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=0)
    order: Literal["shuffled", "balanced", "windowed"] = "shuffled"
    window: int = Field(default=16, ge=1)
    visits: int = Field(default=1, ge=1)
    cache_gigabytes: float | None = Field(default=None, ge=0.0)
    seed: int = 0
    evaluate_epochs: int | None = Field(default=None, ge=1)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    report_steps: int = Field(default=1, ge=1)
    patience: int = Field(default=0, ge=0)
    select: Literal["last", "best"] = "last"
    max_failures: int = Field(default=2, ge=0)
    deterministic: bool = False

    @property
    def evaluates_every(self) -> int:
        """Epochs from one evaluation to the next."""
        return self.evaluate_epochs or (1 if self.patience else -(-self.epochs // 4))

    def to_json(self) -> dict[str, Json]:
        return self.model_dump()

    def identity(self) -> dict[str, Json]:
        """What makes it this run and no other: all but how the work is cut."""
        return {name: value for name, value in self.to_json().items() if name not in _HOW}


class StagedSettings(TrainSettings):
    """For all stages of a recipe, and under ``stages`` by name what one of them has otherwise.

    ``recipe``: "crops" judges crops at labelled or mean places; "located" finds the places first; "2.5d" too, and has
    the networks and crops of winners, for a GPU. ``folds``: of out-of-fold predictions; 0 trains one model on the split
    train.
    """

    recipe: Literal["crops", "located", "2.5d"] = "crops"
    folds: int = Field(default=0, ge=0, le=20)

    stages: dict[str, TrainSettings] = Field(default_factory=dict)

    def of(self, stage: str, defaults: Mapping[str, Json]) -> TrainSettings:
        """What counts, the first that says it: the stage's own, the one for all, ``defaults``, those of the class."""
        own = self.stages.get(stage, TrainSettings())
        common = self.model_dump(include=self.model_fields_set - {"stages", "recipe", "folds"})
        return TrainSettings.model_validate({**defaults, **common, **own.model_dump(include=own.model_fields_set)})


@dataclass(frozen=True, slots=True)
class StageResult:
    """How one trained model does on the studies it has not seen (splits validation and test together).

    ``score``: the task's number, lower is better. ``constant_score``: the same for the best answer that looks at no
    image, fitted on the training studies. ``hindsight_score``: the same, fitted on the held-out studies themselves: no
    constant of its kind can do better. ``parts``: what ``score`` is made of. ``checkpoint``: where the model lies that
    answered, as ``checkpoint.load_weights`` takes it. ``steps``: after how many it was made.
    """

    name: str
    score: float
    constant_score: float
    hindsight_score: float
    parts: Mapping[str, float]
    studies: Mapping[str, int]  # trained on, scored
    warnings: tuple[str, ...]
    checkpoint: str
    weights_digest: str
    steps: int
    settings: TrainSettings
    samples_digest: str

    @property
    def has_learned(self) -> bool:
        """Whether the model beats every constant."""
        return self.score < min(self.constant_score, self.hindsight_score)

    def to_json(self) -> dict[str, Json]:
        """No clock and no paths, so that equal runs give equal bytes."""
        return {
            "name": self.name,
            "score": self.score,
            "constant_score": self.constant_score,
            "hindsight_score": self.hindsight_score,
            "parts": dict(self.parts),
            "studies": dict(self.studies),
            "warnings": list(self.warnings),
            "weights_digest": self.weights_digest,
            "steps": self.steps,
            "settings": self.settings.to_json(),
            "samples_digest": self.samples_digest,
        }


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What the stages of a recipe came to. ``submission``: the last one's answers for the held-out studies, in the
    challenge's schema: a path or URL."""

    task: str
    stages: tuple[StageResult, ...]
    submission: str
    seconds: float

    @property
    def final(self) -> StageResult:
        """The last stage: the one that answers the challenge."""
        return self.stages[-1]
