"""What the tables say of a series and its volumes, from what building them showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from cluster.outcomes import Output
from curate.dicom import Volume, read_header
from curate.dicom.series import SortedSeries
from curate.dicom.stacks import Stack, even_grid, tilt_degrees
from curate.errors import Rejected
from curate.identity import Json
from curate.manifests.schemas import SLICES
from curate.volumes import WrittenVolume


def describe_equipment(clean: bytes) -> dict[str, Json]:
    """What the manifest says of scanner and patient, read from a file that is de-identified already."""
    header = read_header(clean, len(clean))
    names = ("manufacturer", "manufacturer_model_name", "patient_sex")
    return {name: None if header[name] is None else str(header[name]) for name in names}


def mask_faults(found: Iterable[Rejected | None]) -> list[Json]:
    """(reason, detail) of masks that are not used, each once."""
    faults = {(fault.reason.value, fault.detail) for fault in found if fault is not None}
    return [list(fault) for fault in sorted(faults)]


def slice_axis(volume: Volume) -> int:
    """The axis of the final array that runs along the acquired slices."""
    return int(np.argmax(np.abs(volume.stack.placement.normal @ volume.grid.directions)))


def slice_rows(stacks: Sequence[Stack], files: Mapping[str, Output], series_key: str) -> pa.Table:
    """SLICES of one series; ``files``: what was written, by instance key."""
    rows = [
        {
            "series_key": series_key,
            "stack": stack.index,
            "position_in_stack": position,
            "instance_key": piece.key,
            "frame": piece.frame,
            "instance_number": piece.instance_number,
            "dicom": files[piece.key].key,
            "dicom_sha256": files[piece.key].sha256,
            "image_position_mm": list(piece.position_mm),
        }
        for stack in stacks
        for position, piece in enumerate(stack.slices)
    ]
    return pa.Table.from_pylist(rows, schema=SLICES)


def volume_record(volume: Volume, written: WrittenVolume, uri: str) -> dict[str, Json]:
    """The VOLUMES columns that the build knows; keys, type and split are joined later."""
    stack, grid, statistics = volume.stack, volume.grid, written.statistics
    gaps = stack.placement.gaps_mm
    return {
        "stack": stack.index,
        "modality": volume.modality,
        "uri": uri,
        "objects": [entry.key for entry in written.objects],
        "size_bytes": written.size,
        "sha256": written.sha256,
        "shape": list(grid.shape),
        "dtype": written.dtype,
        "units": volume.units,
        "spacing_mm": list(grid.spacing_mm),
        "affine": grid.affine.ravel().tolist(),
        "axis_codes": grid.axis_codes,
        "slice_axis": slice_axis(volume),
        "source_shape": list(stack.placement.shape),
        "source_affine": even_grid(stack.placement).affine.ravel().tolist(),
        "gap_min_mm": float(gaps.min()),
        "gap_max_mm": float(gaps.max()),
        "missing_slices": sum(count for _, count in stack.missing),
        "tilt_deg": tilt_degrees(stack.placement),
        "intensity_min": statistics.minimum,
        "intensity_max": statistics.maximum,
        "intensity_mean": statistics.mean,
        "intensity_p01": statistics.p01,
        "intensity_p99": statistics.p99,
        "flags": sorted((*volume.flags, *stack.flags)),
        "detail": stack.detail,
    }


def describe_series(found: SortedSeries) -> dict[str, Json]:
    """SERIES columns that are known once every pixel was read: what is in the volumes, and why the rest is not."""
    apart = Counter(one.reason.value for one in found.instances if one.reason is not None)
    notes = [f"{count} {reason}" for reason, count in sorted(apart.items())]
    used = len(found.instances) - apart.total()
    return {"instances_used": used, "detail": "; ".join([*notes, found.detail] if found.detail else notes)}
