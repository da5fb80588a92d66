"""Invented people and places of the MIDI-B style archive: plain names, and names that are words of the trade."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

_FAMILIES = (
    "Hand",
    "Spine",
    "Head",
    "Young",
    "Long",
    "Bone",
    "May",
    "Bright",
    "Fields",
    "Castellanos",
    "Obuchowska",
    "Thistlewood",
    "Vandersteen",
    "Kowalczyk",
    "Nakagawara",
    "Ramanujan",
    "O'Callaghan",
    "Garcia-Lopez",
    "De La Fuente",
    "Müllerova",
    "Sørensdatter",
    "Abernathy",
    "Pemberton",
    "Quintanilla",
    "Zimmerman",
    "Whitcombe",
    "Ng",
    "Le",
    "Papadakis",
    "Okafor",
)
_GIVEN = (
    "Thumbelina",
    "Bartholomew",
    "Cordelia",
    "Desmondina",
    "Evangeline",
    "Ferdinando",
    "Guinevere",
    "Hortensia",
    "Ignatius",
    "Josephina",
    "Kasimira",
    "Leopoldine",
    "Marguerite",
    "Nathaniela",
    "Ottoline",
    "Philippa",
    "Quentina",
    "Rosalinde",
    "Sebastiana",
    "Theodora",
    "Ulyssa",
    "Valentina",
    "Wilhelmina",
    "Xanthippe",
    "Yolandra",
    "Zenobia",
)
_DOCTORS = ("Abramczyk^Lionel", "Featherstone^Minerva", "Dalgliesh^Ruaridh", "Etcheverria^Ximena", "Haverkamp^Joost")
_HOSPITALS = (
    ("Brackenridge Infirmary", "14 Foxglove Terrace, Brackenridge"),
    ("Saint Wulfstan Hospital", "230 Wulfstan Road, Eastmarch"),
    ("Clinica Montebello", "Calle Montebello 88, Valdeluz"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """One patient of one site, with what a scan of that patient would carry."""

    number: int
    site: str
    family: str
    given: str
    mrn: str
    birth: date
    sex: str
    age: str
    phone: str
    doctor: str
    hospital: str
    address: str
    first_study: date

    @property
    def name(self) -> str:
        """As PN."""
        return f"{self.family}^{self.given}"


def make_person(number: int, seed: int) -> Person:
    """The patient of that number; equal arguments, equal person."""
    choose = random.Random(seed * 100_003 + number)
    hospital, address = _HOSPITALS[number % len(_HOSPITALS)]
    first = date(2015, 1, 1) + timedelta(days=choose.randrange(2500))
    birth = first - timedelta(days=choose.randrange(20 * 365, 96 * 365))
    return Person(
        number=number,
        site=f"site-{number % len(_HOSPITALS)}",
        family=_FAMILIES[number % len(_FAMILIES)],
        given=_GIVEN[number * 7 % len(_GIVEN)],
        mrn=f"{choose.choice(('MRN', 'P-', 'SW'))}{choose.randrange(10**6, 10**7)}",
        birth=birth,
        sex=choose.choice("FMO"),
        age=f"{(first - birth).days // 365:03d}Y",
        phone=f"({choose.randrange(200, 999)}) 555-{choose.randrange(1000, 9999)}",
        doctor=choose.choice(_DOCTORS),
        hospital=hospital,
        address=address,
        first_study=first,
    )


DESCRIPTIONS = (
    # text, what must go, what must stay
    ("MRI LUMBAR SPINE W/O CONTRAST", (), ("MRI LUMBAR SPINE W/O CONTRAST",)),
    ("CT C-SPINE {given} {family} bone 1.25 mm", ("{given}",), ("CT C-SPINE", "bone 1.25 mm")),
    ("HAND XR 3 views", (), ("HAND XR 3 views",)),
    ("Sag T2 FSE, MRN {mrn}", ("{mrn}",), ("Sag T2 FSE",)),
    ("post op L4/L5 for Dr. {doctor}", ("{doctor}",), ("post op L4/L5",)),
    ("axial thin, call {phone}", ("{phone}",), ("axial thin",)),
    ("chest 5.0 B31f acc {accession}", ("{accession}",), ("chest 5.0 B31f",)),
    ("t1_tse_sag_p2 {given}", ("{given}",), ("t1_tse_sag_p2",)),
    ("DOB {birth} spine survey", ("{birth}",), ("spine survey",)),
    ("{hospital} protocol 12 HEAD", ("{hospital_word}",), ("protocol 12 HEAD",)),
    ("seen on {study_date}, follow up", ("{study_date}",), ("follow up",)),
    ("{GIVEN}: COR STIR 4mm", ("{GIVEN}",), ("COR STIR 4mm",)),
    ("NECK/SHOULDER RIGHT", (), ("NECK/SHOULDER RIGHT",)),
    ("see {address}", ("{address_word}",), ()),
)
"""Texts of descriptors with places for the patient's own things."""


def fill(template: str, person: Person, *, accession: str, study: date) -> str:
    """The template with the person's things in place."""
    return template.format(
        given=person.given,
        GIVEN=person.given.upper(),
        family=person.family,
        mrn=person.mrn,
        doctor=person.doctor.split("^")[0],
        phone=person.phone,
        accession=accession,
        birth=f"{person.birth:%Y%m%d}",
        hospital=person.hospital,
        hospital_word=next(w for w in person.hospital.split() if w not in ("Saint", "Clinica")),
        address=person.address,
        address_word=person.address.split(",")[0],
        study_date=f"{study:%m/%d/%Y}",
    )
