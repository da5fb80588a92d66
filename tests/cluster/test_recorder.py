"""What a dead process leaves behind, written by real processes that crash, hang and freeze."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.recorder import TAIL_LINES, Recorder, Tail, read_tail, reap

PROGRAM = """
import sys
from pathlib import Path
from cluster.recorder import Recorder

recorder = Recorder(Path(sys.argv[1]))
recorder.begin("u" * 32)
recorder.item("key-1", 60.0)
recorder.item("key-2", float(sys.argv[2]))
exec(sys.argv[3])
recorder.end()
if len(sys.argv) > 4:
    exec(sys.argv[4])
"""
UNIT = "u" * 32
SPIN = "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')"


def run(folder: Path, action: str, *after: str, seconds: float = 60.0) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(seconds), action, *after],
        env=environment,
        stderr=subprocess.PIPE,
    )


def test_a_crash_leaves_its_stack_and_the_item_that_was_begun_last(tmp_path: Path) -> None:
    process = run(tmp_path, "import ctypes; ctypes.string_at(0)")
    assert process.wait(60) == -signal.SIGSEGV
    tail = read_tail(tmp_path, UNIT)
    assert tail.item == "key-2"
    assert not tail.timed_out
    assert tail.lines[:3] == (f"unit {UNIT}", "item key-1", "item key-2")
    assert any("Segmentation fault" in line for line in tail.lines)
    assert any("string_at" in line for line in tail.lines)
    assert str(sys.prefix) not in "".join(tail.lines)


@pytest.mark.parametrize("action", [SPIN, "import time; time.sleep(600)"])
def test_the_deadline_ends_what_hangs_even_in_c(tmp_path: Path, action: str) -> None:
    began = time.monotonic()
    process = run(tmp_path, action, seconds=0.5)
    assert process.wait(60) == -signal.SIGALRM
    assert time.monotonic() - began < 30
    tail = read_tail(tmp_path, UNIT)
    assert (tail.item, tail.timed_out) == ("key-2", True)
    assert any("most recent call first" in line for line in tail.lines)


def test_a_frozen_process_hears_no_timer_and_is_reaped(tmp_path: Path) -> None:
    process = run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", seconds=0.2)
    deadline = time.monotonic() + 60
    while "T" not in Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.4)
    assert process.poll() is None
    assert reap(tmp_path, grace=60) == 0
    assert read_tail(tmp_path, UNIT) == Tail()  # it lives
    assert reap(tmp_path, grace=0) == 1
    assert process.wait(60) == -signal.SIGKILL
    assert read_tail(tmp_path, UNIT).timed_out


def test_a_unit_that_was_settled_leaves_nothing_and_no_timer(tmp_path: Path) -> None:
    process = run(tmp_path, "pass", "import time; time.sleep(1.0)", seconds=0.3)
    assert process.wait(60) == 0
    assert read_tail(tmp_path, UNIT) == Tail()
    assert reap(tmp_path, grace=0) == 0


def test_a_kill_leaves_no_stack_but_the_item(tmp_path: Path) -> None:
    process = run(tmp_path, "import os; os.kill(os.getpid(), 9)")
    process.wait(60)
    assert read_tail(tmp_path, UNIT) == Tail((f"unit {UNIT}", "item key-1", "item key-2"), "key-2")
    assert read_tail(tmp_path, "v" * 32) == Tail()


def test_the_latest_of_several_dead_processes_speaks_and_little_of_it_is_kept(tmp_path: Path) -> None:
    older, newer = (run(tmp_path, "pass").pid for _ in range(2))
    for process in (older, newer):
        os.waitpid(process, 0)
    for name, key, when in ((older, "old", 1000), (newer, "new", 2000)):
        path = tmp_path / f"{name}.log"
        path.write_text(f"unit {UNIT}\n" + f"item {key} 0.0 1.0\n" * 100)
        os.utime(path, (when, when))
    tail = read_tail(tmp_path, UNIT)
    assert tail.item == "new"
    assert len(tail.lines) == TAIL_LINES


def test_files_are_for_their_owner_alone_and_old_ones_go(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o700)
    dead = run(folder, "pass")
    dead.wait(60)
    path = folder / f"{dead.pid}.log"
    path.write_text("unit x\n")
    os.utime(path, (1000, 1000))
    alive = run(folder, "import time; time.sleep(60)")
    try:
        deadline = time.monotonic() + 60
        while not (mine := folder / f"{alive.pid}.log").exists() or path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert mine.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        alive.kill()
        alive.wait()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        Recorder(tmp_path / "link")
