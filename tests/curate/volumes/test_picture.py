"""Pictures, judged by the colour of their pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from curate.errors import Misconfigured
from curate.geometry import Grid, orient
from curate.volumes.panel import BOX_COLOUR, COLOURS, MARGIN, POINT_COLOUR, colour_of
from curate.volumes.picture import LONGEST, three_planes

# 40 voxels of 2 mm up, 80 of 1 mm back, 64 of 1 mm left: 6.4 pixels a millimetre
GRID = Grid((40, 80, 64), np.array([[0, 0, 1.0, -32], [0, 1, 0, -40], [2, 0, 0, 5], [0, 0, 0, 1]]))
SCALE = LONGEST / 80
AXIAL, SAGITTAL, CORONAL = range(3)
WIDTHS = round(64 * SCALE), round(80 * SCALE), round(64 * SCALE)
HEIGHTS = round(80 * SCALE), round(80 * SCALE), round(80 * SCALE)
AT = 20, 40, 32
OTHERS = ["SPL", "IAR", "LIP", "PIL", "RSA", "AIL"]  # orders in which the same voxels may be stored


def dark() -> NDArray[np.int16]:
    return np.full(GRID.shape, -1024, np.int16)


def panel(picture: Image.Image, number: int) -> NDArray[np.uint8]:
    """The pixels of a plane without its margins."""
    left = sum(width + 2 * MARGIN for width in WIDTHS[:number]) + MARGIN
    pixels = np.asarray(picture)[MARGIN : MARGIN + HEIGHTS[number], left : left + WIDTHS[number]]
    return np.ascontiguousarray(pixels)


def find(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.int64]:
    """(n, 2) of (x, y) where that colour is."""
    return np.argwhere((pixels == colour).all(axis=-1))[:, ::-1]


def bright(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean (x, y) of what is white."""
    return find(pixels, (255, 255, 255)).mean(axis=0)


def draw(array: NDArray[Any], code: str = "SPL", **options: Any) -> Image.Image:
    """As ``three_planes`` draws it when the same voxels are stored in another order."""
    view, grid = orient(array, GRID, code)
    at = tuple(int(n) for n in np.rint(grid.to_index(GRID.to_patient(options.pop("at", AT)))))
    if "masks" in options:
        options["masks"] = {name: orient(mask, GRID, code)[0] for name, mask in options["masks"].items()}
    for name in ("boxes", "points"):
        options[name] = [grid.to_index(GRID.to_patient(each)) for each in options.get(name, ())]
    return three_planes(view, grid, units="HU", at=at, **options)


@pytest.mark.parametrize("code", OTHERS)
def test_right_is_left_front_is_up_and_head_is_up_however_the_volume_is_stored(code: str) -> None:
    array = dark()
    array[30:36, 10:20, 50:60] = 3000  # towards the head, the front and the patient's left
    x, y = bright(panel(draw(array, code, at=(33, 15, 55)), AXIAL))
    assert x / WIDTHS[AXIAL] == pytest.approx(55 / 64, abs=0.02)  # the patient's left on the viewer's right
    assert y / HEIGHTS[AXIAL] == pytest.approx(15 / 80, abs=0.02)  # front up
    x, y = bright(panel(draw(array, code, at=(33, 15, 55)), SAGITTAL))
    assert x / WIDTHS[SAGITTAL] == pytest.approx(15 / 80, abs=0.02)  # front on the left
    assert y / HEIGHTS[SAGITTAL] == pytest.approx(1 - 33 / 40, abs=0.02)  # head up
    x, y = bright(panel(draw(array, code, at=(33, 15, 55)), CORONAL))
    assert x / WIDTHS[CORONAL] == pytest.approx(55 / 64, abs=0.02)
    assert y / HEIGHTS[CORONAL] == pytest.approx(1 - 33 / 40, abs=0.02)


@pytest.mark.parametrize("code", OTHERS)
def test_the_picture_is_the_same_however_the_volume_is_stored(code: str) -> None:
    array = np.random.default_rng(1).integers(-1000, 2000, GRID.shape).astype(np.int16)
    mask = np.zeros(GRID.shape, np.uint8)
    mask[15:25, 30:50, 20:40] = 2
    options: dict[str, Any] = {"masks": {"bone": mask}, "points": [(20, 30, 30)]}
    height = MARGIN * 2 + max(HEIGHTS)  # below is the caption, which says the order
    expected, found = (np.asarray(draw(array, each, **options))[:height] for each in ("SPL", code))
    np.testing.assert_array_equal(expected, found)


def test_a_millimetre_is_as_long_in_every_plane_and_direction() -> None:
    array = dark()
    array[10:20, 30:50, 22:42] = 3000  # a cube of 20 mm
    picture = draw(array, at=(15, 40, 32))
    for number in (AXIAL, SAGITTAL, CORONAL):
        white = (panel(picture, number) > 128).all(axis=-1)
        assert np.ptp(np.flatnonzero(white.any(axis=0))) == pytest.approx(20 * SCALE, abs=SCALE * 1.5)
        assert np.ptp(np.flatnonzero(white.any(axis=1))) == pytest.approx(20 * SCALE, abs=SCALE * 1.5)


