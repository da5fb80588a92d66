"""What lies in the store after a write: few objects, the same bytes every time, readable by any Zarr reader."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from curate.errors import Misconfigured
from curate.geometry import Grid, orient
from curate.storage import LocalStore
from curate.volumes import open_volume, write_volume

AFFINE = np.array([[0, 0, 0.7, -30.0], [0, 0.7, 0, -40], [0.8, 0, 0, 10], [0, 0, 0, 1]])
SHAPE = 40, 70, 65  # more than one chunk along each axis, none a whole number of chunks


def ct(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(7).integers(-1024, 2000, shape).astype(np.int16)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_stock_zarr_reads_the_same_voxels(tmp_path: Path, dtype: str) -> None:
    array = np.random.default_rng(0).uniform(0, 100, SHAPE).astype(dtype)
    write_volume(tmp_path / "0.zarr", array, Grid(SHAPE, AFFINE))
    stored = zarr.open_array(tmp_path / "0.zarr" / "0", mode="r")
    assert stored.dtype == array.dtype
    np.testing.assert_array_equal(stored[...], array)


def test_stock_zarr_reads_the_masks(tmp_path: Path) -> None:
    masks = {"canal": (ct() > 500).astype(np.uint8), "vertebrae": (ct() % 8).astype(np.uint8)}
    write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels=masks)
    group = zarr.open_group(tmp_path / "0.zarr", mode="r")
    for name, mask in masks.items():
        np.testing.assert_array_equal(group[f"labels/{name}/0"][...], mask)


def test_an_array_is_one_object_and_its_metadata(tmp_path: Path) -> None:
    levels = ["0/c/0/0/0", "0/zarr.json", "1/c/0/0/0", "1/zarr.json"]
    write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE))
    assert sorted(digests(tmp_path / "0.zarr")) == [*levels, "zarr.json"]


def test_masks_add_one_shard_each(tmp_path: Path) -> None:
    mask = np.ones(SHAPE, np.uint8)
    written = write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels={"b": mask, "a": mask})
    assert [entry.key for entry in written.objects if "/c/" in entry.key] == [
        f"{group}{level}/c/0/0/0" for group in ("", "labels/a/", "labels/b/") for level in "01"
    ]
    assert len(written.objects) == 16


def test_an_array_of_zeros_has_its_object_too(tmp_path: Path) -> None:
    zeros = np.zeros(SHAPE, np.uint8)
    written = write_volume(tmp_path / "0.zarr", zeros, Grid(SHAPE, AFFINE), labels={"empty": zeros})
    assert (tmp_path / "0.zarr/0/c/0/0/0").is_file()
    assert (tmp_path / "0.zarr/labels/empty/0/c/0/0/0").is_file()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "0.zarr/0", mode="r")[...], zeros)
    assert written.size < 20_000


def test_the_record_says_what_lies_on_disk(tmp_path: Path) -> None:
    written = write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels={"a": np.ones(SHAPE, np.uint8)})
    assert {entry.key: entry.sha256 for entry in written.objects} == digests(tmp_path / "0.zarr")
    assert all(entry.size == (tmp_path / "0.zarr" / entry.key).stat().st_size for entry in written.objects)
    assert written.size == sum(entry.size for entry in written.objects)
    assert written.sha256 == digests(tmp_path / "0.zarr")["0/c/0/0/0"]
    assert (written.shape, written.dtype) == (SHAPE, "int16")
    assert written.statistics.minimum == ct().min()
    assert written.uri == str(tmp_path / "0.zarr")


def test_no_path_and_no_moment_is_in_what_is_written(tmp_path: Path) -> None:
    write_volume(
        tmp_path / "secret-folder" / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels={"a": np.ones(SHAPE, np.uint8)}
    )
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"secret-folder" not in path.read_bytes()


PROGRAM = """
import sys, numpy as np
from curate.geometry import Grid
from curate.volumes import write_volume
array = np.random.default_rng(7).integers(-1024, 2000, (40, 70, 65)).astype(np.int16)
affine = np.array([[0, 0, 0.7, -30.0], [0, 0.7, 0, -40], [0.8, 0, 0, 10], [0, 0, 0, 1]])
mask = (array > 0).astype(np.uint8)
labels = {name: mask for name in sys.argv[2:]}
write_volume(sys.argv[1], array, Grid(array.shape, affine), modality="CT", units="HU", labels=labels)
"""


def test_another_process_with_other_settings_writes_the_same_bytes(tmp_path: Path) -> None:
    mask = (ct() > 0).astype(np.uint8)
    labels = {"canal": mask, "bone": mask}
    write_volume(tmp_path / "here.zarr", ct(), Grid(SHAPE, AFFINE), modality="CT", units="HU", labels=labels)
    environment = {
        "PYTHONHASHSEED": "3",
        "ZARR_JSON_INDENT": "7",
        "ZARR_THREADING__MAX_WORKERS": "4",
        "TZ": "Asia/Tokyo",
    }
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "there.zarr"), "bone", "canal"], env=environment, check=True
    )
    assert digests(tmp_path / "here.zarr") == digests(tmp_path / "there.zarr")


def test_a_users_own_zarr_settings_are_left_alone(tmp_path: Path) -> None:
    with zarr.config.set({"json_indent": 5, "async.concurrency": 3}):
        write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE))
        assert (zarr.config.get("json_indent"), zarr.config.get("async.concurrency")) == (5, 3)
    assert b'\n  "attributes"' in (tmp_path / "0.zarr/zarr.json").read_bytes()


def test_views_and_foreign_byte_orders_give_the_bytes_of_the_plain_array(tmp_path: Path) -> None:
    plain = write_volume(tmp_path / "plain.zarr", ct(), Grid(SHAPE, AFFINE))
    turned, grid = orient(np.ascontiguousarray(ct()[::-1]), Grid(SHAPE, AFFINE), "IPL")
    assert not turned.flags.c_contiguous
    assert write_volume(tmp_path / "view.zarr", turned, Grid(SHAPE, AFFINE)).objects == plain.objects
    swapped = ct().astype(">i2")
    assert write_volume(tmp_path / "swapped.zarr", swapped, Grid(SHAPE, AFFINE)).objects == plain.objects
    assert grid.axis_codes == "IPL"


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    first = write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE))
    moments = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))]
    assert write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE)) == first
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))] == moments


def test_another_volume_at_the_same_place_is_refused_and_the_first_one_stays(tmp_path: Path) -> None:
    write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE))
    with pytest.raises(Misconfigured, match="never replaced") as caught:
        write_volume(tmp_path / "0.zarr", ct() + 1, Grid(SHAPE, AFFINE))
    assert str(tmp_path) not in str(caught.value)
    np.testing.assert_array_equal(open_volume(tmp_path / "0.zarr").read(), ct())


def test_the_root_is_published_last_so_that_a_broken_write_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    put_new = LocalStore.put_new

    def dying(self: LocalStore, key: str, content: bytes) -> bool:
        if key == "zarr.json":
            raise KeyboardInterrupt
        published.append(key)
        return put_new(self, key, content)

    monkeypatch.setattr(LocalStore, "put_new", dying)
    with pytest.raises(KeyboardInterrupt):
        write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels={"a": np.ones(SHAPE, np.uint8)})
    assert published[0].endswith("c/0/0/0")
    with pytest.raises(FileNotFoundError):
        open_volume(tmp_path / "0.zarr")
    monkeypatch.undo()
    write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels={"a": np.ones(SHAPE, np.uint8)})
    np.testing.assert_array_equal(open_volume(tmp_path / "0.zarr").read(), ct())


def test_the_codec_is_lz4hc_in_one_shard_with_its_index_at_the_end(tmp_path: Path) -> None:
    write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE))
    (sharding,) = json.loads((tmp_path / "0.zarr/0/zarr.json").read_bytes())["codecs"]
    assert sharding["configuration"]["chunk_shape"] == [32, 64, 64]
    assert sharding["configuration"]["index_location"] == "end"
    blosc = sharding["configuration"]["codecs"][-1]["configuration"]
    assert (blosc["cname"], blosc["clevel"], blosc["shuffle"], blosc["typesize"]) == ("lz4hc", 5, "shuffle", 2)


def test_smooth_voxels_are_stored_in_fewer_bytes(tmp_path: Path) -> None:
    k, j, i = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    smooth = (20 * k + 3 * j + i).astype(np.int16)
    assert write_volume(tmp_path / "0.zarr", smooth, Grid(SHAPE, AFFINE)).size < smooth.nbytes / 4


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64", "float16", "complex64", "U3"])
def test_other_types_of_voxels_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        write_volume(tmp_path / "0.zarr", np.zeros(SHAPE, dtype=dtype), Grid(SHAPE, AFFINE))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"a": np.zeros((1, 2, 3), np.uint8)}, "shape"),
        ({"a": np.zeros(SHAPE, np.int16)}, "uint8"),
        ({"../a": np.zeros(SHAPE, np.uint8)}, "letters"),
        ({"": np.zeros(SHAPE, np.uint8)}, "letters"),
    ],
)
def test_masks_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path: Path, labels: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), labels=labels)
    assert not list(tmp_path.iterdir())


def test_an_array_that_is_not_of_the_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shape"):
        write_volume(tmp_path / "0.zarr", ct((2, 2, 2)), Grid(SHAPE, AFFINE))
    with pytest.raises(ValueError, match="slice_axis"):
        write_volume(tmp_path / "0.zarr", ct(), Grid(SHAPE, AFFINE), slice_axis=3)


def test_a_forked_child_of_a_process_that_wrote_can_write_and_read(tmp_path: Path) -> None:
    parent = write_volume(tmp_path / "parent.zarr", ct(), Grid(SHAPE, AFFINE))
    with multiprocessing.get_context("fork").Pool(1) as pool:
        child = pool.apply_async(write_volume, (tmp_path / "child.zarr", ct(), Grid(SHAPE, AFFINE))).get(timeout=60)
        stored = pool.apply_async(open_volume(tmp_path / "child.zarr").read).get(timeout=60)
    assert child.objects == parent.objects
    np.testing.assert_array_equal(stored, ct())
