"""A session of one's own, from outside: what it prints, what it leaves, and what Ctrl-C does to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.executors.inline import Inline
from cluster.ledger import Ledger
from cluster.session import start
from cluster.units import Item, pack
from curate.errors import Misconfigured, Unavailable
from curate.storage import LocalStore
from tests.support.cluster_jobs import digests_of, make_item, make_job

PROGRAM = """
import os, sys
from pathlib import Path
from cluster import Ledger, open_executor, pack
from curate.storage import LocalStore
from tests.support.cluster_jobs import make_item, make_job

store, action, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
before = dict(os.environ)
items = [make_item(f"{action}:{number}") for number in range(count)]
settled = Ledger(LocalStore(Path(store)), "work").settled()
left = [item for item in items if item.fingerprint not in settled]
with open_executor("ray", store, workers=2) as executor:
    units = pack("work", left, target_cost=20, lanes=[64 << 20])
    done = sum(report.done for report in executor.run(make_job(store), units))
print(done, executor.workers, dict(os.environ) == before)
"""

WHERE_FROM = """
from importlib.util import find_spec
import ray
from cluster.session import start

with start(workers=1):
    look = ray.remote(lambda: [f"{name} {find_spec(name) is not None}" for name in ("decoy", "own")])
    print(*ray.get(look.remote()))
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder with a path short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        yield Path(folder)


def launch(store: Path, home: Path, temporary: Path, action: str, count: int) -> subprocess.Popen[str]:
    home.mkdir()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "HOME": str(home),
        "TMPDIR": str(temporary),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(store), action, str(count)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_ctrl_c,
    )


def _hear_ctrl_c() -> None:
    """Where the tests themselves run in the background, their children would be deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(group: int) -> list[int]:
    """Living processes of a session, by its leader."""
    living = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            living.append(int(status.parent.name))
    return living


def test_a_run_prints_nothing_of_ray_and_leaves_nothing_behind(tmp_path: Path, temporary: Path) -> None:
    process = launch(tmp_path / "store", tmp_path / "home", temporary, "ok", 10)
    out, err = process.communicate(timeout=240)
    assert (out, err) == ("10 2 True\n", "")
    assert list(temporary.iterdir()) == []
    assert list((tmp_path / "home").iterdir()) == []
    assert processes_of(process.pid) == []


def test_ctrl_c_stops_cleanly_and_the_next_run_ends_with_the_same_bytes(tmp_path: Path, temporary: Path) -> None:
    store = tmp_path / "store"
    process = launch(store, tmp_path / "home", temporary, "slow", 60)
    deadline = time.monotonic() + 240
    while len(list(Ledger(LocalStore(store), "work").receipts())) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
    _, err = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert list(temporary.iterdir()) == []
    assert processes_of(process.pid) == []

    kept = {path: path.read_bytes() for path in (store / "ledger").rglob("*.json")}
    assert 3 <= len(kept) < 30
    items = [make_item(f"slow:{number}") for number in range(60)]
    settled = Ledger(LocalStore(store), "work").settled()
    left = [item for item in items if item.fingerprint not in settled]
    assert len(left) == 60 - 2 * len(kept)
    finish(store, left)
    assert all(path.read_bytes() == content for path, content in kept.items())
    finish(tmp_path / "calm", items)
    assert digests_of(store) == digests_of(tmp_path / "calm")


def finish(store: Path, items: list[Item]) -> None:
    """Settle items by the other executor: where a run goes on may differ from where it began."""
    units = pack("work", items, target_cost=20, lanes=[64 << 20])
    assert sum(report.done for report in Inline(str(store)).run(make_job(store, seconds="0"), units)) == len(items)


def test_workers_import_nothing_from_a_current_folder_that_the_driver_does_not_import_from(
    tmp_path: Path, temporary: Path
) -> None:
    script, here = tmp_path / "script" / "run.py", tmp_path / "here"
    script.parent.mkdir()
    here.mkdir()
    (here / "decoy.py").write_text("")
    (script.parent / "own.py").write_text("")
    script.write_text(WHERE_FROM)
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "TMPDIR": str(temporary)}
    run = subprocess.run(
        [sys.executable, str(script)], cwd=here, env=environment, capture_output=True, text=True, timeout=240
    )
    assert (run.stdout, run.stderr) == ("decoy False own True\n", "")


def test_no_workers_are_refused() -> None:
    with pytest.raises(Misconfigured, match="1 or more"), start(workers=0):
        pass


def test_a_second_session_in_one_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with pytest.raises(Misconfigured, match="already started"), start():
        pass
    monkeypatch.undo()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_an_address_where_nobody_answers_is_refused_without_repeating_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**options: object) -> None:
        raise ConnectionError(f"no cluster at {options['address']}")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(Misconfigured) as caught, start("auto"):
        pass
    assert str(caught.value) == "no Ray cluster can be attached to at the address given (ConnectionError)"


def test_a_session_that_does_not_start_leaves_no_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fail(**options: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(Unavailable, match=r"does not start \(RuntimeError\)$"), start():
        pass
    assert list(temporary.iterdir()) == []
