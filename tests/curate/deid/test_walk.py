"""Rules applied to single elements."""

from __future__ import annotations

import pytest

from curate.deid.acts import Acts, Subject
from curate.deid.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax, read_elements
from curate.deid.encode import encode_element, encode_items
from curate.deid.identifiers import Guard, Identifier
from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed, patient_key
from curate.deid.rules import rules_for
from curate.deid.tables import table_rows
from curate.deid.vrs import VR_OF_TAG
from curate.deid.walk import Walk
from curate.errors import Quarantined
from tests.support.deid_files import KEY

CT = "1.2.840.10008.5.1.4.1.1.2"
RULES = rules_for(load_profile("basic"), CT)
KEYED = Keyed(KEY)
PATIENT = patient_key(KEYED, patient_id="77", study_uid="1.2", site="a")
SUBJECT = Subject(KEYED, "77", PATIENT, "a", KEYED.shift_days(PATIENT), keeps_ids=False)
UNKNOWN_TO_PYDICOM = sorted(set(table_rows()) - VR_OF_TAG.keys())
SYNTAXES = [EXPLICIT_LITTLE, IMPLICIT_LITTLE]


def walked(content: bytes, guard: Guard | None = None, syntax: Syntax = EXPLICIT_LITTLE) -> tuple[dict, Walk, Acts]:
    walk = Walk(content, RULES, "77")
    plan = walk.plan(read_elements(content, 0, syntax), syntax)
    acts = Acts(content, SUBJECT, guard or Guard([]))
    return acts.carry_out(plan), walk, acts


def one(tag: int, vr: bytes, value: bytes) -> bytes | None:
    """Value bytes of one element after the walk; None when it went."""
    encoded, _, _ = walked(encode_element(tag, vr, value, EXPLICIT_LITTLE))
    return encoded[tag][8:] if tag in encoded else None


@pytest.mark.parametrize(
    ("tag", "vr", "value", "after"),
    [
        (0x00080080, b"LO", b"Saint Elsewhere", None),
        (0x00080090, b"PN", b"Wunderlich", b""),
        (0x00080201, b"SH", b"+0100 ", None),
        (0x00101010, b"AS", b"099Y", b"090Y"),
        (0x00400512, b"LO", b"BOX OF ALMUDENA", b"ANONYMIZED"),
        (0x00189074, b"DT", b"yesterday ", b"19000101000000"),
        (0x00080050, b"SH", b"A-1 ", KEYED.token("accession", "A-1").encode()),
        (0x00100020, b"LO", b"77", PATIENT.encode()),
        (0x00280010, b"US", b"\0\2", b"\0\2"),
        (0x00080005, b"CS", b"ISO_IR 100", b"ISO_IR 100"),
        (0x00041430, b"CS", b"IMAGE ", None),
        (0x00080000, b"UL", b"\0\0\0\0", None),
        (0x00100030, b"DA", b"", b""),
    ],
)
def test_one_element_after_its_rule(tag: int, vr: bytes, value: bytes, after: bytes | None) -> None:
    assert one(tag, vr, value) == after


def test_what_the_guard_knows_falls_back_to_removal() -> None:
    content = encode_element(0x00081090, b"LO", b"made for Almudena", EXPLICIT_LITTLE)
    assert 0x00081090 in walked(content)[0]
    encoded, _, acts = walked(content, Guard([Identifier("name", "Almudena")]))
    assert encoded == {}
    assert acts.counts["identifier found in kept text"] == 1


def test_names_below_a_removed_sequence_are_remembered() -> None:
    name = encode_element(0x00100010, b"PN", b"Quixotova^Almudena", EXPLICIT_LITTLE)
    value = encode_items([(EXPLICIT_LITTLE, {0x00100010: name})])
    encoded, walk, _ = walked(encode_element(0x00400275, b"SQ", value, EXPLICIT_LITTLE))
    assert encoded == {}
    assert walk.found.identifiers() == {Identifier("name", "Quixotova^Almudena")}


def test_a_text_tag_that_holds_a_sequence_goes_and_its_names_are_remembered() -> None:
    name = encode_element(0x00100010, b"PN", b"Quixotova", EXPLICIT_LITTLE)
    value = encode_items([(EXPLICIT_LITTLE, {0x00100010: name})])
    encoded, walk, _ = walked(encode_element(0x00081090, b"SQ", value, EXPLICIT_LITTLE))
    assert encoded == {}
    assert Identifier("name", "Quixotova") in walk.found.identifiers()


def test_several_values_are_several_identifiers_and_times_are_none() -> None:
    content = encode_element(0x00081050, b"PN", b"A^B\\C^D ", EXPLICIT_LITTLE)
    content = encode_element(0x00080030, b"TM", b"101112", EXPLICIT_LITTLE) + content
    assert walked(content)[1].found.identifiers() == {Identifier("name", "A^B"), Identifier("name", "C^D")}


