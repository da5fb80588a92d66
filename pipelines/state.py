"""Where every series of a store stands, from its catalogue, plan and ledger alone: no cluster, no spec, no key.

Works at any moment of a run. Tables all the way: a million series take some seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from cluster.ledger import AGAIN, Ledger
from cluster.ledger.best import tried_again
from curate.errors import Misconfigured
from curate.storage import Store
from pipelines.grouping import FILES_TABLE, INSTANCES_TABLE, SERIES_TABLE
from pipelines.packing import PLAN, PLAN_TABLE
from pipelines.partitions import read_index, read_rows_of, read_whole
from pipelines.volumes import STAGE

LEFT = "left"  # the status of a series that no receipt settles
FOLDERS = ("catalogue", "ledger", "events")  # a store has one of them as soon as a run has begun
_OF_SERIES = ("site", "study_key", "series_key", "size_bytes", "status", "reason", "detail")
_OF_PLAN = {  # column of PLAN -> of the table of states
    "series_key": "series_key",
    "fingerprint": "fingerprint",
    "memory_bytes": "memory_bytes",
    "lane_bytes": "lane_bytes",
    "unit": "planned",
}
_OF_OUTCOME = ("fingerprint", "status", "reason", "detail", "bytes", "unit", "peak")


@dataclass(frozen=True)
class Remainder:
    """What the next run will try."""

    series: int
    bytes: int  # of source files
    again: int  # of these series, those that were quarantined for what the machine did


def require_store(store: Store) -> None:
    """Raises ``Misconfigured`` for a place in which no run has begun."""
    if not any(next(store.list(folder), None) for folder in FOLDERS):
        raise Misconfigured(f"{store.url} is no store: no run has begun there (see `curate run`)")


def is_grouped(store: Store) -> bool:
    """Whether all headers were read once, so that it is known which series there are."""
    return store.exists(f"{SERIES_TABLE}/index.json")


def read_series(store: Store, beginning: str | None = None) -> pa.Table:
    """SERIES as the catalogue has them, or those whose key or study's key begins so.

    Raises ``FileNotFoundError`` before grouping is done.
    """
    hits = None
    if beginning is not None:
        of_series, of_study = (pc.starts_with(pc.field(name), beginning) for name in ("series_key", "study_key"))
        hits = of_series | of_study
    return read_whole(store, SERIES_TABLE, columns=_OF_SERIES, filters=hits)


def read_files(store: Store, beginning: str | None = None) -> pa.Table:
    """FILES that are in no series, or those whose key begins so. Raises ``FileNotFoundError`` before grouping."""
    hits = None if beginning is None else pc.starts_with(pc.field("file_key"), beginning)
    return read_whole(store, FILES_TABLE, filters=hits)


def read_instances(store: Store, series_key: str) -> pa.Table:
    """INSTANCES of one series."""
    return read_rows_of(store, INSTANCES_TABLE, series_key, read_index(store, INSTANCES_TABLE).partitions)


def read_plan(store: Store, series_keys: pa.ChunkedArray | None = None) -> pa.Table:
    """PLAN: every accepted series, or some; unit and lane are null where no lane holds it. Empty before a plan."""
    if not store.exists(f"{PLAN_TABLE}/index.json"):
        return PLAN.empty_table()
    hits = None if series_keys is None else pc.field("series_key").isin(series_keys.combine_chunks())
    return read_whole(store, PLAN_TABLE, columns=list(_OF_PLAN), filters=hits)


def plan_digest(store: Store) -> str | None:
    """Says whether two looks saw the same plan. None before there is one."""
    try:
        return read_index(store, PLAN_TABLE).digest
    except FileNotFoundError:
        return None


def series_state(store: Store, beginning: str | None = None) -> pa.Table:
    """One row a series of the catalogue with the outcome that counts, or of those that ``read_series`` gives.

    Columns: site, study_key, series_key, size_bytes (source), status (done, rejected, quarantined or LEFT), reason,
    detail, fingerprint, memory_bytes (estimate), lane_bytes, planned (unit of the plan), bytes (written), unit (that
    settled it), peak (bytes, measured of that unit). From fingerprint on null where not known. Sorted as SERIES.
    Raises ``FileNotFoundError`` before grouping is done.
    """
    series = read_series(store, beginning)
    keys = series["series_key"]
    planned = _rows_for(keys, read_plan(store, None if beginning is None else keys), "series_key")
    ledger = Ledger(store, STAGE)
    outcomes = ledger.outcomes_table(_OF_OUTCOME) if beginning is None else ledger.find(keys.to_pylist())
    ended = _rows_for(planned["fingerprint"], outcomes, "fingerprint")
    is_ended = pc.is_valid(ended["status"])
    by_headers = pc.if_else(pc.equal(series["status"], "accepted"), LEFT, series["status"])
    settled = {
        "status": pc.if_else(is_ended, ended["status"], by_headers),
        "reason": pc.if_else(is_ended, ended["reason"], series["reason"]),
        "detail": pc.if_else(is_ended, ended["detail"], series["detail"]),
    }
    known = {name: series[name] for name in _OF_SERIES} | settled
    known |= {column: planned[name] for name, column in _OF_PLAN.items() if name != "series_key"}
    return pa.table(known | {name: ended[name] for name in ("bytes", "unit", "peak")})


def _rows_for(keys: pa.ChunkedArray, table: pa.Table, column: str) -> pa.Table:
    """The row of a table for each key, all null where it has none. ``column`` of the table is distinct."""
    return table.take(pc.index_in(keys, value_set=table[column]))


def remainder(state: pa.Table) -> Remainder:
    """What is left, of a table that ``series_state`` gave."""
    again = tried_again(state, AGAIN)
    left = state.filter(pc.or_(pc.equal(state["status"], LEFT), pc.fill_null(again, False)))
    return Remainder(left.num_rows, pc.sum(left["size_bytes"]).as_py() or 0, pc.sum(again).as_py() or 0)


def memory_by_lane(state: pa.Table) -> list[dict[str, int]]:
    """Units by lane: how many, the largest estimate of a series in them, the largest peak, and how many exceeded it.

    All sizes in bytes. A unit of several series counts by its largest estimate.
    """
    measured = state.filter(pc.and_(pc.is_valid(state["lane_bytes"]), pc.greater(pc.fill_null(state["peak"], 0), 0)))
    units = measured.group_by(["unit", "lane_bytes"]).aggregate([("memory_bytes", "max"), ("peak", "max")])
    over = pc.cast(pc.greater(units["peak_max"], units["lane_bytes"]), pa.int64())
    lanes = (
        units.append_column("over", over)
        .group_by("lane_bytes")
        .aggregate([("unit", "count"), ("memory_bytes_max", "max"), ("peak_max", "max"), ("over", "sum")])
        .sort_by("lane_bytes")
    )
    return [
        {
            "lane": row["lane_bytes"],
            "units": row["unit_count"],
            "estimated": row["memory_bytes_max_max"],
            "measured": row["peak_max_max"],
            "over": row["over_sum"],
        }
        for row in lanes.to_pylist()
    ]
