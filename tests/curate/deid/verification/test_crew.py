"""Processes may die or hang; everything but the guilty item is done, in order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from curate.deid.verification.crew import Apart, Crashed, run_apart


def square(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        yield item * item


def die_at_70(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        if item == 70:
            os.kill(os.getpid(), 11)  # as a fault in C++ does
        yield item * item


def hang_at_70(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        if item == 70:
            time.sleep(600)
        yield item * item


def die_the_first_time(items: Sequence[str]) -> Iterator[str]:
    for item in items:
        if not Path(item).exists():
            Path(item).touch()
            os._exit(1)
        yield item


def fail(items: Sequence[int]) -> Iterator[int]:
    raise LookupError("not a crash")
    yield from items


def test_in_one_process_and_in_two_the_results_are_the_same() -> None:
    items = list(range(130))
    seen: list[int] = []
    assert run_apart(square, items, 0, lambda done, total: seen.append(done)) == (list(square(items)), [])
    assert seen == list(range(1, 131))
    assert run_apart(square, items, 2, lambda done, total: seen.append(done)) == (list(square(items)), [])
    assert seen[-1] == 130


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_costs_the_item_that_caused_it(workers: int) -> None:
    items = list(range(60, 72))
    results, crashed = run_apart(die_at_70, items, workers)
    assert crashed == [70]
    assert results == list(square([item for item in items if item != 70]))


def test_a_process_that_does_not_finish_is_ended_and_replaced() -> None:
    items = list(range(68, 73))
    results, crashed = run_apart(hang_at_70, items, 1, patience=4.0)
    assert crashed == [70]
    assert results == list(square([item for item in items if item != 70]))


def test_an_item_gets_a_second_chance(tmp_path: Path) -> None:
    items = [str(tmp_path / name) for name in "ab"]
    assert run_apart(die_the_first_time, items, 1) == (items, [])


def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(LookupError):
        run_apart(fail, [1], 1)
    with pytest.raises(LookupError):
        Apart(fail).ask(1)


def test_a_single_process_answers_after_it_crashed() -> None:
    apart = Apart(die_at_70)
    assert apart.ask(3) == 9
    with pytest.raises(Crashed):
        apart.ask(70)
    assert apart.ask(4) == 16


def test_nothing_to_do_needs_no_process() -> None:
    assert run_apart(square, [], 2) == ([], [])