def test_counts_name_what_was_done() -> None:
    content = encode_element(0x00080080, b"LO", b"X", EXPLICIT_LITTLE)
    content += encode_element(0x00091001, b"LO", b"X", EXPLICIT_LITTLE)
    _, walk, _ = walked(content)
    assert (walk.removed, walk.counts) == (1, {"private removed: other creators": 1})


def test_26_tags_of_the_table_are_unknown_to_the_dictionary() -> None:
    assert len(UNKNOWN_TO_PYDICOM) == 26


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("tag", UNKNOWN_TO_PYDICOM)
def test_a_tag_that_no_dictionary_knows_is_acted_on_by_number(tag: int, syntax: Syntax) -> None:
    content = encode_element(tag, b"LO", b"Quixotova^Almudena", syntax)
    encoded, walk, _ = walked(content, syntax=syntax)
    assert b"Quixotova" not in b"".join(encoded.values())
    assert "unknown removed" not in walk.counts  # a rule of the table, not the refusal of what nobody knows


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("tag", UNKNOWN_TO_PYDICOM)
def test_the_same_below_a_sequence(tag: int, syntax: Syntax) -> None:
    inner = encode_element(tag, b"UT", b"Quixotova^Almudena", syntax)
    kept = encode_element(0x00200013, b"IS", b"7 ", syntax)
    value = encode_items([(syntax, {0x00200013: kept, tag: inner})])
    encoded, _, _ = walked(encode_element(0x52009229, b"SQ", value, syntax), syntax=syntax)
    assert kept in encoded[0x52009229]
    assert b"Quixotova" not in encoded[0x52009229]


def test_an_element_that_stands_twice_is_refused() -> None:
    twice = encode_element(0x00080060, b"CS", b"CT", EXPLICIT_LITTLE) * 2
    with pytest.raises(Quarantined):
        walked(twice)


def test_the_character_set_holds_for_elements_before_it_and_ends_with_its_item() -> None:
    name = encode_element(0x00100010, b"PN", "Müller".encode(), EXPLICIT_LITTLE)
    charset = encode_element(0x00080005, b"CS", b"ISO_IR 192", EXPLICIT_LITTLE)
    latin = encode_element(0x00104000, b"LT", b"x", EXPLICIT_LITTLE)
    value = encode_items([(EXPLICIT_LITTLE, {1: name, 2: charset})])
    outer = encode_element(0x00081050, b"PN", "Gómez".encode("latin-1"), EXPLICIT_LITTLE)
    content = encode_element(0x00400275, b"SQ", value, EXPLICIT_LITTLE) + latin + outer
    _, walk, _ = walked(content)
    assert walk.found.identifiers() == {Identifier("name", "Müller"), Identifier("name", "Gómez")}


def test_what_was_remembered_of_another_guard_or_patient_is_not_taken() -> None:
    """Outcomes are remembered by bytes: the same bytes beside another name, or of another person, end otherwise."""
    content = encode_element(0x00081090, b"LO", b"made for Almudena", EXPLICIT_LITTLE)
    uid = encode_element(0x00200052, b"UI", b"1.2.3.4\0", EXPLICIT_LITTLE)
    date = encode_element(0x00080020, b"DA", b"20200229", EXPLICIT_LITTLE)
    first, _, _ = walked(content + date + uid)
    guarded, _, _ = walked(content + date + uid, Guard([Identifier("name", "Almudena")]))
    again, _, acts = walked(content + date + uid)
    assert first == again
    assert 0x00081090 in first
    assert 0x00081090 not in guarded
    other = Subject(KEYED, "78", "OTHER", "a", SUBJECT.days - 1, keeps_ids=False)
    walk = Walk(content + date, RULES, "78")
    plan = walk.plan(read_elements(content + date, 0, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert Acts(content + date, other, Guard([])).carry_out(plan)[0x00080020] != first[0x00080020]
    assert len(acts.actions) == 3  # remembered outcomes are counted like fresh ones


def test_one_patients_uids_are_renamed_alike_at_every_depth_and_in_lists() -> None:
    inner = encode_element(0x00081155, b"UI", b"1.2.3.4\0", EXPLICIT_LITTLE)
    value = encode_items([(EXPLICIT_LITTLE, {0x00081155: inner})])
    content = encode_element(0x52009229, b"SQ", value, EXPLICIT_LITTLE)
    content += encode_element(0x00200052, b"UI", b"1.2.3.4\\1.2.3.5", EXPLICIT_LITTLE)
    encoded, _, _ = walked(content)
    new = KEYED.uid("1.2.3.4").encode()
    assert new in encoded[0x52009229]
    assert encoded[0x00200052][8:].strip(b"\0") == new + b"\\" + KEYED.uid("1.2.3.5").encode()
