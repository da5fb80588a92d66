"""In which order a run visits its samples: what the settings name, over what is known without reading anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curate.loading.order import Order, Shuffled
from curate.loading.orders import Balanced, Windowed
from pipelines.train.settings import TrainSettings
from pipelines.train.task import Sample, Task


def order_of(settings: TrainSettings, task: Task[Any, Any], samples: Sequence[Sample]) -> Order:
    """The order that the settings ask for: a pure function of (seed, epoch), the same on every rank."""
    if settings.order == "balanced":
        return Balanced(task.classes(samples), length=len(samples) * settings.visits)
    if settings.order == "windowed":
        return Windowed([sample.study_key for sample in samples], settings.window, settings.visits)
    if settings.visits == 1:
        return Shuffled(len(samples))
    return Windowed([sample.study_key for sample in samples], len(samples), settings.visits)