def letter_pixels(picture: Image.Image, x: int, y: int) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L"))[y - 9 : y + 9, x - 9 : x + 9]


@pytest.mark.parametrize("code", OTHERS)
def test_letters_stand_at_the_edges_that_the_affine_says(code: str) -> None:
    from PIL import ImageDraw, ImageFont

    picture = draw(dark(), code)
    left = 0
    for number, (west, east, north, south) in enumerate(("RLAP", "APSI", "RLSI")):
        wide, high = WIDTHS[number], HEIGHTS[number]
        middle = left + MARGIN + wide // 2, MARGIN + high // 2
        half = MARGIN // 2
        places = {
            (left + half, middle[1]): west,
            (left + MARGIN + wide + half, middle[1]): east,
            (middle[0], half): north,
            (middle[0], MARGIN + high + half): south,
        }
        for (x, y), letter in places.items():
            expected = Image.new("L", (18, 18))
            font = ImageFont.load_default(13)
            ImageDraw.Draw(expected).text((9, 9), letter, fill=210, font=font, anchor="mm")
            np.testing.assert_array_equal(letter_pixels(picture, x, y), np.asarray(expected), err_msg=letter)
        left += wide + 2 * MARGIN


def test_an_oblique_volume_is_lettered_by_the_nearest_axes_and_never_turned() -> None:
    angle = np.deg2rad(30)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ GRID.affine[:3, :3]
    array = np.random.default_rng(1).integers(-1000, 2000, GRID.shape).astype(np.int16)
    found = three_planes(array, Grid(GRID.shape, affine), units="HU", at=AT)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(three_planes(array, GRID, units="HU", at=AT)))


def test_the_window_decides_what_is_black_and_white() -> None:
    array = dark()
    array[:, :, 32:] = 100
    plain = panel(draw(array, window=(100.0, 400.0)), AXIAL)
    assert plain[10, -40].tolist() == [128] * 3
    assert plain[10, 40].tolist() == [0] * 3
    assert panel(draw(array, window=(-300.0, 400.0)), AXIAL)[10, -40].tolist() == [255] * 3


def test_the_cross_runs_where_the_planes_meet_and_leaves_the_place_itself_free() -> None:
    pixels = panel(draw(dark(), at=(10, 20, 48)), AXIAL)
    x, y = round(48.5 * SCALE), round(20.5 * SCALE)
    column = np.flatnonzero(pixels[5, :, 0])
    row = np.flatnonzero(pixels[:, 5, 0])
    assert column.tolist() == [pytest.approx(x, abs=1)]
    assert row.tolist() == [pytest.approx(y, abs=1)]
    assert not pixels[y - 8 : y + 8, x - 8 : x + 8].any()


def test_masks_are_outlines_in_the_colour_of_their_label() -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[15:25, 30:50, 10:20] = 1
    mask[15:25, 30:50, 40:50] = 3
    pixels = panel(draw(dark(), masks={"bone": mask}), AXIAL)
    for label, (low, high) in {1: (10, 20), 3: (40, 50)}.items():
        found = find(pixels, colour_of(label))
        assert found[:, 0].min() == pytest.approx(low * SCALE, abs=1)
        assert found[:, 0].max() == pytest.approx(high * SCALE - 1, abs=1)
        assert found[:, 1].min() == pytest.approx(30 * SCALE, abs=1)
        assert found[:, 1].max() == pytest.approx(50 * SCALE - 1, abs=1)
        middle = ((low + high) / 2 * SCALE, 35 * SCALE)
        assert np.abs(found - middle).max(axis=1).min() > 10  # empty inside
    assert len(find(pixels, colour_of(2))) == 0


def test_labels_beside_each_other_are_told_apart() -> None:
    assert len(set(COLOURS)) == len(COLOURS)
    assert all(colour_of(n) != colour_of(n + 1) for n in range(1, 256))
    assert not {BOX_COLOUR, POINT_COLOUR} & set(COLOURS)


def test_the_legend_names_the_labels_that_a_plane_shows_and_no_others() -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[18:22, 30:50, 10:20] = 1
    mask[0, 0, 0] = 5
    plain = np.asarray(draw(dark(), masks={"bone": mask}))
    below = plain[MARGIN * 2 + max(HEIGHTS) :]
    assert len(find(below, colour_of(1))) > 20
    assert len(find(below, colour_of(5))) == 0
    named = np.asarray(draw(dark(), masks={"bone": mask}, names={"bone": {1: "C1"}}))
    assert (named != plain).any()
    assert named.shape == plain.shape


BOX = np.array([(20, 30, 10), (20, 30, 40), (20, 60, 40), (20, 60, 10)], np.float64)


def shifted(slices: float) -> NDArray[np.float64]:
    return BOX + np.array((slices, 0, 0))


