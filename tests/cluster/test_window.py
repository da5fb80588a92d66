"""The window: never idle, never endless."""

from __future__ import annotations

from cluster.units import Unit
from cluster.window import LEAST, Window, window_for


def unit(memory: int) -> Unit:
    return Unit("s", f"{memory}", (), memory)


def fill(window: Window, memory: int) -> int:
    entered = 0
    while window.has_room(unit(memory)):
        window.enter(unit(memory))
        entered += 1
    return entered


def test_small_units_are_bounded_by_their_count() -> None:
    assert fill(window_for(2, 1 << 40), 1) == LEAST


def test_large_clusters_have_two_units_a_worker_in_flight() -> None:
    assert fill(window_for(1000, 1 << 50), 1) == 2000


def test_big_units_are_bounded_by_their_bytes() -> None:
    assert fill(window_for(2, 1000), 100) == 20


def test_a_unit_larger_than_the_window_still_gets_its_turn_alone() -> None:
    window = window_for(2, 100)
    assert fill(window, 5000) == 1
    assert not window.has_room(unit(1))


def test_what_leaves_makes_room_again() -> None:
    window = window_for(2, 100)
    fill(window, 50)
    window.leave(unit(50))
    assert fill(window, 50) == 1


def test_a_cluster_that_grew_gets_a_larger_window_and_what_is_in_flight_stays() -> None:
    window = window_for(2, 100)
    assert fill(window, 50) == 4
    window.resize(window_for(3, 200))
    assert fill(window, 50) == 4
    window.resize(window_for(2, 100))
    assert (window.units, window.has_room(unit(50))) == (8, False)


def test_an_empty_window_counts_nothing() -> None:
    window = window_for(2, 100)
    fill(window, 30)
    while window.units:
        window.leave(unit(30))
    assert (window.units, window.bytes) == (0, 0)


def test_a_cluster_that_names_no_memory_still_runs_one_unit_at_a_time() -> None:
    assert fill(window_for(2, 0), 10) == 1
