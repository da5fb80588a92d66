"""Work for runtime tests. What an item does stands in its key, before the colon; no image is involved.

Workers import this module by name, so it must stay importable from the repository's root.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.job import Done, Job
from cluster.ledger import Ledger
from cluster.outcomes import ItemOutcome, Output
from cluster.units import Item
from curate.errors import Misconfigured, Quarantined, Rejected, Unavailable
from curate.identity import Json
from curate.reasons import Reason
from curate.storage import LocalStore, open_store

SECRET = "Doe^Jane 1961-03-04"  # stands for header text that no receipt, report or log may repeat


def make_item(key: str, *, cost: int = 10, memory: int = 100) -> Item:
    """An item whose fingerprint follows from its key."""
    return Item(key, hashlib.sha256(key.encode()).hexdigest(), cost, memory)


def make_job(store: Path | str, *, stage: str = "work", least_seconds: float = 60.0, **config: Json) -> Job:
    """A job whose items do what their keys say, writing below ``volumes/`` of the store."""
    return Job(
        stage,
        1,
        open_scripted,
        {"store": str(store), **config},
        parameters="p" * 64,
        libraries=("numpy",),
        least_seconds=least_seconds,
    )


def open_scripted(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """Open the scripted work. ``marks`` is a folder for what must be remembered across processes."""
    store = open_store(str(config["store"]))
    marks = Path(str(config.get("marks", "")))

    def mark(item: Item) -> int:
        """Count this try of the item, over all processes; how many there were before."""
        folder = marks / hashlib.sha256(item.key.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        before = len(list(folder.iterdir()))
        (folder / f"{before}-{os.getpid()}-{time.monotonic_ns()}").touch()
        return before

    def work(item: Item) -> Done:
        action = item.key.split(":")[0]
        if action == "reject":
            raise Rejected(Reason.SLICE_GAP, "between slices 4 and 5: 10.00 mm, else 5.00 mm")
        if action == "quarantine":
            raise Quarantined(Reason.LEAK_FOUND, "1 identifier")
        if action == "bug":
            raise ValueError(SECRET)
        if action == "down":
            mark(item)
            raise Unavailable("cannot read: Input/output error")
        if action == "flaky" and mark(item) < 2:
            raise Unavailable("cannot read: Input/output error")
        if action == "wrong":
            raise Misconfigured("volumes.spacing_mm: expected 3 numbers")
        if action == "kill":
            mark(item)
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "kill-once" and mark(item) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "segfault":
            mark(item)
            ctypes.string_at(0)
        if action == "hang":
            mark(item)
            time.sleep(3600)
        if action == "spin":  # in C, without letting go of the interpreter
            mark(item)
            re.match(r"(a+)+$", "a" * 64 + "b")
        if action == "freeze":  # no timer is heard
            mark(item)
            os.kill(os.getpid(), signal.SIGSTOP)
        if action == "once":
            mark(item)
            time.sleep(float(str(config.get("seconds", "0"))))
        if action == "slow":
            time.sleep(float(str(config.get("seconds", "0.2"))))
        return publish(item)

    def publish(item: Item) -> Done:
        content = item.key.encode() * 100
        key = f"volumes/{item.fingerprint}"
        store.put_new(key, content)
        output = Output(key, hashlib.sha256(content).hexdigest(), len(content))
        return Done((output,), {"length": len(content), "threads": os.environ.get("OMP_NUM_THREADS", "")})

    return work


def open_broken(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """A stage that cannot be opened, for a reason that nobody foresaw."""
    raise RuntimeError(f"{SECRET} {len(config)}")


def open_refusing(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """A stage that is configured wrongly."""
    raise Misconfigured(f"deid.key: expected 32 bytes, got {len(config)}")


def open_leaving(config: Mapping[str, Json]) -> Callable[[Item], Done]:
    """Work that raises what the runtime does not treat as an item's failure."""

    def work(item: Item) -> Done:
        raise KeyboardInterrupt(item.key)

    return work


def tries_of(marks: Path, key: str) -> int:
    """How often an item was begun, over all processes."""
    folder = marks / hashlib.sha256(key.encode()).hexdigest()[:12]
    return len(list(folder.iterdir())) if folder.exists() else 0


def digests_of(store: Path) -> dict[str, str]:
    """SHA-256 of every payload object of a store, by key."""
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((store / "volumes").rglob("*"))
        if path.is_file()
    }


def items_of(*keys: str) -> list[Item]:
    """Items of these keys, in their order."""
    return [make_item(key) for key in keys]


def outcomes_of(store: Path) -> dict[str, ItemOutcome]:
    """What the ledger of a store in a folder says of the scripted work, by key."""
    return {outcome.key: outcome for outcome in Ledger(LocalStore(store), "work").outcomes().values()}
