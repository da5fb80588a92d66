"""Cohort statistics: how bright the volumes of each site are, read block by block with Dask.

What a trainer normalises by, and what shows that a site's scanner or export differs from the others. Integers are
summed, so Ray, threads and any number of workers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from cluster.dask import BLOCK_BYTES, Scheduler, compute, open_array
from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.manifests import read_table, write_table
from curate.storage import Store
from curate.volumes.intensities import (
    QUANTILES,
    Bins,
    Counts,
    air_below,
    choose_bins,
    count_foreground,
    describe_counts,
)
from curate.volumes.layout import choose_chunking
from curate.volumes.read import StoredVolume, open_volume

VOLUMES_KEY = "manifests/volumes.parquet"
INTENSITIES_KEY = "manifests/intensities.parquet"
INTENSITIES = pa.schema(  # one row a site, modality and unit, and one a modality and unit with site null: all sites
    [
        ("site", pa.string()),
        ("modality", pa.string()),
        ("units", pa.string()),
        ("volumes", pa.int64()),
        ("voxels", pa.int64()),
        ("foreground_voxels", pa.int64()),
        ("mean", pa.float64()),
        ("std", pa.float64()),
        *((name, pa.float64()) for name in QUANTILES),
        ("bin_width", pa.float64()),  # how exact these are
    ]
)

Kind = tuple[str, str]  # modality and units: what can be compared
Row = Mapping[str, Any]

FAN_IN = 8
_COPIES = 6  # of a block while it is counted: the voxels, where they are foreground, as float64, their bins


@dataclass(frozen=True)
class _Cohort:
    """The volumes of one kind and the bins that cover them all."""

    kind: Kind
    rows: tuple[Row, ...]
    bins: Bins

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted({row["site"] for row in self.rows}))


def measure_intensities(
    store: Store, *, scheduler: Scheduler | None = None, block_bytes: int = BLOCK_BYTES
) -> pa.Table:
    """Read every volume of the store once and write ``INTENSITIES_KEY``; the table, sorted by kind and site.

    Raises ``Misconfigured`` when there is no manifest of volumes, ``Quarantined(VERIFICATION_FAILED)`` when a volume
    is damaged, and as ``cluster.dask.compute`` does.
    """
    try:
        rows = read_table(store, VOLUMES_KEY).to_pylist()
    except FileNotFoundError:
        raise Misconfigured("the store holds no manifests yet: `curate run` first") from None
    cohorts = list(_cohorts(rows))
    lazy = [
        _sum(
            [
                counts
                for row in cohort.rows
                if row["site"] == site
                for counts in _histograms(store.url, row, cohort.bins, block_bytes)
            ]
        )
        for cohort in cohorts
        for site in cohort.sites
    ]
    counted = iter(compute(*lazy, scheduler=scheduler, memory=_COPIES * block_bytes))
    table = pa.Table.from_pylist(
        [row for cohort in cohorts for row in _rows_of(cohort, {site: next(counted) for site in cohort.sites})],
        schema=INTENSITIES,
    )
    write_table(store, INTENSITIES_KEY, table, sort_by=("modality", "units", "site"))
    return table.sort_by([("modality", "ascending"), ("units", "ascending"), ("site", "ascending")])


def _cohorts(rows: Sequence[Row]) -> Iterator[_Cohort]:
    kinds = sorted({(row["modality"] or "", row["units"] or "") for row in rows})
    for kind in kinds:
        ours = tuple(row for row in rows if (row["modality"] or "", row["units"] or "") == kind)
        whole = all(np.dtype(row["dtype"]).kind in "iu" for row in ours)
        low, high = min(row["intensity_min"] for row in ours), max(row["intensity_max"] for row in ours)
        yield _Cohort(kind, ours, choose_bins(low, high, whole=whole))


def _histograms(url: str, row: Row, bins: Bins, block_bytes: int) -> list[Delayed]:
    """Counts of one volume, block by block, not yet computed."""
    grid = Grid(tuple(row["shape"]), np.reshape(row["affine"], (4, 4)))
    array = open_array(
        partial(_read_box, f"{url}/{row['uri']}"),
        row["shape"],
        row["dtype"],
        choose_chunking(grid, row["slice_axis"]).chunk,
        name=f"volume-{row['series_key']}-{row['stack']}-{row['sha256']}",
        most_bytes=block_bytes,
    )
    air = air_below(row["units"] or "", row["intensity_min"], row["intensity_p99"])
    blocks = array.to_delayed().ravel()  # type: ignore[no-untyped-call]
    return [delayed(count_foreground)(block, bins, air) for block in blocks]


def _sum(counts: list[Delayed]) -> Delayed:
    """A tree, so that no task waits for all and the driver gets one histogram."""
    while len(counts) > 1:
        counts = [delayed(_add)(counts[first : first + FAN_IN]) for first in range(0, len(counts), FAN_IN)]
    return counts[0]


def _add(counts: Sequence[Counts]) -> Counts:
    total: Counts = np.sum(counts, axis=0, dtype=np.int64)
    return total


def _read_box(url: str, start: tuple[int, int, int], stop: tuple[int, int, int]) -> NDArray[Any]:
    return _open(url).crop(start, [b - a for a, b in zip(start, stop, strict=True)])


@lru_cache(maxsize=8)  # blocks of a volume come one after another, and its metadata need not be read for each
def _open(url: str) -> StoredVolume:
    return open_volume(url)


def _rows_of(cohort: _Cohort, counts: Mapping[str, Counts]) -> Iterator[Row]:
    for site in (*cohort.sites, None):
        rows = [row for row in cohort.rows if site in (None, row["site"])]
        found = describe_counts(_add(list(counts.values())) if site is None else counts[site], cohort.bins)
        yield {
            "site": site,
            "modality": cohort.kind[0] or None,
            "units": cohort.kind[1] or None,
            "volumes": len(rows),
            "voxels": sum(math.prod(row["shape"]) for row in rows),
            "foreground_voxels": found.voxels,
            "mean": found.mean,
            "std": found.std,
            **found.quantiles,
            "bin_width": cohort.bins.width,
        }
