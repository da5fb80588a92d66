"""Elements of a DICOM file as plain records, whoever parsed them: the verifier's own parser or GDCM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_NO_VALUE = b""


class Entry(NamedTuple):
    """One element. ``value`` is as stored (big endian numbers turned little); empty for sequences and pixels."""

    tag: int
    vr: str  # two letters; the dictionary's where the file has none, UN where neither says
    value: bytes
    items: tuple[tuple[Entry, ...], ...] | None = None  # of a sequence, in file order


@dataclass(frozen=True, slots=True)
class Contents:
    """A parsed file. ``dataset``: its bytes, inflated where the syntax deflates them (PS3.5 A.5).

    ``pixels``: first and last offset of the pixel value in ``dataset``, None without pixels or when GDCM parsed;
    ``trailing``: bytes after the last element that could be read.
    """

    meta: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    transfer_syntax: str
    dataset: bytes = _NO_VALUE
    pixels: tuple[int, int] | None = None
    trailing: int = 0

    def value(self, tag: int) -> bytes:
        """Bytes of a top-level element without padding; empty when it is absent."""
        return next((entry.value.strip(b" \0") for entry in self.entries if entry.tag == tag), _NO_VALUE)

    def text(self, tag: int) -> str:
        """The same as Latin-1 text, for UIDs and codes."""
        return self.value(tag).decode("latin-1")

    def has_pixels(self) -> bool:
        """Whether there is a pixel element at the top level."""
        return any(entry.tag in PIXELS for entry in self.entries)


def flat(entries: tuple[Entry, ...]) -> list[Entry]:
    """Every element at every depth, those of an item after those of its data set."""
    found = list(entries)
    for entry in found:  # grows while it is walked
        for item in entry.items or ():
            found.extend(item)
    return found


@cache
def describe(tag: int) -> str:
    """A tag as people write it; of private ones the group alone, since their numbers can say anything."""
    return f"({tag >> 16:04x},xxxx)" if tag & 0x10000 else f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
