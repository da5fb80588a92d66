"""The ledger on a real file system: one receipt a unit, the best outcome counts, damage is named."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from cluster.ledger import Ledger
from cluster.outcomes import DamagedReceipt, ItemOutcome, Receipt, Status
from curate.reasons import Reason
from curate.storage import LocalStore

DONE = ItemOutcome("k", "f", Status.DONE, record={"shape": [1]})
REJECTED = ItemOutcome("k", "f", Status.REJECTED, Reason.SLICE_GAP)
REFUSED = ItemOutcome("k", "f", Status.QUARANTINED, Reason.STORAGE_UNAVAILABLE)
CRASHED = ItemOutcome("k", "f", Status.QUARANTINED, Reason.WORKER_CRASHED)


def receipt(*outcomes: ItemOutcome, unit: str = "u1") -> Receipt:
    return Receipt("volumes", 1, unit, "p", outcomes)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(LocalStore(tmp_path), "volumes")


def files(ledger: Ledger) -> list[str]:
    return sorted(ledger.store.list("ledger"))


def test_a_receipt_lies_under_its_stage_and_unit(ledger: Ledger) -> None:
    assert ledger.publish(receipt(DONE))
    assert files(ledger) == ["ledger/volumes/u1.json"]
    assert list(ledger.receipts()) == [receipt(DONE)]


def test_losing_the_race_changes_nothing(ledger: Ledger) -> None:
    ledger.publish(receipt(DONE))
    content = ledger.store.get("ledger/volumes/u1.json")
    assert not ledger.publish(replace(receipt(DONE), peak_memory_bytes=77))
    assert ledger.store.get("ledger/volumes/u1.json") == content
    assert files(ledger) == ["ledger/volumes/u1.json"]


def test_many_racing_writers_leave_one_receipt(ledger: Ledger) -> None:
    gate = threading.Barrier(8)
    won: list[bool] = []

    def write() -> None:
        gate.wait()
        won.append(ledger.publish(receipt(DONE)))

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(won) == [False] * 7 + [True]
    assert len(files(ledger)) == 1


def test_a_better_receipt_of_the_same_unit_lies_beside_the_first(ledger: Ledger) -> None:
    ledger.publish(receipt(REFUSED))
    assert ledger.publish(receipt(DONE))
    beside, done = files(ledger)
    assert done == "ledger/volumes/u1.json"
    assert re.fullmatch(r"ledger/volumes/u1\.[0-9a-f]{16}\.json", beside)
    assert ledger.settled()["f"] == DONE


def test_nothing_is_written_beside_a_receipt_of_which_all_is_done(ledger: Ledger) -> None:
    ledger.publish(receipt(DONE))
    assert not ledger.publish(receipt(CRASHED))
    assert not ledger.publish(receipt(REJECTED))
    assert len(files(ledger)) == 1


def test_a_store_of_the_first_version_goes_on(ledger: Ledger) -> None:
    """It named every first receipt of a unit after the unit, and the next one by a number."""
    ledger.store.put_new("ledger/volumes/u1.json", receipt(REFUSED).to_json())
    ledger.store.put_new("ledger/volumes/u2.1.json", receipt(CRASHED, unit="u2").to_json())
    assert ledger.find_settled("u1") is None
    assert ledger.find_settled("u2") == receipt(CRASHED, unit="u2")
    assert ledger.publish(receipt(DONE))
    assert ledger.outcomes() == {"f": DONE}
    assert ledger.find_settled("u1") == receipt(DONE)


def test_a_worse_receipt_of_the_same_unit_counts_for_nothing(ledger: Ledger) -> None:
    ledger.publish(receipt(REJECTED))
    ledger.publish(receipt(CRASHED))
    assert ledger.outcomes() == {"f": REJECTED}
    assert ledger.find_settled("u1") == receipt(REJECTED)


def test_trying_again_in_vain_does_not_pile_up_receipts(ledger: Ledger) -> None:
    for _ in range(5):
        ledger.publish(receipt(REFUSED))
    assert len(files(ledger)) == 1


@pytest.mark.parametrize("order", list(permutations([DONE, REJECTED, REFUSED, CRASHED])))
def test_the_outcome_that_counts_does_not_depend_on_who_came_first(
    ledger: Ledger, order: tuple[ItemOutcome, ...]
) -> None:
    for number, outcome in enumerate(order):
        ledger.publish(receipt(outcome, unit=f"u{number}"))
    assert ledger.outcomes() == {"f": DONE}


def test_what_the_machine_refused_is_tried_again_and_what_crashed_is_not(ledger: Ledger) -> None:
    too_large = ItemOutcome("l", "f3", Status.QUARANTINED, Reason.TOO_LARGE)
    ledger.publish(receipt(REFUSED, replace(CRASHED, fingerprint="f2"), too_large))
    assert set(ledger.settled()) == {"f2"}
    assert set(ledger.outcomes()) == {"f", "f2", "f3"}


def test_the_user_can_have_other_reasons_tried_again(ledger: Ledger) -> None:
    ledger.publish(receipt(CRASHED))
    assert ledger.settled(again={Reason.WORKER_CRASHED}) == {}


def test_an_empty_store_has_settled_nothing(ledger: Ledger) -> None:
    assert ledger.settled() == {}
    assert list(ledger.receipts()) == []
    assert ledger.find_settled("u1") is None


def test_stages_do_not_see_each_other(ledger: Ledger) -> None:
    ledger.publish(receipt(DONE))
    assert Ledger(ledger.store, "catalogue").settled() == {}
    assert Ledger(ledger.store, "volume").settled() == {}


def test_a_unit_is_found_settled_only_if_all_its_items_are(ledger: Ledger) -> None:
    ledger.publish(receipt(DONE, replace(REFUSED, fingerprint="f2")))
    assert ledger.find_settled("u1") is None
    better = receipt(DONE, replace(DONE, fingerprint="f2"))
    ledger.publish(better)
    assert ledger.find_settled("u1") == better


def test_a_damaged_receipt_is_named_and_never_skipped(ledger: Ledger, tmp_path: Path) -> None:
    ledger.publish(receipt(DONE))
    path = tmp_path / "ledger/volumes/u1.json"
    path.write_bytes(path.read_bytes().replace(b'"done"', b'"gone"'))
    with pytest.raises(DamagedReceipt, match=r"ledger/volumes/u1\.json"):
        ledger.settled()


@pytest.mark.parametrize("outcomes", [(DONE,), (DONE, REJECTED)])
def test_a_receipt_that_a_power_cut_left_short_counts_as_none_and_is_put_right(
    ledger: Ledger, tmp_path: Path, outcomes: tuple[ItemOutcome, ...]
) -> None:
    one = receipt(*outcomes)
    ledger.publish(one)
    path = tmp_path / files(ledger)[0]
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, whole.rindex(b'"unit_id"'), len(whole) - 1):
        path.write_bytes(whole[:length])
        assert list(ledger.receipts()) == []
        assert ledger.outcomes() == {}
        assert ledger.find_settled("u1") is None
        assert ledger.publish(one)
        assert path.read_bytes() == whole
        assert not ledger.publish(one)


def test_leftovers_of_other_programs_are_not_receipts(ledger: Ledger, tmp_path: Path) -> None:
    ledger.publish(receipt(DONE))
    (tmp_path / "ledger/volumes/.u2.json.1a2b.tmp").write_text("half")
    assert len(list(ledger.receipts())) == 1
