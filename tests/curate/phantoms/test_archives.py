from __future__ import annotations

import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from curate.phantoms.archives import open_archive

FILES = {"one/IM0001": b"first", "one/" + "x" * 120 + "/IM0002": b"second" * 100, "three": b""}


def pack(path: Path, container: str) -> Path:
    with open_archive(path, container) as archive:
        for name, content in FILES.items():
            archive.add(name, content)
    return path


def test_a_folder_holds_the_files_with_a_fixed_time(tmp_path: Path) -> None:
    root = pack(tmp_path / "site", "folder")
    assert {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()} == FILES
    assert {p.stat().st_mtime for p in root.rglob("*") if p.is_file()} == {1577836800.0}


def test_a_zip_holds_the_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(pack(tmp_path / "a.zip", "zip")) as source:
        assert {name: source.read(name) for name in source.namelist()} == FILES


@pytest.mark.parametrize("container", ["tar", "tar.gz"])
def test_a_tar_holds_the_files_without_an_owner(tmp_path: Path, container: str) -> None:
    with tarfile.open(pack(tmp_path / "a", container)) as source:
        members = source.getmembers()
        assert {one.name: source.extractfile(one).read() for one in members} == FILES  # type: ignore[union-attr]
        assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members} == {(0, 0, "", "", 1577836800)}


@pytest.mark.parametrize("container", ["zip", "tar", "tar.gz"])
def test_equal_files_give_equal_bytes_at_another_time_and_name(tmp_path: Path, container: str) -> None:
    first = pack(tmp_path / "first", container).read_bytes()
    time.sleep(1.1)
    assert pack(tmp_path / "second", container).read_bytes() == first


def test_an_unknown_container_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="container"), open_archive(tmp_path / "x", "rar"):
        pass
