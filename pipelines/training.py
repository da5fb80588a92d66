"""From a spec to a trained baseline: the manifests of its store in, a checkpoint and a score out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.join import read_manifests
from pipelines.spec import Spec
from pipelines.train import Step, TrainResult, TrainSettings, train
from pipelines.workspace import Workspace

FOLDER = "training"


def train_spec(spec: Spec, workspace: Workspace, on_step: Callable[[Step], None] = lambda step: None) -> TrainResult:
    """Train as the spec says; results go to ``<store>/training``.

    Raises ``Misconfigured`` when no run has finished or torch is not installed.
    """
    manifests = read_manifests(spec, workspace)
    return train(
        spec.task,
        workspace.store.url,
        manifests,
        TrainSettings(**spec.train.model_dump()),
        output=Path(workspace.store.url, FOLDER),
        on_step=on_step,
    )
