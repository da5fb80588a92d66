"""What a run says of itself while it goes, as rank 0 sees it: one line each. Clocks live here, never in results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Began:
    """The ranks have started, or started again, after ``step`` steps."""

    step: int
    steps: int

    def __str__(self) -> str:
        return f"goes on after step {self.step}/{self.steps}" if self.step else f"begins: {self.steps} steps"


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step; rates and times are of the steps since the last report.

    ``loss``: the first term (the challenge's) over the global batch. ``seconds``: a step took. ``wait_share``: how much
    of that rank 0 waited for data, 0..1.
    """

    step: int  # counted from 1
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    studies_per_second: float
    seconds: float
    wait_share: float

    def __str__(self) -> str:
        return (
            f"step {self.step}/{self.steps}  epoch {self.epoch + 1}  loss {self.loss:.4f}  "
            f"lr {self.learning_rate:.2e}  {self.studies_per_second:.1f} studies/s  {self.seconds:.3f} s/step  "
            f"data wait {self.wait_share:.1%}"
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The validation split, scored by the task's own metric; lower is better."""

    step: int
    epoch: int
    score: float
    parts: Mapping[str, float]
    is_best: bool

    def __str__(self) -> str:
        return f"validation after epoch {self.epoch}: {self.score:.4f}{' (best)' if self.is_best else ''}"


Report: TypeAlias = Began | Step | Evaluation
OnReport: TypeAlias = Callable[[Report], None]
