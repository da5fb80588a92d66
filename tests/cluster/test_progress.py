"""Progress: the same numbers on a terminal and in a log."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

import cluster.progress
from cluster.attempt import UnitReport
from cluster.flight import Flight
from cluster.progress import Tally, in_words, show_progress
from cluster.units import make_unit
from tests.support.cluster_jobs import make_item

REPORT = UnitReport("s", "u", done=3, rejected=1, quarantined=1, bytes_in=4_000_000, bytes_out=2_000_000)
UNIT = make_unit("s", [make_item("ok:1")], 1)


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
    assert tally.describe(0.0) == "6 done, 2 rejected, 2 quarantined, 8 MB in, 4 MB out"


def test_what_is_left_is_reckoned_in_bytes_where_they_are_known() -> None:
    tally = Tally(all_items=10, all_bytes=40_000_000)
    assert tally.seconds_left(10.0) is None
    tally.add(REPORT)  # half of the items, a tenth of the bytes
    assert tally.seconds_left(10.0) == pytest.approx(90.0)
    unknown = Tally(all_items=10)
    unknown.add(REPORT)
    assert unknown.seconds_left(10.0) == pytest.approx(10.0)


def test_more_bytes_than_were_foreseen_leave_nothing() -> None:
    tally = Tally(all_items=10, all_bytes=1_000_000)
    tally.add(REPORT)
    assert tally.seconds_left(10.0) == 0.0


def test_a_tally_tells_rate_flight_and_rest() -> None:
    clock = Clock()
    flight = Flight(clock)
    tally = Tally(all_items=10, all_bytes=8_000_000, flight=flight)
    tally.add(REPORT)
    flight.started(UNIT)
    clock.now += 9
    assert tally.describe(8.0) == (
        "3 done, 1 rejected, 1 quarantined, 4 MB in, 2 MB out, 0.5 MB/s, 1 in flight, oldest 9 s, 8 s left"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (12_600, "3.5 h")]
)
def test_times_are_short(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_without_a_terminal_a_run_ends_with_one_plain_line() -> None:
    console, stream = plain()
    with show_progress("volumes", Tally(all_items=5), console=console, clock=Clock()) as advance:
        advance(REPORT)
    assert stream.getvalue() == "volumes: 5/5 in 0 s: 3 done, 1 rejected, 1 quarantined, 4 MB in, 2 MB out\n"


def test_without_a_terminal_lines_come_once_a_minute() -> None:
    console, stream = plain()
    clock = Clock()
    with show_progress("volumes", Tally(all_items=900), console=console, clock=clock) as advance:
        for _ in range(180):
            clock.now += 1
            advance(REPORT)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("volumes: 300/900 in 60 s:")
    assert lines[0].endswith(", 2 min left")
    assert lines[-1].startswith("volumes: 900/900 in 180 s:")


def test_a_line_comes_also_when_nothing_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.progress, "LINE_SECONDS", 0.05)
    console, stream = plain()
    flight = Flight()
    flight.started(UNIT)
    with show_progress("volumes", Tally(all_items=5, flight=flight), console=console):
        deadline = time.monotonic() + 20
        while stream.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    first = stream.getvalue().splitlines()[0]
    assert first.startswith("volumes: 0/5 in ")
    assert "1 in flight, oldest " in first


def test_an_interrupted_run_says_how_far_it_came() -> None:
    console, stream = plain()

    def run() -> None:
        with show_progress("volumes", Tally(all_items=9), console=console, clock=Clock()) as advance:
            advance(REPORT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert stream.getvalue().startswith("volumes: 5/9")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_titles_are_not_read_as_markup(is_terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=160, no_color=True)
    with show_progress("[bold]x", Tally(all_items=1), console=console, clock=Clock()):
        pass
    assert "[bold]x" in stream.getvalue()


def test_a_terminal_shows_a_bar_with_the_same_numbers() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=220)
    tally = Tally(all_items=9, all_bytes=8_000_000)
    clock = Clock()
    with show_progress("volumes", tally, console=console, clock=clock) as advance:
        clock.now += 4
        advance(REPORT)
    assert "5/9" in stream.getvalue()
    assert tally.describe(4.0) in stream.getvalue()
    assert "1.0 MB/s, 4 s left" in stream.getvalue()
