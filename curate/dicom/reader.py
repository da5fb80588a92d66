"""Random access to the files of archives, in memory: nothing is unpacked to disk.

A tar.gz is read through an index of its deflate stream (indexed_gzip): the first worker that opens it inflates it
once and leaves the index beside the other private files, so that every file costs one seek from then on.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Protocol

import indexed_gzip

from curate.dicom.archives import FileRef, Kind, Limits, file_system_name, kind_of
from curate.errors import Rejected, Unavailable
from curate.reasons import Reason
from curate.storage import open_store
from curate.storage.store import unavailable

DAMAGED_ARCHIVE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, ValueError)
_INDEX_SPACING = 8 * 2**20  # 32 KiB of index for every 8 MiB inflated
_OPEN_ARCHIVES = 16
# O_NONBLOCK: a pipe that took a file's place must not hang the worker.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class _Members(Protocol):
    """An opened archive."""

    def read(self, ref: FileRef, length: int) -> bytes: ...

    def close(self) -> None: ...


class SourceReader:
    """Reads files that ``list_archive`` named. A context manager; one per process or thread, not shared.

    ``indexes``: a folder or URL in the private zone where the indexes of tar.gz archives are kept (a folder gets mode
    0700); None keeps them in memory for the life of the reader.
    """

    def __init__(self, limits: Limits | None = None, indexes: Path | str | None = None) -> None:
        self._limits = limits or Limits()
        self._indexes = indexes
        self._opened: OrderedDict[str, _Members] = OrderedDict()

    def __enter__(self) -> SourceReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._opened:
            self._opened.popitem()[1].close()

    def read(self, ref: FileRef) -> bytes:
        """The whole file.

        Raises Rejected(FILE_TOO_LARGE | TRUNCATED_FILE | UNREADABLE_ARCHIVE) for what the archive does to its files and
        Unavailable for what the storage does, a file that changed since it was listed included.
        """
        content = self.read_head(ref, ref.size)
        if len(content) != ref.size:
            raise Rejected(Reason.TRUNCATED_FILE, f"{len(content)} of {ref.size} bytes are there")
        return content

    def read_head(self, ref: FileRef, length: int) -> bytes:
        """The first ``length`` bytes, fewer if the file is shorter. Raises as ``read`` does."""
        if ref.size > self._limits.file_bytes:
            raise Rejected(Reason.FILE_TOO_LARGE, f"{ref.size} bytes, the limit is {self._limits.file_bytes}")
        try:
            return self._open(ref).read(ref, min(length, ref.size))
        except (*DAMAGED_ARCHIVE, indexed_gzip.ZranError, RuntimeError):
            raise Rejected(Reason.UNREADABLE_ARCHIVE, "the member is damaged") from None
        except OSError as error:
            raise unavailable("read a file of an archive", error) from None

    def _open(self, ref: FileRef) -> _Members:
        members = self._opened.get(ref.archive)
        if members is None:
            members = self._open_archive(Path(ref.archive), ref)
            self._opened[ref.archive] = members
            if len(self._opened) > _OPEN_ARCHIVES:
                self._opened.popitem(last=False)[1].close()
        self._opened.move_to_end(ref.archive)
        return members

    def _open_archive(self, path: Path, ref: FileRef) -> _Members:
        kind = kind_of(path)
        if kind in (Kind.FOLDER, Kind.FILE):
            return _Folder(path)
        if path.stat().st_mtime_ns != ref.modified_ns:
            raise Unavailable("the archive changed since it was listed")
        if kind is Kind.ZIP:
            return _Zip(path)
        return _Tar(path) if kind is Kind.TAR else _TarGz(path, self._indexes)


def open_gzip(path: Path) -> indexed_gzip.IndexedGzipFile:
    """A seekable view of what a gzip file inflates to. Raises Unavailable if it cannot be opened."""
    try:
        return indexed_gzip.IndexedGzipFile(str(path), spacing=_INDEX_SPACING, drop_handles=False)
    except OSError as error:
        raise unavailable("open an archive", error) from None


class _Folder:
    def __init__(self, path: Path) -> None:
        self._root = path.resolve()
        self._folders: dict[str, Path] = {}

    def read(self, ref: FileRef, length: int) -> bytes:
        descriptor = self._open(ref.member)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (ref.size, ref.modified_ns):
                raise Unavailable("the file changed since it was listed")
            return _read_up_to(descriptor, length)
        finally:
            os.close(descriptor)

    def _open(self, member: str) -> int:
        name = file_system_name(member)
        folder, _, last = name.rpartition("/")
        if folder not in self._folders:  # links on the way to a file are followed once a folder
            self._folders[folder] = self._inside(folder)
        try:
            if last not in ("", ".", ".."):
                return os.open(f"{self._folders[folder]}/{last}", _FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return os.open(self._inside(name), _FLAGS)

    def _inside(self, name: str) -> Path:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise Rejected(Reason.UNSAFE_NAME)
        return path

    def close(self) -> None:
        """Nothing stays open."""


class _Zip:
    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)
        self._entries = {entry.header_offset: entry for entry in self._archive.infolist()}

    def read(self, ref: FileRef, length: int) -> bytes:
        entry = self._entries.get(ref.offset)
        if entry is None or entry.file_size != ref.size:
            raise Unavailable("the archive changed since it was listed")
        with self._archive.open(entry) as stream:
            return stream.read(length)

    def close(self) -> None:
        self._archive.close()


class _Tar:
    def __init__(self, path: Path) -> None:
        self._stream = path.open("rb")

    def read(self, ref: FileRef, length: int) -> bytes:
        self._stream.seek(ref.offset)
        return self._stream.read(length)

    def close(self) -> None:
        self._stream.close()


class _TarGz:
    def __init__(self, path: Path, indexes: Path | str | None) -> None:
        self._stream = open_gzip(path)
        if indexes is not None:
            _use_kept_index(self._stream, path, indexes)

    def read(self, ref: FileRef, length: int) -> bytes:
        self._stream.seek(ref.offset)
        content: bytes = self._stream.read(length)
        return content

    def close(self) -> None:
        self._stream.close()


def _use_kept_index(stream: indexed_gzip.IndexedGzipFile, path: Path, indexes: Path | str) -> None:
    status = path.stat()
    identity = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode("utf-8", "surrogateescape")
    store, kept = open_store(indexes, mode=0o700), f"{hashlib.sha256(identity).hexdigest()}.gzidx"
    # a damaged index is made anew
    with contextlib.suppress(FileNotFoundError, indexed_gzip.ZranError, ValueError), store.open(kept) as index:
        stream.import_index(fileobj=index)
        return
    try:
        stream.build_full_index()
    except (indexed_gzip.ZranError, EOFError):
        return  # a damaged archive: its files are read as far as they go
    content = BytesIO()
    stream.export_index(fileobj=content)
    store.put(kept, content.getbuffer())


def _read_up_to(descriptor: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0 and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
