"""All verbs on one command."""

from __future__ import annotations

import typer

from pipelines.cli import (
    deid,
    demo,
    deploy,
    gc,
    inspect,
    phantoms,
    plan,
    predict,
    release,
    run,
    scan,
    show,
    spec,
    stats,
    train,
    work,
)
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
    curate work    spec.toml      one share of it, for the jobs of an array
    curate status  STORE          what happened; `failures` and `why` tell more
    curate gc      STORE|SPEC     what crashed attempts and earlier parameters left behind
    curate stats   STORE          intensities of each site, over all volumes
    curate show    VOLUME|SERIES  a picture of three planes with labels drawn
    curate release spec.toml      freeze a version for others
    curate verify  RELEASE        prove that it is whole and leaks nothing
    curate train   spec.toml      the spec's recipe on two workers
    curate predict STORE|RELEASE  a submission for the test split
    curate deid    ...            what de-identification does (`explain`), what it meets (`values`), proof (`verify`)
    curate deploy  ...            files for Kubernetes, Slurm or Ray's launcher (`render`)

**A bucket instead of a folder:** `store = "s3://bucket/prefix"` (`gs://`, `az://`), with credentials, region and
endpoint in the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, ...). What
identifies stays in a folder beside the spec, `<last part of the prefix>.private`, unless the spec names another place
as `private`.

Exit codes: 0 done, 1 a check found something, 2 refused (the message says what to change), 75 run the same command
again, 70 a bug.
""",
)

app.command("demo")(demo.demo)
app.command("plan")(plan.plan)
app.command("run")(run.run)
app.command("work")(work.work)
app.command("status")(inspect.status)
app.command("failures")(inspect.failures)
app.command("why")(inspect.why)
app.command("gc")(gc.gc)
app.command("stats")(stats.stats)
app.command("release")(release.release)
app.command("verify")(release.verify)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("spec")(spec.spec)
app.command("phantoms")(phantoms.phantoms)
app.command("scan")(scan.scan)
app.command("show")(show.show)
app.add_typer(deid.deid)
app.add_typer(deploy.deploy)
