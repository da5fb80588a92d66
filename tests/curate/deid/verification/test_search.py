"""Everything written in any of the ways that tools and people write it is found; what is chance is not."""

from __future__ import annotations

import random

import pytest

from curate.deid.verification.search import Search, date_forms
from curate.deid.verification.words import Known

KNOWN = [
    Known("name", "quixotova"),
    Known("name", "müller"),
    Known("name", "chan"),
    Known("id", "MRN-554477"),
    Known("date", "20200229"),
    Known("uid", "1.2.826.0.1.77"),
    Known("phrase", "lives on Elmstreet"),
]
SEARCH = Search(KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "Quixotova", "QUIXOTOVA^A", "Quixotov", "Quixotovas", "avotoxiuQ", "DrQuixotova", "Muller", "MÜLLER", "Dr Chan",
        "mrn-554477", "MRN554477", "774455-NRM", "2020-02-29", "29.02.2020", "02/29/2020", "20200229",
        "uid 1.2.826.0.1.77", "she LIVES ON elmstreet",
    ],
)  # fmt: skip
def test_a_spelling_is_found_in_text(text: str) -> None:
    assert SEARCH.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "mechanical", "Quixo", "enhanced", "120200229", "1.20200229", "11.2.826.0.1.77", "1.2.826.0.1.777", "554477",
        "2.25.320200229123456789012345678901234567890", "CHAN2345ABCDEFGH",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert not SEARCH.text(text)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
def test_bytes_are_searched_in_every_encoding(encoding: str) -> None:
    assert SEARCH.bytes(b"\x01\x02" + "Müller".encode(encoding) + b"\x00\x03")
    assert SEARCH.bytes(b"\x01\x02" + "quixotova".encode(encoding) + b"\x00\x03")


def test_a_tag_beside_a_name_does_not_hide_it() -> None:
    assert SEARCH.bytes(b"\x04\x00Chan\x32\x00\x60\x10")
    assert not SEARCH.bytes(b"mechanical")


def test_in_opaque_bytes_short_words_are_chance_and_long_ones_are_not() -> None:
    noise = random.Random(1).randbytes(2000)
    for word, count in ((b" chan ", 0), (b"QUIXOTOVA", 1)):
        content = noise + word + noise
        assert SEARCH.bytes(content, opaque=(0, len(content)))["name"] == count


def test_random_bytes_hold_nothing() -> None:
    noise = random.Random(2).randbytes(1 << 20)
    assert not SEARCH.bytes(noise, opaque=(0, len(noise)))


def test_uids_can_be_exchanged_without_building_anew() -> None:
    other = SEARCH.with_uids(["1.2.3.4.5.6"])
    assert other.text("1.2.3.4.5.6")["uid"] == 1
    assert not other.text("1.2.826.0.1.77")
    assert SEARCH.text("1.2.826.0.1.77")["uid"] == 1


def test_an_empty_search_finds_nothing() -> None:
    assert not Search([]).text("anything")
    assert not Search([]).bytes(b"anything")


def test_dates_are_written_in_many_forms() -> None:
    assert {"2020-02-29", "29.02.2020", "02/29/2020", "20200229"} <= set(date_forms("20200229"))
