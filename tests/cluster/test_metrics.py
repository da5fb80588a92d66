"""Metrics: nothing without Ray; with it, the numbers that Prometheus scrapes from the node."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from cluster.events import EventLog
from cluster.flight import Flight
from cluster.metrics import METRICS, OUTCOMES, Metrics
from cluster.outcomes import Status
from cluster.session import start
from cluster.units import make_unit
from curate.storage import LocalStore
from tests.support.cluster_jobs import make_item

SETTLED = {
    "stage": "volumes",
    "unit": "u",
    "done": 3,
    "rejected": 1,
    "quarantined": 0,
    "bytes_in": 1000,
    "bytes_out": 700,
    "seconds": 2.5,
    "peak_memory_bytes": 200 << 20,
}


def scrape(deadline: float) -> dict[str, float]:
    """What the node exports of ours: ``name{stage,outcome,kind}`` -> value."""
    import ray

    node = ray.nodes()[0]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    while True:
        try:
            text = urllib.request.urlopen(url, timeout=5).read().decode()
        except urllib.error.URLError:
            text = ""
        lines = re.findall(r"^(ray_curate_\w+)\{(.*)\} (\S+)$", text, flags=re.MULTILINE)
        found = {}
        for name, tags, value in lines:
            own = [f"{key}={held}" for key, held in re.findall(r'(stage|outcome|kind|le)="([^"]*)"', tags)]
            found[f"{name}{{{','.join(sorted(own))}}}"] = float(value)
        if any(key.startswith("ray_curate_units_lost") for key in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_prometheus_scrapes_what_happened(tmp_path: Path) -> None:
    flight = Flight()
    flight.started(make_unit("volumes", [make_item("ok:1")], 1))
    with start(workers=1), EventLog(LocalStore(tmp_path), observers=(Metrics(flight).observe,)) as events:
        events.write("stage_started", stage="volumes", units=2)
        events.write("unit_settled", **SETTLED)
        events.write("unit_settled", **SETTLED)
        events.write("unit_lost", stage="volumes", unit="u", loss="out_of_memory")
        found = scrape(time.monotonic() + 90)
    assert found["ray_curate_items_total{outcome=done,stage=volumes}"] == 6
    assert found["ray_curate_items_total{outcome=rejected,stage=volumes}"] == 2
    assert "ray_curate_items_total{outcome=quarantined,stage=volumes}" not in found
    assert found["ray_curate_bytes_in_total{stage=volumes}"] == 2000
    assert found["ray_curate_bytes_out_total{stage=volumes}"] == 1400
    assert found["ray_curate_units_lost_total{kind=out_of_memory,stage=volumes}"] == 1
    assert found["ray_curate_units_in_flight{stage=volumes}"] == 1
    assert found["ray_curate_unit_seconds_count{stage=volumes}"] == 2
    assert found["ray_curate_unit_seconds_bucket{le=1.0,stage=volumes}"] == 0
    assert found["ray_curate_unit_seconds_bucket{le=3.0,stage=volumes}"] == 2
    assert found[f"ray_curate_unit_peak_bytes_bucket{{le={float(1 << 28)},stage=volumes}}"] == 2
    known = {name for key, metric in METRICS.items() for name in metric.exported(key)}
    assert {key.partition("{")[0] for key in found} <= known


def test_without_ray_nothing_happens_and_ray_is_not_imported() -> None:
    program = (
        "import sys\n"
        "from cluster.metrics import Metrics\n"
        f"Metrics().observe('unit_settled', {SETTLED!r})\n"
        "print('ray' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert ran.stdout == "False\n"


def test_a_session_that_is_over_is_no_place_for_numbers() -> None:
    import ray

    assert not ray.is_initialized()
    Metrics().observe("unit_settled", SETTLED)


def test_no_tag_can_be_a_key() -> None:
    assert {tag for metric in METRICS.values() for tag in metric.tags} == {"stage", "outcome", "kind"}
    assert set(OUTCOMES) == {status.value for status in Status}
    assert all(name.startswith("curate_") for name in METRICS)
