"""Compaction on a real file system: nothing is ever missed, whoever dies, races or comes late."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.ledger import Ledger, compact
from cluster.ledger.segments import SEGMENT
from cluster.outcomes import DamagedReceipt, ItemOutcome, Output, Receipt, Status
from curate.reasons import Reason
from curate.storage import LocalStore


def outcome(number: int, status: Status = Status.DONE, reason: Reason | None = None) -> ItemOutcome:
    outputs = (Output(f"volumes/{number}/a", f"{number:064x}", 7), Output(f"volumes/{number}/b", "f" * 64, number))
    done = status is Status.DONE
    record = {"shape": [1, None, {"b": 2.5, "a": "ö"}], "number": number} if done else {}
    return ItemOutcome(f"k{number}", f"f{number}", status, reason, "", outputs if done else (), record)


def receipt(unit: int, *outcomes: ItemOutcome) -> Receipt:
    libraries = {"numpy": "2.3", "python": "3.12.1"}
    return Receipt("volumes", 3, f"u{unit:03d}", "p" * 64, outcomes, 1000 + unit, "0.1", libraries)


REFUSED = outcome(1, Status.QUARANTINED, Reason.STORAGE_UNAVAILABLE)
CRASHED = outcome(1, Status.QUARANTINED, Reason.WORKER_CRASHED)
REJECTED = outcome(1, Status.REJECTED, Reason.SLICE_GAP)


class Watched(LocalStore):
    """A store that lets a test act at each step of somebody else."""

    def __init__(self, root: Path, before: Callable[[str, str], None]) -> None:
        super().__init__(root)
        self._before = before

    def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
        self._before("put_new", key)
        return super().put_new(key, content, durable=durable)

    def get(self, key: str) -> bytes:
        self._before("get", key)
        return super().get(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        self._before("list", prefix)
        return super().list(prefix)

    def delete(self, key: str) -> None:
        self._before("delete", key)
        super().delete(key)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(LocalStore(tmp_path), "volumes")
    for unit in range(12):
        bad = outcome(1000 + unit, Status.REJECTED, Reason.SLICE_GAP)
        ledger.publish(receipt(unit, outcome(2 * unit), bad if unit % 3 == 0 else outcome(2 * unit + 1)))
    return ledger


def of(ledger: Ledger, before: Callable[[str, str], None]) -> Ledger:
    """The same ledger, seen through a watched store."""
    return Ledger(Watched(ledger.store.root, before), "volumes")  # type: ignore[attr-defined]


def test_compaction_leaves_one_object_that_says_the_same(ledger: Ledger) -> None:
    outcomes, receipts = ledger.outcomes(), {one.unit_id: one for one in ledger.receipts()}
    assert compact(ledger, least=1) == 12
    (key,) = ledger.store.list("ledger")
    assert key.startswith("ledger/volumes/segments/")
    assert ledger.outcomes() == outcomes
    assert {one.unit_id: one for one in ledger.receipts()} == receipts


def test_every_field_of_a_receipt_survives_byte_for_byte(ledger: Ledger) -> None:
    before = {ledger.store.get(key) for key in ledger.store.list("ledger")}
    compact(ledger, least=1)
    assert {one.to_json() for one in ledger.receipts()} == before


def test_a_segment_can_be_read_by_any_parquet_reader(ledger: Ledger) -> None:
    compact(ledger, least=1)
    table = pq.read_table(ledger.store.root / ledger.segments()[0])  # type: ignore[attr-defined]
    assert table.schema.equals(SEGMENT)
    assert table.num_rows == 24
    assert table.sort_by("receipt")["receipt"].to_pylist() == table["receipt"].to_pylist()
    (row,) = [row for row in table.to_pylist() if row["fingerprint"] == "f3"]
    assert (row["unit"], row["version"], row["peak"], row["bytes"]) == ("u001", 3, 1001, 10)


def test_the_same_receipts_give_the_same_segment_whatever_their_order(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(LocalStore(tmp_path / "other"), "volumes")
    for one in random.Random(7).sample(list(ledger.receipts()), 12):
        other.publish(one)
    for each in (ledger, other):
        compact(each, least=1)
    assert ledger.segments() == other.segments()
    assert ledger.store.get(ledger.segments()[0]) == other.store.get(other.segments()[0])


def test_few_receipts_are_left_for_people_to_read(ledger: Ledger) -> None:
    assert compact(ledger) == 0
    assert len(ledger.loose()) == 12


def test_compacting_again_changes_nothing(ledger: Ledger) -> None:
    compact(ledger, least=1)
    before = list(ledger.store.list("ledger"))
    assert compact(ledger, least=1) == 0
    assert list(ledger.store.list("ledger")) == before


def test_segments_have_a_bounded_size(ledger: Ledger) -> None:
    outcomes = ledger.outcomes()
    compact(ledger, least=1, segment_bytes=2000)
    assert len(ledger.segments()) > 3
    assert ledger.outcomes() == outcomes


def test_dying_at_any_step_of_a_compaction_loses_nothing_and_the_next_one_ends_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    outcomes = ledger.outcomes()
    steps = 0

    def die_later(action: str, key: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    left = 10**6
    receipts = list(ledger.receipts())
    for steps in range(1, 200):
        again = Ledger(LocalStore(tmp_path / f"copy{steps}"), "volumes")
        for one in receipts:
            again.publish(one)
        left = steps
        try:
            compact(of(again, die_later), least=1, segment_bytes=4000)
        except KeyboardInterrupt:
            assert again.outcomes() == outcomes, steps
            compact(again, least=1, segment_bytes=4000)
            assert again.outcomes() == outcomes
            assert again.loose() == []
        else:
            break
    assert steps > 25  # every receipt was read and removed under our eyes


def test_what_a_cut_off_compaction_published_is_not_published_again(ledger: Ledger) -> None:
    def die(action: str, key: str) -> None:
        if action == "delete":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(of(ledger, die), least=1)
    ledger.publish(receipt(50, outcome(50)))
    compact(ledger, least=1)
    assert sum(pq.read_metadata(ledger.store.root / key).num_rows for key in ledger.segments()) == 25  # type: ignore[attr-defined]


def test_a_reader_in_the_midst_of_a_compaction_misses_nothing(ledger: Ledger) -> None:
    """The compaction happens whole before each step that a reader takes, one step after the other."""
    outcomes = ledger.outcomes()
    receipts = list(ledger.receipts())
    moments = 0
    for moment in range(40):
        for key in list(ledger.store.list("ledger")):
            ledger.store.delete(key)
        for one in receipts:
            ledger.publish(one)
        step = 0

        def meddle(action: str, key: str, moment: int = moment) -> None:
            nonlocal step
            if step == moment:
                compact(ledger, least=1)
            step += 1

        assert of(ledger, meddle).outcomes() == outcomes, moment
        moments = step
        if moment >= step:
            break
    assert moments >= 14  # two listings and twelve receipts at least


def test_a_receipt_that_vanished_into_nothing_is_named(ledger: Ledger) -> None:
    def vanish(action: str, key: str) -> None:
        if action == "get":
            LocalStore(ledger.store.root).delete("ledger/volumes/u004.json")  # type: ignore[attr-defined]

    with pytest.raises(DamagedReceipt, match=r"ledger/volumes/u004\.json: it was listed"):
        of(ledger, vanish).outcomes()


def test_compactors_and_writers_and_readers_at_once(tmp_path: Path) -> None:
    ledger = Ledger(LocalStore(tmp_path), "volumes")
    gate = threading.Barrier(5)
    ended = threading.Event()
    faults: list[str] = []
    published = 0

    def write() -> None:
        nonlocal published
        gate.wait()
        for unit in range(150):
            ledger.publish(receipt(unit, outcome(unit)))
            published = unit + 1
        ended.set()

    def compacting() -> None:
        gate.wait()
        while not ended.is_set():
            compact(ledger, least=1)

    def read() -> None:
        gate.wait()
        while not ended.is_set():
            known = published
            found = ledger.outcomes_table(["fingerprint"]).num_rows
            if found < known:
                faults.append(f"{found} of {known}")

    threads = [threading.Thread(target=each) for each in (write, compacting, compacting, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compact(ledger, least=1)
    assert faults == []
    assert set(ledger.outcomes()) == {f"f{number}" for number in range(150)}
    assert ledger.loose() == []


def test_what_stands_in_two_segments_counts_once(ledger: Ledger) -> None:
    receipts = list(ledger.receipts())
    outcomes = ledger.outcomes()
    compact(ledger, least=1)
    key = ledger.segments()[0]
    for one in receipts[:5]:
        ledger.publish(one)
    (table,) = [ledger.outcomes_table()]
    assert sorted(table["fingerprint"].to_pylist()) == sorted(outcomes)
    assert compact(ledger, least=1) == 5  # removed, and in no second segment
    assert ledger.segments() == [key]


def test_a_straggler_that_writes_a_removed_receipt_changes_nothing(ledger: Ledger) -> None:
    late = next(ledger.receipts())
    outcomes = ledger.outcomes()
    compact(ledger, least=1)
    assert ledger.publish(replace(late, peak_memory_bytes=5))
    assert ledger.outcomes() == outcomes
    compact(ledger, least=1)
    assert ledger.loose() == []
    assert len(ledger.segments()) == 1
    assert next(ledger.receipts()) == late


@pytest.mark.parametrize("first", [REFUSED, CRASHED, REJECTED])
def test_a_better_receipt_counts_after_the_first_was_compacted_away(ledger: Ledger, first: ItemOutcome) -> None:
    ledger = Ledger(ledger.store, "other")
    unit = replace(receipt(1, first), stage="other")
    ledger.publish(unit)
    compact(ledger, least=1)
    assert ledger.outcomes() == {"f1": first}
    better = replace(unit, outcomes=(outcome(1),))
    assert ledger.publish(better)
    assert ledger.outcomes() == {"f1": outcome(1)}
    compact(ledger, least=1)
    assert ledger.outcomes() == {"f1": outcome(1)}
    assert ledger.find_settled("u001") == better
    assert len(ledger.segments()) == 2


def test_a_paused_compactor_removes_nothing_that_was_better(ledger: Ledger) -> None:
    """It read a receipt, slept while another one compacted it and the unit was done after all, and removes it now."""
    ledger = Ledger(ledger.store, "other")
    unit = replace(receipt(1, REFUSED), stage="other")
    ledger.publish(unit)
    slept = False

    def sleep(action: str, key: str) -> None:
        nonlocal slept
        if action == "delete" and not slept:
            slept = True
            compact(ledger, least=1)
            ledger.publish(replace(unit, outcomes=(outcome(1),)))

    compact(Ledger(Watched(ledger.store.root, sleep), "other"), least=1)  # type: ignore[attr-defined]
    assert slept
    assert ledger.outcomes() == {"f1": outcome(1)}


def test_trying_in_vain_over_and_over_does_not_pile_up(ledger: Ledger) -> None:
    ledger = Ledger(ledger.store, "other")
    for peak in range(5):
        ledger.publish(replace(receipt(1, REFUSED), stage="other", peak_memory_bytes=peak))
        compact(ledger, least=1)
    assert len(list(ledger.store.list("ledger/other"))) == 1


def test_a_settled_unit_is_found_in_a_segment(ledger: Ledger) -> None:
    receipts = {one.unit_id: one for one in ledger.receipts()}
    compact(ledger, least=1)
    for unit in ("u000", "u007"):
        assert ledger.find_settled(unit) == receipts[unit]
    assert ledger.find_settled("u00") is None
    assert ledger.find_settled("u999") is None


def test_a_unit_to_try_again_is_not_settled_though_it_is_in_a_segment(ledger: Ledger) -> None:
    ledger.publish(receipt(70, REFUSED, outcome(71)))
    compact(ledger, least=1)
    assert ledger.find_settled("u070") is None
    assert ledger.find_settled("u070", again=()) == receipt(70, REFUSED, outcome(71))


def test_what_is_settled_and_what_is_tried_again(ledger: Ledger) -> None:
    ledger.publish(receipt(70, REFUSED, replace(CRASHED, fingerprint="crashed"), replace(REJECTED, fingerprint="rej")))
    assert {"crashed", "rej", "f3"} <= set(ledger.settled())
    assert "f1" not in ledger.settled()
    assert "crashed" not in ledger.settled(again=tuple(Reason))
    assert "rej" in ledger.settled(again=tuple(Reason))  # a rejection is final


def test_the_table_of_outcomes_does_not_depend_on_compaction(ledger: Ledger) -> None:
    ledger.publish(receipt(60, REFUSED))
    ledger.publish(receipt(61, REJECTED))
    before = ledger.outcomes_table().sort_by("fingerprint")
    compact(ledger, least=1, segment_bytes=3000)
    ledger.publish(receipt(62, REFUSED))
    assert ledger.outcomes_table().sort_by("fingerprint").equals(before)
    assert before.column_names == ["fingerprint", "key", "status", "reason", "detail", "bytes", "unit", "peak"]


def test_a_damaged_segment_is_named_and_never_skipped(ledger: Ledger) -> None:
    compact(ledger, least=1)
    key = ledger.segments()[0]
    path = ledger.store.root / key  # type: ignore[attr-defined]
    content = bytearray(path.read_bytes())
    for place in (10, len(content) // 2, len(content) - 10):
        content[place] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(DamagedReceipt, match=key):
            ledger.outcomes()
        content[place] ^= 0xFF
    path.write_bytes(content[:-100])
    with pytest.raises(DamagedReceipt, match=key):
        ledger.outcomes_table()


def test_a_segment_that_reads_back_as_something_else_removes_nothing(ledger: Ledger) -> None:
    class Forgetful(LocalStore):
        def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
            return super().put_new(key, bytes(content)[:-20])

    before = ledger.loose()
    with pytest.raises(DamagedReceipt):
        compact(Ledger(Forgetful(ledger.store.root), "volumes"), least=1)  # type: ignore[attr-defined]
    assert ledger.loose() == before


def test_a_damaged_receipt_stops_compaction_and_stays(ledger: Ledger) -> None:
    path = ledger.store.root / "ledger/volumes/u004.json"  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes().replace(b"outcomes", b"outcasts"))
    with pytest.raises(DamagedReceipt, match=r"u004\.json"):
        compact(ledger, least=1)
    assert len(ledger.loose()) == 12


def test_a_receipt_that_a_power_cut_took_stays_out_of_segments(ledger: Ledger) -> None:
    path = ledger.store.root / "ledger/volumes/u004.json"  # type: ignore[attr-defined]
    path.write_bytes(b"")
    assert compact(ledger, least=1) == 11
    assert ledger.loose() == ["u004"]
    assert {one.unit_id for one in ledger.receipts()} == {f"u{unit:03d}" for unit in range(12)} - {"u004"}
