"""What is done to single elements, step by step: here the steps are given, not taken from a profile."""

from __future__ import annotations

from functools import cache

import pytest

from curate.deid.acts import Acts, Subject
from curate.deid.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Element, Syntax, read_elements
from curate.deid.encode import Encoded, encode_element, encode_items
from curate.deid.identifiers import Guard, Identifier
from curate.deid.profile import Action
from curate.deid.pseudonyms import Keyed, PublicIds
from curate.deid.rules import Step
from curate.deid.vrs import KIND_OF_VR, Kind
from curate.deid.walk import Plan
from curate.errors import Quarantined
from tests.support.deid_files import KEY

KEYED = Keyed(KEY)
SUBJECT = Subject(KEYED, "MRN-77", "PATIENTKEY", "site-a", -366, keeps_ids=False)
NAMES = Guard([Identifier("name", "Quixotova^Almudena"), Identifier("patient_id", "MRN-77")])
NOBODY = Guard([])
LATIN, UTF8 = ("iso8859",), ("utf8",)
MAKER, NUMBER, UID_TAG = 0x00080070, 0x00180060, 0x00200052
SPECIES, NAME, ID = 0x00100212, 0x00100010, 0x00100020
ALL_SYNTAXES = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]


@cache
def step(action: Action, kind: Kind, fallback: Action = Action.REMOVE) -> Step:
    """One object for one step, as in a compiled profile: outcomes are remembered for it."""
    return Step(action, fallback, kind, refuses=False, finds=None, is_quiet=False)


def one_element(content: bytes, syntax: Syntax = EXPLICIT_LITTLE) -> Element:
    (element,) = read_elements(content, 0, syntax)
    return element


def act(
    action: Action,
    tag: int,
    vr: bytes,
    value: bytes,
    *,
    fallback: Action = Action.REMOVE,
    guard: Guard = NOBODY,
    encodings: tuple[str, ...] = LATIN,
    subject: Subject = SUBJECT,
    depth: int = 0,
) -> tuple[bytes | None, Acts]:
    """Value of one element after one step; None when it went."""
    content = encode_element(tag, vr, value, EXPLICIT_LITTLE)
    acts = Acts(content, subject, guard)
    decided = (one_element(content), step(action, KIND_OF_VR[vr], fallback), (), None)
    encoded = acts.carry_out(Plan(EXPLICIT_LITTLE, encodings, [decided]), depth=depth)
    if tag not in encoded:
        return None, acts
    after = bytes(encoded[tag])
    return after[one_element(after).start :], acts


