"""What is Ray's alone; the rest of what an executor must do is in test_conformance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.executors.ray_tasks import RayTasks
from cluster.ledger import Ledger, make_account
from cluster.outcomes import Status
from cluster.session import Session, start
from cluster.units import Item, Unit, pack
from curate.reasons import Reason
from curate.storage import LocalStore
from tests.support.cluster_jobs import (
    SECRET,
    items_of,
    make_job,
    outcomes_of,
)

LANE = 64 << 20


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with start(workers=2) as session:
        yield session


def units_of(items: list[Item], target_cost: int = 20) -> list[Unit]:
    return list(pack("work", items, target_cost=target_cost, lanes=[LANE, 2 * LANE]))


def run(session: Session, store: Path, keys: list[str], *, target_cost: int = 20, **config: str) -> None:
    executor = RayTasks(str(store), session)
    items = items_of(*keys)
    reports = list(executor.run(make_job(store, **config), units_of(items, target_cost)))
    assert sum(report.items for report in reports) == len(items)
    make_account(items, Ledger(LocalStore(store), "work").outcomes())


def test_what_fails_while_workers_are_prepared_does_not_stop_the_units(session: Session, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    RayTasks(str(tmp_path), session).prepare(fail)
    run(session, tmp_path, ["ok:a"])


def test_a_frozen_process_is_killed_by_its_node(session: Session, tmp_path: Path) -> None:
    store, marks = tmp_path / "store", tmp_path / "marks"
    job = make_job(store, least_seconds=0.3, marks=str(marks))
    executor = RayTasks(str(store), session, silence_seconds=0.5, grace_seconds=0.1)
    list(executor.run(job, units_of(items_of("ok:0", "freeze:me", "ok:1"), 1000)))
    assert outcomes_of(store)["freeze:me"].reason is Reason.TIMED_OUT
    assert [outcomes_of(store)[key].status for key in ("ok:0", "ok:1")] == [Status.DONE, Status.DONE]


def test_a_crash_prints_nothing(session: Session, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(session, tmp_path / "store", ["kill-once:a"], marks=str(tmp_path / "marks"))
    assert capfd.readouterr() == ("", "")
