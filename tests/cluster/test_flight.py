"""What is out: counted by id, from both executors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.executors.inline import Inline
from cluster.executors.ray_tasks import RayTasks
from cluster.flight import Flight
from cluster.session import start
from cluster.units import Unit, make_unit
from tests.support.cluster_jobs import make_item, make_job


def unit(key: str) -> Unit:
    return make_unit("work", [make_item(key)], 1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_oldest_is_the_one_that_went_out_first_and_is_not_back() -> None:
    clock = Clock()
    flight = Flight(clock)
    assert (flight.units, flight.oldest_seconds) == (0, 0.0)
    first, second = unit("ok:1"), unit("ok:2")
    flight.started(first)
    clock.now += 5
    flight.started(second)
    clock.now += 2
    assert (flight.units, flight.oldest_seconds) == (2, 7.0)
    flight.ended(first.id)
    assert (flight.units, flight.oldest_seconds) == (1, 2.0)
    flight.ended(first.id)  # twice does no harm
    flight.ended(second.id)
    assert flight.units == 0


def test_a_unit_that_starts_again_is_young_again() -> None:
    clock = Clock()
    flight = Flight(clock)
    flight.started(unit("ok:1"))
    clock.now += 60
    flight.started(unit("ok:1"))
    assert (flight.units, flight.oldest_seconds) == (1, 0.0)


def test_inline_has_one_unit_out_at_a_time(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(Flight):
        def ended(self, unit_id: str) -> None:
            seen.append(self.units)
            super().ended(unit_id)

    flight = Watched()
    reports = list(Inline(str(tmp_path), flight=flight).run(make_job(tmp_path), [unit("ok:1"), unit("ok:2")]))
    assert len(reports) == 2
    assert (seen, flight.units) == ([1, 1], 0)


def test_readers_in_other_threads_are_safe() -> None:
    flight = Flight()
    units = [unit(f"ok:{n}") for n in range(50)]
    ended = threading.Event()

    def read() -> bool:
        while not ended.is_set():
            assert flight.oldest_seconds >= 0.0
        return True

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for _ in range(200):
            for one in units:
                flight.started(one)
            for one in units:
                flight.ended(one.id)
        ended.set()
        assert reading.result()


def test_on_ray_units_that_are_lost_and_halved_are_not_out_for_ever(tmp_path: Path) -> None:
    most = []

    class Watched(Flight):
        def started(self, unit: Unit) -> None:
            super().started(unit)
            most.append(self.units)

    flight = Watched()
    units = [make_unit("work", [make_item("kill-once:1"), make_item("ok:2")], 64 << 20), unit("ok:3")]
    with start(workers=2) as session:
        job = make_job(tmp_path / "store", marks=str(tmp_path / "marks"))
        reports = list(RayTasks(str(tmp_path / "store"), session, flight=flight).run(job, units))
    assert sum(report.done for report in reports) == 3
    assert (max(most) >= 2, flight.units) == (True, 0)
    assert len(most) >= 4  # both, and the halves of the one that was lost
