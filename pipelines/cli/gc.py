"""``curate gc``: remove what no receipt names."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from curate.errors import Misconfigured
from pipelines.cli.console import console, in_bytes, show_table

Target = Annotated[str, typer.Argument(help="A store, or the spec of one.", metavar="STORE|SPEC", show_default=False)]
Delete = Annotated[bool, typer.Option("--delete", help="Remove it. Without this it is only counted.")]
OlderThan = Annotated[str, typer.Option("--older-than", help="Leave younger objects alone: 90m, 24h, 7d.")]
Superseded = Annotated[
    bool,
    typer.Option("--superseded", help="Also results of other parameters or versions than this SPEC's; needs the spec."),
]
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def gc(target: Target, delete: Delete = False, older_than: OlderThan = "24h", superseded: Superseded = False) -> None:
    """Count, and with --delete remove, objects that no receipt names: leftovers of attempts that died.

    Given a SPEC, also in its private zone. Never touches releases, manifests, events or a receipt that counts; what a
    run in progress may be at stays.
    """
    from cluster.ledger import Ledger
    from cluster.ledger.pruning import prune
    from cluster.ledger.receipts import FOLDER as LEDGER
    from curate.storage import Store, open_store
    from pipelines.garbage import PAYLOAD, PRIVATE, sweep
    from pipelines.jobs import current_jobs
    from pipelines.spec import read_spec
    from pipelines.state import require_store
    from pipelines.workspace import open_workspace

    grace = _seconds(older_than)
    current = None
    private: Store | None = None
    store: Store
    if Path(target).is_file():
        spec = read_spec(Path(target))
        workspace = open_workspace(spec)
        store, private = workspace.store, workspace.private
        current = current_jobs(spec, workspace) if superseded else None
    elif superseded:
        raise Misconfigured("--superseded needs the spec whose results are to stay, not a store")
    else:
        store = open_store(target)
    require_store(store)
    if current and delete:
        for stage, (version, parameters) in current.items():
            removed = prune(Ledger(store, stage), version=version, parameters=parameters)
            console.print(f"{stage}: {removed} receipts of other parameters or versions removed")
    folders = [*PAYLOAD, LEDGER, *([] if private is None else [f"private/{folder}" for folder in PRIVATE])]
    found = sweep(store, private=private, now=time.time(), grace=grace, current=current, delete=delete)
    show_table(
        "Removed" if delete else "Garbage",
        ("folder", "objects", "bytes", f"younger than {older_than}", "of unfinished series or scans"),
        [
            (name, found.objects[name], in_bytes(found.bytes[name]), found.young[name], found.in_use[name])
            for name in folders
        ],
    )
    total, size = found.objects.total(), in_bytes(found.bytes.total())
    console.print(f"{total} objects, {size} removed" if delete else f"{total} objects, {size}: --delete removes them")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text)
    if match is None:
        raise Misconfigured(f"--older-than: expected as 90m, 24h or 7d, got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]
