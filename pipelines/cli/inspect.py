"""``curate status``, ``failures``, ``why``: questions to a store; no cluster runs, nothing is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.errors import Misconfigured
from pipelines.cli.console import console, in_bytes, reasons, show_table
from pipelines.cli.options import StorePlace

if TYPE_CHECKING:
    import pyarrow as pa

    from cluster.ledger import Verdict
    from curate.storage import Store

MOST_ROWS = 200
SHORTEST_KEY = 6
LAST_LINES = 20  # of a log
Key = Annotated[str, typer.Argument(help="The key of a series, study or file, or its beginning.", show_default=False)]
Code = Annotated[
    list[str] | None, typer.Option("--reason", help="Only this reason code; may be given again.", show_default=False)
]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write all of them to a CSV file instead.", show_default=False)]


def status(store: StorePlace) -> None:
    """What happened so far: units and outcomes of every stage, series by site, memory, what is left.

    Can be asked at any time, also while a run goes on.
    """
    import pyarrow.compute as pc

    from cluster.ledger import stages
    from pipelines.state import is_grouped, memory_by_lane, read_files, remainder, series_state

    opened = _open(store)
    show_table(
        "Stages",
        ("stage", "units", "settled", "done", "rejected", "quarantined", "written", "peak memory", "ledger objects"),
        [_stage_row(opened, stage) for stage in stages(opened)],
    )
    if not is_grouped(opened):
        console.print("headers are being read: which series there are is known when all are (`curate run` goes on)")
        _show_last_event(opened)
        return
    state = series_state(opened)
    by_site: dict[str, Counter[str]] = {}
    counts = state.group_by(["site", "status", "reason"]).aggregate([([], "count_all")]).to_pylist()
    for row in sorted(counts, key=lambda row: (row["site"], row["status"], row["reason"] or "")):
        name = row["status"] if row["status"] in ("done", "left") else row["reason"]
        by_site.setdefault(row["site"], Counter())[name] += row["count_all"]
    show_table(
        "Series",
        ("site", "series", "done", "left", "not done"),
        [
            (site, found.total(), found.pop("done", 0), found.pop("left", 0), reasons(dict(sorted(found.items()))))
            for site, found in sorted(by_site.items())
        ],
    )
    show_table(
        "Memory of volumes",
        ("lane", "units", "largest estimate", "largest measured", "units above their lane"),
        [
            (in_bytes(row["lane"]), row["units"], in_bytes(row["estimated"]), in_bytes(row["measured"]), row["over"])
            for row in memory_by_lane(state)
        ],
    )
    files = pc.value_counts(read_files(opened)["reason"]).to_pylist()
    console.print(f"files in no series: {reasons(dict(sorted((row['values'], row['counts']) for row in files)))}")
    left = remainder(state)
    if left.series:
        tried = f", {left.again} of them tried before in vain" if left.again else ""
        console.print(f"not finished: {left.series} series left, {in_bytes(left.bytes)} to read{tried}")
    elif _is_joined(opened):
        console.print("finished: every series has its outcome, and the manifests are written")
    else:
        console.print("every series has its outcome; the manifests are not written yet: `curate run` again")
    _show_last_event(opened)


def failures(store: StorePlace, reason: Code = None, csv: Csv = None) -> None:
    """Every series and file that is not in the result, with its reason."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.csv import write_csv

    from curate.reasons import REASONS
    from pipelines.state import is_grouped, read_files, series_state

    opened = _open(store)
    if unknown := sorted(set(reason or ()) - set(REASONS)):
        raise Misconfigured(f"--reason: there is no reason {', '.join(unknown)}")
    if csv is not None and csv.exists():
        raise Misconfigured(f"{csv} exists; it is not overwritten")
    columns = ["kind", "site", "key", "status", "reason", "detail"]
    if is_grouped(opened):
        series = series_state(opened).rename_columns({"series_key": "key"})
        files = read_files(opened).rename_columns({"file_key": "key"})
        tables = [_of_kind("series", series, columns), _of_kind("file", files, columns)]
    else:
        tables = [_unscanned(opened, columns)]
    failed = pa.concat_tables(tables)
    failed = failed.filter(pc.is_valid(failed["reason"]))
    if reason:
        failed = failed.filter(pc.is_in(failed["reason"], value_set=pa.array(reason)))
    if csv is not None:
        write_csv(failed, csv)
        console.print(f"{failed.num_rows} rows written to {csv}")
        return
    for kind, title in (("series", "Series"), ("file", "Files in no series"), ("chunk", "Parts of archives")):
        rows = failed.filter(pc.equal(failed["kind"], kind))
        if rows.num_rows:
            shown = rows.slice(0, MOST_ROWS).select(columns[1:]).to_pylist()
            show_table(title, columns[1:], [tuple(value or "" for value in row.values()) for row in shown])
        if rows.num_rows > MOST_ROWS:
            console.print(f"and {rows.num_rows - MOST_ROWS} more: --reason CODE, or --csv FILE for all of them")
    counts = Counter({row["values"]: row["counts"] for row in pc.value_counts(failed["reason"]).to_pylist()})
    for code, count in sorted(counts.items()):
        console.print(f"{count} {code}: {REASONS[code].text}")
    if not counts:
        console.print("nothing failed" + (" for this reason" if reason else " so far"))


