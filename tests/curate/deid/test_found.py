"""What identifies and does not stay is remembered, in the character sets it is written in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.deid.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax, read_elements
from curate.deid.encode import encode_element, encode_items
from curate.deid.found import Found, own_encodings
from curate.deid.identifiers import Identifier
from curate.deid.profile import load_profile
from curate.deid.rules import rules_for

CT = "1.2.840.10008.5.1.4.1.1.2"
BASIC, PUBLIC = (rules_for(load_profile(name), CT).standard for name in ("basic", "public"))
LATIN, UTF8, GREEK = ("iso8859",), ("UTF8",), ("iso8859_7",)
SEQUENCE, INNER_SEQUENCE = 0x00400275, 0x00081115


def found(kind: str, value: bytes, encodings: tuple[str, ...] = LATIN) -> set[str]:
    """Values remembered of one element."""
    memory = Found(b"")
    memory.add(kind, value, encodings)
    assert {one.kind for one in memory.identifiers()} <= {kind}
    return {one.value for one in memory.identifiers()}


@pytest.mark.parametrize(
    ("kind", "value", "values"),
    [
        ("name", b"Quixotova^Almudena ", {"Quixotova^Almudena"}),
        ("name", b"A^B\\C^D ", {"A^B", "C^D"}),
        ("name", b"", set()),
        ("name", b" \0", set()),
        ("patient_id", b" MRN-77\0", {"MRN-77"}),
        ("birth_date", b"19590214", {"19590214"}),
        ("birth_date", b"1959.02.14", {"19590214"}),
        ("birth_date", b"1959", {"1959"}),
        ("date", b"20200229235959.25+0100 ", {"20200229"}),
        ("date", b"20200229\\20200301 ", {"20200229", "20200301"}),
        ("date", b"2020.02.29", {"20200229"}),
        ("date", b"2020", set()),  # a year alone is no one's
        ("uid", b"1.2.3.4\0", {"1.2.3.4"}),
        ("uid", b"1.2.3.4\\1.2.840.10008.1.2\\1.2.3.5", {"1.2.3.4", "1.2.3.5"}),
        ("uid", b"1.2.840.10008.5.1.4.1.1.2\0", set()),
    ],
)
def test_every_part_of_a_value_is_an_identifier_without_its_padding(kind: str, value: bytes, values: set[str]) -> None:
    assert found(kind, value) == values


@pytest.mark.parametrize(
    ("value", "encodings", "text"),
    [
        ("Müller".encode("latin-1"), LATIN, "Müller"),
        ("Müller".encode(), UTF8, "Müller"),
        ("Διονυσιος".encode("iso8859_7"), GREEK, "Διονυσιος"),
        ("Müller".encode("latin-1"), UTF8, "Müller"),  # not what is declared: still searched for
    ],
)
def test_names_are_read_in_their_character_set(value: bytes, encodings: tuple[str, ...], text: str) -> None:
    assert found("name", value, encodings) == {text}


def test_the_same_bytes_in_two_character_sets_are_two_names() -> None:
    memory = Found(b"")
    value = "Müller".encode()
    for encodings in (LATIN, UTF8, UTF8):
        memory.add("name", value, encodings)
    assert {one.value for one in memory.identifiers()} == {"Müller", "MÃ¼ller"}


def test_neither_the_memory_nor_its_identifiers_show_what_they_hold() -> None:
    memory = Found(b"Quixotova")
    memory.add("name", b"Quixotova", LATIN)
    assert "Quixotova" not in repr(memory) + str(memory) + repr(memory.identifiers())


def nested(syntax: Syntax, *, charset: bytes = b"") -> bytes:
    """A sequence of one item: a name, a date, a text, and a sequence with another name."""
    inner = {0x00081050: encode_element(0x00081050, b"PN", "Gómez".encode(), syntax)}
    if charset:
        inner[0x00080005] = encode_element(0x00080005, b"CS", charset, syntax)
    outer = {
        0x00100010: encode_element(0x00100010, b"PN", b"Quixotova^A", syntax),
        0x00080020: encode_element(0x00080020, b"DA", b"20200229", syntax),
        0x00080090: encode_element(0x00080090, b"PN", b"", syntax),
        0x00081030: encode_element(0x00081030, b"LO", b"spine", syntax),
        0x00091001: encode_element(0x00091001, b"PN", b"Private^Person", syntax),
        INNER_SEQUENCE: encode_element(INNER_SEQUENCE, b"SQ", encode_items([(syntax, inner)]), syntax),
    }
    return encode_element(SEQUENCE, b"SQ", encode_items([(syntax, outer)]), syntax)


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
@pytest.mark.parametrize(("charset", "name"), [(b"", "GÃ³mez"), (b"ISO_IR 192", "Gómez")])
def test_a_sequence_that_goes_is_remembered_to_its_ends(syntax: Syntax, charset: bytes, name: str) -> None:
    content = nested(syntax, charset=charset)
    memory = Found(content)
    memory.add_items(read_elements(content, 0, syntax)[0], BASIC, LATIN)
    assert memory.identifiers() == {
        Identifier("name", "Quixotova^A"),
        Identifier("date", "20200229"),
        Identifier("name", name),
    }


def test_an_item_is_remembered_as_its_profile_sees_it() -> None:
    """Of what was public before, neither ids nor dates are anything to look for."""
    content = nested(EXPLICIT_LITTLE, charset=b"ISO_IR 192")
    memory = Found(content)
    items = read_elements(content, 0, EXPLICIT_LITTLE)[0].items
    assert items is not None
    memory.add_item(items[0], PUBLIC, LATIN)
    assert memory.identifiers() == {Identifier("name", "Gómez")}


@pytest.mark.parametrize(
    ("elements", "encodings"),
    [
        ([], GREEK),
        ([(0x00081030, b"LO", b"x ")], GREEK),
        ([(0x00081030, b"LO", b"x "), (0x00080005, b"CS", b"ISO_IR 192")], UTF8),
        ([(0x00080005, b"CS", b"")], LATIN),
        ([(0x00080005, b"CS", b"nonsense")], LATIN),
        ([(0x00080005, b"CS", b"\\ISO 2022 IR 87 ")], ("iso8859", "iso2022_jp")),
    ],
)
def test_a_data_set_has_the_character_sets_it_names_or_those_around_it(
    elements: list[tuple[int, bytes, bytes]], encodings: tuple[str, ...]
) -> None:
    content = b"".join(encode_element(tag, vr, value, EXPLICIT_LITTLE) for tag, vr, value in elements)
    assert own_encodings(content, read_elements(content, 0, EXPLICIT_LITTLE), GREEK) == encodings


@given(st.binary(max_size=40), st.sampled_from(["name", "date", "birth_date", "uid", "patient_id"]))
def test_any_bytes_can_be_remembered_and_nothing_empty_is(value: bytes, kind: str) -> None:
    for encodings in (LATIN, UTF8, ("iso2022_jp",), ("iso8859", "iso2022_jp"), ("gb18030",)):
        assert all(text.strip(" \0") for text in found(kind, value, encodings))
