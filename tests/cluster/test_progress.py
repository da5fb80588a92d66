"""Progress: the same numbers on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cluster.attempt import UnitReport
from cluster.progress import Tally, show_progress

REPORT = UnitReport("s", "u", done=3, rejected=1, quarantined=1, bytes_in=4_000_000, bytes_out=2_000_000)


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=False, width=40), stream


def test_a_tally_adds_reports_up() -> None:
    tally = Tally()
    tally.add(REPORT)
    tally.add(REPORT)
    assert (tally.items, tally.done, tally.rejected, tally.quarantined) == (10, 6, 2, 2)
    assert tally.describe() == "6 done, 2 rejected, 2 quarantined, 8 MB in, 4 MB out"


def test_without_a_terminal_a_run_ends_with_one_plain_line() -> None:
    console, stream = plain()
    with show_progress("volumes", 5, console=console, clock=Clock()) as advance:
        advance(REPORT)
    assert stream.getvalue() == "volumes: 5/5 in 0 s: 3 done, 1 rejected, 1 quarantined, 4 MB in, 2 MB out\n"


def test_without_a_terminal_lines_come_no_more_often_than_every_ten_seconds() -> None:
    console, stream = plain()
    clock = Clock()
    with show_progress("volumes", 500, console=console, clock=clock) as advance:
        for _ in range(100):
            clock.now += 0.5
            advance(REPORT)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("volumes: 100/500 in 10 s:")
    assert lines[-1].startswith("volumes: 500/500 in 50 s:")


def test_an_interrupted_run_says_how_far_it_came() -> None:
    console, stream = plain()

    def run() -> None:
        with show_progress("volumes", 9, console=console, clock=Clock()) as advance:
            advance(REPORT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert stream.getvalue().startswith("volumes: 5/9")


def test_titles_are_not_read_as_markup() -> None:
    console, stream = plain()
    with show_progress("[bold]x", 1, console=console, clock=Clock()):
        pass
    assert stream.getvalue().startswith("[bold]x: 0/1")


def test_a_terminal_shows_a_bar_with_the_same_numbers() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160)
    with show_progress("volumes", 5, console=console) as advance:
        advance(REPORT)
    shown = stream.getvalue()
    assert "5/5" in shown
    assert "3 done, 1 rejected, 1 quarantined" in shown
