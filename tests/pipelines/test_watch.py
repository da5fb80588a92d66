"""Someone looks while a stage runs: lines for a person, events for the store, a stop for a bug."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cluster.attempt import UnitReport
from cluster.budget import BudgetSpent
from cluster.events import EventLog
from cluster.executors import Inline
from cluster.job import Done, Job, Work
from cluster.units import Item, Unit, make_unit
from curate.identity import Json
from curate.storage import open_store
from pipelines.watch import Watch


def open_nothing(config: Json) -> Work:
    return lambda item: Done()


def open_bug(config: Json) -> Work:
    def work(item: Item) -> Done:
        raise ZeroDivisionError("Doe^Jane")

    return work


def units(count: int) -> list[Unit]:
    return [make_unit("stage", [Item(f"k{n}", f"{n:064d}", cost=10)], 1) for n in range(count)]


def test_a_stage_is_run_timed_and_told(tmp_path: Path) -> None:
    lines = StringIO()
    store = open_store(tmp_path)
    with EventLog(store) as events:
        watch = Watch(Console(file=lines), events)
        watch.run(Inline(store.url), Job("stage", 1, open_nothing), units(3))
    assert "stage: 3/3" in lines.getvalue()
    assert list(watch.seconds) == ["stage"]
    told = [json.loads(line) for key in store.list("events") for line in store.get(key).splitlines()]
    kinds = ["run_started", "stage_started", *["unit_settled"] * 3, "stage_ended", "run_ended"]
    assert [one["event"] for one in told] == kinds
    assert {one["bytes_in"] for one in told if one["event"] == "unit_settled"} == {10}
    assert (told[1]["units"], told[1]["items"], told[-2]["done"], told[-2]["bytes_in"]) == (3, 3, 3, 30)


def test_who_looks_sees_what_the_executor_has_out(tmp_path: Path) -> None:
    watch = Watch(Console(quiet=True))
    out: list[int] = []

    class Told(Inline):
        def run(self, job: Job, units: Sequence[Unit]) -> Iterator[UnitReport]:  # type: ignore[override]
            for report in super().run(job, units):
                out.append(watch.flight.units)
                yield report

    started: list[str] = []
    watch.flight.started = lambda unit: started.append(unit.id)  # type: ignore[method-assign]
    watch.run(Told(str(tmp_path), flight=watch.flight), Job("stage", 1, open_nothing), units(2))
    assert started == [unit.id for unit in units(2)]
    assert out == [0, 0]


def test_nothing_to_do_is_done_in_silence(tmp_path: Path) -> None:
    lines = StringIO()
    watch = Watch(Console(file=lines))
    watch.run(Inline(str(tmp_path)), Job("stage", 1, open_nothing), [])
    assert lines.getvalue() == ""
    assert watch.seconds["stage"] < 1


def test_seconds_of_one_stage_add_up(tmp_path: Path) -> None:
    watch = Watch(Console(quiet=True), seconds={"stage": 100.0})
    watch.run(Inline(str(tmp_path)), Job("stage", 1, open_nothing), units(1))
    assert watch.seconds["stage"] >= 100.0


def test_the_same_bug_again_and_again_stops_the_run_early(tmp_path: Path) -> None:
    watch = Watch(Console(quiet=True))
    tried: list[UnitReport] = []

    class Counts(Inline):
        def run(self, job: Job, units: Sequence[Unit]) -> Iterator[UnitReport]:  # type: ignore[override]
            for report in super().run(job, units):
                tried.append(report)
                yield report

    with pytest.raises(BudgetSpent, match="ZeroDivisionError") as caught:
        watch.run(Counts(str(tmp_path)), Job("stage", 1, open_bug), units(100))
    assert len(tried) < 100
    assert "Doe" not in str(caught.value)


def test_units_may_be_made_while_they_are_settled(tmp_path: Path) -> None:
    lines = StringIO()
    made: list[str] = []
    settled: list[int] = []

    def stream() -> Iterator[Unit]:
        for unit in units(3):
            settled.append(len(list(open_store(tmp_path).list("ledger"))))
            made.append(unit.id)
            yield unit

    watch = Watch(Console(file=lines))
    watch.stream(Inline(str(tmp_path)), Job("stage", 1, open_nothing), stream(), count=3, items=3, cost=30)
    assert "stage: 3/3" in lines.getvalue()
    assert made == [unit.id for unit in units(3)]
    assert settled == [0, 1, 2]
