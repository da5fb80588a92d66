"""The header scan: the values that the catalogue needs, read from the first bytes of each file.

Raw values: this table identifies people. The catalogue step turns it into keyed rows before anything is stored.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from curate.dicom.archives import BadFile, FileRef, Kind, Limits, kind_of
from curate.dicom.elements import Elements, read_elements
from curate.dicom.header_columns import BATCH_FILES, HeaderBatch
from curate.dicom.header_schema import (
    CHARACTER_SET,
    DOUBLES,
    HEADER_SCHEMA,
    IMAGE_CLASSES,
    INTEGERS,
    LISTS,
    NUMBERS,
    SOP_CLASS,
    TEXTS,
    WANTED,
)
from curate.dicom.sources import SourceReader, list_archive
from curate.dicom.values import double, integer, number, numbers, text
from curate.errors import Rejected
from curate.reasons import Reason

HEAD_BYTES = 32 * 2**10  # enough for most CT and MR headers; longer ones (vendor private blocks) are read on
_LONGEST_HEADER_BYTES = 64 * 2**20


def read_header(head: bytes, size: int) -> dict[str, object]:
    """Values by schema name from the first bytes of a file of ``size`` bytes; ``path`` and ``member`` stay None.

    Never raises on data: ``reason`` says why a header cannot be read (EMPTY_FILE, NOT_DICOM, TRUNCATED_FILE,
    UNREADABLE_HEADER, NOT_AN_IMAGE, SUSPICIOUS_COMPRESSION). A head that is cut inside the header gives
    TRUNCATED_FILE even if the file goes on: ``read_source_header`` reads on by itself. Missing UIDs are no reason
    here, because a site's layout may name them. Pixel data that are shorter than declared are not looked at here
    either.
    """
    try:
        elements = read_elements(head, WANTED)
    except Rejected as rejection:
        return _unreadable(size, rejection.reason, rejection.detail)
    if not elements.is_complete:
        if elements.is_damaged and len(head) >= size:
            return _unreadable(size, Reason.UNREADABLE_HEADER, "an element breaks the encoding rules")
        return _unreadable(size, Reason.TRUNCATED_FILE, "the bytes end inside the header")
    if elements.pixels is not None:
        return _values(elements, size)
    if len(head) < size or _is_image_header(elements):
        return _unreadable(size, Reason.TRUNCATED_FILE, "the bytes end before the pixel data")
    return _unreadable(size, Reason.NOT_AN_IMAGE, "no pixel data")


def read_source_header(reader: SourceReader, ref: FileRef) -> tuple[dict[str, object], bytes]:
    """Read as much of one file as its header needs -> (values, header bytes).

    The header bytes end where the pixel data element starts (a deflated file: all of it; an unreadable one: what was
    read), so that their digest tells duplicates from conflicts. Raises ``Unavailable`` when the storage refuses.
    """
    longest = min(ref.size, _LONGEST_HEADER_BYTES)
    length = min(HEAD_BYTES, longest)
    while True:
        try:
            head = reader.read_head(ref, length)
        except Rejected as rejection:
            return _placed(_unreadable(ref.size, rejection.reason, rejection.detail), ref), b""
        row = read_header(head, ref.size)
        end = row["header_bytes"] if isinstance(row["header_bytes"], int) else len(head)
        goes_on = row["reason"] == Reason.TRUNCATED_FILE.value or end > len(
            head
        )  # longer: deflated, all of it is header
        if not goes_on or length >= longest:
            return _placed(row, ref), head[:end]
        length = min(length * 8, longest)


def read_source_headers(reader: SourceReader, refs: Sequence[FileRef]) -> Iterator[tuple[dict[str, object], bytes]]:
    """``read_source_header`` of every file, in order; files of folders go through the compiled scanner in batches."""
    buffers = HeaderBatch()
    for first in range(0, len(refs), BATCH_FILES):
        batch = refs[first : first + BATCH_FILES]
        places = _in_folders(batch)
        there = [places[n] for n in buffers.read([batch[n] for n in places])]
        rows = buffers.table([batch[n] for n in places]).to_pylist()
        scanned = {place: (row, int(n)) for place, row, n in zip(there, rows, buffers.rows, strict=True)}
        for n, ref in enumerate(batch):
            if n in scanned:
                row, place = scanned[n]
                yield row, buffers.header_bytes(place)
            else:
                yield read_source_header(reader, ref)


def scan_headers(
    paths: Iterable[str | Path], *, threads: int = 4, limits: Limits | None = None, indexes: Path | None = None
) -> pa.Table:
    """Scan files, folders and archives into a table of HEADER_SCHEMA, in the order of listing, one row a file.

    Raises Misconfigured when a path does not exist or holds no files, Unavailable when the storage refuses.
    """
    limits = limits or Limits()
    listed = itertools.chain.from_iterable(list_archive(path, limits) for path in paths)
    batches = list(iter(lambda: list(itertools.islice(listed, BATCH_FILES)), []))
    kept = threading.local()

    def scan(batch: Sequence[FileRef | BadFile]) -> pa.Table:
        if not hasattr(kept, "buffers"):
            kept.buffers = HeaderBatch()
        return _scan_batch(batch, kept.buffers, limits, indexes)

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        tables = list(pool.map(scan, batches))
    return pa.concat_tables(tables) if tables else HEADER_SCHEMA.empty_table()


def _scan_batch(
    batch: Sequence[FileRef | BadFile], buffers: HeaderBatch, limits: Limits, indexes: Path | None
) -> pa.Table:
    """Rows by the compiled scanner, the others one by one, put back in order."""
    places = _in_folders(batch)
    refs = [found for n in places if isinstance(found := batch[n], FileRef)]
    there = [places[n] for n in buffers.read(refs)]
    table = buffers.table(refs)
    others = sorted(set(range(len(batch))).difference(there))
    if not others:
        return table
    with SourceReader(limits, indexes) as reader:
        rest = pa.Table.from_pylist([_scan_one(reader, batch[n]) for n in others], schema=HEADER_SCHEMA)
    order = sorted(range(len(batch)), key=[*there, *others].__getitem__)
    return pa.concat_tables([table, rest]).take(order).combine_chunks()


def _in_folders(batch: Sequence[FileRef | BadFile]) -> list[int]:
    """Places of the files that lie in folders or by themselves."""
    kinds: dict[str, bool] = {}
    for found in batch:
        if isinstance(found, FileRef) and found.archive not in kinds:
            kinds[found.archive] = kind_of(Path(found.archive)) in (Kind.FOLDER, Kind.FILE)
    return [n for n, found in enumerate(batch) if isinstance(found, FileRef) and kinds[found.archive]]


def unreadable_row(bad: BadFile) -> dict[str, object]:
    """The row of a file that must not be opened."""
    return _placed(_unreadable(bad.ref.size, bad.reason, bad.detail), bad.ref)


def _scan_one(reader: SourceReader, found: FileRef | BadFile) -> dict[str, object]:
    return unreadable_row(found) if isinstance(found, BadFile) else read_source_header(reader, found)[0]


def _placed(row: dict[str, object], ref: FileRef) -> dict[str, object]:
    return {**row, "path": ref.archive, "member": ref.member}


def _unreadable(size: int, reason: Reason, detail: str) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(HEADER_SCHEMA.names)
    row.update(size_bytes=size, reason=reason.value, detail=detail or None)
    return row


def _is_image_header(elements: Elements) -> bool:
    """Whether pixel data must follow: the matrix size or an image class says so."""
    sop_class = text(elements.values.get(SOP_CLASS)) or elements.encoding.media_sop_class_uid or ""
    return INTEGERS["rows"][0] in elements.values or f"{sop_class}.".startswith(IMAGE_CLASSES)


def _values(elements: Elements, size: int) -> dict[str, object]:
    assert elements.pixels is not None
    found, little = elements.values, elements.encoding.is_little_endian
    row: dict[str, object] = dict.fromkeys(HEADER_SCHEMA.names)
    row.update({name: text(found.get(tag), found.get(CHARACTER_SET)) for name, tag in TEXTS.items()})
    row.update({name: integer(found.get(tag), vr, is_little_endian=little) for name, (tag, vr) in INTEGERS.items()})
    row.update({name: number(found.get(tag)) for name, tag in NUMBERS.items()})
    row.update({name: double(found.get(tag), is_little_endian=little) for name, tag in DOUBLES.items()})
    row.update({name: numbers(found.get(tag), count) for name, (tag, count) in LISTS.items()})
    row["size_bytes"] = size
    row["header_bytes"] = size if elements.encoding.is_deflated else elements.pixels.header_start
    row["transfer_syntax_uid"] = elements.encoding.transfer_syntax_uid
    row["sop_class_uid"] = row["sop_class_uid"] or elements.encoding.media_sop_class_uid
    row["has_pixels"] = elements.pixels.length != 0
    return row
