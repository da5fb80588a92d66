"""Questions to a whole store: which stages ran, what failed, and what became of one key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from cluster.ledger import segments
from cluster.ledger.receipts import FOLDER, Ledger
from cluster.outcomes import ItemOutcome, Status
from curate.reasons import REASONS
from curate.storage import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """One item's outcome, and the stage and unit that gave it."""

    stage: str
    unit: str
    outcome: ItemOutcome


def stages(store: Store) -> tuple[str, ...]:
    """Names of the stages that have receipts, sorted."""
    return tuple(sorted({key.split("/")[1] for key in store.list(FOLDER) if key.count("/") >= 2}))


def failures(store: Store, *, stage: str | None = None) -> Iterator[Verdict]:
    """Every rejected or quarantined item, by stage, then reason, then key. Their records are not read."""
    for name in stages(store) if stage is None else (stage,):
        table = Ledger(store, name).outcomes_table()
        failed = table.filter(pc.not_equal(table["status"], Status.DONE.value))
        for row in failed.sort_by([(column, "ascending") for column in ("reason", "key", "fingerprint")]).to_pylist():
            outcome = ItemOutcome(
                row["key"], row["fingerprint"], Status(row["status"]), REASONS[row["reason"]], row["detail"]
            )
            yield Verdict(name, row["unit"], outcome)


def why(store: Store, *keys: str) -> tuple[Verdict, ...]:
    """Every outcome of item keys, over all stages and all inputs they were ever settled for. Empty: never heard of."""
    found = []
    for name in stages(store):
        for _, receipt in segments.receipts_in(Ledger(store, name).find(keys)):
            found += [Verdict(name, receipt.unit_id, outcome) for outcome in receipt.outcomes]
    return tuple(sorted(found, key=_order))


def _order(verdict: Verdict) -> tuple[str, str, str, str]:
    outcome = verdict.outcome
    return verdict.stage, outcome.reason.value if outcome.reason else "", outcome.key, outcome.fingerprint
