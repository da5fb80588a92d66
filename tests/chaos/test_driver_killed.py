"""The driver is killed at random moments, by SIGKILL: the next one goes on, and the end is that of a calm run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.ledger import Ledger, make_account
from cluster.scratch import sweep
from curate.storage import LocalStore
from tests.support.cluster_jobs import digests_of, make_item, tries_of

KEYS = [f"{action}:{number}" for number in range(30) for action in ("once", "reject")]
PROGRAM = """
import sys
from pathlib import Path
from cluster import Ledger, open_executor, pack
from curate.storage import LocalStore
from tests.chaos.test_driver_killed import KEYS
from tests.support.cluster_jobs import make_item, make_job

kind, store, marks = sys.argv[1:]
items = [make_item(key) for key in KEYS]
with open_executor(kind, store, workers=None if kind == "inline" else 2) as executor:
    settled = Ledger(LocalStore(Path(store)), "work").settled()
    left = [item for item in items if item.fingerprint not in settled]
    job = make_job(store, marks=marks, seconds="0.1")
    for report in executor.run(job, pack("work", left, target_cost=30, lanes=[64 << 20])):
        pass
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder with a path short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as folder:
        yield Path(folder)


def launch(kind: str, store: Path, marks: Path, temporary: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "TMPDIR": str(temporary)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind, str(store), str(marks)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_more(store: Path, driver: subprocess.Popen[bytes]) -> None:
    """Until the ledger has one more receipt, or the driver has ended."""
    before = len(list((store / "ledger").rglob("*.json")))
    deadline = time.monotonic() + 240
    while len(list((store / "ledger").rglob("*.json"))) <= before and driver.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_workers(session: int) -> None:
    """Until the processes of a session have ended: workers whose driver is gone end with the unit they are at."""
    deadline = time.monotonic() + 240
    while any(session_of(path) == session for path in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def session_of(process: Path) -> int | None:
    try:
        state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return None
    return None if state in "ZX" else int(session)


def swept(temporary: Path) -> list[Path]:
    """Scratch folders of killed drivers that no next one removes: while their Ray's processes end, it has to wait."""
    deadline = time.monotonic() + 60
    while (left := list(temporary.glob("curate-*"))) and time.monotonic() < deadline:
        sweep(temporary, "curate-")
        time.sleep(0.1)
    return left


@pytest.mark.parametrize(("kind", "kills", "longest"), [("inline", 7, 2.0), ("processes", 8, 3.0), ("ray", 5, 8.0)])
def test_a_driver_killed_at_random_moments_ends_as_a_calm_one(
    kind: str, kills: int, longest: float, tmp_path: Path, temporary: Path
) -> None:
    calm, store, marks = tmp_path / "calm", tmp_path / "store", tmp_path / "marks"
    assert launch("inline", calm, tmp_path / "calm-marks", temporary).wait(120) == 0
    moments = random.Random(kind)
    committed: dict[str, int] = {}  # item -> times that it was begun, once it is in the ledger
    amid = 0  # kills with some of the work committed, and some not
    for number in range(kills):
        driver = launch(kind, store, marks, temporary)
        if number % 2:
            time.sleep(moments.uniform(0.2, longest))
        else:  # while units are being settled
            wait_for_more(store, driver)
            time.sleep(moments.uniform(0.0, 0.3))
        driver.kill()
        driver.wait()
        time.sleep(0.3)  # its workers may still publish what they were at
        if kind == "processes":
            wait_for_workers(driver.pid)
        for outcome in Ledger(LocalStore(store), "work").settled().values():
            committed.setdefault(outcome.key, tries_of(marks, outcome.key))
        amid += 0 < len(committed) < len(KEYS)
    assert amid
    of_killed = set(temporary.glob("curate-*"))
    last = launch(kind, store, marks, temporary)
    assert last.wait(240) == 0, last.stderr and last.stderr.read()
    assert digests_of(store) == digests_of(calm)
    items = [make_item(key) for key in KEYS]
    account = make_account(items, Ledger(LocalStore(store), "work").outcomes())
    assert (account.inputs, account.done, account.rejected) == (60, 30, {"slice_gap": 30})
    assert {key: tries_of(marks, key) for key in committed} == committed  # nothing committed was begun again
    assert not [path for path in store.rglob("*") if path.name.endswith(".tmp")]
    assert set(temporary.glob("curate-*")) <= of_killed  # its own is gone
    assert not swept(temporary)
