"""Crops a second: two threads of the loader against two processes of a torch DataLoader, on the same volumes.

    python -m tests.bench.loading.threads [--rounds 5] [--crops 60] [--study]

128^3 voxels of int16 out of CT-like volumes of 300 x 400 x 400, as stored; ``--study``: seven vertebrae a study,
interpolated, in float32. Rounds alternate between the two; the ratio is of medians. Starting up is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.utils.data import DataLoader

from curate.geometry import Grid
from curate.loading import Augmentation, CropRequest, CropShape, StudySample
from curate.loading.dataset import Draw, StudyDataset
from curate.loading.joining import join
from curate.loading.loader import Loader
from curate.volumes import StoredVolume, open_volume, write_volume

SIDE = 128
BATCH = 4
VOLUMES = 3
WARM = 2  # batches


class Crops:
    """Item n: a crop at a place that n says, of a volume that n says."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.volumes: dict[int, StoredVolume] = {}

    def __getitem__(self, item: int) -> torch.Tensor:
        number = item % VOLUMES
        if number not in self.volumes:
            self.volumes[number] = open_volume(f"{self.root}/{number}.zarr")
        volume = self.volumes[number]
        start = np.random.default_rng(item).integers(0, np.array(volume.shape) - SIDE)
        return torch.from_numpy(volume.crop(start.tolist(), (SIDE,) * 3))[None]


def make_volumes(root: Path) -> Grid:
    draw = np.random.default_rng(0)
    affine = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [0.8, 0, 0, 0], [0, 0, 0, 1]])
    grid = Grid((300, 400, 400), affine)
    for number in range(VOLUMES):
        smooth = gaussian_filter(draw.normal(size=grid.shape).astype(np.float32), 2) * 4000
        write_volume(root / f"{number}.zarr", (smooth + draw.normal(0, 10, grid.shape)).astype(np.int16), grid)
    return grid


def studies(root: Path, grid: Grid) -> tuple[StudyDataset, list[Draw]]:
    """Studies of seven crops of 64 x 96 x 96."""
    draw = np.random.default_rng(1)
    samples = []
    for number in range(VOLUMES):
        places = [grid.to_patient(draw.uniform(0.3, 0.7, 3) * grid.shape) for _ in range(7)]
        crops = tuple(CropRequest(f"{number}.zarr", (x, y, z), "SPL", -200, 1000) for x, y, z in places)
        samples.append(StudySample(str(number), "train", (), crops, ((),) * 7))
    shape = CropShape((64, 96, 96), (0.8, 0.5, 0.5))
    dataset = StudyDataset(str(root), samples, shape, augmentation=Augmentation(shift_mm=4, turn_degrees=5), seed=0)
    return dataset, [Draw(n % VOLUMES, n // VOLUMES) for n in range(10_000)]


def rate(batches: Iterable[Any], wanted: int) -> float:
    """Samples a second after the first batches."""
    seen, began = 0, 0.0
    for number, _ in enumerate(batches, 1):
        if number == WARM:
            began = time.perf_counter()
        elif number > WARM:
            seen += BATCH
        if seen >= wanted:
            break
    return seen / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, default=60)
    parser.add_argument("--study", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        grid = make_volumes(Path(folder))
        dataset: Any = Crops(folder)
        items: list[Any] = list(range(10_000))
        if options.study:
            dataset, items = studies(Path(folder), grid)
        batches = [items[n : n + BATCH] for n in range(0, len(items), BATCH)]
        found: dict[str, list[float]] = {"threads": [], "processes": []}
        for _ in range(options.rounds):
            with Loader(dataset, batches, threads=2) as loader:
                found["threads"].append(rate(loader, options.crops))
            theirs = DataLoader(
                dataset,
                batch_sampler=batches,
                collate_fn=join,
                num_workers=2,
                multiprocessing_context="forkserver",
            )
            found["processes"].append(rate(theirs, options.crops))
        for name, rates in found.items():
            print(f"{name:10s} {statistics.median(rates):7.1f} samples/s  {[round(n, 1) for n in rates]}")
        ratio = statistics.median(found["threads"]) / statistics.median(found["processes"])
        print(f"threads x 2 against a DataLoader x 2: {ratio:.2f}")


if __name__ == "__main__":
    main()
