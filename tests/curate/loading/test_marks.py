"""Where readers saw a finding, in millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from curate.loading.marks import Mark, marks_by_study, read_marks, share_out
from curate.manifests import schemas
from tests.support.training_store import table

FLAT = Mark((10.0, 20.0, 30.0), (4.0, 0, 0), (0, 6.0, 0), 1.0)


@pytest.mark.parametrize(
    ("point", "is_inside"),
    [
        ((12, 23, 30), True),
        ((10, 20, 31), True),
        ((14, 26, 29), True),
        ((9.9, 23, 30), False),
        ((12, 26.1, 30), False),
        ((12, 23, 31.1), False),
    ],
)
def test_a_mark_is_a_slab_around_its_rectangle(point: tuple[float, float, float], is_inside: bool) -> None:
    assert FLAT.holds(np.array([point], dtype=float), slack_mm=1e-9).tolist() == [is_inside]


def test_slack_widens_every_face() -> None:
    points = np.array([[9.0, 23, 30], [12, 27, 30], [12, 23, 32], [8.9, 23, 30]])
    assert FLAT.holds(points, slack_mm=1.0).tolist() == [True, True, True, False]


def test_a_turned_mark_holds_what_the_flat_one_did() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    points = np.random.default_rng(1).uniform([8, 18, 27], [16, 28, 33], (500, 3))
    corner, along, across = (tuple((turn @ np.array(v)).tolist()) for v in (FLAT.corner, FLAT.along, FLAT.across))
    turned = Mark(corner, along, across, FLAT.half_depth)
    expected = FLAT.holds(points, slack_mm=0.3)
    assert expected.any()
    assert not expected.all()
    assert np.array_equal(turned.holds(points @ turn.T, slack_mm=0.3), expected)


def test_a_mark_without_height_is_a_line_and_not_a_failure() -> None:
    line = Mark((0.0, 0, 0), (4.0, 0, 0), (0.0, 0, 0), 1.0)
    assert line.holds(np.array([[2.0, 0, 0]]), slack_mm=0.5).tolist() == [True]


def box(study: str, corners: list[list[float]] | None, stack: int = 0) -> dict[str, object]:
    flat = None if corners is None else [value for corner in corners for value in corner]
    return {"study_key": study, "series_key": "ct", "stack": stack, "instance_number": 3, "corners_mm": flat}


CORNERS = [[10.0, 20, 30], [14.0, 20, 30], [14.0, 26, 30], [10.0, 26, 30]]


def test_boxes_become_marks_as_deep_as_their_slices() -> None:
    source = np.diag([2.0, 0.5, 0.5, 1.0])[[2, 1, 0, 3]]  # slices 2 mm apart along z
    volumes = table([{"series_key": "ct", "stack": 0, "source_affine": source.ravel().tolist()}], schemas.VOLUMES)
    boxes = table([box("s", CORNERS), box("s", None), box("other", CORNERS, stack=5)], schemas.BOXES)
    assert read_marks(boxes, volumes) == {"s": [FLAT]}
    assert marks_by_study({"boxes": boxes, "volumes": volumes}) == {"s": [FLAT]}
    assert marks_by_study({"volumes": volumes}) == {}


def test_marks_go_to_the_nearest_positive_place() -> None:
    centres = [np.array([12.0, 23, 60]), np.array([12.0, 23, 40]), np.array([12.0, 23, 31]), None]
    assert share_out([FLAT], centres, [True, True, False, True]) == ((), (FLAT,), (), ())
    assert share_out([FLAT], centres, [True, False, False, True]) == ((FLAT,), (), (), ())


def test_marks_without_a_positive_place_are_left_out() -> None:
    assert share_out([FLAT], [np.zeros(3), None], [False, True]) == ((), ())
    assert share_out([], [np.zeros(3)], [True]) == ((),)
