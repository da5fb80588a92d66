"""The trainer's page: its script runs as it stands once its release is one that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate.loading
from curate.loading import picture
from curate.loading.tables import open_manifests
from tests.support.training_store import cervical_store, lumbar_store

PAGE = (Path(curate.loading.__file__).parent / "README.md").read_text()


def write_manifests(root: Path, tables: dict[str, Any]) -> None:
    (root / "manifests").mkdir()
    for name, table in tables.items():
        pq.write_table(table, root / "manifests" / f"{name}.parquet")


def test_the_script_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifests(tmp_path, cervical_store(tmp_path, studies=6))
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script, changed = re.subn(r'^RELEASE = ".*?"', f"RELEASE = {str(tmp_path)!r}", script, flags=re.MULTILINE)
    assert changed == 1
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}
    exec(compile(script, "page", "exec"), seen)
    assert seen["state"].epoch == 2
    assert seen["crops"].shape[1:] == (7, 32, 64, 64)
    assert re.fullmatch(r"waited \d+\.\d s for voxels\n", capsys.readouterr().out)
    assert [caption[:3] for caption in seen["captions"]] == ["C1:", "C2:", "C3:"]
    image = np.asarray(Image.open(tmp_path / "crops.png"))
    assert image.shape[1] > 3 * 256
    assert image[:256].std() > 10  # something is to be seen


def test_every_name_on_the_page_exists() -> None:
    for module, name in re.findall(r"`(crop_samples|orders|transforms|dataset)\.(\w+)", PAGE):
        assert hasattr(__import__(f"curate.loading.{module}", fromlist=[name]), name)
    for name in re.findall(r"`(test_\w+\.py)`", PAGE):
        assert (Path(__file__).parent / name).exists()


def test_manifests_are_those_of_the_folder(tmp_path: Path) -> None:
    made = lumbar_store(tmp_path, studies=1)
    write_manifests(tmp_path, {name: table for name, table in made.items() if name != "boxes"})
    found = open_manifests(tmp_path)
    assert set(found) == {"samples", "volumes", "objects"}
    assert all(found[name].equals(made[name]) for name in found)
    (tmp_path / "manifests/objects.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        open_manifests(tmp_path)


def test_crops_are_drawn_from_black_to_white() -> None:
    crop = np.full((3, 4, 8), -1.0)
    crop[1, :, 4:] = 5  # beyond white
    image = np.asarray(picture.draw_crops([crop, -crop], ["a", "b"], height=64))
    assert image.shape == (64 + 14, 2 * (128 + 4))
    assert (image[10, 5], image[10, 120]) == (0, 255)
    assert (image[10, 132 + 5], image[10, 132 + 120]) == (255, 0)
    assert image[64:, :20].any()  # the caption
    with pytest.raises(ValueError):
        picture.draw_crops([crop], [])
