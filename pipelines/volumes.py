"""The volumes stage: one series, read once, becomes de-identified DICOM and one Zarr volume a stack.

All of a series or nothing: it is read, de-identified and assembled before the first byte is written. Outputs are named
by what they were made from (source bytes, mask, parameters): the same series under the same spec has the same names
wherever and whenever it is built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.job import Done, Job
from cluster.outcomes import Output
from cluster.units import Item
from curate.deid import FileAudit, Identifier, deidentify_bytes
from curate.deid.audit_chain import audit_row
from curate.deid.leaks import LeakScanner
from curate.dicom import Limits, SourceReader, Volume, assemble, decode_slice, read_header
from curate.dicom.frames import DecodedSlice
from curate.dicom.stacks import Stack
from curate.errors import Quarantined, Rejected
from curate.geometry import Grid, orient, resample, resample_onto
from curate.identity import Json, digest_json, fingerprint
from curate.labels.masks import CERVICAL_MASK_NAMES, mask_objects, read_mask, share_inside
from curate.manifests import read_table, sort_rows, table_bytes
from curate.manifests.schemas import FILE_AUDIT, SLICES
from curate.reasons import Reason
from curate.release.description import CODE_VERSION
from curate.storage import sha256_bytes
from curate.volumes import WrittenVolume, verify_volume, write_volume
from pipelines.catalogue import file_bytes, file_ref
from pipelines.grouping import INSTANCES_KEY, SOURCES_KEY, sort_series
from pipelines.masks import masks_by_study
from pipelines.spec import Spec
from pipelines.workspace import Workspace, describe_workspace, restore_workspace, volume_parameters

STAGE = "volumes"
VERSION = 2
MASK = "vertebrae"


def volumes_job(spec: Spec, workspace: Workspace, masks_key: str | None) -> Job:
    """The job that builds the series of one spec."""
    parameters = volume_parameters(spec, workspace)
    config: dict[str, Json] = {
        "workspace": dict(describe_workspace(spec)),
        "parameters": dict(parameters),
        "masks": masks_key,
        "file_bytes": file_bytes(spec),
    }
    return Job(STAGE, VERSION, open_builder, config, digest_json(parameters), ("numpy", "pydicom", "zarr"))


def open_builder(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """What a worker runs: the key of a series -> its volumes and files, written and verified."""
    description, parameters = config["workspace"], config["parameters"]
    assert isinstance(description, dict)
    assert isinstance(parameters, dict)
    workspace = restore_workspace(description)
    masks_key = config["masks"]
    masks = masks_by_study(workspace, None if masks_key is None else str(masks_key))
    limits = Limits(file_bytes=int(str(config["file_bytes"])))
    return Builder(workspace, parameters, masks, limits).build


@dataclass(frozen=True, slots=True)
class Material:
    """A series as read: de-identified files and decoded slices by instance key, and who must not be found in them."""

    files: Mapping[str, bytes]
    slices: Mapping[str, DecodedSlice]
    identifiers: frozenset[Identifier]
    equipment: Mapping[str, Json]  # SERIES columns, from a de-identified header
    actions: Counter[str]
    audits: tuple[Mapping[str, Any], ...]  # rows of FILE_AUDIT
    digest: str  # keyed, of all source bytes


@dataclass(frozen=True, slots=True)
class Normalised:
    """A stack on its final grid."""

    source: Volume
    array: NDArray[Any]
    grid: Grid
    labels: Mapping[str, NDArray[np.uint8]]
    mask_fault: str | None  # why the study's mask is not among the labels


@dataclass(frozen=True, slots=True)
class Builder:
    """What building any series of a run needs."""

    workspace: Workspace
    parameters: Mapping[str, Any]
    masks: Mapping[str, Path]
    limits: Limits

    def build(self, item: Item) -> Done:
        """Raises Rejected, Quarantined or Unavailable; then nothing of this series counts."""
        rows = read_table(self.workspace.store, INSTANCES_KEY, filters=pc.field("series_key") == item.key).to_pylist()
        found = sort_series(rows, self.parameters["sorting"])
        if found.reason is not None:
            raise Rejected(found.reason, found.detail)
        used = [row for row, place in zip(rows, found.instances, strict=True) if place.reason is None]
        material = self._read(used, item.key)
        mask_path = self.masks.get(rows[0]["study_key"])
        volumes = [self._normalise(stack, material, mask_path) for stack in found.stacks]
        made_of = [material.digest, *([self.workspace.pseudonyms.digest(mask_path.read_bytes())] if mask_path else [])]
        name = fingerprint(STAGE, VERSION, digest_json(dict(self.parameters)), made_of)[:16]
        return self._write(rows[0], volumes, material, f"{rows[0]['study_key']}/{item.key}/{name}")

    def _read(self, rows: Sequence[Mapping[str, Any]], series_key: str) -> Material:
        pseudonyms = self.workspace.pseudonyms
        table = read_table(self.workspace.private, SOURCES_KEY, filters=pc.field("series_key") == series_key)
        sources = {row["file_key"]: row for row in table.to_pylist()}
        files: dict[str, bytes] = {}
        slices: dict[str, DecodedSlice] = {}
        identifiers: set[Identifier] = set()
        actions: Counter[str] = Counter()
        audits: list[Mapping[str, Any]] = []
        digests: list[str] = []
        with SourceReader(self.limits, indexes=Path(self.workspace.private.url, "indexes")) as reader:
            for row in rows:
                source = sources[row["file_key"]]
                raw = reader.read(file_ref(source))
                if pseudonyms.digest(raw[: source["header_bytes"]], "header") != row["header_digest"]:
                    raise Quarantined(Reason.SOURCE_CHANGED)
                digests.append(pseudonyms.digest(raw))
                clean = deidentify_bytes(
                    raw,
                    self.workspace.profile_of(row["site"]),
                    pseudonyms,
                    site=row["site"],
                    decisions=self.workspace.decisions,
                )
                files[row["instance_key"]] = clean.content
                # blanked boxes must not come back through the volume
                slices[row["instance_key"]] = decode_slice(clean.content if clean.audit.blanked else raw)
                identifiers |= clean.identifiers
                actions.update(dict(clean.audit.counts))
                audits.append(self._audit(clean.audit, series_key, row["instance_key"]))
        return Material(
            files=files,
            slices=slices,
            identifiers=frozenset(identifiers),
            equipment=describe_equipment(files[rows[0]["instance_key"]]),
            actions=actions,
            audits=tuple(audits),
            digest=digest_json(sorted(digests)),
        )

    def _audit(self, audit: FileAudit, series_key: str, instance_key: str) -> Mapping[str, Any]:
        options = [code for code, _ in self.workspace.profile.codes]
        return audit_row(
            audit, series_key=series_key, instance_key=instance_key, options=options, code_version=CODE_VERSION
        )

    def _normalise(self, stack: Stack, material: Material, mask_path: Path | None) -> Normalised:
        decoded = (material.slices[piece.key] for piece in stack.slices)
        source = assemble(stack, decoded, self.parameters["modality"])
        array, grid = orient(source.array, source.grid, self.parameters["orientation"])
        array, grid = resample(array, grid, self.parameters["spacing_mm"], antialias=self.parameters["antialias"])
        labels, fault = mask_on(grid, mask_path)
        return Normalised(source, array, grid, labels, fault)

    def _write(self, row: Mapping[str, Any], volumes: Sequence[Normalised], material: Material, folder: str) -> Done:
        self._check_for_leaks(material)
        store = self.workspace.store
        outputs: list[Output] = []
        for key, content in sorted(material.files.items()):
            outputs.append(self._put(f"dicom/{folder}/{key}.dcm", content))
        records: list[dict[str, Json]] = []
        objects: list[dict[str, Any]] = []
        for volume in volumes:
            uri = f"volumes/{folder}/{volume.source.stack.index}.zarr"
            url = str(store.path(uri))
            written = write_volume(
                url,
                volume.array,
                volume.grid,
                modality=volume.source.modality,
                units=volume.source.units,
                slice_axis=slice_axis(volume),
                labels=volume.labels,
            )
            verify_volume(url, volume.array, volume.grid, labels=volume.labels)
            outputs += [Output(f"{uri}/{entry.key}", entry.sha256, entry.size) for entry in written.objects]
            records.append(volume_record(volume, written, uri))
            if MASK in volume.labels:
                objects += mask_objects(
                    volume.labels[MASK],
                    volume.grid,
                    CERVICAL_MASK_NAMES,
                    study_key=row["study_key"],
                    series_key=row["series_key"],
                    stack=volume.source.stack.index,
                )
        slices = self._slices(volumes, material, row["series_key"], folder)
        outputs.append(self._put(f"volumes/{folder}/slices.parquet", table_bytes(slices)))
        audit = pa.Table.from_pylist(material.audits, schema=FILE_AUDIT)
        outputs.append(self._put(f"volumes/{folder}/audit.parquet", table_bytes(sort_rows(audit, ("instance_key",)))))
        self._keep_identifiers(material, folder)
        record: dict[str, Json] = {
            "volumes": list(records),
            "objects": objects,
            "made_of": folder.rsplit("/", 1)[-1],
            "slices": outputs[-2].key,
            "audit": outputs[-1].key,
            "equipment": dict(material.equipment),
            "mask_faults": sorted({volume.mask_fault for volume in volumes if volume.mask_fault is not None}),
            "deidentification": dict(sorted(material.actions.items())),
        }
        return Done(tuple(outputs), record)

    def _put(self, key: str, content: bytes) -> Output:
        """Publish and read back: what a receipt names is in the store with these bytes."""
        store, digest = self.workspace.store, sha256_bytes(content)
        store.put_new(key, content)
        if sha256_bytes(store.get(key)) != digest:
            raise Quarantined(Reason.VERIFICATION_FAILED, "a written object reads back with other bytes")
        return Output(key, digest, len(content))

    def _check_for_leaks(self, material: Material) -> None:
        scanner = LeakScanner(material.identifiers)
        kinds = Counter(leak.kind for content in material.files.values() for leak in scanner.scan(content))
        if kinds:
            counts = ", ".join(f"{kind} {count} times" for kind, count in sorted(kinds.items()))
            raise Quarantined(Reason.LEAK_FOUND, counts)

    def _keep_identifiers(self, material: Material, folder: str) -> None:
        rows = [
            asdict(identifier) for identifier in sorted(material.identifiers, key=lambda one: (one.kind, one.value))
        ]
        schema = pa.schema([("kind", pa.string()), ("value", pa.string())])
        self.workspace.private.put_new(
            f"identifiers/{folder}.parquet", table_bytes(pa.Table.from_pylist(rows, schema=schema))
        )

    def _slices(self, volumes: Sequence[Normalised], material: Material, series_key: str, folder: str) -> pa.Table:
        rows = [
            {
                "series_key": series_key,
                "stack": volume.source.stack.index,
                "position_in_stack": position,
                "instance_key": piece.key,
                "instance_number": piece.instance_number,
                "dicom": f"dicom/{folder}/{piece.key}.dcm",
                "dicom_sha256": sha256_bytes(material.files[piece.key]),
                "image_position_mm": list(piece.position_mm),
            }
            for volume in volumes
            for position, piece in enumerate(volume.source.stack.slices)
        ]
        return pa.Table.from_pylist(rows, schema=SLICES)


def describe_equipment(clean: bytes) -> dict[str, Json]:
    """What the manifest says of scanner and patient, read from a file that is de-identified already."""
    header = read_header(clean, len(clean))
    names = ("manufacturer", "manufacturer_model_name", "patient_sex")
    return {name: None if header[name] is None else str(header[name]) for name in names}


def mask_on(grid: Grid, path: Path | None) -> tuple[dict[str, NDArray[np.uint8]], str | None]:
    """The study's mask brought onto the volume's grid by its affine, or why that cannot be; the volume goes on."""
    if path is None:
        return {}, None
    try:
        mask, mask_grid = read_mask(path, names=CERVICAL_MASK_NAMES)
    except Rejected as rejection:
        return {}, rejection.detail
    if share_inside(mask, mask_grid, grid) == 0.0:
        return {}, "no labelled voxel lies inside the volume"
    return {MASK: resample_onto(mask, mask_grid, grid)}, None


def slice_axis(volume: Normalised) -> int:
    """The axis of the final array that runs along the acquired slices."""
    normal = volume.source.grid.directions[:, 0]
    return int(np.argmax(np.abs(normal @ volume.grid.directions)))


def volume_record(volume: Normalised, written: WrittenVolume, uri: str) -> dict[str, Json]:
    """The VOLUMES columns that the build knows; keys, type and split are joined later."""
    source, grid, statistics = volume.source, volume.grid, written.statistics
    return {
        "stack": source.stack.index,
        "modality": source.modality,
        "uri": uri,
        "objects": [entry.key for entry in written.objects],
        "size_bytes": written.size,
        "sha256": written.sha256,
        "shape": list(grid.shape),
        "dtype": written.dtype,
        "units": source.units,
        "spacing_mm": list(grid.spacing_mm),
        "affine": grid.affine.ravel().tolist(),
        "axis_codes": grid.axis_codes,
        "slice_axis": slice_axis(volume),
        "source_shape": list(source.grid.shape),
        "source_affine": source.grid.affine.ravel().tolist(),
        "intensity_min": statistics.minimum,
        "intensity_max": statistics.maximum,
        "intensity_mean": statistics.mean,
        "intensity_p01": statistics.p01,
        "intensity_p99": statistics.p99,
        "flags": list(source.flags),
    }
