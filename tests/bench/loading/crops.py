"""``python -m tests.bench.loading.crops``: random crops beside what else a trainer could read them with.

One process, one thread. Every reader crops in turns with a raw memmap, block by block of the same boxes, and the ratio
of CPU times is the median over blocks. Cold: the files leave the page cache (``posix_fadvise``), then open and crop one
box, by the clock. Memory: what the process has more of its own after 24 volumes are open and 24 crops were read.
``pip install tensorstore blosc2 monai mosaicml-streaming webdataset litdata`` for the peers; the missing are named.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from curate.geometry import Grid
from curate.volumes import open_volume, write_volume
from tests.bench.loading.made import CT_SHAPE, CT_SPACING, MR_SPACING, make_ct, make_mr, write_arrays
from tests.bench.loading.peers import MEMMAP, OURS, PEERS, Box, Crop, Peer, places

VOLUMES_OPEN = 24


def boxes(shape: tuple[int, ...], size: tuple[int, ...], seed: int) -> Iterator[Box]:
    """Endless random boxes."""
    random = np.random.default_rng(seed)
    while True:
        k, j, i = (int(random.integers(0, n - m + 1)) for n, m in zip(shape, size, strict=True))
        yield slice(k, k + size[0]), slice(j, j + size[1]), slice(i, i + size[2])


def cpu_ratio(crop: Crop, base: Crop, boxes_of: Iterator[Box], seconds: float) -> tuple[float, float]:
    """Milliseconds of CPU a crop, and the base's time over it."""
    box = next(boxes_of)
    np.testing.assert_array_equal(crop(box), base(box))
    count = max(1, min(40, int(0.2 / max(_cpu(lambda: crop(box)), 1e-4))))
    times, ratios, end = [], [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        block = list(itertools.islice(boxes_of, count))
        ours, theirs = (_cpu(partial(_crop_all, reader, block)) for reader in (crop, base))
        times.append(ours / count * 1e3)
        ratios.append(theirs / ours)
    return float(np.median(times)), float(np.median(ratios))


def box_wise(peer: Peer) -> bool:
    """Whether a reader reads less than the whole volume for a crop."""
    return peer is OURS or peer in PEERS[:3]


def cold_ms(peer: Peer, paths: list[Path], boxes_of: Iterator[Box]) -> tuple[float, float]:
    """Milliseconds by the clock to open a volume that is not in the page cache and crop it; megabytes read for it."""
    times, before = [], _read_bytes()
    for path in paths:
        _forget(path)
        start = time.perf_counter()
        peer.open(path)(next(boxes_of))
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times)), (_read_bytes() - before) / len(paths) / 1e6


