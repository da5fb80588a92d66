"""Ray's memory monitor kills a worker: with its threshold set low, without any memory being used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
from pathlib import Path
from cluster.executors.ray_tasks import RayTasks
from cluster.ledger import Ledger
from cluster.session import start
from cluster.units import make_unit
from curate.storage import LocalStore
from tests.support.cluster_jobs import make_item, make_job

store, lane = sys.argv[1], 64 << 20
with start(workers=1) as session:
    executor = RayTasks(store, session)
    executor.memory = 2 * lane  # the largest lane: one above that of the unit
    units = [make_unit("work", [make_item("slow:a")], lane)]
    reports = list(executor.run(make_job(store, seconds="60"), units))
outcomes = Ledger(LocalStore(Path(store)), "work").outcomes().values()
print(json.dumps({one.key: [one.status.value, one.reason.value, one.detail] for one in outcomes}))
"""


def test_what_runs_out_of_memory_is_tried_once_more_in_the_next_lane_and_is_then_too_large(tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.getcwd(),
        "RAY_memory_usage_threshold": "0.01",
        "RAY_memory_monitor_refresh_ms": "200",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "store")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout.splitlines()[-1])
    lane = 2 * (64 << 20)
    assert outcomes == {"slow:a": ["quarantined", "too_large", f"out of memory in a lane of {lane} bytes"]}
