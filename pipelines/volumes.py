"""The volumes stage: one series, read once, becomes de-identified DICOM and one Zarr volume a stack.

All of a series or nothing: it is read, de-identified and assembled before the first byte is written. Outputs are named
by what they were made from (source bytes, mask, parameters): the same series under the same spec has the same names
wherever and whenever it is built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.job import Done, Job
from cluster.outcomes import Output
from cluster.units import Item
from curate.compiled import warm_up
from curate.deid import FileAudit, Identifier, deidentify_bytes
from curate.deid.leaks import LeakScanner
from curate.deid.records.audit_chain import audit_row
from curate.dicom import Limits, SourceReader, Volume
from curate.dicom.frames import DecodedSlice
from curate.dicom.normalised import Normalisation, read_normalised
from curate.dicom.pixels import Damaged, decode_instance
from curate.dicom.series import Row, SortedSeries
from curate.errors import Misconfigured, Quarantined, Rejected
from curate.geometry import resample_onto
from curate.identity import Json, digest_json, fingerprint
from curate.labels.mask_checks import find_fault
from curate.labels.masks import CERVICAL_MASK_NAMES, mask_objects, read_mask
from curate.manifests import sort_rows, table_bytes
from curate.manifests.schemas import FILE_AUDIT
from curate.reasons import Reason
from curate.release.description import CODE_VERSION
from curate.volumes import verify_volume, write_volume
from pipelines.catalogue import file_bytes, file_ref
from pipelines.grouping import INSTANCES_TABLE, SOURCES_TABLE, digest_rows, sort_series
from pipelines.known import IDENTIFIERS, identifiers_bytes
from pipelines.made_for import OVERTAKEN
from pipelines.masks import masks_by_study, stamps_by_study
from pipelines.partitions import read_rows_of
from pipelines.publishing import publish, publish_all, refuse_leaks
from pipelines.records import describe_equipment, describe_series, mask_faults, slice_axis, slice_rows, volume_record
from pipelines.spec import Spec
from pipelines.workspace import Workspace, describe_workspace, restore_workspace, volume_parameters

STAGE = "volumes"
VERSION = 4
MASK = "vertebrae"


def volumes_job(spec: Spec, workspace: Workspace, masks_key: str | None, partitions: int) -> Job:
    """The job that builds the series of one spec, whose catalogue lies in so many partitions."""
    parameters = volume_parameters(spec, workspace)
    config: dict[str, Json] = {
        "workspace": dict(describe_workspace(spec)),
        "parameters": dict(parameters),
        "masks": masks_key,
        "partitions": partitions,
        "file_bytes": file_bytes(spec),
    }
    return Job(
        STAGE,
        VERSION,
        open_builder,
        config,
        digest_json(parameters),
        ("numpy", "pydicom", "zarr"),
        least_seconds=spec.runtime.deadline_seconds,
    )


def open_builder(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """What a worker runs: the key of a series -> its volumes and files, written and verified."""
    description, parameters = config["workspace"], config["parameters"]
    assert isinstance(description, dict)
    assert isinstance(parameters, dict)
    workspace = restore_workspace(description)
    masks_key = config["masks"]
    masks = masks_by_study(workspace, None if masks_key is None else str(masks_key))
    stamps = stamps_by_study(workspace, None if masks_key is None else str(masks_key))
    limits = Limits(file_bytes=int(str(config["file_bytes"])))
    warm_up()  # not on the first item's time
    return Builder(workspace, parameters, masks, stamps, limits, int(str(config["partitions"]))).build


def item_fingerprint(
    parameters: Mapping[str, Json], rows: Sequence[Mapping[str, Any]], stamps: Mapping[str, str]
) -> str:
    """How the plan knows a series, from its rows in the catalogue and the stamps of masks by study."""
    mask = stamps.get(rows[0]["study_key"])
    made_of = [digest_rows(rows), *([mask] if mask else [])]
    return fingerprint(STAGE, VERSION, digest_json(dict(parameters)), made_of)


@dataclass(slots=True)
class Material:
    """What reading one series gave, by instance key, and who must not be found in its files.

    An image that is read twice, because another is damaged, counts once.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    identifiers: set[Identifier] = field(default_factory=set)
    actions: dict[str, Mapping[str, int]] = field(default_factory=dict)
    audits: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # rows of FILE_AUDIT
    digests: dict[str, str] = field(default_factory=dict)  # keyed, of the bytes of every file that was de-identified

    def keep(self, keys: Container[str]) -> None:
        """Forget the files of instances that are in no volume after all."""
        self.files = {key: content for key, content in self.files.items() if key in keys}
        self.audits = {key: row for key, row in self.audits.items() if key in keys}


