"""``curate spec``: the specs that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from curate.errors import Misconfigured
from pipelines.cli.console import console

Name = Annotated[str | None, typer.Argument(help="Which one; without a name they are listed.", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="Write it here instead of printing it.")]


def spec(name: Name = None, out: Out = None) -> None:
    """Print a ready spec to start from: the demo's, and the two Kaggle downloads as they lie on disk.

    `curate spec rsna-2022 --out spec.toml`, set `folder` in it, then `curate plan spec.toml`.
    """
    ready = {file.name.removesuffix(".toml"): file for file in resources.files("pipelines.specs").iterdir()}
    specs = {key: file for key, file in sorted(ready.items()) if file.name.endswith(".toml")}
    if name is None:
        for key, file in specs.items():
            console.print(f"{key}: {file.read_text('utf-8').splitlines()[0].lstrip('# ')}")
    elif name not in specs:
        raise Misconfigured(f"there is no ready spec '{name}'; there are: {', '.join(specs)}")
    elif out is None:
        print(specs[name].read_text("utf-8"), end="")
    elif out.exists():
        raise Misconfigured(f"{out} exists already")
    else:
        out.write_text(specs[name].read_text("utf-8"), "utf-8")
        console.print(f"{out} written: set its folder, then `curate plan {out}`")
