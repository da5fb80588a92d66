"""Encapsulated pixel data: split into frames and written again, as pydicom's writer and reader see them."""

from __future__ import annotations

import struct

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from curate.deid.pixels.fragments import Frames, extended_offsets, read_frames, write_frames
from curate.errors import Quarantined
from curate.reasons import Reason

END = b"\xfe\xff\xdd\xe0\0\0\0\0"
STREAMS = [b"\xff\xd8first", b"\xff\xd8second frame", b"\xff\xd8third!"]
PADDED = [stream + b"\0" * (len(stream) & 1) for stream in STREAMS]


def item(value: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def refused(value: bytes, frames: int) -> None:
    with pytest.raises(Quarantined) as caught:
        read_frames(value, frames)
    assert caught.value.reason is Reason.DEIDENTIFICATION_FAILED


@pytest.mark.parametrize("has_offsets", [True, False])
@pytest.mark.parametrize("pieces", [1, 2])
def test_what_pydicom_wrote_is_read_and_written_bit_for_bit(has_offsets: bool, pieces: int) -> None:
    value = encapsulate(STREAMS, fragments_per_frame=pieces, has_bot=has_offsets) + END
    frames = read_frames(value, 3)
    assert [frames.codestream(number).rstrip(b"\0") for number in range(3)] == STREAMS
    assert frames.has_offsets is has_offsets
    assert write_frames(frames) == value


def test_frames_of_other_lengths_are_found_by_pydicom() -> None:
    frames = Frames(((b"\xff\xd8longer than it was",), (b"\xff\xd8odd",)), has_offsets=True)
    value = write_frames(frames)
    assert value.endswith(END)
    found = list(generate_frames(value[: -len(END)], number_of_frames=2))
    assert found == [b"\xff\xd8longer than it was", b"\xff\xd8odd\0"]


def test_extended_offsets_are_those_of_pydicom() -> None:
    value, offsets, _ = encapsulate_extended(STREAMS)
    frames = read_frames(value + END, 3)
    assert extended_offsets(frames)[0] == offsets
    lengths = struct.unpack("<3Q", extended_offsets(frames)[1])
    assert lengths == tuple(map(len, PADDED))


def test_one_frame_takes_all_fragments() -> None:
    frames = read_frames(item(b"") + item(b"\xff\xd8ab") + item(b"cdef") + END, 1)
    assert frames.codestream(0) == b"\xff\xd8abcdef"


def test_text_instead_of_an_offset_table_is_refused() -> None:
    refused(item(b"Quixotova^Almudena  ") + item(b"\xff\xd8ab") + END, 1)
    refused(item(b"Quix") + item(b"\xff\xd8ab") + END, 1)


def test_offsets_that_point_elsewhere_are_refused() -> None:
    pieces = item(b"\xff\xd8ab") + item(b"\xff\xd8cd")
    refused(item(struct.pack("<2I", 0, 2)) + pieces + END, 2)
    refused(item(struct.pack("<2I", 12, 0)) + pieces + END, 2)
    refused(item(struct.pack("<2I", 0, 0)) + pieces + END, 2)


def test_fragments_that_no_frame_claims_are_refused() -> None:
    refused(item(b"") + item(b"\xff\xd8ab") + item(b"cd") + item(b"ef") + END, 2)
    refused(item(b"") + item(b"letters!") + item(b"\xff\xd8ab") + item(b"\xff\xd8cd") + END, 2)
    refused(item(b"") + END, 1)
    refused(END, 1)


def test_bytes_that_are_no_items_are_refused() -> None:
    refused(item(b"") + item(b"\xff\xd8ab"), 1)
    refused(item(b"") + item(b"\xff\xd8ab") + END + b"more", 1)
    refused(item(b"") + item(b"\xff\xd8ab") + b"\xfe\xff\xdd\xe0\4\0\0\0", 1)
