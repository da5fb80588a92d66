"""Processes may die or hang; everything but the guilty item is done, in order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from curate.deid.verification import crew as crew_module
from curate.deid.verification.crew import Crew, run_apart
from curate.deid.verification.workers import Crashed, warm


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


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that start at once: how they start is not what is tested."""
    monkeypatch.setattr(crew_module, "cold", warm)


def test_in_one_process_and_in_two_the_results_are_the_same() -> None:
    items = list(range(130))
    seen: list[int] = []
    assert run_apart(square, items, 0, lambda done, total: seen.append(done)) == (list(square(items)), [])
    assert seen == list(range(1, 131))
    assert run_apart(square, items, 2, lambda done, total: seen.append(done)) == (list(square(items)), [])
    assert seen[-1] == 130


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_costs_the_item_that_caused_it(workers: int) -> None:
    items = list(range(60, 72))
    results, crashed = run_apart(die_at_70, items, workers)
    assert crashed == [70]
    assert results == list(square([item for item in items if item != 70]))


@pytest.mark.usefixtures("forked")
def test_a_process_that_does_not_finish_is_ended_and_replaced() -> None:
    items = list(range(68, 73))
    results, crashed = run_apart(hang_at_70, items, 1, patience=5.0)
    assert crashed == [70]
    assert results == list(square([item for item in items if item != 70]))


@pytest.mark.usefixtures("forked")
def test_an_item_gets_a_second_chance(tmp_path: Path) -> None:
    items = [str(tmp_path / name) for name in "ab"]
    assert run_apart(die_the_first_time, items, 1) == (items, [])


@pytest.mark.usefixtures("forked")
def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(LookupError):
        run_apart(fail, [1], 1)
    with Crew(fail, 1) as crew:
        crew.ask(1, print)
        with pytest.raises(LookupError):
            crew.finish()


def heard(crew: Crew[int, int], items: Sequence[int], size: int = 0) -> list[int | str]:
    """What is said of each item, in the order in which it is said."""
    said: list[int | str] = []
    for item in items:
        crew.ask(item, lambda result, item=item: said.append(f"lost {item}" if isinstance(result, Crashed) else result))
    crew.finish()
    return said


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_come_in_the_order_of_the_items_and_after_a_crash_too(workers: int) -> None:
    with Crew(die_at_70, workers, context=warm()) as crew:
        assert heard(crew, [3]) == [9]
        assert heard(crew, range(60, 80)) == [n * n if n != 70 else "lost 70" for n in range(60, 80)]
        assert heard(crew, [4]) == [16]
    with Crew(square, workers, context=warm()) as crew:
        assert heard(crew, range(1000)) == list(square(range(1000)))


def test_few_items_are_held_at_a_time_and_large_ones_fewer() -> None:
    held: list[int] = []
    with Crew(square, 2, context=warm()) as crew:
        for number in range(300):
            crew.ask(number, lambda _: None, size=2 << 20)
            held.append(len(crew._items))
        crew.finish()
    assert max(held) <= 3 * 4
    assert not crew._items


def test_nothing_to_do_needs_no_process() -> None:
    assert run_apart(square, [], 2) == ([], [])
