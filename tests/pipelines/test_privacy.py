"""Nothing that the phantoms plant is in the store: not in bytes, not in decoded tables, not in what is printed."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pydicom
import pytest

from curate.volumes import open_volume
from pipelines.known import read_identifiers
from tests.support.curated import Curated, copy_archive, curate

SHORTEST = 5  # shorter values occur by chance in compressed bytes


def planted_in(curated: Curated) -> dict[bytes, str]:
    """Planted values by their bytes; dates are left to the tests of shifting, they are eight digits of nothing else."""
    return {
        row["value"].encode(): row["kind"]
        for row in curated.truth("planted")
        if len(row["value"]) >= SHORTEST and row["kind"] != "date"
    }


def texts_of(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what its bytes hide: Parquet pages decoded."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield str(pq.read_table(path).to_pydict()).encode()


def test_no_planted_identifier_is_anywhere_in_the_store(curated: Curated) -> None:
    planted = planted_in(curated)
    assert len(planted) > 100
    found = {
        (path.relative_to(curated.spec.store).as_posix(), kind)
        for path in sorted(curated.spec.store.rglob("*"))
        if path.is_file()
        for text in texts_of(path)
        for value, kind in planted.items()
        if value in text
    }
    assert found == set()


def test_no_planted_identifier_is_in_a_name_of_the_store(curated: Curated) -> None:
    names = "\n".join(
        path.relative_to(curated.spec.store).as_posix() for path in curated.spec.store.rglob("*")
    ).encode()
    assert [kind for value, kind in planted_in(curated).items() if value in names] == []


def test_the_planted_identifiers_were_in_the_archive_and_are_known_in_the_private_zone(curated: Curated) -> None:
    known = {identifier.value for identifier in read_identifiers(curated.workspace.private)}
    done = {row["study"] for row in curated.truth("series")}
    for row in curated.truth("planted"):
        if row["kind"] in ("accession", "id") and row["place"].startswith("(0010,0020)") and row["study"] in done:
            assert row["value"] in known


def test_nobody_else_may_look_into_the_private_zone(curated: Curated) -> None:
    for path in (curated.spec.private_zone, *curated.spec.private_zone.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_dates_are_shifted_and_keep_their_distance(curated: Curated) -> None:
    shown = curated.manifest("slices")["dicom"].to_pylist()[::40]
    planted = {row["value"] for row in curated.truth("planted") if row["kind"] == "date"}
    for key in shown:
        header = pydicom.dcmread(Path(curated.workspace.store.url, key), stop_before_pixels=True)
        assert str(header.get("StudyDate", "")) not in planted
        if "StudyDate" in header and "SeriesDate" in header and header.StudyDate and header.SeriesDate:
            assert abs(int(header.SeriesDate[:4]) - int(header.StudyDate[:4])) <= 1


def test_deidentified_files_say_so_and_are_read_by_others(curated: Curated) -> None:
    for row in curated.manifest("slices").to_pylist()[::25]:
        header = pydicom.dcmread(Path(curated.workspace.store.url, row["dicom"]))
        assert header.PatientIdentityRemoved == "YES"
        assert header.SOPInstanceUID == row["instance_key"]
        assert header.file_meta.MediaStorageSOPInstanceUID == row["instance_key"]
        assert header.preamble == bytes(128)
        assert header.pixel_array.shape == (header.Rows, header.Columns)


def test_volumes_carry_no_attribute_that_identifies(curated: Curated) -> None:
    planted = planted_in(curated)
    for uri in curated.manifest("volumes")["uri"].to_pylist()[:10]:
        folder = Path(curated.workspace.store.url, uri)
        assert open_volume(folder).shape
        text = (folder / "zarr.json").read_bytes()
        assert [kind for value, kind in planted.items() if value in text] == []


def test_nothing_that_is_printed_identifies(
    cervical: Curated, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    curate(copy_archive(cervical.folder, tmp_path / "copy"), executor="ray", workers=2)
    out, err = capfd.readouterr()
    printed = (out + err).encode()
    assert [kind for value, kind in planted_in(cervical).items() if value in printed] == []
