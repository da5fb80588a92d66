"""Headers of many files of one folder at a time: one read of each file's head, one kernel over all, Arrow columns out.

What this gives equals what ``curate.dicom.headers.read_source_header`` gives, row for row; a file that the kernel
leaves, or that the folder no longer holds as listed, has no row here and must be read by that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.dicom.archives import FileRef, file_system_name
from curate.dicom.header_kernel import (
    FOUND,
    MEDIA_CLASS,
    PIXEL_HEADER,
    PIXEL_LENGTH,
    PLACES,
    TRANSFER_SYNTAX,
)
from curate.dicom.header_schema import DOUBLES, HEADER_SCHEMA, INTEGERS, LISTS, NUMBERS, TEXTS
from curate.dicom.header_values import BINARY, DOUBLE, INTEGER, NUMBER, TEXT, UID, gather_text, read_batch
from curate.dicom.header_values import NUMBERS as NUMBER_LIST

READ_BYTES = 16 * 2**10
BATCH_FILES = 256
# A link is not followed, a pipe does not hang the worker; what is not the listed file is left to the other reader.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW

_UIDS = {"transfer_syntax_uid": TRANSFER_SYNTAX, "media_sop_class_uid": MEDIA_CLASS}
_ALL_TEXTS = {**_UIDS, **TEXTS}
_INTEGER_KINDS = {"IS": INTEGER, "US": BINARY}


class HeaderBatch:
    """Buffers for the heads of one batch and the values in them. Not shared between threads.

    ``rows``: which of the files were read; ``heads``: (files, bytes) as read.
    """

    def __init__(self, files: int = BATCH_FILES) -> None:
        self.heads: NDArray[np.uint8] = np.empty((files, READ_BYTES), np.uint8)
        self.rows: NDArray[np.int64] = np.empty(0, np.int64)
        self._views = [memoryview(head) for head in self.heads]
        self._walked = self.heads.view()  # kernels take bytes that are read-only, as those of a file are
        self._walked.flags.writeable = False
        self._sizes = np.zeros(files, np.int64)
        self._texts = np.zeros((len(_ALL_TEXTS), files, 2), np.int64)
        self._integers = np.zeros((len(INTEGERS), files), np.int64)
        self._numbers = np.zeros((_NUMBER_COLUMNS, files), np.float64)
        self._validity = np.zeros((_TAGS.size, files), np.bool_)
        self._places = np.zeros((files, PLACES), np.int64)

    def read(self, refs: Sequence[FileRef]) -> NDArray[np.int64]:
        """Read the heads of files of one folder (or files by themselves) -> places in ``refs`` of those with a row."""
        roots: dict[str, str] = {}
        for n, ref in enumerate(refs):
            if ref.archive not in roots:
                roots[ref.archive] = str(Path(ref.archive).resolve())
            self._sizes[n] = _read_head(roots[ref.archive], ref, self._views[n])
        return self.parse(len(refs))

    def parse(self, files: int, sizes: Sequence[int] | None = None) -> NDArray[np.int64]:
        """Find the values of the first ``files`` heads, as read or put there -> places of those with a row."""
        if sizes is not None:
            self._sizes[:files] = sizes
        tables = (self._texts, self._integers, self._numbers, self._validity, self._places)
        states = read_batch(self._walked, self._sizes[:files], _TAGS, _KINDS, _COLUMNS, _COUNTS, *tables)
        self.rows = np.flatnonzero(states == FOUND)
        return self.rows

    def header_bytes(self, file: int) -> bytes:
        """The bytes of one head that has a row, up to its pixel data element."""
        return self.heads[file, : self._places[file, PIXEL_HEADER]].tobytes()

    def table(self, refs: Sequence[FileRef]) -> pa.Table:
        """The rows of the last batch as a table of HEADER_SCHEMA, in the order of ``refs``."""
        rows, count = self.rows, len(self.rows)
        chosen = [refs[n] for n in rows]
        columns: dict[str, Any] = {
            "path": _strings([ref.archive for ref in chosen]),
            "member": _strings([ref.member for ref in chosen]),
            "size_bytes": _numbers(np.array([ref.size for ref in chosen], np.int64)),
            "reason": pa.nulls(count, pa.string()),
            "detail": pa.nulls(count, pa.string()),
            "header_bytes": _numbers(self._places[rows, PIXEL_HEADER]),
            "has_pixels": _bits(self._places[rows, PIXEL_LENGTH] != 0),
        }
        columns |= {name: self._text(name) for name in ("transfer_syntax_uid", *TEXTS)}
        for name, column in _INTEGER_COLUMNS.items():
            columns[name] = _numbers(self._integers[column, rows], self._missing(name))
        for name in (*NUMBERS, *DOUBLES):
            columns[name] = _numbers(self._numbers[_NUMBER_PLACES[name], rows], self._missing(name))
        for name, (_, length) in LISTS.items():
            first = _NUMBER_PLACES[name]
            flat = np.ascontiguousarray(self._numbers[first : first + length, rows].T).reshape(-1)
            missing = _bits(self._missing(name))
            columns[name] = pa.FixedSizeListArray.from_arrays(_numbers(flat), length, mask=missing)
        return pa.table([columns[name] for name in HEADER_SCHEMA.names], schema=HEADER_SCHEMA)

    def _missing(self, name: str) -> NDArray[np.bool_]:
        missing: NDArray[np.bool_] = ~self._validity[_PLACE_OF[name], self.rows]
        return missing

    def _text(self, name: str) -> pa.Array:
        places = self._texts[_TEXT_PLACES[name]]
        if name == "sop_class_uid":  # the file meta's where the data set has none
            media = self._texts[_TEXT_PLACES["media_sop_class_uid"]]
            places = np.where(places[:, 1:] < 0, media, places)
        offsets = np.empty(len(self.rows) + 1, np.int32)
        joined = gather_text(self._walked, self.rows, places, offsets)
        present = np.packbits(places[self.rows, 1] >= 0, bitorder="little")
        return pa.StringArray.from_buffers(
            len(self.rows), pa.py_buffer(offsets), pa.py_buffer(joined), pa.py_buffer(present)
        )


def _read_head(root: str, ref: FileRef, view: memoryview) -> int:
    """Bytes of the head now in ``view``; none if the file is not what was listed."""
    try:
        member = ref.member
        if ".." in member:
            return 0
        path = f"{root}/{member if member.isascii() else file_system_name(member)}" if member else root
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return 0
    try:
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns) != (ref.size, ref.modified_ns) or not stat.S_ISREG(status.st_mode):
            return 0
        return os.preadv(descriptor, [view], 0)
    except OSError:
        return 0
    finally:
        os.close(descriptor)


# pyarrow.array would import pandas to see whether it was given a Series: 40 MB and a third of a second a process.
def _numbers(values: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    validity = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def _bits(values: NDArray[np.bool_]) -> pa.Array:
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))])


def _strings(texts: Sequence[str]) -> pa.Array:
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _plan() -> tuple[list[tuple[int, int, int, int, str]], int]:
    """(tag, kind, column, count, name) of every wanted element by tag, and how many columns of numbers there are."""
    entries = [(tag, UID if name in _UIDS else TEXT, n, 0, name) for n, (name, tag) in enumerate(_ALL_TEXTS.items())]
    for n, (name, (tag, vr)) in enumerate(INTEGERS.items()):
        entries.append((tag, _INTEGER_KINDS[vr], n, 0, name))
    column = 0
    for name, tag in (*NUMBERS.items(), *DOUBLES.items()):
        entries.append((tag, DOUBLE if name in DOUBLES else NUMBER, column, 0, name))
        column += 1
    for name, (tag, count) in LISTS.items():
        entries.append((tag, NUMBER_LIST, column, count, name))
        column += count
    return sorted(entries), column


_ENTRIES, _NUMBER_COLUMNS = _plan()
_TAGS, _KINDS, _COLUMNS, _COUNTS = (np.array([entry[n] for entry in _ENTRIES], np.int64) for n in range(4))
_PLACE_OF = {entry[4]: n for n, entry in enumerate(_ENTRIES)}
_TEXT_PLACES = {name: column for _, kind, column, _, name in _ENTRIES if kind in (TEXT, UID)}
_INTEGER_COLUMNS = {name: column for _, kind, column, _, name in _ENTRIES if kind in (INTEGER, BINARY)}
_NUMBER_PLACES = {name: column for _, kind, column, _, name in _ENTRIES if kind in (NUMBER, NUMBER_LIST, DOUBLE)}
