"""DICOM in: archives, headers, stacks of slices, pixels, and volumes as acquired."""

from curate.dicom.archives import BadFile, FileRef, Limits
from curate.dicom.assemble import Volume
from curate.dicom.frames import decode_slice
from curate.dicom.headers import read_header, scan_headers
from curate.dicom.read import read_series
from curate.dicom.series import sort_out
from curate.dicom.sources import SourceReader, list_archive

__all__ = [
    "BadFile",
    "FileRef",
    "Limits",
    "SourceReader",
    "Volume",
    "decode_slice",
    "list_archive",
    "read_header",
    "read_series",
    "scan_headers",
    "sort_out",
]
