"""The event log: whole lines, in order, bounded segments, create-if-absent, read by time."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import cluster.events
from cluster.events import DamagedEvents, EventLog, Silent, Value, read_events, runs
from curate.errors import Unavailable
from curate.storage import LocalStore


def read(store: Path) -> list[dict[str, Value]]:
    return list(read_events(LocalStore(store)))


def kinds(store: Path) -> list[Value]:
    return [event["event"] for event in read(store)]


def segments(store: Path) -> list[Path]:
    return sorted((store / "events").rglob("*.jsonl"))


def test_events_are_lines_of_json_with_their_time(tmp_path: Path) -> None:
    with EventLog(LocalStore(tmp_path)) as log:
        log.write("stage_started", units=3)
        log.write("unit_lost", unit="u1", error="WorkerCrashedError")
    _, first, second, _ = [json.loads(line) for path in segments(tmp_path) for line in path.read_text().splitlines()]
    assert (first["event"], first["units"]) == ("stage_started", 3)
    assert (second["event"], second["unit"], second["error"]) == ("unit_lost", "u1", "WorkerCrashedError")
    written = datetime.fromisoformat(str(first["time"]))
    assert timedelta(0) <= datetime.now(UTC) - written < timedelta(minutes=1)


def test_a_run_begins_and_ends_with_an_account_of_its_events(tmp_path: Path) -> None:
    with EventLog(LocalStore(tmp_path)) as log:
        for _ in range(3):
            log.write("unit_settled", done=1)
        log.write("unit_lost")
    events = read(tmp_path)
    assert (events[0]["event"], events[-1]["event"]) == ("run_started", "run_ended")
    assert events[-1]["ended"] == "done"
    assert {name: count for name, count in events[-1].items() if name.startswith("events_")} == {
        "events_run_started": 1,
        "events_unit_lost": 1,
        "events_unit_settled": 3,
    }


def test_a_long_run_writes_segments_in_order_and_never_rewrites_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.events, "SEGMENT_EVENTS", 10)
    with EventLog(LocalStore(tmp_path)) as log:
        for number in range(25):
            log.write("unit_done", number=number)
        early = {path: path.read_bytes() for path in segments(tmp_path)}
        assert len(early) == 2
    assert [event["number"] for event in read(tmp_path) if "number" in event] == list(range(25))
    assert all(path.read_bytes() == content for path, content in early.items())


def test_segments_are_bounded_in_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.events, "SEGMENT_BYTES", 10_000)
    with EventLog(LocalStore(tmp_path)) as log:
        for _ in range(40):
            log.write("unit_lost", tail="x" * 1000)
    sizes = [path.stat().st_size for path in segments(tmp_path)]
    assert len(sizes) >= 4
    assert max(sizes) < 10_000 + 1_200


def test_a_quiet_run_still_publishes_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.events, "SEGMENT_SECONDS", 0.0)
    log = EventLog(LocalStore(tmp_path))
    log.write("unit_done")
    assert kinds(tmp_path) == ["run_started", "unit_done"]


def test_an_exception_is_how_a_run_ended_by_its_kind_alone(tmp_path: Path) -> None:
    def run() -> None:
        with EventLog(LocalStore(tmp_path)) as log:
            log.write("stage_started")
            raise ValueError("Doe^Jane")

    with pytest.raises(ValueError, match="Doe"):
        run()
    assert read(tmp_path)[-1]["ended"] == "ValueError"
    assert "Doe" not in "".join(path.read_text() for path in segments(tmp_path))


def test_two_runs_at_once_do_not_meet_and_are_read_by_time(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with EventLog(store) as one, EventLog(store) as two:
        for log, kind in ((one, "a"), (two, "b"), (one, "c")):
            log.write(kind)
            time.sleep(0.005)  # times are told in milliseconds
    events = read(tmp_path)
    assert [event["event"] for event in events if event["event"] in ("a", "b", "c")] == ["a", "b", "c"]
    assert [event["time"] for event in events] == sorted(str(event["time"]) for event in events)
    assert set(runs(store)) == {one.run, two.run}
    assert [event["event"] for event in read_events(store, two.run)] == ["run_started", "b", "run_ended"]
    assert {event["run"] for event in read_events(store, two.run)} == {two.run}


def test_a_clock_that_is_put_back_does_not_put_events_out_of_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [datetime(2026, 1, 1, 12, 0, second, tzinfo=UTC) for second in (0, 30, 10, 40, 41)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now.pop(0) if len(now) > 1 else now[0]

    monkeypatch.setattr(cluster.events, "datetime", Clock)
    with EventLog(LocalStore(tmp_path)) as log:
        log.write("a")
        log.write("b")
    assert [event["event"] for event in read(tmp_path)] == ["run_started", "a", "b", "run_ended"]


def test_a_store_that_refuses_stops_no_run_and_gets_the_events_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moody(LocalStore):
        refuses = True

        def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
            if self.refuses:
                raise Unavailable("cannot write")
            return super().put_new(key, content)

    monkeypatch.setattr(cluster.events, "SEGMENT_EVENTS", 1)
    store = Moody(tmp_path)
    with EventLog(store) as log:
        for number in range(5):
            log.write("unit_done", number=number)
        assert not (tmp_path / "events").exists()
        store.refuses = False
    assert [event["number"] for event in read(tmp_path) if "number" in event] == list(range(5))


def test_what_is_held_is_bounded_and_what_is_dropped_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(LocalStore):
        def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
            raise Unavailable("cannot write")

    told: list[tuple[str, Value]] = []
    monkeypatch.setattr(cluster.events, "SEGMENT_EVENTS", 1)
    monkeypatch.setattr(cluster.events, "MOST_HELD", 3)
    with EventLog(
        Down(tmp_path), observers=(lambda kind, fields: told.append((kind, fields.get("segments_dropped", 0))),)
    ) as log:
        for _ in range(9):
            log.write("unit_done")
    assert told[-1] == ("run_ended", 7)  # of ten segments so far, run_started's too, three were held


def test_a_damaged_segment_is_named_and_not_passed_over(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_new("events/20260101T000000Z-00000000/000000.jsonl", b'{"event":"a"')
    with pytest.raises(DamagedEvents, match=r"000000\.jsonl cannot be read"):
        list(read_events(store))


def test_observers_hear_every_event_as_it_happens(tmp_path: Path) -> None:
    heard: list[str] = []
    log = EventLog(LocalStore(tmp_path), observers=(lambda kind, fields: heard.append(f"{kind} {dict(fields)}"),))
    log.write("unit_lost", error="x")
    assert heard == ["run_started {}", "unit_lost {'error': 'x'}"]


def test_a_run_without_events_writes_nothing(tmp_path: Path) -> None:
    with EventLog(LocalStore(tmp_path)):
        Silent().write("dropped", items=1)
    assert list(tmp_path.iterdir()) == []
    assert read(tmp_path) == []
