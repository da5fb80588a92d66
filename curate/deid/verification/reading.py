"""DICOM read by GDCM: every element at every depth as plain records, for a judge that trusts no code of the writer.

GDCM parses the encoding (PS3.5) and its dictionary gives the VR where the file does not. Nothing here comes from the
writer's parser, its tables or pydicom. Bytes reach GDCM through an anonymous file in memory: no copy with
identifiers ever has a name on a disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import gdcm

from curate.errors import Rejected
from curate.reasons import Reason

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_DEEPEST = 40
_NO_VALUE = b""


@dataclass(frozen=True, slots=True)
class Entry:
    """One element. ``value`` is as stored (big endian numbers as GDCM turns them); empty for sequences and pixels."""

    tag: int
    vr: str  # two letters; the dictionary's where the file has none, UN where neither says
    value: bytes
    items: tuple[tuple[Entry, ...], ...] | None = None  # of a sequence, in file order


@dataclass(frozen=True, slots=True)
class Contents:
    """A file as GDCM reads it."""

    meta: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    transfer_syntax: str

    def value(self, tag: int) -> bytes:
        """Bytes of a top-level element without padding; empty when it is absent."""
        return next((entry.value.strip(b" \0") for entry in self.entries if entry.tag == tag), _NO_VALUE)

    def text(self, tag: int) -> str:
        """The same as Latin-1 text, for UIDs and codes."""
        return self.value(tag).decode("latin-1")


def read_contents(content: bytes, *, is_source: bool = False) -> Contents:
    """``is_source``: when what follows the pixels cannot be read, what comes before them will do.

    Raises Rejected(UNREADABLE_HEADER) when GDCM cannot read the bytes.
    """
    with named(content) as path:
        reader = gdcm.Reader()
        reader.SetFileName(path)
        if not reader.Read():
            reader = gdcm.Reader()
            reader.SetFileName(path)
            if not is_source or not reader.ReadUpToTag(gdcm.Tag(PIXELS[0] >> 16, PIXELS[-1] & 0xFFFF)):
                raise Rejected(Reason.UNREADABLE_HEADER, "the second reader cannot read the file")
        file = reader.GetFile()
        header = file.GetHeader()
        meta = tuple(_entries(header, 0))
        return Contents(meta, tuple(_entries(file.GetDataSet(), 0)), str(header.GetDataSetTransferSyntax()))


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


@contextmanager
def named(content: bytes) -> Iterator[str]:
    """A path under which other programs of this process tree can read the bytes, gone afterwards."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("verify", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(handle), "wb") as stream:
                stream.write(content)
            yield f"/proc/{os.getpid()}/fd/{handle}"
        finally:
            os.close(handle)
    else:
        with tempfile.NamedTemporaryFile(prefix="verify-") as stream:  # mode 0600
            stream.write(content)
            stream.flush()
            yield stream.name


def _entries(dataset: Any, depth: int) -> Iterator[Entry]:
    if depth > _DEEPEST:
        raise Rejected(Reason.UNREADABLE_HEADER, "sequences nested too deep for the second reader")
    for element in dataset.GetDES():
        tag = int(element.GetTag().GetElementTag())
        if tag in PIXELS and depth == 0:
            yield Entry(tag, str(element.GetVR()), _NO_VALUE)
        else:
            yield _entry(element, tag, depth)


def _entry(element: Any, tag: int, depth: int) -> Entry:
    vr = str(element.GetVR())
    if vr in ("??", "UN"):
        vr = dictionary_vr(tag)
    stored = element.GetByteValue()
    text = "" if stored is None or stored.GetLength() == 0 else stored.GetBuffer()
    if not element.IsEmpty() and (vr == "SQ" or stored is None or text.startswith(_STARTS)):
        sequence = element.GetValueAsSQ()
        if sequence is not None and sequence.GetNumberOfItems():
            numbers = range(1, sequence.GetNumberOfItems() + 1)
            items = tuple(tuple(_entries(sequence.GetItem(n).GetNestedDataSet(), depth + 1)) for n in numbers)
            return Entry(tag, "SQ", _NO_VALUE, items)
    return Entry(tag, vr, text.encode("utf-8", "surrogateescape"), () if vr == "SQ" else None)


_STARTS = tuple(start.decode("utf-8", "surrogateescape") for start in (b"\xfe\xff\0\xe0", b"\xff\xfe\xe0\0"))


@cache
def dictionary_vr(tag: int) -> str:
    """VR by GDCM's own dictionary; of ambiguous ones the first; UN for what it does not know."""
    if tag & 0x10000:
        return "UN"
    entry = gdcm.GlobalInstance.GetDicts().GetPublicDict().GetDictEntry(gdcm.Tag(tag >> 16, tag & 0xFFFF))
    vr = str(entry.GetVR())
    return vr[:2] if vr[:2].isalpha() and len(vr) >= 2 else "UN"


def instance_uid(path: str) -> str | None:
    """SOPInstanceUID of a file, from the data set or else its meta information; None when GDCM cannot read it."""
    reader = gdcm.Reader()
    reader.SetFileName(path)
    if not reader.ReadUpToTag(gdcm.Tag(0x0008, 0x0018)):
        return None
    file = reader.GetFile()
    for dataset, tag in ((file.GetDataSet(), gdcm.Tag(8, 0x18)), (file.GetHeader(), gdcm.Tag(2, 3))):
        if dataset.FindDataElement(tag):
            stored = dataset.GetDataElement(tag).GetByteValue()
            uid = "" if stored is None or stored.GetLength() == 0 else str(stored.GetBuffer()).strip(" \0")
            if uid:
                return uid
    return ""
