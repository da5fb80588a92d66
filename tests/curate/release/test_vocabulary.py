import re

import pytest

from curate.deid.identifiers import Identifier
from curate.release import ReleaseSummary, verify_release
from curate.release.vocabulary import public_words, searchable


def test_words_of_card_tables_and_metadata_are_public() -> None:
    assert {"train", "images", "basic", "severe", "sharding", "fractured", "localizer"} <= public_words()


@pytest.mark.parametrize("name", ["abernathy", "smith", "miller", "siemens", "garcia", "johnson"])
def test_names_of_people_are_not(name: str) -> None:
    assert name not in public_words()


def test_names_keep_the_words_that_identify_and_other_kinds_stay_as_they_are() -> None:
    given = [
        Identifier("name", "Train^Bjornstad"),
        Identifier("name", "TEST^"),
        Identifier("patient_id", "TRAIN"),
        Identifier("institution", "Sagittal Imaging Oslo"),
    ]
    kept = searchable(given)
    assert [(identifier.kind, identifier.value) for identifier in kept] == [
        ("name", "Bjornstad"),
        ("patient_id", "TRAIN"),
        ("institution", "Imaging Oslo"),
    ]


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_a_release_leaks_nobody_who_is_called_like_one_of_its_own_words(
    request: pytest.FixtureRequest, task: str
) -> None:
    built: ReleaseSummary = request.getfixturevalue(f"built_{task}")
    people = [Identifier("name", f"{word}^{word}") for word in sorted(public_words())]
    assert verify_release(built.path, identifiers=people) == []


def test_every_word_of_volume_metadata_is_public_but_for_the_names_of_masks(built_cervical: ReleaseSummary) -> None:
    metadata = sorted(built_cervical.path.glob("volumes/**/zarr.json"))
    words = {word.lower() for path in metadata for word in re.findall(r"[A-Za-z]{4,}", path.read_text())}
    assert words - public_words() == {"vertebrae"}
