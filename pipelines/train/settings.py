"""What a training run is asked to do, and what it gives back. Needs neither torch nor Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from curate.errors import Misconfigured
from curate.identity import Json


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """``batch_size`` counts studies over all workers. ``workers``: ranks of the process group.

    Raises ``Misconfigured`` for a number that cannot be.
    """

    epochs: int = 30
    batch_size: int = 4
    learning_rate: float = 4e-3
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "workers"):
            if getattr(self, name) < 1:
                raise Misconfigured(f"train.{name}: expected at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise Misconfigured(f"train.learning_rate: expected above 0 and below 1, got {self.learning_rate}")

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step, as rank 0 saw it. ``loss``: the challenge's loss over the global batch."""

    step: int  # counted from 1
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    studies_per_second: float

    def __str__(self) -> str:
        return (
            f"step {self.step}/{self.steps}  epoch {self.epoch + 1}  loss {self.loss:.4f}  "
            f"lr {self.learning_rate:.2e}  {self.studies_per_second:.1f} studies/s"
        )


OnStep: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class StageResult:
    """How one trained model does on the studies it has not seen (splits validation and test together).

    ``score``: the task's number, lower is better. ``constant_score``: the same for the best answer that looks at no
    image, fitted on the training studies. ``hindsight_score``: the same, fitted on the held-out studies themselves: no
    constant of its kind can do better. ``parts``: what ``score`` is made of.
    """

    name: str
    score: float
    constant_score: float
    hindsight_score: float
    parts: Mapping[str, float]
    studies: Mapping[str, int]  # trained on, scored
    warnings: tuple[str, ...]
    checkpoint: Path
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
            "steps": self.steps,
            "settings": self.settings.to_json(),
            "samples_digest": self.samples_digest,
        }


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What the stages of a recipe came to. ``submission``: the last one's answers for the held-out studies."""

    task: str
    stages: tuple[StageResult, ...]
    submission: Path
    seconds: float

    @property
    def final(self) -> StageResult:
        """The last stage: the one that answers the challenge."""
        return self.stages[-1]
