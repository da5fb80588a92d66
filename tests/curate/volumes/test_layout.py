"""The metadata, judged by ome-zarr-models, and the shape of the pieces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from curate.errors import Misconfigured
from curate.geometry import Grid
from curate.volumes import write_volume
from curate.volumes.layout import Description, choose_chunking, image_attributes, read_attributes

ANGLE = 0.3
OBLIQUE = np.array(
    [
        [0.0, 0.0, 0.7, -31.1],
        [4.4 * np.sin(ANGLE), 0.5 * np.cos(ANGLE), 0.0, 17.3],
        [4.4 * np.cos(ANGLE), -0.5 * np.sin(ANGLE), 0.0, 1 / 3],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def grid_of(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> Grid:
    return Grid(shape, np.diag([*spacing, 1.0]))


@pytest.mark.parametrize(
    ("spacing", "slice_axis", "chunk", "shuffle"),
    [
        ((1.0, 1.0, 1.0), 0, (32, 64, 64), "shuffle"),
        ((0.8, 0.45, 0.45), 0, (32, 64, 64), "shuffle"),
        ((4.4, 0.5, 0.5), 0, (4, 128, 128), "bitshuffle"),
        ((1.0, 0.5, 0.5), 0, (4, 128, 128), "bitshuffle"),
        ((0.5, 0.5, 4.4), 2, (128, 128, 4), "bitshuffle"),
        ((1.0, 1.0, 1.0), 1, (64, 32, 64), "shuffle"),
        ((0.5, 4.0, 0.5), 0, (32, 64, 64), "shuffle"),
    ],
)
def test_pieces_are_thin_along_thick_slices(
    spacing: tuple[float, float, float], slice_axis: int, chunk: tuple[int, int, int], shuffle: str
) -> None:
    found = choose_chunking(grid_of(spacing, (300, 400, 500)), slice_axis)
    assert (found.chunk, found.shuffle) == (chunk, shuffle)


@settings(deadline=None)
@given(shape=st.tuples(*[st.integers(1, 700)] * 3), thick=st.booleans(), slice_axis=st.integers(0, 2))
def test_one_shard_covers_the_array_in_whole_chunks_that_are_no_larger_than_the_array(
    shape: tuple[int, int, int], thick: bool, slice_axis: int
) -> None:
    found = choose_chunking(grid_of((5.0 if thick else 1.0, 1.0, 1.0), shape), slice_axis)
    for n, c, s in zip(shape, found.chunk, found.shard, strict=True):
        assert 1 <= c <= n
        assert s % c == 0
        assert n <= s < n + c


@pytest.fixture
def written(tmp_path: Path) -> zarr.Group:
    array = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8)
    mask = (array % 3).astype(np.uint8)
    write_volume(tmp_path / "0.zarr", array, Grid(array.shape, OBLIQUE), modality="MR", labels={"vertebrae": mask})
    return zarr.open_group(tmp_path / "0.zarr", mode="r")


def test_ome_zarr_models_accepts_the_image(written: zarr.Group) -> None:
    multiscale = Image.from_zarr(written).ome_attributes.multiscales[0]
    assert [(axis.name, axis.type, axis.unit) for axis in multiscale.axes] == [
        (name, "space", "millimeter") for name in "zyx"
    ]
    scale, translation = multiscale.datasets[0].coordinateTransformations
    np.testing.assert_allclose(scale.scale, (4.4, 0.5, 0.7))
    # the same place as the affine's, expressed along the volume's own axes
    assert np.linalg.norm(translation.translation) == pytest.approx(np.linalg.norm(OBLIQUE[:3, 3]))


def test_ome_zarr_models_accepts_the_labels(written: zarr.Group) -> None:
    assert Labels.from_zarr(written["labels"]).ome_attributes.labels == ["vertebrae"]
    label = ImageLabel.from_zarr(written["labels/vertebrae"])
    assert label.ome_attributes.image_label.source.image == "../../"


def test_our_attribute_alone_places_the_volume_in_the_patient(written: zarr.Group) -> None:
    ours = json.loads(json.dumps(written.attrs["spine_curate"]))
    assert ours["frame"] == "LPS"
    np.testing.assert_array_equal(ours["affine"], OBLIQUE)
    assert (ours["modality"], ours["units"], ours["axis_codes"]) == ("MR", None, "SPL")


def test_a_description_survives_json_to_the_last_bit() -> None:
    description = Description(Grid((6, 7, 8), OBLIQUE), "CT", "HU", 2, ("a", "b"))
    found = read_attributes(json.loads(json.dumps(image_attributes(description))))
    assert found == description


@pytest.mark.parametrize(
    "attributes",
    [
        None,
        {},
        {"spine_curate": 3},
        {"spine_curate": {"layout": 2, "frame": "LPS"}},
        {"spine_curate": {"layout": 1, "frame": "RAS"}},
        {"spine_curate": {"layout": 1, "frame": "LPS"}},
        {"spine_curate": {"layout": 1, "frame": "LPS", "shape": [1, 2], "affine": 4}},
        {"spine_curate": {"layout": 1, "frame": "LPS", "shape": [1, 2, 3], "affine": [["x"]]}},
    ],
)
def test_attributes_of_something_else_are_refused(attributes: object) -> None:
    with pytest.raises(Misconfigured, match="spine_curate"):
        read_attributes(attributes)
