"""Processes may die; everything but the guilty item is done, in order."""

from __future__ import annotations

import os
from collections.abc import Sequence

from curate.deid.verification.crew import run_apart


def square(items: Sequence[int]) -> list[int]:
    return [item * item for item in items]


def die_at_70(items: Sequence[int]) -> list[int]:
    if 70 in items:
        os._exit(1)
    return square(items)


def test_in_one_process_and_in_two_the_results_are_the_same() -> None:
    items = list(range(130))
    seen: list[int] = []
    assert run_apart(square, items, 0, lambda done, total: seen.append(done)) == (square(items), [])
    assert run_apart(square, items, 2, lambda done, total: None) == (square(items), [])
    assert seen == [64, 128, 130]


def test_a_crash_costs_the_item_that_caused_it() -> None:
    items = list(range(64, 72))
    results, crashed = run_apart(die_at_70, items, 1, lambda done, total: None)
    assert crashed == [70]
    assert results == square([item for item in items if item != 70])
