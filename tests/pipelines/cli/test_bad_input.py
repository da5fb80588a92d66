"""What goes wrong is told clearly, nothing is lost, and the next run goes on from there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.curated import Curated, copy_archive, digests

Command = Callable[..., tuple[int, str]]
CURATE = Path(sys.executable).parent / "curate"


def test_a_wrong_key_is_refused_before_anything_starts(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    spec.write_text(spec.read_text().replace("test_fraction = 0.2", "test_fraktion = 0.2"))
    code, text = command("run", spec)
    assert code == 2
    assert "split.test_fraktion: unknown key" in text
    assert "split.test_fraction: missing" in text
    assert not (own_copy / "store").exists()


def test_a_key_that_others_can_read_is_refused(command: Command, own_copy: Path) -> None:
    (own_copy / "curate.key").chmod(0o644)
    code, text = command("run", own_copy / "spec.toml")
    assert code == 2
    assert "curate.key" in text or "key" in text
    assert (own_copy / "curate.key").read_text().strip() not in text


def test_a_missing_key_is_refused(command: Command, own_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATE_TEST_KEY", raising=False)
    spec = own_copy / "spec.toml"
    spec.write_text(spec.read_text().replace("file:curate.key", "env:CURATE_TEST_KEY"))
    code, text = command("run", spec)
    assert code == 2
    assert "CURATE_TEST_KEY" in text


def test_an_archive_that_is_not_there_is_named_by_its_key(command: Command, own_copy: Path) -> None:
    (own_copy / "site-b.zip").unlink()
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 2
    assert "sites.site-b.archives.0" in text


def test_label_files_that_are_not_there_are_named(command: Command, own_copy: Path) -> None:
    (own_copy / "labels/train.csv").unlink()
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 2
    assert "labels.train" in text


def test_a_zip_that_is_cut_short_is_named_and_the_other_sites_go_on(command: Command, own_copy: Path) -> None:
    archive = own_copy / "site-b.zip"
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 0
    assert "unreadable_archive" in text
    assert re.search(r"volumes: (\d+)/\1 ", text)  # at the other sites everything goes on
    assert sorted(path.name for path in (own_copy / "store/manifests").iterdir())


def test_the_text_of_an_unforeseen_error_is_not_shown(
    command: Command, own_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr("pipelines.run.make_plan", fail)
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 70
    assert "unforeseen ValueError" in text
    assert "Doe" not in text


def _hear_ctrl_c() -> None:
    """Where the tests themselves run in the background, their children would be deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_in_the_middle_stops_at_once_and_the_next_run_ends_with_the_same_bytes(
    lumbar: Curated, tmp_path: Path
) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(f"{text}\n[runtime]\nunit_megabytes = 1\n")
    command = [CURATE, "run", folder / "spec.toml", "--workers", "1"]
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_hear_ctrl_c
    )
    receipts = folder / "store/ledger/volumes"
    deadline = time.monotonic() + 240
    while not (receipts.is_dir() and os.listdir(receipts)) and started.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    output, _ = started.communicate(timeout=120)
    assert started.returncode == 75, output
    assert "the same command goes on from there" in output
    assert "Traceback" not in output
    done = set(os.listdir(receipts))
    assert len(done) > 0
    again = subprocess.run([CURATE, "run", folder / "spec.toml", "--executor", "inline"], check=False)
    assert again.returncode == 0
    assert done < set(os.listdir(receipts))
    ours, calm = digests(folder / "store"), digests(lumbar.spec.store)
    assert {k: v for k, v in ours.items() if "plan" not in k} == {k: v for k, v in calm.items() if "plan" not in k}


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(cervical: Curated, tmp_path: Path) -> None:
    folder = copy_archive(cervical.folder, tmp_path / "copy")
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace('store = "store"', f'store = "{disk}/store"'))
    run = f"{CURATE} run {spec} --executor inline"
    script = (
        f"mount -t tmpfs -o size=3m tmpfs {disk} || exit 99; {run}; echo first $?; "
        f"mount -o remount,size=300m {disk}; {run}; echo second $?; cp -a {disk}/store {kept}"
    )
    own_mounts = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    ran = subprocess.run([*own_mounts, "sh", "-c", script], capture_output=True, text=True, check=False)
    output = ran.stdout + ran.stderr
    assert "first 75" in output, output
    assert "No space left on device" in output
    assert "second 0" in output, output
    assert digests(kept) == digests(cervical.spec.store)
    shutil.rmtree(kept)


