"""What the ledger says of a plan, partition by partition: what is left to do, and the account at the end.

Outcomes are sorted out into the partitions of the plan first, so neither the ledger nor the plan is ever in memory
whole, and memory does not grow with the number of units.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.ledger import AGAIN, Account, Ledger, make_account
from cluster.ledger.best import best_outcomes, tried_again
from cluster.outcomes import ItemOutcome, Status
from cluster.scratch import scratch_folder
from cluster.units import Unit
from curate.reasons import REASONS, Reason
from curate.storage import Store
from pipelines.packing import PLAN_TABLE, Amount, amount_of, count_rows, items_of, units_of
from pipelines.partitions import Index, read_part
from pipelines.selection import EVERYTHING, Selection
from pipelines.shuffle import Shuffle

Slice = Callable[[int, int], list[ItemOutcome | None]]  # of the keys: from which on, how many
Records = Callable[[int, pa.ChunkedArray], Slice]  # of a partition and the series keys in it

HELD_BYTES = 8 * 2**20  # of outcomes in memory
_OUTCOMES = pa.schema(
    [("fingerprint", pa.string()), ("status", pa.string()), ("reason", pa.string()), ("bytes", pa.int64())]
)
_RECORDS = pa.schema(
    [
        *((name, pa.string()) for name in ("fingerprint", "key", "status", "reason", "detail", "unit", "record")),
        ("peak", pa.int64()),
    ]
)
_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class Ending:
    """The best outcome of one item, as far as counting needs it."""

    status: Status
    reason: Reason | None
    size: int  # bytes published


class Settled:
    """The outcomes of one stage, by the partition of their item's key."""

    def __init__(self, rows: Shuffle) -> None:
        self._rows = rows

    @property
    def rows(self) -> int:
        """Outcomes in the ledger, of whatever plan."""
        return self._rows.rows

    def partition(self, number: int) -> dict[str, Ending]:
        """The outcome that counts of every item of a partition that was ever settled, by fingerprint."""
        table = best_outcomes(self._rows.partition(number))
        columns = (table[name].to_pylist() for name in _OUTCOMES.names)
        return {
            mark: Ending(_STATUSES[status], None if reason is None else REASONS[reason], size)
            for mark, status, reason, size in zip(*columns, strict=True)
        }

    def marks(self, number: int, again: Collection[Reason] = AGAIN) -> pa.ChunkedArray:
        """Fingerprints of a partition's items that need not be tried: all but those quarantined for ``again``."""
        table = best_outcomes(self._rows.partition(number))
        return table.filter(pc.invert(tried_again(table, again)))["fingerprint"]


@contextmanager
def read_settled(ledger: Ledger, partitions: int) -> Iterator[Settled]:
    """Sort the ledger's outcomes out, for as long as the context lasts."""
    with scratch_folder("curate-ledger-") as scratch:
        rows = Shuffle(scratch / "outcomes", _OUTCOMES, partitions, held_bytes=HELD_BYTES)
        for table in ledger.rows(["key", *_OUTCOMES.names]):
            rows.add(table.select(_OUTCOMES.names).cast(_OUTCOMES), table["key"])
        yield Settled(rows)


@contextmanager
def read_records(ledger: Ledger, partitions: int) -> Iterator[Records]:
    """What the ledger says of a plan's series, with their records, for as long as the context lasts."""
    with scratch_folder("curate-ledger-") as scratch:
        rows = Shuffle(scratch / "records", _RECORDS, partitions, held_bytes=HELD_BYTES)
        for table in ledger.rows(_RECORDS.names):
            rows.add(table, table["key"])

        def look_up(number: int, keys: pa.ChunkedArray) -> Slice:
            outcomes = best_outcomes(rows.partition(number))
            plan = read_part(ledger.store, PLAN_TABLE, number, partitions, columns=["series_key", "fingerprint"])
            marks = plan["fingerprint"].take(pc.index_in(keys, value_set=plan["series_key"]))
            places = pc.index_in(marks, value_set=outcomes["fingerprint"])

            def read(first: int, count: int) -> list[ItemOutcome | None]:
                return list(map(_outcome, outcomes.take(places.slice(first, count)).to_pylist()))

            return read

        yield look_up


def _outcome(row: Mapping[str, Any]) -> ItemOutcome | None:
    """Without its outputs; None of a row of nulls."""
    if row["fingerprint"] is None:
        return None
    reason = None if row["reason"] is None else REASONS[row["reason"]]
    told = row["detail"], (), json.loads(row["record"])
    return ItemOutcome(row["key"], row["fingerprint"], _STATUSES[row["status"]], reason, *told)


def count_left(store: Store, stage: str, plan: Index, selection: Selection = EVERYTHING) -> Amount:
    """What is to be tried, counted without making a unit."""
    with read_settled(Ledger(store, stage), plan.partitions) as settled:
        if not settled.rows and not selection.only:
            return amount_of(plan)
        return sum(map(count_rows, _rows_left(store, plan.partitions, settled, selection)), Amount())


def units_left(
    store: Store, stage: str, partitions: int, selection: Selection = EVERYTHING, *, largest_first: bool = False
) -> Iterator[Unit]:
    """Plan minus ledger, as it is when the first unit is asked for; the units of one partition at a time.

    ``largest_first``: within a partition, so that at the end no worker waits long for the last unit of another.
    """
    with read_settled(Ledger(store, stage), partitions) as settled:
        for rows in _rows_left(store, partitions, settled, selection):
            yield from units_of(stage, _largest_first(rows) if largest_first else rows)


def _largest_first(rows: pa.Table) -> pa.Table:
    """PLAN rows of units, those of the unit with most bytes first; those of one unit stay together and in order."""
    sizes = rows.group_by("unit", use_threads=False).aggregate([("size_bytes", "sum")])
    of_rows = sizes["size_bytes_sum"].take(pc.index_in(rows["unit"], value_set=sizes["unit"]))
    by = pa.table({"bytes": of_rows, "unit": rows["unit"]})
    return rows.take(pc.sort_indices(by, [("bytes", "descending"), ("unit", "ascending")]))  # stable


def account_of(store: Store, stage: str, partitions: int, selection: Selection = EVERYTHING) -> Account:
    """Hold every item of the plan that was asked for, and every other that has an outcome, against the ledger.

    Raises ``Unaccounted`` for items that have none.
    """
    with read_settled(Ledger(store, stage), partitions) as settled:
        return reduce(
            Account.__add__, (_account(store, number, partitions, settled, selection) for number in range(partitions))
        )


def _account(store: Store, number: int, partitions: int, settled: Settled, selection: Selection) -> Account:
    outcomes = settled.partition(number)
    items = items_of(read_part(store, PLAN_TABLE, number, partitions))
    return make_account((one for one in items if selection.wants(one.key) or one.fingerprint in outcomes), outcomes)


def _rows_left(store: Store, partitions: int, settled: Settled, selection: Selection) -> Iterator[pa.Table]:
    for number in range(partitions):
        rows = read_part(store, PLAN_TABLE, number, partitions)
        marks = settled.marks(number, selection.again)
        rows = rows.filter(pc.and_(pc.is_valid(rows["unit"]), pc.invert(pc.is_in(rows["fingerprint"], marks))))
        if selection.only:
            rows = rows.filter(pa.array(map(selection.wants, rows["series_key"].to_pylist()), pa.bool_()))
        yield rows
