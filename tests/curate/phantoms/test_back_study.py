from __future__ import annotations

import numpy as np
import pytest

from curate.manifests.schemas import LUMBAR_GRADES
from curate.phantoms.back_study import make_back_study
from curate.phantoms.sites import list_sites
from curate.phantoms.studies import Study


@pytest.fixture(scope="module")
def studies() -> list[Study]:
    return [make_back_study(1, site, n, matrix=64) for n, site in enumerate(list_sites(4))]


def test_every_study_has_the_three_series_types(studies: list[Study]) -> None:
    for study in studies:
        assert {one.series_type for one in study.series} == {"Sagittal T1", "Sagittal T2/STIR", "Axial T2"}


def test_axial_stacks_are_five_and_no_two_are_parallel(studies: list[Study]) -> None:
    for study in studies:
        stacks = [stack for one in study.series if one.series_type == "Axial T2" for stack in one.stacks]
        assert len(stacks) == 5
        normals = [np.cross(stack.grid.directions[:, 2], stack.grid.directions[:, 1]) for stack in stacks]
        for n, first in enumerate(normals):
            assert all(np.degrees(np.arccos(min(1, first @ other))) > 0.3 for other in normals[n + 1 :])


def test_one_site_gives_its_axial_stacks_in_two_series(studies: list[Study]) -> None:
    counts = [sum(one.series_type == "Axial T2" for one in study.series) for study in studies]
    assert counts == [1, 2, 1, 1]


def test_instance_numbers_of_a_series_are_distinct(studies: list[Study]) -> None:
    for study in studies:
        for one in study.series:
            numbers = np.concatenate([stack.numbers for stack in one.stacks])
            assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_there_is_a_point_for_every_grade_and_none_for_a_blank(studies: list[Study]) -> None:
    for study in studies:
        row = next(values for table, values in study.label_rows if table == "train")
        graded = [cell for cell in row[1:] if cell]
        assert set(graded) <= set(LUMBAR_GRADES)
        assert len(study.marks) == len(graded) == sum(t == "train_label_coordinates" for t, _ in study.label_rows)


def test_points_lie_on_the_right_series_type_near_the_anatomy(studies: list[Study]) -> None:
    wanted = {"spinal": "Sagittal T2/STIR", "neural": "Sagittal T1", "subarticular": "Axial T2"}
    for study in studies:
        types = {one.name: one.series_type for one in study.series}
        for mark in study.marks:
            assert types[mark.series] == next(t for word, t in wanted.items() if word in mark.name)
            assert np.linalg.norm(np.subtract(mark.point_mm, mark.anatomy_mm)) <= 2.3  # half a slice


def test_left_points_have_the_larger_lps_x(studies: list[Study]) -> None:
    for study in studies:
        where = {mark.name: mark.point_mm[0] for mark in study.marks}
        pairs = [(x, where.get(name.replace("left_", "right_"))) for name, x in where.items() if name[:5] == "left_"]
        assert len(pairs) > 5
        assert all(right is None or left > right for left, right in pairs)


def test_a_challenge_layout_names_studies_and_series_by_numbers(studies: list[Study]) -> None:
    assert studies[3].name.isdigit()
    assert all(one.name.isdigit() for one in studies[3].series)
    assert studies[0].name.startswith("2.25.")
