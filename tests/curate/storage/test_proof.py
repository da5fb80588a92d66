"""A store is used only where create-if-absent and ranges hold; two real servers, one of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import Misconfigured, Unavailable
from curate.storage import open_store, prove_store
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.object_stores import BUCKET, moto_server, point_at, rclone_server


def test_rclones_server_is_refused_by_name_with_both_things_that_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone_server(tmp_path) as url:
        point_at(url, monkeypatch)
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        with pytest.raises(Misconfigured) as caught:
            prove_store(open_store(f"s3://{BUCKET}/store"))
        assert list(open_store(f"s3://{BUCKET}").list()) == []
    text = str(caught.value)
    assert text.startswith(f"s3://{BUCKET}/store: ")
    assert "replaces an object silently" in text
    assert "answers a request for a part of an object with the whole" in text


def test_motos_server_passes_also_when_every_answer_to_a_create_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with moto_server() as server, FaultProxy(server, share=0.0) as proxy:
        point_at(proxy.url, monkeypatch)
        store = open_store(f"s3://{BUCKET}/store")
        prove_store(store)
        proxy.faults, proxy.share = (Fault.LOST_ANSWER,), 1.0
        prove_store(store)
        assert proxy.struck[Fault.LOST_ANSWER]
        assert list(store.list()) == []


def test_a_folder_passes_and_keeps_nothing(tmp_path: Path) -> None:
    prove_store(open_store(tmp_path / "new", mode=0o700))
    assert list((tmp_path / "new").iterdir()) == []
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_folder_without_unnamed_files_passes_by_named_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.O_TMPFILE", 1 << 30)  # as a file system that has none: the open is refused
    prove_store(open_store(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(Unavailable, match=r"/file: cannot write"):
        prove_store(open_store(tmp_path / "file"))
