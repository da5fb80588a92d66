"""``curate deid run``: a folder from a hospital in, a folder that can be handed on out, with its report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from curate.errors import Misconfigured
from pipelines.cli.console import console, notes, reasons
from pipelines.cli.deid_values import PAGE, TABLE
from pipelines.cli.exits import EXIT_FOUND
from pipelines.cli.progress import counting

if TYPE_CHECKING:
    from cluster.executors import Executor
    from curate.deid.review.report import FolderReport
    from pipelines.deidentify import Plan
    from pipelines.handover import HandedOver

Sources = Annotated[
    list[Path],
    typer.Argument(
        help="Folders, zip, tar and tar.gz files. They are only read.", metavar="FOLDER...", show_default=False
    ),
]
Out = Annotated[Path, typer.Option("--out", help="A new folder for the result, or one of an earlier run.")]
Key = Annotated[str | None, typer.Option("--key", help="Where the project key is: env:NAME, file:PATH or cmd:COMMAND.")]
ProfileName = Annotated[
    str, typer.Option("--profile", help="The ready set of rules: mira or basic. `curate deid explain NAME` shows it.")
]
Site = Annotated[
    str, typer.Option("--site", help="A name for the hospital: equal patient IDs of two sites are two patients.")
]
Option = Annotated[
    list[str] | None, typer.Option("--option", help="Options instead of those of the profile; may be repeated.")
]
Override = Annotated[
    list[str] | None, typer.Option("--override", help='What the site decides: "(0008,1010)=keep|clean|empty|remove".')
]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", help="secondary_capture: screens and scanned pages, text blanked.")
]
DecisionsFile = Annotated[
    Path | None, typer.Option("--decisions", help="What was saved on the values page: decisions.json.")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; by default one a CPU.")]
NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Leave out the check. Do not hand on what was not checked.")
]
NoValues = Annotated[bool, typer.Option("--no-values", help="Do not write the values page.")]
Crosswalk = Annotated[
    Path | None,
    typer.Option("--crosswalk", help="Write here, encrypted, which patient became which; for `curate deid reveal`."),
]

MAKE_A_KEY = """  make one, once for the whole project:   openssl rand -hex 32 > project.key; chmod 600 project.key
  then add:                               --key file:project.key
  Keep it inside the hospital and do not lose it: with it, who is who can be found out; without it, new files of a
  patient get another pseudonym."""
_BYTES_A_WORKER = 64 * 2**20  # less is done before another process has started


def run(
    sources: Sources,
    out: Out,
    key: Key = None,
    profile: ProfileName = "mira",
    site: Site = "",
    option: Option = None,
    override: Override = None,
    allow: Allow = None,
    decisions: DecisionsFile = None,
    workers: Workers = None,
    no_verify: NoVerify = False,
    no_values: NoValues = False,
    crosswalk: Crosswalk = None,
) -> None:
    """De-identify FOLDER into OUT, check it, and write a report in plain words.

    A first run:

    `openssl rand -hex 32 > project.key; chmod 600 project.key`

    `curate deid run from-the-hospital --out result --key file:project.key --profile mira --site north`

    Then read result/report.html. result/dicom holds the images; result/verification.json and result/audit.parquet are
    for the privacy officer. Beside it, result.private is for you alone: quarantined.csv names every file that is not
    in the result and why; values.html shows every text that was met. Mark there what is wrong, save, and run again
    with `--decisions decisions.json`.

    Nothing is lost: files found = de-identified + kept back + not usable + not DICOM. Stopped by Ctrl-C or a crash,
    the same command goes on. Exit codes: 0 done, 1 the check found something, 2 refused, 75 run it again.
    """
    from pipelines.deidentify import Request, execute, make_plan, settled_before
    from pipelines.folder_report import verify, write_report
    from pipelines.handover import alone, hand_over
    from pipelines.watch import Watch

    request = Request(
        sources=tuple(sources),
        out=out,
        key=_require_key(key),
        profile=profile,
        site=site,
        options=tuple(option) if option else None,
        overrides=_overrides(override or []),
        allow=tuple(allow or ()),
        decisions=decisions,
    )
    with notes.status("listing files"):
        plan = make_plan(request)
    with alone(plan):
        with notes.status("looking at what is done already"):
            settled = settled_before(plan)
        count = workers or _workers_for(sum(item.cost for item in plan.items if item.fingerprint not in settled))
        with _executor(plan, count) as executor:
            outcomes = execute(plan, settled, executor, Watch(notes if notes.is_terminal else Console(quiet=True)))
        handed = hand_over(plan, outcomes)
        if crosswalk is not None:
            _write_crosswalk(plan, handed, crosswalk)
        if not no_values:
            _write_values(plan)
        verified = None
        if not no_verify:
            with counting() as progress:
                verified = verify(plan, workers=workers or cpus(), progress=progress)
        report = write_report(plan, handed, verified)
    _tell(plan, report, handed, has_values=not no_values)
    if verified is not None and not verified.passed:
        raise typer.Exit(EXIT_FOUND)


def cpus() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def _require_key(key: str | None) -> str:
    """The key's source, tried. Raises Misconfigured that says how to make a key."""
    from curate.deid import load_key

    if key is None:
        raise Misconfigured(f"--key is missing: pseudonyms are made from a secret key\n{MAKE_A_KEY}")
    try:
        load_key(key)
    except Misconfigured as error:
        raise Misconfigured(f"--key: {error}\n{MAKE_A_KEY}") from None
    return key


