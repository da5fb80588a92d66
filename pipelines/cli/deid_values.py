"""``curate deid values``: the distinct values of an archive, to read and to decide about in a browser."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import console, notes, reasons

Archives = Annotated[
    list[Path], typer.Argument(help="Folders, zip, tar and tar.gz files.", metavar="ARCHIVE...", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", help="A folder of yours: what is written there quotes records.")]
ProfileName = Annotated[str, typer.Option("--profile", help="What is about to happen to each value is shown for it.")]

TABLE, PAGE = "values.parquet", "values.html"


def values(archives: Archives, out: Out, profile: ProfileName = "basic") -> None:
    """List every distinct value of the archives once: values.parquet, and values.html to read and to mark.

    Open the page in a browser, mark what the profile gets wrong, save, and name the saved file in the spec:
    `[deid] decisions = "decisions.json"`. Both files quote records: the folder is made readable for you alone.
    """
    from curate.deid.profile import load_profile
    from curate.deid.review.review_page import group_of, render_page
    from curate.deid.review.values import collect_values
    from curate.manifests import table_bytes

    chosen = load_profile(profile)
    with notes.status("reading headers") as status:
        found = collect_values(
            archives, profile=chosen, progress=lambda done: status.update(f"reading headers: {done} files")
        )
    _write_private(out, {TABLE: table_bytes(found.table), PAGE: render_page(found, chosen)})
    listed = [row for row in found.table.to_pylist() if row["value"] is not None]
    groups = Counter(group_of(row) for row in listed)
    console.print(
        f"{found.files} files read, {len(listed)} different texts: {groups['first']} to look at first, "
        f"{groups['stay']} that would stay, {groups['go']} that would go"
    )
    if found.unread:
        console.print(f"not read: {reasons(found.unread)}")
    console.print(f"open {out / PAGE} in a browser; it quotes records, so keep it inside")


def _write_private(folder: Path, files: dict[str, bytes]) -> None:
    """Folder and files for their owner alone; what was there of the same names is replaced."""
    from curate.errors import Misconfigured
    from curate.storage import open_store
    from pipelines.workspace import PRIVATE_MODE

    if folder.exists() and not folder.is_dir():
        raise Misconfigured("--out: not a folder")
    store = open_store(folder, mode=PRIVATE_MODE)
    for name, content in files.items():
        store.put(name, content)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(PRIVATE_MODE)