@dataclass(frozen=True, slots=True)
class Normalised:
    """A stack on its final grid, and the masks there."""

    volume: Volume
    labels: Mapping[str, NDArray[np.uint8]]
    mask_fault: Rejected | None  # why the study's mask is not among the labels


@dataclass(frozen=True, slots=True)
class Builder:
    """What building any series of a run needs."""

    workspace: Workspace
    parameters: Mapping[str, Any]
    masks: Mapping[str, Path]
    stamps: Mapping[str, str]  # of the masks
    limits: Limits
    partitions: int  # of the catalogue

    def build(self, item: Item) -> Done:
        """Raises Rejected, Quarantined or Unavailable; then nothing of this series counts.

        Raises Misconfigured when the catalogue is no longer the one that the plan was made from.
        """
        rows = read_rows_of(self.workspace.store, INSTANCES_TABLE, item.key, self.partitions).to_pylist()
        if not rows or item_fingerprint(self.parameters, rows, self.stamps) != item.fingerprint:
            raise Misconfigured(OVERTAKEN)
        material = Material()
        mask_path = self.masks.get(rows[0]["study_key"])
        found, normalised = self._read(rows, item.key, material)
        volumes = [Normalised(volume, *mask_on(volume, mask_path)) for volume in normalised]
        material.keep({piece.key for volume in volumes for piece in volume.volume.stack.slices})
        made_of = [digest_json(sorted(material.digests.values()))]
        if mask_path is not None:
            made_of.append(self.workspace.pseudonyms.digest(mask_path.read_bytes()))
        name = fingerprint(STAGE, VERSION, digest_json(dict(self.parameters)), made_of)[:16]
        return self._write(rows[0], found, volumes, material, f"{rows[0]['study_key']}/{item.key}/{name}")

    def _read(
        self, rows: Sequence[Mapping[str, Any]], series_key: str, material: Material
    ) -> tuple[SortedSeries, list[Volume]]:
        pseudonyms = self.workspace.pseudonyms
        table = read_rows_of(self.workspace.private, SOURCES_TABLE, series_key, self.partitions)
        sources = {row["file_key"]: row for row in table.to_pylist()}
        if not sources.keys() >= {row["file_key"] for row in rows}:
            raise Misconfigured(OVERTAKEN)

        def sort(damaged: Damaged) -> SortedSeries:
            return sort_series(rows, self.parameters["sorting"], damaged)

        with SourceReader(self.limits, indexes=f"{self.workspace.private.url}/indexes") as reader:

            def decode(row: Row, frames: Sequence[int]) -> list[DecodedSlice]:
                key, site, source = str(row["instance_key"]), str(row["site"]), sources[row["file_key"]]
                raw = reader.read(file_ref(source))
                if pseudonyms.digest(raw[: source["header_bytes"]], "header") != row["header_digest"]:
                    raise Quarantined(Reason.SOURCE_CHANGED)
                clean = deidentify_bytes(
                    raw,
                    self.workspace.profile_of(site),
                    pseudonyms,
                    site=site,
                    decisions=self.workspace.decisions,
                )
                material.digests[key] = clean.audit.source_digest
                # blanked boxes must not come back through the volume
                decoded = decode_instance(clean.content if clean.audit.blanked else raw, row, frames)
                material.files[key] = clean.content
                material.identifiers |= clean.identifiers
                material.actions[key] = dict(clean.audit.counts)
                material.audits[key] = self._audit(clean.audit, series_key, key)
                return decoded

            wanted = Normalisation(
                self.parameters["spacing_mm"],
                orientation=self.parameters["orientation"],
                antialias=self.parameters["antialias"],
            )
            return read_normalised(rows, sort, decode, self.parameters["modality"], wanted)

    def _audit(self, audit: FileAudit, series_key: str, instance_key: str) -> Mapping[str, Any]:
        options = [code for code, _ in self.workspace.profile.codes]
        return audit_row(
            audit, series_key=series_key, instance_key=instance_key, options=options, code_version=CODE_VERSION
        )

    def _write(
        self,
        row: Mapping[str, Any],
        found: SortedSeries,
        volumes: Sequence[Normalised],
        material: Material,
        folder: str,
    ) -> Done:
        scanner = LeakScanner(material.identifiers)
        refuse_leaks(leak for content in material.files.values() for leak in scanner.scan(content))
        store = self.workspace.store
        names = {key: f"dicom/{folder}/{key}.dcm" for key in sorted(material.files)}
        published = publish_all(store, {name: material.files[key] for key, name in names.items()})
        files = {key: published[name] for key, name in names.items()}
        outputs = list(files.values())
        records: list[dict[str, Json]] = []
        objects: list[dict[str, Any]] = []
        for normalised in volumes:
            volume, labels = normalised.volume, normalised.labels
            uri = f"volumes/{folder}/{volume.stack.index}.zarr"
            url = f"{store.url}/{uri}"
            written = write_volume(
                url,
                volume.array,
                volume.grid,
                modality=volume.modality,
                units=volume.units,
                slice_axis=slice_axis(volume),
                labels=labels,
            )
            verify_volume(url, volume.array, volume.grid, labels=labels)
            outputs += [Output(f"{uri}/{entry.key}", entry.sha256, entry.size) for entry in written.objects]
            records.append(volume_record(volume, written, uri))
            if MASK in labels:
                objects += mask_objects(
                    labels[MASK],
                    volume.grid,
                    CERVICAL_MASK_NAMES,
                    study_key=row["study_key"],
                    series_key=row["series_key"],
                    stack=volume.stack.index,
                )
        slices = slice_rows(found.stacks, files, row["series_key"])
        outputs.append(publish(store, f"volumes/{folder}/slices.parquet", table_bytes(slices)))
        audit = pa.Table.from_pylist(list(material.audits.values()), schema=FILE_AUDIT)
        outputs.append(
            publish(store, f"volumes/{folder}/audit.parquet", table_bytes(sort_rows(audit, ("instance_key",))))
        )
        known = identifiers_bytes(material.identifiers)
        self.workspace.private.put_new(f"{IDENTIFIERS}/{folder}.parquet", known)
        record: dict[str, Json] = {
            "volumes": list(records),
            "objects": objects,
            "made_of": folder.rsplit("/", 1)[-1],
            "slices": outputs[-2].key,
            "audit": outputs[-1].key,
            "equipment": describe_equipment(material.files[min(material.files)]),
            "mask_faults": mask_faults(one.mask_fault for one in volumes),
            "deidentification": dict(sorted(sum(map(Counter, material.actions.values()), Counter[str]()).items())),
            **describe_series(found),
        }
        return Done(tuple(outputs), record)


def mask_on(volume: Volume, path: Path | None) -> tuple[dict[str, NDArray[np.uint8]], Rejected | None]:
    """The study's mask brought onto the volume's grid by its affine, or why that is not done; the volume goes on."""
    if path is None:
        return {}, None
    try:
        mask, mask_grid = read_mask(path, names=CERVICAL_MASK_NAMES)
    except Rejected as rejection:
        return {}, rejection
    fault = find_fault(mask, mask_grid, volume.array, volume.grid, CERVICAL_MASK_NAMES, is_ct=volume.units == "HU")
    if fault is not None:
        return {}, Rejected(Reason.MASK_MISPLACED, fault)
    return {MASK: resample_onto(mask, mask_grid, volume.grid)}, None
