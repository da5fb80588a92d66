"""Crops as they are read, against volumes whose values say where they are, and against SciPy."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from curate.geometry import Grid
from curate.loading.crops import CropRequest, CropShape, Jitter, lattice
from curate.loading.reader import CropReader
from curate.volumes import open_volume, write_volume
from tests.support.grids import SHAPE, STEPS, make_grid

PLAIN = Jitter()


def ramp(grid: Grid, direction: NDArray[np.float64]) -> NDArray[np.float32]:
    """A volume whose value at a point is its coordinate (mm) along a direction: linear, so interpolation is exact."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return (grid.to_patient(index) @ direction).astype(np.float32)


def request(axes: str, *, centre: tuple[float, float, float] = (4, -6, 10), mirrored: bool = False) -> CropRequest:
    return CropRequest("v/0.zarr", centre, axes, -100.0, 100.0, mirrored)


def read(root: Path, grid: Grid, values: NDArray[np.generic], wish: CropRequest, jitter: Jitter = PLAIN) -> object:
    write_volume(root / wish.uri, values, grid)
    return CropReader(str(root), SHAPE).read(wish, jitter)


@pytest.mark.parametrize("codes", STEPS)
@pytest.mark.parametrize(("axes", "way"), [("SPL", (2, 1, 0)), ("LIP", (0, 2, 1))])
def test_a_crop_lies_where_it_was_asked_for_in_millimetres(
    tmp_path: Path, codes: str, axes: str, way: tuple[int, int, int]
) -> None:
    grid = make_grid(codes)
    signs = {"S": 1, "P": 1, "L": 1, "I": -1}
    for n, (letter, coordinate) in enumerate(zip(axes, way, strict=True)):
        direction = np.eye(3)[coordinate]
        found = read(tmp_path / f"{n}", grid, ramp(grid, direction), request(axes))
        away = (np.arange(SHAPE.shape[n]) - (SHAPE.shape[n] - 1) / 2) * SHAPE.spacing_mm[n] * signs[letter]
        wanted = ((4, -6, 10)[coordinate] + away) / 100
        along = np.moveaxis(np.asarray(found), n, 0).reshape(SHAPE.shape[n], -1)
        assert np.allclose(along, wanted[:, None], atol=1e-5)


