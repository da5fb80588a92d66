"""No string planted in any hostile file is left, and good files come through: the bench's corpus as a test."""

from __future__ import annotations

import numpy as np
import pytest

from curate.deid import load_profile
from tests.bench.deid.hostile import Result, cases, run
from tests.bench.deid.letters import burn, ink, is_seen
from tests.bench.deid.plants import survives

HEADERS = [case for case in cases() if not case.boxes]
NEEDED_CLASSES = {
    "meta and preamble",
    "tags in functional groups",
    "tags newer than 2024",
    "SR, graphics, PDF, icon",
    "descriptors",
    "overlays and curves",
    "nested UID references",
    "multi-valued dates",
    "private",
    "JPEG COM segment",
    "free text outside the table",
    "burned-in text",
    "trailing bytes",
    "character sets",
    "encoding",
}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    profile = load_profile("mira")
    return {case.name: run(case, profile) for case in HEADERS}


def test_the_corpus_is_large_and_covers_every_failure_class() -> None:
    assert len(cases()) >= 35
    assert {case.failure for case in cases()} >= NEEDED_CLASSES
    assert len({case.name for case in cases()}) == len(cases())


def test_every_plant_can_be_found_in_its_source() -> None:
    for case in cases():
        missing = [
            plant
            for plant in case.plants
            if not plant.where.startswith("everywhere") and not survives(case.raw, plant.text)
        ]
        assert not missing, case.name


@pytest.mark.parametrize("name", [case.name for case in HEADERS])
def test_no_planted_string_of_a_listed_place_is_left(results: dict[str, Result], name: str) -> None:
    assert not [plant for plant in results[name].left if plant.listed]
    assert not results[name].fate.startswith("crashed")


@pytest.mark.parametrize("name", [case.name for case in HEADERS])
def test_good_files_pass_readable_with_their_pixels_and_bad_ones_do_not(results: dict[str, Result], name: str) -> None:
    assert not results[name].is_surprise, results[name].fate
    assert not results[name].faults


@pytest.mark.parametrize("name", [case.name for case in HEADERS if case.keeps])
def test_words_that_identify_nobody_stay_in_descriptions(results: dict[str, Result], name: str) -> None:
    assert not results[name].lost


def test_at_most_one_in_seven_strings_outside_the_table_is_left(results: dict[str, Result]) -> None:
    outside = sum(not plant.listed for case in HEADERS for plant in case.plants)
    left = sum(not plant.listed for result in results.values() for plant in result.left)
    assert outside >= 19
    assert left * 7 <= outside


def test_the_basic_profile_leaves_nothing_either() -> None:
    profile = load_profile("basic")
    left = [(case.name, plant.where) for case in HEADERS for plant in run(case, profile).left if plant.listed]
    assert not left


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be", "iso8859_2"])
def test_the_search_sees_text_in_each_encoding_whatever_its_case(encoding: str) -> None:
    assert survives(b"\1\2" + "scan of MÜLLER".encode(encoding) + b"\3", "MÜLLER")
    assert not survives(b"\1\2" + "scan of nobody".encode(encoding), "MÜLLER")


def test_letters_are_seen_until_they_are_blanked() -> None:
    frames = np.random.default_rng(0).integers(0, 40, (2, 80, 200)).astype("u2")
    box, mask = burn(frames, "ALMUDENA", frame=1, row=10, column=10, value=900)
    assert is_seen(frames, box, ink("ALMUDENA"))
    assert mask.shape == (box.rows[1] - box.rows[0], box.columns[1] - box.columns[0])
    frames[1, slice(*box.rows), slice(*box.columns)] = 0
    assert not is_seen(frames, box, mask)
