"""Progress of a run for a person: a bar on a terminal, a line now and then elsewhere. One interface for both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cluster.attempt import UnitReport

LINE_SECONDS = 10.0
_MEGABYTE = 1_000_000


@dataclass(slots=True)
class Tally:
    """What has been settled so far in this run."""

    items: int = 0
    done: int = 0
    rejected: int = 0
    quarantined: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, report: UnitReport) -> None:
        """Count a report in."""
        self.items += report.items
        self.done += report.done
        self.rejected += report.rejected
        self.quarantined += report.quarantined
        self.bytes_in += report.bytes_in
        self.bytes_out += report.bytes_out

    def describe(self) -> str:
        """As ``12 done, 1 rejected, 0 quarantined, 3 MB in, 1 MB out``."""
        return (
            f"{self.done} done, {self.rejected} rejected, {self.quarantined} quarantined, "
            f"{self.bytes_in / _MEGABYTE:.0f} MB in, {self.bytes_out / _MEGABYTE:.0f} MB out"
        )


@contextlib.contextmanager
def show_progress(
    title: str, items: int, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[UnitReport], None]]:
    """Give a function to call with every report, and show how far the ``items`` of a run have come.

    On a terminal a bar by number of items; elsewhere a plain line at most every ``LINE_SECONDS``, and one at the end,
    also when an exception ends it.
    """
    screen = console or Console(stderr=True)
    with (_bar if screen.is_terminal else _lines)(title, items, screen, clock) as advance:
        yield advance


@contextlib.contextmanager
def _bar(
    title: str, items: int, console: Console, clock: Callable[[], float]
) -> Iterator[Callable[[UnitReport], None]]:
    tally = Tally()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[tally]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, get_time=clock) as progress:
        task = progress.add_task(title, total=items, tally="")

        def advance(report: UnitReport) -> None:
            tally.add(report)
            progress.update(task, completed=tally.items, tally=tally.describe())

        yield advance


@contextlib.contextmanager
def _lines(
    title: str, items: int, console: Console, clock: Callable[[], float]
) -> Iterator[Callable[[UnitReport], None]]:
    tally = Tally()
    began = shown = clock()

    said = -1

    def say() -> None:
        nonlocal said
        if said == tally.items:
            return
        said = tally.items
        line = f"{title}: {tally.items}/{items} in {clock() - began:.0f} s: {tally.describe()}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(report: UnitReport) -> None:
        nonlocal shown
        tally.add(report)
        if clock() - shown >= LINE_SECONDS:
            shown = clock()
            say()

    try:
        yield advance
    finally:
        say()
