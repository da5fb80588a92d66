"""What goes wrong is told clearly, nothing is lost, and the next run goes on from there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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
    assert "volumes: 3/3" in text  # one sound series at each of the other sites
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


def test_ctrl_c_in_the_middle_stops_at_once_and_the_next_run_ends_with_the_same_bytes(
    lumbar: Curated, tmp_path: Path
) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    text = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(f"{text}\n[runtime]\nunit_megabytes = 1\n")
    command = [CURATE, "run", folder / "spec.toml", "--workers", "1"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
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
