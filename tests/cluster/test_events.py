"""The event log: whole lines, in order, create-if-absent, and optional."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import cluster.events
from cluster.events import EventLog, Silent
from curate.storage import LocalStore


def read(store: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for path in sorted((store / "events").rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_events_are_lines_of_json_with_their_time(tmp_path: Path) -> None:
    with EventLog(LocalStore(tmp_path)) as log:
        log.write("run_started", items=3)
        log.write("unit_lost", unit="u1", error="WorkerCrashedError")
    first, second = read(tmp_path)
    assert (first["event"], first["items"]) == ("run_started", 3)
    assert (second["event"], second["unit"], second["error"]) == ("unit_lost", "u1", "WorkerCrashedError")
    written = datetime.fromisoformat(str(first["time"]))
    assert timedelta(0) <= datetime.now(UTC) - written < timedelta(minutes=1)


def test_a_long_run_writes_segments_in_order_and_never_rewrites_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.events, "SEGMENT_EVENTS", 10)
    with EventLog(LocalStore(tmp_path)) as log:
        for number in range(25):
            log.write("unit_done", number=number)
        early = {path: path.read_bytes() for path in (tmp_path / "events").rglob("*.jsonl")}
        assert len(early) == 2
    assert [event["number"] for event in read(tmp_path)] == list(range(25))
    assert all(path.read_bytes() == content for path, content in early.items())


def test_a_quiet_run_still_publishes_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.events, "SEGMENT_SECONDS", 0.0)
    log = EventLog(LocalStore(tmp_path))
    log.write("unit_done")
    assert len(read(tmp_path)) == 1


def test_events_survive_an_exception(tmp_path: Path) -> None:
    def run() -> None:
        with EventLog(LocalStore(tmp_path)) as log:
            log.write("run_started")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(read(tmp_path)) == 1


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    with EventLog(LocalStore(tmp_path)) as one, EventLog(LocalStore(tmp_path)) as two:
        one.write("a")
        two.write("b")
    assert sorted(str(event["event"]) for event in read(tmp_path)) == ["a", "b"]


def test_a_run_without_events_writes_nothing(tmp_path: Path) -> None:
    with EventLog(LocalStore(tmp_path)):
        Silent().write("dropped", items=1)
    assert list(tmp_path.iterdir()) == []
