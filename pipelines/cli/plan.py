"""``curate plan``: what would be done, and at what cost."""

from __future__ import annotations

from pipelines.cli.console import console, in_bytes, in_seconds, reasons, show_table
from pipelines.cli.options import Address, ExecutorName, SpecFile, Workers
from pipelines.cli.working import working


def plan(spec: SpecFile, executor: ExecutorName = None, address: Address = None, workers: Workers = None) -> None:
    """Say what a run would do: series, bytes, units, memory lanes, expected time.

    Reads headers only. Writes the catalogue (keyed rows), its private counterpart and catalogue/plan/; no image.
    """
    from pipelines.estimate import estimate_plan
    from pipelines.plan import make_plan

    with working(spec, executor, address, workers) as work:
        made = make_plan(work.spec, work.workspace, work.executor, work.watch)
        cost = estimate_plan(made, work.workspace.store, work.executor.workers)
    show_table(
        f"Plan of {work.spec.name}",
        ("", "what"),
        [
            ("series in the archives", made.series.counts["rows"]),
            ("rejected by their headers", reasons(cost.rejected)),
            ("to build", f"{made.items} series, {in_bytes(made.amount.bytes)}"),
            ("of them settled already", f"{cost.settled} series"),
            ("too large for any lane", made.too_large),
            ("left", f"{made.left.units} units, {cost.series_left} series, {in_bytes(cost.bytes_left)}"),
            (
                "memory lanes",
                ", ".join(f"{count} units of {in_bytes(lane)}" for lane, count in cost.lanes.items()) or "-",
            ),
            ("expected time", f"{in_seconds(cost.seconds)} on {work.executor.workers} workers ({cost.rate_from})"),
        ],
    )
    console.print(f"plan {made.index.digest[:16]} written to {work.workspace.store.url}/catalogue/plan")
