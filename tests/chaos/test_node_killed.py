"""A node of a Ray cluster of three goes, with work on it: its units run elsewhere, and no item is blamed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster.executors import Inline
from cluster.recorder import default_folder
from cluster.units import make_unit
from tests.support.cluster_jobs import digests_of, make_item, make_job

KEYS = [f"slow:{number}" for number in range(48)]
PROGRAM = """
import json, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from cluster.events import EventLog
from cluster.executors.ray_tasks import RayTasks
from cluster.session import start
from cluster.units import make_unit
from curate.storage import LocalStore
from tests.chaos.test_node_killed import KEYS, lose
from tests.support.cluster_jobs import make_item, make_job

store = sys.argv[1]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
try:
    with start(cluster.address) as session, EventLog(LocalStore(Path(store))) as events:
        units = [make_unit("work", [make_item(key)], 64 << 20) for key in KEYS]
        settled, is_lost = 0, False
        for report in RayTasks(store, session, events).run(make_job(store, seconds="0.3"), units):
            settled += report.done
            is_lost = is_lost or lose(cluster, others[0])
        print(json.dumps([session.workers, session.now().workers, settled, is_lost]))
finally:
    cluster.shutdown()
"""


def lose(cluster: Any, node: Any) -> bool:
    """Take a node of a ``ray.cluster_utils.Cluster`` away with its workers, if one of them has a unit in hand.

    Ray's own removal leaves the workers time to end what they are at, which a machine that is switched off does not.
    """
    (raylet,) = node.all_processes["raylet"]
    files = {path: int(path.stem) for path in default_folder().glob("*.log")}
    workers = {path: pid for path, pid in files.items() if _parent_of(pid) == raylet.process.pid}
    for pid in workers.values():
        _signal(pid, signal.SIGSTOP)
    is_busy = any(path.stat().st_size for path in workers)  # a worker's file says which unit it has in hand
    if is_busy:
        cluster.remove_node(node, allow_graceful=False)
    for pid in workers.values():
        _signal(pid, signal.SIGKILL if is_busy else signal.SIGCONT)
    return is_busy


def _signal(pid: int, which: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # gone with its raylet
        os.kill(pid, which)


def _parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


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
    assert json.loads(done.stdout.splitlines()[-1]) == [3, 2, len(KEYS), True]
    units = [make_unit("work", [make_item(key)], 64 << 20) for key in KEYS]
    list(Inline(str(tmp_path / "calm")).run(make_job(tmp_path / "calm", seconds="0"), units))
    assert digests_of(store) == digests_of(tmp_path / "calm")
    events = [json.loads(line) for path in store.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert {event["loss"] for event in events if event["event"] == "unit_lost"} == {"node_lost"}
    assert not [event for event in events if event["event"] == "item_quarantined"]
