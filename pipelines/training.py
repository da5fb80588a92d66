"""From a spec to a trained recipe: the manifests of its store in, checkpoints and a score out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.errors import Misconfigured
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
    name = recipe_of(spec)

    def one(own: Mapping[str, pa.Table], output: Path | str, logs: Path | None) -> TrainResult:
        return train(name, workspace.store.url, own, spec.train, output=output, on_report=on_report, logs=logs)

    if not spec.train.folds:
        return one(manifests, place, logs)
    if is_url(place):
        raise Misconfigured("train.folds: folds are written to files: name a folder for them with --out")
    from pipelines.recipes.folds import train_folds

    folder = Path(place)
    found = train_folds(
        lambda own, fold: one(own, fold, fold / "logs"),
        manifests,
        folder,
        folds=spec.train.folds,
        salt=spec.split.salt,
    )
    return found.results[-1]


def recipe_of(spec: Spec) -> str:
    """The name of the recipe that a spec asks for."""
    return spec.task if spec.train.recipe == "crops" else f"{spec.task}-{spec.train.recipe}"


def rehearse_spec(spec: Spec, workspace: Workspace) -> list[Rehearsal]:
    """What training would take, stage by stage, from a few timed steps; writes nothing."""
    return rehearse(recipe_of(spec), workspace.store.url, read_manifests(spec, workspace), spec.train)
