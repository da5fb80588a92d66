"""One attempt: every item is settled under a reason, and nothing that identifies reaches a receipt."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from cluster.attempt import TRIES, attempt, settle_without_work
from cluster.job import Job, StageBroken
from cluster.ledger import Ledger
from cluster.outcomes import Receipt, Status
from cluster.units import Unit, make_unit
from curate.errors import Misconfigured, Unavailable
from curate.reasons import Reason
from curate.storage import LocalStore
from tests.support.cluster_jobs import (
    SECRET,
    digests_of,
    make_item,
    make_job,
    open_broken,
    open_leaving,
    tries_of,
)


def unit_of(*keys: str, stage: str = "work") -> Unit:
    return make_unit(stage, [make_item(key) for key in keys], 1000)


def receipt_of(store: Path, stage: str = "work") -> Receipt:
    (receipt,) = Ledger(LocalStore(store), stage).receipts()
    return receipt


def no_sleep(seconds: float) -> None:
    """Pauses are asserted on where they matter."""


def test_every_item_of_a_unit_ends_in_the_receipt_in_order(tmp_path: Path) -> None:
    keys = ["a", "reject:b", "quarantine:c", "bug:d", "e"]
    attempt(make_job(tmp_path), unit_of(*keys), str(tmp_path))
    outcomes = receipt_of(tmp_path).outcomes
    assert [outcome.key for outcome in outcomes] == keys
    assert [(outcome.status.value, outcome.reason) for outcome in outcomes] == [
        ("done", None),
        ("rejected", Reason.SLICE_GAP),
        ("quarantined", Reason.LEAK_FOUND),
        ("quarantined", Reason.UNEXPECTED_ERROR),
        ("done", None),
    ]
    assert outcomes[1].detail == "between slices 4 and 5: 10.00 mm, else 5.00 mm"
    assert outcomes[0].record["length"] == 100


def test_the_report_counts_what_the_receipt_says(tmp_path: Path) -> None:
    report = attempt(make_job(tmp_path), unit_of("a", "reject:b", "reject:c", "bug:d"), str(tmp_path))
    assert (report.done, report.rejected, report.quarantined, report.items) == (1, 2, 1, 4)
    assert report.reasons == {"slice_gap": 2, "unexpected_error": 1}
    assert report.bytes_in == 40
    assert report.bytes_out == 100
    assert report.peak_memory_bytes > 1 << 20
    assert list(report.details.values()) == [1]  # only what may repeat: rejections are the data's, not a bug's


def test_the_text_of_an_unexpected_error_is_nowhere_in_the_store(tmp_path: Path) -> None:
    attempt(make_job(tmp_path), unit_of("bug:a"), str(tmp_path))
    (outcome,) = receipt_of(tmp_path).outcomes
    assert outcome.detail.startswith("ValueError at tests.support.cluster_jobs:")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_storage_that_refuses_for_a_moment_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    pauses: list[float] = []
    job = make_job(tmp_path / "store", marks=str(tmp_path / "marks"))
    report = attempt(job, unit_of("flaky:a"), str(tmp_path / "store"), sleep=pauses.append)
    assert report.done == 1
    assert len(pauses) == 2
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


def test_storage_that_keeps_refusing_quarantines_the_item_after_a_bounded_number_of_tries(tmp_path: Path) -> None:
    job = make_job(tmp_path / "store", marks=str(tmp_path / "marks"))
    attempt(job, unit_of("down:a", "b"), str(tmp_path / "store"), sleep=no_sleep)
    refused, after = receipt_of(tmp_path / "store").outcomes
    assert (refused.status, refused.reason) == (Status.QUARANTINED, Reason.STORAGE_UNAVAILABLE)
    assert refused.detail == "cannot read: Input/output error"
    assert after.status is Status.DONE
    assert tries_of(tmp_path / "marks", "down:a") == TRIES


def test_pauses_differ_between_items_so_that_workers_do_not_return_together(tmp_path: Path) -> None:
    pauses: list[float] = []
    job = make_job(tmp_path / "store", marks=str(tmp_path / "marks"))
    attempt(job, unit_of("down:a", "down:b"), str(tmp_path / "store"), sleep=pauses.append)
    assert len(set(pauses)) == len(pauses) == 2 * (TRIES - 1)


def test_a_wrong_configuration_stops_before_any_receipt(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="expected 3 numbers"):
        attempt(make_job(tmp_path), unit_of("a", "wrong:b"), str(tmp_path))
    assert list(Ledger(LocalStore(tmp_path), "work").receipts()) == []


def test_a_stage_that_cannot_be_opened_blames_no_item(tmp_path: Path) -> None:
    with pytest.raises(StageBroken):
        attempt(Job("work", 1, open_broken), unit_of("a"), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_settles_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt(Job("work", 1, open_leaving), unit_of("a"), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_receipt_that_cannot_be_written_stops_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LocalStore, key: str, content: bytes, *, durable: bool = True) -> bool:
        if key.startswith("ledger/"):
            raise Unavailable("cannot write: No space left on device")
        return original(self, key, content, durable=durable)

    original = LocalStore.put_new
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put_new", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            attempt(make_job(tmp_path), unit_of("a", "b"), str(tmp_path), sleep=no_sleep)
    written = digests_of(tmp_path)
    assert attempt(make_job(tmp_path), unit_of("a", "b"), str(tmp_path)).done == 2
    assert digests_of(tmp_path) == written


def test_a_second_attempt_finds_its_results_in_place_and_changes_no_byte(tmp_path: Path) -> None:
    attempt(make_job(tmp_path), unit_of("a", "reject:b"), str(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    attempt(make_job(tmp_path), unit_of("a", "reject:b"), str(tmp_path))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_receipt_names_the_versions_that_made_it(tmp_path: Path) -> None:
    attempt(make_job(tmp_path), unit_of("a"), str(tmp_path))
    receipt = receipt_of(tmp_path)
    assert receipt.code_version == metadata.version("spine-curate")
    assert receipt.libraries["numpy"] == metadata.version("numpy")
    assert receipt.libraries["python"].startswith("3.")
    assert (receipt.version, receipt.parameters) == (1, "p" * 64)


def test_a_distribution_that_is_not_installed_is_said_to_be_absent(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    odd = Job(job.stage, job.version, job.open, job.config, libraries=("no-such-distribution",))
    attempt(odd, unit_of("a"), str(tmp_path))
    assert receipt_of(tmp_path).libraries["no-such-distribution"] == "absent"


def test_the_config_stays_out_of_the_receipt_because_it_names_archives(tmp_path: Path) -> None:
    attempt(make_job(tmp_path / "store", archive="/archive/Doe"), unit_of("a"), str(tmp_path / "store"))
    assert b"archive" not in receipt_of(tmp_path / "store").to_json()


def test_the_driver_can_settle_what_no_worker_may_try(tmp_path: Path) -> None:
    items = [make_item("huge"), make_item("huger")]
    report = settle_without_work(
        make_job(tmp_path), items, Reason.TOO_LARGE, "needs 9 GB, workers have 8", str(tmp_path)
    )
    assert (report.quarantined, report.reasons) == (2, {"too_large": 2})
    outcomes = receipt_of(tmp_path).outcomes
    assert [outcome.detail for outcome in outcomes] == ["needs 9 GB, workers have 8"] * 2
