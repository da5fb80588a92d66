from __future__ import annotations

import numpy as np
import pytest

from curate.phantoms.headers import SeriesFacts, decimal, image_elements, series_header
from curate.phantoms.people import plain_person
from curate.phantoms.planes import axial_ct
from curate.phantoms.sites import list_sites

FACTS = SeriesFacts("1.2.1", "1.2.2", "1.2.3", 2, "CT", "BONE", intercept=-1024)
PERSON = plain_person(np.random.default_rng(0), "A0001")


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, "0"), (-0.0, "0"), (1.5, "1.5"), (-123.12345678, "-123.12345678"), (1e-12, "0")]
)
def test_decimal_strings_are_short_and_plain(value: float, expected: str) -> None:
    assert decimal(value) == expected
    assert len(decimal(value)) <= 16


def test_a_complete_header_has_what_a_ct_image_needs() -> None:
    header = series_header(list_sites(1)[0], PERSON, FACTS)
    assert header.Modality == "CT"
    assert header.RescaleIntercept == -1024
    assert header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert header.Manufacturer == "SIEMENS"
    assert any(element.tag.is_private for element in header)


def test_a_bare_header_lacks_modality_class_and_maker_as_the_downloads_do() -> None:
    header = series_header(list_sites(4)[3], PERSON, FACTS)
    for keyword in ("Modality", "SOPClassUID", "Manufacturer", "StudyDate", "PatientSex"):
        assert keyword not in header
    grid = axial_ct((0, 0, 0), (8, 8), 80.0, 2.0, 8.0)
    own = image_elements(grid, 0, "1.2.9", 1, np.zeros((8, 8), np.uint16))
    assert 20 <= len({int(e.tag) for e in header} | set(own)) + 1 <= 26


def test_extra_facts_win_over_everything() -> None:
    facts = SeriesFacts("1", "2", "3", 2, "MR", "X", "T1", extra=(("Modality", "OT"),), sop_class_uid="1.2.3.4")
    header = series_header(list_sites(1)[0], PERSON, facts)
    assert (header.Modality, header.SOPClassUID, header.EchoTime) == ("OT", "1.2.3.4", 11)


def test_bits_follow_the_pixels() -> None:
    grid = axial_ct((0, 0, 0), (8, 8), 80.0, 2.0, 8.0)
    unsigned = image_elements(grid, 0, "1.2", 1, np.zeros((8, 8), np.uint16))
    signed = image_elements(grid, 0, "1.2", 1, np.zeros((8, 8), np.int16))
    assert (unsigned[0x00280101][1], unsigned[0x00280103][1]) == (b"\x0c\0", b"\0\0")
    assert (signed[0x00280101][1], signed[0x00280103][1]) == (b"\x10\0", b"\1\0")
