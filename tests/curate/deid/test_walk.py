"""Rules applied to single elements."""

from __future__ import annotations

import pytest

from curate.deid.elements import EXPLICIT_LITTLE, read_elements
from curate.deid.encode import encode_element, encode_items
from curate.deid.identifiers import Guard, Identifier
from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed, patient_key
from curate.deid.walk import Subject, Walk, rules_for
from tests.support.deid_files import KEY

CT = "1.2.840.10008.5.1.4.1.1.2"
RULES = rules_for(load_profile("basic"), CT)
KEYED = Keyed(KEY)
PATIENT = patient_key(KEYED, patient_id="77", study_uid="1.2", site="a")
SUBJECT = Subject(KEYED, "77", PATIENT, "a", KEYED.shift_days(PATIENT), keeps_ids=False)


def walked(content: bytes, guard: Guard | None = None) -> tuple[dict[int, bytes], Walk]:
    walk = Walk(content, RULES, SUBJECT, guard or Guard([]))
    return walk.dataset(read_elements(content, 0, EXPLICIT_LITTLE), EXPLICIT_LITTLE), walk


def one(tag: int, vr: bytes, value: bytes) -> bytes | None:
    """Value bytes of one element after the walk; None when it went."""
    encoded, _ = walked(encode_element(tag, vr, value, EXPLICIT_LITTLE))
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
    content = encode_element(0x00080070, b"LO", b"made for Almudena", EXPLICIT_LITTLE)
    assert 0x00080070 in walked(content)[0]
    encoded, walk = walked(content, Guard([Identifier("name", "Almudena")]))
    assert encoded == {}
    assert walk.counts["identifier found in kept text"] == 1


def test_kept_text_is_collected_for_the_guard() -> None:
    content = encode_element(0x00080070, b"LO", b"Phantomworks", EXPLICIT_LITTLE)
    assert walked(content)[1].kept_texts == ["Phantomworks"]


def test_names_below_a_removed_sequence_are_remembered() -> None:
    name = encode_element(0x00100010, b"PN", b"Quixotova^Almudena", EXPLICIT_LITTLE)
    value = encode_items([(EXPLICIT_LITTLE, {0x00100010: name})])
    encoded, walk = walked(encode_element(0x00400275, b"SQ", value, EXPLICIT_LITTLE))
    assert encoded == {}
    assert walk.identifiers() == {Identifier("name", "Quixotova^Almudena")}


def test_a_text_tag_that_holds_a_sequence_goes_and_its_names_are_remembered() -> None:
    name = encode_element(0x00100010, b"PN", b"Quixotova", EXPLICIT_LITTLE)
    value = encode_items([(EXPLICIT_LITTLE, {0x00100010: name})])
    encoded, walk = walked(encode_element(0x00080070, b"SQ", value, EXPLICIT_LITTLE))
    assert encoded == {}
    assert Identifier("name", "Quixotova") in walk.identifiers()


def test_several_values_are_several_identifiers_and_times_are_none() -> None:
    content = encode_element(0x00081050, b"PN", b"A^B\\C^D ", EXPLICIT_LITTLE)
    content = encode_element(0x00080030, b"TM", b"101112", EXPLICIT_LITTLE) + content
    assert walked(content)[1].identifiers() == {Identifier("name", "A^B"), Identifier("name", "C^D")}


def test_counts_name_what_was_done() -> None:
    content = encode_element(0x00080080, b"LO", b"X", EXPLICIT_LITTLE)
    content += encode_element(0x00091001, b"LO", b"X", EXPLICIT_LITTLE)
    assert walked(content)[1].totals() == {"removed": 1, "private removed: other creators": 1}
