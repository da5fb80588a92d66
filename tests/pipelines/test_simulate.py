"""A synthetic archive: like the published ones, the same every time, and planned by the planner's own way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cluster.units import memory_needed, pack
from curate.dicom.estimate import estimate_memory
from curate.storage import open_store
from pipelines.grouping import SERIES_TABLE
from pipelines.packing import PLAN_TABLE, Packing, lane_bytes, make_items
from pipelines.partitions import partition_numbers, read_part, read_partitions, read_whole
from pipelines.simulate import SHAPES, draw_series, simulate
from pipelines.spec import Runtime, Task
from tests.support.curated import digests

TASKS: tuple[Task, ...] = ("cervical", "lumbar")


def drawn(task: Task, count: int) -> pa.Table:
    return pa.concat_tables(table for table, _ in draw_series(task, count))


@pytest.mark.parametrize(
    ("task", "sites", "median", "mean_bytes", "series_of_patient"),
    [("cervical", 12, 314, 350e9 / 700_000, 1.0), ("lumbar", 8, None, 35.3e9 / 147_000, 8593 / 2697)],
)
def test_the_archive_is_like_the_published_one(
    task: Task, sites: int, median: float | None, mean_bytes: float, series_of_patient: float
) -> None:
    table = drawn(task, 20_000)
    instances = table["instances"].to_numpy()
    assert len(pc.unique(table["site"])) == sites
    assert table["size_bytes"].to_numpy().sum() / instances.sum() == pytest.approx(mean_bytes, rel=0.08)
    assert table.num_rows / len(pc.unique(table["patient_key"])) == pytest.approx(series_of_patient, rel=0.02)
    if median is None:
        assert instances.mean() == pytest.approx(147_000 / 6294, rel=0.05)
    else:
        assert np.median(instances) == pytest.approx(median, rel=0.03)
        assert (instances.min(), instances.max()) == (69, 1082)


def test_keys_are_distinct_and_a_study_is_of_one_patient_and_site() -> None:
    table = drawn("lumbar", 5000)
    assert len(pc.unique(table["series_key"])) == len(pc.unique(table["fingerprint"])) == 5000
    owners = {(row["study_key"], row["patient_key"], row["site"]) for row in table.to_pylist()}
    assert len(owners) == len(pc.unique(table["study_key"]))


@pytest.mark.parametrize("task", TASKS)
def test_the_memory_of_a_series_is_the_products_estimate(task: Task) -> None:
    shape = SHAPES[task]
    for row in drawn(task, 40).to_pylist():
        per_slice = row["size_bytes"] // row["instances"]
        rows, columns, _ = next(one for one in shape.matrices if 2 * one[0] * one[1] + 2000 == per_slice)
        header = {"rows": rows, "columns": columns, "bits_allocated": 16, "size_bytes": per_slice}
        header |= {"pixel_spacing_mm": list(shape.spacing_mm[1:]), "image_orientation": [1.0, 0, 0, 0, 1.0, 0]}
        headers = [
            {**header, "image_position_mm": [0.0, 0.0, n * shape.spacing_mm[0]]} for n in range(row["instances"])
        ]
        assert row["memory_bytes"] == pytest.approx(estimate_memory(headers, spacing_mm=shape.target_mm), rel=1e-3)


def test_the_simulated_plan_is_what_pack_gives(tmp_path: Path) -> None:
    runtime = Runtime()
    store = open_store(tmp_path)
    simulated = simulate(store, "cervical", 2000, runtime)
    (series,) = read_partitions(store, SERIES_TABLE)
    lanes = lane_bytes(runtime, 2**60)
    items = make_items(series, Packing(simulated.plan.job, {}, runtime, lanes))
    fitting = [item for item in items if memory_needed(item) <= lanes[-1]]
    assert len(items) == 2000
    assert list(simulated.plan.read_units()) == list(pack("volumes", fitting, target_cost=256 * 2**20, lanes=lanes))
    assert list(simulated.plan.read_left()) == list(simulated.plan.read_units())
    assert simulated.plan.left == simulated.plan.amount
    assert simulated.bytes == sum(item.cost for item in items)


def test_a_large_one_lies_in_partitions_where_every_series_belongs(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    simulated = simulate(store, "lumbar", 3000, Runtime(partition_instances=10_000))
    partitions = simulated.plan.index.partitions
    assert partitions == 8
    for table in (SERIES_TABLE, PLAN_TABLE):
        for number in range(partitions):
            keys = read_part(store, table, number, partitions)["series_key"]
            assert set(partition_numbers(keys, partitions).tolist()) == {number}
    rows = read_whole(store, SERIES_TABLE)
    assert rows.num_rows == 3000
    assert simulated.instances == pc.sum(rows["instances"]).as_py()
    assert simulated.patients == len(pc.unique(rows["patient_key"]))


def test_the_same_archive_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(open_store(tmp_path / name), "cervical", 500, Runtime(partition_instances=50_000))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) == 2 * 4 + 2


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    """Five times the series, all through the disk: the same peak within 60 MB."""
    code = """
import sys
from pathlib import Path
import pipelines.shuffle
pipelines.shuffle.Shuffle.__init__.__kwdefaults__["held_bytes"] = 8 * 2**20
import pipelines.simulate
pipelines.simulate.BATCH = 10_000
from cluster.memory import measure_peak
from curate.storage import open_store
from pipelines.spec import Runtime
pipelines.simulate.simulate(open_store(Path(sys.argv[1])), "cervical", int(sys.argv[2]), Runtime())
print(measure_peak())
"""
    peaks = []
    for count in (20_000, 100_000):
        arguments = [sys.executable, "-c", code, str(tmp_path / str(count)), str(count)]
        peaks.append(int(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout))
    assert peaks[1] < peaks[0] + 60e6
