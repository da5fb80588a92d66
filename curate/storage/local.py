"""A store in a folder of a local or network file system.

New objects are written into an unnamed file (``O_TMPFILE``) and linked into place: a killed writer leaves nothing
behind. Where the file system has no unnamed files, a named one beside the object does the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from curate.storage.store import key_parts, unavailable

_SMALL = 1 << 16  # bytes: writing so many costs less than asking whether they are there


class LocalStore:
    """A store in a folder. ``mode``: of new folders, and without the right to execute of new files."""

    def __init__(self, root: Path, *, mode: int = 0o777) -> None:
        self.root = root.resolve()
        self._mode = mode

    @property
    def url(self) -> str:
        return str(self.root)

    def path(self, key: str) -> Path:
        """Where an object lies. Raises ``ValueError`` for a key that would leave the store."""
        return Path(self._name(key))

    def put_new(self, key: str, content: bytes | memoryview, *, durable: bool = True) -> bool:
        destination = self._name(key)
        try:
            if memoryview(content).nbytes > _SMALL and os.path.exists(destination):
                return False  # before it is written
            try:
                return _publish(destination, content, self._mode & 0o666, durable=durable)
            except FileNotFoundError:
                self._make_folder(Path(destination).parent)
                return _publish(destination, content, self._mode & 0o666, durable=durable)
        except OSError as error:
            raise unavailable("write", error) from None

    def sync(self) -> None:
        try:
            descriptor = os.open(self.root, os.O_RDONLY)
        except FileNotFoundError:
            return  # nothing was put here
        except OSError as error:
            raise unavailable("write", error) from None
        try:
            _sync_file_system(descriptor)
        except OSError as error:
            raise unavailable("write", error) from None
        finally:
            os.close(descriptor)

    def put(self, key: str, content: bytes | memoryview) -> None:
        destination = self.path(key)
        temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.tmp")
        try:
            self._make_folder(destination.parent)
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, self._mode & 0o666)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, destination)
        except OSError as error:
            raise unavailable("write", error) from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def get(self, key: str) -> bytes:
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except OSError as error:
            raise unavailable("read", error) from None

    def open(self, key: str) -> BinaryIO:
        try:
            return self.path(key).open("rb")
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except OSError as error:
            raise unavailable("read", error) from None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        descriptor = self.open_descriptor(key)
        try:
            first = start if start >= 0 else max(0, os.fstat(descriptor).st_size + start)
            return os.pread(descriptor, length, first)
        except OSError as error:
            raise unavailable("read", error) from None
        finally:
            os.close(descriptor)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        return [self.get_range(key, start, length) for start, length in ranges]

    def open_descriptor(self, key: str) -> int:
        """The object as an open file, to be closed by the caller, for reading parts here and there: the system reads
        nothing ahead. Raises ``FileNotFoundError``."""
        try:
            descriptor = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except OSError as error:
            raise unavailable("read", error) from None
        return descriptor

    def _name(self, key: str) -> str:
        """As ``path``, without the library's object, which costs more than all else of a small object."""
        return "/".join((str(self.root), *key_parts(key)))

    def _make_folder(self, folder: Path) -> None:
        """Like ``mkdir -p``, but every folder from the root of the store down gets the store's mode."""
        if folder.is_dir():
            return
        if folder == self.root:
            folder.parent.mkdir(parents=True, exist_ok=True)
        else:
            self._make_folder(folder.parent)
        folder.mkdir(mode=self._mode, exist_ok=True)

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    def size(self, key: str) -> int:
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            raise FileNotFoundError(key) from None

    def list(self, prefix: str = "") -> Iterator[str]:
        folder = "/".join(key_parts(prefix)) if prefix else ""
        yield from _walk(self.path(folder) if folder else self.root, f"{folder}/" if folder else "")

    def delete(self, key: str) -> None:
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise unavailable("remove", error) from None

    def modified(self, key: str) -> float:
        try:
            return self.path(key).stat().st_mtime
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except OSError as error:
            raise unavailable("look at", error) from None


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise unavailable("list", error) from None
    for name, is_folder, is_link in sorted(found, key=_order):
        if not is_folder:
            yield f"{prefix}{name}"
        elif not is_link:
            yield from _walk(folder / name, f"{prefix}{name}/")


def _order(entry: tuple[str, bool, bool]) -> str:
    """Among its neighbours a folder stands where its keys do: "a-b" before "a/b" before "a0"."""
    return f"{entry[0]}/" if entry[1] else entry[0]


def _sync_file_system(descriptor: int) -> None:
    """``syncfs(2)``, which Python does not offer: one wait for all files of a file system, not of all file systems."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _publish(destination: str, content: bytes | memoryview, mode: int, *, durable: bool) -> bool:
    """Raises ``FileNotFoundError`` where the folder is missing."""
    folder, _, name = destination.rpartition("/")
    temporary = None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, mode)
        staged = f"/proc/self/fd/{descriptor}"
    except FileNotFoundError:
        raise
    except OSError:  # file systems without O_TMPFILE (NFS, some overlays)
        staged = temporary = f"{folder}/.{name}.{secrets.token_hex(4)}.tmp"
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        durable = True  # it may be another machine's disk, which ``sync`` of this one does not reach
    try:
        _write_all(descriptor, content)
        if durable:
            os.fsync(descriptor)
        # src_dir_fd makes Python call linkat(AT_SYMLINK_FOLLOW), which an unnamed file needs; the path is absolute
        os.link(staged, destination, src_dir_fd=descriptor, follow_symlinks=True)
        return True
    except FileExistsError:
        return False
    finally:
        os.close(descriptor)
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _write_all(descriptor: int, content: bytes | memoryview) -> None:
    rest = memoryview(content).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
