"""``curate show`` on both kinds of target, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.geometry import Grid
from curate.volumes import write_volume
from curate.volumes.panel import BOX_COLOUR, colour_of
from tests.support.curated import Curated
from tests.support.dicom_files import write_stack

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    array = np.random.default_rng(0).integers(-1000, 1000, (10, 30, 40)).astype(np.int16)
    write_volume(tmp_path / "0.zarr", array, Grid(array.shape, np.diag([3.0, 1.0, 1.0, 1.0])), units="HU")
    return tmp_path / "0.zarr"


def has(picture: Path, colour: tuple[int, int, int]) -> bool:
    return bool((np.asarray(Image.open(picture)) == colour).all(axis=-1).any())


def test_a_volume_outside_any_store_is_drawn(command: Command, volume: Path, tmp_path: Path) -> None:
    code, text = command("show", volume, "--out", tmp_path / "seen.png")
    assert code == 0
    assert "seen.png" in text
    assert Image.open(tmp_path / "seen.png").format == "PNG"


def test_the_same_command_gives_the_same_bytes(command: Command, volume: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        assert command("show", volume, "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_place_and_window_change_the_picture(command: Command, volume: Path, tmp_path: Path) -> None:
    for name, words in {"a": (), "b": ("--at", "1,2,3"), "c": ("--window", "-400,300")}.items():
        assert command("show", volume, "--out", tmp_path / f"{name}.png", *words)[0] == 0
    assert len({(tmp_path / f"{name}.png").read_bytes() for name in "abc"}) == 3


def test_a_volume_of_a_store_shows_the_masks_and_boxes_of_its_manifests(
    command: Command, cervical: Curated, tmp_path: Path
) -> None:
    store = Path(cervical.workspace.store.url)
    boxed = {row["series_key"] for row in cervical.manifest("boxes").to_pylist()}
    row = next(row for row in cervical.manifest("volumes").to_pylist() if row["series_key"] in boxed)
    assert command("show", store / row["uri"], "--out", tmp_path / "a.png")[0] == 0
    assert has(tmp_path / "a.png", BOX_COLOUR)
    masked = next(
        row for row in cervical.manifest("volumes").to_pylist() if any("labels/" in name for name in row["objects"])
    )
    middle = next(
        each for each in cervical.manifest("objects").to_pylist() if each["series_key"] == masked["series_key"]
    )
    at = ",".join(str(round(n)) for n in middle["centroid_index"])
    assert command("show", store / masked["uri"], "--out", tmp_path / "b.png", "--at", at)[0] == 0
    assert any(has(tmp_path / "b.png", colour_of(n)) for n in range(1, 8))


def test_a_folder_of_dicom_is_drawn_one_picture_a_series(command: Command, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 1000, (6, 20, 24)).astype(np.int16)
    positions = [(0.0, 0.0, 3.0 * k) for k in range(6)]
    (tmp_path / "one").mkdir()
    write_stack(tmp_path / "one", array, positions)
    assert command("show", tmp_path / "one", "--out", tmp_path / "p.png")[0] == 0
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["p.png"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--at", "1,2"), "three whole numbers"),
        (("--at", "1,2,x"), "three whole numbers"),
        (("--at", "1,2.5,3"), "three whole numbers"),
        (("--at", "10,0,0"), "0..9"),
        (("--window", "350"), "centre and a width"),
        (("--window", "350,0"), "centre and a width"),
        (("--window", "nan,100"), "centre and a width"),
        (("--out", "picture.jpg"), ".png"),
        (("--out", "no/such/folder/p.png"), "no folder"),
    ],
)
def test_a_wrong_option_is_refused_and_says_what_is_right(
    command: Command,
    volume: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(volume.parent)
    code, text = command("show", volume, *words)
    assert code == 2
    assert expected in text + capfd.readouterr().err
    assert not list(volume.parent.glob("*.png"))


def test_what_is_nothing_to_show_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zarr").mkdir()
    (tmp_path / "text.dcm").write_text("hello")
    for name in ("missing", "empty", "no.zarr", "text.dcm"):
        code, text = command("show", tmp_path / name, "--out", tmp_path / "p.png")
        assert code == 2, name
        assert "error" in text
    assert not (tmp_path / "p.png").exists()
