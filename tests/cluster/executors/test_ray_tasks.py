"""Ray tasks on a real embedded session: crashes have a name, and the result is that of the inline executor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.events import EventLog
from cluster.executors.inline import Inline
from cluster.executors.ray_tasks import RayTasks
from cluster.isolation import TRIES, log_key
from cluster.job import Job, StageBroken
from cluster.ledger import Ledger, make_account
from cluster.outcomes import ItemOutcome, Status
from cluster.session import Session, start
from cluster.units import Item, Unit, make_unit, pack
from curate.errors import Misconfigured
from curate.reasons import Reason
from curate.storage import LocalStore
from tests.support.cluster_jobs import (
    SECRET,
    digests_of,
    make_item,
    make_job,
    open_broken,
    tries_of,
)

LANE = 64 << 20


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with start(workers=2) as session:
        yield session


def items_of(*keys: str) -> list[Item]:
    return [make_item(key) for key in keys]


def units_of(items: list[Item], target_cost: int = 20) -> list[Unit]:
    return list(pack("work", items, target_cost=target_cost, lanes=[LANE, 2 * LANE]))


def outcomes_of(store: Path) -> dict[str, ItemOutcome]:
    return {outcome.key: outcome for outcome in Ledger(LocalStore(store), "work").outcomes().values()}


def run(session: Session, store: Path, keys: list[str], *, target_cost: int = 20, **config: str) -> None:
    executor = RayTasks(str(store), session)
    items = items_of(*keys)
    reports = list(executor.run(make_job(store, **config), units_of(items, target_cost)))
    assert sum(report.items for report in reports) == len(items)
    make_account(items, Ledger(LocalStore(store), "work").outcomes())


def test_ray_gives_the_receipts_and_the_bytes_of_inline(session: Session, tmp_path: Path) -> None:
    keys = [f"{action}{number}" for number in range(15) for action in ("ok:", "reject:", "quarantine:", "bug:")]
    run(session, tmp_path / "ray", keys, target_cost=70)
    inline = list(Inline(str(tmp_path / "inline")).run(make_job(tmp_path / "inline"), units_of(items_of(*keys), 70)))
    assert len(inline) == 9
    assert digests_of(tmp_path / "ray") == digests_of(tmp_path / "inline")
    ours, theirs = (
        [
            replace(receipt, peak_memory_bytes=0).to_json()
            for receipt in Ledger(LocalStore(tmp_path / name), "work").receipts()
        ]
        for name in ("ray", "inline")
    )
    # the scripted work records the thread variable, which is the one thing the two are told apart by
    assert [content.replace(b'"threads":"1"', b'"threads":""') for content in ours] == [
        content.replace(b'"threads":"1"', b'"threads":""') for content in theirs
    ]


def test_every_worker_is_prepared_while_the_driver_goes_on(session: Session, tmp_path: Path) -> None:
    marks, store = tmp_path / "marks", tmp_path / "store"
    marks.mkdir()

    def note() -> None:
        time.sleep(0.2)
        (marks / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    RayTasks(str(store), session).prepare(note)
    assert list(marks.iterdir()) == []
    run(session, store, ["ok:a"])
    deadline = time.monotonic() + 60
    while len(calls := [mark.name.split("-")[0] for mark in marks.iterdir()]) < session.workers:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(calls) == session.workers
    assert str(os.getpid()) not in calls


def test_what_fails_while_workers_are_prepared_does_not_stop_the_units(session: Session, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    RayTasks(str(tmp_path), session).prepare(fail)
    run(session, tmp_path, ["ok:a"])


def test_tasks_are_held_to_one_thread(session: Session, tmp_path: Path) -> None:
    run(session, tmp_path, ["ok:a"])
    assert outcomes_of(tmp_path)["ok:a"].record["threads"] == "1"


def test_an_item_that_kills_its_process_is_found_and_its_neighbours_are_done(session: Session, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    keys = [f"ok:{number}" for number in range(7)]
    keys.insert(4, "kill:me")
    run(session, store, keys, target_cost=1000, marks=str(marks))
    outcomes = outcomes_of(store)
    guilty = outcomes.pop("kill:me")
    assert (guilty.status, guilty.reason) == (Status.QUARANTINED, Reason.WORKER_CRASHED)
    assert guilty.detail == f"the process ended, {TRIES} times"
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    assert tries_of(marks, "kill:me") == 1 + TRIES  # among the others, and then alone


@pytest.mark.parametrize(
    ("action", "reason", "seconds", "line"),
    [
        ("segfault", Reason.WORKER_CRASHED, 60.0, "Segmentation fault"),
        ("kill", Reason.WORKER_CRASHED, 60.0, "item kill:me"),
        ("hang", Reason.TIMED_OUT, 0.5, "most recent call first"),
        ("spin", Reason.TIMED_OUT, 0.5, "most recent call first"),
    ],
)
def test_a_poisoned_item_is_quarantined_with_its_last_lines_and_all_others_are_done(
    session: Session, tmp_path: Path, action: str, reason: Reason, seconds: float, line: str
) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    items = items_of("ok:0", "ok:1", f"{action}:me", "ok:2", "ok:3")
    job = make_job(store, least_seconds=seconds, marks=str(marks))
    list(RayTasks(str(store), session).run(job, units_of(items, 1000)))
    outcomes = outcomes_of(store)
    guilty = outcomes.pop(f"{action}:me")
    assert (guilty.status, guilty.reason) == (Status.QUARANTINED, reason)
    assert {outcome.status for outcome in outcomes.values()} == {Status.DONE}
    assert tries_of(marks, f"{action}:me") == 1 + TRIES
    (log,) = LocalStore(store).list("logs")
    assert log == log_key("work", make_unit("work", [items[2]], LANE).id)
    text = LocalStore(store).get(log).decode()
    assert line in text
    assert SECRET not in text


def test_a_frozen_process_is_killed_by_its_node(session: Session, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    job = make_job(store, least_seconds=0.3, marks=str(marks))
    executor = RayTasks(str(store), session, silence_seconds=0.5, grace_seconds=0.1)
    list(executor.run(job, units_of(items_of("ok:0", "freeze:me", "ok:1"), 1000)))
    assert outcomes_of(store)["freeze:me"].reason is Reason.TIMED_OUT
    assert [outcomes_of(store)[key].status for key in ("ok:0", "ok:1")] == [Status.DONE, Status.DONE]


def test_an_item_that_works_may_take_as_long_as_its_bytes_need(session: Session, tmp_path: Path) -> None:
    job = make_job(tmp_path, least_seconds=0.5, seconds="1.0")
    quick, long = make_item("slow:a"), make_item("slow:b", cost=10_000_000)
    list(RayTasks(str(tmp_path), session).run(job, [make_unit("work", [one], LANE) for one in (quick, long)]))
    outcomes = outcomes_of(tmp_path)
    assert outcomes["slow:a"].reason is Reason.TIMED_OUT
    assert outcomes["slow:b"].status is Status.DONE


def test_a_process_that_dies_once_costs_no_item(session: Session, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    run(session, store, ["ok:a", "kill-once:b", "ok:c"], target_cost=1000, marks=str(marks))
    assert {outcome.status for outcome in outcomes_of(store).values()} == {Status.DONE}
    assert tries_of(marks, "kill-once:b") == 2


def test_a_crash_is_in_the_events_by_key_and_kind_alone(session: Session, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with EventLog(LocalStore(store)) as log:
        executor = RayTasks(str(store), session, log)
        list(executor.run(make_job(store, marks=str(tmp_path / "marks")), units_of(items_of("kill:me"))))
    events = "".join(path.read_text() for path in (store / "events").rglob("*.jsonl"))
    assert events.count('"event":"unit_lost"') == TRIES
    assert '"key":"kill:me"' in events
    assert '"loss":"crashed"' in events
    assert str(tmp_path) not in events


def test_a_next_run_does_only_what_is_missing(session: Session, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    executor = RayTasks(str(store), session)
    job = make_job(store, marks=str(marks))
    items = items_of("kill-once:a", "kill:b", "reject:c", *(f"ok:{number}" for number in range(20)))
    reports = executor.run(job, units_of(items[3:13], target_cost=10))
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    settled = Ledger(LocalStore(store), "work").settled()
    assert 1 <= len(settled) <= 10
    left = [item for item in items if item.fingerprint not in settled]
    assert sum(report.items for report in executor.run(job, units_of(left))) == len(left)
    account = make_account(items, Ledger(LocalStore(store), "work").settled())
    assert (account.done, account.rejected, account.quarantined) == (21, {"slice_gap": 1}, {"worker_crashed": 1})


def test_the_text_of_an_unexpected_error_stays_in_the_worker(
    session: Session, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(session, tmp_path, ["bug:a", "ok:b"])
    assert outcomes_of(tmp_path)["bug:a"].detail.startswith("ValueError at tests.support.cluster_jobs:")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_a_crash_prints_nothing(session: Session, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(session, tmp_path / "store", ["kill-once:a"], marks=str(tmp_path / "marks"))
    assert capfd.readouterr() == ("", "")


def test_a_wrong_configuration_reaches_the_driver_with_its_message(session: Session, tmp_path: Path) -> None:
    executor = RayTasks(str(tmp_path), session)
    with pytest.raises(Misconfigured, match=r"^volumes\.spacing_mm: expected 3 numbers$"):
        list(executor.run(make_job(tmp_path), units_of(items_of("wrong:a"))))


def test_a_stage_that_cannot_be_opened_stops_the_run_without_its_text(session: Session, tmp_path: Path) -> None:
    executor = RayTasks(str(tmp_path), session)
    with pytest.raises(StageBroken, match=r"RuntimeError at tests\.support\.cluster_jobs:") as caught:
        list(executor.run(Job("work", 1, open_broken), units_of(items_of("a"))))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_unit_that_no_node_can_hold_is_refused_instead_of_waiting_for_ever(session: Session, tmp_path: Path) -> None:
    executor = RayTasks(str(tmp_path), session)
    unit = make_unit("work", items_of("a"), session.memory + 1)
    with pytest.raises(Misconfigured, match="the largest node has"):
        list(executor.run(make_job(tmp_path), [unit]))


def test_units_are_drawn_only_as_the_window_moves(session: Session, tmp_path: Path) -> None:
    drawn = []

    def endless() -> Iterator[Unit]:
        while True:
            drawn.append(len(drawn))
            yield make_unit("work", items_of(f"ok:{len(drawn)}"), LANE)

    reports = RayTasks(str(tmp_path), session).run(make_job(tmp_path), endless())
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 64 + 1


def test_no_units_give_no_reports(session: Session, tmp_path: Path) -> None:
    assert list(RayTasks(str(tmp_path), session).run(make_job(tmp_path), [])) == []
