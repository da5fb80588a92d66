"""``curate release`` and ``curate verify``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import Progress

from pipelines.cli.console import console, in_bytes, notes, reasons
from pipelines.cli.exits import EXIT_FOUND
from pipelines.cli.options import SpecFile

ReleasePlace = Annotated[
    str, typer.Argument(help="A version: its folder or URL.", metavar="RELEASE", show_default=False)
]
Private = Annotated[
    str | None,
    typer.Option("--private", help="The private zone, a folder or URL, if it does not lie beside the store."),
]
Digest = Annotated[str | None, typer.Option("--digest", help="SHA-256 of SHA256SUMS, as `curate release` printed it.")]
MOST_FINDINGS = 100


def release(spec: SpecFile) -> None:
    """Freeze a version: DICOM, volumes, label tables in the challenge's schema, manifests, card, digests.

    What is frozen is never overwritten: the same content is fine, other content needs another version. The answer key
    of the test split goes into a folder of its own beside it.
    """
    from pipelines.release import release as freeze
    from pipelines.spec import read_spec
    from pipelines.workspace import open_workspace

    read = read_spec(spec)
    with counting("copying") as count:
        summary = freeze(read, open_workspace(read), progress=count)
    state = "was frozen before, with the same content" if summary.was_frozen else "frozen"
    console.print(f"{summary.url} {state}: {summary.files} files, {in_bytes(summary.size_bytes)}")
    console.print(f"answer key, not to be published: {summary.private_url}")
    console.print(f"digest {summary.digest}")


def verify(release: ReleasePlace, private: Private = None, digest: Digest = None) -> None:
    """Prove a release: every byte, count and reference, every DICOM header, and no known identifier anywhere.

    Exit code 1 and a list when something is wrong.
    """
    from pipelines.release import verify as check

    with counting("verifying") as count:
        findings, known = check(
            release, private=private, digest=digest, progress=lambda done, files, _: count(done, files)
        )
    for finding in findings[:MOST_FINDINGS]:
        console.print(str(finding))
    if known is None:
        notes.print("no private zone beside it: headers are checked, known identifiers are not searched (--private)")
    else:
        console.print(f"searched for {known} known identifiers")
    if findings:
        kinds = Counter(finding.kind.value for finding in findings)
        console.print(f"{len(findings)} findings: {reasons(dict(sorted(kinds.items())))}")
        raise typer.Exit(EXIT_FOUND)
    console.print(f"{release}: nothing is wrong")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, silence elsewhere."""
    if not notes.is_terminal:
        yield lambda done, total: None
        return
    with Progress(console=notes) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