@pytest.mark.parametrize("code", OTHERS)
def test_a_box_is_drawn_where_its_corners_are_on_the_plane_that_it_lies_in(code: str) -> None:
    picture = draw(dark(), code, boxes=[BOX])
    found = find(panel(picture, AXIAL), BOX_COLOUR)
    np.testing.assert_allclose(found.min(axis=0), (10.5 * SCALE, 30.5 * SCALE), atol=2)
    np.testing.assert_allclose(found.max(axis=0), (40.5 * SCALE, 60.5 * SCALE), atol=2)
    for other in (SAGITTAL, CORONAL):
        assert len(find(panel(picture, other), BOX_COLOUR)) == 0


@pytest.mark.parametrize(("away", "is_there"), [(0.0, True), (0.5, True), (-0.5, True), (0.6, False), (-1.0, False)])
def test_boxes_and_points_show_within_half_a_slice(away: float, is_there: bool) -> None:
    picture = draw(dark(), boxes=[shifted(away)], points=[(20 + away, 10, 10)])
    assert (len(find(panel(picture, AXIAL), BOX_COLOUR)) > 0) is is_there
    assert (len(find(panel(picture, AXIAL), POINT_COLOUR)) > 0) is is_there


@pytest.mark.parametrize("code", OTHERS)
def test_a_point_is_a_ring_around_its_place_on_every_plane_through_it(code: str) -> None:
    picture = draw(dark(), code, points=[AT])
    k, j, i = (n + 0.5 for n in AT)
    places = ((i * SCALE, j * SCALE), (j * SCALE, (40 - k) * 2 * SCALE), (i * SCALE, (40 - k) * 2 * SCALE))
    for number, place in enumerate(places):
        found = find(panel(picture, number), POINT_COLOUR)
        np.testing.assert_allclose(found.mean(axis=0), place, atol=1.5)
        assert np.linalg.norm(found - place, axis=1).min() > 2


@pytest.mark.parametrize(("i", "side"), [(10, 1), (60, -1)])
def test_the_name_of_a_point_stands_beside_it_and_inside_the_plane(i: int, side: int) -> None:
    points = [(20, 40, i), (10, 40, i)]  # the second one lies on another plane
    plain = panel(draw(dark(), points=points), AXIAL).astype(int)
    named = panel(draw(dark(), points=points, point_names=["L4/L5", "L1/L2"]), AXIAL)
    text = np.argwhere((named != plain).any(axis=-1))[:, ::-1]
    x, y = (i + 0.5) * SCALE, 40.5 * SCALE
    assert len(text) > 50
    assert ((text[:, 0] - x) * side > 0).all()
    assert np.abs(text[:, 1] - y).max() < 25
    assert np.abs(text[:, 0] - x).max() < 60


def test_a_name_for_every_point_or_none_at_all() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw(dark(), points=[AT], point_names=["a", "b"])


def test_without_a_place_the_first_box_is_shown() -> None:
    picture = three_planes(dark(), GRID, units="HU", boxes=[shifted(5), BOX])
    assert len(find(panel(picture, AXIAL), BOX_COLOUR)) > 0
    np.testing.assert_array_equal(
        panel(picture, AXIAL), panel(draw(dark(), at=(25, 45, 25), boxes=[shifted(5)]), AXIAL)
    )


def test_the_picture_grows_for_what_the_line_below_has_to_say() -> None:
    short = draw(dark())
    long = draw(dark(), flags=["gantry_tilt", "missing_slices", "padding_replaced", "uneven_spacing"] * 6)
    assert long.width == short.width
    assert long.height > short.height
    assert (short.mode, long.mode) == ("RGB", "RGB")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 64, 64), (2, 300, 3), (500, 2, 2)])
def test_volumes_of_any_shape_have_a_picture(shape: tuple[int, int, int]) -> None:
    picture = three_planes(np.zeros(shape, np.uint16), Grid(shape, np.diag([1.0, 1.0, 1.0, 1.0])), units="stored")
    assert picture.width >= 3 * 3 * MARGIN
    assert picture.height > MARGIN * 2


@pytest.mark.parametrize("at", [(40, 0, 0), (0, -1, 0), (0, 0, 64), (0, 0)])
def test_a_place_outside_is_refused_with_what_is_inside(at: tuple[int, ...]) -> None:
    with pytest.raises(Misconfigured, match=r"0\.\.39, 0\.\.79, 0\.\.63"):
        three_planes(dark(), GRID, units="HU", at=at)


def test_a_window_without_width_and_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Misconfigured, match="width"):
        three_planes(dark(), GRID, units="HU", window=(0.0, 0.0))
    with pytest.raises(ValueError, match="shape"):
        three_planes(dark()[1:], GRID, units="HU")
    with pytest.raises(ValueError, match="shape"):
        three_planes(dark(), GRID, units="HU", masks={"a": np.zeros((1, 2, 3), np.uint8)})
