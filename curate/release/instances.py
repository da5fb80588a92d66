"""What the DICOM files of a release say of themselves, read by pydicom: not by the reader that wrote them."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass

import pydicom
from pydicom.errors import InvalidDicomError

_WANTED = ["PatientID", "StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID"]


@dataclass(frozen=True, slots=True)
class Ids:
    """What a header says of itself; empty where it says nothing."""

    patient_id: str
    study_uid: str
    instance_uid: str
    series_uid: str = ""


def read_ids(content: bytes) -> Ids:
    """Parse the header of a file of a release. Raises ``ValueError`` when it is not whole, plain DICOM."""
    try:
        header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=_WANTED)
        return Ids(*(str(header.get(name) or "") for name in _WANTED))
    except (InvalidDicomError, EOFError, KeyError, AttributeError, TypeError, OSError, zlib.error) as error:
        raise ValueError(type(error).__name__) from None