def own_megabytes(peer: Peer, paths: list[Path], shape: tuple[int, ...], size: tuple[int, ...]) -> float:
    """Anonymous memory that open volumes take, one crop of each read and dropped; in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_own_megabytes, peer, paths, shape, size).result()


def _own_megabytes(peer: Peer, paths: list[Path], shape: tuple[int, ...], size: tuple[int, ...]) -> float:
    boxes_of = boxes(shape, size, 7)
    peer.open(paths[0])(next(boxes_of))  # libraries and compiled code are not what is counted
    before = _anonymous()
    opened = [peer.open(paths[n % len(paths)]) for n in range(VOLUMES_OPEN)]
    for crop in opened:
        crop(next(boxes_of))
    return _anonymous() - before


def compare(folder: Path, count: int, shape: tuple[int, int, int], size: int, seconds: float) -> None:
    """The table of readers."""
    arrays = write_arrays(folder / "npy", count, shape)
    base_paths = places(MEMMAP, folder, arrays)
    box = (min(size, shape[0]), min(size, shape[1]), min(size, shape[2]))
    print(f"CT {shape}, int16, {count} volumes; crops {box}")
    print(f"{'':26s}{'ms CPU':>9s}{'of memmap':>11s}{'bytes/voxel':>13s}{'cold ms':>9s}{'cold MB':>9s}{'own MB':>8s}")
    base_cold, base_mb = cold_ms(MEMMAP, base_paths, boxes(shape, box, 5))
    base = MEMMAP.open(base_paths[0])
    base((slice(None), slice(None), slice(None)))
    alone, _ = cpu_ratio(base, base, boxes(shape, box, 1), 0.5)
    print(f"{MEMMAP.name:26s}{alone:9.2f}{1:11.2f}{2:13.3f}{base_cold:9.1f}{base_mb:9.1f}", flush=True)
    for peer in (OURS, *PEERS):
        if peer.missing:
            print(f"{peer.name:26s}not installed: {', '.join(peer.missing)}", flush=True)
            continue
        try:
            paths = places(peer, folder, arrays)
        except ImportError as error:  # a package that is there and lacks one that it needs
            print(f"{peer.name:26s}not installed: {error.name}", flush=True)
            continue
        bytes_voxel = np.mean([_size(path) for path in paths]) / np.prod(shape)
        cold, cold_mb = cold_ms(peer, paths, boxes(shape, box, 5))
        own = own_megabytes(peer, paths, shape, box) if box_wise(peer) else float("nan")
        for path in (*paths, *base_paths):
            _remember(path)
        ms, ratio = cpu_ratio(peer.open(paths[0]), base, boxes(shape, box, 3), seconds)
        print(
            f"{peer.name:26s}{ms:9.2f}{ratio:11.3f}{bytes_voxel:13.3f}{cold:9.1f}{cold_mb:9.1f}{own:8.1f}", flush=True
        )


def sizes(folder: Path, ct_shape: tuple[int, int, int], mr_shape: tuple[int, int, int]) -> None:
    """Bytes a voxel of what is written."""
    image, mask = make_ct(0, ct_shape)
    write_volume(folder / "ct.zarr", image, Grid(image.shape, np.diag([*CT_SPACING, 1.0])), labels={"vertebrae": mask})
    write_volume(folder / "mr.zarr", make_mr(0, mr_shape), Grid(mr_shape, np.diag([*MR_SPACING, 1.0])))
    for name, path, voxels in (
        ("CT", "ct.zarr/0", image.size),
        ("labels", "ct.zarr/labels/vertebrae/0", image.size),
        ("MR", "mr.zarr/0", int(np.prod(mr_shape))),
    ):
        print(f"{name:8s}{_size(folder / path) / voxels:8.4f} bytes a voxel")
    volume, box = open_volume(folder / "ct.zarr"), (128, 128, 128)
    if all(n >= 128 for n in ct_shape):
        volume.crop((1, 2, 3), box, label="vertebrae")
        print(f"labels, a 128^3 crop: {_cpu(lambda: volume.crop((1, 2, 3), box, label='vertebrae')) * 1e3:.2f} ms CPU")


def _crop_all(crop: Crop, block: list[Box]) -> None:
    for box in block:  # each is dropped before the next, as a loader's buffers are
        crop(box)


def _cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _files(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.is_file()] if path.is_dir() else [path]


def _remember(path: Path) -> None:
    for found in _files(path):
        found.read_bytes()


def _size(path: Path) -> int:
    return sum(found.stat().st_size for found in _files(path))


def _forget(path: Path) -> None:
    for found in _files(path):
        with found.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_bytes() -> int:
    return int(re.findall(r"^read_bytes: (\d+)", Path("/proc/self/io").read_text(), re.M)[0])


def _anonymous() -> float:
    return int(re.findall(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=6)
    parser.add_argument("--shape", type=int, nargs=3, default=CT_SHAPE)
    parser.add_argument("--mr-shape", type=int, nargs=3, default=(24, 512, 512))
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, help="kept for the next run; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        compare(folder, options.volumes, tuple(options.shape), options.crop, options.seconds)
        sizes(Path(temporary) / "sizes", tuple(options.shape), tuple(options.mr_shape))


if __name__ == "__main__":
    main()
