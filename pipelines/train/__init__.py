"""Train a small baseline on what was curated, to show that it can be learned from. Needs the ``[train]`` extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from curate.errors import Misconfigured
from pipelines.train.settings import OnStep, Step, TrainResult, TrainSettings

__all__ = ["Step", "TrainResult", "TrainSettings", "train"]


def train(
    task: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: TrainSettings | None = None,
    *,
    output: Path,
    on_step: OnStep = lambda step: None,
) -> TrainResult:
    """Train on the split ``train``, score on ``validation`` and ``test`` together, and write both to ``output``.

    ``task``: cervical | lumbar. ``store_url``: store or release that the volumes' uris are relative to. ``manifests``:
    the tables ``samples``, ``volumes``, ``objects`` and, for cervical, ``boxes`` by these names. ``on_step`` is called
    with each optimiser step, in this thread. Ray may run already; if not, an embedded one is started and stopped.

    ``output`` gets ``result.json``, ``submission.csv`` (the answers for the held-out studies) and ``runs/``
    (checkpoints; the same call goes on from the last one). Raises ``Misconfigured`` when torch is not installed, for
    another task, and when a split is empty; ``Unavailable`` when storage refuses or a worker dies.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise Misconfigured("training needs torch: pip install 'spine-curate[train]'") from None
    del torch
    from pipelines.train.run import run_training

    return run_training(task, store_url, manifests, settings or TrainSettings(), output, on_step)
