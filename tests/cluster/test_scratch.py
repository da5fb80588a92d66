"""Scratch folders: gone at the end, and swept if their process was killed."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.scratch import LONGEST, scratch_folder, sweep

PREFIX = "curate-test-scratch-"
HOLDER = f"""
import sys, time
from cluster.scratch import scratch_folder
with scratch_folder({PREFIX!r}) as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setattr("cluster.scratch.LONGEST", 60)
        yield Path(folder)


def hold(top: Path) -> tuple[subprocess.Popen[str], Path]:
    program = "import cluster.scratch; cluster.scratch.LONGEST = 60\n" + HOLDER
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_scratch_folder_is_private_and_gone_afterwards(top: Path) -> None:
    with scratch_folder(PREFIX) as folder:
        assert folder.parent == top
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "deep" / "er").mkdir(parents=True)
    assert list(top.iterdir()) == []


def test_an_exception_leaves_no_folder(top: Path) -> None:
    with pytest.raises(RuntimeError), scratch_folder(PREFIX):
        raise RuntimeError
    assert list(top.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_by_the_next(top: Path) -> None:
    process, left = hold(top)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (left / "file").exists()
    with scratch_folder(PREFIX) as folder:
        assert not left.exists()
        assert folder.exists()


def test_what_others_still_write_into_is_removed_by_the_next(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cluster.scratch.REMOVING_SECONDS", 0.1)
        patch.setattr("cluster.scratch._remove_whole", lambda path: None)  # as if it were there anew each time
        with scratch_folder(PREFIX) as folder:
            (folder / "log").write_text("x")
    assert (folder / "log").exists()
    assert sweep(top, PREFIX) == 1
    assert list(top.iterdir()) == []


def test_the_folder_of_a_living_process_is_left_alone(top: Path) -> None:
    process, held = hold(top)
    try:
        assert sweep(top, PREFIX) == 0
        assert (held / "file").exists()
    finally:
        process.kill()
        process.wait()


def test_folders_of_others_are_left_alone(top: Path) -> None:
    other = top / "other"
    other.mkdir()
    (other / "lock").touch()
    unlocked = top / f"{PREFIX}without-lock"
    unlocked.mkdir()
    (top / f"{PREFIX}link").symlink_to(other)
    assert sweep(top, PREFIX) == 0
    assert other.exists()
    assert unlocked.exists()


def test_a_temporary_folder_with_a_long_path_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * LONGEST)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with scratch_folder("curate-t-") as folder:
        assert folder.parent == Path("/tmp")
        assert len(str(folder)) <= LONGEST
