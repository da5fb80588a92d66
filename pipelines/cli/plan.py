"""``curate plan``: what would be done, and at what cost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from curate.errors import Misconfigured
from pipelines.cli.console import console, in_bytes, in_seconds, reasons, show_table
from pipelines.cli.options import Address, ExecutorName, Workers
from pipelines.cli.working import working

if TYPE_CHECKING:
    from pipelines.estimate import Cost
    from pipelines.plan import Plan

Rows = list[tuple[str, object]]
SpecOrNone = Annotated[Path | None, typer.Argument(help="The spec, a TOML file.", metavar="[SPEC]", show_default=False)]
Sample = Annotated[
    int,
    typer.Option(min=0, help="Series to build now, of every site and lane in turn, to measure rates; they are kept."),
]
Price = Annotated[float | None, typer.Option("--price-per-core-hour", min=0.0, help="What an hour of one core costs.")]
Currency = Annotated[str, typer.Option(help="The currency of the price.")]
Cores = Annotated[int | None, typer.Option(min=1, help="Cores that will run it; by default the workers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Simulate = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Plan a synthetic archive of N series, without a spec or pixels.")
]
TaskName = Annotated[Literal["cervical", "lumbar"], typer.Option("--task", help="Of the synthetic archive.")]
Out = Annotated[Path | None, typer.Option(help="A folder to keep the synthetic store in.")]


def plan(
    spec: SpecOrNone = None,
    executor: ExecutorName = None,
    address: Address = None,
    workers: Workers = None,
    sample: Sample = 3,
    price_per_core_hour: Price = None,
    currency: Currency = "USD",
    cores: Cores = None,
    as_json: AsJson = False,
    simulate: Simulate = None,
    task: TaskName = "cervical",
    out: Out = None,
) -> None:
    """Say what a run would do and cost: series, units, memory lanes, bytes, core-hours, money.

    Reads headers and writes the catalogue (keyed rows), its private counterpart and the plan. Of the images it builds
    the sample alone, as a run would, to know what the rest will take; --sample 0 builds nothing.
    """
    from pipelines.estimate import estimate_plan, measure_rates

    if spec is not None and simulate is not None:
        raise Misconfigured("plan: a spec, or --simulate N, not both")
    if simulate is not None:
        _simulate(simulate, task, out, cores or 1, price_per_core_hour, currency, as_json)
        return
    if spec is None:
        raise Misconfigured("plan: give a spec, or --simulate N")
    from pipelines.plan import make_plan
    from pipelines.sample import build_sample

    with working(spec, executor, address, workers) as work:
        made = make_plan(work.spec, work.workspace, work.executor, work.watch)
        made, built = build_sample(made, sample, work.watch)
        rates = measure_rates(made, built)
        cost = estimate_plan(made, rates, cores or work.executor.workers, price_per_core_hour=price_per_core_hour)
        name, url = work.spec.name, work.workspace.store.url
    if as_json:
        _print_json(made, cost, currency, {})
        return
    show_table(f"Plan of {name}", ("", "what"), _rows(made, cost, currency))
    console.print(f"plan {made.index.digest[:16]} written to {url}/catalogue/plan")


def _simulate(
    series: int,
    task: Literal["cervical", "lumbar"],
    out: Path | None,
    cores: int,
    price: float | None,
    currency: str,
    as_json: bool,
) -> None:
    import time

    from cluster.memory import measure_peak
    from curate.storage import open_store
    from pipelines.estimate import Rates, estimate_plan
    from pipelines.simulate import simulate
    from pipelines.spec import Runtime

    if out is not None and out.exists() and any(out.iterdir()):
        raise Misconfigured(f"--out: {out} is not empty")
    with _folder(out) as folder:
        began = time.monotonic()
        made = simulate(open_store(folder), task, series, Runtime())
        seconds = time.monotonic() - began
        cost = estimate_plan(made.plan, Rates(), cores, price_per_core_hour=price)
    planning: dict[str, Any] = {
        "patients": made.patients,
        "instances": made.instances,
        "planning_seconds": round(seconds, 1),
        "planning_peak_bytes": measure_peak(),
    }
    if as_json:
        _print_json(made.plan, cost, currency, planning)
        return
    rows: Rows = [
        ("patients", made.patients),
        ("files", f"{made.instances}, {in_bytes(made.bytes)}"),
        *_rows(made.plan, cost, currency),
        ("planned in", f"{in_seconds(seconds)}, {series / max(seconds, 1e-9):.0f} series/s"),
        ("peak memory of planning", in_bytes(planning["planning_peak_bytes"])),
    ]
    show_table(f"Synthetic archive, {task}", ("", "what"), rows)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="curate-simulated-") as folder:
        yield Path(folder)


def _rows(made: Plan, cost: Cost, currency: str) -> Rows:
    rates = cost.rates
    lanes = ", ".join(f"{count} units of {in_bytes(lane)}" for lane, count in cost.lanes.items()) or "-"
    expected = cost.memory_bytes * rates.memory.value
    rows: Rows = [
        ("series in the archives", made.series.counts["rows"]),
        ("rejected by their headers", reasons(cost.rejected)),
        ("to build", f"{made.items} series, {in_bytes(made.amount.bytes)}"),
        ("of them settled already", f"{cost.settled} series"),
        ("too large for any lane", made.too_large),
        ("left", f"{cost.units_left} units, {cost.series_left} series"),
        ("partitions of the plan", made.index.partitions),
        ("memory lanes", lanes),
        ("peak memory of a worker", f"{in_bytes(cost.memory_bytes)} estimated, {in_bytes(expected)} expected"),
        ("bytes to read", in_bytes(cost.bytes_read)),
        ("bytes to write", in_bytes(cost.bytes_written)),
        ("core-hours", f"{cost.core_seconds / 3600:.2f}"),
        ("expected time", f"{in_seconds(cost.seconds)} on {cost.cores} cores"),
    ]
    if cost.price is not None:
        rows.append(("price", f"{cost.price:.2f} {currency}"))
    return [
        *rows,
        ("from: speed", f"{in_bytes(rates.bytes_a_second.value)}/s a core ({rates.bytes_a_second.source})"),
        ("from: bytes written", f"{rates.written.value:.2f} for a byte read ({rates.written.source})"),
        ("from: peak memory", f"{rates.memory.value:.2f} of the estimate ({rates.memory.source})"),
    ]


def _print_json(made: Plan, cost: Cost, currency: str, planning: dict[str, Any]) -> None:
    found: dict[str, Any] = {
        **asdict(cost),
        "series": made.series.counts["rows"],
        "too_large": made.too_large,
        "partitions": made.index.partitions,
        "plan": made.index.digest,
        "currency": currency,
        **planning,
    }
    found["lanes"] = {str(lane): count for lane, count in cost.lanes.items()}
    typer.echo(json.dumps(found, indent=2))