@pytest.mark.parametrize(
    ("action", "tag", "vr", "value", "after"),
    [
        (Action.KEEP, MAKER, b"LO", b"anything\n", b"anything\n "),
        (Action.CHECK_BINARY, 0x00280010, b"US", b"\0\2", b"\0\2"),
        (Action.CHECK_BINARY, 0x00281201, b"OW", b"Qu\0\1", b"Qu\0\1"),
        (Action.CHECK_NUMBER, NUMBER, b"DS", b"1.5e-3\\-2 ", b"1.5e-3\\-2 "),
        (Action.CHECK_UID, UID_TAG, b"UI", b"1.2\\1.3\0", b"1.2\\1.3\0"),
        (Action.CHECK_CODE, 0x00080060, b"CS", b"CT", b"CT"),
        (Action.CHECK_TEXT, MAKER, b"LO", b"Phantomworks", b"Phantomworks"),
        (Action.CHECK_TEXT, 0x00080201, b"SH", b"-0500 ", b"-0500 "),
        (Action.CHECK_MARKED, MAKER, b"LO", b"long " * 40, b"long " * 40),  # a person has seen it
        (Action.CLEAN, MAKER, b"LO", b"bone ", b"bone "),
        (Action.EMPTY, MAKER, b"LO", b"x ", b""),
        (Action.UID, UID_TAG, b"UI", b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2\0"),
        (Action.SHIFT, 0x00080020, b"DA", b"20200229", b"20190228"),
        (Action.SHIFT, 0x00080030, b"TM", b"235959", b"235959"),
        (Action.SHIFT, 0x0008002A, b"DT", b"20200229120000-0500 ", b"20190228120000-0500 "),
        (Action.AGE, 0x00101010, b"AS", b"101Y", b"090Y"),
        (Action.TOKEN, 0x00080050, b"SH", b"A-1 ", KEYED.token("accession", "A-1").encode()),
        (Action.TOKEN, 0x00080050, b"SH", b"  ", b""),
        (Action.DUMMY, SPECIES, b"LO", b"x ", b"ANONYMIZED"),
        (Action.DUMMY, NAME, b"PN", b"x ", b"ANONYMIZED"),
        (Action.DUMMY, NUMBER, b"DS", b"7 ", b"0 "),
        (Action.DUMMY, 0x00101010, b"AS", b"061Y", b"000Y"),
        (Action.DUMMY, 0x00080020, b"DA", b"20200229", b"19000101"),
        (Action.DUMMY, 0x00080030, b"TM", b"235959", b"000000"),
        (Action.DUMMY, 0x0008002A, b"DT", b"2020", b"19000101000000"),
        (Action.DUMMY, 0x00280010, b"US", b"\0\2", bytes(8)),
        (Action.DUMMY, 0x00091001, b"UN", b"\0\2", b""),
        (Action.PATIENT, ID, b"LO", b" mrn-77", b"PATIENTKEY"),
        (Action.PATIENT, NAME, b"PN", b"Quixotova^Almudena", b"PATIENTKEY"),
    ],
)
def test_a_value_that_fits_its_step(action: Action, tag: int, vr: bytes, value: bytes, after: bytes) -> None:
    result, acts = act(action, tag, vr, value)
    assert result == after + (b" " if len(after) % 2 else b"")
    assert acts.actions == [action]
    assert acts.counts == {}


@pytest.mark.parametrize(
    ("action", "tag", "vr", "value"),
    [
        (Action.CHECK_BINARY, 0x00189073, b"FD", b"Doe^John"),
        (Action.CHECK_BINARY, 0x00282000, b"OB", b"Raimondo"),
        (Action.CHECK_NUMBER, NUMBER, b"DS", b"120 kV by Bo"),
        (Action.CHECK_UID, UID_TAG, b"UI", b"1.2.Quixotova\0"),
        (Action.CHECK_CODE, 0x00080060, b"CS", b"a sentence, as it were"),
        (Action.CHECK_TEXT, MAKER, b"LO", b"x@hospital.org"),
        (Action.CHECK_TEXT, MAKER, b"LO", b"x" * 65),
        (Action.CHECK_TEXT, MAKER, b"LO", b"short\\" + b"x" * 65),
        (Action.CHECK_TEXT, 0x00080119, b"UC", b"a long code with blanks"),
        (Action.CHECK_TEXT, 0x00080201, b"SH", b"Berlin"),
        (Action.CHECK_TEXT, MAKER, b"LO", b"\xfcber"),  # no UTF-8
        (Action.CHECK_MARKED, MAKER, b"LO", b"\xfcber"),
        (Action.CLEAN, MAKER, b"LO", b"bone \xfcber"),
        (Action.SHIFT, 0x00080020, b"DA", b"20200230"),
        (Action.SHIFT, 0x00080020, b"LO", b"20200229"),
        (Action.AGE, 0x00101010, b"AS", b"old "),
    ],
)
@pytest.mark.parametrize(
    ("fallback", "after"), [(Action.REMOVE, None), (Action.EMPTY, b"")], ids=["removed", "emptied"]
)
def test_a_value_that_does_not_fit_falls_back_and_is_counted(
    action: Action, tag: int, vr: bytes, value: bytes, fallback: Action, after: bytes | None
) -> None:
    result, acts = act(action, tag, vr, value, fallback=fallback, encodings=UTF8)
    assert result == after
    assert acts.actions == [fallback]
    assert acts.counts["did not fit its rule"] == 1


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.ENTER])
def test_what_is_empty_stays_empty(action: Action) -> None:
    assert act(action, MAKER, b"LO", b"")[0] == b""


@pytest.mark.parametrize("action", [Action.CHECK_TEXT, Action.CHECK_CODE, Action.CHECK_MARKED])
@pytest.mark.parametrize("value", [b"for ALMUDENA", b"QUIXOTOVA_CT", b"no MRN-77"])
def test_kept_text_in_which_the_guard_finds_someone_goes(action: Action, value: bytes) -> None:
    result, acts = act(action, MAKER, b"LO", value, guard=NAMES)
    assert result is None
    assert acts.counts == {"identifier found in kept text": 1, "did not fit its rule": 1}


