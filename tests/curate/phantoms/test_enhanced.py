"""Enhanced objects as pydicom reads them: frames in no order, each with its own place and scale."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest

from curate.phantoms.back_study import make_back_study
from curate.phantoms.enhanced import enhanced_header, enhanced_pixels
from curate.phantoms.neck_study import make_neck_study
from curate.phantoms.people import plain_person, planted_person
from curate.phantoms.sites import Site, list_sites
from curate.phantoms.studies import AcquiredSeries, Study
from curate.phantoms.writing import series_files

SITES = [site for site in list_sites(11) if site.is_enhanced]
PERSON = plain_person(np.random.default_rng(0), "F0001")


def study(task: str, site: Site) -> Study:
    make = make_neck_study if task == "cervical" else make_back_study
    return make(3, site, 1, matrix=32)


def images(made: Study, series: AcquiredSeries, site: Site) -> list[pydicom.Dataset]:
    files, _ = series_files(made, series, site, PERSON, 3)
    return [pydicom.dcmread(io.BytesIO(file.content)) for file in files]


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_every_slice_is_a_frame_at_its_place_with_its_values(task: str, site: Site) -> None:
    made = study(task, site)
    for series in made.series:
        (image,) = images(made, series, site)
        stored = image.pixel_array
        slices = {int(n): (stack, k) for stack in series.stacks for k, n in enumerate(stack.numbers)}
        assert sorted(slices) == list(range(1, image.NumberOfFrames + 1))
        for number, groups in enumerate(image.PerFrameFunctionalGroupsSequence, start=1):
            stack, k = slices[number]
            place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            np.testing.assert_allclose(place, stack.grid.to_patient([k, 0, 0]), atol=1e-6)
            planes = np.array(groups.PlaneOrientationSequence[0].ImageOrientationPatient, float)
            np.testing.assert_allclose(planes[:3], stack.grid.directions[:, 2], atol=1e-6)
            np.testing.assert_allclose(planes[3:], stack.grid.directions[:, 1], atol=1e-6)
            spacing = np.array(groups.PixelMeasuresSequence[0].PixelSpacing, float)
            np.testing.assert_allclose(spacing, stack.grid.spacing_mm[1:], atol=1e-6)
            scale = groups.PixelValueTransformationSequence[0]
            values = stored[number - 1] * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
            np.testing.assert_array_equal(values, stack.pixels[k].astype(int) + series.facts.intercept)


def test_frames_lie_in_no_order_and_scales_change_between_them() -> None:
    made = study("cervical", SITES[0])
    (image,) = images(made, made.series[0], SITES[0])
    heights = [
        float(g.PlanePositionSequence[0].ImagePositionPatient[2]) for g in image.PerFrameFunctionalGroupsSequence
    ]
    assert np.abs(np.sign(np.diff(heights)).sum()) < len(heights) / 2
    scales = [g.PixelValueTransformationSequence[0] for g in image.PerFrameFunctionalGroupsSequence]
    assert len({float(scale.RescaleSlope) for scale in scales}) == 2
    assert len({float(scale.RescaleIntercept) for scale in scales}) == 3


def test_nothing_of_the_geometry_stands_outside_the_functional_groups() -> None:
    header = enhanced_header(SITES[0], PERSON, study("lumbar", SITES[0]).series[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "EchoTime"):
        assert keyword not in header


def test_stacks_of_an_axial_series_are_stacks_of_the_object() -> None:
    series = study("lumbar", SITES[0]).series[-1]
    header = enhanced_header(SITES[0], PERSON, series)
    contents = [groups.FrameContentSequence[0] for groups in header.PerFrameFunctionalGroupsSequence]
    assert {content.StackID for content in contents} == {"1", "2", "3", "4", "5"}
    assert len({tuple(content.DimensionIndexValues) for content in contents}) == len(contents)


def test_comments_of_frames_give_the_patient_away_where_asked() -> None:
    made = study("cervical", SITES[0])
    person = planted_person(np.random.default_rng(1), "F0001")
    (file,), planted = series_files(made, made.series[0], SITES[0], person, 3)
    comments = {one.value for one in planted if one.place.endswith("(0020,9158)")}
    assert comments
    assert all(value.encode() in file.content for value in comments)


def test_equal_arguments_give_equal_objects() -> None:
    first, second = (study("cervical", SITES[1]) for _ in range(2))
    assert np.array_equal(enhanced_pixels(first.series[0]), enhanced_pixels(second.series[0]))
    files = [series_files(one, one.series[0], SITES[1], PERSON, 3)[0][0].content for one in (first, second)]
    assert files[0] == files[1]
