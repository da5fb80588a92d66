"""``curate train``: the recipe of the spec's task."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import console, in_bytes, show_table
from pipelines.cli.options import SpecFile

if TYPE_CHECKING:
    from pipelines.train.rehearsal import Rehearsal

Out = Annotated[
    str | None,
    typer.Option("--out", help="A folder or URL for checkpoints, logs and scores; by default training/ in the store."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say memory and time from a few steps; write nothing.")]


def train(spec: SpecFile, out: Out = None, dry_run: DryRun = False) -> None:
    """Train the recipe on what the run accepted and score it, by the challenge's own metric, on studies held out.

    On Ray Train: gloo on CPUs, nccl on GPUs. Prints a line a step; needs the [train] extra. Interrupted, killed, or
    told to stop by SIGTERM or SIGUSR1 (exit code 75), the same command goes on from the last checkpoint with the very
    next batch.
    """
    from pipelines.spec import read_spec
    from pipelines.training import rehearse_spec, train_spec
    from pipelines.workspace import open_workspace

    read = read_spec(spec)
    if dry_run:
        for rehearsal in rehearse_spec(read, open_workspace(read)):
            _show(rehearsal)
        return
    result = train_spec(read, open_workspace(read), on_report=lambda report: console.print(str(report)), output=out)
    for stage in result.stages:
        console.print(
            f"{stage.name}: score {stage.score:.4f} (lower is better), best constant {stage.constant_score:.4f}"
        )
        for warning in stage.warnings:
            console.print(f"warning: {warning}")
        console.print(f"checkpoint {stage.checkpoint}")
    console.print(f"answers for the held-out studies {result.submission}")


def _show(rehearsal: Rehearsal) -> None:
    show_table(
        f"Stage {rehearsal.stage}: what a rank would take",
        ("", "what"),
        [
            ("parameters", f"{rehearsal.parameters:,}"),
            ("weights", in_bytes(rehearsal.weight_bytes)),
            ("gradients", in_bytes(rehearsal.gradient_bytes)),
            ("optimiser", in_bytes(rehearsal.optimiser_bytes)),
            ("activations of one part of a batch", in_bytes(rehearsal.activation_bytes)),
            ("batch", in_bytes(rehearsal.batch_bytes)),
            ("memory in all", in_bytes(rehearsal.memory_bytes)),
            ("steps", rehearsal.steps),
            (f"a step, on {rehearsal.device}", f"{rehearsal.step_seconds:.3f} s, data wait {rehearsal.wait_share:.0%}"),
            ("the run", f"about {timedelta(seconds=round(rehearsal.seconds))}"),
        ],
    )
