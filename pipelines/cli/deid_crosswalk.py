"""``curate deid crosswalk`` and ``curate deid reveal``: for the owner of the data alone, to find a patient again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import console
from pipelines.cli.exits import EXIT_FOUND
from pipelines.cli.options import SpecFile

Out = Annotated[Path, typer.Option("--out", help="The file to write. It must not lie in the store.")]
CrosswalkFile = Annotated[Path, typer.Argument(help="What `curate deid crosswalk` wrote.", metavar="FILE")]
Key = Annotated[str, typer.Option("--key", help="Where the project key is: env:NAME, file:PATH, cmd:PROGRAM.")]
Released = Annotated[
    list[str], typer.Argument(help="Patient keys, UIDs or accession tokens of a release.", metavar="RELEASED...")
]


def crosswalk(spec: SpecFile, out: Out) -> None:
    """Write which source id became which key, encrypted under the project key (AES-256-GCM).

    Nothing needs it but a hospital that must find a patient again. Without it, the key and the source do the same.
    """
    from pipelines.crosswalk import write_crosswalk
    from pipelines.spec import read_spec
    from pipelines.workspace import open_workspace

    read = read_spec(spec)
    rows = write_crosswalk(read, open_workspace(read), out)
    console.print(f"{rows} rows, encrypted, written to {out}; whoever holds the key can read it")


def reveal(file: CrosswalkFile, released: Released, key: Key) -> None:
    """Show the source ids behind ids of a release. What is printed identifies people.

    Exit code 1 when one of them is not in the crosswalk.
    """
    from pipelines.crosswalk import read_crosswalk

    rows = read_crosswalk(file, key).to_pylist()
    unknown = 0
    for wanted in released:
        found = [row for row in rows if _is_meant(row, wanted)]
        unknown += not found
        for row in found:
            console.print(f"{wanted}: {row['kind']} {row['source'] or row['released']} at {row['site']}", markup=False)
        if not found:
            console.print(f"{wanted}: not in this crosswalk", markup=False)
    if unknown:
        raise typer.Exit(EXIT_FOUND)


def _is_meant(row: Mapping[str, str], wanted: str) -> bool:
    """A patient key stands for all of the patient's numbers, but not for the UIDs of every image."""
    return wanted == row["released"] or (wanted == row["patient_key"] and row["kind"] != "uid")
