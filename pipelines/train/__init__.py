"""Train the recipe of a task on what was curated. Needs the ``[train]`` extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.errors import Misconfigured
from pipelines.train.reports import Began, Evaluation, OnReport, Report, Step
from pipelines.train.settings import StagedSettings, StageResult, TrainResult, TrainSettings

if TYPE_CHECKING:
    from pipelines.train.rehearsal import Rehearsal

__all__ = [
    "Began",
    "Evaluation",
    "Report",
    "StageResult",
    "StagedSettings",
    "Step",
    "TrainResult",
    "TrainSettings",
    "rehearse",
    "train",
]


def train(
    task: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: TrainSettings | StagedSettings | None = None,
    *,
    output: Path | str,
    on_report: OnReport = lambda report: None,
    logs: Path | None = None,
) -> TrainResult:
    """Train on the split ``train``, score on ``validation`` and ``test`` together, and write both to ``output``.

    ``task``: cervical | lumbar. ``store_url``: store or release that the volumes' uris are relative to. ``manifests``:
    the tables ``samples``, ``volumes``, ``objects`` and, for cervical, ``boxes`` by these names. ``on_report`` is
    called with each report, in this thread. ``logs``: a folder for TensorBoard, MLflow and lines of JSON. Ray may run
    already; if not, an embedded one is started and stopped.

    ``output``, a folder or the URL of a place in an object store, gets ``result.json``, ``submission.csv`` (the answers
    for the held-out studies) and ``runs/`` (checkpoints; the same call goes on from the last one). Raises
    ``Misconfigured`` when torch is not installed, for another task, and when a split is empty; ``Unavailable`` when
    storage refuses or workers are lost; ``cluster.drain.Drained`` after SIGTERM or SIGUSR1.
    """
    _need_torch()
    from pipelines.train.run import run_training

    return run_training(task, store_url, manifests, _staged(settings), output, on_report, logs)


def rehearse(
    task: str,
    store_url: str,
    manifests: Mapping[str, pa.Table],
    settings: TrainSettings | StagedSettings | None = None,
) -> list[Rehearsal]:
    """What ``train`` would take, stage by stage, from a few steps of one rank in this process. Writes nothing."""
    _need_torch()
    from pipelines.train.rehearsal import rehearse_stages

    return rehearse_stages(task, store_url, manifests, _staged(settings))


def _staged(settings: TrainSettings | StagedSettings | None) -> StagedSettings:
    if isinstance(settings, StagedSettings):
        return settings
    return StagedSettings() if settings is None else StagedSettings(**settings.model_dump(exclude_unset=True))


def _need_torch() -> None:
    try:
        import torch
    except ModuleNotFoundError:
        raise Misconfigured("training needs torch: pip install 'spine-curate[train]'") from None
    del torch
