"""The commit protocol over a network that loses answers: receipts are published once, and an item is settled once."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cluster.attempt import attempt
from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome, Receipt, Status
from cluster.units import make_unit
from curate.reasons import Reason
from curate.storage import open_store, requests
from tests.support.cluster_jobs import make_item, make_job
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET

DONE = ItemOutcome("a", "f" * 64, Status.DONE)
FAILED = replace(DONE, status=Status.QUARANTINED, reason=Reason.STORAGE_UNAVAILABLE)
RECEIPT = Receipt("work", 1, "unit", "p" * 64, (DONE,))


@pytest.fixture
def place() -> str:
    return f"s3://{BUCKET}/{secrets.token_hex(4)}"


def test_a_receipt_whose_answer_was_lost_stands_once_and_counts(proxy: FaultProxy, place: str) -> None:
    ledger = Ledger(open_store(place), "work")
    proxy.script([Fault.LOST_ANSWER])
    assert not ledger.publish(RECEIPT)  # somebody published it, and it may have been this call: nothing depends on that
    assert [receipt.outcomes for receipt in ledger.receipts()] == [(DONE,)]
    assert not ledger.publish(RECEIPT)
    assert len(list(ledger.receipts())) == 1


def test_a_better_receipt_whose_answer_was_lost_lies_once_beside_the_first(proxy: FaultProxy, place: str) -> None:
    ledger = Ledger(open_store(place), "work")
    assert ledger.publish(replace(RECEIPT, outcomes=(FAILED,)))
    proxy.script([Fault.LOST_ANSWER])
    assert not ledger.publish(RECEIPT)
    assert proxy.struck[Fault.LOST_ANSWER] == 1
    assert sorted(receipt.outcomes[0].status for receipt in ledger.receipts()) == [Status.DONE, Status.QUARANTINED]
    assert ledger.settled() == {DONE.fingerprint: DONE}


def test_two_workers_at_one_unit_behind_faults_leave_one_receipt_and_the_same_bytes(
    proxy: FaultProxy, place: str
) -> None:
    proxy.share = 0.4
    unit, job = make_unit("work", [make_item(f"item:{n}") for n in range(5)], 0), make_job(place)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: attempt(job, unit, place), range(2)))
    assert [report.done for report in reports] == [5, 5]
    store = open_store(place)
    assert len(list(Ledger(store, "work").receipts())) == 1
    for outcome in Ledger(store, "work").settled().values():
        assert store.get(outcome.outputs[0].key) == outcome.key.encode() * 100
    assert sum(proxy.struck.values()) > 5


def test_a_server_that_is_away_for_longer_than_a_request_is_waited_for_by_the_attempt(
    proxy: FaultProxy, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "TRIES", 1)
    unit, job, pauses = make_unit("work", [make_item("item:0")], 0), make_job(place), list[float]()
    proxy.script([Fault.SLOW_DOWN] * 7)  # obstore asks six times
    report = attempt(job, unit, place, sleep=pauses.append)
    assert (report.done, report.quarantined) == (1, 0)
    assert len(pauses) == 1
