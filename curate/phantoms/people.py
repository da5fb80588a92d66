"""Made-up patients and staff. Plain phantoms carry a number for a name; planted ones look like real people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FAMILIES = ("Okonkwo", "Lindqvist", "Marchetti", "Yamaguchi", "Fitzgerald", "Dąbrowski", "Vasconcelos", "Hernández",
             "Abdelrahman", "Thorvaldsen", "Papadopoulos", "Chattopadhyay", "Wainwright", "Szczepański")  # fmt: skip
_GIVEN = ("Adaeze", "Bjarne", "Chiara", "Daisuke", "Eleanor", "Florian", "Gabriela", "Hyacinth", "Ibrahim", "Jolanta",
          "Konstantin", "Lakshmi", "Marguerite", "Nathaniel")  # fmt: skip
_STREETS = ("Wisteria Crescent", "Ludgate Hollow", "Brennerstrasse", "Calle Ruiseñor", "Quarry Bank Road")
_HOSPITALS = ("Saint Aldhelm Infirmary", "Northmere General Hospital", "Klinikum Eichenwald", "Hôpital Beauregard")


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as headers name one. ``is_planted``: whether the values look like those of a real person."""

    patient_id: str
    name: str
    birth_date: str
    sex: str
    age_years: int
    study_date: str
    study_time: str
    accession: str
    physician: str
    operator: str
    institution: str
    street: str
    phone: str
    other_id: str
    is_planted: bool


def plain_person(rng: np.random.Generator, number: str) -> Person:
    """A phantom under its number; nothing about it could be a person's."""
    date, time = _moment(rng)
    age, sex = int(rng.integers(19, 95)), str(rng.choice(["F", "M"]))
    return Person(number, number, "", sex, age, date, time, f"P{number}", "", "", "", "", "", "", False)


def planted_person(rng: np.random.Generator, number: str) -> Person:
    """A patient with everything that real headers give away; ``number`` keeps one apart from another."""
    family, given, doctor, operator = (str(rng.choice(names)) for names in (_FAMILIES, _GIVEN, _FAMILIES, _FAMILIES))
    date, time = _moment(rng)
    age = int(rng.integers(19, 95))
    born = f"{int(date[:4]) - age - 1}{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 28)):02d}"
    digits = int(rng.integers(100000, 999999))
    return Person(
        patient_id=f"MRN{digits}{number[-2:]}",
        name=f"{family}^{given}",
        birth_date=born,
        sex=str(rng.choice(["F", "M"])),
        age_years=age,
        study_date=date,
        study_time=time,
        accession=f"ACC{int(rng.integers(10**7, 10**8))}",
        physician=f"{doctor}^Ottoline",
        operator=f"{operator}^Peregrine",
        institution=str(rng.choice(_HOSPITALS)),
        street=f"{int(rng.integers(2, 190))} {rng.choice(_STREETS)}",
        phone=f"+44 20 7946 0{int(rng.integers(100, 1000))}",
        other_id=f"NHS{int(rng.integers(10**8, 10**9))}",
        is_planted=True,
    )


def _moment(rng: np.random.Generator) -> tuple[str, str]:
    date = f"{int(rng.integers(2015, 2023))}{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}"
    time = f"{int(rng.integers(0, 24)):02d}{int(rng.integers(0, 60)):02d}{int(rng.integers(0, 60)):02d}"
    return date, time
