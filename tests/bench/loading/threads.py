"""``python -m tests.bench.loading.threads``: crops a second, two threads beside two processes of a torch DataLoader.

Both read the same boxes by the same reader into batches of 2; they take turns and the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from curate.volumes import StoredVolume, open_volume
from tests.bench.loading.crops import boxes
from tests.bench.loading.made import CT_SHAPE, write_arrays
from tests.bench.loading.peers import OURS, Box, places

BATCH, WORKERS, LOOK_AHEAD = 2, 2, 4

Visit = tuple[int, Box]


class Crops(Dataset[torch.Tensor]):
    """Crops by their place in a list of visits."""

    def __init__(self, volumes: list[StoredVolume], visits: list[Visit]) -> None:
        self._volumes = volumes
        self._visits = visits

    def __len__(self) -> int:
        return len(self._visits)

    def __getitem__(self, place: int) -> torch.Tensor:
        number, box = self._visits[place]
        shape = [part.stop - part.start for part in box]
        return torch.from_numpy(self._volumes[number].crop([part.start for part in box], shape))


def by_processes(volumes: list[StoredVolume], visits: list[Visit]) -> Iterator[torch.Tensor]:
    yield from DataLoader(Crops(volumes, visits), batch_size=BATCH, num_workers=WORKERS, prefetch_factor=2)


def by_threads(volumes: list[StoredVolume], visits: list[Visit]) -> Iterator[torch.Tensor]:
    """Each crop is decoded into its place in a batch of a ring."""
    shape = [part.stop - part.start for part in visits[0][1]]
    ring = [torch.empty((BATCH, *shape), dtype=torch.int16) for _ in range(LOOK_AHEAD + 1)]

    def fill(number: int) -> torch.Tensor:
        batch = ring[number % len(ring)]
        for row, (volume, box) in zip(batch.numpy(), visits[number * BATCH : (number + 1) * BATCH], strict=True):
            volumes[volume].crop([part.start for part in box], shape, row)
        return batch

    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = deque(pool.submit(fill, n) for n in range(LOOK_AHEAD))
        for number in range(LOOK_AHEAD, len(visits) // BATCH):
            yield waiting.popleft().result()
            waiting.append(pool.submit(fill, number))
        for batch in waiting:
            yield batch.result()


def rate(make: Callable[[], Iterator[torch.Tensor]]) -> float:
    """Crops a second by the clock, once the first batches have come."""
    count, start = 0, 0.0
    for number, _ in enumerate(make()):
        if number == WORKERS:
            start = time.perf_counter()
        count += number > WORKERS
    return count * BATCH / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volumes", type=int, default=4)
    parser.add_argument("--shape", type=int, nargs=3, default=CT_SHAPE)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--crops", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="kept for the next run; default: a temporary one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        arrays = write_arrays(folder / "npy", options.volumes, tuple(options.shape))
        volumes = [open_volume(path) for path in places(OURS, folder, arrays)]
        for volume in volumes:
            volume.crop((0, 0, 0), volume.shape)
        rates: dict[str, list[float]] = {"threads": [], "processes": []}
        for turn in range(options.rounds):
            made = itertools.islice(boxes(tuple(options.shape), (options.crop,) * 3, turn), options.crops)
            visits = [(n % len(volumes), box) for n, box in enumerate(made)]
            rates["threads"].append(rate(lambda visits=visits: by_threads(volumes, visits)))  # type: ignore[misc]
            rates["processes"].append(rate(lambda visits=visits: by_processes(volumes, visits)))  # type: ignore[misc]
        ratio = np.median(np.divide(rates["threads"], rates["processes"]))
        for name, found in rates.items():
            print(f"2 {name:10s}{np.median(found):8.0f} crops/s   {[round(value) for value in found]}")
        print(f"threads over processes: {ratio:.2f}")


if __name__ == "__main__":
    main()
