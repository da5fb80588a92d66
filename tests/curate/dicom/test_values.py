from __future__ import annotations

import pytest

from curate.dicom.elements import Element
from curate.dicom.values import double, integer, number, numbers, text


def test_text_is_stripped_of_padding_and_empty_text_is_absent() -> None:
    assert text(Element("UI", b"1.2.3\x00")) == "1.2.3"
    assert text(Element("LO", b"  GE ")) == "GE"
    assert text(Element("LO", b"  ")) is None
    assert text(None) is None


@pytest.mark.parametrize(
    ("character_set", "raw", "expected"),
    [
        (b"ISO_IR 100", "Müller".encode("latin-1"), "Müller"),
        (b"ISO_IR 192", "Müller".encode(), "Müller"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田"),
        (b"NONSENSE", b"M\xfcller", "Müller"),
    ],
)
def test_text_in_another_character_set_is_decoded(character_set: bytes, raw: bytes, expected: str) -> None:
    assert text(Element("LO", raw), Element("CS", character_set)) == expected


def test_undecodable_text_still_fits_a_table() -> None:
    found = text(Element("LO", b"\xff\xfe\x80"))
    assert found is not None
    found.encode("utf-8")


@pytest.mark.parametrize(
    ("element", "default", "expected"),
    [
        (Element("US", b"\x01\x02"), "US", 0x0201),
        (Element(None, b"\x01\x02"), "US", 0x0201),
        (Element("SS", b"\xff\xff"), "US", -1),
        (Element("UL", b"\x00\x00\x01\x00"), "US", 65536),
        (Element("IS", b" 12 "), "IS", 12),
        (Element(None, b"12"), "IS", 12),
        (Element("DS", b"12.0"), "US", 12),
        (Element("IS", b"1.5"), "IS", None),
        (Element("IS", b"twelve"), "IS", None),
        (Element("IS", b"9" * 40), "IS", None),
        (Element("US", b"\x01"), "US", None),
        (Element("US", b""), "US", None),
        (None, "US", None),
    ],
)
def test_integers_of_every_representation(element: Element | None, default: str, expected: int | None) -> None:
    assert integer(element, default, is_little_endian=True) == expected


def test_integers_of_big_endian_files() -> None:
    assert integer(Element("US", b"\x02\x00"), "US", is_little_endian=False) == 512


@pytest.mark.parametrize(
    ("raw", "count", "expected"),
    [
        (b"1\\0\\0\\0\\1\\0 ", 6, [1, 0, 0, 0, 1, 0]),
        (b"0.5\\0.4", 2, [0.5, 0.4]),
        (b"1e-3", None, [0.001]),
        (b"0.5", 2, None),
        (b"nan\\1", 2, None),
        (b"1\\inf", 2, None),
        (b"1,5", None, None),
        (b"", None, None),
    ],
)
def test_decimal_strings_are_finite_numbers_or_nothing(raw: bytes, count: int | None, expected: list[float]) -> None:
    assert numbers(Element("DS", raw), count) == expected


def test_one_number_is_the_first_of_several() -> None:
    assert number(Element("DS", b"2.5\\3")) == 2.5
    assert number(Element("DS", b"x")) is None


@pytest.mark.parametrize(
    ("element", "is_little", "expected"),
    [
        (Element("FD", b"\0\0\0\0\0\x02\x89\x40"), True, 800.25),
        (Element("FD", b"\x40\x89\x02\0\0\0\0\0"), False, 800.25),
        (Element(None, b"\0\0\0\0\0\x02\x89\x40" * 2), True, 800.25),
        (Element("DS", b"800.25"), True, 800.25),
        (Element("FD", b"\0\0\0\0\0\x02\x89"), True, None),
        (Element("FD", b"\0\0\0\0\0\0\xf8\x7f"), True, None),  # not a number
        (Element("LO", b"12345678"), True, None),
        (None, True, None),
    ],
)
def test_binary_doubles_are_read_where_they_are_finite(
    element: Element | None, is_little: bool, expected: float | None
) -> None:
    assert double(element, is_little_endian=is_little) == expected
