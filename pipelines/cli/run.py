"""``curate run``: do what the spec says."""

from __future__ import annotations

from pipelines.cli.console import console, show_balance
from pipelines.cli.options import Address, ExecutorName, SpecFile, Workers
from pipelines.cli.working import working


def run(spec: SpecFile, executor: ExecutorName = None, address: Address = None, workers: Workers = None) -> None:
    """Curate the archives of a spec: de-identified DICOM, volumes, labels in the volume, manifests.

    Does what no earlier run has done. Stopped by Ctrl-C or a crash, the same command goes on and ends with the same
    bytes. Nothing is lost: series in = done + rejected + quarantined, each with its reason.
    """
    from pipelines.run import run as run_spec

    with working(spec, executor, address, workers) as work:
        balance = run_spec(work.spec, work.workspace, work.executor, work.watch)
    show_balance(balance)
    console.print(f"store {work.workspace.store.url}; `curate failures {work.workspace.store.url}` names what failed")
