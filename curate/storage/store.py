"""A store of named objects. Payloads and receipts are created once and never replaced.

Keys are relative POSIX paths. An object appears whole or not at all, so two writers of the same bytes may race.
``LocalStore`` writes into an unnamed file (``O_TMPFILE``) and links it into place: a killed writer leaves nothing
behind. Only tables that are views of the ledger (manifests) are replaced, by ``put``.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from curate.errors import Misconfigured, Unavailable


class Store(Protocol):
    """What every kind of store can do. All methods raise ``Unavailable`` when the storage refuses."""

    @property
    def url(self) -> str: ...

    def put_new(self, key: str, content: bytes | memoryview) -> bool:
        """Write the object whole unless it exists. True if this call created it."""

    def put(self, key: str, content: bytes | memoryview) -> None:
        """Write the object whole in place of what stands there. For views of the ledger alone."""

    def get(self, key: str) -> bytes:
        """The whole object. Raises ``FileNotFoundError`` if there is none."""

    def open(self, key: str) -> BinaryIO:
        """The object as a seekable file, for readers that need parts of it. Raises ``FileNotFoundError``."""

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``. Raises ``FileNotFoundError`` if there is no such object."""

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int: ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys below a folder, in sorted order of their path parts."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens if there is none. For garbage and compacted receipts alone."""

    def modified(self, key: str) -> float:
        """When the object was written, in seconds since 1970, by the storage's clock. Raises ``FileNotFoundError``."""


class LocalStore:
    """A store in a folder of a local or network file system."""

    def __init__(self, root: Path, *, mode: int = 0o777) -> None:
        self.root = root.resolve()
        self._mode = mode

    @property
    def url(self) -> str:
        return str(self.root)

    def path(self, key: str) -> Path:
        """Where an object lies. Raises ``ValueError`` for a key that would leave the store."""
        parts = PurePosixPath(key).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError("a store key is a relative path without '..'")
        return self.root.joinpath(*parts)

    def put_new(self, key: str, content: bytes | memoryview) -> bool:
        destination = self.path(key)
        try:
            self._make_folder(destination.parent)
            if destination.exists():
                return False
            return _publish(destination, content, self._mode & 0o666)
        except OSError as error:
            raise unavailable("write", error) from None

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
        try:
            descriptor = os.open(self.path(key), os.O_RDONLY)
        except FileNotFoundError:
            raise FileNotFoundError(key) from None
        except OSError as error:
            raise unavailable("read", error) from None
        try:
            return os.pread(descriptor, length, start)
        except OSError as error:
            raise unavailable("read", error) from None
        finally:
            os.close(descriptor)

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
        top = self.path(prefix) if prefix else self.root
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in sorted(files):
                yield Path(folder, name).relative_to(self.root).as_posix()

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


def open_store(url: str | Path, *, mode: int = 0o777) -> LocalStore:
    """Open the store at a path or ``file://`` URL; it is made on the first write.

    Raises ``Misconfigured`` for a scheme that is not supported. ``mode`` is the mode of new folders (0o700 for the
    private zone).
    """
    text = str(url)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return LocalStore(Path(unquote(parts.path)), mode=mode)
    if "://" in text:
        raise Misconfigured(f"store URL: scheme '{parts.scheme}' is not supported; give a folder")
    return LocalStore(Path(text), mode=mode)


def unavailable(action: str, error: OSError) -> Unavailable:
    """An I/O failure without the path in its text: paths of archives carry names."""
    return Unavailable(f"cannot {action}: {os.strerror(error.errno or 0)}")


def _publish(destination: Path, content: bytes | memoryview, mode: int) -> bool:
    try:
        descriptor = os.open(destination.parent, os.O_TMPFILE | os.O_WRONLY, mode)
        staged = f"/proc/self/fd/{descriptor}"
        temporary = None
    except OSError:  # file systems without O_TMPFILE (NFS, some overlays)
        temporary = destination.parent / f".{destination.name}.{secrets.token_hex(4)}.tmp"
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        staged = str(temporary)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            # src_dir_fd makes Python call linkat(AT_SYMLINK_FOLLOW), which an unnamed file needs; the path is absolute
            os.link(staged, destination, src_dir_fd=descriptor, follow_symlinks=True)
        return True
    except FileExistsError:
        return False
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
