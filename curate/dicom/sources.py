"""What lies in an archive: every file of a folder, zip, tar or tar.gz, in a fixed order, without unpacking to disk.

Hostile members (names that leave the archive, links, devices, bombs) are named with a reason and never opened.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import indexed_gzip

from curate.dicom.archives import BadFile, FileRef, Kind, Limits, is_safe_name, kind_of, storable_name
from curate.dicom.reader import DAMAGED_ARCHIVE, SourceReader, open_gzip
from curate.errors import Misconfigured
from curate.reasons import Reason
from curate.storage.store import unavailable

__all__ = ["BadFile", "FileRef", "Limits", "SourceReader", "list_archive"]

_ENCRYPTED = 0x1


def list_archive(path: str | Path, limits: Limits | None = None) -> Iterator[FileRef | BadFile]:
    """Every file of one archive: folders sorted by name, zip and tar in their own order.

    Symbolic links are followed to files inside the folder only. Raises Misconfigured at once if nothing is there, and
    when the archive turns out to hold no files; Unavailable when the storage refuses. A damaged archive ends with a
    BadFile without a member name after the files that could be listed.
    """
    archive = Path(path)
    kind = kind_of(archive)
    return _require_files(_LISTERS[kind](archive, limits or Limits()))


def _require_files(found: Iterator[FileRef | BadFile]) -> Iterator[FileRef | BadFile]:
    is_empty = True
    for each in found:
        is_empty = False
        yield each
    if is_empty:
        raise Misconfigured("the archive holds no files")


def _list_file(path: Path, limits: Limits) -> Iterator[FileRef | BadFile]:
    yield _checked(_whole(path), limits)


def _list_folder(path: Path, limits: Limits) -> Iterator[FileRef | BadFile]:
    root, archive = path.resolve(), str(path)
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            folders = []
            inside = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                else:
                    yield _folder_file(archive, storable_name(inside + entry.name), root, entry, limits)
            pending.extend(reversed(folders))
        except OSError as error:
            raise unavailable("list a folder of an archive", error) from None


def _folder_file(archive: str, member: str, root: Path, entry: os.DirEntry[str], limits: Limits) -> FileRef | BadFile:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        target = Path(entry.path).resolve()
        if not target.is_relative_to(root) or not target.is_file():
            return BadFile(FileRef(archive, member, 0, 0, status.st_mtime_ns), Reason.UNSAFE_NAME, "a link")
        status = target.stat()
    ref = FileRef(archive, member, status.st_size, 0, status.st_mtime_ns)
    if not stat.S_ISREG(status.st_mode):
        return BadFile(ref, Reason.UNSAFE_NAME, "not a regular file")
    if not os.access(entry.path, os.R_OK):
        return BadFile(ref, Reason.NOT_PERMITTED)
    return _checked(ref, limits)


def _list_zip(path: Path, limits: Limits) -> Iterator[FileRef | BadFile]:
    whole = _whole(path)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except DAMAGED_ARCHIVE:
        yield BadFile(whole, Reason.UNREADABLE_ARCHIVE, "the zip directory is damaged")
        return
    except OSError as error:
        raise unavailable("read an archive", error) from None
    total = 0
    for entry in entries:
        if entry.is_dir():
            continue
        ref = FileRef(
            whole.archive, storable_name(entry.filename), entry.file_size, entry.header_offset, whole.modified_ns
        )
        total += entry.file_size
        if not is_safe_name(entry.orig_filename) or stat.S_ISLNK(entry.external_attr >> 16):
            yield BadFile(ref, Reason.UNSAFE_NAME)
        elif entry.flag_bits & _ENCRYPTED:
            yield BadFile(ref, Reason.UNREADABLE_ARCHIVE, "the member is encrypted")
        elif _is_bomb(entry.file_size, entry.compress_size, limits):
            yield BadFile(
                ref, Reason.SUSPICIOUS_COMPRESSION, f"{entry.compress_size} bytes inflate to {entry.file_size}"
            )
        elif _is_bomb(total, whole.size, limits):  # entries that overlap
            yield BadFile(ref, Reason.SUSPICIOUS_COMPRESSION, f"{whole.size} bytes inflate to {total} or more")
        else:
            yield _checked(ref, limits)


def _list_tar(path: Path, limits: Limits) -> Iterator[FileRef | BadFile]:
    try:
        with path.open("rb") as stream:
            yield from _list_members(path, stream, limits)
    except OSError as error:
        raise unavailable("read an archive", error) from None


def _list_tar_gz(path: Path, limits: Limits) -> Iterator[FileRef | BadFile]:
    with open_gzip(path) as stream:
        yield from _list_members(path, stream, limits)


def _list_members(path: Path, stream: object, limits: Limits) -> Iterator[FileRef | BadFile]:
    whole = _whole(path)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                archive.members.clear()  # or the list grows with the archive
                end = member.offset_data + member.size
                if _is_bomb(end, whole.size, limits):
                    yield BadFile(whole, Reason.SUSPICIOUS_COMPRESSION, f"{whole.size} bytes inflate to {end} or more")
                    return
                if not member.isdir():
                    yield _tar_member(whole, member, limits)
    except (*DAMAGED_ARCHIVE, indexed_gzip.ZranError):
        yield BadFile(whole, Reason.UNREADABLE_ARCHIVE, "the tar is damaged or cut off")


def _tar_member(whole: FileRef, member: tarfile.TarInfo, limits: Limits) -> FileRef | BadFile:
    ref = FileRef(whole.archive, storable_name(member.name), member.size, member.offset_data, whole.modified_ns)
    if not member.isreg() or not is_safe_name(member.name):
        return BadFile(ref, Reason.UNSAFE_NAME)
    if member.issparse():
        return BadFile(ref, Reason.UNREADABLE_ARCHIVE, "a sparse member")
    return _checked(ref, limits)


def _checked(ref: FileRef, limits: Limits) -> FileRef | BadFile:
    if ref.size > limits.file_bytes:
        return BadFile(ref, Reason.FILE_TOO_LARGE, f"{ref.size} bytes, the limit is {limits.file_bytes}")
    return ref


def _is_bomb(inflated: int, packed: int, limits: Limits) -> bool:
    return inflated > limits.inflated_free_bytes and inflated > limits.inflated_ratio * max(packed, 1)


def _whole(path: Path) -> FileRef:
    """The archive file itself as a reference."""
    try:
        status = path.stat()
    except OSError as error:
        raise unavailable("look at an archive", error) from None
    return FileRef(str(path), "", status.st_size, 0, status.st_mtime_ns)


_LISTERS = {
    Kind.FILE: _list_file,
    Kind.FOLDER: _list_folder,
    Kind.ZIP: _list_zip,
    Kind.TAR: _list_tar,
    Kind.TAR_GZ: _list_tar_gz,
}
