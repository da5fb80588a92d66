"""What a spine looks like: finds that contradict the others are doubted, and what was not found is placed by them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.recipes.template import locate

TEMPLATE = np.array([[0.0, 0.5 * n, -16.0 * n] for n in range(7)])
SHIFT = np.array([12.0, -7.0, 30.0])


def answers(seen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    confidence = np.ones(7) if seen is None else seen.astype(float)
    return np.concatenate([TEMPLATE + SHIFT, confidence[:, None]], axis=1)


def test_what_was_found_stands() -> None:
    located = locate(answers(), TEMPLATE)
    assert located.places_mm == pytest.approx(TEMPLATE + SHIFT)
    assert located.is_found.all()
    assert not located.doubted.any()


def test_what_was_not_found_is_placed_by_the_others() -> None:
    seen = np.array([True, True, False, True, True, False, False])
    located = locate(answers(seen), TEMPLATE)
    assert located.is_found.tolist() == seen.tolist()
    assert located.is_known.all()
    assert located.places_mm == pytest.approx(TEMPLATE + SHIFT)


def test_the_nearest_neighbours_say_most() -> None:
    bent = answers()
    bent[:3, 0] += 9
    bent[4, 3] = 0
    assert locate(bent, TEMPLATE).places_mm[4, 0] == pytest.approx(SHIFT[0], abs=1)


def test_a_find_that_contradicts_all_others_is_doubted_and_replaced() -> None:
    wrong = answers()
    wrong[3, :3] += [0, 0, 80]
    located = locate(wrong, TEMPLATE)
    assert located.doubted.tolist() == [False, False, False, True, False, False, False]
    assert not located.is_found[3]
    assert located.places_mm[3] == pytest.approx(TEMPLATE[3] + SHIFT)


def test_a_spine_of_another_size_is_not_doubted() -> None:
    larger = answers()
    larger[:, :3] = TEMPLATE * 1.1 + SHIFT
    assert not locate(larger, TEMPLATE).doubted.any()


def test_nothing_found_is_nothing_known() -> None:
    located = locate(answers(np.zeros(7, dtype=bool)), TEMPLATE)
    assert not located.is_known.any()
    assert not located.is_found.any()


def test_an_object_without_a_template_stands_alone() -> None:
    unknown = TEMPLATE.copy()
    unknown[2] = np.nan
    located = locate(answers(), unknown)
    assert located.places_mm[2] == pytest.approx(TEMPLATE[2] + SHIFT)
    seen = np.ones(7, dtype=bool)
    seen[2] = False
    assert not locate(answers(seen), unknown).is_known[2]


def test_what_is_never_looked_for_follows_from_the_others_and_counts_as_found() -> None:
    derived = answers()
    derived[5] = [0, 0, 0, -1]
    located = locate(derived, TEMPLATE)
    assert located.is_found.all()
    assert located.places_mm[5] == pytest.approx(TEMPLATE[5] + SHIFT)
    alone = answers(np.zeros(7, dtype=bool))
    alone[5, 3] = -1
    assert not locate(alone, TEMPLATE).is_found.any()


def test_two_that_contradict_each_other_are_both_kept() -> None:
    two = answers(np.array([True, False, False, False, False, False, True]))
    two[6, :3] += 90
    assert locate(two, TEMPLATE).is_found.sum() == 2