@pytest.mark.parametrize(
    ("vr", "value", "after"),
    [
        (b"LO", b"bone for Almudena", b"bone for"),
        (b"LO", b"bone\\for Almudena\\spine", b"bone\\for\\spine"),
        (b"LO", b"Almudena\\spine", b"\\spine"),  # how many values there are stays
        (b"LT", b"a\\b of Almudena", b"a\\b of"),  # one value in which a backslash is a letter
        (b"LO", "größer, Quixotova".encode(), "größer".encode()),
        (b"LO", b"Almudena", None),
        (b"LO", b"Almudena\\Quixotova", None),
    ],
)
def test_words_that_identify_are_taken_out_of_each_value(vr: bytes, value: bytes, after: bytes | None) -> None:
    result, acts = act(Action.CLEAN, MAKER, vr, value, guard=NAMES, encodings=UTF8)
    assert (None if result is None else result.rstrip(b" ")) == after
    assert acts.counts["words taken out of text"] == 1


@pytest.mark.parametrize(
    ("tag", "vr", "value", "depth", "after"),
    [
        (ID, b"LO", b"MRN-77", 1, b"PATIENTKEY"),
        (ID, b"LO", b"OTHER-1 ", 0, KEYED.patient("OTHER-1", site="site-a").encode()),
        (ID, b"LO", b"OTHER-1 ", 2, KEYED.patient("OTHER-1", site="site-a").encode()),
        (NAME, b"PN", b"Anyone^Else ", 1, b"ANONYMIZED"),
    ],
)
def test_patients_whom_items_name(tag: int, vr: bytes, value: bytes, depth: int, after: bytes) -> None:
    assert act(Action.PATIENT, tag, vr, value, depth=depth)[0] == after


def test_the_name_of_a_public_object_is_its_id_or_the_object_is_refused() -> None:
    public = Subject(PublicIds(), "4003253", "4003253", "", 0, keeps_ids=True)
    assert act(Action.OWN_ID, NAME, b"PN", b"4003253 ", subject=public)[0] == b"4003253 "
    with pytest.raises(Quarantined) as caught:
        act(Action.OWN_ID, NAME, b"PN", b"Quixotova ", subject=public)
    assert "Quixotova" not in str(caught.value)


def test_uids_are_renamed_one_by_one_and_the_same_again() -> None:
    subject = Subject(KEYED, "1", "K", "", -1, keeps_ids=False)
    new = [KEYED.uid(old).encode() for old in ("1.2.3", "1.2.4")]
    assert subject.rename(b"1.2.3\\1.2.4\0") == b"\\".join(new)
    assert subject.rename(b"1.2.3\0") == subject.rename(b"1.2.3") == new[0]


def test_a_subject_remembers_a_bounded_number_of_uids_and_shows_none() -> None:
    subject = Subject(KEYED, "1", "K", "", -1, keeps_ids=False)
    first = subject.rename(b"1.2.0")
    for number in range(1, 5000):
        subject.rename(b"1.2.%d" % number)
    assert len(subject.renamed) <= 4096
    assert subject.rename(b"1.2.0") == first
    assert "1.2.4999" not in repr(subject)


@pytest.mark.parametrize("syntax", ALL_SYNTAXES)
def test_what_is_kept_keeps_its_bytes_but_for_the_reserved_ones(syntax: Syntax) -> None:
    clean = encode_element(0x00281201, b"OW", b"\1\2\3\4", syntax)
    dirty = clean if syntax.implicit else clean[:6] + b"QX" + clean[8:]
    acts = Acts(dirty, SUBJECT, NOBODY)
    decided = (one_element(dirty, syntax), step(Action.KEEP, Kind.BULK), (), None)
    assert acts.carry_out(Plan(syntax, LATIN, [decided])) == {0x00281201: clean}
    assert acts.counts["reserved bytes cleared"] == (not syntax.implicit)


def test_large_values_are_not_copied() -> None:
    content = encode_element(0x7FE00010, b"OW", bytes(100_000), EXPLICIT_LITTLE)
    decided = (one_element(content), step(Action.KEEP, Kind.BULK), (), None)
    (whole,) = Acts(content, SUBJECT, NOBODY).carry_out(Plan(EXPLICIT_LITTLE, LATIN, [decided])).values()
    assert isinstance(whole, memoryview)
    assert whole.obj is content
    assert bytes(whole) == content


def entered(*elements: tuple[int, bytes, bytes, Action], syntax: Syntax) -> tuple[bytes, Acts]:
    """A sequence of one item with these elements, each under its own action."""
    inside = {tag: encode_element(tag, vr, value, syntax) for tag, vr, value, _ in elements}
    content = encode_element(0x00081199, b"SQ", encode_items([(syntax, inside)]), syntax)
    sequence = one_element(content, syntax)
    assert sequence.items is not None
    steps = {tag: step(action, KIND_OF_VR[vr]) for tag, vr, _, action in elements}
    decided = [(element, steps[element.tag], (), None) for element in sequence.items[0].elements]
    acts = Acts(content, SUBJECT, NAMES)
    outer = (sequence, step(Action.ENTER, Kind.SEQUENCE), (Plan(syntax, LATIN, decided),), None)
    encoded: dict[int, Encoded] = acts.carry_out(Plan(syntax, LATIN, [outer]))
    return bytes(encoded[0x00081199]), acts


