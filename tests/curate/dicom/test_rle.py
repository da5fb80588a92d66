from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from curate.dicom.rle import decode_rle
from curate.errors import Rejected


def pack(planes: list[bytes]) -> bytes:
    """Segments as given, behind their header."""
    starts = np.cumsum([64, *map(len, planes[:-1])]).tolist()
    return struct.pack("<16L", len(planes), *starts, *[0] * (15 - len(planes))) + b"".join(planes)


def literal(content: bytes) -> bytes:
    return b"".join(
        bytes([len(part) - 1]) + part for part in (content[k : k + 128] for k in range(0, len(content), 128))
    )


def mixed(content: bytes, chance: random.Random) -> bytes:
    """Runs and literals of chance lengths, with a no-operation now and then."""
    out, at = b"", 0
    while at < len(content):
        run = 1
        while at + run < len(content) and content[at + run] == content[at] and run < 128:
            run += 1
        if run > 1:
            out += bytes([257 - run, content[at]])
        else:
            run = min(chance.randint(1, 128), len(content) - at)
            out += bytes([run - 1]) + content[at : at + run]
        at += run
        out += b"\x80" if chance.random() < 0.1 else b""
    return out + b"\0" * (len(out) % 2)


def planes_of(pixels: np.ndarray) -> list[bytes]:
    octets = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">")).view(np.uint8)
    return [octets.reshape(-1, pixels.dtype.itemsize)[:, k].tobytes() for k in range(pixels.dtype.itemsize)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 33), (128, 128)])
def test_runs_and_literals_of_every_length_are_unpacked(dtype: type, shape: tuple[int, int]) -> None:
    chance, numbers = random.Random(0), np.random.default_rng(0)
    pixels = numbers.integers(0, 1 << 8 * np.dtype(dtype).itemsize, shape, dtype)
    pixels[numbers.random(shape) < 0.6] = 7
    stream = pack([mixed(plane, chance) for plane in planes_of(pixels)])
    found = decode_rle(stream, *shape, pixels.dtype.itemsize * 8)
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == pixels.dtype
    assert found.flags.writeable


GOOD = [literal(bytes(20)), literal(bytes(range(20)))]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        bytes(63),
        bytes(200),
        pack(GOOD[:1]),  # one segment for two bytes a pixel
        pack([*GOOD, GOOD[0]]),
        pack([GOOD[0][:-1], GOOD[1]]),  # a byte is missing
        pack([GOOD[0], GOOD[1][:-3]]),
        pack([literal(bytes(21)), GOOD[1]]),  # one too many
        pack([GOOD[0] + b"\x55\x55", GOOD[1]]),  # something behind the plane
        pack([b"\x81\x00", GOOD[1]]),  # a run past the end
        pack([GOOD[0], b"\x13"]),  # a literal without its bytes
        pack([GOOD[0], b"\xed"]),  # a run without its byte
        struct.pack("<16L", 2, 64, 64, *[0] * 13) + b"".join(GOOD),  # segments on top of each other
        struct.pack("<16L", 2, 64, 2**32 - 1, *[0] * 13) + b"".join(GOOD),
        struct.pack("<16L", 2**32 - 1, 64, 85, *[0] * 13) + b"".join(GOOD),
    ],
)
def test_segments_that_do_not_give_one_plane_each_are_refused(stream: bytes) -> None:
    np.testing.assert_array_equal(decode_rle(pack(GOOD), 4, 5, 16).reshape(-1), range(20))
    with pytest.raises(Rejected):
        decode_rle(stream, 4, 5, 16)


def test_padding_behind_a_segment_is_no_damage() -> None:
    padded = pack([GOOD[0] + b"\0", GOOD[1] + b"\x80\0"])
    np.testing.assert_array_equal(decode_rle(padded, 4, 5, 16).reshape(-1), range(20))


def test_damaged_streams_are_refused_or_decoded_but_never_crash() -> None:
    stream, chance, refused = pack(GOOD), random.Random(0), 0
    for _ in range(3000):
        hostile = bytearray(stream)
        for _ in range(chance.randint(1, 4)):
            hostile[chance.randrange(len(hostile))] = chance.choice([0, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        try:
            assert decode_rle(bytes(hostile[: chance.randint(60, len(hostile))]), 4, 5, 16).shape == (4, 5)
        except Rejected:
            refused += 1
    assert refused > 500
