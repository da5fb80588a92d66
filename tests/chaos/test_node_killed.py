"""A node of a Ray cluster of three goes, with work on it: its units run elsewhere, and no item is blamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cluster.executors import Inline
from cluster.units import make_unit
from tests.support.cluster_jobs import digests_of, make_item, make_job

KEYS = [f"slow:{number}" for number in range(24)]
PROGRAM = """
import json, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from cluster.events import EventLog
from cluster.executors.ray_tasks import RayTasks
from cluster.session import start
from cluster.units import make_unit
from curate.storage import LocalStore
from tests.chaos.test_node_killed import KEYS
from tests.support.cluster_jobs import make_item, make_job

store = sys.argv[1]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
try:
    with start(cluster.address) as session, EventLog(LocalStore(Path(store))) as events:
        units = [make_unit("work", [make_item(key)], 64 << 20) for key in KEYS]
        settled = 0
        for report in RayTasks(store, session, events).run(make_job(store, seconds="0.3"), units):
            settled += report.done
            if settled == 6:
                cluster.remove_node(others[0], allow_graceful=False)
        print(json.dumps([session.workers, settled]))
finally:
    cluster.shutdown()
"""


def test_units_of_a_lost_node_run_elsewhere(tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store)],
        env=os.environ | {"PYTHONPATH": os.getcwd(), "RAY_health_check_period_ms": "500"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [3, 24]
    units = [make_unit("work", [make_item(key)], 64 << 20) for key in KEYS]
    list(Inline(str(tmp_path / "calm")).run(make_job(tmp_path / "calm", seconds="0"), units))
    assert digests_of(store) == digests_of(tmp_path / "calm")
    events = [json.loads(line) for path in store.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert {event["loss"] for event in events if event["event"] == "unit_lost"} == {"node_lost"}
    assert not [event for event in events if event["event"] == "item_quarantined"]
