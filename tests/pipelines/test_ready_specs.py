"""The specs for the Kaggle downloads run on archives that lie like them: bare headers, ids from the path, ids kept."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import pyarrow.parquet as pq
import pydicom
import pytest

from curate.phantoms import make_phantoms
from pipelines.release import release, verify
from pipelines.spec import read_spec
from tests.support.curated import Curated, curate, few_slices

DOWNLOADS = {
    "cervical": ("rsna-2022", "rsna-2022-cervical-spine-fracture-detection"),
    "lumbar": ("rsna-2024", "rsna-2024-lumbar-spine-degenerative-classification"),
}


@pytest.fixture(scope="module", params=["cervical", "lumbar"])
def download(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """A download as Kaggle lays it out, made of the bare site of phantoms, and what the ready spec makes of it."""
    task = request.param
    folder = tmp_path_factory.mktemp(task)
    with few_slices():
        make_phantoms(folder / "phantoms", task=task, sites=4, studies=8, seed=3, matrix=64)
    name, place = DOWNLOADS[task]
    shutil.copytree(folder / "phantoms/site-d/train_images", folder / place / "train_images")
    shutil.copytree(folder / "phantoms/labels", folder / place, dirs_exist_ok=True)
    shutil.copytree(folder / "phantoms/truth", folder / "truth")
    spec = resources.files("pipelines.specs").joinpath(f"{name}.toml").read_text("utf-8")
    (folder / "spec.toml").write_text(spec)
    return curate(folder)


def test_every_series_of_the_download_is_done(download: Curated) -> None:
    assert download.balance.done == download.balance.series > 0
    assert download.balance.rejected == download.balance.quarantined == {}


def test_headers_are_as_bare_as_the_released_ones(download: Curated) -> None:
    header = pydicom.dcmread(next(download.folder.rglob("train_images/**/*.dcm")))
    assert len(header) <= 26
    assert "Modality" not in header
    assert "SOPClassUID" not in header


def test_ids_stay_as_the_label_tables_have_them(download: Curated) -> None:
    folders = {path.name for path in next(download.folder.glob("rsna-*/train_images")).iterdir()}
    samples = download.manifest("samples")
    assert set(samples["study_key"].to_pylist()) == folders
    assert samples.num_rows == len(folders)


def test_labels_find_their_voxels(download: Curated) -> None:
    marks = "boxes" if download.spec.task == "cervical" else "points"
    assert download.manifest(marks).num_rows > 0
    assert set(download.balance.label_issues) <= {"label_unknown_study"}  # of the phantoms' other sites


def test_the_release_is_sound_and_keeps_the_ids(download: Curated) -> None:
    frozen = release(download.spec, download.workspace)
    findings, _ = verify(frozen.path, private=None, digest=frozen.digest)
    assert findings == []
    slices = pq.read_table(frozen.path / "manifests/slices.parquet").to_pylist()
    assert slices
    header = pydicom.dcmread(Path(frozen.path, slices[0]["dicom"]))
    assert header.SOPInstanceUID == slices[0]["instance_key"]


def test_the_folder_is_all_that_a_user_sets(tmp_path: Path) -> None:
    for name, place in DOWNLOADS.values():
        text = resources.files("pipelines.specs").joinpath(f"{name}.toml").read_text("utf-8")
        (tmp_path / f"{name}.toml").write_text(text.replace(f'folder = "{place}"', f'folder = "/data/{place}"'))
        spec = read_spec(tmp_path / f"{name}.toml")
        assert spec.sites[0].archives == (Path(f"/data/{place}/train_images"),)
        assert spec.labels is not None
        assert spec.labels.train == Path(f"/data/{place}/train.csv")
        assert spec.store == tmp_path / f"{name}.store"
