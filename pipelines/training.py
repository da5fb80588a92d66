"""From a spec to a trained recipe: the manifests of its store in, checkpoints and a score out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.storage import is_url
from pipelines.join import read_manifests
from pipelines.spec import Spec
from pipelines.train import TrainResult, rehearse, train
from pipelines.train.reports import OnReport
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.train.rehearsal import Rehearsal

FOLDER = "training"


def train_spec(
    spec: Spec,
    workspace: Workspace,
    on_report: OnReport = lambda report: None,
    *,
    output: Path | str | None = None,
) -> TrainResult:
    """Train as the spec says; results go to ``output``, a folder or URL, by default ``<store>/training``.

    Logs go to ``logs/`` there; in a bucket there are none, since they grow by lines. Raises ``Misconfigured`` when no
    run has finished or torch is not installed, and what ``train`` raises.
    """
    manifests = read_manifests(spec, workspace)
    place = output or f"{workspace.store.url}/{FOLDER}"
    logs = None if is_url(place) else Path(place) / "logs"
    return train(spec.task, workspace.store.url, manifests, spec.train, output=place, on_report=on_report, logs=logs)


def rehearse_spec(spec: Spec, workspace: Workspace) -> list[Rehearsal]:
    """What training would take, stage by stage, from a few timed steps; writes nothing."""
    return rehearse(spec.task, workspace.store.url, read_manifests(spec, workspace), spec.train)
