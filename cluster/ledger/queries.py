"""Questions to a whole store: which stages ran, what failed, and what became of one key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.ledger.receipts import FOLDER, Ledger
from cluster.outcomes import ItemOutcome, Status
from curate.storage import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """One item's outcome and the stage that gave it."""

    stage: str
    outcome: ItemOutcome


def stages(store: Store) -> tuple[str, ...]:
    """Names of the stages that have receipts, sorted."""
    return tuple(sorted({key.split("/")[1] for key in store.list(FOLDER) if key.count("/") >= 2}))


def failures(store: Store, *, stage: str | None = None) -> Iterator[Verdict]:
    """Every rejected or quarantined item, by stage, then reason, then key."""
    for verdict in _verdicts(store, stage):
        if verdict.outcome.status is not Status.DONE:
            yield verdict


def why(store: Store, key: str) -> tuple[Verdict, ...]:
    """Every outcome of an item key, over all stages and all inputs it was ever settled for. Empty: never heard of."""
    return tuple(verdict for verdict in _verdicts(store, None) if verdict.outcome.key == key)


def _verdicts(store: Store, stage: str | None) -> Iterator[Verdict]:
    for name in stages(store) if stage is None else (stage,):
        yield from (Verdict(name, outcome) for outcome in sorted(Ledger(store, name).outcomes().values(), key=_order))


def _order(outcome: ItemOutcome) -> tuple[str, str, str]:
    return outcome.reason.value if outcome.reason else "", outcome.key, outcome.fingerprint
