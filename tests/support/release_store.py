"""A small store as a run leaves it, written through the public doors of the other rooms: six patients at two sites.

Every patient has a name, id and accession number in the source headers; ``Made.identifiers`` is what the
de-identification took away. Patient 0..3 train, 4 validation, 5 test; one more series was rejected, one study has no
label row.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from curate.deid.engine import deidentify_bytes
from curate.deid.identifiers import Identifier
from curate.deid.profile import Profile, load_profile
from curate.deid.pseudonyms import Keyed
from curate.deid.records.audit_chain import audit_row
from curate.geometry import Grid
from curate.manifests import schemas
from curate.release import DeidentificationStatement, ReleaseDescription, state
from curate.storage import LocalStore, sha256_bytes
from curate.volumes.write import write_volume

KEY = bytes(range(32))
PSEUDONYMS = Keyed(KEY)
SPLITS = ("train", "train", "train", "train", "validation", "test")
NAMES = ("Abernathy", "Bjornstad", "Castellano", "Dombrowski", "Eriksdottir", "Fitzwilliam", "Gallagher")
SHAPE = (2, 12, 10)  # slices, rows, columns
LUMBAR_SERIES = schemas.SERIES_TYPES


@dataclass(frozen=True)
class Made:
    store: LocalStore
    manifests: dict[str, pa.Table]
    identifiers: frozenset[Identifier]
    description: ReleaseDescription
    statement: DeidentificationStatement


def make_store(
    root: Path, task: str, *, series_of_study: int = 1, site_overrides: Mapping[str, Mapping[str, str]] | None = None
) -> Made:
    """Cervical studies have ``series_of_study`` series, lumbar ones the three of the challenge.

    ``site_overrides``: by site, attribute -> what it wants, as a spec says it.
    """
    profile = load_profile("basic")
    sites = {site: profile.with_overrides(choices) for site, choices in (site_overrides or {}).items()}
    series = series_of_study if task == "cervical" else len(LUMBAR_SERIES)
    maker = _Maker(LocalStore(root), task, series, sites)
    for patient in range(7):
        maker.add_patient(patient)
    statement = state(profile, PSEUDONYMS, sites)
    return Made(maker.store, maker.tables(), frozenset(maker.identifiers), describe(task), statement)


def describe(task: str, *, version: str = "1.0.0", title: str = "Six synthetic spines") -> ReleaseDescription:
    return ReleaseDescription(
        name=f"six-{task}",
        version=version,
        title=title,
        licence="CC0-1.0",
        task=task,
        orientation="radiological",
        spacing_mm=(1.0, None, 1.0),
        spec_digest="0" * 64,
    )


class _Maker:
    def __init__(self, store: LocalStore, task: str, series: int, sites: Mapping[str, Profile]) -> None:
        self.store, self.task, self.series, self.sites = store, task, series, sites
        self.identifiers: set[Identifier] = set()
        self.rows: dict[str, list[dict[str, Any]]] = {
            name: []
            for name in (
                "samples",
                "series",
                "volumes",
                "slices",
                "boxes",
                "points",
                "objects",
                "label_issues",
                "audit",
            )
        }

    def add_patient(self, patient: int) -> None:
        """The last one has no label row."""
        site = "site-a" if patient < 4 else "site-b"
        keys = {
            "site": site,
            "patient_key": PSEUDONYMS.patient(f"MRN{patient:05d}", site=site),
            "study_key": PSEUDONYMS.uid(f"1.2.3.{patient}"),
        }
        uris = [self._add_series(patient, number, keys) for number in range(self.series)]
        if patient == 0:
            rejected = {"status": "rejected", "reason": "localizer", "detail": ""}
            self._add_series_row({**keys, "series_key": PSEUDONYMS.uid("1.2.3.0.99")}, rejected)
        if patient == 6:
            self._add_issue(None)
            return
        targets = schemas.CERVICAL_TARGETS if self.task == "cervical" else schemas.LUMBAR_TARGETS
        labels = {t: (patient + n) % (2 if self.task == "cervical" else 3) for n, t in enumerate(targets)}
        if self.task == "lumbar":
            labels[targets[7]] = None
        self.rows["samples"].append({**keys, "split": SPLITS[patient], "volumes": uris, **labels})
        self._add_issue(keys["study_key"])

    def tables(self) -> dict[str, pa.Table]:
        samples = schemas.CERVICAL_SAMPLES if self.task == "cervical" else schemas.LUMBAR_SAMPLES
        known = {"samples": samples, "audit": schemas.FILE_AUDIT}
        return {
            name: pa.Table.from_pylist(rows, known.get(name) or getattr(schemas, name.upper()))
            for name, rows in self.rows.items()
        }

    def _add_series(self, patient: int, number: int, keys: dict[str, str]) -> str:
        uid = f"1.2.3.{patient}.{number}"
        series = {**keys, "series_key": PSEUDONYMS.uid(uid)}
        kind = LUMBAR_SERIES[number] if self.task == "lumbar" else None
        rng = np.random.default_rng(patient * 10 + number)
        array = rng.integers(-1000, 1000, SHAPE, dtype=np.int16)
        for k in range(SHAPE[0]):
            self._add_slice(patient, uid, k, array[k], series)
        uri = f"volumes/{series['study_key']}/{series['series_key']}/0123456789abcdef/0.zarr"
        masks = {"vertebrae": (array > 900).astype(np.uint8)} if self.task == "cervical" else None
        grid = Grid(SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
        written = write_volume(
            self.store.root / uri, array, grid, modality=self._modality, units="stored", labels=masks
        )
        split = SPLITS[patient] if patient < 6 else None
        self._add_series_row({**series, "series_type": kind}, {"status": "done"})
        self.rows["volumes"].append(
            {
                **series,
                "stack": 0,
                "series_type": kind,
                "split": split,
                "uri": uri,
                "objects": [entry.key for entry in written.objects],
                "size_bytes": written.size,
                "sha256": written.sha256,
                "shape": list(SHAPE),
                "dtype": written.dtype,
            }
        )
        self._add_marks(patient, number, series)
        return uri

    def _add_slice(self, patient: int, uid: str, k: int, pixels: np.ndarray, series: dict[str, str]) -> None:
        raw = _dicom(patient, uid, k, pixels, self._modality)
        profile = self.sites.get(series["site"]) or load_profile("basic")
        result = deidentify_bytes(raw, profile, PSEUDONYMS, site=series["site"])
        self.identifiers |= result.identifiers
        instance = PSEUDONYMS.uid(f"{uid}.{k + 1}")
        key = f"dicom/{series['study_key']}/{series['series_key']}/0123456789abcdef/{instance}.dcm"
        self.store.put_new(key, result.content)
        names = {"series_key": series["series_key"], "instance_key": instance}
        self.rows["audit"].append(audit_row(result.audit, **names, options=["113100"], code_version="1"))
        self.rows["slices"].append(
            {
                "series_key": series["series_key"],
                "stack": 0,
                "position_in_stack": k,
                "instance_key": instance,
                "instance_number": k + 1,
                "dicom": key,
                "dicom_sha256": sha256_bytes(result.content),
            }
        )

    def _add_series_row(self, keys: dict[str, Any], verdict: dict[str, str]) -> None:
        self.rows["series"].append({**keys, "modality": self._modality, "instances": SHAPE[0], **verdict})

    def _add_marks(self, patient: int, number: int, series: dict[str, str]) -> None:
        """A box or a point on the second slice of every first series."""
        if number or patient == 6:
            return
        uid = f"1.2.3.{patient}.{number}.2"
        place = {"study_key": series["study_key"], "series_key": series["series_key"], "stack": 0}
        place |= {"instance_key": PSEUDONYMS.uid(uid), "instance_number": 2, "column": 2.5, "row": 3.0}
        if self.task == "cervical":
            self.rows["boxes"].append({**place, "label": "fracture", "width": 4.0, "height": 5.25})
        else:
            self.rows["points"].append({**place, "condition": "left_subarticular_stenosis", "level": "l4_l5"})
        self.rows["objects"].append({**{n: place[n] for n in ("study_key", "series_key", "stack")}, "object": "C1"})

    def _add_issue(self, study: str | None) -> None:
        issue = {"table": "boxes", "row": 3, "study_key": study, "reason": "label_outside_frame", "detail": ""}
        self.rows["label_issues"].append(issue)

    @property
    def _modality(self) -> str:
        return "CT" if self.task == "cervical" else "MR"


def _dicom(patient: int, series_uid: str, k: int, pixels: np.ndarray, modality: str) -> bytes:
    image = Dataset()
    image.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    image.SOPInstanceUID = f"{series_uid}.{k + 1}"
    image.StudyInstanceUID = f"1.2.3.{patient}"
    image.SeriesInstanceUID = series_uid
    image.FrameOfReferenceUID = f"1.2.3.{patient}.77"
    image.Modality = modality
    image.PatientName = f"{NAMES[patient]}^Quentin"
    image.PatientID = f"MRN{patient:05d}"
    image.PatientBirthDate = f"19{40 + patient}0312"
    image.PatientSex = "O"
    image.AccessionNumber = f"ACC77{patient:04d}"
    image.InstitutionName = "Hospital of the Seven Bridges"
    image.StudyDate = image.SeriesDate = image.ContentDate = "20210405"
    image.StudyTime = image.ContentTime = "101112"
    image.InstanceNumber = k + 1
    image.SeriesNumber = 1
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient = [0, 0, float(k)]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [1, 1]
    image.SliceThickness = 1
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 1
    image.RescaleIntercept, image.RescaleSlope = 0, 1
    image.PixelData = pixels.astype("<i2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()
