"""The files of a site's archive, by the standard library."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def contents(archive: Path) -> Iterator[bytes]:
    """The bytes of every file of a folder, a zip or a tar."""
    if archive.is_dir():
        yield from (path.read_bytes() for path in sorted(archive.rglob("*")) if path.is_file())
    elif archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as source:
            yield from (source.read(name) for name in source.namelist())
    else:
        with tarfile.open(archive) as tar:
            yield from (tar.extractfile(member).read() for member in tar if member.isfile())  # type: ignore[union-attr]