def test_a_key_pasted_into_the_spec_is_not_printed(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    spec.write_text(spec.read_text().replace("file:curate.key", "0123456789abcdef" * 4))
    code, text = command("run", spec)
    assert code == 2
    assert 'deid.key: expected "env:NAME" or "file:PATH"' in text
    assert "0123456789abcdef" not in text


@pytest.mark.parametrize("key", ["store", "private"])
def test_a_store_inside_an_archive_is_refused(command: Command, own_copy: Path, key: str) -> None:
    spec = own_copy / "spec.toml"
    text = spec.read_text().replace('store = "store"', f'store = "store"\nprivate = "zone"\n{key} = "site-a/inner"')
    lines = [line for line in text.splitlines() if line not in (f'{key} = "store"', f'{key} = "zone"')]
    spec.write_text("\n".join(lines))
    code, output = command("run", spec)
    assert code == 2
    assert f"{key} and sites.0.archives.0 lie one inside the other" in output


def test_a_private_zone_that_others_can_read_is_refused(command: Command, own_copy: Path) -> None:
    (own_copy / "store.private").mkdir(mode=0o755)
    (own_copy / "store.private").chmod(0o755)
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 2
    assert "chmod 700" in text


def test_an_address_where_nobody_listens_is_refused_at_once(command: Command, own_copy: Path) -> None:
    began = time.monotonic()
    code, text = command("run", own_copy / "spec.toml", "--address", "127.0.0.1:1")
    assert code == 2
    assert "no Ray cluster listens" in text
    assert time.monotonic() - began < 30


def test_an_archive_that_moved_is_found_where_it_is_now(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    assert command("plan", spec, "--executor", "inline")[0] == 0
    (own_copy / "site-a").rename(own_copy / "moved")
    (own_copy / "site-b.zip").rename(own_copy / "moved.zip")
    text = spec.read_text().replace('archives = ["site-a"]', 'archives = ["moved"]')
    spec.write_text(text.replace('archives = ["site-b.zip"]', 'archives = ["moved.zip"]'))
    code, text = command("run", spec, "--executor", "inline")
    assert code == 0, text
    assert "storage_unavailable" not in text
    assert re.search(r"volumes: (\d+)/\1 ", text)


def test_a_lost_private_zone_is_made_again(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    assert command("plan", spec, "--executor", "inline")[0] == 0
    shutil.rmtree(own_copy / "store.private")
    code, text = command("run", spec, "--executor", "inline")
    assert code == 0, text
    assert re.search(r"volumes: (\d+)/\1 ", text)


def test_a_file_that_may_not_be_read_is_named_and_the_rest_goes_on(
    command: Command, own_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = sorted((own_copy / "site-a").rglob("*.dcm"))[0]
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: Path(path) != victim and real(path, mode, **more))
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 0, text
    assert "1 not_permitted" in text


def test_a_chunk_that_cannot_be_scanned_is_named_file_by_file_and_tried_again(
    command: Command, own_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curate.dicom.reader import SourceReader
    from curate.errors import Unavailable

    real = SourceReader.read_head

    def refuse(self: SourceReader, ref: Any, length: int) -> bytes:
        if ref.archive.endswith("site-b.zip"):
            raise Unavailable("cannot read a file of an archive: Input/output error")
        return real(self, ref, length)

    monkeypatch.setattr(SourceReader, "read_head", refuse)
    monkeypatch.setattr("cluster.attempt.FIRST_PAUSE_SECONDS", 0.0)
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 0, text
    assert "storage_unavailable" in text
    monkeypatch.undo()
    code, text = command("run", own_copy / "spec.toml", "--executor", "inline")
    assert code == 0, text
    assert "storage_unavailable" not in text


def test_a_release_of_another_spec_than_was_run_is_refused(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    assert command("run", spec, "--executor", "inline")[0] == 0
    spec.write_text(spec.read_text().replace("spacing_mm = [1.5, 1.5, 1.5]", "spacing_mm = [3.0, 3.0, 3.0]"))
    code, text = command("release", spec)
    assert code == 2
    assert "made by a run of another spec" in text
