"""A synthetic archive of any size as SERIES rows, without a pixel: to see what the planner does with millions.

What the rows are drawn from (Lin et al., Radiology: AI 2023;5(5):e230034; Richards et al., Radiology: AI
2026;8(2):e250480; the Kaggle data pages):

- cervical: 12 sites, one series a patient, 69 to 1,082 slices of it, median 314; 2,016 of 2,019 studies are 512 x 512,
  two 768 x 768, one 512 x 519; ~700,000 files are ~350 GB, so 2 bytes a pixel;
- lumbar: 8 sites, 8,593 series of 2,697 patients; 147,000 files in 6,294 series (23.4 each), 35.3 GB (240 kB each).

Assumed, since nobody published it: log-normal slices between those bounds, a matrix of 256 to 512 for MR with that mean
size, and sites whose shares fall as 1, 1/2, 1/3. From the SERIES rows on everything is the planner's own work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from cluster.job import Job
from cluster.scratch import scratch_folder
from curate.dicom.estimate import estimate_memory
from curate.identity import digest_json
from curate.manifests import sort_rows
from curate.manifests.schemas import SERIES
from curate.manifests.tables import SORT_KEYS
from curate.storage import Store
from pipelines.grouping import series_writer
from pipelines.packing import Packing, lane_bytes
from pipelines.partitions import Index, partition_count
from pipelines.plan import Plan, plan_series
from pipelines.shuffle import Shuffle
from pipelines.spec import MODALITY, Runtime, Task
from pipelines.volumes import STAGE, VERSION, open_builder

BATCH = 100_000  # series drawn at a time
HEADER_BYTES = 2_000  # of a file, beside its pixels
SEED = 2022

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_DECIMAL = np.frombuffer(b"0123456789", np.uint8)
_BASE32 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", np.uint8)


@dataclass(frozen=True)
class Shape:
    """What the archives of one task are like."""

    sites: int
    series_of_patient: tuple[tuple[int, float], ...]  # (series, share of patients)
    slices: tuple[float, float, int, int]  # median, sigma of the logarithm, least, most
    matrices: tuple[tuple[int, int, float], ...]  # (rows, columns, share of series)
    spacing_mm: tuple[float, float, float]  # as acquired, typical
    target_mm: tuple[float | None, float | None, float | None]  # of the ready spec


SHAPES: dict[Task, Shape] = {
    "cervical": Shape(
        sites=12,
        series_of_patient=((1, 1.0),),
        slices=(314, 0.45, 69, 1082),
        matrices=((512, 512, 2016 / 2019), (768, 768, 2 / 2019), (512, 519, 1 / 2019)),
        spacing_mm=(0.75, 0.4, 0.4),
        target_mm=(1.0, 1.0, 1.0),
    ),
    "lumbar": Shape(
        sites=8,
        series_of_patient=((3, 0.814), (4, 0.186)),  # 8,593 of 2,697
        slices=(20.6, 0.5, 5, 200),
        matrices=((256, 256, 0.30), (320, 320, 0.35), (384, 384, 0.25), (512, 512, 0.10)),
        spacing_mm=(4.0, 0.6, 0.6),
        target_mm=(None, 0.5, 0.5),
    ),
}


@dataclass(frozen=True)
class Simulated:
    """A synthetic archive and its plan."""

    plan: Plan
    patients: int
    instances: int
    bytes: int


def simulate(store: Store, task: Task, series: int, runtime: Runtime) -> Simulated:
    """Lay out an archive of so many series in an empty store, and plan it. The same arguments give the same bytes.

    Every lane of the runtime is taken to fit a machine.
    """
    totals = {"patients": 0, "instances": 0, "size_bytes": 0}
    partitions = partition_count(round(series * _mean_slices(SHAPES[task])), runtime.partition_instances)
    with scratch_folder("curate-plan-") as scratch:
        rows = Shuffle(scratch / "series", SERIES, partitions)
        for table, patients in draw_series(task, series):
            rows.add(table, table["series_key"])
            totals["patients"] += patients
            for name in ("instances", "size_bytes"):
                totals[name] += int(table[name].to_numpy().sum())
        index = _write(store, rows, partitions, digest_json([task, series]))
    job = Job(STAGE, VERSION, open_builder, {}, digest_json({"simulated": task}))
    plan = plan_series(store, index, Packing(job, {}, runtime, lane_bytes(runtime, max(runtime.lanes_megabytes) << 20)))
    return Simulated(plan, totals["patients"], totals["instances"], totals["size_bytes"])


def draw_series(task: Task, count: int) -> Iterator[tuple[pa.Table, int]]:
    """SERIES rows of an archive, and of how many patients they are, some at a time."""
    for number, first in enumerate(range(0, count, BATCH)):
        yield _draw(SHAPES[task], MODALITY[task], min(BATCH, count - first), np.random.default_rng([SEED, number]))


def _draw(shape: Shape, modality: str, count: int, random: Generator) -> tuple[pa.Table, int]:
    sizes, shares = zip(*shape.series_of_patient, strict=True)
    patient = np.repeat(np.arange(count), random.choice(sizes, count, p=shares))[:count]
    patients = int(patient[-1]) + 1
    weights = 1 / np.arange(1, shape.sites + 1)
    site = random.choice(shape.sites, patients, p=weights / weights.sum())[patient]
    median, sigma, least, most = shape.slices
    slices = np.clip(np.rint(random.lognormal(np.log(median), sigma, count)), least, most).astype(np.int64)
    chosen = random.choice(len(shape.matrices), count, p=[share for _, _, share in shape.matrices])
    pixels = np.array([rows * columns for rows, columns, _ in shape.matrices])[chosen]
    columns = {
        "site": pa.array([f"site-{n:02d}" for n in range(shape.sites)]).take(pa.array(site)),
        "patient_key": _keys(random, patients, b"", _BASE32, 16).take(pa.array(patient)),
        "study_key": _keys(random, patients, b"2.25.", _DECIMAL, 38).take(pa.array(patient)),
        "series_key": _keys(random, count, b"2.25.", _DECIMAL, 38),
        "modality": pa.repeat(modality, count),
        "instances": slices,
        "instances_used": slices,
        "stacks": np.ones(count, np.int32),
        "size_bytes": slices * (2 * pixels + HEADER_BYTES),
        "memory_bytes": _memory(shape, slices, chosen),
        "status": pa.repeat("accepted", count),
        "fingerprint": _keys(random, count, b"", _HEX, 64),
    }
    absent = {name: pa.nulls(count, SERIES.field(name).type) for name in SERIES.names if name not in columns}
    return pa.table({name: (columns | absent)[name] for name in SERIES.names}, schema=SERIES), patients


def _keys(random: Generator, count: int, prefix: bytes, alphabet: NDArray[np.uint8], digits: int) -> pa.Array:
    width = len(prefix) + digits
    letters = np.empty((count, width), np.uint8)
    letters[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    letters[:, len(prefix) :] = alphabet[random.integers(0, len(alphabet), (count, digits), np.uint8)]
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(letters))


def _memory(shape: Shape, slices: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """``estimate_memory``, which is linear in the number of slices, from its values at two lengths."""
    ends = np.array([[_estimate(shape, which, n) for n in (100, 200)] for which in range(len(shape.matrices))])
    slope = (ends[:, 1] - ends[:, 0]) / 100
    memory: NDArray[np.int64] = np.ceil(ends[chosen, 0] + (slices - 100) * slope[chosen]).astype(np.int64)
    return memory


def _estimate(shape: Shape, which: int, slices: int) -> int:
    rows, columns, _ = shape.matrices[which]
    along, *plane = shape.spacing_mm
    header = {"rows": rows, "columns": columns, "bits_allocated": 16, "pixel_spacing_mm": plane}
    header |= {"size_bytes": 2 * rows * columns + HEADER_BYTES, "image_orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]}
    headers = [{**header, "image_position_mm": [0.0, 0.0, n * along]} for n in range(slices)]
    return estimate_memory(headers, spacing_mm=shape.target_mm)


def _mean_slices(shape: Shape) -> float:
    median, sigma, _, _ = shape.slices
    return float(median * np.exp(sigma**2 / 2))


def _write(store: Store, rows: Shuffle, partitions: int, made_of: str) -> Index:
    writer = series_writer(store, partitions)
    for number in range(partitions):
        writer.write([sort_rows(rows.partition(number), SORT_KEYS["series"])])
    return writer.finish(made_of, {"rows": rows.rows})
