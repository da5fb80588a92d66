"""``curate stats``: statistics over all volumes of a store."""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

import typer

from pipelines.cli.console import console, in_bytes, notes, show_table
from pipelines.cli.options import Address, StorePlace, Workers

Where = Annotated[Literal["ray", "threads"], typer.Option("--executor", help="Where to work. Same bytes either way.")]


def stats(store: StorePlace, executor: Where = "threads", address: Address = None, workers: Workers = None) -> None:
    """Scanners of each site, and intensities: mean, spread and percentiles of the foreground of all its volumes.

    Reads every volume once, block by block, so that one larger than a worker's memory is no matter. What a trainer
    normalises by; a site that differs from the others has another scanner, protocol or export. Written to
    `manifests/intensities.parquet`. Foreground is what is no air: CT above -500 HU, else above a tenth of the way from
    the darkest voxel to the 99th percentile of its volume.
    """
    from cluster.session import start
    from curate.errors import Misconfigured
    from curate.storage import open_store
    from pipelines.intensities import INTENSITIES_KEY, measure_intensities
    from pipelines.scanners import BY, count_scanners

    if executor == "threads" and (address is not None or workers is not None):
        raise Misconfigured("threads have no address and no number of workers: --executor ray")
    opened = open_store(store)
    notes.print("reading every volume once")
    with start(address, workers) if executor == "ray" else contextlib.nullcontext():
        scanners = count_scanners(opened, scheduler=executor)
        table = measure_intensities(opened, scheduler=executor)
    show_table(
        "Series by scanner",
        ("site", "modality", "manufacturer", "model", "series", "done", "images", "in the archives"),
        [
            (
                *(row[name] or "" for name in BY),
                row["series"],
                row["done"],
                row["instances"],
                in_bytes(row["size_bytes"]),
            )
            for row in scanners.to_pylist()
        ],
    )
    numbers = ("mean", "std", "p00_5", "p05", "p50", "p95", "p99_5")
    show_table(
        "Intensities of the foreground",
        ("modality", "units", "site", "volumes", "voxels", *numbers),
        [
            (
                row["modality"] or "",
                row["units"] or "",
                row["site"] or "all",
                row["volumes"],
                row["foreground_voxels"],
                *(f"{row[name]:.1f}" for name in numbers),
            )
            for row in table.to_pylist()
        ],
    )
    console.print(f"{INTENSITIES_KEY} written")
