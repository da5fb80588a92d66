"""At the end of a run no Python object of a unit stays with the driver; of rows see ``test_ordering``."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from cluster.ledger import Ledger, compact
from cluster.outcomes import ItemOutcome, Receipt, Status
from pipelines import join as joining
from pipelines.join import join
from pipelines.ordering import Ordering
from pipelines.settled import account_of
from tests.support.tiny_series import open_tiny, plan_tiny

OF_PARTITION = 32
OUTCOMES = 32  # of a receipt


def peaks(folder: Path, series: int) -> int:
    """Largest memory of Python objects (bytes) while so many settled series are accounted for and joined."""
    folder.mkdir()
    spec, plan, workspace = plan_tiny(folder, series, series // OF_PARTITION, slices=0)
    ledger = Ledger(workspace.store, plan.job.stage)
    work = open_tiny(plan.job.config)
    items = list(plan.read_items())
    for first in range(0, len(items), OUTCOMES):
        some = items[first : first + OUTCOMES]
        outcomes = tuple(ItemOutcome(one.key, one.fingerprint, Status.DONE, record=work(one).record) for one in some)
        ledger.publish(Receipt(plan.job.stage, 1, f"u{first:05d}", "0" * 64, outcomes))
        compact(ledger, least=1)
    del items
    tracemalloc.start()
    try:
        assert account_of(workspace.store, plan.job.stage, plan.index.partitions).done == series
        assert join(spec, workspace, plan.job.stage, plan.index.partitions).volumes == series
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_of_more_units_no_outcome_and_no_row_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "SERIES_AT_ONCE", 8)
    monkeypatch.setattr(Ordering.__init__, "__kwdefaults__", {"held_bytes": 4_000})  # what waits in memory for the disk
    peaks(tmp_path / "warm", OF_PARTITION)  # what is imported and cached on the way is not counted
    few = peaks(tmp_path / "few", 2 * OF_PARTITION)
    many = peaks(tmp_path / "many", 8 * OF_PARTITION)
    assert (many - few) / (6 * OF_PARTITION) < 1_000  # bytes a unit: an outcome with its record alone takes more
