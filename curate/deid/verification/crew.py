"""Work spread over processes that may die: a crash costs the item that caused it, and nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_CHUNK = 64
_task: Callable[[Sequence[Any]], list[Any]] | None = None


def run_apart(
    task: Callable[[Sequence[_Item]], list[_Result]],
    items: Sequence[_Item],
    workers: int,
    progress: Callable[[int, int], None],
) -> tuple[list[_Result], list[_Item]]:
    """Results in the order of the items, and the items that killed the process that worked on them.

    ``task`` is sent to each process once and must be picklable. ``workers`` = 0: in this process.
    """
    chunks = [items[first : first + _CHUNK] for first in range(0, len(items), _CHUNK)]
    if workers == 0:
        results: list[_Result] = []
        for chunk in chunks:
            results += task(chunk)
            progress(len(results), len(items))
        return results, []
    found: dict[int, list[_Result]] = {}
    _run(task, dict(enumerate(chunks)), workers, found, lambda: progress(_done(found), len(items)))
    crashed: list[_Item] = []
    for number, chunk in enumerate(chunks):
        if number not in found:
            found[number], guilty = _one_by_one(task, chunk)
            crashed += guilty
    return [result for number in sorted(found) for result in found[number]], crashed


def _run(
    task: Callable[[Sequence[_Item]], list[_Result]],
    chunks: dict[int, Sequence[_Item]],
    workers: int,
    found: dict[int, list[_Result]],
    on_result: Callable[[], None],
) -> None:
    """Fill ``found``; chunks that a dead process held stay out."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_open, initargs=(task,)) as pool:
        futures = {number: pool.submit(_work, chunk) for number, chunk in chunks.items()}
        for number, future in futures.items():
            try:
                found[number] = future.result()
            except BrokenProcessPool:
                continue
            on_result()


def _one_by_one(
    task: Callable[[Sequence[_Item]], list[_Result]], chunk: Sequence[_Item]
) -> tuple[list[_Result], list[_Item]]:
    """Whole chunk once more, alone; then halves of what dies again, down to the item that is guilty."""
    found: dict[int, list[_Result]] = {}
    _run(task, {0: chunk}, 1, found, lambda: None)
    if 0 in found:
        return found[0], []
    if len(chunk) == 1:
        return [], list(chunk)
    middle = len(chunk) // 2
    first, guilty = _one_by_one(task, chunk[:middle])
    second, more = _one_by_one(task, chunk[middle:])
    return first + second, guilty + more


def _open(task: Callable[[Sequence[Any]], list[Any]]) -> None:
    global _task
    _task = task


def _work(chunk: Sequence[Any]) -> list[Any]:
    assert _task is not None
    return _task(chunk)


def _done(found: dict[int, list[Any]]) -> int:
    return sum(map(len, found.values()))
