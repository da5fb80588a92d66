"""One suite for every executor: where units run changes nothing in what they give.

``inline`` is left out where an item takes its process along: there the run goes with it, and the next one goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.drain import Drain, Drained
from cluster.events import EventLog
from cluster.executors import Executor, Inline
from cluster.executors.processes import Processes, start_processes
from cluster.executors.ray_tasks import RayTasks
from cluster.isolation import TRIES, log_key
from cluster.job import Job, StageBroken
from cluster.ledger import Ledger, make_account
from cluster.outcomes import Receipt, Status
from cluster.session import Session, start
from cluster.units import Item, Unit, make_unit, pack
from curate.errors import Misconfigured
from curate.reasons import Reason
from curate.storage import LocalStore
from tests.support.cluster_jobs import (
    SECRET,
    digests_of,
    items_of,
    make_item,
    make_job,
    open_broken,
    outcomes_of,
    tries_of,
)

LANE = 64 << 20
Open = Callable[..., Executor]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with start(workers=2) as session:
        yield session


@pytest.fixture(params=["inline", "processes", "ray"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["processes", "ray"])
def isolating(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_on(session: Session, tmp_path: Path) -> Iterator[Open]:
    """Open an executor of a kind on a store, until the end of the test."""
    with ExitStack() as stack:

        def make(kind: str, store: Path, events: EventLog | None = None, drain: Drain | None = None) -> Executor:
            if kind == "inline":
                return Inline(str(store), drain)
            if kind == "processes":
                return stack.enter_context(start_processes(str(store), 2, events, drain))
            return RayTasks(str(store), session, events, drain)

        yield make


def units_of(items: list[Item], target_cost: int = 20) -> list[Unit]:
    return list(pack("work", items, target_cost=target_cost, lanes=[LANE, 2 * LANE]))


def receipts_of(store: Path) -> list[Receipt]:
    """Without what was measured, and the thread variable that the scripted work records: inline has none."""
    found = []
    for receipt in Ledger(LocalStore(store), "work").receipts():
        outcomes = tuple(
            replace(one, record={key: value for key, value in one.record.items() if key != "threads"})
            for one in receipt.outcomes
        )
        found.append(replace(receipt, peak_memory_bytes=0, outcomes=outcomes))
    return found


def test_the_end_of_a_run_waits_until_what_was_settled_outlives_the_machine(
    kind: str, open_on: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[int] = []
    monkeypatch.setattr(LocalStore, "sync", lambda store: there.append(len(Ledger(store, "work").loose())))
    units = [make_unit("work", [make_item(f"ok:{number}")], LANE) for number in range(4)]
    for _ in open_on(kind, tmp_path).run(make_job(tmp_path), units):
        assert not there
    assert there == [4]


def test_receipts_bytes_and_reasons_are_those_of_inline(kind: str, open_on: Open, tmp_path: Path) -> None:
    keys = [f"{action}{number}" for number in range(15) for action in ("ok:", "reject:", "quarantine:", "bug:")]
    for name, executor in (("calm", Inline(str(tmp_path / "calm"))), (kind, open_on(kind, tmp_path / kind))):
        reports = list(executor.run(make_job(tmp_path / name), units_of(items_of(*keys), 70)))
        assert len(reports) == 9
        assert sum(report.items for report in reports) == 60
    assert digests_of(tmp_path / kind) == digests_of(tmp_path / "calm")
    assert receipts_of(tmp_path / kind) == receipts_of(tmp_path / "calm")


def test_storage_that_refuses_for_a_while_costs_nothing(kind: str, open_on: Open, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    list(open_on(kind, store).run(make_job(store, marks=str(marks)), units_of(items_of("flaky:a", "ok:b", "down:c"))))
    outcomes = outcomes_of(store)
    assert [outcomes[key].status for key in ("flaky:a", "ok:b")] == [Status.DONE, Status.DONE]
    assert outcomes["down:c"].reason is Reason.STORAGE_UNAVAILABLE


def test_a_wrong_configuration_stops_the_run_with_its_message(kind: str, open_on: Open, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"^volumes\.spacing_mm: expected 3 numbers$"):
        list(open_on(kind, tmp_path).run(make_job(tmp_path), units_of(items_of("wrong:a", "ok:b"), 10)))


def test_a_stage_that_cannot_be_opened_stops_the_run_without_its_text(kind: str, open_on: Open, tmp_path: Path) -> None:
    with pytest.raises(StageBroken, match=r"RuntimeError at tests\.support\.cluster_jobs:") as caught:
        list(open_on(kind, tmp_path).run(Job("work", 1, open_broken), units_of(items_of("a"))))
    assert SECRET not in str(caught.value)


def test_the_text_of_an_unexpected_error_stays_where_it_was_raised(
    kind: str, open_on: Open, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    list(open_on(kind, tmp_path).run(make_job(tmp_path), units_of(items_of("bug:a", "ok:b"))))
    assert outcomes_of(tmp_path)["bug:a"].detail.startswith("ValueError at tests.support.cluster_jobs:")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_no_units_give_no_reports(kind: str, open_on: Open, tmp_path: Path) -> None:
    assert list(open_on(kind, tmp_path).run(make_job(tmp_path), [])) == []


def test_units_are_drawn_only_as_the_work_moves(kind: str, open_on: Open, tmp_path: Path) -> None:
    drawn = []

    def endless() -> Iterator[Unit]:
        while True:
            drawn.append(len(drawn))
            yield make_unit("work", items_of(f"ok:{len(drawn)}"), LANE)

    reports = open_on(kind, tmp_path).run(make_job(tmp_path), endless())
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 64 + 1


def test_a_next_run_on_any_executor_does_only_what_is_missing(kind: str, open_on: Open, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    job = make_job(store, marks=str(marks))
    items = items_of("reject:c", *(f"once:{number}" for number in range(30)))
    executor = open_on(kind, store)
    reports = executor.run(job, units_of(items[:11], 10))
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    settled = Ledger(LocalStore(store), "work").settled()
    assert 1 <= len(settled) <= 11
    left = [item for item in items if item.fingerprint not in settled]
    assert sum(report.items for report in executor.run(job, units_of(left))) == len(left)
    account = make_account(items, Ledger(LocalStore(store), "work").settled())
    assert (account.done, account.rejected, account.quarantined) == (30, {"slice_gap": 1}, {})


@pytest.mark.parametrize(
    ("action", "reason", "seconds", "line"),
    [
        ("segfault", Reason.WORKER_CRASHED, 60.0, "Segmentation fault"),
        ("kill", Reason.WORKER_CRASHED, 60.0, "item kill:me"),
        ("spin", Reason.TIMED_OUT, 0.5, "most recent call first"),
    ],
)
def test_a_poisoned_item_is_quarantined_with_its_last_lines_and_all_others_are_done(
    isolating: str, open_on: Open, tmp_path: Path, action: str, reason: Reason, seconds: float, line: str
) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    items = items_of("ok:0", "ok:1", f"{action}:me", "ok:2", "ok:3")
    job = make_job(store, least_seconds=seconds, marks=str(marks))
    list(open_on(isolating, store).run(job, units_of(items, 1000)))
    outcomes = outcomes_of(store)
    guilty = outcomes.pop(f"{action}:me")
    assert (guilty.status, guilty.reason) == (Status.QUARANTINED, reason)
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    assert tries_of(marks, f"{action}:me") == 1 + TRIES  # among the others, and then alone
    (log,) = LocalStore(store).list("logs")
    assert log == log_key("work", make_unit("work", [items[2]], LANE).id)
    text = LocalStore(store).get(log).decode()
    assert line in text
    assert SECRET not in text


def test_a_process_that_dies_once_costs_no_item(isolating: str, open_on: Open, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    items = items_of("ok:a", "kill-once:b", "ok:c")
    list(open_on(isolating, store).run(make_job(store, marks=str(marks)), units_of(items, 1000)))
    assert {outcome.status for outcome in outcomes_of(store).values()} == {Status.DONE}
    assert tries_of(marks, "kill-once:b") == 2


def test_an_item_that_works_may_take_as_long_as_its_bytes_need(isolating: str, open_on: Open, tmp_path: Path) -> None:
    job = make_job(tmp_path, least_seconds=0.5, seconds="1.0")
    quick, long = make_item("slow:a"), make_item("slow:b", cost=10_000_000)
    list(open_on(isolating, tmp_path).run(job, [make_unit("work", [one], LANE) for one in (quick, long)]))
    outcomes = outcomes_of(tmp_path)
    assert outcomes["slow:a"].reason is Reason.TIMED_OUT
    assert outcomes["slow:b"].status is Status.DONE


def test_a_crash_is_in_the_events_by_key_and_kind_alone(isolating: str, open_on: Open, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with EventLog(LocalStore(store)) as log:
        executor = open_on(isolating, store, log)
        list(executor.run(make_job(store, marks=str(tmp_path / "marks")), units_of(items_of("kill:me"))))
    events = "".join(path.read_text() for path in (store / "events").rglob("*.jsonl"))
    assert events.count('"event":"unit_lost"') == TRIES
    assert '"key":"kill:me"' in events
    assert '"loss":"crashed"' in events
    assert str(tmp_path) not in events


def test_tasks_are_held_to_one_thread(isolating: str, open_on: Open, tmp_path: Path) -> None:
    list(open_on(isolating, tmp_path).run(make_job(tmp_path), units_of(items_of("ok:a"))))
    assert outcomes_of(tmp_path)["ok:a"].record["threads"] == "1"


def test_every_worker_is_prepared_while_the_driver_goes_on(isolating: str, open_on: Open, tmp_path: Path) -> None:
    os.environ["CURATE_TEST_MARKS"] = str(tmp_path / "marks")
    try:
        executor = open_on(isolating, tmp_path / "store")
        executor.prepare(_note if isolating == "processes" else _noting(tmp_path / "marks"))
        list(executor.run(make_job(tmp_path / "store"), units_of(items_of("ok:a"))))
        deadline = time.monotonic() + 60
        while len(calls := _calls(tmp_path / "marks")) < executor.workers:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        del os.environ["CURATE_TEST_MARKS"]
    assert len(calls) == executor.workers
    assert str(os.getpid()) not in calls


def _note() -> None:
    _noting(Path(os.environ["CURATE_TEST_MARKS"]))()


def _noting(marks: Path) -> Callable[[], None]:
    def note() -> None:
        time.sleep(0.2)
        marks.mkdir(exist_ok=True)
        (marks / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    return note


def _calls(marks: Path) -> list[str]:
    return [mark.name.split("-")[0] for mark in marks.iterdir()] if marks.exists() else []


def test_told_to_stop_it_starts_nothing_more_and_commits_what_runs(kind: str, open_on: Open, tmp_path: Path) -> None:
    drain = Drain(grace_seconds=60)
    executor = open_on(kind, tmp_path, drain=drain)
    drawn = []

    def units() -> Iterable[Unit]:
        for number in range(1000):
            drawn.append(number)
            yield make_unit("work", items_of(f"slow:{number}"), LANE)

    reports = executor.run(make_job(tmp_path, seconds="0.01"), units())
    settled = [next(reports)]
    drain.ask()
    with pytest.raises(Drained):
        settled.extend(reports)
    assert len(drawn) < 200
    assert len(outcomes_of(tmp_path)) == len(settled) == len(drawn) - 1


def test_what_does_not_fit_the_grace_is_left_for_the_next_run(isolating: str, open_on: Open, tmp_path: Path) -> None:
    drain = Drain(grace_seconds=0.5)
    executor = open_on(isolating, tmp_path, drain=drain)
    units = [make_unit("work", items_of(f"{action}:0"), LANE) for action in ("ok", "slow")]
    reports = executor.run(make_job(tmp_path, seconds="20"), units)
    next(reports)
    drain.ask()
    began = time.monotonic()
    with pytest.raises(Drained):
        list(reports)
    assert time.monotonic() - began < 10
    assert set(outcomes_of(tmp_path)) == {"ok:0"}


def test_a_unit_that_no_worker_can_hold_is_refused(isolating: str, open_on: Open, tmp_path: Path) -> None:
    executor = open_on(isolating, tmp_path)
    unit = make_unit("work", items_of("a"), executor.memory + 1)
    with pytest.raises(Misconfigured, match="asks for"):
        list(executor.run(make_job(tmp_path), [unit]))


def test_processes_that_are_closed_leave_nothing(tmp_path: Path) -> None:
    with start_processes(str(tmp_path / "store"), 2) as executor:
        processes = [hand.process for hand in executor._hands]
        list(executor.run(make_job(tmp_path / "store"), units_of(items_of("ok:a"))))
        logs = executor._logs
        assert logs.is_dir()
    assert not any(process.is_alive() for process in processes)
    assert not logs.exists()


def test_processes_that_lose_their_driver_end(tmp_path: Path) -> None:
    executor = Processes(str(tmp_path / "store"), 1, tmp_path / "logs")
    (hand,) = executor._hands
    hand.connection.close()
    hand.process.join(30)
    assert hand.process.exitcode == 0
