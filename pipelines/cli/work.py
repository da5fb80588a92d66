"""``curate work``: one share of a plan, for the jobs of an array."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.console import console
from pipelines.cli.exits import EXIT_AGAIN, leave
from pipelines.cli.options import SpecFile, Workers
from pipelines.cli.working import working

Shard = Annotated[str, typer.Option(help="Which share of how many, counted from 0.", metavar="NUMBER/COUNT")]


def work(spec: SpecFile, shard: Shard = "0/1", workers: Workers = None) -> None:
    """Settle one share of a plan in processes of this machine, without Ray: what a job of a Slurm array runs.

    First `curate plan SPEC`, once; then `curate work SPEC --shard N/COUNT` for every N from 0, anywhere that sees the
    store, in any order, as often as it takes; then `curate run SPEC`, which finds all settled and writes the
    manifests. The bytes are those of one `curate run`.
    """
    from pipelines.share import Share, work_share

    share = Share.parse(shard)
    with working(spec, "processes", None, workers) as opened:
        worked = work_share(opened.spec, opened.workspace, opened.executor, opened.watch, share)
    console.print(f"share {shard}: {worked.units - worked.too_large_here} units settled")
    if worked.too_large_here:
        leave(
            f"{worked.too_large_here} units need more memory than this machine has: run it on a larger one", EXIT_AGAIN
        )
