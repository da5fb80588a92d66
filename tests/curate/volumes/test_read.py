"""Opening a volume, and boxes that stick out of it."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Misconfigured, Quarantined
from curate.geometry import Grid
from curate.volumes import StoredVolume, open_volume, write_volume

SHAPE = 40, 70, 66
AFFINE = np.array([[0, 0, 1 / 3, -30.0], [0, 0.7, 0, -40], [0.8, 0, 0, 10], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(1).integers(-1000, 1000, SHAPE).astype(np.int16)
MASK = (np.abs(VOXELS) % 9).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "volumes" / "0.zarr"
    write_volume(path, VOXELS, Grid(SHAPE, AFFINE), modality="CT", units="HU", slice_axis=0, labels={"spine": MASK})
    return path


@pytest.fixture(scope="module")
def volume(folder: Path) -> StoredVolume:
    return open_volume(folder)


def test_it_says_what_was_written(volume: StoredVolume) -> None:
    assert volume.grid == Grid(SHAPE, AFFINE)
    assert (volume.shape, volume.dtype, volume.modality, volume.units) == (SHAPE, np.int16, "CT", "HU")
    assert (volume.slice_axis, volume.label_names) == (0, ("spine",))


def test_it_opens_by_text_path_and_file_url(folder: Path) -> None:
    for url in (str(folder), folder, folder.as_uri()):
        np.testing.assert_array_equal(open_volume(url).read(), VOXELS)


def test_the_whole_comes_back_and_may_be_changed(volume: StoredVolume) -> None:
    found = volume.read()
    np.testing.assert_array_equal(found, VOXELS)
    found[...] = 0
    np.testing.assert_array_equal(volume.read(), VOXELS)
    np.testing.assert_array_equal(volume.label("spine"), MASK)


@settings(deadline=None)
@given(
    start=st.tuples(*[st.integers(-90, 90)] * 3),
    shape=st.tuples(*[st.integers(0, 90)] * 3),
    pad=st.integers(-1024, 1024),
)
def test_any_crop_is_that_of_an_endless_padded_array(
    volume: StoredVolume, start: tuple[int, int, int], shape: tuple[int, int, int], pad: int
) -> None:
    ranges = [np.arange(a, a + n) for a, n in zip(start, shape, strict=True)]
    held = [np.clip(r, 0, n - 1) for r, n in zip(ranges, SHAPE, strict=True)]
    k, j, i = ((r >= 0) & (r < n) for r, n in zip(ranges, SHAPE, strict=True))
    expected = np.where(k[:, None, None] & j[:, None] & i, VOXELS[np.ix_(*held)], pad)
    found = volume.crop(start, shape, pad=pad)
    assert found.shape == shape
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, expected)


def test_a_mask_is_cropped_like_the_image(volume: StoredVolume) -> None:
    found = volume.crop((-5, 60, 60), (20, 20, 20), label="spine", pad=255)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[5:, :10, :6], MASK[:15, 60:, 60:])
    assert (found[:5] == 255).all()


def test_a_crop_beside_the_volume_is_only_padding(volume: StoredVolume) -> None:
    assert (volume.crop((1000, 0, 0), (4, 5, 6), pad=-1024) == -1024).all()
    assert (volume.crop((-50, 0, 0), (4, 5, 6), pad=-1024) == -1024).all()


def test_numpy_numbers_are_taken_as_places(volume: StoredVolume) -> None:
    found = volume.crop(np.array([1, 2, 3]), np.array([4, 5, 6]))
    np.testing.assert_array_equal(found, VOXELS[1:5, 2:7, 3:9])


@pytest.mark.parametrize(("start", "shape"), [((0, 0), (1, 1, 1)), ((0, 0, 0), (1, 1)), ((0, 0, 0), (1, -1, 1))])
def test_an_impossible_crop_is_refused(volume: StoredVolume, start: tuple[int, ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="crop"):
        volume.crop(start, shape)


def test_an_unknown_mask_is_a_key_error(volume: StoredVolume) -> None:
    with pytest.raises(KeyError):
        volume.label("nerves")
    with pytest.raises(KeyError):
        volume.crop((0, 0, 0), (1, 1, 1), label="nerves")


def test_it_can_be_sent_to_another_process(volume: StoredVolume) -> None:
    copy = pickle.loads(pickle.dumps(volume))  # noqa: S301 - our own bytes, as multiprocessing sends them
    assert copy.grid == volume.grid
    np.testing.assert_array_equal(copy.crop((5, 5, 5), (30, 30, 30)), VOXELS[5:35, 5:35, 5:35])


def test_what_is_not_there_is_not_found_and_the_message_names_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        open_volume(tmp_path / "nobody" / "0.zarr")
    assert "nobody" not in str(caught.value)


@pytest.mark.parametrize("content", [b"not json", b"[]", b"{}", b'{"attributes": {"ome": {}}}', b"\xff\xfe"])
def test_something_else_in_its_place_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "zarr.json").write_bytes(content)
    with pytest.raises(Misconfigured, match="volume"):
        open_volume(tmp_path)


def test_an_array_of_another_shape_than_the_grid_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "0.zarr"
    write_volume(other, VOXELS[:20], Grid((20, 70, 66), AFFINE), labels={"spine": MASK[:20]})
    (other / "zarr.json").write_bytes((folder / "zarr.json").read_bytes())
    with pytest.raises(Misconfigured, match="shape"):
        open_volume(other)


def test_reading_needs_no_zarr_python(folder: Path) -> None:
    program = "import sys; from curate.volumes import open_volume; open_volume(sys.argv[1]).read(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True)
    assert "numcodecs.blosc" in done.stdout.split()
    assert "zarr" not in done.stdout.split()


def made(shape: tuple[int, int, int], dtype: np.dtype, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A buffer full of a foreign value, and a view of it that is to be filled."""
    k, j, i = shape
    if kind == "contiguous":
        whole = np.full(shape, 99, dtype)
        return whole, whole
    if kind == "part of a batch":
        whole = np.full((3, k + 1, j + 2, i + 3), 99, dtype)
        return whole, whole[1, 1:, 1:-1, 2:-1]
    if kind == "reversed":
        whole = np.full(shape, 99, dtype)
        return whole, whole[::-1, :, ::-1]
    if kind == "transposed":
        whole = np.full((i, k, j), 99, dtype)
        return whole, whole.transpose(1, 2, 0)
    whole = np.full((k, j, 2 * i), 99, dtype)
    return whole, whole[:, :, ::2]


