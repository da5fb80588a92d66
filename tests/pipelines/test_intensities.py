"""Cohort statistics of a curated store: numpy's numbers, the same bytes on threads and on Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cluster.session import start
from curate.errors import Misconfigured, Quarantined
from curate.manifests import read_table
from curate.reasons import Reason
from curate.storage import LocalStore, Store, open_store
from curate.volumes.read import open_volume
from pipelines.intensities import INTENSITIES, INTENSITIES_KEY, measure_intensities
from tests.support.curated import Curated


@pytest.fixture
def store(curated: Curated, tmp_path: Path) -> LocalStore:
    """A copy of a store, so that nobody else sees what is written."""
    shutil.copytree(curated.workspace.store.url, tmp_path / "store")
    return LocalStore(tmp_path / "store")


def foreground(store: Store, site: str | None) -> np.ndarray:  # type: ignore[type-arg]
    """All foreground voxels, read whole."""
    found = []
    for row in read_table(store, "manifests/volumes.parquet").to_pylist():
        if site in (None, row["site"]):
            volume = open_volume(f"{store.url}/{row['uri']}").read().astype(np.float64)
            span = row["intensity_p99"] - row["intensity_min"]
            air = -500 if row["units"] == "HU" else row["intensity_min"] + 0.1 * span
            found.append(volume[volume > air])
    return np.concatenate(found)


def test_every_site_and_all_together_have_the_numbers_of_their_voxels(store: LocalStore) -> None:
    rows = measure_intensities(store, scheduler="threads").to_pylist()
    volumes = read_table(store, "manifests/volumes.parquet").to_pylist()
    assert {row["site"] for row in rows} == {row["site"] for row in volumes} | {None}
    assert sum(row["volumes"] for row in rows if row["site"] is None) == len(volumes)
    for row in rows:
        voxels = foreground(store, row["site"])
        assert row["foreground_voxels"] == voxels.size
        assert row["mean"] == pytest.approx(voxels.mean(), abs=row["bin_width"] / 2 + 1e-9)
        assert row["p50"] == pytest.approx(np.quantile(voxels, 0.5, method="inverted_cdf"), abs=row["bin_width"])
        assert row["p00_5"] <= row["p05"] <= row["p50"] <= row["p95"] <= row["p99_5"]


def test_threads_ray_and_blocks_of_any_size_write_the_same_bytes(store: LocalStore) -> None:
    measure_intensities(store, scheduler="threads")
    on_threads = store.get(INTENSITIES_KEY)
    measure_intensities(store, scheduler="threads", block_bytes=4096)  # many blocks a volume
    assert store.get(INTENSITIES_KEY) == on_threads
    with start(workers=2):
        measure_intensities(store, block_bytes=1 << 16)
    assert store.get(INTENSITIES_KEY) == on_threads


def test_what_is_returned_is_what_is_written(store: LocalStore) -> None:
    table = measure_intensities(store, scheduler="threads")
    assert table.schema == INTENSITIES
    assert read_table(store, INTENSITIES_KEY).equals(table)


def test_a_damaged_volume_is_told_and_nothing_is_written(store: LocalStore) -> None:
    row = read_table(store, "manifests/volumes.parquet").to_pylist()[0]
    shard = Path(store.url) / row["uri"] / "0/c/0/0/0"
    content = bytearray(shard.read_bytes())
    content[-8] ^= 0xFF  # in the index
    shard.chmod(0o644)
    shard.write_bytes(content)
    with pytest.raises(Quarantined) as caught:
        measure_intensities(store, scheduler="threads")
    assert caught.value.reason is Reason.VERIFICATION_FAILED
    assert not store.exists(INTENSITIES_KEY)


def test_a_store_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="curate run"):
        measure_intensities(open_store(tmp_path))
