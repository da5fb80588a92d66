"""Receipts of one stage in a store, ``ledger/<stage>/<unit id>.json``, each created once and never replaced.

An item may be settled more than once: a quarantined one may be tried again, two drivers may race. The best outcome
counts (done, then rejected, then quarantined), so what readers see does not depend on who came first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from cluster.outcomes import DamagedReceipt, ItemOutcome, Receipt
from curate.reasons import Reason
from curate.storage import Store

FOLDER = "ledger"

# outcomes that say more of the machine than of the item: counted as quarantined, tried again by the next run
AGAIN = frozenset({Reason.STORAGE_UNAVAILABLE, Reason.TOO_LARGE})


class Ledger:
    """One stage's receipts."""

    def __init__(self, store: Store, stage: str) -> None:
        self.store = store
        self.stage = stage

    def publish(self, receipt: Receipt) -> bool:
        """Write the receipt unless its unit is settled as well already. True if this call wrote it.

        A later receipt of the same unit that is better for some item gets the next free name beside the first.
        """
        content = receipt.to_json()
        existing: list[Receipt] = []
        while not self.store.put_new(self._key(receipt.unit_id, len(existing)), content):
            existing.append(self._read(self._key(receipt.unit_id, len(existing))))
            if not _improves(receipt, existing):
                return False
        return True

    def find_settled(self, unit_id: str, *, again: Collection[Reason] = AGAIN) -> Receipt | None:
        """The last receipt of a unit if it settles all its items, or None."""
        found = None
        number = 0
        while self.store.exists(key := self._key(unit_id, number)):
            found = self._read(key)
            number += 1
        if found is None or any(outcome.reason in again for outcome in found.outcomes):
            return None
        return found

    def receipts(self) -> Iterator[Receipt]:
        """All receipts, in the order of their names. Raises ``DamagedReceipt`` naming one that is unreadable."""
        for key in self.store.list(f"{FOLDER}/{self.stage}"):
            if key.endswith(".json"):
                yield self._read(key)

    def outcomes(self) -> dict[str, ItemOutcome]:
        """The outcome that counts of every item ever settled, by fingerprint."""
        best: dict[str, ItemOutcome] = {}
        for receipt in self.receipts():
            for outcome in receipt.outcomes:
                known = best.get(outcome.fingerprint)
                if known is None or _order(outcome) < _order(known):
                    best[outcome.fingerprint] = outcome
        return best

    def settled(self, *, again: Collection[Reason] = AGAIN) -> dict[str, ItemOutcome]:
        """Outcomes by fingerprint that a plan need not try: all but those whose reason is in ``again``."""
        return {name: outcome for name, outcome in self.outcomes().items() if outcome.reason not in again}

    def _key(self, unit_id: str, number: int) -> str:
        return f"{FOLDER}/{self.stage}/{unit_id}{f'.{number}' if number else ''}.json"

    def _read(self, key: str) -> Receipt:
        try:
            return Receipt.from_json(self.store.get(key))
        except DamagedReceipt as error:
            raise DamagedReceipt(f"{key}: {error}") from None


def _order(outcome: ItemOutcome) -> tuple[int, str, str]:
    return outcome.status.rank, outcome.reason.value if outcome.reason else "", outcome.detail


def _improves(receipt: Receipt, existing: list[Receipt]) -> bool:
    best: dict[str, int] = {}
    for known in existing:
        for outcome in known.outcomes:
            best[outcome.fingerprint] = min(outcome.status.rank, best.get(outcome.fingerprint, outcome.status.rank))
    return any(outcome.status.rank < best.get(outcome.fingerprint, 99) for outcome in receipt.outcomes)
