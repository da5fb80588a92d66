"""Volumes as places in the patient, objects, and where objects lie on average."""

from __future__ import annotations

import numpy as np
import pytest

from curate.loading.places import estimate_offsets, largest, objects_by_study, places_by_study, sagittal
from curate.manifests import schemas
from tests.support.training_store import AXIAL, grid_around, table


def volume(
    study: str,
    uri: str,
    *,
    centre: tuple[float, float, float] = (0, 0, 0),
    series_type: str | None = None,
    slices: int = 11,
) -> dict[str, object]:
    grid = grid_around(AXIAL, (slices, 21, 31), np.array(centre, dtype=float))
    return {
        "study_key": study,
        "series_key": f"{study}.1",
        "stack": 0,
        "series_type": series_type,
        "uri": uri,
        "shape": list(grid.shape),
        "affine": grid.affine.ravel().tolist(),
        "intensity_p01": 5.0,
        "intensity_p99": 905.0,
    }


def places(*rows: dict[str, object], window: tuple[float, float] | None = None) -> list:  # type: ignore[type-arg]
    return places_by_study(table(list(rows), schemas.VOLUMES), window=window)["s"]


def test_a_place_knows_its_middle_and_how_far_off_a_point_is() -> None:
    (place,) = places(volume("s", "a", centre=(5, 6, 7)))
    assert place.centre_mm == pytest.approx([5, 6, 7])
    assert place.mm_outside(np.array([5.0, 6, 7])) == 0
    assert place.mm_outside(np.array([5.0, 6, 7 + 7.5])) == 0  # the middle of the last slice
    assert place.mm_outside(np.array([5.0, 6, 7 + 7.5 + 4])) == pytest.approx(4)
    assert place.mm_outside(np.array([5 - 22.5 - 3, 6, 7 + 7.5 + 4])) == pytest.approx(5)


def test_mr_is_shown_by_its_own_percentiles_and_ct_by_a_window() -> None:
    assert [(p.low, p.high) for p in places(volume("s", "a"))] == [(5, 905)]
    assert [(p.low, p.high) for p in places(volume("s", "a"), window=(-200, 1000))] == [(-200, 1000)]


def test_volumes_of_a_study_come_sorted_whatever_the_table_does() -> None:
    assert [p.uri for p in places(volume("s", "b"), volume("t", "c"), volume("s", "a"))] == ["a", "b"]


def test_the_reference_is_the_largest_or_the_sagittal_volume() -> None:
    t1, t2 = volume("s", "a", series_type="Sagittal T1"), volume("s", "b", series_type="Sagittal T2/STIR")
    axial = volume("s", "c", series_type="Axial T2", slices=99)
    found = largest(places(t1, t2, axial))
    assert found is not None
    assert found.uri == "c"
    assert largest([]) is None
    by_type = [sagittal(places(*rows)) for rows in ((t1, t2, axial), (t1, axial), (axial,))]
    assert [None if place is None else place.uri for place in by_type] == ["b", "a", None]


def thing(
    study: str, name: str, centre: tuple[float, float, float] | None, voxels: int = 1, stack: int = 0
) -> dict[str, object]:
    return {
        "study_key": study,
        "series_key": "x",
        "stack": stack,
        "object": name,
        "centroid_mm": None if centre is None else list(centre),
        "voxels": voxels,
    }


def test_the_largest_of_several_objects_of_one_name_counts() -> None:
    rows = [
        thing("s", "C1", (1, 1, 1), 5),
        thing("s", "C1", (2, 2, 2), 9),
        thing("s", "C2", None),
        thing("t", "C1", (3, 3, 3)),
    ]
    found = objects_by_study(table(rows, schemas.OBJECTS))
    assert found["s"]["C1"]["centroid_mm"] == [2, 2, 2]
    assert set(found["s"]) == {"C1"}
    again = objects_by_study(table(rows[::-1], schemas.OBJECTS))
    assert again["s"] == found["s"]


def test_offsets_are_means_over_the_studies_given() -> None:
    rows = [thing("s", "C1", (1, 2, 3)), thing("t", "C1", (13, 2, 3)), thing("u", "C1", (900, 0, 0))]
    objects = objects_by_study(table(rows, schemas.OBJECTS))
    references = {
        key: places_by_study(table([volume(key, "a", centre=centre)], schemas.VOLUMES), window=None)[key][0]
        for key, centre in {"s": (0, 0, 0), "t": (10, 0, 0)}.items()
    }
    offsets = estimate_offsets(objects, references)
    assert offsets["C1"] == pytest.approx([2, 2, 3])  # u has no volume to measure from
