"""Known identifiers are found in any bytes, in any spelling, and not in noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian

from curate.deid.engine import deidentify_bytes
from curate.deid.identifiers import Identifier
from curate.deid.leaks import Leak, LeakScanner, _is_inside_a_word
from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed
from tests.support.deid_files import KEY, PATIENT_ID, PATIENT_NAME, encode, make_ct, raw_element

NAME = Identifier("name", "Müller^Quixotova")
SCANNER = LeakScanner(
    [
        NAME,
        Identifier("patient_id", "MRN-554477"),
        Identifier("birth_date", "19590214"),
        Identifier("date", "20200229"),
        Identifier("uid", "1.2.826.0.1.77"),
        Identifier("phone", "555-0142"),
    ]
)


def kinds(content: bytes, scanner: LeakScanner = SCANNER, *, opaque: bool = False) -> list[str]:
    return [leak.kind for leak in scanner.scan(content, opaque=opaque)]


@pytest.mark.parametrize(
    "content",
    [
        b"..QUIXOTOVA..",
        b"quixotova",
        b"x_quixotova^",
        "Müller".encode(),
        "MÜLLER".encode(),
        "müller".encode("latin-1"),
        "MÜLLER".encode("latin-1"),
        b"muller",
        b"MULLERQUIXOTOVA",
        b"quixotovamuller77",
        "Quixotova".encode("utf-16-le"),
        "QUIXOTOVA".encode("utf-16-be"),
        "Müller".encode("utf-16-le"),
    ],
)
def test_names_are_found_in_every_spelling(content: bytes) -> None:
    assert "name" in kinds(b"\0\1" + content + b"\2\3")


@pytest.mark.parametrize("content", [b"Mullerian duct", b"submuller", b"quixo", "Mullerian".encode("utf-16-le")])
def test_parts_of_longer_words_are_no_names(content: bytes) -> None:
    assert kinds(content) == []


def test_ids_uids_and_phones_are_found_whole() -> None:
    assert kinds(b"mrn-554477|1.2.826.0.1.77|555-0142") == ["patient_id", "uid", "phone"]
    assert kinds(b"MRN-5544770 1.2.826.0.1.770 1555-0142") == []


@pytest.mark.parametrize("written", [b"19590214", b"1959-02-14", b"1959.02.14", b"14.02.1959", b"1959/02/14"])
def test_the_birth_date_is_found_in_its_written_forms(written: bytes) -> None:
    assert kinds(b"x" + written + b"x") == ["birth_date"]
    assert kinds(b"1" + written) == []


def test_other_dates_are_searched_for_only_when_asked() -> None:
    assert kinds(b"20200229") == []
    assert kinds(b"20200229", LeakScanner([Identifier("date", "20200229")], dates=True)) == ["date"]


def test_a_leak_says_where_but_not_what() -> None:
    (leak,) = SCANNER.scan(b"abc quixotova")
    assert leak == Leak("name", 4)
    assert "quix" not in repr(leak).lower()


def test_names_in_other_alphabets_are_found_in_their_encodings() -> None:
    scanner = LeakScanner([Identifier("name", "Yamada^Tarou=山田^太郎")])
    for encoding in ("utf-8", "iso2022_jp", "shift_jis", "utf-16-le"):
        assert "name" in kinds("x 山田 x".encode(encoding), scanner)


def test_short_ids_and_empty_values_are_not_searched_for() -> None:
    scanner = LeakScanner([Identifier("patient_id", "77"), Identifier("name", ""), Identifier("name", "Ng^Bo")])
    assert len(scanner) == 0
    assert scanner.scan(b"77 Ng Bo") == []


def test_a_million_random_bytes_hold_no_short_name_when_opaque() -> None:
    names = [Identifier("name", name) for name in ("abel", "bond", "cruz", "diaz", "evan", "ford", "gray", "hale")]
    noise = np.random.default_rng(7).integers(0, 256, 4_000_000, dtype=np.uint8).tobytes()
    assert kinds(noise, LeakScanner(names), opaque=True) == []


def test_short_matches_in_pixels_are_chance_but_long_ones_and_headers_count() -> None:
    scanner = LeakScanner([Identifier("name", "Abel^Longfellow")])
    pixels = b"\0abel\0".ljust(24, b"\0") + b"\0longfellow\0".ljust(24, b"\0")
    raw = encode(make_ct(PixelData=pixels, ImageComments="for Abel"))
    found = scanner.scan(raw)
    start = raw.index(pixels)
    assert [leak.offset < start for leak in found] == [True, False]


@pytest.mark.parametrize("transfer_syntax", ["1.2.840.10008.1.2.1", DeflatedExplicitVRLittleEndian])
def test_a_source_file_leaks_and_its_output_does_not(transfer_syntax: str) -> None:
    raw = encode(make_ct(), transfer_syntax)
    result = deidentify_bytes(raw, load_profile("basic"), Keyed(KEY))
    scanner = LeakScanner(result.identifiers, dates=True)
    assert {"name", "patient_id", "uid", "accession"} <= set(kinds(raw, scanner))
    assert scanner.scan(result.content) == []


def test_meta_information_of_a_deflated_file_is_scanned_too() -> None:
    raw = encode(make_ct(), DeflatedExplicitVRLittleEndian, preamble=PATIENT_NAME.encode())
    assert "name" in kinds(raw, LeakScanner([Identifier("name", PATIENT_NAME)]))


def test_a_broken_file_is_scanned_as_bytes() -> None:
    raw = encode(make_ct())[:900]
    assert "patient_id" in kinds(raw + b"|" + PATIENT_ID.encode())


@pytest.mark.parametrize("group", [0x30, 0x32, 0x38, 0x50, 0x54, 0x70, 0x72])
def test_the_tag_that_follows_a_value_is_not_taken_for_its_last_letter(group: int) -> None:
    after = raw_element(group << 16 | 0x1060, b"LO", b"x ")
    assert kinds(raw_element(0x00100020, b"LO", PATIENT_ID.encode()) + after) == ["patient_id"]
    assert kinds(raw_element(0x00100010, b"PN", b"x Quixotova^") + after) == ["name"]
    assert kinds(raw_element(0x00100010, b"PN", b"Quixotov") + after) == []


def test_a_scanner_of_many_patients_finds_none_of_them_in_any_output() -> None:
    profile, key = load_profile("basic"), Keyed(KEY)
    people = [("Abernathy^Rosalind", "A-10001"), ("Bartholomew^Fenella", "B-10002"), ("Çelik^Zübeyde", "C-10003")]
    results = []
    for number, (name, patient) in enumerate(people):
        source = make_ct(
            SpecificCharacterSet="ISO_IR 192",
            PatientName=name,
            PatientID=patient,
            StudyInstanceUID=f"1.2.826.0.1.3680043.9.8888.{number}",
            StudyDescription=f"{name} {patient}",
            AccessionNumber=f"ACC-{number}5555",
            PatientBirthDate=f"195{number}0214",
        )
        results.append(deidentify_bytes(encode(source), profile, key))
    scanner = LeakScanner(identifier for result in results for identifier in result.identifiers)
    for result in results:
        assert scanner.scan(result.content) == []
    for name, patient in people:
        assert {"name", "patient_id"} <= set(kinds(f"{name} {patient}".encode(), scanner))


def test_scanning_the_same_bytes_twice_gives_the_same_leaks_in_order() -> None:
    content = b"quixotova 555-0142 " * 5
    first = SCANNER.scan(content)
    assert first == SCANNER.scan(content)
    assert [leak.offset for leak in first] == sorted(leak.offset for leak in first)
    assert len(first) == 10


PIECES = [b"quixotova", b"19590214", b"1959-02-14", b"1.2.826.0.1.77", "19590214".encode("utf-16-le"), b"MRN-554477"]


@settings(deadline=None, max_examples=300)
@given(
    parts=st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=9)), max_size=12),
    first=st.integers(0, 60),
    length=st.integers(0, 60),
)
def test_bytes_in_three_parts_give_what_one_search_gives(parts: list[bytes], first: int, length: int) -> None:
    """The pixels of a file, before which and behind which everything counts, also across the seams."""
    content = b"".join(parts)
    first = min(first, len(content))
    last = min(first + length, len(content))
    whole = set()
    folded = content.lower()
    assert SCANNER._automaton is not None
    for index, start, end in SCANNER._automaton.find_matches_as_indexes(folded, overlapping=True):
        pattern = SCANNER._patterns[index]
        is_short = end - start <= 7 * pattern.step
        if not (first <= start < last and is_short) and not _is_inside_a_word(folded, start, end, pattern):
            whole.add(Leak(pattern.kind, start))
    assert set(SCANNER._find(content, (first, last))) == whole
