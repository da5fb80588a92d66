"""``curate demo``: everything once, on synthetic data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from curate.errors import Misconfigured
from pipelines.cli.console import console, in_bytes, in_seconds, notes, reasons, show_table
from pipelines.spec import Task

Out = Annotated[Path, typer.Option("--out", help="A new or empty folder for archives, stores and releases.")]
TASKS: tuple[Task, ...] = ("cervical", "lumbar")


def demo(out: Out = Path("curate-demo")) -> None:
    """Make a small multi-site archive for each task, curate it on an embedded Ray, verify the releases, train.

    Ends with a table of what happened. Needs the [train] extra and, on 2 cores, under 3 minutes.
    """
    from cluster.session import start
    from pipelines.demo import show
    from pipelines.watch import Watch

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Misconfigured(f"{out} is not empty; name another folder with --out")
    began = time.monotonic()
    with start() as session:
        shown = {task: show(out, task, session, Watch(notes), notes.print) for task in TASKS}
    rows = [
        ("series in", *(task.balance.series for task in shown.values())),
        ("done", *(task.balance.done for task in shown.values())),
        ("rejected", *(reasons(task.balance.rejected) for task in shown.values())),
        ("quarantined", *(reasons(task.balance.quarantined) for task in shown.values())),
        ("files in no series", *(reasons(task.balance.files_set_apart) for task in shown.values())),
        ("volumes", *(task.balance.volumes for task in shown.values())),
        ("bytes in", *(in_bytes(task.balance.bytes_in) for task in shown.values())),
        ("bytes out", *(in_bytes(task.balance.bytes_out) for task in shown.values())),
        ("release", *("verified, nothing is wrong" for _ in shown)),
        ("score on held-out studies", *(f"{task.trained.final.score:.4f}" for task in shown.values())),
        ("best constant (lower is better)", *(f"{task.trained.final.constant_score:.4f}" for task in shown.values())),
    ]
    stages = list(shown["cervical"].seconds)
    rows += [(f"seconds: {stage}", *(f"{task.seconds[stage]:.1f}" for task in shown.values())) for stage in stages]
    show_table("What happened", ("", *shown), rows)
    for task in shown.values():
        console.print(f"store {task.store}\nrelease {task.release}")
    console.print(f"all of it in {in_seconds(time.monotonic() - began)}; next: curate status {shown['cervical'].store}")
