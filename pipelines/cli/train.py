"""``curate train``: the baseline of the spec's task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import console
from pipelines.cli.options import SpecFile

Out = Annotated[
    Path | None, typer.Option("--out", help="A folder for checkpoints and scores; by default training/ in the store.")
]


def train(spec: SpecFile, out: Out = None) -> None:
    """Train the baseline on what the run accepted and score it, by the challenge's own metric, on studies held out.

    Data parallel on Ray Train: gloo on CPUs, nccl on GPUs. Prints a line a step; needs the [train] extra.
    """
    from pipelines.spec import read_spec
    from pipelines.training import train_spec
    from pipelines.workspace import open_workspace

    read = read_spec(spec)
    result = train_spec(read, open_workspace(read), on_step=lambda step: console.print(str(step)), output=out)
    console.print(f"score {result.final.score:.4f} (lower is better), best constant {result.final.constant_score:.4f}")
    for stage in result.stages:
        for warning in stage.warnings:
            console.print(f"warning: {stage.name}: {warning}")
        console.print(f"checkpoint of {stage.name} {stage.checkpoint}")
