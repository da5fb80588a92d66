"""The Modality LUT (PS3.3 C.11.1): stored values to output values through a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from curate.dicom.encoding import PARSING_ERRORS
from curate.errors import Rejected
from curate.reasons import Reason

MODALITY_LUT = 0x00283000
_DESCRIPTOR, _TYPE, _DATA = 0x00283002, 0x00283004, 0x00283006


@dataclass(frozen=True, slots=True, eq=False)
class ModalityLut:
    """``table[v - first]`` is the output for stored value v; beyond its ends its end values hold (C.11.1.1)."""

    first: int
    table: NDArray[np.uint16]
    kind: str  # Modality LUT Type (0028,3004): HU, OD, US (unspecified) ...
    bits: int

    def apply(self, stored: NDArray[np.integer]) -> NDArray[np.uint16]:
        """Output values, uint16, of the same shape."""
        places = np.clip(stored.astype(np.int64) - self.first, 0, self.table.size - 1)
        return self.table[places]


def read_modality_lut(raw: bytes, *, is_signed: bool) -> ModalityLut:
    """The table of a file that has one. Raises Rejected(UNDECODABLE_PIXELS) if it cannot be read or does not add up."""
    try:
        dataset = pydicom.dcmread(BytesIO(raw), specific_tags=[MODALITY_LUT], stop_before_pixels=True, force=True)
        (item,) = dataset[MODALITY_LUT].value
        count, first, bits = (_number(value) for value in item[_DESCRIPTOR].value)
        content, kind = item[_DATA].value, str(item.get(_TYPE).value if _TYPE in item else "US")
        count = count or 2**16  # C.11.1.1: 0 stands for 65536
        first = (first + 2**15) % 2**16 - 2**15 if is_signed else first % 2**16
        table = _entries(content, count, dataset.original_encoding[1] is not False)
    except (*PARSING_ERRORS, MemoryError):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the Modality LUT cannot be read") from None
    if bits not in range(8, 17) or table.size != count or int(table.max()) >> bits:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "the Modality LUT does not fit its descriptor")
    return ModalityLut(first, table, kind.strip()[:16], bits)


def _number(value: object) -> int:
    return int(str(value))


def _entries(content: object, count: int, is_little_endian: bool) -> NDArray[np.uint16]:
    """LUT Data as US values or OW bytes; 8-bit entries may be packed two to a word."""
    if isinstance(content, bytes):
        if count <= len(content) < 2 * count:
            return np.frombuffer(content, np.uint8, count).astype(np.uint16)
        return np.frombuffer(content, "<u2" if is_little_endian else ">u2", count).astype(np.uint16)
    values = content if isinstance(content, Sequence) else [content]
    return np.array([_number(value) for value in values], np.int64).astype(np.uint16)
