from __future__ import annotations

import numpy as np

from curate.phantoms.people import plain_person, planted_person


def test_a_plain_phantom_has_nothing_of_a_person() -> None:
    person = plain_person(np.random.default_rng(0), "A0003")
    assert person.name == person.patient_id == "A0003"
    assert not any([person.birth_date, person.physician, person.institution, person.phone, person.street])


def test_a_planted_patient_has_everything_and_is_old_enough() -> None:
    for seed in range(30):
        person = planted_person(np.random.default_rng(seed), "A0003")
        assert all(
            [person.name, person.birth_date, person.physician, person.institution, person.phone, person.other_id]
        )
        years = (int(person.study_date) - int(person.birth_date)) // 10000
        assert years in (person.age_years, person.age_years + 1)
        assert len(person.accession) <= 16


def test_equal_seeds_give_equal_people() -> None:
    one, two = (planted_person(np.random.default_rng(4), "B0001") for _ in range(2))
    assert one == two
