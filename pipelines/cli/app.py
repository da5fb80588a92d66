"""All verbs on one command."""

from __future__ import annotations

import typer

from pipelines.cli import deid, demo, deploy, inspect, phantoms, plan, release, run, scan, show, spec, stats, train
from pipelines.cli.exits import Verbs

app = typer.Typer(
    name="curate",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""
Turn multi-site DICOM archives into de-identified, geometry-correct, versioned datasets.

**Start here:** `curate demo` does everything once on synthetic data and shows where the results lie.

**Your own data:** write a spec (`curate phantoms OUT --task cervical` makes an archive with one to copy, `curate spec`
lists ready ones), then

    curate plan    spec.toml      what would be done, and at what cost
    curate run     spec.toml      do it; interrupted or not, the same command goes on
    curate status  STORE          what happened; `failures` and `why` tell more
    curate stats   STORE          intensities of each site, over all volumes
    curate show    VOLUME|SERIES  a picture of three planes with labels drawn
    curate release spec.toml      freeze a version for others
    curate verify  RELEASE        prove that it is whole and leaks nothing
    curate train   spec.toml      the baseline on two workers
    curate deid    ...            what de-identification does (`explain`), what it meets (`values`), proof (`verify`)
    curate deploy  ...            files for Kubernetes, Slurm or Ray's launcher (`render`)

Exit codes: 0 done, 1 a check found something, 2 refused (the message says what to change), 75 run the same command
again, 70 a bug.
""",
)

app.command("demo")(demo.demo)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("status")(inspect.status)
app.command("failures")(inspect.failures)
app.command("why")(inspect.why)
app.command("release")(release.release)
app.command("verify")(release.verify)
app.command("train")(train.train)
app.command("spec")(spec.spec)
app.command("phantoms")(phantoms.phantoms)
app.command("scan")(scan.scan)
app.command("show")(show.show)
app.command("stats")(stats.stats)
app.add_typer(deid.deid)
app.add_typer(deploy.deploy)