@pytest.mark.parametrize("syntax", ALL_SYNTAXES)
def test_items_are_written_anew_from_what_stays_in_them(syntax: Syntax) -> None:
    after, acts = entered(
        (0x00080060, b"CS", b"CT", Action.CHECK_CODE),
        (MAKER, b"LO", b"Almudena", Action.CHECK_TEXT),
        (NUMBER, b"DS", b"120 ", Action.CHECK_NUMBER),
        syntax=syntax,
    )
    stays = {
        0x00080060: encode_element(0x00080060, b"CS", b"CT", syntax),
        NUMBER: encode_element(NUMBER, b"DS", b"120 ", syntax),
    }
    assert after == encode_element(0x00081199, b"SQ", encode_items([(syntax, stays)]), syntax)
    assert acts.actions == [Action.CHECK_CODE, Action.REMOVE, Action.CHECK_NUMBER, Action.ENTER]
    assert acts.counts == {"identifier found in kept text": 1, "did not fit its rule": 1}  # counted once, not again


@pytest.mark.parametrize("code", [0x00080100, 0x00080119, 0x00080120])
def test_a_meaning_stays_beside_a_code_only(code: int) -> None:
    meaning = (0x00080104, b"LO", b"Spine ", Action.CHECK_TEXT)
    vr = {0x00080100: b"SH", 0x00080119: b"UC", 0x00080120: b"UR"}[code]
    assert b"Spine" in entered((code, vr, b"T-1 ", Action.CHECK_TEXT), meaning, syntax=EXPLICIT_LITTLE)[0]
    after, acts = entered(meaning, syntax=EXPLICIT_LITTLE)
    assert b"Spine" not in after
    assert acts.counts["meaning without a code removed"] == 1


def private(value: bytes) -> tuple[dict[int, Encoded], Acts]:
    """One private number under a creator."""
    content = encode_element(0x00191023, b"DS", value, EXPLICIT_LITTLE)
    acts = Acts(content, SUBJECT, NOBODY)
    decided = (one_element(content), step(Action.CHECK_NUMBER, Kind.DECIMALS), (), "GEMS_ACQU_01")
    return acts.carry_out(Plan(EXPLICIT_LITTLE, LATIN, [decided])), acts


def test_a_private_element_that_stays_brings_its_creator_and_one_that_goes_does_not() -> None:
    kept, acts = private(b"1.5 ")
    assert kept[0x00190010] == encode_element(0x00190010, b"LO", b"GEMS_ACQU_01", EXPLICIT_LITTLE)
    assert acts.counts == {}
    gone, acts = private(b"Bo's")
    assert gone == {}
    assert acts.counts["private removed: GEMS_ACQU_01"] == 1


def test_what_was_done_before_is_done_and_counted_again() -> None:
    """Elements of a series repeat; a second object with the same bytes has the same outcome and the same counts."""
    twice = [act(Action.CLEAN, MAKER, b"LO", b"bone, Quixotova", guard=NAMES) for _ in range(2)]
    (first, before), (second, after) = twice
    assert first == second == b"bone"
    assert (before.actions, before.counts) == (after.actions, after.counts)


@pytest.mark.parametrize(
    "change",
    [
        {"guard": NAMES},
        {"encodings": UTF8},
        {"action": Action.DUMMY},
        {"fallback": Action.EMPTY},
        {"depth": 1, "action": Action.PATIENT},
    ],
    ids=lambda change: " and ".join(change),
)
def test_what_was_done_before_under_other_circumstances_is_not(change: dict[str, object]) -> None:
    usual = {"action": Action.CHECK_TEXT, "tag": NAME, "vr": b"PN", "value": b"Quixotova \xfc"}
    alone, _ = act(**(usual | change), subject=Subject(KEYED, "MRN-77", "KEY", "", -1, keeps_ids=False))  # type: ignore[arg-type]
    shared = Subject(KEYED, "MRN-77", "KEY", "", -1, keeps_ids=False)
    act(**usual, subject=shared)  # type: ignore[arg-type]
    act(**(usual | {"action": change.get("action", Action.CHECK_TEXT)}), subject=shared)  # type: ignore[arg-type]
    assert act(**(usual | change), subject=shared)[0] == alone  # type: ignore[arg-type]
