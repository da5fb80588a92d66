"""DICOM read by GDCM: every element at every depth as plain records, to check the verifier's own parser against.

GDCM parses the encoding (PS3.5) and its dictionary gives the VR where the file does not. Bytes reach GDCM through an
anonymous file in memory: no copy with identifiers ever has a name on a disk.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import gdcm

from curate.deid.verification.entries import PIXELS, Contents, Entry
from curate.errors import Rejected
from curate.reasons import Reason

_DEEPEST = 40
_NO_VALUE = b""
ITEM, END = 0xFFFEE000, 0xFFFEE0DD
_LAST = 0xFFFFFFFF  # GDCM's mark behind the last element
_LINE = re.compile(
    r"^(?:[\t ]*\(([0-9a-f]{4}),([0-9a-f]{4})\)(?:\t(?:[A-Z]{2}|\?\?))?\t(\d+)(\t\t\(\d+\)$)?|$(?=\n))", re.MULTILINE
)


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


def outline(content: bytes) -> list[tuple[int, int]]:
    """(tag, length) of every element in file order as GDCM prints them: a twentieth of the cost of ``read_contents``.

    Sequences with items and pixels have no length (-1), items are (FFFE,E000), and (FFFE,E0DD) ends a sequence. Text
    with line breaks can add lines: what differs is looked at again by ``read_contents``.

    Raises Rejected(UNREADABLE_HEADER) when GDCM cannot read the bytes.
    """
    with named(content) as path:
        reader = gdcm.Reader()
        reader.SetFileName(path)
        if not reader.Read():
            raise Rejected(Reason.UNREADABLE_HEADER, "GDCM cannot read the file")
        printed = str(reader.GetFile().GetDataSet())
    lines: list[tuple[int, int]] = []
    for group, number, length, sequence in _LINE.findall(printed):
        tag = int(group + number, 16) if group else END
        if group != "fffe" or tag == ITEM:
            has_none = (sequence and length != "0") or tag in (ITEM, END, *PIXELS)
            lines.append((tag, -1 if has_none else int(length)))
    return lines


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
    tag = -1
    while True:
        # SWIG's iterators, as of GetDES(), abort the process where another SWIG library (SimpleITK) is loaded too
        element = dataset.FindNextDataElement(gdcm.Tag((tag + 1) >> 16, (tag + 1) & 0xFFFF))
        tag = int(element.GetTag().GetElementTag())
        if tag == _LAST:
            return
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
