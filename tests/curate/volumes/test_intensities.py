"""Histograms of a cohort against numpy on all voxels at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.volumes.intensities import (
    MOST_BINS,
    QUANTILES,
    Bins,
    air_below,
    choose_bins,
    count_foreground,
    describe_counts,
)


@given(low=st.integers(-40_000, 40_000), reach=st.integers(0, 65_535))
def test_bins_cover_whole_numbers_and_are_not_too_many(low: int, reach: int) -> None:
    bins = choose_bins(low, low + reach, whole=True)
    assert bins.low <= low
    assert low + reach < bins.low + bins.width * bins.count
    assert bins.count <= MOST_BINS + 1
    assert bins.width >= 1
    assert math.log2(bins.width).is_integer()


@given(low=st.floats(-1e6, 1e6), reach=st.floats(1e-3, 1e6))
def test_bins_cover_fractions_too(low: float, reach: float) -> None:
    bins = choose_bins(low, low + reach, whole=False)
    assert bins.low <= low
    assert low + reach <= bins.low + bins.width * bins.count
    assert bins.count <= MOST_BINS + 1


def test_a_ct_has_a_bin_for_each_value() -> None:
    bins = choose_bins(-1024, 3071, whole=True)
    assert bins == Bins(-1024.0, 1.0, 4096)
    assert (bins.values[0], bins.values[-1]) == (-1024.0, 3071.0)


def test_wider_bins_stand_for_their_middle() -> None:
    assert Bins(0.0, 4.0, 3).values.tolist() == [2.0, 6.0, 10.0]


@pytest.mark.parametrize("bad", [(0.0, math.inf), (math.nan, 1.0), (2.0, 1.0)])
def test_a_range_that_is_none_is_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="finite range"):
        choose_bins(*bad, whole=True)


def test_values_of_one_kind_alone_have_a_bin() -> None:
    for whole in (True, False):
        bins = choose_bins(7, 7, whole=whole)
        assert count_foreground(np.full((2, 2, 2), 7), bins, 0.0).sum() == 8


@given(seed=st.integers(0, 1000), cut=st.integers(1, 19))
def test_what_is_counted_in_parts_is_what_is_counted_at_once(seed: int, cut: int) -> None:
    volume = np.random.default_rng(seed).integers(-1024, 2000, (20, 5, 5)).astype(np.int16)
    bins = choose_bins(-1024, 2000, whole=True)
    parts = count_foreground(volume[:cut], bins, -500) + count_foreground(volume[cut:], bins, -500)
    assert np.array_equal(parts, count_foreground(volume, bins, -500))


def test_numbers_are_those_of_numpy_on_the_voxels() -> None:
    volume = np.random.default_rng(3).normal(40, 200, (30, 40, 50)).round().clip(-1024, 3071).astype(np.int16)
    bins = choose_bins(volume.min(), volume.max(), whole=True)
    found = describe_counts(count_foreground(volume, bins, -500), bins)
    inside = volume[volume > -500].astype(np.float64)
    assert found.voxels == inside.size
    assert found.mean == pytest.approx(inside.mean(), rel=1e-12)
    assert found.std == pytest.approx(inside.std(), rel=1e-12)
    for name, share in QUANTILES.items():
        assert found.quantiles[name] == np.quantile(inside, share, method="inverted_cdf")


def test_wide_bins_are_right_to_their_width() -> None:
    volume = np.random.default_rng(4).integers(0, 60_000, (30, 40, 50)).astype(np.uint16)
    bins = choose_bins(0, 60_000, whole=True)
    assert bins.width == 16
    found = describe_counts(count_foreground(volume, bins, 0.0), bins)
    inside = volume[volume > 0].astype(np.float64)
    assert found.mean == pytest.approx(inside.mean(), abs=bins.width)
    assert found.std == pytest.approx(inside.std(), abs=bins.width)
    for name, share in QUANTILES.items():
        assert found.quantiles[name] == pytest.approx(np.quantile(inside, share), abs=bins.width)


def test_air_is_left_out_by_the_rule_of_its_units() -> None:
    assert air_below("HU", -1024, 1500) == -500
    assert air_below("stored", 100, 1100) == 200
    volume = np.array([[[-1000, -500, -499, 40]]], dtype=np.int16)
    assert count_foreground(volume, choose_bins(-1000, 40, whole=True), air_below("HU", -1000, 40)).sum() == 2


def test_nothing_but_air_has_no_numbers() -> None:
    bins = choose_bins(-1000, 0, whole=True)
    found = describe_counts(count_foreground(np.full((2, 2, 2), -1000, np.int16), bins, -500), bins)
    assert found.voxels == 0
    assert math.isnan(found.mean)
    assert all(math.isnan(value) for value in found.quantiles.values())
