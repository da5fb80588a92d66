"""Objects of a far store kept as files of this node: each is fetched once, by one process, for all of them.

::

    <folder>/<name>          an object; name: SHA-256 of its URL
    <folder>/<name>.lock     the SHA-256 of the object, written before the object appears

All processes of a node that name one folder share it; ``flock`` is all that they say to each other, and the system
takes a lock back from a process that dies. Who reads an object holds a shared lock on its file, so it is not removed;
who fetches one holds the lock of its name, and the others wait for it; who writes or removes holds that of the folder.
A process compares an object with its digest before it reads it for the first time. The least recently used go first.
The store keeps every object: nothing here is the only copy.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.errors import Misconfigured
from curate.storage.digests import sha256_bytes
from curate.storage.store import Store, unavailable

_LOCK, _PART = ".lock", ".part"
_ROOM = "room" + _LOCK


@dataclass(frozen=True, slots=True)
class NodeCache:
    """A folder on a disk of this node for at most ``budget_bytes`` of objects. May be pickled, and shared by processes.

    More is used only where nothing else can be removed because it is being read at that moment.
    """

    folder: Path
    budget_bytes: int

    def used_bytes(self) -> int:
        """Of the objects that are there now."""
        return sum(size for _, size, _ in self.objects())

    def objects(self) -> list[tuple[int, int, Path]]:
        """When each object was last opened (ns since 1970), its bytes and its file, the one to go first first."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if not entry.name.endswith((_LOCK, _PART)):
                        found.append((entry.stat().st_mtime_ns, entry.stat().st_size, Path(entry.path)))
        return sorted(found)

    def make_room(self, size: int) -> None:
        """Remove objects that nobody reads until ``size`` bytes fit. For the process that holds the folder's lock.

        Raises ``Misconfigured`` for more than the budget.
        """
        if size > self.budget_bytes:
            raise Misconfigured("node cache: an object is larger than the whole budget")
        for left in self.folder.glob(f"*{_PART}"):  # of a process that died: there is one writer at a time
            left.unlink(missing_ok=True)
        objects = self.objects()
        over = sum(used for _, used, _ in objects) + size - self.budget_bytes
        for _, used, path in objects:
            if over <= 0:
                return
            with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                over -= used


class CachedStore:
    """What a far store holds, read through a ``NodeCache``, whole object by whole object.

    Methods as of ``Store``; ``Unavailable`` is raised too when the folder cannot be read or written.
    """

    def __init__(self, store: Store, cache: NodeCache) -> None:
        self._store = store
        self._cache = cache
        self._proven: tuple[int, set[Path]] = (os.getpid(), set())

    @property
    def url(self) -> str:
        return self._store.url

    def get(self, key: str) -> bytes:
        with os.fdopen(self.open_descriptor(key), "rb") as stream:
            return stream.read()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        content = self.get(key)
        return content[start:][:length]

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        content = memoryview(self.get(key))
        return [content[start:][:length] for start, length in ranges]

    def open_descriptor(self, key: str) -> int:
        """The object as an open file, fetched if need be, to be closed by the caller; until then it stays.

        Raises ``FileNotFoundError`` when the store has none.
        """
        path = self._cache.folder / sha256_bytes(f"{self._store.url}/{key}".encode())
        try:
            self._cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = self._open(path)
            if descriptor is None:
                descriptor = self._fetch(key, path)
            os.utime(descriptor)  # used just now
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except OSError as error:
            raise unavailable("keep", error) from None
        return descriptor

    def _fetch(self, key: str, path: Path) -> int:
        with _locked(_lock_of(path)) as note:
            descriptor = self._open(path)  # another was first
            if descriptor is not None:
                return descriptor
            content = self._store.get(key)
            with _locked(self._cache.folder / _ROOM):
                path.unlink(missing_ok=True)  # what is not what it was
                self._cache.make_room(len(content))
                os.truncate(note, 0)
                os.pwrite(note, sha256_bytes(content).encode(), 0)
                part = path.with_name(path.name + _PART)
                part.write_bytes(content)
                part.rename(path)
                descriptor = self._open(path)  # while nobody can remove it
            if descriptor is None:
                raise OSError(errno.EIO, "")  # the disk does not give back what was written
            return descriptor

    def _open(self, path: Path) -> int | None:
        """The file with a shared lock on it; None if it is not there, or not what was fetched."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink and self._is_proven(descriptor, path):
                kept, descriptor = descriptor, -1
                return kept
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _is_proven(self, descriptor: int, path: Path) -> bool:
        if self._proven[0] != os.getpid():  # a copy, or a fork
            self._proven = os.getpid(), set()
        if path in self._proven[1]:
            return True
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        os.lseek(descriptor, 0, os.SEEK_SET)  # the copy shares its place
        try:
            is_proven = _lock_of(path).read_text() == found
        except FileNotFoundError:
            is_proven = False
        if is_proven:
            self._proven[1].add(path)
        return is_proven


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold the lock of a file, which is made if need be; its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
