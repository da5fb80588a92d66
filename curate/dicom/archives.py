"""What an archive is made of: references to its files, limits on what it may ask for, and names that are safe.

References hold source paths, which carry names of people: they belong to the private zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from curate.errors import Misconfigured
from curate.reasons import Reason
from curate.storage.store import unavailable

_DRIVE = ":"


class Kind(StrEnum):
    """How an archive is packed; told by its first bytes, not by its name."""

    FILE = "file"
    FOLDER = "folder"
    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file of an archive. Private-zone data: paths identify.

    ``archive``: path of the folder or archive file. ``member``: POSIX path inside it ("" when the archive is one
    DICOM file). ``offset``: of the zip entry, or of the content in the (inflated) tar; 0 in folders. ``modified_ns``:
    of the file or of the archive that holds it, nanoseconds since the epoch.
    """

    archive: str
    member: str
    size: int
    offset: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is there and must not be opened, or an archive that ends early (``ref.member`` is then "")."""

    ref: FileRef
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file or an archive may cost. Blank slices deflate like bombs: the ratio counts above a size only."""

    file_bytes: int = 2 * 2**30
    inflated_ratio: float = 200.0
    inflated_free_bytes: int = 256 * 2**20  # inflation up to this size is never suspicious


def kind_of(path: Path) -> Kind:
    """Raises Misconfigured if nothing is there, Unavailable if it cannot be looked at."""
    try:
        if path.is_dir():
            return Kind.FOLDER
        if not path.is_file():
            raise Misconfigured("the archive does not exist, or is neither a folder nor a file")
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise unavailable("open an archive", error) from None
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Kind.ZIP
    if head[:2] == b"\x1f\x8b":
        return Kind.TAR_GZ
    if head[257:262] == b"ustar" or path.suffix == ".tar":
        return Kind.TAR
    return Kind.FILE


def is_safe_name(name: str) -> bool:
    """Whether a member name stays inside the archive on every system: relative, no '..', no drive, no control byte."""
    parts = name.replace("\\", "/").split("/")
    is_relative = bool(parts[0]) and not (len(parts[0]) == 2 and parts[0].endswith(_DRIVE))
    return is_relative and ".." not in parts and not any(ord(letter) < 32 for letter in name)


def storable_name(name: str) -> str:
    """A name whose undecodable bytes (surrogates of ``os.fsdecode``) become private-use letters: tables take it."""
    if name.isascii():
        return name
    return "".join(chr(ord(c) - 0xDC80 + 0xF780) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in name)


def file_system_name(name: str) -> str:
    """The inverse of ``storable_name``."""
    if name.isascii():
        return name
    return "".join(chr(ord(c) - 0xF780 + 0xDC80) if 0xF780 <= ord(c) <= 0xF7FF else c for c in name)
