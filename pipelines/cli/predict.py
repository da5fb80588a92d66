"""``curate predict``: a submission for the test split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.cli.console import console

Place = Annotated[
    str,
    typer.Argument(help="A store or a release: its folder or URL.", metavar="STORE|RELEASE", show_default=False),
]
Models = Annotated[Path, typer.Option("--models", help="The folder that `curate train` wrote, with or without folds.")]
Split = Annotated[Literal["train", "validation", "test"], typer.Option("--split", help="Which studies to answer.")]
Out = Annotated[Path, typer.Option("--out", help="A folder for submission.csv and findings.csv.")]


def predict(place: Place, models: Models, split: Split = "test", out: Out = Path("prediction")) -> None:
    """Answer studies with trained models: submission.csv in the challenge's schema, findings.csv with source pixels.

    Looks at no label. Several folds are averaged. What is missing or could not be seen is named as a warning; such
    rows are answered from the prior. Needs the [train] extra.
    """
    from pipelines.predict import predict_place

    found = predict_place(place, models, out, split=split)
    for warning in found.warnings:
        console.print(f"warning: {warning}")
    console.print(f"{found.studies} studies answered by {found.models} model{'s' if found.models > 1 else ''}")
    console.print(f"{found.submission}\n{found.findings}", markup=False, soft_wrap=True)
