"""Small segments become few, whoever dies, races or reads meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.ledger import Ledger, compact
from cluster.ledger.merging import LEAST_SEGMENTS, discard, merge, note_of
from cluster.ledger.pruning import prune
from cluster.outcomes import ItemOutcome, Receipt, Status
from curate.errors import CurateError
from curate.reasons import Reason
from curate.storage import LocalStore

LARGE = 10**9


def receipt(unit: int, status: Status = Status.DONE, *, version: int = 2) -> Receipt:
    reason = None if status is Status.DONE else Reason.STORAGE_UNAVAILABLE
    outcome = ItemOutcome(f"k{unit}", f"f{unit}", status, reason, record={"n": unit})
    return Receipt("volumes", version, f"u{unit:04d}", "p", (outcome,), 1000 + unit)


def resumed(folder: Path, times: int = 12) -> Ledger:
    """A ledger after so many small runs: a segment each."""
    ledger = Ledger(LocalStore(folder), "volumes")
    for unit in range(times):
        ledger.publish_segment({f"u{unit:04d}": receipt(unit).to_json()})
    return ledger


class Watched(LocalStore):
    """A store that lets a test act before each writing step of somebody else."""

    def __init__(self, root: Path, before: Callable[[str], None]) -> None:
        super().__init__(root)
        self._before = before

    def put_new(self, key: str, content: bytes | memoryview) -> bool:
        self._before(key)
        written = super().put_new(key, content)
        self._before(key)
        return written

    def put(self, key: str, content: bytes | memoryview) -> None:
        self._before(key)
        super().put(key, content)
        self._before(key)

    def delete(self, key: str) -> None:
        self._before(key)
        super().delete(key)


def test_small_segments_become_one_that_says_the_same(tmp_path: Path) -> None:
    ledger = resumed(tmp_path)
    outcomes, receipts = ledger.outcomes(), {one.unit_id: one for one in ledger.receipts()}
    before = ledger.segments()
    assert merge(ledger, segment_bytes=LARGE, least=2) == 12
    (merged,) = ledger.segments()
    assert ledger.outcomes() == outcomes
    assert {one.unit_id: one for one in ledger.receipts()} == receipts
    assert ledger.notes() == {merged: before}
    assert set(ledger.store.list("ledger")) == {merged, note_of(merged), *before}
    assert merge(ledger, segment_bytes=LARGE, least=2) == 0


def test_few_or_large_segments_are_left(tmp_path: Path) -> None:
    ledger = resumed(tmp_path)
    assert merge(ledger, segment_bytes=LARGE) == 0
    assert merge(ledger, segment_bytes=LARGE, least=2, small=10) == 0
    assert len(ledger.segments()) == 12


def test_a_ledger_that_was_resumed_over_and_over_has_few_segments_at_any_time(tmp_path: Path) -> None:
    ledger = Ledger(LocalStore(tmp_path), "volumes")
    for unit in range(3 * LEAST_SEGMENTS):
        ledger.publish(receipt(unit))
        compact(ledger, least=1)
        assert len(ledger.segments()) < LEAST_SEGMENTS
        assert len(ledger.notes()) <= 1
    assert set(ledger.outcomes()) == {f"f{unit}" for unit in range(3 * LEAST_SEGMENTS)}


def test_merged_segments_have_a_bounded_size(tmp_path: Path) -> None:
    ledger = resumed(tmp_path)
    outcomes = ledger.outcomes()
    merge(ledger, segment_bytes=4 * len(receipt(99).to_json()), least=2)
    assert len(ledger.segments()) == 3
    assert ledger.outcomes() == outcomes


def test_the_name_depends_on_the_receipts_alone(tmp_path: Path) -> None:
    one, other = resumed(tmp_path / "one"), Ledger(LocalStore(tmp_path / "other"), "volumes")
    for first in (0, 6):  # cut otherwise, and with another peak of one that was tried twice
        units = range(first, first + 6)
        other.publish_segment({f"u{unit:04d}": receipt(unit).to_json() for unit in units})
    late = replace(receipt(3), peak_memory_bytes=9999).to_json()
    for each in (one, other):
        each.publish_segment({"u0003": late})
        merge(each, segment_bytes=LARGE, least=2)
    assert one.segments() == other.segments()
    assert {one.unit_id: one.peak_memory_bytes for one in one.receipts()}["u0003"] == 1003


def test_dying_at_any_step_loses_nothing_and_the_next_merge_ends_it(tmp_path: Path) -> None:
    steps = 0
    for steps in range(1, 60):
        ledger = resumed(tmp_path / str(steps), 6)
        outcomes = ledger.outcomes()
        left = steps

        def die_later(key: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        dying = Ledger(Watched(ledger.store.root, die_later), "volumes")  # type: ignore[attr-defined]
        try:
            merge(dying, segment_bytes=LARGE, least=2)
            ledger.publish_segment({"u0099": receipt(99).to_json()})
            outcomes = ledger.outcomes()
            merge(dying, segment_bytes=LARGE, least=2)  # of a merged one and another
        except KeyboardInterrupt:
            assert ledger.outcomes() == outcomes, steps
            merge(ledger, segment_bytes=LARGE, least=2)
            assert ledger.outcomes() == outcomes
            assert len(ledger.segments()) == 1
            discard(ledger)
            assert ledger.outcomes() == outcomes
        else:
            break
    assert steps > 8


def test_two_drivers_merge_while_others_write_and_read(tmp_path: Path) -> None:
    ledger = Ledger(LocalStore(tmp_path), "volumes")
    ended = threading.Event()
    faults: list[str] = []
    published = 0

    def drive(least: int) -> None:
        while not ended.is_set():
            compact(ledger, least=1)
            merge(ledger, segment_bytes=LARGE, least=least)

    def read() -> None:
        while not ended.is_set():
            known = published
            try:
                found = len({mark for rows in ledger.rows(["fingerprint"]) for mark in rows["fingerprint"].to_pylist()})
            except CurateError as error:
                faults.append(str(error))
                continue
            if found < known:
                faults.append(f"{found} of {known}")

    threads = [threading.Thread(target=each) for each in (lambda: drive(2), lambda: drive(3), read)]
    for thread in threads:
        thread.start()
    for unit in range(60):
        ledger.publish(receipt(unit))
        published = unit + 1
    ended.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert set(ledger.outcomes()) == {f"f{unit}" for unit in range(60)}
    merge(ledger, segment_bytes=LARGE, least=2)
    discard(ledger)
    assert set(ledger.outcomes()) >= {f"f{unit}" for unit in range(60)} - {one.split("u")[-1] for one in ledger.loose()}


def test_one_name_for_two_outcomes_is_not_merged(tmp_path: Path) -> None:
    """Version 0.1.0 named every first receipt of a unit after the unit."""
    ledger = Ledger(LocalStore(tmp_path), "volumes")
    for status in (Status.QUARANTINED, Status.DONE):
        ledger.publish_segment({"u0001": receipt(1, status).to_json()})
    ledger.publish_segment({"u0002": receipt(2).to_json()})
    merge(ledger, segment_bytes=LARGE, least=2)
    assert len(ledger.segments()) == 2
    assert ledger.outcomes()["f1"].status is Status.DONE


def test_pruning_does_not_bring_back_what_was_replaced(tmp_path: Path) -> None:
    ledger = resumed(tmp_path)
    ledger.publish_segment({"old": receipt(70, version=1).to_json()})
    merge(ledger, segment_bytes=LARGE, least=2)
    assert prune(ledger, version=2, parameters="p") == 1
    assert set(ledger.outcomes()) == {f"f{unit}" for unit in range(12)}
    assert len(list(ledger.store.list("ledger"))) == 1


@pytest.mark.parametrize("note", [b"", b"{"])
def test_a_damaged_note_is_said(tmp_path: Path, note: bytes) -> None:
    ledger = resumed(tmp_path, 2)
    ledger.store.put(note_of(ledger.segments()[0]), note)
    with pytest.raises(CurateError, match="a note cannot be read"):
        ledger.outcomes()