KINDS = ["contiguous", "part of a batch", "reversed", "transposed", "every other"]


@pytest.mark.parametrize("label", [None, "spine"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_of_any_strides_is_filled_and_nothing_beside_it(
    volume: StoredVolume, kind: str, label: str | None
) -> None:
    truth = np.pad(VOXELS if label is None else MASK, 20, constant_values=7)
    for start, shape in (((3, 5, 7), (33, 62, 50)), ((-9, -3, 20), (20, 75, 60)), ((39, 0, 0), (1, 1, 1))):
        whole, out = made(shape, truth.dtype, kind)
        count = whole.size - out.size
        assert volume.crop(start, shape, out, label=label, pad=7) is out
        k, j, i = (slice(a + 20, a + 20 + n) for a, n in zip(start, shape, strict=True))
        np.testing.assert_array_equal(out, truth[k, j, i])
        out[...] = 99
        assert (whole == 99).all()
        assert whole.size - out.size == count


def test_the_whole_is_read_into_a_buffer(volume: StoredVolume) -> None:
    out = np.empty(SHAPE, np.int16)
    assert volume.read(out) is out
    np.testing.assert_array_equal(out, VOXELS)


def test_nothing_of_the_size_of_the_box_is_allocated_when_there_is_a_buffer(volume: StoredVolume) -> None:
    out = np.empty((30, 60, 60), np.int16)
    volume.crop((0, 0, 0), out.shape, out)
    tracemalloc.start()
    try:
        volume.crop((1, 2, 3), out.shape, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < out.nbytes / 10


@pytest.mark.parametrize(
    "out",
    [
        np.empty((4, 5, 7), np.int16),
        np.empty((4, 5, 6), np.uint16),
        np.empty((4, 5, 6), ">i2"),
        np.empty(120, np.int16),
        np.frombuffer(bytes(240), np.int16).reshape(4, 5, 6),
        np.frombuffer(bytearray(241), np.uint8)[1:].view(np.int16).reshape(4, 5, 6),
        np.zeros((4, 5, 6), np.dtype([("a", "i2"), ("b", "u1")]))["a"],
    ],
)
def test_a_buffer_that_does_not_fit_is_refused(volume: StoredVolume, out: np.ndarray) -> None:
    with pytest.raises(ValueError, match="out"):
        volume.crop((0, 0, 0), (4, 5, 6), out)


def test_a_padding_that_the_dtype_cannot_hold_is_refused(volume: StoredVolume) -> None:
    with pytest.raises(OverflowError):
        volume.crop((-1, 0, 0), (4, 5, 6), label="spine", pad=-1024)


def test_other_threads_run_while_a_crop_is_decoded(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 400, (128, 128, 256)).astype(np.int16)
    write_volume(tmp_path / "0.zarr", array, Grid(array.shape, np.eye(4)))
    volume, ticks, done = open_volume(tmp_path / "0.zarr"), 0, threading.Event()
    out = np.empty(array.shape, np.int16)
    volume.read(out)

    def read() -> None:
        for _ in range(16):
            volume.read(out)
        done.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody gets the GIL unless it is given up
    try:
        reader = threading.Thread(target=read)
        reader.start()
        while not done.is_set():
            time.sleep(0.0005)
            ticks += 1
    finally:
        sys.setswitchinterval(before)
    reader.join()
    assert ticks > 16 * 8  # the calls to open and close the file give it up some 4 times


def test_a_fork_reads_too(volume: StoredVolume) -> None:
    def read() -> None:
        np.testing.assert_array_equal(volume.crop((5, 5, 5), (30, 30, 30)), VOXELS[5:35, 5:35, 5:35])

    volume.crop((0, 0, 0), (9, 9, 9))
    process = multiprocessing.get_context("fork").Process(target=read)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_a_mask_that_is_not_there_is_damage(tmp_path: Path) -> None:
    write_volume(tmp_path / "0.zarr", VOXELS, Grid(SHAPE, AFFINE), labels={"spine": MASK})
    (tmp_path / "0.zarr/labels/spine/0/zarr.json").unlink()
    volume = open_volume(tmp_path / "0.zarr")
    np.testing.assert_array_equal(volume.read(), VOXELS)
    with pytest.raises(Quarantined, match="mask"):
        volume.label("spine")


@pytest.mark.parametrize("spacing", [(1.0, 0.8, 0.8), (4.0, 0.5, 0.5)])  # as of a CT, as of a sagittal MR
@pytest.mark.parametrize("label", [None, "spine"])
def test_stock_readers_see_the_same_values(
    tmp_path: Path, spacing: tuple[float, float, float], label: str | None
) -> None:
    array = np.random.default_rng(2).integers(0, 900, (37, 141, 150)).astype(np.uint16)
    array[:, 100:] = 0
    mask = (array > 800).astype(np.uint8)
    path = tmp_path / "0.zarr"
    write_volume(path, array, Grid(array.shape, np.diag([*spacing, 1.0])), labels={"spine": mask})
    part = "0" if label is None else f"labels/{label}/0"
    volume = open_volume(path)
    box = volume.crop((2, 30, 40), (33, 100, 109), label=label)
    np.testing.assert_array_equal(box, (array if label is None else mask)[2:35, 30:130, 40:149])
    np.testing.assert_array_equal(box, zarr.open_array(path / part, mode="r")[2:35, 30:130, 40:149])
    # in a process of its own: where tensorstore was used, a fork aborts
    subprocess.run([sys.executable, "-c", READ_BY_TENSORSTORE, path / part, tmp_path / "found.npy"], check=True)
    np.testing.assert_array_equal(box, np.load(tmp_path / "found.npy"))


READ_BY_TENSORSTORE = """
import sys, numpy, tensorstore
spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": sys.argv[1]}}
numpy.save(sys.argv[2], tensorstore.open(spec).result()[2:35, 30:130, 40:149].read().result())
"""
