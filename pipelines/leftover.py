"""What a run would try, by the plan and the ledger that are there: no archive is read, nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from cluster.ledger.best import tried_again
from curate.errors import Misconfigured
from pipelines.made_for import is_made_for
from pipelines.selection import Selection
from pipelines.spec import Spec
from pipelines.state import LEFT, is_grouped, series_state
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Leftover:
    """Counts of series, and bytes to read."""

    series: int
    settled: int  # done, rejected or quarantined, and not tried again
    tried: int
    units: int  # of the plan, at most: those of which something is tried
    bytes: int
    before: Mapping[str, int]  # of those tried: quarantined now, by reason
    untried: int  # left, and not asked for
    too_large: int  # quarantined without work; counted among the settled


def what_is_left(spec: Spec, workspace: Workspace, selection: Selection) -> Leftover:
    """Raises ``Misconfigured`` when there is no plan of this spec yet, and for a selection of series not there."""
    store = workspace.store
    if not is_grouped(store):
        raise Misconfigured("nothing is known of the archives yet: headers must be read first (`curate plan`)")
    state = series_state(store)
    if not is_made_for(spec, workspace):
        raise Misconfigured("the plan of this store is of another spec: `curate plan` this one first")
    keys = state["series_key"].to_pylist()
    selection.check(keys)
    wanted = pa.array([selection.wants(key) for key in keys], pa.bool_())
    # without a lane there is no work to do, but the run says so anew
    has_lane = pc.is_valid(state["lane_bytes"])
    again = pc.fill_null(tried_again(state, selection.again), False)
    is_left = pc.equal(state["status"], LEFT)
    tried = state.filter(pc.and_(pc.and_(pc.or_(is_left, again), wanted), has_lane))
    before = pc.value_counts(tried["reason"].drop_null()).to_pylist()
    untried = pc.sum(pc.and_(is_left, pc.invert(wanted))).as_py() or 0
    no_lane = pc.and_(pc.is_valid(state["fingerprint"]), pc.invert(has_lane))
    return Leftover(
        series=state.num_rows,
        settled=state.num_rows - tried.num_rows - untried,
        tried=tried.num_rows,
        units=pc.count_distinct(tried["planned"]).as_py(),
        bytes=pc.sum(tried["size_bytes"]).as_py() or 0,
        before=dict(sorted((row["values"], row["counts"]) for row in before)),
        untried=untried,
        too_large=pc.sum(no_lane).as_py() or 0,
    )
