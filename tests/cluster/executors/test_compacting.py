"""Compaction beside a running stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.executors import Inline
from cluster.executors.compacting import Compacting
from cluster.ledger import Ledger
from cluster.outcomes import DamagedReceipt
from cluster.units import Unit, make_unit
from curate.storage import LocalStore
from tests.support.cluster_jobs import digests_of, make_item, make_job


def units(count: int) -> list[Unit]:
    return [make_unit("work", [make_item(f"a{number}")], 1000) for number in range(count)]


def test_a_long_stage_is_compacted_while_it_runs(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    ledger = Ledger(store, "work")
    executor = Compacting(Inline(store.url), store, most_loose=70)
    seen: list[tuple[int, int]] = []
    for _ in executor.run(make_job(store.url), units(300)):
        seen.append((len(ledger.loose()), len(ledger.segments())))
    assert len(seen) == 300
    assert any(segments for _, segments in seen)
    assert max(loose for loose, _ in seen) < 300
    assert 0 < len(ledger.loose()) < 150
    assert len(ledger.outcomes()) == 300


def test_a_compacted_store_holds_the_same_results(tmp_path: Path) -> None:
    for name, executor in (
        ("calm", Inline(str(tmp_path / "calm"))),
        ("small", Compacting(Inline(str(tmp_path / "small")), LocalStore(tmp_path / "small"), most_loose=64)),
    ):
        for _ in executor.run(make_job(tmp_path / name), units(150)):
            pass
    calm, small = (Ledger(LocalStore(tmp_path / name), "work") for name in ("calm", "small"))
    assert digests_of(tmp_path / "calm") == digests_of(tmp_path / "small")
    assert calm.outcomes() == small.outcomes()


def test_it_stops_when_it_is_closed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    closed = False

    class Closing(Inline):
        def run(self, job, units):  # type: ignore[no-untyped-def]
            nonlocal closed
            try:
                yield from super().run(job, units)
            finally:
                closed = True

    reports = Compacting(Closing(store.url), store).run(make_job(store.url), units(5))
    assert isinstance(reports, Iterator)
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    assert closed
    assert len(Ledger(store, "work").loose()) == 1


def test_a_compaction_that_cannot_go_on_is_not_passed_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "ledger/work").mkdir(parents=True)
    (tmp_path / "ledger/work/bad.json").write_text('{"unit_id":"bad","version":1}')
    with pytest.raises(DamagedReceipt, match="bad"):
        for _ in Compacting(Inline(store.url), store, most_loose=70).run(make_job(store.url), units(80)):
            pass
    assert len(Ledger(store, "work").loose()) > 70
