"""Train a small baseline on what was curated, to show that it can be learned from. Needs the ``[train]`` extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from curate.errors import Misconfigured
from pipelines.train.settings import OnStep, StageResult, Step, TrainResult, TrainSettings

__all__ = ["StageResult", "Step", "TrainResult", "TrainSettings", "train"]


def train(
    task: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: TrainSettings | Mapping[str, TrainSettings] | None = None,
    *,
    output: Path,
    on_step: OnStep = lambda step: None,
) -> TrainResult:
    """Train on the split ``train``, score on ``validation`` and ``test`` together, and write both to ``output``.

    ``task``: cervical | lumbar. ``store_url``: store or release that the volumes' uris are relative to. ``manifests``:
    the tables ``samples``, ``volumes``, ``objects`` and, for cervical, ``boxes`` by these names. ``settings``: for all
    stages of the recipe alike, or by the name of the stage. ``on_step`` is called with each optimiser step, in this
    thread. Ray may run already; if not, an embedded one is started and stopped.

    ``output`` gets ``result.json``, ``submission.csv`` (the answers for the held-out studies) and ``runs/``
    (checkpoints; the same call goes on from the last one). Raises ``Misconfigured`` when torch is not installed, for
    another task, and when a split is empty; ``Unavailable`` when storage refuses or a worker dies.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise Misconfigured("training needs torch: pip install 'spine-curate[train]'") from None
    del torch
    from pipelines.train.run import recipe_named, run_training

    if not isinstance(settings, Mapping):
        alike = settings or TrainSettings()
        settings = {stage.name: alike for stage in recipe_named(task).stages}
    return run_training(task, store_url, manifests, settings, output, on_step)
