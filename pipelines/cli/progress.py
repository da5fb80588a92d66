"""Bars for work that is counted in steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

from pipelines.cli.console import notes


@contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step on a terminal, silence elsewhere."""
    if not notes.is_terminal:
        yield lambda what, done, total: None
        return
    with Progress(console=notes) as progress:
        tasks = {what: progress.add_task(what, total=None) for what in ("comparing", "searching")}
        yield lambda what, done, total: progress.update(tasks[what], completed=done, total=total)
