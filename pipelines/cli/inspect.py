"""``curate status``, ``failures``, ``why``: questions to a store; no cluster runs, nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from curate.errors import Misconfigured
from curate.storage import Store
from pipelines.cli.console import console, in_bytes, reasons, show_table
from pipelines.cli.options import StorePlace

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 200
SHORTEST_KEY = 6
Key = Annotated[str, typer.Argument(help="The key of a series, study or file, or its beginning.", show_default=False)]


def status(store: StorePlace) -> None:
    """What happened so far: series by site and outcome, units settled, what the manifests hold."""
    from cluster.ledger import Ledger, stages
    from pipelines.grouping import FILES_TABLE
    from pipelines.partitions import read_whole

    opened = _open(store)
    for stage in stages(opened):
        receipts = list(Ledger(opened, stage).receipts())
        outcomes = Ledger(opened, stage).outcomes().values()
        counts = Counter(outcome.status.value for outcome in outcomes)
        peak = max((receipt.peak_memory_bytes for receipt in receipts), default=0)
        written = sum(outcome.size for outcome in outcomes)
        console.print(
            f"{stage}: {len(receipts)} receipts, {reasons(counts)}; {in_bytes(written)} written, "
            f"peak memory {in_bytes(peak)}"
        )
    table = _series(opened)
    rows = table.select(["site", "status", "reason"]).to_pylist()
    by_site: dict[str, Counter[str]] = {}
    for row in rows:
        by_site.setdefault(row["site"], Counter())[row["reason"] or row["status"]] += 1
    show_table(
        "Series",
        ("site", "series", "done", "not done"),
        [
            (site, counts.total(), counts.pop("done", 0), reasons(dict(sorted(counts.items()))))
            for site, counts in sorted(by_site.items())
        ],
    )
    files = Counter(read_whole(opened, FILES_TABLE)["reason"].to_pylist())
    console.print(f"files in no series: {reasons(dict(sorted(files.items())))}")


def failures(store: StorePlace) -> None:
    """Every series and file that is not in the result, with its reason."""
    from curate.reasons import REASONS
    from pipelines.grouping import FILES_TABLE
    from pipelines.partitions import read_whole

    opened = _open(store)
    series = _series(opened).to_pylist()
    failed = [row for row in series if row["reason"]]
    columns = ("site", "key", "status", "reason", "detail")
    show_table(
        "Series", columns, [tuple(row[name] or "" for name in _renamed(columns, "series_key")) for row in failed]
    )
    files = read_whole(opened, FILES_TABLE).to_pylist()
    show_table(
        "Files in no series",
        ("site", "key", "reason", "detail"),
        [(row["site"], row["file_key"], row["reason"], row["detail"] or "") for row in files[:MOST_ROWS]],
    )
    if len(files) > MOST_ROWS:
        console.print(f"and {len(files) - MOST_ROWS} more: see {FILES_TABLE}")
    for code in sorted({row["reason"] for row in (*failed, *files)}):
        console.print(f"{code}: {REASONS[code].text}")


def why(store: StorePlace, key: Key) -> None:
    """What became of one series, study or file, and of each of its parts."""
    from cluster.ledger import why as settled
    from curate.reasons import REASONS
    from pipelines.grouping import FILES_TABLE, INSTANCES_TABLE
    from pipelines.partitions import read_index, read_rows_of, read_whole

    opened = _open(store)
    if len(key) < SHORTEST_KEY:
        raise Misconfigured(f"a key, or at least its first {SHORTEST_KEY} characters")
    series = [
        row
        for row in _series(opened).to_pylist()
        if row["series_key"].startswith(key) or row["study_key"].startswith(key)
    ]
    files = [row for row in read_whole(opened, FILES_TABLE).to_pylist() if row["file_key"].startswith(key)]
    if not series and not files:
        raise Misconfigured(f"no series, study or file of this store has a key that begins with '{key}'")
    partitions = read_index(opened, INSTANCES_TABLE).partitions
    for row in series:
        console.print(f"series {row['series_key']} of study {row['study_key']} at {row['site']}: {row['status']}")
        if row["reason"]:
            console.print(f"  {row['reason']}: {REASONS[row['reason']].text} {row['detail'] or ''}")
        parts = read_rows_of(opened, INSTANCES_TABLE, row["series_key"], partitions).to_pylist()
        apart = Counter(one["reason"] for one in parts if one["reason"])
        stacks = Counter(one["stack"] for one in parts if one["stack"] is not None)
        console.print(f"  {len(parts)} instances, set apart: {reasons(dict(sorted(apart.items())))}")
        for stack, count in sorted(stacks.items()):
            console.print(f"  stack {stack}: {count} slices")
        for verdict in settled(opened, row["series_key"]):
            outcome = verdict.outcome
            console.print(f"  {verdict.stage} {outcome.fingerprint[:16]}: {outcome.status.value} {outcome.detail}")
            for output in outcome.outputs:
                console.print(f"    {output.key} ({in_bytes(output.size)})")
    for row in files:
        console.print(f"file {row['file_key']} at {row['site']}, {in_bytes(row['size_bytes'])}: {row['reason']}")
        console.print(f"  {REASONS[row['reason']].text} {row['detail'] or ''}")


def _open(place: str) -> Store:
    from curate.storage import open_store
    from pipelines.grouping import SERIES_TABLE

    opened = open_store(place)
    if not opened.exists(f"{SERIES_TABLE}/index.json"):
        raise Misconfigured(f"{place} is no store: there is no catalogue in it (see `curate run`)")
    return opened


def _series(store: Store) -> pa.Table:
    """The manifest, or the catalogue of a run that has not ended."""
    from curate.manifests import read_table
    from pipelines.grouping import SERIES_TABLE
    from pipelines.partitions import read_whole

    manifest = "manifests/series.parquet"
    return read_table(store, manifest) if store.exists(manifest) else read_whole(store, SERIES_TABLE)


def _renamed(columns: tuple[str, ...], key: str) -> list[str]:
    return [key if name == "key" else name for name in columns]
