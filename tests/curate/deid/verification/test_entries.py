"""Records of elements, whoever parsed them."""

from __future__ import annotations

from curate.deid.verification.entries import Contents, Entry, describe, flat

INNER = Entry(0x00080100, "SH", b"T-1")
SEQUENCE = Entry(0x00082218, "SQ", b"", ((INNER,), (INNER, INNER)))


def test_private_tags_are_described_by_their_group_alone() -> None:
    assert describe(0x00080018) == "(0008,0018)"
    assert describe(0x00291010) == "(0029,xxxx)"


def test_flat_gives_every_element_at_every_depth() -> None:
    outer = Entry(0x00081140, "SQ", b"", ((SEQUENCE,),))
    assert [entry.tag for entry in flat((outer, INNER))] == [
        0x00081140, 0x00080100, 0x00082218, 0x00080100, 0x00080100, 0x00080100,
    ]  # fmt: skip


def test_values_are_looked_up_at_the_top_level_without_padding() -> None:
    contents = Contents((), (Entry(0x00080018, "UI", b"1.2.3\0"), SEQUENCE), "1.2.840.10008.1.2.1")
    assert contents.value(0x00080018) == b"1.2.3"
    assert contents.text(0x00080018) == "1.2.3"
    assert contents.value(0x00080100) == b""


def test_pixels_of_the_top_level_count_and_no_others() -> None:
    icon = Entry(0x00880200, "SQ", b"", ((Entry(0x7FE00010, "OW", b"12"),),))
    assert not Contents((), (icon,), "").has_pixels()
    assert Contents((), (Entry(0x7FE00008, "OF", b""),), "").has_pixels()
