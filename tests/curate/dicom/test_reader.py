from __future__ import annotations

import io
import os
import random
import stat
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from curate.dicom.archives import FileRef, Limits
from curate.dicom.reader import SourceReader
from curate.dicom.sources import list_archive
from curate.errors import Rejected, Unavailable
from curate.reasons import Reason

MEMBERS = {f"{n}.dcm": os.urandom(20_000) for n in range(12)}


def make_archive(kind: str, path: Path) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in MEMBERS.items():
                packed.writestr(name, content)
    elif kind == "folder":
        path.mkdir()
        for name, content in MEMBERS.items():
            (path / name).write_bytes(content)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:  # type: ignore[call-overload]
            for name, content in MEMBERS.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def refs_of(path: Path) -> list[FileRef]:
    return [ref for ref in list_archive(path) if isinstance(ref, FileRef)]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_files_are_read_in_any_order_whole_or_in_part(tmp_path: Path, kind: str) -> None:
    refs = refs_of(make_archive(kind, tmp_path / "archive"))
    with SourceReader() as reader:
        for ref in random.Random(0).sample(refs * 2, 2 * len(refs)):
            assert reader.read(ref) == MEMBERS[ref.member]
            assert reader.read_head(ref, 100) == MEMBERS[ref.member][:100]
            assert reader.read_head(ref, 10**9) == MEMBERS[ref.member]


def test_the_index_of_a_tar_gz_is_kept_for_the_next_reader_in_a_private_folder(tmp_path: Path) -> None:
    refs = refs_of(make_archive("tar.gz", tmp_path / "archive"))
    indexes = tmp_path / "private" / "indexes"
    with SourceReader(indexes=indexes) as reader:
        assert reader.read(refs[7]) == MEMBERS[refs[7].member]
    (index,) = indexes.iterdir()
    assert stat.S_IMODE(indexes.stat().st_mode) == 0o700
    assert "archive" not in index.name
    before = index.stat().st_mtime_ns
    with SourceReader(indexes=indexes) as reader:
        assert reader.read(refs[3]) == MEMBERS[refs[3].member]
    assert index.stat().st_mtime_ns == before


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    refs = refs_of(make_archive("tar.gz", tmp_path / "archive"))
    indexes = tmp_path / "indexes"
    with SourceReader(indexes=indexes) as reader:
        reader.read(refs[0])
    (index,) = indexes.iterdir()
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2])
    with SourceReader(indexes=indexes) as reader:
        assert [reader.read(ref) for ref in refs] == list(MEMBERS.values())
    assert index.read_bytes() == whole


def test_a_member_with_damaged_bytes_is_rejected_and_others_are_not(tmp_path: Path) -> None:
    path = make_archive("zip", tmp_path / "archive")
    refs = refs_of(path)
    raw, status = bytearray(path.read_bytes()), path.stat()
    raw[refs[2].offset + 10_000] ^= 0xFF
    path.write_bytes(raw)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with SourceReader() as reader:
        with pytest.raises(Rejected) as caught:
            reader.read(refs[2])
        assert caught.value.reason is Reason.UNREADABLE_ARCHIVE
        assert reader.read(refs[3]) == MEMBERS[refs[3].member]


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_member_that_the_archive_ends_in_is_truncated(tmp_path: Path, kind: str) -> None:
    path = make_archive(kind, tmp_path / "archive")
    refs, status = refs_of(path), path.stat()
    os.truncate(path, status.st_size // 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with SourceReader() as reader:
        assert reader.read(refs[1]) == MEMBERS[refs[1].member]
        with pytest.raises(Rejected) as caught:
            reader.read(refs[-1])
    assert caught.value.reason in (Reason.TRUNCATED_FILE, Reason.UNREADABLE_ARCHIVE)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_a_change_after_the_listing_is_noticed(tmp_path: Path, kind: str) -> None:
    path = make_archive(kind, tmp_path / "archive")
    ref = refs_of(path)[0]
    changed = path / ref.member if kind == "folder" else path
    os.utime(changed, ns=(1, 1))
    with SourceReader() as reader, pytest.raises(Unavailable, match="changed"):
        reader.read(ref)


def test_a_file_that_is_gone_is_unavailable_and_the_message_does_not_name_it(tmp_path: Path) -> None:
    path = make_archive("folder", tmp_path / "archive")
    ref = refs_of(path)[0]
    (path / ref.member).unlink()
    with SourceReader() as reader, pytest.raises(Unavailable) as caught:
        reader.read(ref)
    assert ref.member not in str(caught.value)


def test_a_reference_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    path = make_archive("folder", tmp_path / "archive")
    (tmp_path / "outside").write_bytes(b"secret")
    with SourceReader() as reader, pytest.raises(Rejected) as caught:
        reader.read(replace(refs_of(path)[0], member="../outside"))
    assert caught.value.reason is Reason.UNSAFE_NAME


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    ref = refs_of(make_archive("folder", tmp_path / "archive"))[0]
    with SourceReader(Limits(file_bytes=10)) as reader, pytest.raises(Rejected) as caught:
        reader.read(ref)
    assert caught.value.reason is Reason.FILE_TOO_LARGE


def test_more_archives_than_stay_open_are_read_all_the_same(tmp_path: Path) -> None:
    refs = [refs_of(make_archive("zip", tmp_path / f"archive-{n}"))[n % 12] for n in range(20)]
    with SourceReader() as reader:
        for ref in refs * 2:
            assert reader.read(ref) == MEMBERS[ref.member]
