"""Read a file of a release once: digest its bytes, look for leaks in them, and keep what later checks need.

Files up to ``WHOLE_BYTES`` are held in memory while they are checked. Larger ones are streamed in blocks, and only
their raw bytes are scanned a block at a time; what is decoded from them (Parquet row groups, Zarr chunks) is read in
pieces afterwards.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

WHOLE_BYTES = 512 << 20
BLOCK_BYTES = 16 << 20
OVERLAP_BYTES = 8192  # longer than twice any pattern, so that one cut by a block's edge is seen whole in the next

Block = Callable[
    [bytes, int, int, int], None
]  # bytes, offset in the file, first and last offset in the block that count


@dataclass(frozen=True, slots=True)
class FileRead:
    """``content`` is None when the file was too large to keep."""

    sha256: str
    size: int
    content: bytes | None


def read_once(source: Path | BinaryIO, on_block: Block | None = None) -> FileRead:
    """Digest a regular file, or an object of a store that was opened, and hand its bytes to ``on_block``.

    Blocks overlap; each offset of the file counts in exactly one of them. A link is refused (``OSError``).
    """
    with _open(source) if isinstance(source, Path) else source as stream:
        whole = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if whole <= WHOLE_BYTES:
            content = stream.read()
            if on_block:
                on_block(content, 0, 0, len(content))
            return FileRead(hashlib.sha256(content).hexdigest(), len(content), content)
        digest, size = hashlib.sha256(), 0
        tail = b""
        block = stream.read(BLOCK_BYTES)
        while block:
            digest.update(block)
            following = stream.read(BLOCK_BYTES)
            window = tail + block
            first = OVERLAP_BYTES // 2 if tail else 0
            last = len(window) - OVERLAP_BYTES // 2 if following else len(window)
            if on_block:
                on_block(window, size - len(tail), first, last)
            size += len(block)
            tail = window[-OVERLAP_BYTES:]
            block = following
        return FileRead(digest.hexdigest(), size, None)


def _open(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))
