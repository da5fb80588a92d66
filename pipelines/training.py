"""From a spec to a trained baseline: the manifests of its store in, a checkpoint and a score out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from curate.errors import Misconfigured
from curate.storage import is_url
from pipelines.join import read_manifests
from pipelines.spec import Spec
from pipelines.train import Step, TrainResult, TrainSettings, train
from pipelines.workspace import Workspace

FOLDER = "training"


def train_spec(
    spec: Spec,
    workspace: Workspace,
    on_step: Callable[[Step], None] = lambda step: None,
    *,
    output: Path | None = None,
) -> TrainResult:
    """Train as the spec says; results go to the folder ``output``, by default ``<store>/training``.

    Raises ``Misconfigured`` when no run has finished, torch is not installed, or the store is in a bucket and no folder
    is named: checkpoints are files.
    """
    if output is None and is_url(workspace.store.url):
        raise Misconfigured("training writes files: name a folder for them with --out, since the store is in a bucket")
    manifests = read_manifests(spec, workspace)
    return train(
        spec.task,
        workspace.store.url,
        manifests,
        TrainSettings(**spec.train.model_dump()),
        output=output or Path(workspace.store.url, FOLDER),
        on_step=on_step,
    )
