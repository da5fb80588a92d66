"""Processes end with who asks, however that comes, and are not disturbed before."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from curate.deid.verification.crew import Crew
from curate.deid.verification.workers import Crashed, warm


def name_the_process(items: Sequence[int]) -> Iterator[int]:
    for _ in items:
        yield os.getpid()


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt])
def test_processes_are_gone_at_the_end_however_it_comes(ends: type[BaseException] | None) -> None:
    seen: set[int] = set()
    with contextlib.suppress(KeyboardInterrupt), Crew(name_the_process, 2, context=warm()) as crew:
        crew.ask(0, lambda result: seen.add(result))
        crew.finish()
        for number in range(640):
            crew.ask(number, lambda result: seen.add(result))
        if ends is not None:
            raise ends
        crew.finish()
    assert seen
    assert not any(map(is_running, seen))


def test_an_interrupt_does_not_reach_the_processes() -> None:
    def interrupt(process: int) -> None:
        os.kill(process, signal.SIGINT)
        seen.add(process)

    seen: set[int] = set()
    with Crew(name_the_process, 1, context=warm()) as crew:
        for _ in range(3):
            crew.ask(0, interrupt)
            crew.finish()
    assert len(seen) == 1


ASKS_AND_IS_KILLED = """
import os
from curate.deid.verification.crew import Crew
from curate.deid.verification.workers import warm
from tests.curate.deid.verification.test_workers import name_the_process

if __name__ == "__main__":
    with Crew(name_the_process, 1, context=warm()) as crew:
        crew.ask(0, lambda process: print(process, flush=True))
        crew.finish()
        os.kill(os.getpid(), 9)
"""


def test_processes_go_when_who_asks_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "asks.py"
    script.write_text(ASKS_AND_IS_KILLED)
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == -9, run.stderr
    process = int(run.stdout)
    for _ in range(100):
        if not is_running(process):
            break
        time.sleep(0.1)
    assert not is_running(process)


def go_after_the_work(items: Sequence[int]) -> Iterator[int]:
    yield from items
    os._exit(3)


def test_a_process_that_goes_after_its_work_is_replaced_for_the_next() -> None:
    said: list[object] = []
    with Crew(go_after_the_work, 1, context=warm()) as crew:
        for number in (1, 2):
            crew.ask(number, said.append)
            crew.finish()
            time.sleep(0.2)
    assert said == [1, 2]
    assert not any(isinstance(one, Crashed) for one in said)


def test_an_interrupt_while_a_process_starts_is_passed_on_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(process: object) -> None:
        raise KeyboardInterrupt

    context = warm()
    monkeypatch.setattr(context.Process, "start", interrupted)
    with Crew(name_the_process, 1, context=context) as crew:
        crew.ask(0, print)
        with pytest.raises(KeyboardInterrupt):
            crew.finish()
