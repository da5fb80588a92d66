"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

SpecFile = Annotated[Path, typer.Argument(help="The spec, a TOML file.", metavar="SPEC", show_default=False)]
StorePlace = Annotated[
    str,
    typer.Argument(help="The store that a run wrote: a folder or URL.", metavar="STORE", show_default=False),
]
ExecutorName = Annotated[
    Literal["ray", "processes", "inline"] | None,
    typer.Option(
        "--executor", help="Where to work: Ray tasks, processes of this machine, or this process alone. The same bytes."
    ),
]
Address = Annotated[
    str | None, typer.Option("--address", help="A running Ray cluster; without it an embedded one is started.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Workers at a time; by default one a CPU.")]