def test_mirroring_turns_left_and_right_round_and_nothing_else(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    values = ramp(grid, np.array([1.0, 10.0, 0.1]))
    plain = np.asarray(read(tmp_path / "a", grid, values, request("SPL")))
    turned = np.asarray(read(tmp_path / "b", grid, values, request("SPL", mirrored=True)))
    assert np.allclose(turned, plain[:, :, ::-1], atol=1e-5)
    twice = np.asarray(read(tmp_path / "c", grid, values, request("SPL", mirrored=True), Jitter(mirrored=True)))
    assert np.allclose(twice, plain, atol=1e-5)


def test_a_shift_moves_the_crop_by_millimetres(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    values = ramp(grid, np.array([1.0, 0, 0]))
    plain = np.asarray(read(tmp_path / "a", grid, values, request("SPL")))
    moved = np.asarray(read(tmp_path / "b", grid, values, request("SPL"), Jitter(shift_mm=(3.0, 1.0, -2.0))))
    assert np.allclose(moved - plain, 0.03, atol=1e-5)


def test_a_zoom_stretches_around_the_centre(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    values = ramp(grid, np.array([1.0, 0, 0]))
    zoomed = np.asarray(read(tmp_path, grid, values, request("SPL"), Jitter(zoom=1.2)))
    assert np.allclose(zoomed[0, 0] - zoomed[0, 0, 3], (np.arange(7) - 3) * 1.2 / 100, atol=1e-5)


def test_outside_the_volume_lies_the_darkest_value(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    found = np.asarray(read(tmp_path, grid, np.full(grid.shape, 100, np.int16), request("SPL", centre=(900, 0, 0))))
    assert (found == -1).all()


def test_half_outside_is_padded_from_the_edge_on(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    edge = float(grid.to_patient([0, 0, grid.shape[2] - 1])[0])
    values = np.full(grid.shape, 100, np.int16)
    found = np.asarray(read(tmp_path, grid, values, request("SPL", centre=(edge, -6.0, 10.0))))
    assert (found[:, :, :4] == 1).all()
    assert (found[:, :, 6:] == -1).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_a_window_below_what_the_type_can_hold_is_no_trouble(tmp_path: Path, dtype: type[np.generic]) -> None:
    grid = make_grid("SPL")
    found = np.asarray(read(tmp_path, grid, np.full(grid.shape, 50, dtype), request("SPL", centre=(900, 0, 0))))
    assert found.dtype == np.float32
    assert found.max() <= 0


def test_a_missing_volume_is_named_by_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CropReader(str(tmp_path), SHAPE).read(request("SPL"))


def test_values_are_those_of_scipy(tmp_path: Path) -> None:
    """Turned, zoomed and mirrored, partly outside: as ``affine_transform`` of the padded volume."""
    grid = make_grid("LIP")
    draw = np.random.default_rng(5)
    values = draw.integers(0, 3000, grid.shape).astype(np.uint16)
    write_volume(tmp_path / "v/0.zarr", values, grid)
    shape = CropShape((9, 30, 33), (3.0, 1.0, 0.7))
    reader = CropReader(str(tmp_path), shape)
    padded = np.pad(values.astype(np.float32), 60, constant_values=200)
    for _ in range(12):
        x, y, z = grid.to_patient(draw.uniform(0, np.array(grid.shape) - 1))
        wish = CropRequest("v/0.zarr", (x, y, z), "LIP", 200.0, 2500.0, mirrored=bool(draw.integers(2)))
        a, b, c = draw.uniform(-25, 25, 3)
        jitter = Jitter((1.0, -2.0, 0.5), (a, b, c), zoom=draw.uniform(0.8, 1.2), gain=1.1, offset=0.05)
        matrix, first = lattice(grid, wish, shape, jitter)
        wanted = affine_transform(padded, matrix, first + 60, output_shape=shape.shape, output=np.float32, order=1)
        wanted = np.clip((wanted - 1350) / 1150 * 1.1 + 0.05, -1, 1)
        assert np.abs(reader.read(wish, jitter) - wanted).max() < 1e-4


def test_a_crop_is_read_into_the_memory_given(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    write_volume(tmp_path / "v/0.zarr", ramp(grid, np.array([1.0, 2.0, 3.0])), grid)
    batch = np.full((3, *SHAPE.shape), 9, np.float32)
    reader = CropReader(str(tmp_path), SHAPE)
    given = reader.read(request("SPL"), out=batch[1])
    assert np.shares_memory(given, batch)
    assert np.array_equal(batch[1], reader.read(request("SPL")))
    assert (batch[[0, 2]] == 9).all()


def test_a_stack_shows_each_slice_with_its_neighbours_in_millimetres(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    write_volume(tmp_path / "v/0.zarr", ramp(grid, np.array([0.0, 0.0, 1.0])), grid)
    stack = CropShape((4, 6, 7), (6.0, 1.5, 1.0), neighbours=2, neighbour_mm=1.5)
    assert stack.size == (4, 5, 6, 7)
    found = CropReader(str(tmp_path), stack).read(request("SPL"))
    heights = 10 + (np.arange(4) - 1.5)[:, None] * 6 + (np.arange(5) - 2)[None] * 1.5
    assert found.shape == stack.size
    assert np.allclose(found, heights[:, :, None, None] / 100, atol=1e-5)
    middle = CropReader(str(tmp_path), CropShape((4, 6, 7), (6.0, 1.5, 1.0))).read(request("SPL"))
    assert np.allclose(found[:, 2], middle, atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_mask_of_the_object_is_a_further_channel(tmp_path: Path, mirrored: bool) -> None:
    """The image is bright where the mask has label 3, dim where it has label 5: the channel must lie on the bright."""
    grid = make_grid("SPL")
    mask = np.zeros(grid.shape, np.uint8)
    mask[15:22, 20:27, 28:40] = 3
    mask[22:28] = 5
    image = np.where(mask == 3, 100, np.where(mask == 5, -50, -100)).astype(np.int16)
    write_volume(tmp_path / "v/0.zarr", image, grid, labels={"vertebrae": mask})
    shape = CropShape((8, 16, 20), (2.0, 1.1, 1.2), neighbours=1, neighbour_mm=2.0, mask="vertebrae")
    reader = CropReader(str(tmp_path), shape)
    x, y, z = grid.to_patient([20.0, 24.0, 33.0])
    wish = CropRequest("v/0.zarr", (x, y, z), "SPL", -100.0, 100.0, mirrored, label=3)
    found = reader.read(wish, Jitter(turn_degrees=(2, 3, -4)))
    assert found.shape == (8, 4, 16, 20)
    is_object = found[:, 3] == 1
    assert set(np.unique(found[:, 3])) == {0, 1}
    assert 0.05 < is_object.mean() < 0.5
    assert (found[:, 1][is_object] > -0.3).all()  # half the way to the other values, between two voxels
    assert (found[:, 1][~is_object] < 0.8).all()
    every = reader.read(CropRequest("v/0.zarr", (x, y, z), "SPL", -100.0, 100.0, mirrored))
    assert every[:, 3].mean() > is_object.mean()  # label 0: whatever is labelled
    assert np.unique(reader.read_mask(wish, name="vertebrae")).tolist() == [0, 3, 5]


def test_a_volume_without_the_mask_has_none_of_the_object(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    write_volume(tmp_path / "v/0.zarr", np.full(grid.shape, 7, np.int16), grid)
    found = CropReader(str(tmp_path), CropShape((2, 3, 4), (1, 1, 1), mask="vertebrae")).read(request("SPL"))
    assert found.shape == (2, 2, 3, 4)
    assert not found[:, 1].any()


def test_one_reader_serves_many_threads(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    for n in range(4):
        write_volume(tmp_path / f"v/{n}.zarr", ramp(grid, np.array([1.0, 2.0, n])), grid)
    wishes = [CropRequest(f"v/{n % 4}.zarr", (4.0, -6.0, 10.0 + n), "SPL", -100.0, 100.0) for n in range(40)]
    alone = [CropReader(str(tmp_path), SHAPE).read(wish) for wish in wishes]
    shared, wrong = CropReader(str(tmp_path), SHAPE), []

    def work(own: int) -> None:
        for n in range(own, len(wishes)):
            if not np.array_equal(shared.read(wishes[n]), alone[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reader_travels_without_what_it_has_opened(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    write_volume(tmp_path / "v/0.zarr", ramp(grid, np.array([1.0, 0, 0])), grid)
    reader = CropReader(str(tmp_path), SHAPE)
    before = reader.read(request("SPL"))
    copy = pickle.loads(pickle.dumps(reader))  # noqa: S301 - our own bytes
    assert len(pickle.dumps(reader)) < 1000
    assert np.array_equal(copy.read(request("SPL")), before)


def test_a_forked_process_opens_its_own_volumes(tmp_path: Path) -> None:
    grid = make_grid("SPL")
    write_volume(tmp_path / "v/0.zarr", ramp(grid, np.array([1.0, 0, 0])), grid)
    opened = tmp_path / "opened"

    def open_and_note(url: str) -> object:
        with opened.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return open_volume(url)

    reader = CropReader(str(tmp_path), SHAPE, open_url=open_and_note)  # type: ignore[arg-type]
    before = reader.read(request("SPL"))
    reader.read(request("SPL"))

    def child() -> None:
        os._exit(0 if np.array_equal(reader.read(request("SPL")), before) else 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert opened.read_text().split() == [str(os.getpid()), str(process.pid)]
