"""Private attributes: kept only by exact name, type, number and value."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from curate.deid.engine import Deidentified, deidentify_bytes
from curate.deid.private import OTHER_CREATORS, compile_private, public_name
from curate.deid.profile import Profile, load_profile
from curate.deid.pseudonyms import Keyed
from curate.deid.tables import safe_private
from curate.deid.verification import check_output
from curate.deid.verification.claims import read_overrides
from tests.support.deid_files import KEY, encode, item, make_ct

MIRA, BASIC = load_profile("mira"), load_profile("basic")
PHILIPS, GE = "Philips MR Imaging DD 001", "GEMS_ACQU_01"


def clean(source: Dataset, profile: Profile = MIRA, syntax: str = ExplicitVRLittleEndian) -> Deidentified:
    return deidentify_bytes(encode(source, syntax), profile, Keyed(KEY), site="a")


def private_tags(result: Deidentified) -> dict[int, object]:
    return {int(one.tag): one.value for one in dcmread(BytesIO(result.content)).iterall() if one.tag.is_private}


def with_block(group: int, creator: str, *elements: tuple[int, str, object]) -> Dataset:
    source = make_ct()
    block = source.private_block(group, creator, create=True)
    for number, vr, value in elements:
        block.add_new(number, vr, value)
    return source


def test_the_table_is_read_by_group_creator_and_number() -> None:
    row = safe_private()[(0x0019, GE, 0x9E)]
    assert (row.vr, row.fewest, row.most) == (b"LO", 1, 1)
    assert all(row.vr for row in safe_private().values())


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_safe_attribute_stays_with_its_creator(syntax: str) -> None:
    source = with_block(0x2005, PHILIPS, (0x0D, "FL", 1.5), (0x0E, "FL", 2.5), (0x77, "LO", "secret"))
    source.PixelData = struct.pack(">24H", *range(24)) if syntax == ExplicitVRBigEndian else source.PixelData
    result = clean(source, syntax=syntax)
    assert private_tags(result) == {0x20050010: PHILIPS, 0x2005100D: 1.5, 0x2005100E: 2.5}
    assert check_output(result.content, "x").findings == ()


def test_all_go_where_the_profile_does_not_keep_them() -> None:
    assert private_tags(clean(with_block(0x2005, PHILIPS, (0x0E, "FL", 2.5)), BASIC)) == {}
    assert not compile_private(BASIC)


@pytest.mark.parametrize(
    ("vr", "value"),
    [("LO", "2.5"), ("FD", 2.5), ("FL", [2.5, 3.5]), ("OB", b"12"), ("UN", b"Quix")],
)  # fmt: skip
def test_another_vr_or_number_of_values_than_the_tables_goes(vr: str, value: object) -> None:
    result = clean(with_block(0x2005, PHILIPS, (0x0E, vr, value)))
    if vr == "UN":  # taken for the FL of the table, four bytes, which no check can tell from letters
        assert set(private_tags(result)) == {0x20050010, 0x2005100E}
    else:
        assert private_tags(result) == {}


def test_letters_where_the_table_has_numbers_go() -> None:
    assert private_tags(clean(with_block(0x0019, GE, (0x9E, "LO", "for Quixotova")))) == {}
    assert private_tags(clean(with_block(0x0019, GE, (0x9E, "LO", "EFGRE3D")))) == {0x190010: GE, 0x19109E: "EFGRE3D"}


@pytest.mark.parametrize("creator", ["philips mr imaging dd 001", "Philips MR Imaging DD 002", "Quixotova Almudena"])
def test_another_creator_is_another_attribute(creator: str) -> None:
    result = clean(with_block(0x2005, creator, (0x0E, "FL", 2.5)))
    assert private_tags(result) == {}
    assert b"Quixotova" not in result.content


def test_a_block_may_lie_anywhere_and_several_share_a_group() -> None:
    source = with_block(0x2005, "Quixotova", (0x0E, "FL", 1.0))
    source.private_block(0x2005, PHILIPS, create=True).add_new(0x0E, "FL", 2.5)
    assert private_tags(clean(source)) == {0x20050011: PHILIPS, 0x2005110E: 2.5}


def test_an_attribute_without_its_creator_goes() -> None:
    source = make_ct()
    source.add_new(0x2005100E, "FL", 2.5)
    assert private_tags(clean(source)) == {}


def test_blocks_are_those_of_their_own_item() -> None:
    inner = item(CodeValue="T-1")
    inner.add_new(0x2005100E, "FL", 2.5)  # no creator here, though the data set above has one
    source = with_block(0x2005, PHILIPS, (0x0E, "FL", 1.5))
    source.AnatomicRegionSequence = [inner]
    assert private_tags(clean(source)) == {0x20050010: PHILIPS, 0x2005100E: 1.5}


def test_a_safe_sequence_is_entered_and_its_items_cleaned() -> None:
    inner = item(PatientName="Quixotova^Almudena", Rows=3)
    inner.private_block(0x7E01, "HOLOGIC, Inc.", create=True).add_new(0x02, "SH", "1.2")
    source = with_block(0x7E01, "HOLOGIC, Inc.", (0x10, "SQ", [inner]))
    result = clean(source)
    kept = dcmread(BytesIO(result.content))[0x7E011010].value[0]
    assert kept[0x7E011002].value == "1.2"
    assert str(kept.PatientName) == "ANONYMIZED"
    assert b"Quixotova" not in result.content


def test_a_safe_uid_is_mapped() -> None:
    name = next(key for key, row in safe_private().items() if row.vr == b"UI")
    result = clean(with_block(name[0], name[1], (name[2], "UI", "1.2.3.4")))
    assert Keyed(KEY).uid("1.2.3.4") in private_tags(result).values()


def test_a_site_can_keep_and_remove_private_attributes() -> None:
    chosen = {f'(2005,"{PHILIPS}",0e)': "remove", '(0019,"SIEMENS MR HEADER",0c)': "keep"}
    mine, overrides = (
        load_profile("mira", overrides=chosen),
        read_overrides(f"{tag}={choice}" for tag, choice in chosen.items()),
    )
    source = with_block(0x2005, PHILIPS, (0x0E, "FL", 2.5))
    source.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "1000")
    result = clean(source, mine)
    assert private_tags(result) == {0x190010: "SIEMENS MR HEADER", 0x19100C: 1000}
    assert check_output(result.content, "x", overrides).findings == ()


def test_what_goes_is_counted_by_vendor_and_never_by_a_name_that_nobody_knows() -> None:
    source = with_block(0x0029, "SIEMENS CSA HEADER", (0x10, "OB", b"12"))
    source.private_block(0x0031, "Quixotova", create=True).add_new(0x01, "LO", "x")
    counts = dict(clean(source).audit.counts)
    assert counts["private removed: SIEMENS CSA HEADER"] == 1
    assert counts[f"private removed: {OTHER_CREATORS}"] == 3
    assert "Quixotova" not in str(counts)
    assert public_name("SECRETAPP 1.0") == OTHER_CREATORS
