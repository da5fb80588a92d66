"""Opening a volume, and boxes that stick out of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Misconfigured
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
