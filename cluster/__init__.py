"""The runtime: opaque items packed into units, attempted by workers, settled by receipts in a ledger."""

from cluster.attempt import UnitReport
from cluster.executors import Executor, open_executor
from cluster.job import Done, Job
from cluster.ledger import Ledger, make_account
from cluster.outcomes import Output, Status
from cluster.units import Item, pack

__all__ = [
    "Done",
    "Executor",
    "Item",
    "Job",
    "Ledger",
    "Output",
    "Status",
    "UnitReport",
    "make_account",
    "open_executor",
    "pack",
]
