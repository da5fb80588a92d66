"""What every store can do, wherever it lies. Payloads and receipts are created once and never replaced.

Keys are relative POSIX paths. An object appears whole or not at all, so two writers of the same bytes may race. Only
tables that are views of the ledger (manifests) are replaced, by ``put``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from curate.errors import Unavailable

_PLAIN = re.compile(r"[^/.][^/]*(?:/[^/.][^/]*)*")  # no part is empty or begins with a dot


class Store(Protocol):
    """A place for named objects. All methods raise ``Unavailable`` when the storage refuses, with no path in its text,
    and ``ValueError`` for a key that would leave the store."""

    @property
    def url(self) -> str:
        """Where it lies, as ``open_store`` takes it: an absolute path, or a URL without secrets. ``<url>/<key>`` opens
        the store below a key."""

    def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
        """Write the object whole unless it exists. True if this call is known to have created it.

        Then it outlives the machine; with ``durable`` False, on a file system of this machine, only the process until
        ``sync``: should the power fail before, the object may stand there empty or cut off.

        False says that an object stands there, not that another writer made it: over a network the answer to the
        request that created it may be lost, and the second try is refused. So every caller treats "it was there" as
        it treats a lost race: read it, and compare.
        """

    def sync(self) -> None:
        """Wait until all that processes of this machine have put here outlives the machine."""

    def put(self, key: str, content: bytes | memoryview) -> None:
        """Write the object whole in place of what stands there. For views of the ledger alone."""

    def get(self, key: str) -> bytes:
        """The whole object. Raises ``FileNotFoundError`` if there is none."""

    def open(self, key: str) -> BinaryIO:
        """The object as a seekable file, for readers that need parts of it. Raises ``FileNotFoundError``.

        What is read is of one version: where that cannot be had because the object is replaced meanwhile,
        ``Unavailable`` is raised.
        """

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``, fewer where the object ends. A ``start`` below 0 counts from the end, and
        ``length`` is as much then; of a shorter object all is given. Raises ``FileNotFoundError`` if there is no such
        object."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        """Start (0 or more) and length of each part -> the parts, fewer bytes where the object ends. Over a network all
        are asked for at the same time. Raises ``FileNotFoundError``."""

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Bytes of the object. Raises ``FileNotFoundError`` if there is none."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys below a folder, sorted as strings, a page or a folder at a time: never all of them in memory."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens if there is none. For garbage and compacted receipts alone: a reader that
        holds the key does not expect it to go."""

    def modified(self, key: str) -> float:
        """When the object was written, in seconds since 1970, by the storage's clock. Raises ``FileNotFoundError``."""


def key_parts(key: str) -> tuple[str, ...]:
    """The parts of a key. Raises ``ValueError`` for a key that would leave the store."""
    if _PLAIN.fullmatch(key):  # nearly every key; a path of the library costs ten times as much
        return tuple(key.split("/"))
    parts = PurePosixPath(key).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ValueError("a store key is a relative path without '..'")
    return parts


def unavailable(action: str, error: OSError) -> Unavailable:
    """An I/O failure without the path in its text: paths of archives carry names."""
    return Unavailable(f"cannot {action}: {os.strerror(error.errno or 0)}")