def why(store: StorePlace, key: Key) -> None:
    """What became of one series, study or file, and of each of its parts; also of a part of an archive, by its key."""
    from cluster.ledger import why as settled
    from curate.reasons import REASONS
    from pipelines.advice import what_to_do
    from pipelines.state import is_grouped, read_files, series_state

    opened = _open(store)
    if len(key) < SHORTEST_KEY:
        raise Misconfigured(f"a key, or at least its first {SHORTEST_KEY} characters")
    is_known = is_grouped(opened)
    series = series_state(opened, key).to_pylist() if is_known else []
    files = read_files(opened, key).to_pylist() if is_known else []
    if not series and not files:
        if not (others := settled(opened, key)):  # a part of an archive, which is the item of the header scan
            unread = "" if is_known else "; the headers are not all read yet, so series are not known"
            raise Misconfigured(f"no series, study or file of this store has a key that begins with '{key}'{unread}")
        for verdict in others:
            _show_verdict(opened, verdict)
    verdicts = settled(opened, *(row["series_key"] for row in series)) if series else ()
    for row in series:
        console.print(f"series {row['series_key']} of study {row['study_key']} at {row['site']}: {row['status']}")
        if row["reason"]:
            console.print(f"  {row['reason']}: {REASONS[row['reason']].text} {row['detail'] or ''}")
        _show_parts(opened, row["series_key"])
        for verdict in verdicts:
            if verdict.outcome.key == row["series_key"]:
                _show_verdict(opened, verdict)
        if row["reason"]:
            console.print(f"  what to do: {what_to_do(REASONS[row['reason']])}", markup=False)
    for row in files:
        console.print(f"file {row['file_key']} at {row['site']}, {in_bytes(row['size_bytes'])}: {row['reason']}")
        console.print(f"  {REASONS[row['reason']].text} {row['detail'] or ''}")
        console.print(f"  what to do: {what_to_do(REASONS[row['reason']])}", markup=False)


def _stage_row(store: Store, stage: str) -> tuple[object, ...]:
    import pyarrow.compute as pc

    from cluster.ledger import Ledger

    ledger = Ledger(store, stage)
    table = ledger.outcomes_table(["status", "bytes", "unit", "peak"])
    counts = Counter({row["values"]: row["counts"] for row in pc.value_counts(table["status"]).to_pylist()})
    return (
        stage,
        pc.count_distinct(table["unit"]).as_py(),
        table.num_rows,
        *(counts[name] for name in ("done", "rejected", "quarantined")),
        in_bytes(pc.sum(table["bytes"]).as_py() or 0),
        in_bytes(pc.max(table["peak"]).as_py() or 0),
        f"{len(ledger.loose())} receipts, {len(ledger.segments())} segments",
    )


def _show_parts(store: Store, series_key: str) -> None:
    from pipelines.state import read_instances

    parts = read_instances(store, series_key).select(["reason", "stack"]).to_pylist()
    apart = Counter(one["reason"] for one in parts if one["reason"])
    stacks = Counter(one["stack"] for one in parts if one["stack"] is not None)
    console.print(f"  {len(parts)} instances, set apart: {reasons(dict(sorted(apart.items())))}")
    for stack, count in sorted(stacks.items()):
        console.print(f"  stack {stack}: {count} slices")


def _show_verdict(store: Store, verdict: Verdict) -> None:
    """One outcome: what it wrote, or the last lines of its worker's log where there is one."""
    outcome = verdict.outcome
    said = f"{outcome.status.value} {outcome.detail}".rstrip()
    console.print(f"  {verdict.stage} {outcome.fingerprint[:16]} in unit {verdict.unit}: {said}")
    for output in outcome.outputs:
        console.print(f"    {output.key} ({in_bytes(output.size)})")
    log = f"logs/{verdict.stage}/{verdict.unit}.txt"
    if outcome.reason is not None and store.exists(log):
        lines = store.get(log).decode("utf-8", "replace").splitlines()
        console.print(f"    last lines of its log, of {len(lines)}:")
        for line in lines[-LAST_LINES:]:
            console.print(f"    | {line}")


def _show_last_event(store: Store) -> None:
    last = max(store.list("events"), default=None)  # a run's folder begins with the time at which it began
    if last is not None and (lines := store.get(last).splitlines()):
        event = json.loads(lines[-1])
        console.print(f"last event: {event.get('event', '')} at {event.get('time', '')}")


def _is_joined(store: Store) -> bool:
    from pipelines.join import JOINED_KEY

    return store.exists(JOINED_KEY) and not json.loads(store.get(JOINED_KEY)).get("untried", 0)


def _of_kind(kind: str, table: pa.Table, columns: list[str]) -> pa.Table:
    import pyarrow as pa

    fixed = {"kind": kind, "status": "set apart"}
    return pa.table(
        {
            name: table[name] if name in table.column_names else pa.repeat(fixed[name], table.num_rows)
            for name in columns
        }
    )


def _unscanned(store: Store, columns: list[str]) -> pa.Table:
    """Parts of archives whose headers could not be read, while nothing more is known."""
    from cluster.ledger import Ledger
    from pipelines.catalogue import STAGE

    table = Ledger(store, STAGE).outcomes_table()
    return _of_kind("chunk", table.append_column("site", table["key"]), columns)


def _open(place: str) -> Store:
    from curate.storage import open_store
    from pipelines.state import require_store

    opened = open_store(place)
    require_store(opened)
    return opened
