"""What is decided after a loss, step by step; that it comes true is in the executors' suite and in ``tests/chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.events import Silent
from cluster.isolation import NODE_LOSSES, TRIES, Isolation, Loss, Trial, log_key
from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome, Receipt, Status
from cluster.recorder import Tail
from cluster.units import make_unit
from curate.errors import Unavailable
from curate.reasons import Reason
from curate.storage import LocalStore
from tests.support.cluster_jobs import make_item, make_job

LANE = 1 << 20


def isolation(store: Path, tail: Tail | None = None, memory: int = 4 * LANE) -> Isolation:
    return Isolation(make_job(store), str(store), memory, Silent(), lambda _: tail or Tail())


def trial(*keys: str, memory: int = LANE) -> Trial:
    return Trial(make_unit("work", [make_item(key) for key in keys], memory))


def keys_of(trials: list[Trial]) -> list[list[str]]:
    return [[item.key for item in one.unit.items] for one in trials]


def outcome_of(store: Path) -> ItemOutcome:
    (outcome,) = Ledger(LocalStore(store), "work").outcomes().values()
    return outcome


def test_the_item_that_was_begun_last_stands_alone_and_the_others_go_on(tmp_path: Path) -> None:
    again, settled = isolation(tmp_path, Tail(("unit x",), "c")).after(trial(*"abcd"), Loss.CRASHED)
    assert keys_of(again) == [["a", "b", "d"], ["c"]]
    assert settled is None


@pytest.mark.parametrize("said", [None, "somebody else"])
def test_without_a_word_the_unit_is_halved(tmp_path: Path, said: str | None) -> None:
    again, _ = isolation(tmp_path, Tail((), said)).after(trial(*"abcde"), Loss.OUT_OF_MEMORY)
    assert keys_of(again) == [["a", "b"], ["c", "d", "e"]]


def test_alone_it_is_tried_so_often_and_then_named_with_its_last_lines(tmp_path: Path) -> None:
    decide = isolation(tmp_path, Tail(("unit x", "item a"), "a"))
    one = trial("a")
    for _ in range(TRIES - 1):
        (one,), settled = decide.after(one, Loss.CRASHED)
        assert settled is None
    again, settled = decide.after(one, Loss.CRASHED)
    assert again == []
    assert settled is not None
    assert settled.quarantined == 1
    assert outcome_of(tmp_path).reason is Reason.WORKER_CRASHED
    assert LocalStore(tmp_path).get(log_key("work", one.unit.id)) == b"unit x\nitem a\n"


def test_what_overran_its_deadline_has_a_reason_of_its_own(tmp_path: Path) -> None:
    decide = isolation(tmp_path, Tail(("unit x",), "a", timed_out=True))
    decide.after(Trial(trial("a").unit, tries=TRIES - 1), Loss.CRASHED)
    assert outcome_of(tmp_path).reason is Reason.TIMED_OUT


def test_memory_is_doubled_once_and_no_further_than_there_is(tmp_path: Path) -> None:
    decide = isolation(tmp_path, memory=3 * LANE)
    (raised,), _ = decide.after(trial("a", memory=2 * LANE), Loss.OUT_OF_MEMORY)
    assert (raised.unit.memory, raised.unit.id) == (3 * LANE, trial("a").unit.id)
    again, settled = decide.after(raised, Loss.OUT_OF_MEMORY)
    assert again == []
    assert settled is not None
    assert outcome_of(tmp_path).reason is Reason.TOO_LARGE


def test_in_the_largest_lane_there_is_no_next_one(tmp_path: Path) -> None:
    again, _ = isolation(tmp_path, memory=LANE).after(trial("a"), Loss.OUT_OF_MEMORY)
    assert again == []
    assert outcome_of(tmp_path).detail == f"out of memory in a lane of {LANE} bytes"


def test_a_lost_node_is_not_charged_but_not_for_ever(tmp_path: Path) -> None:
    decide, one = isolation(tmp_path), trial(*"abc")
    for _ in range(NODE_LOSSES):
        (one,), _ = decide.after(one, Loss.NODE_LOST)
    assert keys_of([one]) == [["a", "b", "c"]]
    assert one.tries == 0
    with pytest.raises(Unavailable, match="lost its node"):
        decide.after(one, Loss.NODE_LOST)


def test_a_unit_that_died_after_its_receipt_is_settled(tmp_path: Path) -> None:
    one = trial("a")
    (item,) = one.unit.items
    outcome = ItemOutcome(item.key, item.fingerprint, Status.DONE)
    Ledger(LocalStore(tmp_path), "work").publish(Receipt("work", 1, one.unit.id, "p", (outcome,)))
    again, settled = isolation(tmp_path).after(one, Loss.CRASHED)
    assert again == []
    assert settled is not None
    assert settled.done == 1
