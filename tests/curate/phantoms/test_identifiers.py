from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from curate.phantoms.headers import SeriesFacts, series_header
from curate.phantoms.identifiers import list_planted, plant, preamble, workstation
from curate.phantoms.people import Person, planted_person
from curate.phantoms.sites import list_sites


@pytest.fixture
def person() -> Person:
    return planted_person(np.random.default_rng(2), "A0001")


@pytest.fixture
def header(person: Person) -> Dataset:
    made = series_header(list_sites(1)[0], person, SeriesFacts("1.2.1", "1.2.2", "1.2.3", 2, "CT", "BONE"))
    plant(made, person)
    return made


def test_identifiers_of_every_kind_are_planted_in_plain_nested_and_private_places(
    header: Dataset, person: Person
) -> None:
    planted = list_planted(header, person)
    assert {one.kind for one in planted} == {
        "name", "id", "date", "uid", "accession", "text", "phone", "address", "institution"
    }  # fmt: skip
    places = {one.place for one in planted}
    assert {"(0010,0010)", "(0040,0275)>(0040,0007)", "(0011,1002)", "(0011,1003)>(0010,0010)", "preamble"} <= places


def test_every_planted_string_really_stands_in_the_header(header: Dataset, person: Person) -> None:
    text = "\n".join(str(element.value) for element in header.iterall()) + workstation(person) + person.name
    for one in list_planted(header, person):
        if one.kind != "path":
            assert one.value in text, one.place


def test_well_known_uids_are_not_called_identifiers(header: Dataset, person: Person) -> None:
    assert not any(one.value.startswith("1.2.840.10008.") for one in list_planted(header, person))


def test_the_preamble_keeps_its_length(person: Person) -> None:
    assert len(preamble(person)) == 128
    assert len(workstation(person)) <= 16
