"""``curate run``: do what the spec says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import console, in_bytes, reasons, show_balance, show_table
from pipelines.cli.exits import EXIT_AGAIN, leave
from pipelines.cli.options import Address, ExecutorName, SpecFile, Workers
from pipelines.cli.working import working

if TYPE_CHECKING:
    from pipelines.selection import Selection

Retry = Annotated[
    bool, typer.Option("--retry-quarantined", help="Try quarantined series again; the best outcome counts.")
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="With --retry-quarantined: only this reason; may be given again.")
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="SERIES", help="Only this series, by its key or a beginning; may be given again."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what is left to do by the last plan; do and write nothing.")
]


def _say_what_is_left(path: Path, selection: Selection) -> None:
    from pipelines.leftover import what_is_left
    from pipelines.spec import read_spec
    from pipelines.workspace import open_workspace

    spec = read_spec(path)
    left = what_is_left(spec, open_workspace(spec), selection)
    show_table(
        f"What a run of {spec.name} would try, by its last plan",
        ("", "what"),
        [
            ("series in the archives", left.series),
            ("settled", left.settled),
            ("to try", f"{left.tried} series in {left.units} units, {in_bytes(left.bytes)} to read"),
            ("of them tried before", reasons(left.before)),
            ("not asked for", left.untried),
            ("too large for any lane", left.too_large),
        ],
    )
    console.print("headers are not read again: what changed in the archives since the plan is not in it")


def run(
    spec: SpecFile,
    executor: ExecutorName = None,
    address: Address = None,
    workers: Workers = None,
    retry_quarantined: Retry = False,
    reason: Reasons = None,
    only: Only = None,
    dry_run: DryRun = False,
) -> None:
    """Curate the archives of a spec: de-identified DICOM, volumes, labels in the volume, manifests.

    Does what no earlier run has done. Stopped by Ctrl-C or a crash, the same command goes on and ends with the same
    bytes. Nothing is lost: series in = done + rejected + quarantined, each with its reason. With --only the others are
    counted as not yet tried, and the exit code is 75 while there are any.
    """
    from pipelines.run import run as run_spec
    from pipelines.selection import select

    selection = select(retry=retry_quarantined, reasons=reason or (), only=only or ())
    if dry_run:
        _say_what_is_left(spec, selection)
        return
    with working(spec, executor, address, workers) as work:
        balance = run_spec(work.spec, work.workspace, work.executor, work.watch, selection)
    show_balance(balance)
    console.print(f"store {work.workspace.store.url}; `curate failures {work.workspace.store.url}` names what failed")
    if balance.untried:
        leave(f"not finished: {balance.untried} series are not yet tried", EXIT_AGAIN)
