"""The header scan: the values that the catalogue needs, read from the first bytes of each file.

Raw values: this table identifies people. The catalogue step turns it into keyed rows before anything is stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from curate.dicom.archives import BadFile, FileRef, Limits
from curate.dicom.elements import Elements, read_elements
from curate.dicom.sources import SourceReader, list_archive
from curate.dicom.values import integer, number, numbers, text
from curate.errors import Rejected
from curate.reasons import Reason

HEADER_SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # folder or archive file, then, below, the path inside it
        ("member", pa.string()),
        ("size_bytes", pa.int64()),
        ("reason", pa.string()),  # null: readable; else a Reason code and every value below is null
        ("detail", pa.string()),
        ("header_bytes", pa.int64()),  # offset of the pixel data element, or the whole file
        ("transfer_syntax_uid", pa.string()),
        ("sop_class_uid", pa.string()),
        ("sop_instance_uid", pa.string()),
        ("study_instance_uid", pa.string()),
        ("series_instance_uid", pa.string()),
        ("frame_of_reference_uid", pa.string()),
        ("patient_id", pa.string()),
        ("issuer_of_patient_id", pa.string()),
        ("patient_sex", pa.string()),
        ("patient_age", pa.string()),
        ("modality", pa.string()),
        ("image_type", pa.string()),  # values joined by a backslash
        ("conversion_type", pa.string()),
        ("burned_in_annotation", pa.string()),
        ("manufacturer", pa.string()),
        ("manufacturer_model_name", pa.string()),
        ("convolution_kernel", pa.string()),
        ("instance_number", pa.int64()),
        ("acquisition_number", pa.int64()),
        ("echo_time_ms", pa.float64()),
        ("rows", pa.int64()),
        ("columns", pa.int64()),
        ("number_of_frames", pa.int64()),
        ("samples_per_pixel", pa.int64()),
        ("photometric_interpretation", pa.string()),
        ("bits_allocated", pa.int64()),
        ("bits_stored", pa.int64()),
        ("pixel_representation", pa.int64()),
        ("pixel_spacing_mm", pa.list_(pa.float64(), 2)),  # between rows, between columns
        ("slice_thickness_mm", pa.float64()),
        ("gantry_tilt_deg", pa.float64()),
        ("image_position_mm", pa.list_(pa.float64(), 3)),  # LPS
        ("image_orientation", pa.list_(pa.float64(), 6)),  # direction of a row, direction of a column
        ("rescale_slope", pa.float64()),
        ("rescale_intercept", pa.float64()),
        ("has_pixels", pa.bool_()),
    ]
)

HEAD_BYTES = 32 * 2**10  # enough for most CT and MR headers; longer ones (vendor private blocks) are read on
_LONGEST_HEADER_BYTES = 64 * 2**20
_CHARACTER_SET = 0x00080005
_SOP_CLASS = 0x00080016
_IMAGE_CLASSES = ("1.2.840.10008.5.1.4.1.1.2.", "1.2.840.10008.5.1.4.1.1.4.")  # CT, MR and enhanced (PS3.4 B.5)

_TEXTS = {
    "sop_class_uid": _SOP_CLASS,
    "sop_instance_uid": 0x00080018,
    "study_instance_uid": 0x0020000D,
    "series_instance_uid": 0x0020000E,
    "frame_of_reference_uid": 0x00200052,
    "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021,
    "patient_sex": 0x00100040,
    "patient_age": 0x00101010,
    "modality": 0x00080060,
    "image_type": 0x00080008,
    "conversion_type": 0x00080064,
    "burned_in_annotation": 0x00280301,
    "manufacturer": 0x00080070,
    "manufacturer_model_name": 0x00081090,
    "convolution_kernel": 0x00181210,
    "photometric_interpretation": 0x00280004,
}
_INTEGERS = {
    "instance_number": (0x00200013, "IS"),
    "acquisition_number": (0x00200012, "IS"),
    "rows": (0x00280010, "US"),
    "columns": (0x00280011, "US"),
    "number_of_frames": (0x00280008, "IS"),
    "samples_per_pixel": (0x00280002, "US"),
    "bits_allocated": (0x00280100, "US"),
    "bits_stored": (0x00280101, "US"),
    "pixel_representation": (0x00280103, "US"),
}
_NUMBERS = {
    "echo_time_ms": 0x00180081,
    "slice_thickness_mm": 0x00180050,
    "gantry_tilt_deg": 0x00181120,
    "rescale_slope": 0x00281053,
    "rescale_intercept": 0x00281052,
}
_LISTS = {
    "pixel_spacing_mm": (0x00280030, 2),
    "image_position_mm": (0x00200032, 3),
    "image_orientation": (0x00200037, 6),
}
_WANTED = frozenset(
    (
        _CHARACTER_SET,
        *_TEXTS.values(),
        *_NUMBERS.values(),
        *(tag for tag, _ in _INTEGERS.values()),
        *(tag for tag, _ in _LISTS.values()),
    )
)


def read_header(head: bytes, size: int) -> dict[str, object]:
    """Values by schema name from the first bytes of a file of ``size`` bytes; ``path`` and ``member`` stay None.

    Never raises on data: ``reason`` says why a header cannot be read (EMPTY_FILE, NOT_DICOM, TRUNCATED_FILE,
    UNREADABLE_HEADER, NOT_AN_IMAGE, SUSPICIOUS_COMPRESSION). A head that is cut inside the header gives
    TRUNCATED_FILE even if the file goes on: ``read_source_header`` reads on by itself. Missing UIDs are no reason
    here, because a site's layout may name them. Pixel data that are shorter than declared are not looked at here
    either.
    """
    try:
        elements = read_elements(head, _WANTED)
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


def scan_headers(
    paths: Iterable[str | Path], *, threads: int = 4, limits: Limits | None = None, indexes: Path | None = None
) -> pa.Table:
    """Scan files, folders and archives into a table of HEADER_SCHEMA, in the order of listing, one row a file.

    Raises Misconfigured when a path does not exist or holds no files, Unavailable when the storage refuses.
    """
    limits = limits or Limits()
    listed = itertools.chain.from_iterable(list_archive(path, limits) for path in paths)
    batches = list(iter(lambda: list(itertools.islice(listed, 256)), []))

    def scan(batch: Sequence[FileRef | BadFile]) -> list[dict[str, object]]:
        with SourceReader(limits, indexes) as reader:
            return [_scan_one(reader, found) for found in batch]

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        tables = [pa.Table.from_pylist(rows, schema=HEADER_SCHEMA) for rows in pool.map(scan, batches)]
    return pa.concat_tables(tables) if tables else HEADER_SCHEMA.empty_table()


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
    sop_class = text(elements.values.get(_SOP_CLASS)) or elements.encoding.media_sop_class_uid or ""
    return _INTEGERS["rows"][0] in elements.values or f"{sop_class}.".startswith(_IMAGE_CLASSES)


def _values(elements: Elements, size: int) -> dict[str, object]:
    assert elements.pixels is not None
    found, little = elements.values, elements.encoding.is_little_endian
    row: dict[str, object] = dict.fromkeys(HEADER_SCHEMA.names)
    row.update({name: text(found.get(tag), found.get(_CHARACTER_SET)) for name, tag in _TEXTS.items()})
    row.update({name: integer(found.get(tag), vr, is_little_endian=little) for name, (tag, vr) in _INTEGERS.items()})
    row.update({name: number(found.get(tag)) for name, tag in _NUMBERS.items()})
    row.update({name: numbers(found.get(tag), count) for name, (tag, count) in _LISTS.items()})
    row["size_bytes"] = size
    row["header_bytes"] = size if elements.encoding.is_deflated else elements.pixels.header_start
    row["transfer_syntax_uid"] = elements.encoding.transfer_syntax_uid
    row["sop_class_uid"] = row["sop_class_uid"] or elements.encoding.media_sop_class_uid
    row["has_pixels"] = elements.pixels.length != 0
    return row
