"""Where every series of a store stands, from its catalogue, plan and ledger alone: no cluster, no spec, no key.

Works at any moment of a run. Tables all the way: a million series take some seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from cluster.ledger import AGAIN, Ledger
from cluster.ledger.best import tried_again
from curate.errors import Misconfigured
from curate.manifests import read_table
from curate.storage import Store, sha256_bytes
from pipelines.grouping import FILES_KEY, INSTANCES_KEY, SERIES_KEY
from pipelines.plan import PLAN, PLAN_KEY
from pipelines.volumes import STAGE

LEFT = "left"  # the status of a series that no receipt settles
FOLDERS = ("catalogue", "ledger", "events")  # a store has one of them as soon as a run has begun
_OF_SERIES = ("site", "patient_key", "study_key", "series_key", "size_bytes", "status", "reason", "detail")
_OF_PLAN = {  # column of PLAN -> of the table of states
    "series_key": "series_key",
    "fingerprint": "fingerprint",
    "memory_bytes": "memory_bytes",
    "lane_bytes": "lane_bytes",
    "unit": "planned",
}
_OF_OUTCOME = {"status": "ended", "reason": "why", "detail": "word", "bytes": "bytes", "unit": "unit", "peak": "peak"}


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
    return store.exists(SERIES_KEY)


def read_series(store: Store) -> pa.Table:
    """SERIES as the catalogue has them. Raises ``FileNotFoundError`` before grouping is done."""
    return read_table(store, SERIES_KEY)


def read_files(store: Store) -> pa.Table:
    """FILES that are in no series. Raises ``FileNotFoundError`` before grouping is done."""
    return read_table(store, FILES_KEY)


def read_instances(store: Store, series_key: str) -> pa.Table:
    """INSTANCES of one series."""
    return read_table(store, INSTANCES_KEY, filters=pc.field("series_key") == series_key)


def read_plan(store: Store) -> pa.Table:
    """PLAN: every accepted series; unit and lane are null where no lane holds it. Empty before a plan."""
    return read_table(store, PLAN_KEY) if store.exists(PLAN_KEY) else PLAN.empty_table()


def plan_digest(store: Store) -> str | None:
    """Says whether two looks saw the same plan. None before there is one."""
    return sha256_bytes(store.get(PLAN_KEY)) if store.exists(PLAN_KEY) else None


def series_state(store: Store) -> pa.Table:
    """One row a series of the catalogue with the outcome that counts.

    Columns: site, patient_key, study_key, series_key, size_bytes (source), status (done, rejected, quarantined or
    LEFT), reason, detail, fingerprint, memory_bytes (estimate), lane_bytes, planned (unit of the plan), bytes
    (written), unit (that settled it), peak (bytes, measured of that unit). From fingerprint on null where not known.
    Sorted as SERIES.
    Raises ``FileNotFoundError`` before grouping is done.
    """
    series = read_series(store).select(list(_OF_SERIES))
    series = series.append_column("order", pa.array(range(series.num_rows), pa.int64()))
    plan = read_plan(store).select(list(_OF_PLAN)).rename_columns(list(_OF_PLAN.values()))
    outcomes = Ledger(store, STAGE).outcomes_table(["fingerprint", *_OF_OUTCOME])
    outcomes = outcomes.rename_columns(["fingerprint", *_OF_OUTCOME.values()])
    joined = series.join(plan, keys="series_key", join_type="left outer")
    joined = joined.join(outcomes, keys="fingerprint", join_type="left outer").sort_by("order").drop_columns("order")
    ended = pc.is_valid(joined["ended"])
    by_headers = pc.if_else(pc.equal(joined["status"], "accepted"), LEFT, joined["status"])
    settled = {
        "status": pc.if_else(ended, joined["ended"], by_headers),
        "reason": pc.if_else(ended, joined["why"], joined["reason"]),
        "detail": pc.if_else(ended, joined["word"], joined["detail"]),
    }
    for name, values in settled.items():
        joined = joined.set_column(joined.schema.get_field_index(name), name, values)
    return joined.drop_columns(["ended", "why", "word"])


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


def begins_with(table: pa.Table, columns: Sequence[str], key: str) -> pa.Table:
    """The rows in which one of the columns begins with a key."""
    hits = [pc.fill_null(pc.starts_with(table[column], key), False) for column in columns]
    mask = hits[0]
    for more in hits[1:]:
        mask = pc.or_(mask, more)
    return table.filter(mask)
