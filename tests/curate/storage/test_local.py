"""A store in a folder: objects appear whole or not at all, and once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curate.errors import Unavailable
from curate.storage import open_store, sha256_bytes, sha256_file


def test_an_object_is_created_once_and_never_replaced(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.put_new("a/b.bin", b"first")
    assert not store.put_new("a/b.bin", b"second")
    assert store.get("a/b.bin") == b"first"


def test_of_many_racing_writers_exactly_one_creates_the_object(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: store.put_new("race", b"x" * 100_000), range(64)))
    assert created.count(True) == 1
    assert os.listdir(tmp_path) == ["race"]


def test_a_view_is_replaced_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("manifests/series.parquet", b"old")
    store.put("manifests/series.parquet", b"new")
    assert store.get("manifests/series.parquet") == b"new"
    assert list(store.list()) == ["manifests/series.parquet"]


def test_a_writer_killed_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, signal, sys
        from curate.storage import open_store
        def die(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)
        os.link = die
        open_store(sys.argv[1]).put_new("half", b"y" * 1_000_000)
        """
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert os.listdir(tmp_path) == []


def test_an_object_waits_for_the_disk_unless_told_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    store = open_store(tmp_path)
    store.put_new("volumes/a", b"1")
    assert len(waited) == 1
    store.put_new("ledger/a", b"1", durable=False)
    assert len(waited) == 1


def test_without_unnamed_files_every_object_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # as NFS: such a folder cannot be opened for writing
    assert open_store(tmp_path).put_new("ledger/a", b"1", durable=False)
    assert len(waited) == 1
    assert os.listdir(tmp_path / "ledger") == ["a"]


def test_syncing_reaches_the_file_system_and_asks_nothing_of_an_empty_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    store.sync()
    assert not (tmp_path / "store").exists()
    store.put_new("a", b"1", durable=False)
    store.sync()
    assert store.get("a") == b"1"


def test_a_missing_object_is_named_by_its_key_and_not_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        open_store(tmp_path).get("volumes/missing")
    assert str(caught.value) == "volumes/missing"


def test_an_io_failure_says_what_failed_without_the_path(tmp_path: Path) -> None:
    (tmp_path / "Doe^Jane").write_bytes(b"in the way")
    with pytest.raises(Unavailable) as caught:
        open_store(tmp_path / "Doe^Jane").put_new("x", b"1")
    assert "Doe" not in str(caught.value)
    assert "cannot write" in str(caught.value)


def test_the_private_zone_is_for_its_owner_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "zone", mode=0o700)
    store.put_new("inner/sources.parquet", b"x")
    assert (tmp_path / "zone").stat().st_mode & 0o077 == 0
    assert (tmp_path / "zone" / "inner").stat().st_mode & 0o077 == 0
    assert (tmp_path / "zone" / "inner" / "sources.parquet").stat().st_mode & 0o077 == 0


def test_digests_of_bytes_and_of_the_file_that_holds_them_agree(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "f") == sha256_bytes(b"abc")


def test_an_object_can_be_read_in_parts_and_stays_readable_while_it_is_replaced(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("view", b"0123456789")
    with store.open("view") as stream:
        stream.seek(5)
        store.put("view", b"something else")
        assert stream.read() == b"56789"
    with pytest.raises(FileNotFoundError, match=r"^none$"):
        store.open("none")
