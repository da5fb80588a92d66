"""A small folder as a hospital sends it: images of three patients full of identifiers, and what lies among them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.deid_files import INSTANCE, KEY, PLANTS, SERIES, STUDY, encode, make_ct

NAMES = ("Quixotova^Almudena", "Hollingberry^Ottoline", "Vanterpool^Ignatius")
_FREE = "comment on the patient"  # text that names nobody stays under Clean Descriptors
PLANTED = (
    *(plant for plant in PLANTS if plant != _FREE),
    "Hollingberry",
    "Ottoline",
    "Vanterpool",
    "Ignatius",
    "MRN-00",
    "SECRET_FOLDER",
    "smuggled",
)
IMAGES = 4  # of each patient
MORE_IMAGES = 2  # in the zip and in the tar.gz
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"

EXPECTED: Mapping[str, tuple[str, str]] = {  # what lies apart -> outcome, reason
    "notes.txt": ("rejected", "not_dicom"),
    "empty.dcm": ("rejected", "empty_file"),
    "cut.dcm": ("rejected", "truncated_file"),
    "copy.dcm": ("rejected", "duplicate_instance"),
    "page.dcm": ("quarantined", "burned_in_annotation"),
    "screen.dcm": ("quarantined", "secondary_capture"),
    "document.dcm": ("quarantined", "unknown_sop_class"),
    "outside.dcm": ("rejected", "unsafe_name"),
    "../smuggled.dcm": ("rejected", "unsafe_name"),
    "hollow.zip": ("rejected", "not_dicom"),
}
GOOD = IMAGES * len(NAMES) + 2 * MORE_IMAGES
FILES = GOOD + len(EXPECTED)


def image(patient: int, number: int, **changes: object) -> bytes:
    """One slice of one patient; numbers name instances."""
    last, first = NAMES[patient].split("^")
    ids = {
        "PatientName": NAMES[patient],
        "PatientID": f"MRN-00{patient}",
        "StudyInstanceUID": f"{STUDY}.{patient}",
        "SeriesInstanceUID": f"{SERIES}.{patient}",
        "SOPInstanceUID": f"{INSTANCE}.{patient}.{number}",
        "StudyDescription": f"CT spine for {last}",
        "SeriesDescription": f"{first}, 1 mm bone",
        "InstanceNumber": str(number),
    }
    return encode(make_ct(**ids | changes))


def make_hospital(folder: Path) -> Path:
    """Write the folder and the key beside it; returns the folder."""
    for patient, name in enumerate(NAMES):
        own = folder / "SECRET_FOLDER" / name.replace("^", "_")
        own.mkdir(parents=True)
        for number in range(IMAGES):
            (own / f"{number}.dcm").write_bytes(image(patient, number))
    (folder / "notes.txt").write_text("Quixotova was here, and this is no image but a note about her")
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes(image(0, 90)[:-30])
    (folder / "copy.dcm").write_bytes((folder / "SECRET_FOLDER" / "Quixotova_Almudena" / "0.dcm").read_bytes())
    (folder / "page.dcm").write_bytes(image(0, 91, BurnedInAnnotation="YES"))
    (folder / "screen.dcm").write_bytes(image(0, 92, SOPClassUID=SECONDARY))
    (folder / "document.dcm").write_bytes(image(0, 93, SOPClassUID=PDF))
    (folder / "outside.dcm").symlink_to("/etc/hostname")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        for number in range(MORE_IMAGES):
            archive.writestr(f"export/{number}.dcm", image(1, 50 + number))
        archive.writestr("../smuggled.dcm", image(2, 99))
    with tarfile.open(folder / "last.tar.gz", "w:gz") as packed:
        for number in range(MORE_IMAGES):
            content = image(2, 60 + number)
            entry = tarfile.TarInfo(f"{number}.dcm")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    zipfile.ZipFile(folder / "hollow.zip", "w").close()
    key = folder.with_name("project.key")
    key.write_text(KEY.hex())
    key.chmod(0o600)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def planted_in(folder: Path) -> set[tuple[str, str]]:
    """(file, planted string) that stands in a name, in bytes, or in the decoded pages of a table."""
    found = set()
    for path in folder.rglob("*"):
        texts = [path.relative_to(folder).as_posix().encode()]
        if path.is_file():
            texts.append(path.read_bytes())
        if path.suffix == ".parquet":
            texts.append(str(pq.read_table(path).to_pydict()).encode())
        name = path.relative_to(folder).as_posix()
        found |= {(name, plant) for plant in PLANTED for text in texts if plant.encode() in text}
    return found
