"""Removing objects, and how old they are: for garbage collection."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from curate.errors import Unavailable
from curate.storage import open_store


def test_a_removed_object_is_gone_and_removing_it_again_is_fine(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a/b", b"1")
    store.put_new("a/c", b"2")
    store.delete("a/b")
    store.delete("a/b")
    assert list(store.list()) == ["a/c"]
    assert store.put_new("a/b", b"3")


def test_a_refused_removal_says_so_without_the_path(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable, match="cannot remove") as caught:
        store.delete("folder")
    assert str(tmp_path) not in str(caught.value)


def test_a_key_that_would_leave_the_store_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"1")
    with pytest.raises(ValueError):
        open_store(tmp_path / "store").delete("../outside")
    assert (tmp_path / "outside").exists()


def test_an_object_knows_when_it_was_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put_new("a", b"1")
    assert abs(store.modified("a") - time.time()) < 60
    os.utime(tmp_path / "a", (1000, 1000))
    assert store.modified("a") == 1000
    with pytest.raises(FileNotFoundError, match=r"^none$"):
        store.modified("none")
