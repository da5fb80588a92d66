"""Text is decoded without ever failing, and checked for what it may be."""

from __future__ import annotations

import warnings

import pytest

from curate.deid.text import decode_text, encodings_of, fold, is_code, is_number, is_uid, is_zone


@pytest.mark.parametrize("value", [b"1.5", b"-1\\+2.5e3 ", b"", b"12\0"])
def test_numbers_are_numbers(value: bytes) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [b"12 Doe", b"1,5", b"MRN7"])
def test_words_are_no_numbers(value: bytes) -> None:
    assert not is_number(value)


@pytest.mark.parametrize(
    "value", [b"ORIGINAL\\PRIMARY\\AXIAL", b"C_SPINE ", b"ISO_IR 100", b"\\ISO 2022 IR 87", b"Spine"]
)
def test_codes_are_short_and_plain(value: bytes) -> None:
    assert is_code(value)


@pytest.mark.parametrize("value", [b"a sentence that says too much", b"a@b", b"x,y", "é".encode()])
def test_sentences_are_no_codes(value: bytes) -> None:
    assert not is_code(value)


def test_uids_and_zones_have_their_form() -> None:
    assert is_uid(b"1.2.3\0")
    assert not is_uid(b"1.2.Doe")
    assert is_zone(b"+0100 ")
    assert not is_zone(b"Quixotova")


@pytest.mark.parametrize(
    ("character_set", "encoded"),
    [
        (b"ISO_IR 100", "Jérôme".encode("latin-1")),
        (b"ISO_IR 192", "Jérôme".encode()),
        (b"ISO_IR 144", "Люкceмбypг".encode("iso8859_5")),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
    ],
)
def test_declared_character_sets_are_used(character_set: bytes, encoded: bytes) -> None:
    expected = {
        b"ISO_IR 100": "Jérôme",
        b"ISO_IR 192": "Jérôme",
        b"ISO_IR 144": "Люкceмбypг",
        b"\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎",
    }
    assert decode_text(encoded, encodings_of(character_set)) == expected[character_set]


@pytest.mark.parametrize("character_set", [b"", b"NOBODY KNOWS", b"\xff\xfe", b"ISO_IR 192\\ISO_IR 192"])
def test_unknown_sets_and_broken_bytes_are_read_somehow_and_silently(character_set: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "abc" in decode_text(b"abc\xff", encodings_of(character_set))


def test_folding_drops_case_and_accents() -> None:
    assert fold("JÉRÔME Straße") == fold("jerome STRASSE")
    assert fold("ＭＲＮ") == "mrn"
