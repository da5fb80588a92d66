"""What identifies is collected from every depth, in every alphabet."""

from __future__ import annotations

import pytest
from pydicom.sequence import Sequence

from curate.deid.verification.reading import read_contents
from curate.deid.verification.words import (
    Known,
    contact_in,
    decode,
    fold,
    is_standard,
    known_of,
    name_words,
)
from tests.support.deid_files import encode, item, make_ct

BASIC = frozenset({"113100"})


def known(**changes: object) -> set[tuple[str, str]]:
    return {(one.kind, one.value) for one in known_of(read_contents(encode(make_ct(**changes))), BASIC)}


def test_names_ids_uids_dates_and_removed_text_are_collected_at_every_depth() -> None:
    found = known()
    assert {("name", "quixotova"), ("name", "wunderlich"), ("id", "MRN-554477"), ("id", "OLD-112233")} <= found
    assert {("date", "19590214"), ("date", "20200229"), ("uid", "1.2.826.0.1.3680043.9.7777.33")} <= found
    assert ("phrase", "private note about Quixotova") in found


def test_what_may_stay_is_no_phrase() -> None:
    assert not any("Phantomworks" in value for _, value in known())
    assert ("phrase", "CT spine for Quixotova") in known()
    staying = known_of(read_contents(encode(make_ct())), frozenset({"113100", "113105"}))
    assert Known("phrase", "CT spine for Quixotova") not in staying


def test_names_in_other_alphabets_are_decoded_and_folded() -> None:
    assert ("name", "muller") in known(PatientName="Müller^Jörg")
    russian = known(SpecificCharacterSet="ISO_IR 192", PatientName="Люкceмбypг")
    assert ("name", fold("Люкceмбypг")) in russian
    people = Sequence([item(PersonName="Deep^Nested")])
    assert ("name", "nested") in known(ReferencedImageSequence=people)


@pytest.mark.parametrize(
    ("value", "encodings", "text"),
    [
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", ("latin-1", "iso2022_jp"), "Yamada^Tarou=山田^太郎"),
        (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", ("latin-1",), "Hong^Gildong=洪^吉洞"),
        (b"Buc^J\xe9r\xf4me ", ("latin-1",), "Buc^Jérôme"),
        (b"\xff\xfe broken", ("utf-8",), "ÿþ broken"),
    ],
)
def test_the_standards_examples_of_character_sets_are_read(value: bytes, encodings: tuple[str, ...], text: str) -> None:
    assert decode(value, encodings) == text


def test_words_of_the_trade_are_nobodys_name() -> None:
    assert name_words("Hand^Xavier") == ["xavier"]
    assert name_words("Li^Bo") == []


@pytest.mark.parametrize(
    "text", ["ask jo@example.org", "call 555-123-4567", "see https://a.example", "SSN 123-45-6789"]
)
def test_contacts_are_seen(text: str) -> None:
    assert contact_in(text)


@pytest.mark.parametrize("text", ["T2 TSE 3mm", "1.25\\2.50", "C1-C7 0.6 x 0.6", "20200229"])
def test_protocols_are_no_contacts(text: str) -> None:
    assert not contact_in(text)


def test_standard_uids_have_short_arcs() -> None:
    assert is_standard("1.2.840.10008.5.1.4.1.1.2")
    assert not is_standard("1.2.840.10008.20200229123456.1")
    assert not is_standard("1.2.826.0.1")


def test_what_is_known_never_shows_itself() -> None:
    assert "Secret" not in repr(Known("name", "Secret"))
