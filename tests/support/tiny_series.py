"""Archives of many series that take no work: to see what the driver of a run has in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from cluster.job import Done, Job
from cluster.units import Item
from curate.identity import Json
from curate.manifests import sort_rows, table_bytes
from curate.manifests.schemas import FILE_AUDIT, FILES, SLICES
from curate.manifests.tables import SORT_KEYS
from curate.storage import open_store
from pipelines.grouping import FILES_TABLE, series_writer
from pipelines.made_for import mark_catalogue
from pipelines.packing import Packing, lane_bytes
from pipelines.partitions import PartitionWriter, partition_numbers
from pipelines.plan import Plan, plan_series
from pipelines.simulate import draw_series
from pipelines.spec import Spec, read_spec
from pipelines.volumes import STAGE
from pipelines.workspace import Workspace, open_workspace

SPEC = """
task = "lumbar"
name = "tiny"
store = "store"

[[sites]]
name = "site-00"
archives = ["nowhere"]

[volumes]
spacing_mm = ["source", 0.5, 0.5]

[deid]
profile = "public"

[split]
salt = "tiny"
validation_fraction = 0.1
test_fraction = 0.1
holdout_sites = ["site-00"]

[release]
name = "tiny"
version = "1.0.0"
title = "Tiny"
licence = "CC0-1.0"

[runtime]
unit_megabytes = 1
"""


def plan_tiny(folder: Path, series: int, partitions: int, *, slices: int) -> tuple[Spec, Plan, Workspace]:
    """A catalogue of so many lumbar series in so many partitions, planned one series a unit; its work writes so many
    rows of slices a series and reads nothing."""
    (folder / "spec.toml").write_text(SPEC)
    spec = read_spec(folder / "spec.toml")
    workspace = open_workspace(spec)
    mark_catalogue(spec, workspace)
    rows = pa.concat_tables(table for table, _ in draw_series("lumbar", series))
    numbers = partition_numbers(rows["series_key"], partitions)
    writer = series_writer(workspace.store, partitions)
    files = PartitionWriter(workspace.store, FILES_TABLE, partitions)
    for number in range(partitions):
        writer.write([sort_rows(rows.filter(pa.array(numbers == number)), SORT_KEYS["series"])])
        files.write([FILES.empty_table()])
    files.finish("tiny")
    index = writer.finish("tiny", {"rows": rows.num_rows})
    job = Job(STAGE, 1, open_tiny, {"store": workspace.store.url, "slices": slices}, "0" * 64)
    packing = Packing(job, {}, spec.runtime, lane_bytes(spec.runtime, max(spec.runtime.lanes_megabytes) << 20))
    return spec, plan_series(workspace.store, index, packing), workspace


def open_tiny(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """Work that says of each series what real work would say, of one volume."""
    store, count = open_store(str(config["store"])), int(str(config["slices"]))
    audit = "parts/audit.parquet"
    store.put_new(audit, table_bytes(FILE_AUDIT.empty_table()))

    def work(item: Item) -> Done:
        slices = f"parts/{item.key if count else 'none'}.parquet"
        row = {"series_key": item.key, "stack": 0, "dicom_sha256": item.fingerprint}
        rows = [{**row, "position_in_stack": n, "instance_key": f"{item.key}.{n}"} for n in range(count)]
        store.put_new(slices, table_bytes(pa.Table.from_pylist(rows, schema=SLICES)))
        volume: dict[str, Json] = {"stack": 0, "uri": f"volumes/{item.key}", "sha256": item.fingerprint}
        volume |= {"shape": [24, 320, 320], "affine": [float(n) for n in range(16)], "spacing_mm": [4.0, 0.5, 0.5]}
        record: dict[str, Json] = {"volumes": [volume], "slices": slices, "audit": audit, "objects": []}
        return Done((), record | {"made_of": item.fingerprint, "instances_used": 24})

    return work
