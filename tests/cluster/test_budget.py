"""The failure budget: bugs stop a run, bad data do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.attempt import UnitReport
from cluster.budget import BudgetSpent, within_budget


def failed(detail: str, count: int = 1) -> UnitReport:
    return UnitReport("s", "u", quarantined=count, details={detail: count})


def good(count: int = 1) -> UnitReport:
    return UnitReport("s", "u", done=count)


def test_a_failure_that_hits_every_item_stops_the_run_and_is_named() -> None:
    with pytest.raises(BudgetSpent, match=r"20 of 20 items failed the same way \(KeyError at curate\.x:7\)"):
        list(within_budget(failed("KeyError at curate.x:7") for _ in range(100)))


def test_what_was_settled_before_the_stop_is_passed_on() -> None:
    reports = within_budget(failed("a") for _ in range(100))
    seen = [next(reports) for _ in range(20)]
    with pytest.raises(BudgetSpent):
        next(reports)
    assert sum(report.items for report in seen) == 20


def test_a_failure_of_few_items_never_stops() -> None:
    reports = [failed("a", 19), good(0)]
    assert list(within_budget(reports)) == reports


def test_a_failure_of_less_than_half_of_all_items_never_stops() -> None:
    reports = [report for _ in range(100) for report in (good(), failed("a"))]
    assert list(within_budget(reports)) == reports


def test_many_different_failures_never_stop() -> None:
    reports = [failed(f"kind {number % 10}") for number in range(150)]
    assert list(within_budget(reports)) == reports


def test_rejected_items_never_count() -> None:
    reports = [UnitReport("s", "u", rejected=50, reasons={"slice_gap": 50}) for _ in range(10)]
    assert list(within_budget(reports)) == reports


def test_the_source_is_closed_when_the_run_stops() -> None:
    closed = []

    def source() -> Iterator[UnitReport]:
        try:
            while True:
                yield failed("a")
        finally:
            closed.append(True)

    held = source()
    with pytest.raises(BudgetSpent):
        list(within_budget(held))
    assert closed == [True]