def _overrides(lines: list[str]) -> dict[str, str]:
    pairs = [line.rpartition("=") for line in lines]
    if any(not tag for tag, _, _ in pairs):
        raise Misconfigured('--override: expected TAG=CHOICE, such as "(0008,1010)=keep"')
    return {tag.strip(): choice.strip() for tag, _, choice in pairs}


def _workers_for(cost: int) -> int:
    """``cost``: bytes that are left to read."""
    return min(cpus(), 1 + cost // _BYTES_A_WORKER)


@contextmanager
def _executor(plan: Plan, workers: int) -> Iterator[Executor]:
    from cluster.executors import open_executor

    kind, number = ("inline", None) if workers == 1 else ("ray", workers)
    with open_executor(kind, plan.workspace.store.url, workers=number) as executor:
        yield executor


def _write_values(plan: Plan) -> None:
    from curate.deid.review.review_page import render_page
    from curate.deid.review.values import collect_values
    from curate.manifests import table_bytes

    profile, private = plan.workspace.profile, plan.workspace.private
    with notes.status("listing texts") as status:
        found = collect_values(
            plan.archives, profile=profile, progress=lambda done: status.update(f"listing texts: {done} files")
        )
    private.put(TABLE, table_bytes(found.table))
    private.put(PAGE, render_page(found, profile))


def _write_crosswalk(plan: Plan, handed: HandedOver, destination: Path) -> None:
    from pipelines.crosswalk import write_folder_crosswalk

    patients = {str(outcome.record["place"]).split("/")[0] for outcome in handed.outcomes if outcome.reason is None}
    rows = write_folder_crosswalk(
        plan.workspace, patients, destination, site=plan.request.site, outside=plan.request.out
    )
    console.print(
        f"crosswalk      {destination}: {rows} rows, encrypted; for `curate deid reveal`, never to be handed on"
    )


def _tell(plan: Plan, report: FolderReport, handed: HandedOver, *, has_values: bool) -> None:
    from curate.deid.review.report import DONE, NOT_DICOM, QUARANTINED, REJECTED

    out, private = plan.request.out, plan.request.private
    names = {DONE: "de-identified", QUARANTINED: "kept back", REJECTED: "not usable", NOT_DICOM: "not DICOM"}
    counts = ", ".join(f"{report.count(outcome):,} {name}" for outcome, name in names.items())
    console.print(f"files          {report.files:,} found = {counts}")
    for outcome in (QUARANTINED, REJECTED):
        found = {each.reason.value: each.files for each in report.apart if each.outcome == outcome}
        if found:
            console.print(f"{names[outcome]:<14} {reasons(found)}")
    console.print(
        f"output         {handed.added:,} new, {handed.replaced:,} changed, {handed.removed:,} taken out, "
        f"{handed.unchanged:,} as before"
    )
    if report.marks is not None:
        console.print(f"marks          {report.marks.given} given, {report.marks.met} of them met a text")
    console.print(f"check          {_verdict(report)}")
    console.print(f"read first     {out / 'report.html'}")
    if report.files > report.done:
        console.print(f"which files    {private / 'quarantined.csv'} (for you alone)")
    if has_values:
        console.print(
            f"which texts    {private / PAGE} (for you alone): mark what is wrong, save, run with --decisions FILE"
        )


def _verdict(report: FolderReport) -> str:
    if report.check is None:
        return "not run: do not hand this on yet"
    broken = sum(number for _, _, number in report.check.broken)
    return "nothing is wrong" if report.check.passed else f"{broken} faults: DO NOT HAND THIS ON; the report says more"
