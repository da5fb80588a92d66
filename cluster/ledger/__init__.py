"""The ledger: which items are settled, how, and why. Read from the store alone, without a cluster."""

from cluster.ledger.account import Account, Unaccounted, make_account
from cluster.ledger.compaction import compact
from cluster.ledger.queries import Verdict, failures, stages, why
from cluster.ledger.receipts import AGAIN, Ledger

__all__ = [
    "AGAIN",
    "Account",
    "Ledger",
    "Unaccounted",
    "Verdict",
    "compact",
    "failures",
    "make_account",
    "stages",
    "why",
]
