"""Copies of an instance, and one run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.outcomes import ItemOutcome, Output, Status
from curate.errors import Misconfigured
from curate.reasons import Reason
from pipelines.deidentify import Request, make_plan
from pipelines.handover import alone, settle_copies, used_marks
from tests.support.hospital import make_hospital


def done(key: str, place: str, digest: str, marks: tuple[int, ...] = ()) -> ItemOutcome:
    output = Output(f"objects/{digest}.dcm", digest, 1)
    return ItemOutcome(key, key, Status.DONE, outputs=(output,), record={"place": place, "marks": list(marks)})


def apart(key: str) -> ItemOutcome:
    return ItemOutcome(key, key, Status.REJECTED, Reason.NOT_DICOM)


def test_of_equal_copies_the_first_key_stays_in_any_order() -> None:
    copies = [done("b", "p/s/r/i", "x"), apart("0"), done("a", "p/s/r/i", "x"), done("c", "p/s/r/j", "x")]
    for given in (copies, copies[::-1]):
        settled = {outcome.key: outcome for outcome in settle_copies(given)}
        assert {key: outcome.reason for key, outcome in settled.items()} == {
            "a": None,
            "b": Reason.DUPLICATE_INSTANCE,
            "c": None,
            "0": Reason.NOT_DICOM,
        }
        assert settled["b"].status is Status.REJECTED
        assert settled["b"].outputs == ()


@pytest.mark.parametrize("other", [("p/s/r/i", "y"), ("q/s/r/i", "x"), ("p/s/z/i", "x")])
def test_unequal_files_of_one_instance_are_all_kept_back(other: tuple[str, str]) -> None:
    settled = settle_copies([done("a", "p/s/r/i", "x"), done("b", *other), done("c", "p/s/r/i", "x")])
    assert {outcome.reason for outcome in settled} == {Reason.CONFLICTING_INSTANCE}
    assert {outcome.status for outcome in settled} == {Status.QUARANTINED}


def test_marks_are_counted_once_each() -> None:
    assert used_marks([done("a", "p", "x", (0, 2)), done("b", "q", "x", (2,)), apart("c")]) == {0, 2}


def test_a_second_run_at_the_same_time_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    source = make_hospital(tmp_path / "in")
    plan = make_plan(Request((source,), tmp_path / "out", f"file:{tmp_path / 'project.key'}"))
    with alone(plan), pytest.raises(Misconfigured, match="another run is at work"), alone(plan):
        pass
    with alone(plan):
        pass
