"""The volumes stage, one archive for one question: right voxels, right names, all of a series or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from curate.dicom.reader import SourceReader
from curate.storage import LocalStore
from curate.volumes import open_volume
from tests.support.curated import Curated, digests
from tests.support.dicom_files import SERIES_UID
from tests.support.hand_made import SAGITTAL, ramp, run_hand_made, write_ramp


def values_and_places(curated: Curated) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """The voxels of the only volume, what the scene has at their places, and the manifest's row."""
    (row,) = curated.manifest("volumes").to_pylist()
    volume = open_volume(Path(curated.workspace.store.url, row["uri"]))
    indices = np.stack(np.indices(volume.shape), axis=-1)
    return volume.read().astype(float), ramp(volume.grid.to_patient(indices)), row


def test_axial_slices_become_hounsfield_units_where_they_were_taken(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive")
    values, places, row = values_and_places(run_hand_made(tmp_path))
    assert np.abs(values - places).max() <= 0.5
    assert (row["axis_codes"], row["slice_axis"], row["units"], row["dtype"]) == ("SPL", 0, "HU", "int16")
    assert row["spacing_mm"] == pytest.approx([2.0, 0.5, 0.4])


def test_sagittal_slices_keep_their_slice_axis_first(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive", orientation=SAGITTAL, gap_mm=4.0, modality="MR")
    values, places, row = values_and_places(run_hand_made(tmp_path, task="lumbar"))
    assert np.abs(values - places).max() <= 0.5
    assert (row["axis_codes"], row["slice_axis"], row["units"]) == ("LIP", 0, "stored")


@pytest.mark.parametrize(("code", "slice_axis"), [("SPL", 2), ("RIP", 0), ("AIL", 2), ("IPL", 2), ("SRA", 1)])
def test_a_code_permutes_and_flips_without_moving_a_voxel(tmp_path: Path, code: str, slice_axis: int) -> None:
    write_ramp(tmp_path / "archive", orientation=SAGITTAL, gap_mm=4.0, modality="MR")
    values, places, row = values_and_places(run_hand_made(tmp_path, task="lumbar", orientation=code))
    assert np.abs(values - places).max() <= 0.5
    assert (row["axis_codes"], row["slice_axis"]) == (code, slice_axis)


def test_oblique_slices_are_not_straightened(tmp_path: Path) -> None:
    tilt = np.deg2rad(20)
    oblique = (1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), float(np.sin(tilt)))
    write_ramp(tmp_path / "archive", orientation=oblique)
    values, places, _ = values_and_places(run_hand_made(tmp_path))
    assert np.abs(values - places).max() <= 0.5


def test_resampling_gives_the_spacing_exactly_and_the_scene_at_its_places(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive", slices=12)
    values, places, row = values_and_places(run_hand_made(tmp_path, spacing="[1.0, 0.5, 0.6]"))
    assert row["spacing_mm"] == pytest.approx([1.0, 0.5, 0.6], abs=1e-12)
    inner = (slice(2, -2), slice(2, -2), slice(2, -2))  # border samples are held, a ramp goes on
    assert np.abs(values[inner] - places[inner]).max() <= 1.0


def test_feet_first_order_and_instance_numbers_against_it_change_nothing(tmp_path: Path) -> None:
    files = write_ramp(tmp_path / "archive")
    for number, file in enumerate(files):
        header = pydicom.dcmread(file)
        header.InstanceNumber = 100 - number
        header.save_as(file)
    values, places, _ = values_and_places(run_hand_made(tmp_path))
    assert np.abs(values - places).max() <= 0.5


def test_every_slice_leads_back_to_its_deidentified_file(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive")
    curated = run_hand_made(tmp_path)
    rows = curated.manifest("slices").to_pylist()
    assert [row["position_in_stack"] for row in rows] == list(range(8))
    (volume,) = curated.manifest("volumes").to_pylist()
    source = np.array(volume["source_affine"]).reshape(4, 4)
    for row in rows:
        header = pydicom.dcmread(Path(curated.workspace.store.url, row["dicom"]))
        place = source @ [row["position_in_stack"], 0, 0, 1]
        assert np.allclose(place[:3], [float(v) for v in header.ImagePositionPatient], atol=1e-6)
        assert np.allclose(place[:3], row["image_position_mm"], atol=1e-6)
        assert header.InstanceNumber == row["instance_number"]


def test_two_series_of_one_study_are_two_volumes(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive/one")
    write_ramp(tmp_path / "archive/two", SeriesInstanceUID=f"{SERIES_UID}.77", start_mm=(-2.0, -3.0, 5.0))
    curated = run_hand_made(tmp_path)
    rows = curated.manifest("volumes").to_pylist()
    assert len({row["series_key"] for row in rows}) == 2
    assert len({row["study_key"] for row in rows}) == 1
    for row in rows:
        volume = open_volume(Path(curated.workspace.store.url, row["uri"]))
        places = ramp(volume.grid.to_patient(np.stack(np.indices(volume.shape), axis=-1)))
        assert np.abs(volume.read() - places).max() <= 0.5


def test_a_series_that_is_too_short_for_the_spec_is_rejected(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive", slices=4)
    curated = run_hand_made(tmp_path, minimum_slices=5)
    assert curated.balance.rejected == {"too_few_slices": 1}
    assert not list(curated.workspace.store.list("dicom"))


def test_a_slice_that_cannot_be_decoded_leaves_nothing_of_its_series(tmp_path: Path) -> None:
    files = write_ramp(tmp_path / "archive")
    victim = pydicom.dcmread(files[3])
    victim.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    victim.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 this is no JPEG \xff\xd9"])
    victim["PixelData"].is_undefined_length = True
    victim.save_as(files[3])
    curated = run_hand_made(tmp_path)
    assert curated.balance.done == 0
    assert sum(curated.balance.rejected.values()) + sum(curated.balance.quarantined.values()) == 1
    assert not list(curated.workspace.store.list("dicom"))
    assert not list(curated.workspace.store.list("volumes"))


def test_a_name_where_no_name_belongs_reaches_neither_store_nor_manifest(tmp_path: Path) -> None:
    write_ramp(
        tmp_path / "archive",
        PatientName="Zyxwvutsky^Quentina",
        ManufacturerModelName="Zyxwvutsky Scanner",
        Manufacturer="Quentina Medical",
        ImageType=["ORIGINAL", "PRIMARY", "ZYXWVUTSKY"],
        SeriesDescription="Neck of Zyxwvutsky",
    )
    curated = run_hand_made(tmp_path)
    for key in curated.workspace.store.list():
        content = curated.workspace.store.get(key)
        assert b"zyxwvutsky" not in content.lower()
    tables = "".join(str(curated.manifest(name).to_pydict()) for name in ("series", "volumes", "slices"))
    assert "yxwvutsky" not in tables
    assert "uentina" not in tables


def test_equipment_in_the_manifest_is_that_of_the_scanner(tmp_path: Path) -> None:
    write_ramp(tmp_path / "archive", Manufacturer="SIEMENS", ManufacturerModelName="SOMATOM go.Top", PatientSex="F")
    (row,) = run_hand_made(tmp_path).manifest("series").to_pylist()
    assert (row["manufacturer"], row["manufacturer_model_name"], row["patient_sex"]) == (
        "SIEMENS",
        "SOMATOM go.Top",
        "F",
    )


def test_a_file_that_changes_after_its_header_was_read_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ramp(tmp_path / "archive")
    real = SourceReader.read

    def other(self: SourceReader, ref: object) -> bytes:
        content = bytearray(real(self, ref))  # type: ignore[arg-type]
        content[200] ^= 1
        return bytes(content)

    monkeypatch.setattr(SourceReader, "read", other)
    curated = run_hand_made(tmp_path)
    assert curated.balance.quarantined == {"source_changed": 1}


def test_storage_that_gives_back_other_bytes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ramp(tmp_path / "archive")
    real = LocalStore.get

    def spoiled(self: LocalStore, key: str) -> bytes:
        content = real(self, key)
        return content[:-1] + bytes([content[-1] ^ 1]) if key.endswith(".dcm") else content

    monkeypatch.setattr(LocalStore, "get", spoiled)
    curated = run_hand_made(tmp_path)
    assert curated.balance.quarantined == {"verification_failed": 1}


def test_names_and_bytes_do_not_depend_on_where_the_archive_lies_or_when_it_was_copied(tmp_path: Path) -> None:
    for place in ("here", "there/deeper"):
        write_ramp(tmp_path / place / "archive")
        run_hand_made(tmp_path / place)
    here, there = (
        {key: value for key, value in digests(tmp_path / place / "store").items() if not key.startswith("catalogue")}
        for place in ("here", "there/deeper")
    )
    assert here == there
    assert any(key.startswith("dicom/") for key in here)


def test_kernels_are_warmed_where_a_worker_opens_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[str] = []
    for module in ("catalogue", "volumes"):
        monkeypatch.setattr(f"pipelines.{module}.warm_up", lambda name=module: warmed.append(name))
    write_ramp(tmp_path / "archive")
    run_hand_made(tmp_path)
    assert warmed == ["catalogue", "volumes"]
