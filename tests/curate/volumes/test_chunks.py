"""The compiled decoder against numcodecs, and against bytes that lie."""

from __future__ import annotations

import numpy as np
import pytest
from numcodecs import blosc

from curate.volumes.chunks import COLUMNS, DAMAGED, READ, list_chunks, read_chunks, scratch_words

DTYPES = ("uint8", "uint16", "float32", "float64")
SHUFFLES = (blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE)
GUARD = 64


def decode(
    encoded: bytes, shape: tuple[int, int, int], dtype: str, start: tuple[int, int, int], stop: tuple[int, int, int]
) -> tuple[int, np.ndarray]:
    """Status and box of the one chunk of an array; what lies around the box's memory and scratch must not change."""
    size = np.dtype(dtype).itemsize
    table = np.array([[0, 0, 0, 0, len(encoded)]], np.int64)
    box = tuple(b - a for a, b in zip(start, stop, strict=True))
    count = int(np.prod(box)) * size
    memory = np.full(count + 2 * GUARD, 0xAB, np.uint8)
    words = scratch_words(shape, size)
    scratch = np.full(words + GUARD, 0xABABABABABABABAB, np.uint64)
    layout = (GUARD, box[1] * box[2] * size, box[2] * size, size)
    source = np.frombuffer(encoded, np.uint8)
    fill = np.frombuffer(bytes(size), np.uint8)
    status = read_chunks(table, -1, source, start, stop, shape, fill, memory, layout, scratch[:words])
    assert (memory[:GUARD] == 0xAB).all()
    assert (memory[count + GUARD :] == 0xAB).all()
    assert (scratch[words:] == 0xABABABABABABABAB).all()
    return status, memory[GUARD : GUARD + count].view(dtype).reshape(box)


def voxels(shape: tuple[int, int, int], dtype: str, seed: int) -> np.ndarray:
    """Some noise, some of it flat: streams that LZ4 packs and streams that it does not."""
    random = np.random.default_rng(seed)
    values = random.integers(0, (200, 5, 2)[seed % 3], shape) * (random.random(shape) < 0.7)
    return values.astype(dtype)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_boxes_of_chunks_of_many_sizes_are_what_was_packed(dtype: str, shuffle: int) -> None:
    random = np.random.default_rng(1)
    for seed in range(40):
        k, j, i = (int(n) for n in random.integers(1, 24, 3))
        shape = k, j, i
        array = voxels(shape, dtype, seed)
        block = (0, 128, 1024, 4096)[seed % 4]
        encoded = blosc.compress(array.tobytes(), (b"lz4", b"lz4hc")[seed % 2], 5, shuffle, block, array.dtype.itemsize)
        a, b = np.sort(random.integers(0, [[n, n] for n in shape], (3, 2)).T, axis=0)
        b += 1
        status, found = decode(encoded, shape, dtype, tuple(map(int, a)), tuple(map(int, b)))
        assert status == READ
        np.testing.assert_array_equal(found, array[tuple(slice(x, y) for x, y in zip(a, b, strict=True))])


def packed(dtype: str, shuffle: int, block: int) -> tuple[np.ndarray, bytes]:
    array = voxels((8, 16, 24), dtype, 0)
    return array, blosc.compress(array.tobytes(), b"lz4hc", 5, shuffle, block, array.dtype.itemsize)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_hostile_bytes_are_damage_or_values_and_never_leave_their_bounds(dtype: str, shuffle: int) -> None:
    random = np.random.default_rng(shuffle)
    statuses = set()
    for block in (0, 512):
        array, encoded = packed(dtype, shuffle, block)
        for turn in range(800):
            hostile = bytearray(encoded)
            for _ in range(int(random.integers(1, 4))):  # most often in the headers and the sizes behind them
                place = int(random.integers(0, 48 if turn % 2 else len(hostile)))
                hostile[place] = int(random.choice([0, 1, 2, 4, 16, 0x21, 0x7F, 0x80, 0xFF, random.integers(256)]))
            if turn % 5 == 0:
                hostile = hostile[: int(random.integers(0, len(hostile)))]
            if turn % 7 == 0 and len(hostile) >= 16:
                hostile[12:16] = len(hostile).to_bytes(4, "little")
            status, found = decode(bytes(hostile), array.shape, dtype, (1, 2, 3), (8, 15, 23))
            statuses.add(status)
            assert found.shape == (7, 13, 20)
    assert statuses == {READ, DAMAGED}


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 1), (0, 3), (2, 0x41), (3, 4), (4, 1), (9, 0), (8, 1), (11, 0xFF), (12, 1), (16, 0), (19, 0xFF)],
)
def test_every_number_of_the_header_is_checked(place: int, value: int) -> None:
    array, encoded = packed("uint16", blosc.SHUFFLE, 0)
    hostile = bytearray(encoded)
    hostile[place] = value
    assert decode(bytes(hostile), array.shape, "uint16", (0, 0, 0), array.shape)[0] == DAMAGED


@pytest.mark.parametrize("row", [[0, 0, 0, -5, 50], [0, 0, 0, 0, 1 << 40], [0, 0, 0, 1 << 62, 50], [0, 0, 0, 0, -1]])
def test_an_index_that_points_elsewhere_is_damage(row: list[int]) -> None:
    _, encoded = packed("uint16", blosc.SHUFFLE, 0)
    source, fill = np.frombuffer(encoded, np.uint8), np.frombuffer(b"00", np.uint8)
    box, memory, scratch = (8, 16, 24), np.empty(8 * 16 * 24 * 2, np.uint8), np.empty(4096, np.uint64)
    assert scratch_words(box, 2) <= scratch.size
    table, layout = np.array([row], np.int64), (0, 768, 48, 2)
    assert read_chunks(table, -1, source, (0, 0, 0), box, box, fill, memory, layout, scratch) == DAMAGED


def test_a_chunk_that_was_left_out_is_the_fill_value() -> None:
    table, chunk = np.full((1, COLUMNS), -1, np.int64), (2, 3, 4)
    table[0, :3] = 0
    source, scratch = np.frombuffer(b"", np.uint8), np.empty(64, np.uint64)
    for value in (0, 0x0102):
        fill = np.frombuffer(np.uint16(value).tobytes(), np.uint8)
        memory = np.full(48, 9, np.uint8)
        status = read_chunks(table, -1, source, (0, 0, 0), chunk, chunk, fill, memory, (0, 24, 8, 2), scratch)
        assert status == READ
        assert (memory.view(np.uint16) == value).all()


def test_the_chunks_of_a_box_are_listed_with_their_bytes() -> None:
    index = np.frombuffer(np.arange(3 * 4 * 5 * 2).astype(np.int64).tobytes(), np.int64).reshape(3, 4, 5, 2)
    table = np.zeros((30, COLUMNS), np.int64)
    count = list_chunks(index, (2, 0, 4), (5, 9, 13), (2, 4, 4), table)
    places = {(k, j, i) for k in (1, 2) for j in (0, 1, 2) for i in (1, 2, 3)}
    assert count == len(places) == 18
    assert {tuple(row[:3]) for row in table[:count].tolist()} == places
    assert all(index[tuple(row[:3])].tolist() == row[3:].tolist() for row in table[:count])
