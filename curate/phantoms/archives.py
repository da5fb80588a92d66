"""Writing a site's files into a folder, a zip or a tar; equal content gives equal bytes (fixed times and owners)."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_SECONDS = 1577836800  # 2020-01-01, the one time that anything here carries


class Archive(Protocol):
    """Takes files one after the other."""

    def add(self, name: str, content: bytes) -> None:
        """Append one file; ``name`` is its path in the archive, with forward slashes."""


@contextmanager
def open_archive(path: Path, container: str) -> Iterator[Archive]:
    """A new archive at ``path``. ``container``: folder | kaggle | zip | tar | tar.gz; ValueError for another."""
    if container in ("folder", "kaggle"):
        path.mkdir(parents=True)
        yield _Folder(path)
    elif container == "zip":
        with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            yield _Zip(target)
    elif container == "tar":
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            yield _Tar(tar)
    elif container == "tar.gz":
        with (
            path.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            yield _Tar(tar)
    else:
        raise ValueError(f"container: expected folder, kaggle, zip, tar or tar.gz, got {container}")


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, name: str, content: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (_SECONDS, _SECONDS))


class _Zip:
    def __init__(self, target: zipfile.ZipFile) -> None:
        self._target = target

    def add(self, name: str, content: bytes) -> None:
        entry = zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0))
        entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
        self._target.writestr(entry, content)


class _Tar:
    def __init__(self, target: tarfile.TarFile) -> None:
        self._target = target

    def add(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime, entry.mode = len(content), _SECONDS, 0o644
        self._target.addfile(entry, io.BytesIO(content))
