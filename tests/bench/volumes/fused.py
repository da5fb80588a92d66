"""``python -m tests.bench.volumes.fused``: the whole step of one series beside the sum of its parts.

The step is the product's own, ``pipelines.volumes.Builder.build``: read, de-identify, decode, assemble, orient,
resample to 1 mm, search for leaks, write and read back DICOM, Zarr and tables. Its parts are the same functions called
one after another on what the one before gave; the search, digests and tables are in none of them. CPU seconds, best of
the rounds, in turn in one process on one core; then peak memory, growth with the number of slices, and two processes
beside one, in fresh processes.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.executors import open_executor
from cluster.job import Done
from cluster.units import Item
from curate.deid import deidentify_bytes
from curate.dicom import SourceReader
from curate.dicom.frames import DecodedSlice
from curate.dicom.pixels import decode_instance, read_pixels
from curate.dicom.series import Row
from curate.storage import open_store
from curate.volumes import verify_volume, write_volume
from pipelines.catalogue import file_ref
from pipelines.grouping import INSTANCES_TABLE, SOURCES_TABLE, sort_series
from pipelines.partitions import read_whole
from pipelines.plan import make_plan
from pipelines.spec import read_spec
from pipelines.volumes import Builder, open_builder
from pipelines.watch import Watch
from pipelines.workspace import open_workspace
from tests.bench.volumes.end_to_end import make_data
from tests.support.hand_made import write_spec

AT_MOST, AT_LEAST = 1.25, 1.8  # of the sum of the parts; two processes over one
SIZES = 75, 150, 300  # slices


@dataclass(frozen=True)
class Step:
    """One series that is planned and not built."""

    folder: Path
    item: Item
    build: Callable[[Item], Done]

    def run(self) -> Done:
        return self.build(self.item)

    def forget(self) -> None:
        """Remove what ``run`` wrote, so that it is written again."""
        for name in ("dicom", "volumes"):
            shutil.rmtree(self.folder / "store" / name, ignore_errors=True)
        shutil.rmtree(self.folder / "store.private" / "identifiers", ignore_errors=True)


def plan_step(folder: Path) -> Step:
    """Read the headers of ``folder/archive``."""
    spec = read_spec(write_spec(folder, spacing="[1.0, 1.0, 1.0]"))
    workspace = open_workspace(spec)
    with open_executor("inline", workspace.store.url, workers=None) as executor:
        plan = make_plan(spec, workspace, executor, Watch(Console(quiet=True)))
    (item,) = plan.read_items()
    return Step(folder, item, open_builder(plan.job.config))


def make_archives(root: Path, kinds: Mapping[str, str], sizes: Sequence[int]) -> dict[tuple[str, int], Path]:
    """Folders to plan in, by kind and number of slices: the first files of the series of ``end_to_end``."""
    found = make_data(root, max(sizes))
    folders = {}
    for kind, name in kinds.items():
        for size in sizes:
            archive = root / f"{name}-{size}" / "archive"
            folders[kind, size] = archive.parent
            if not archive.exists():
                archive.mkdir(parents=True)
                for path in sorted(found[kind].iterdir())[:size]:
                    os.link(path, archive / path.name)
    return folders


class Parts:
    """The parts of a step, each timed by itself."""

    def __init__(self, step: Step) -> None:
        self.builder: Builder = step.build.__self__  # type: ignore[attr-defined]
        self.key = step.item.key
        workspace = self.builder.workspace
        rows = read_whole(workspace.store, INSTANCES_TABLE).to_pylist()
        self.rows: list[dict[str, Any]] = [row for row in rows if row["series_key"] == self.key]
        sources = read_whole(workspace.private, SOURCES_TABLE).to_pylist()
        self.refs = {row["file_key"]: file_ref(row) for row in sources if row["series_key"] == self.key}
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Any:
        started = time.process_time()
        yield
        self.seconds[name] = time.process_time() - started

    def run(self) -> dict[str, float]:
        """CPU seconds by name."""
        builder, workspace, parameters = self.builder, self.builder.workspace, self.builder.parameters
        with self.timed("read"), SourceReader(builder.limits) as reader:
            raw = {key: reader.read(ref) for key, ref in self.refs.items()}
        with self.timed("de-identify"):
            clean = [deidentify_bytes(each, workspace.profile, workspace.pseudonyms).content for each in raw.values()]
        with tempfile.TemporaryDirectory(dir=workspace.store.url) as out:
            store = open_store(out)
            with self.timed("write DICOM"):
                for number, content in enumerate(clean):
                    store.put_new(f"{number}.dcm", content)

            def decode(row: Row, frames: Sequence[int]) -> list[DecodedSlice]:
                return decode_instance(raw[str(row["file_key"])], row, frames)

            with self.timed("decode and assemble"):
                sorting, modality = parameters["sorting"], parameters["modality"]
                pixels = read_pixels(self.rows, lambda bad: sort_series(self.rows, sorting, bad), decode, modality)
            with self.timed("orient and resample"):
                (acquired,) = pixels.acquired
                volume = acquired.normalise(parameters["spacing_mm"], orientation=parameters["orientation"])
            url = Path(out, "0.zarr")
            with self.timed("write Zarr"):
                write_volume(url, volume.array, volume.grid, modality=volume.modality, units=volume.units)
            with self.timed("verify Zarr"):
                verify_volume(url, volume.array, volume.grid)
        return self.seconds


def print_parts(kind: str, step: Step, rounds: int) -> None:
    parts = Parts(step)
    whole, best = math.inf, dict[str, float]()
    for turn in range(rounds + 1):
        step.forget()
        started = time.process_time()
        step.run()
        spent = time.process_time() - started
        found = parts.run()
        if turn:  # the first round does not count
            whole = min(whole, spent)
            if not best or sum(found.values()) < sum(best.values()):
                best = dict(found)  # of one round, as the whole is: the best of each part would be of none
    print(f"\n{kind}: CPU seconds, one core")
    for name, seconds in best.items():
        print(f"  {name:22s}{seconds:8.3f} s")
    total = sum(best.values())
    print(f"  {'their sum':22s}{total:8.3f} s\n  {'the whole step':22s}{whole:8.3f} s")
    print(f"  {whole / total:.2f} of the sum of its parts   at most {AT_MOST} wanted", flush=True)


@dataclass(frozen=True)
class Alone:
    """What a fresh process says of its work."""

    cpu: float  # seconds of the best step
    began: float  # by a clock that all processes share
    ended: float
    grown: int  # bytes of peak memory over what there was before the first step
    pixels: int  # bytes of pixels read
    output: int  # bytes of voxels written
    planned: int  # bytes that the plan counts with


def work_alone(folder: Path, times: int) -> None:
    """Say when ready, wait for a line, then build so many times and print an ``Alone``."""
    step = plan_step(folder)
    step.forget()
    print("ready", flush=True)
    sys.stdin.readline()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.monotonic(), math.inf
    for _ in range(times):
        started = time.process_time()
        done = step.run()
        cpu = min(cpu, time.process_time() - started)
        step.forget()
    ended = time.monotonic()
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    (volume,) = done.record["volumes"]  # type: ignore[misc]
    pixels, output = (2 * math.prod(volume[name]) for name in ("source_shape", "shape"))  # type: ignore[index, call-overload, arg-type]
    print(cpu, began, ended, grown, pixels, output, step.item.memory)


def run_alone(folders: Sequence[Path], times: int) -> list[Alone]:
    """One process a folder, all at the same time."""
    command = [sys.executable, "-m", "tests.bench.volumes.fused", "--times", str(times), "--alone"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, str(folder)], **pipes) for folder in folders]
    for each in running:
        assert each.stdout.readline() == "ready\n"
    found = []
    for each in running:
        each.stdin.write("\n")
        each.stdin.flush()
    for each in running:
        words = each.communicate()[0].split()
        found.append(Alone(*map(float, words[:3]), *map(int, words[3:])))
    return found


def print_growth(kind: str, folders: Mapping[tuple[str, int], Path]) -> None:
    """CPU time a slice and peak memory by the number of slices."""
    print(f"\n{kind}: fresh processes")
    for size in SIZES:
        (once,), (alone,) = run_alone([folders[kind, size]], 1), run_alone([folders[kind, size]], 3)
        allowed = 1.6 * once.pixels + once.output + 200e6
        peak, most, planned = (number / 1e6 for number in (once.grown, allowed, once.planned))
        print(f"  {size:4d} slices {alone.cpu:7.3f} s {1000 * alone.cpu / size:7.2f} ms a slice", end="")
        print(f"   peak {peak:.0f} MB over the warm process, at most {most:.0f} wanted ({planned:.0f} planned in all)")


def print_processes(folder: Path) -> None:
    """Two processes over one, by CPU time and by the wall."""
    other = folder.with_name(f"{folder.name}-other")
    if not other.exists():
        shutil.copytree(folder / "archive", other / "archive", copy_function=os.link)
    times = 6
    (one,) = run_alone([folder], times)
    two = run_alone([folder, other], times)
    by_cpu = 2 * one.cpu / (sum(each.cpu for each in two) / 2)
    wall = max(each.ended for each in two) - min(each.began for each in two)
    by_wall = 2 * (one.ended - one.began) / wall
    print(f"\ntwo processes over one: {by_cpu:.2f} x by CPU time   {AT_LEAST} wanted")
    print(f"{by_wall:.2f} x by the wall, which counts where nothing else runs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="folder that keeps the files; made when it is not there")
    parser.add_argument("--only", choices=("parts", "growth", "processes"))
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        work_alone(options.alone, options.times)
        return
    kinds = {"CT": "plan-ct", "CT, JPEG lossless": "plan-ct-jpeg"}
    with tempfile.TemporaryDirectory() as name:
        root = options.data or Path(name)
        root.mkdir(parents=True, exist_ok=True)
        folders = make_archives(root, kinds, SIZES)
        if options.only in (None, "growth"):
            print_growth("CT", folders)
        if options.only in (None, "processes"):
            print_processes(folders["CT", min(SIZES)])
        if options.only in (None, "parts"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            for kind in kinds:
                print_parts(kind, plan_step(folders[kind, max(SIZES)]), options.rounds)


if __name__ == "__main__":
    main()
