"""``curate phantoms``: a synthetic archive with known truth, to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.cli.console import console, in_bytes, notes

Out = Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="OUT", show_default=False)]
Task = Annotated[Literal["cervical", "lumbar"], typer.Option("--task", help="Which challenge's shape.")]
Sites = Annotated[int, typer.Option("--sites", min=1, max=26, help="Hospitals, each with habits of its own.")]
Studies = Annotated[int, typer.Option("--studies", min=1, help="Studies, over all sites.")]
Seed = Annotated[int, typer.Option("--seed", help="Equal seeds give equal bytes.")]
Defects = Annotated[bool, typer.Option("--defects", help="Plant broken series, and write what should become of each.")]
Identifiers = Annotated[bool, typer.Option("--identifiers", help="Plant names, ids and dates, and list them.")]
Matrix = Annotated[int, typer.Option("--matrix", min=32, max=1024, help="Pixels across an axial image.")]


def phantoms(
    out: Out,
    task: Task,
    sites: Sites = 4,
    studies: Studies = 8,
    seed: Seed = 0,
    defects: Defects = False,
    identifiers: Identifiers = False,
    matrix: Matrix = 128,
) -> None:
    """Make a multi-site archive of synthetic spines with its labels, its truth, and a spec that runs as it is.

    Eleven sites have every habit: each lossless transfer syntax, and series that are one enhanced multi-frame object
    (the sixth and the last). OUT/spec.toml is a spec to copy; OUT/truth holds where every landmark lies in the patient
    and what should happen.
    """
    from curate.phantoms import make_phantoms

    with notes.status("drawing spines"):
        made = make_phantoms(
            out,
            task=task,
            sites=sites,
            studies=studies,
            seed=seed,
            defects=defects,
            identifiers=identifiers,
            matrix=matrix,
        )
    console.print(
        f"{made.studies} studies, {made.series} series, {made.files} files, {in_bytes(made.size_bytes)} "
        f"at {len(made.sites)} sites"
    )
    console.print(f"next: curate plan {made.spec}")
