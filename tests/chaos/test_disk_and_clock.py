"""A disk that is full, and clocks that are days off and jump: nothing is lost, and the bytes are as ever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.executors import Inline
from cluster.ledger import Ledger, make_account
from cluster.units import pack
from curate.storage import LocalStore
from tests.support.cluster_jobs import digests_of, make_item, make_job

KEYS = [f"ok:{number}" for number in range(60)]
PROGRAM = """
import sys
from pathlib import Path
from cluster import Ledger, open_executor, pack
from cluster.events import EventLog
from curate.errors import Unavailable
from curate.storage import LocalStore
from tests.chaos.test_disk_and_clock import KEYS
from tests.support.cluster_jobs import make_item, make_job

store, most = sys.argv[1], int(sys.argv[2])
log = LocalStore(Path(store))
settled = Ledger(log, "work").settled()
left = [item for item in map(make_item, KEYS) if item.fingerprint not in settled][:most]
try:
    with open_executor("processes", store, workers=2) as executor, EventLog(log) as events:
        for report in executor.run(make_job(store), pack("work", left, target_cost=30, lanes=[64 << 20])):
            events.write("unit_settled", unit=report.unit_id)
except Unavailable as error:
    print(type(error).__name__)
    raise SystemExit(75)
"""
FULL = """
mount -t tmpfs -o size=96k tmpfs "$1"
"$2" -c "$3" "$1/store" 1000 && echo finished
echo "exit $?"
mount -o remount,size=64m "$1"
"$2" -c "$3" "$1/store" 1000
cp -r "$1/store" "$4"
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.getcwd()}


def is_as_calm(store: Path, calm: Path) -> None:
    units = pack("work", map(make_item, KEYS), target_cost=30, lanes=[64 << 20])
    list(Inline(str(calm)).run(make_job(calm), units))
    assert digests_of(store) == digests_of(calm)
    account = make_account(map(make_item, KEYS), Ledger(LocalStore(store), "work").outcomes())
    assert (account.inputs, account.done) == (60, 60)
    assert not [path for path in store.rglob("*") if path.name.endswith(".tmp")]


def test_a_full_disk_stops_the_run_and_what_is_committed_stays(tmp_path: Path) -> None:
    disk, store = tmp_path / "disk", tmp_path / "store"
    disk.mkdir()
    # a file system of its own, which needs a mount namespace; with a user namespace where this user may not mount
    mine = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    script = ["sh", "-c", FULL, "sh", str(disk), sys.executable, PROGRAM, str(store)]
    done = subprocess.run([*mine, *script], env=environment(), capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.splitlines()[:2] == ["Unavailable", "exit 75"], done.stderr
    assert done.returncode == 0, done.stderr
    is_as_calm(store, tmp_path / "calm")


def test_clocks_that_are_days_off_change_no_byte(tmp_path: Path) -> None:
    faketime = shutil.which("faketime")
    assert faketime, "faketime is missing: apt-get install faketime"
    store = tmp_path / "store"
    for shift, most in (("-3d", 20), ("+400d", 25), ("-40y", 1000)):
        command = [faketime, "--exclude-monotonic", "-f", shift, sys.executable, "-c", PROGRAM, str(store), str(most)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    is_as_calm(store, tmp_path / "calm")
    years = {line.split('"time":"')[1][:4] for path in store.rglob("*.jsonl") for line in path.read_text().splitlines()}
    assert len(years) > 1  # the clocks were off indeed, and events alone tell
