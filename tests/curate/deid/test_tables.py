"""The standard's tables, as they lie in the package."""

from __future__ import annotations

from pydicom.datadict import DicomDictionary, tag_for_keyword

from curate.deid.tables import attribute_types, edition, method_codes, table_rows, unlisted

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_the_edition_is_known() -> None:
    assert edition() == "2026d"


def test_the_table_has_every_attribute_but_overlays_curves_and_private_ones() -> None:
    assert len(table_rows()) == 657 - 4


def test_rows_say_what_the_standard_says() -> None:
    assert table_rows()[0x00100010].basic == "Z"
    assert table_rows()[0x00080080].basic == "X/Z/D"
    assert table_rows()[0x00080020].options["retain_longitudinal_modified_dates"] == "C"


def test_tags_that_the_dictionary_does_not_know_are_rows_too() -> None:
    assert len([tag for tag in table_rows() if tag not in DicomDictionary]) > 10


def test_types_follow_the_iod() -> None:
    types = attribute_types(CT)
    assert types[0x00080018] == "1"
    assert types[0x00080020] == "2"
    assert types[0x00180010] == "2"  # type 2 within a conditional module
    assert attribute_types("1.2.3") == {}


def test_method_codes_are_those_of_cid_7050() -> None:
    assert method_codes()["113100"] == "Basic Application Confidentiality Profile"
    assert len(method_codes()) == 13


def test_the_projects_own_lists_name_real_attributes_outside_the_table() -> None:
    lists = unlisted()
    assert not lists.retained_text & table_rows().keys()
    assert not lists.retained_bulk & table_rows().keys()
    assert tag_for_keyword("Manufacturer") in lists.retained_text
    assert tag_for_keyword("PatientAddress") in lists.public_refuses


def test_vocabulary_is_lower_case_words() -> None:
    assert all(word.islower() and word.isalpha() for word in unlisted().vocabulary)
