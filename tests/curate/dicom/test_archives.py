from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from curate.dicom.archives import Kind, file_system_name, is_safe_name, kind_of, storable_name
from curate.errors import Misconfigured


def test_the_kind_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"no zip at all")
    with zipfile.ZipFile(tmp_path / "zip.dat", "w") as archive:
        archive.writestr("a", b"a")
    (tmp_path / "a").write_bytes(b"a")
    for name, mode in [("tar.dat", "w"), ("gz.dat", "w:gz")]:
        with tarfile.open(tmp_path / name, mode) as packed:  # type: ignore[call-overload]
            packed.add(tmp_path / "a", "a")
    assert kind_of(tmp_path) is Kind.FOLDER
    assert kind_of(tmp_path / "file.zip") is Kind.FILE
    assert kind_of(tmp_path / "zip.dat") is Kind.ZIP
    assert kind_of(tmp_path / "tar.dat") is Kind.TAR
    assert kind_of(tmp_path / "gz.dat") is Kind.TAR_GZ


def test_what_is_not_there_is_misconfigured_and_the_message_keeps_the_path_to_itself(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        kind_of(tmp_path / "smith_john")
    assert "smith" not in str(caught.value)


@pytest.mark.parametrize("name", ["a", "a/b.dcm", "a..b/c", ".hidden", "ä/ö", "a b/c", "..."])
def test_ordinary_names_are_safe(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "/etc/passwd", "..\\a", "\\\\host\\share", "C:/a", "c:\\a", "a\x00b", "a\nb", ""]
)
def test_names_that_leave_the_archive_on_any_system_are_not(name: str) -> None:
    assert not is_safe_name(name)


def test_a_name_that_is_no_text_survives_a_table_and_comes_back() -> None:
    name = os.fsdecode(b"M\xfcller/\xff\xfe.dcm")
    storable = storable_name(name)
    storable.encode("utf-8")
    assert file_system_name(storable) == name
    assert storable_name("Müller 山") == "Müller 山"
