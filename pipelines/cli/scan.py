"""``curate scan``: the headers of archives as a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import console, notes, reasons, show_table

Archives = Annotated[
    list[Path], typer.Argument(help="Folders, zip, tar and tar.gz files.", metavar="ARCHIVE...", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Write all columns as Parquet. It identifies people: keep it private.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Files read at a time.")]


def scan(archives: Archives, out: Out = None, threads: Threads = 4) -> None:
    """Read the headers of archives: files, series, modalities, transfer syntaxes, and what cannot be read.

    What is shown identifies nobody; the Parquet file of --out holds raw header values.
    """
    import pyarrow.parquet as pq

    from curate.dicom import scan_headers
    from curate.errors import Misconfigured

    for archive in archives:
        if not archive.exists():
            raise Misconfigured(f"{archive} does not exist")
    if out is not None and not out.parent.is_dir():
        raise Misconfigured(f"{out.parent} is no folder to write into")
    with notes.status("reading headers"):
        table = scan_headers(archives, threads=threads)
    if out is not None:
        out.touch(mode=0o600)
        out.chmod(0o600)
        pq.write_table(table, out, compression="zstd")
        console.print(f"{table.num_rows} rows written to {out}")
    columns = ["reason", "series_instance_uid", "study_instance_uid", "modality", "transfer_syntax_uid", "manufacturer"]
    rows = table.select(columns).to_pylist()
    good = [row for row in rows if row["reason"] is None]

    def tally(name: str) -> str:
        return reasons(dict(sorted(Counter(str(row[name]) for row in good).items())))

    show_table(
        f"{table.num_rows} files",
        ("", "count"),
        [
            ("readable images", len(good)),
            ("series", len({row["series_instance_uid"] for row in good})),
            ("studies", len({row["study_instance_uid"] for row in good})),
            ("modalities", tally("modality")),
            ("transfer syntaxes", tally("transfer_syntax_uid")),
            ("set apart", reasons(dict(sorted(Counter(row["reason"] for row in rows if row["reason"]).items())))),
        ],
    )
