"""Processes that warm up at once share the work, and never wait for each other in vain."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from curate import compiled

MODULE = """
import sys, time
from pathlib import Path
from curate.compiled import warms_up

@warms_up
def warm() -> None:
    mark = Path(sys.argv[1], Path(__file__).stem)
    if mark.exists():
        return  # as a kernel that is read from the cache
    time.sleep(0.4)
    with mark.open("a") as file:
        file.write("compiled\\n")
"""
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[2])
import one, two, three
from curate import compiled
compiled._warmers[:] = [one.warm, two.warm, three.warm]
assert compiled.warm_up() == 3
"""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The registered functions replaced by two that only note their calls."""
    calls: list[str] = []

    def first() -> None:
        calls.append("first")

    def second() -> None:
        calls.append("second")

    monkeypatch.setattr(compiled, "_warmers", [])
    compiled.warms_up(first)
    compiled.warms_up(second)
    return calls


def test_each_registered_function_is_called_once(called: list[str]) -> None:
    assert compiled.warm_up() == 2
    assert called == ["first", "second"]


def test_a_module_that_another_process_is_at_is_warmed_when_that_has_done(called: list[str]) -> None:
    with Path(__file__).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threading.Thread(target=compiled.warm_up)
        waiting.start()
        time.sleep(0.2)
        assert called == []
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting.join(timeout=30)
    assert called == ["first", "second"]


def test_files_that_cannot_be_locked_are_warmed_all_the_same(
    called: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    compiled.warm_up()
    assert called == ["first", "second"]


def test_what_a_warmer_raises_is_heard_and_frees_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(compiled, "_warmers", [broken])
    with pytest.raises(ZeroDivisionError):
        compiled.warm_up()
    with Path(__file__).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_processes_that_warm_up_at_once_compile_each_module_once(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.py").write_text(MODULE)
    command = [sys.executable, "-c", PROGRAM, str(marks), str(tmp_path)]
    crew = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in crew] == [0, 0, 0]
    assert {mark.name: mark.read_text() for mark in marks.iterdir()} == dict.fromkeys(
        ("one", "two", "three"), "compiled\n"
    )
