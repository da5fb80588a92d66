"""Progress of a run for a person: a live line on a terminal, a line a minute elsewhere. The same numbers in both."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from cluster.attempt import UnitReport
from cluster.flight import Flight

LINE_SECONDS = 60.0
_MEGABYTE = 1_000_000


@dataclass(slots=True)
class Tally:
    """What has been settled so far of a stage, and how much there is. Bytes and seconds."""

    items: int = 0
    done: int = 0
    rejected: int = 0
    quarantined: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    all_items: int = 0
    all_bytes: int = 0  # of input; 0 where nobody knows
    flight: Flight = field(default_factory=Flight)

    def add(self, report: UnitReport) -> None:
        """Count a report in."""
        self.items += report.items
        self.done += report.done
        self.rejected += report.rejected
        self.quarantined += report.quarantined
        self.bytes_in += report.bytes_in
        self.bytes_out += report.bytes_out

    def seconds_left(self, elapsed: float) -> float | None:
        """At the rate so far, by bytes of input where they are known, else by items. None before the first report."""
        done, whole = (self.bytes_in, self.all_bytes) if self.all_bytes else (self.items, self.all_items)
        return elapsed * max(whole - done, 0) / done if done else None

    def describe(self, elapsed: float) -> str:
        """As ``12 done, 1 rejected, 0 quarantined, 3 MB in, 1 MB out, 0.5 MB/s, 2 in flight, oldest 9 s, 40 s left``.

        What is in flight and left is said while there is any.
        """
        parts = [
            f"{self.done} done",
            f"{self.rejected} rejected",
            f"{self.quarantined} quarantined",
            f"{self.bytes_in / _MEGABYTE:.0f} MB in",
            f"{self.bytes_out / _MEGABYTE:.0f} MB out",
        ]
        if elapsed > 0 and self.bytes_in:
            parts.append(f"{self.bytes_in / _MEGABYTE / elapsed:.1f} MB/s")
        if self.flight.units:
            parts += [f"{self.flight.units} in flight", f"oldest {in_words(self.flight.oldest_seconds)}"]
        left = self.seconds_left(elapsed)
        if left is not None and self.items < self.all_items:
            parts.append(f"{in_words(left)} left")
        return ", ".join(parts)


def in_words(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def show_progress(
    title: str,
    tally: Tally,
    *,
    console: Console | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[UnitReport], None]]:
    """Give a function to call with every report, and show how far the tally has come.

    On a terminal a bar by number of items that moves by itself; elsewhere a plain line every ``LINE_SECONDS``, also
    when nothing comes back, and one at the end, also when an exception ends it.
    """
    screen = console or Console(stderr=True)
    with (_bar if screen.is_terminal else _lines)(title, tally, screen, clock) as advance:
        yield advance


class _Described(ProgressColumn):
    """The tally in words, anew each time the line is drawn: what is out grows older between reports."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        return Text(self._tally.describe(task.elapsed or 0.0))


@contextlib.contextmanager
def _bar(
    title: str, tally: Tally, console: Console, clock: Callable[[], float]
) -> Iterator[Callable[[UnitReport], None]]:
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), _Described(tally))
    with Progress(*columns, console=console, get_time=clock) as progress:
        task = progress.add_task(title, total=tally.all_items)

        def advance(report: UnitReport) -> None:
            tally.add(report)
            progress.update(task, completed=tally.items)

        yield advance


@contextlib.contextmanager
def _lines(
    title: str, tally: Tally, console: Console, clock: Callable[[], float]
) -> Iterator[Callable[[UnitReport], None]]:
    began = shown = clock()
    lock = threading.Lock()
    ended = threading.Event()

    def say(*, if_due: bool) -> None:
        nonlocal shown
        with lock:
            if if_due and clock() - shown < LINE_SECONDS:
                return
            shown = clock()
            elapsed = shown - began
            line = f"{title}: {tally.items}/{tally.all_items} in {elapsed:.0f} s: {tally.describe(elapsed)}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advance(report: UnitReport) -> None:
        tally.add(report)
        say(if_due=True)

    def tick() -> None:
        while not ended.wait(LINE_SECONDS):
            say(if_due=True)

    ticking = threading.Thread(target=tick, name="progress", daemon=True)
    ticking.start()
    try:
        yield advance
    finally:
        ended.set()
        ticking.join()
        say(if_due=False)
