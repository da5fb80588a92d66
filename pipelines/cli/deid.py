"""``curate deid``: verbs about de-identification itself. ``verify`` stands here; the others in modules of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import console
from pipelines.cli.deid_crosswalk import crosswalk, reveal
from pipelines.cli.deid_explain import explain
from pipelines.cli.deid_run import run
from pipelines.cli.deid_values import values
from pipelines.cli.exits import EXIT_FOUND, Verbs
from pipelines.cli.progress import counting

Source = Annotated[Path, typer.Argument(help="What was given: a folder, zip, tar or tar.gz.", metavar="SOURCE")]
Output = Annotated[Path, typer.Argument(help="The folder of what was written.", metavar="OUTPUT")]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Where the project key is: env:NAME, file:PATH, cmd:COMMAND. None for public sources."),
]
ProfileName = Annotated[str | None, typer.Option("--profile", help="The profile that every object must state.")]
Override = Annotated[
    list[str] | None, typer.Option("--override", help='What the site decided, as in the spec: "(0008,1010)=keep".')
]
DecisionsFile = Annotated[
    Path | None, typer.Option("--decisions", help="The decisions of the values page that the run was given.")
]
Out = Annotated[Path | None, typer.Option("--report", help="Write the whole report here as JSON.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
NoValidity = Annotated[bool, typer.Option("--no-dciodvfy", help="Leave out the check of validity.")]

deid = typer.Typer(
    name="deid",
    cls=Verbs,
    no_args_is_help=True,
    help="What de-identification does, what it meets, and proof that it did it.",
)


@deid.command("verify")
def verify(
    source: Source,
    output: Output,
    key: Key = None,
    profile: ProfileName = None,
    override: Override = None,
    decisions: DecisionsFile = None,
    report: Out = None,
    workers: Workers = 2,
    no_dciodvfy: NoValidity = False,
) -> None:
    """Check every file of OUTPUT against SOURCE with a second reader that shares no code and no table with the writer.

    Every element at every depth, pixels, UIDs, dates, references, patients, validity, and a search of every byte for
    everything in the source that identifies. Archives in a folder are opened, as `curate deid run` does. Exit code 1
    and a list when something is wrong.
    """
    from curate.deid import load_profile
    from curate.deid.review.decisions import read_decisions
    from curate.deid.verification import verify_tree
    from curate.deid.verification.claims import read_overrides
    from pipelines.deidentify import archives_in

    codes = None if profile is None else frozenset(code for code, _ in load_profile(profile).codes)
    overrides = read_overrides(override or ())
    with counting() as count:
        result = verify_tree(
            list(archives_in([source])),
            output,
            key=key,
            codes=codes,
            overrides=overrides,
            decisions=None if decisions is None else read_decisions(decisions),
            workers=workers,
            validity=not no_dciodvfy,
            progress=count,
        )
    for line in result.lines():
        console.print(line, markup=False)
    if report is not None:
        report.write_text(json.dumps(result.record(), indent=1) + "\n", "utf-8")
        console.print(f"report written to {report}", markup=False)
    if not result.passed:
        raise typer.Exit(EXIT_FOUND)


deid.command("run")(run)
deid.command("explain")(explain)
deid.command("values")(values)
deid.command("crosswalk")(crosswalk)
deid.command("reveal")(reveal)
