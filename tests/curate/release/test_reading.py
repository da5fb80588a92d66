import hashlib
from pathlib import Path

import pytest

from curate.release import reading
from curate.release.reading import read_once


def test_a_small_file_is_kept_whole_and_given_in_one_block(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    blocks: list[tuple[bytes, int, int, int]] = []
    read = read_once(tmp_path / "f", lambda *block: blocks.append(block))
    assert (read.sha256, read.size, read.content) == (hashlib.sha256(b"abc").hexdigest(), 3, b"abc")
    assert blocks == [(b"abc", 0, 0, 3)]


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "f")
    with pytest.raises(OSError):
        read_once(tmp_path / "link")


@pytest.mark.parametrize("size", [101, 128, 129, 255, 256, 257, 1000, 1024])
def test_blocks_of_a_large_file_cover_each_offset_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(reading, "WHOLE_BYTES", 100)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 128)
    monkeypatch.setattr(reading, "OVERLAP_BYTES", 32)
    content = bytes(range(256)) * 4
    content = content[:size]
    (tmp_path / "f").write_bytes(content)
    seen: list[int] = []

    def on_block(block: bytes, offset: int, first: int, last: int) -> None:
        assert content[offset : offset + len(block)] == block
        seen.extend(range(offset + first, offset + last))

    read = read_once(tmp_path / "f", on_block)
    assert read == reading.FileRead(hashlib.sha256(content).hexdigest(), size, None)
    assert seen == list(range(size))


def test_what_starts_where_it_counts_is_whole_in_that_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WHOLE_BYTES", 100)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 128)
    monkeypatch.setattr(reading, "OVERLAP_BYTES", 32)
    content = bytes(range(256)) * 3
    (tmp_path / "f").write_bytes(content)
    pattern = 14  # bytes; less than half the overlap, with a neighbour on each side

    def on_block(block: bytes, offset: int, first: int, last: int) -> None:
        for start in range(first, last):
            at = offset + start
            assert block[start : start + pattern + 1] == content[at : at + pattern + 1]
            assert start > 0 or at == 0

    read_once(tmp_path / "f", on_block)
