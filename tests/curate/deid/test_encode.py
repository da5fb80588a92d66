"""What is encoded here, pydicom reads."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from curate.deid.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax, read_elements
from curate.deid.encode import encode_element, encode_items, in_order, join_elements
from curate.deid.vrs import KIND_OF_VR, LONG_VRS
from curate.errors import Quarantined
from curate.reasons import Reason

SYNTAXES = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]
PADDED_WITH_NUL = {b"UI", b"OB", b"UN"}
VALUES: dict[bytes, tuple[int, bytes]] = {
    b"AE": (0x00080054, b"ARCHIVE"),
    b"AS": (0x00101010, b"061Y"),
    b"AT": (0x00280009, bytes(4)),
    b"CS": (0x00080060, b"CT"),
    b"DA": (0x00080020, b"20200229"),
    b"DS": (0x00180060, b"120.5"),
    b"DT": (0x0008002A, b"20200229235959.25+0100"),
    b"FD": (0x00189073, bytes(16)),
    b"FL": (0x00089459, bytes(4)),
    b"IS": (0x00200013, b"7"),
    b"LO": (0x00080070, b"Phantomworks"),
    b"LT": (0x00204000, b"odd"),
    b"OB": (0x00282000, b"\1\2\3"),
    b"OD": (0x7FE00009, bytes(16)),
    b"OF": (0x7FE00008, bytes(8)),
    b"OL": (0x00660040, bytes(8)),
    b"OV": (0x7FE00001, bytes(8)),
    b"OW": (0x7FE00010, b"\1\0\2\0"),
    b"PN": (0x00100010, "Müller^Ö=山田".encode()),
    b"SH": (0x00081010, b"CT-1"),
    b"SL": (0x00186020, bytes(4)),
    b"SQ": (0x00081140, b""),
    b"SS": (0x00189219, bytes(2)),
    b"ST": (0x00080081, b"Elmstreet 17"),
    b"SV": (0x00720082, bytes(8)),
    b"TM": (0x00080030, b"235959.25"),
    b"UC": (0x00189908, b"long"),
    b"UI": (0x00080018, b"1.2.3"),
    b"UL": (0x00083002, bytes(4)),
    b"UN": (0x00091001, b"\1\2\3"),
    b"UR": (0x00081190, b"http://x"),
    b"US": (0x00280010, b"\0\2"),
    b"UT": (0x0040A160, b"text"),
    b"UV": (0x00720083, bytes(8)),
}  # fmt: skip


def read_back(content: bytes, syntax: Syntax) -> Dataset:
    return read_dataset(BytesIO(content), syntax.implicit, syntax.little)


def tags_of(dataset: Dataset) -> list[int]:
    """In the order they were read in; nothing is decoded."""
    return [int(tag) for tag in dataset.keys()]  # noqa: SIM118


def test_every_vr_has_a_value_below() -> None:
    assert set(VALUES) == set(KIND_OF_VR)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("vr", sorted(VALUES))
def test_an_element_of_every_vr_is_read_back(vr: bytes, syntax: Syntax) -> None:
    tag, value = VALUES[vr]
    padding = b"\0" if vr in PADDED_WITH_NUL else b" "
    dataset = read_back(encode_element(tag, vr, value, syntax), syntax)
    assert tags_of(dataset) == [tag]
    raw = dataset.get_item(tag)  # as pydicom split it up, before it decodes anything
    if not syntax.implicit:
        assert raw.VR.encode() == vr
    assert (raw.value or b"") == value + padding * (len(value) % 2)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_elements_of_short_and_long_headers_are_read_back(syntax: Syntax) -> None:
    content = join_elements(
        {
            0x00204000: encode_element(0x00204000, b"LT", b"odd", syntax),
            0x00080018: encode_element(0x00080018, b"UI", b"1.2.3", syntax),
            0x00189908: encode_element(0x00189908, b"UC", b"long", syntax),
        }
    )
    dataset = read_back(content, syntax)
    assert [int(element.tag) for element in dataset] == [0x00080018, 0x00189908, 0x00204000]
    assert (dataset.SOPInstanceUID, dataset.ImageComments) == ("1.2.3", "odd")
    assert len(content) % 2 == 0


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_are_read_back(syntax: Syntax) -> None:
    row = {0x00080100: encode_element(0x00080100, b"SH", b"113100", syntax)}
    content = encode_element(0x00120064, b"SQ", encode_items([(syntax, row), (syntax, {})]), syntax)
    dataset = read_back(content, syntax)
    first, second = dataset.DeidentificationMethodCodeSequence
    assert first.CodeValue == "113100"
    assert len(second) == 0


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_sequence_within_sequences_is_read_back(syntax: Syntax) -> None:
    content = encode_element(0x00080060, b"CS", b"CT", syntax)
    for _ in range(20):
        content = encode_element(0x00089124, b"SQ", encode_items([(syntax, {1: content})]), syntax)
    dataset = read_back(content, syntax)
    for _ in range(20):
        (dataset,) = dataset.DerivationImageSequence
    assert dataset.Modality == "CT"


def test_uids_and_bytes_are_padded_with_zero_and_text_with_a_space() -> None:
    assert encode_element(0x00080018, b"UI", b"1.2", EXPLICIT_LITTLE).endswith(b"1.2\0")
    assert encode_element(0x00100010, b"PN", b"abc", EXPLICIT_LITTLE).endswith(b"abc ")


def test_views_of_large_values_are_joined_and_ordered_like_bytes() -> None:
    pixels = encode_element(0x7FE00010, b"OW", bytes(10), EXPLICIT_LITTLE)
    rows = encode_element(0x00280010, b"US", b"\4\0", EXPLICIT_LITTLE)
    elements = {0x7FE00010: memoryview(pixels), 0x00280010: rows}
    assert join_elements(elements) == rows + pixels
    assert in_order(elements)[1] is elements[0x7FE00010]


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_a_value_too_long_for_its_header_is_refused(syntax: Syntax) -> None:
    """New UIDs are longer than old ones; a short header has two bytes for the length."""
    longest = b"1" * 0xFFFE
    assert read_back(encode_element(0x00080018, b"UI", longest, syntax), syntax).get_item(0x00080018).value == longest
    with pytest.raises(Quarantined) as caught:
        encode_element(0x00080018, b"UI", longest + b"1", syntax)
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED
    assert "1111" not in str(caught.value)
    assert len(encode_element(0x00080018, b"UC", longest + b"1", syntax)) == 12 + 0x10000


@given(
    st.dictionaries(
        st.integers(0x00090101, 0x0009FFFF),  # private: read with the VR of the file, and in implicit as UN
        st.tuples(st.sampled_from(sorted(KIND_OF_VR.keys() - {b"SQ"})), st.binary(max_size=30)),
        max_size=8,
    ),
    st.sampled_from(SYNTAXES),
)
def test_any_values_are_read_back_by_both_readers(values: dict[int, tuple[bytes, bytes]], syntax: Syntax) -> None:
    content = join_elements({tag: encode_element(tag, vr, value, syntax) for tag, (vr, value) in values.items()})
    ours = {
        element.tag: (element.vr, content[element.start : element.end]) for element in read_elements(content, 0, syntax)
    }
    dataset = read_back(content, syntax)
    assert list(ours) == tags_of(dataset) == sorted(values)
    for tag, (vr, value) in values.items():
        read = dataset.get_item(tag).value or b""
        assert ours[tag] == (b"UN" if syntax.implicit else vr, read)
        assert (read[: len(value)], len(read) - len(value)) == (value, len(value) % 2)


def test_long_headers_have_two_reserved_bytes_that_are_zero() -> None:
    for vr in LONG_VRS:
        assert encode_element(0x00091001, vr, b"", EXPLICIT_LITTLE)[4:] == vr + bytes(6)
