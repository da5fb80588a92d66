"""Of several outcomes of a fingerprint the best counts: done, then rejected, then quarantined. On Arrow columns."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from cluster.outcomes import Status
from curate.reasons import Reason

COLUMNS = ("fingerprint", "key", "status", "reason", "detail", "bytes", "unit", "peak")
ORDER = (
    "fingerprint",
    "status",
    "reason",
    "detail",
    "unit",
    "peak",
)  # what the choice needs
_RANKS = [status.value for status in sorted(Status, key=lambda status: status.rank)]


def best_outcomes(table: pa.Table) -> pa.Table:
    """One row a fingerprint. ``table``: rows of receipts; those columns of ORDER that it has decide."""
    marks = table["fingerprint"]
    if pc.count_distinct(marks).as_py() == table.num_rows:
        return table
    counts = pc.value_counts(marks)
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    repeated = pc.is_in(marks, value_set=several)
    rivals = table.filter(repeated)
    ranked = rivals.append_column("rank", pc.index_in(rivals["status"], value_set=pa.array(_RANKS)))
    others = [name for name in ORDER[2:] if name in table.column_names]
    keys = ["fingerprint", "rank", *others]  # to the last column: of equal ones always the same
    order = pc.sort_indices(ranked.select(keys), sort_keys=[(key, "ascending") for key in keys])
    rivals = rivals.take(order)
    ordered = rivals["fingerprint"].combine_chunks()
    is_first = pa.concat_arrays([pa.array([True]), pc.not_equal(ordered[1:], ordered[:-1])])
    return pa.concat_tables([table.filter(pc.invert(repeated)), rivals.filter(is_first)])


def tried_again(table: pa.Table, again: Collection[Reason]) -> pa.ChunkedArray:
    """Which rows are quarantined for one of these reasons, of a table with the columns status and reason."""
    codes = pa.array([reason.value for reason in again], pa.string())
    return pc.and_(pc.equal(table["status"], Status.QUARANTINED.value), pc.is_in(table["reason"], value_set=codes))
