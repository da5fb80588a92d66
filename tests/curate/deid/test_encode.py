"""What is encoded here, pydicom reads."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.filereader import read_dataset

from curate.deid.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax
from curate.deid.encode import encode_element, encode_items, join_elements

SYNTAXES = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_elements_of_short_and_long_headers_are_read_back(syntax: Syntax) -> None:
    content = join_elements(
        {
            0x00204000: encode_element(0x00204000, b"LT", b"odd", syntax),
            0x00080018: encode_element(0x00080018, b"UI", b"1.2.3", syntax),
            0x00189908: encode_element(0x00189908, b"UC", b"long", syntax),
        }
    )
    dataset = read_dataset(BytesIO(content), syntax.implicit, syntax.little)
    assert [int(element.tag) for element in dataset] == [0x00080018, 0x00189908, 0x00204000]
    assert (dataset.SOPInstanceUID, dataset.ImageComments) == ("1.2.3", "odd")
    assert len(content) % 2 == 0


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_sequences_are_read_back(syntax: Syntax) -> None:
    row = {0x00080100: encode_element(0x00080100, b"SH", b"113100", syntax)}
    content = encode_element(0x00120064, b"SQ", encode_items([(syntax, row), (syntax, {})]), syntax)
    dataset = read_dataset(BytesIO(content), syntax.implicit, syntax.little)
    first, second = dataset.DeidentificationMethodCodeSequence
    assert first.CodeValue == "113100"
    assert len(second) == 0


def test_uids_and_bytes_are_padded_with_zero_and_text_with_a_space() -> None:
    assert encode_element(0x00080018, b"UI", b"1.2", EXPLICIT_LITTLE).endswith(b"1.2\0")
    assert encode_element(0x00100010, b"PN", b"abc", EXPLICIT_LITTLE).endswith(b"abc ")
