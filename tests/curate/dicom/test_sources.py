from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from curate.dicom.archives import BadFile, FileRef, Limits
from curate.dicom.sources import SourceReader, list_archive
from curate.errors import Misconfigured
from curate.reasons import Reason

CONTENT = {"a/1.dcm": b"one", "a/2.dcm": b"two two", "b/c/3.dcm": b"", "z.txt": b"text"}


def pack_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def pack_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def pack(kind: str, path: Path, members: dict[str, bytes]) -> Path:
    if kind == "folder":
        return make_folder(path, members)
    if kind == "zip":
        return pack_zip(path, members)
    return pack_tar(path, members, "w:gz" if kind == "tar.gz" else "w")


def reasons(found: list[FileRef | BadFile]) -> dict[str, Reason | None]:
    return {
        each.ref.member if isinstance(each, BadFile) else each.member: each.reason
        if isinstance(each, BadFile)
        else None
        for each in found
    }


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_every_file_is_listed_once_and_reads_back(tmp_path: Path, kind: str) -> None:
    archive = pack(kind, tmp_path / "archive", CONTENT)
    found = list(list_archive(archive))
    with SourceReader() as reader:
        contents = {ref.member: reader.read(ref) for ref in found if isinstance(ref, FileRef)}
    assert contents == CONTENT
    assert all(isinstance(each, FileRef) and each.size == len(CONTENT[each.member]) for each in found)
    assert list(list_archive(archive)) == found


def test_folders_are_sorted_whatever_order_files_were_made_in(tmp_path: Path) -> None:
    names = ["b/2", "a/10", "a/9", "c", "B/1"]
    make_folder(tmp_path, dict.fromkeys(names, b"x"))
    members = [each.member for each in list_archive(tmp_path) if isinstance(each, FileRef)]
    assert members == ["c", "B/1", "a/10", "a/9", "b/2"]


def test_one_file_is_an_archive_of_itself(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(b"one")
    (ref,) = list_archive(tmp_path / "1.dcm")
    assert isinstance(ref, FileRef)
    assert ref.member == ""
    with SourceReader() as reader:
        assert reader.read(ref) == b"one"


def test_a_missing_archive_is_misconfigured_before_anything_is_asked_of_it(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="does not exist"):
        list_archive(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_an_empty_archive_is_misconfigured(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "archive" / "empty").mkdir(parents=True)
    archive = pack(kind, tmp_path / ("archive" if kind == "folder" else "archive.tar"), {})
    with pytest.raises(Misconfigured, match="no files"):
        list(list_archive(archive))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_members_with_hostile_names_are_named_and_the_rest_goes_on(tmp_path: Path, kind: str) -> None:
    members = {"../../evil.dcm": b"x", "/etc/passwd": b"x", "good.dcm": b"x", "a\\..\\b": b"x"}
    found = reasons(list(list_archive(pack(kind, tmp_path / "archive", members))))
    assert found.pop("good.dcm") is None
    assert set(found.values()) == {Reason.UNSAFE_NAME}
    assert len(found) == 3


def test_links_and_devices_in_a_tar_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in [
            ("link", tarfile.SYMTYPE),
            ("hard", tarfile.LNKTYPE),
            ("pipe", tarfile.FIFOTYPE),
            ("dev", tarfile.CHRTYPE),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert set(reasons(list(list_archive(path))).values()) == {Reason.UNSAFE_NAME}


def test_a_symbolic_link_in_a_zip_is_never_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert reasons(list(list_archive(tmp_path / "a.zip"))) == {"link": Reason.UNSAFE_NAME}


def test_links_of_a_folder_are_followed_inside_only(tmp_path: Path) -> None:
    outside = tmp_path / "outside.dcm"
    outside.write_bytes(b"secret")
    root = make_folder(tmp_path / "root", {"a.dcm": b"a"})
    (root / "inside").symlink_to("a.dcm")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    found = reasons(list(list_archive(root)))
    bad = Reason.UNSAFE_NAME
    assert found == {"a.dcm": None, "inside": None, "out": bad, "loop": bad, "dangling": bad, "pipe": bad}


def test_a_bomb_in_a_zip_is_suspicious_and_never_inflated(tmp_path: Path) -> None:
    archive = pack_zip(tmp_path / "a.zip", {"bomb": b"\x00" * 3_000_000, "good": b"x"})
    found = reasons(list(list_archive(archive, Limits(inflated_free_bytes=1_000_000))))
    assert found == {"bomb": Reason.SUSPICIOUS_COMPRESSION, "good": Reason.SUSPICIOUS_COMPRESSION}
    assert reasons(list(list_archive(archive))) == {"bomb": None, "good": None}


def test_a_bomb_in_a_tar_gz_ends_the_listing(tmp_path: Path) -> None:
    archive = pack_tar(tmp_path / "a.tgz", {"good": b"x", "bomb": b"\x00" * 3_000_000, "after": b"x"}, "w:gz")
    found = reasons(list(list_archive(archive, Limits(inflated_free_bytes=1_000_000))))
    assert found == {"good": None, "": Reason.SUSPICIOUS_COMPRESSION}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_a_file_above_the_limit_is_too_large(tmp_path: Path, kind: str) -> None:
    archive = pack(kind, tmp_path / "archive", {"a": b"x" * 100, "b": b"x"})
    assert reasons(list(list_archive(archive, Limits(file_bytes=99)))) == {"a": Reason.FILE_TOO_LARGE, "b": None}


def test_an_encrypted_member_is_unreadable(tmp_path: Path) -> None:
    archive = pack_zip(tmp_path / "a.zip", {"a": b"secret"}, zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    assert reasons(list(list_archive(archive))) == {"a": Reason.UNREADABLE_ARCHIVE}


def test_a_zip_without_its_directory_is_unreadable(tmp_path: Path) -> None:
    archive = pack_zip(tmp_path / "a.zip", CONTENT)
    archive.write_bytes(archive.read_bytes()[:100])
    assert reasons(list(list_archive(archive))) == {"": Reason.UNREADABLE_ARCHIVE}


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_that_is_cut_gives_what_is_whole_and_names_the_rest(tmp_path: Path, kind: str) -> None:
    members = {f"{n}.dcm": os.urandom(5000) for n in range(20)}
    archive = pack(kind, tmp_path / "archive", members)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    found = reasons(list(list_archive(archive)))
    assert found.pop("") is Reason.UNREADABLE_ARCHIVE
    assert 5 <= len(found) <= 12
    assert set(found.values()) == {None}


def test_a_name_that_is_no_text_is_listed_and_reads_back(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"M\xfcller.dcm")).write_bytes(b"x")
    (ref,) = list_archive(tmp_path)
    assert isinstance(ref, FileRef)
    ref.member.encode("utf-8")
    with SourceReader() as reader:
        assert reader.read(ref) == b"x"
