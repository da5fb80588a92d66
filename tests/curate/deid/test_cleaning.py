"""Clean Descriptors: what identifies goes, every other word stays."""

from __future__ import annotations

import pytest

from curate.deid.cleaning import clean_text, has_contact
from curate.deid.identifiers import Guard, Identifier, guard_for

NOBODY = Guard(())
PEOPLE = Guard(
    [
        Identifier("name", "Quixotova^Almudena^Kay"),
        Identifier("name", "Ng^Roy"),
        Identifier("name", "王^小东"),
        Identifier("patient_id", "MRN-554477"),
        Identifier("accession", "A99887"),
        Identifier("institution", "Saint Elsewhere Hospital"),
        Identifier("birth_date", "19590214"),
    ]
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("CT spine for Quixotova", "CT spine for"),
        ("QUIXOTOVA^ALMUDENA bone 1 mm", "bone 1 mm"),
        ("CT neck, Almudena Quixotova, follow-up", "CT neck, , follow-up"),
        ("AQuixotova lumbar", "lumbar"),
        ("quixotovaalmudena T2", "T2"),
        ("avotoxiuq T2", "T2"),
        ("Roy T1 sag", "T1 sag"),
        ("Ng Roy T1", "T1"),
        ("NG tube", "NG tube"),
        ("王小东 胸部", "胸部"),
        ("ID MRN-554477 C-spine", "C-spine"),
        ("acc A99887 neck", "neck"),
        ("Elsewhere protocol 3", "protocol 3"),
        ("Quixotova", ""),
        ("born 1959-02-14 in", "born in"),
    ],
)
def test_what_the_object_says_of_its_people_goes_and_the_rest_stays(text: str, cleaned: str) -> None:
    assert clean_text(text, PEOPLE) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("HAND XR", "HAND XR"),
        ("XR left hand", "XR left hand"),
        ("HAND John XR", "XR"),
        ("John Hand, XR HAND", "XR HAND"),
    ],
)
def test_words_of_the_trade_go_only_beside_the_rest_of_the_name(text: str, cleaned: str) -> None:
    assert clean_text(text, Guard([Identifier("name", "Hand^John")])).strip(", ") == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("CT C-SPINE Hortensia Spine bone 1.25 mm", "CT C-SPINE bone 1.25 mm"),
        ("spine HORTENSIA SPINE", "spine"),
        ("CT C-SPINE axial", "CT C-SPINE axial"),
    ],
)
def test_of_two_equal_words_the_one_written_like_the_name_goes(text: str, cleaned: str) -> None:
    assert clean_text(text, Guard([Identifier("name", "Spine^Hortensia")])) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("call 555-0142 for results", "call for results"),
        ("tel. +49 89 1234567", ""),
        ("(415) 555-0142 ok", "ok"),
        ("mail j.doe@hospital.org now", "mail now"),
        ("see https://pacs.local/a?b=1 there", "see there"),
        ("SSN 123-45-6789", ""),
        ("MRN: 00123456 spine", "spine"),
        ("scan of 2020-02-29", "scan of"),
        ("scan 20200229 T2", "scan T2"),
        ("seen 12/31/1999 and 31.12.1999", "seen and"),
        ("on 3 March 2015", "on"),
        ("on Mar 3rd, 2015 ok", "on ok"),
        ("seen by Dr. Mabuse today", "seen by today"),
        ("Doe^Jane^M", ""),
        ("Patient: Jane Doe", ""),
        ("lives 17 Elm Street here", "lives here"),
        ("uid 1.2.840.113619.2.5 x", "uid x"),
        ("92 yo with pain", "with pain"),
        ("91-year-old woman", "woman"),
        ("no 12345678", "no"),
    ],
)
def test_forms_that_identify_whoever_they_belong_to_go(text: str, cleaned: str) -> None:
    assert clean_text(text, NOBODY) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "DR CHEST PA", "Dr Chest", "MR Brain w/o", "MS protocol", "T2 tse sag 3.0 mm", "C5-C6 level",
        "1.25 x 1.25 x 3.0",
        "89 yo man", "512 x 512", "b=1000", "TR/TE 3500/112", "TE: 112", "ST 5.0/0.75", "FOV 256-256", "Series 12",
        "C-SPINE 1.5 B70s", "AX T1 +C", "100 kV", "L4/L5", "pre+post", "01:02", "v3.2.1",
    ],
)  # fmt: skip
def test_text_that_identifies_nobody_is_the_very_same(text: str) -> None:
    assert clean_text(text, NOBODY) is text


@pytest.mark.parametrize("text", ["a@b.org", "415-555-0142", "Tel 089 123456", "Dr. Mabuse", "123-45-6789"])
def test_ways_to_reach_someone_are_seen_in_text_outside_the_table(text: str) -> None:
    assert has_contact(text)


@pytest.mark.parametrize(
    "text", ["syngo CT 2012B", "20150101", "1234567890", "DR Detector", "https://github.com/x/y", "1.2.3.4.5.6"]
)
def test_versions_and_serial_numbers_are_no_contact(text: str) -> None:
    assert not has_contact(text)


def test_lines_stay_lines() -> None:
    assert clean_text("first line\nQuixotova\nlast line", PEOPLE) == "first line\n\nlast line"


def test_one_guard_serves_the_files_of_a_series() -> None:
    shared = frozenset([Identifier("name", "Doe^Jane")])
    first = guard_for(shared | {Identifier("uid", "1.2.3"), Identifier("date", "20200101")})
    assert first is guard_for(shared | {Identifier("uid", "1.2.4")})
    assert first.finds("jane 2") is first.finds("jane 2") is True
