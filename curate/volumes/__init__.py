"""Volumes in a store: one OME-Zarr image each, written once, read whole or in boxes."""

from curate.volumes.read import StoredVolume, open_volume
from curate.volumes.statistics import Statistics
from curate.volumes.verify import verify_volume
from curate.volumes.write import WrittenObject, WrittenVolume, write_volume

__all__ = [
    "Statistics",
    "StoredVolume",
    "WrittenObject",
    "WrittenVolume",
    "open_volume",
    "verify_volume",
    "write_volume",
]
