from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from cluster.drain import Drain, Drained


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_first_signal_asks_and_the_second_leaves_at_once(number: int) -> None:
    drain = Drain(grace_seconds=30)
    before = signal.getsignal(number)
    with drain.on_signals():
        drain.check()
        assert drain.seconds_left is None
        os.kill(os.getpid(), number)
        assert drain.is_asked
        left = drain.seconds_left
        assert left is not None
        assert 29 < left <= 30
        with pytest.raises(Drained, match="the same command goes on"):
            drain.check()
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_the_grace_runs_from_the_first_time_it_was_asked() -> None:
    drain = Drain(grace_seconds=0.2)
    drain.ask()
    time.sleep(0.25)
    drain.ask()
    assert drain.seconds_left == 0


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def other() -> None:
        with Drain().on_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [before]
