"""A Ray session: an embedded one of this process's own, or a cluster that runs already.

The embedded one listens on the loopback interface behind a token, keeps its files in a folder that only this user can
read and that is removed at the end (a killed process leaves one, the next start sweeps it), and prints nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

from cluster.memory import usable_memory
from cluster.scratch import scratch_folder
from cluster.threads import one_thread_each
from curate.errors import Misconfigured, Unavailable

OBJECT_STORE_BYTES = 80 << 20  # near Ray's least: only receipts' counts and the job travel, never pixels

KNOCK_SECONDS = 5.0

_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as Ray's own warning about it asks
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",  # no calls home
}
_EMBEDDED = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: one machine only, so listen on the loopback interface
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # one a process; given here, Ray writes none to the home folder
}


@dataclass(frozen=True, slots=True)
class Session:
    """A started session."""

    workers: int  # units at a time
    memory: int  # bytes that one unit may ask for: those of the largest node
    total_memory: int  # bytes, all nodes
    embedded: bool
    logs: str | None = None  # folder of the workers' files; None: each node's default
    most_workers: int | None = None  # what was asked for; None: every CPU

    def now(self) -> Session:
        """The session with the nodes that it has now: they come and go."""
        import ray

        return _describe(ray, self.most_workers, self.logs)

    def prepare(self, call: Callable[[], None]) -> None:
        """Let every worker call a module-level function, over all nodes, while the caller goes on.

        Nobody waits for it, and what it raises is not heard: the units that need it will say so.
        """
        import ray

        task = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(call)
        for _ in range(self.workers):
            task.remote()


@contextlib.contextmanager
def start(address: str | None = None, workers: int | None = None) -> Iterator[Session]:
    """Start an embedded session (``address`` None or "local") or attach to a cluster ("auto", "host:port", "ray://...").

    ``workers`` bounds the units at a time; by default every CPU works. Raises ``Misconfigured`` when there is no
    such cluster or Ray runs in this process already, ``Unavailable`` when the embedded session does not start.
    """
    if workers is not None and workers < 1:
        raise Misconfigured("workers: expected 1 or more")
    embedded = address in (None, "local")
    if address is not None and not embedded:
        _knock(address)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(_QUIET | (_EMBEDDED | one_thread_each() if embedded else {})))
        import ray  # after the environment is set: Ray reads some of it when imported
        from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

        if ray.is_initialized():
            raise Misconfigured("Ray is already started in this process; shut it down first")
        stack.enter_context(_silence())
        if embedded:
            count = workers or len(os.sched_getaffinity(0))
            folder = stack.enter_context(scratch_folder("curate-ray-"))
            options: dict[str, Any] = {
                "address": "local",
                "num_cpus": count,
                "num_gpus": 0,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_memory": usable_memory(),
                "_temp_dir": str(folder),
                # else a task that Ray's memory monitor kills is tried for ever
                "_system_config": {"task_oom_retries": 0},
                "include_dashboard": False,
            }
            AuthenticationTokenLoader.instance().reset_cache()  # an earlier session's token may be in it
        else:
            options = {"address": address, "runtime_env": {"env_vars": one_thread_each()}}
        stack.callback(_shut_down, ray)
        try:
            ray.init(**options, job_config=_job_config(), log_to_driver=False, logging_level=logging.CRITICAL)
            session = _describe(ray, workers, str(folder / "recorders") if embedded else None)
        except Exception as error:  # noqa: BLE001 - Ray raises many kinds here, with machine paths in their texts
            kind = type(error).__name__
            if embedded:
                raise Unavailable(f"the embedded Ray session does not start ({kind})") from None
            raise Misconfigured(f"no Ray cluster can be attached to at the address given ({kind})") from None
        with _terminable():
            yield session


class _ImportedFrom(list[str]):
    """Folders that workers import from, before their own."""

    def extend(self, folders: Iterable[str]) -> None:
        """Take those alone that this process imports from as well."""
        own = {os.path.realpath(folder) for folder in sys.path}
        super().extend(folder for folder in folders if os.path.realpath(folder) in own)


def _job_config() -> Any:
    """Ray makes workers import from the driver's current folder first: one that holds another copy of this project, a
    checkout say, would let them run other code than the driver. There is no public switch."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _ImportedFrom()
    return config


def _knock(address: str) -> None:
    """Raises ``Misconfigured`` when nobody listens at ``host:port`` or ``ray://host:port``; Ray would wait long."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto" and the like: Ray looks for itself
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, OverflowError):
        raise Misconfigured("no Ray cluster listens at the address given") from None


def _describe(ray: Any, workers: int | None, logs: str | None) -> Session:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = int(sum(resources.get("CPU", 0) for resources in nodes))
    memories = [int(resources.get("memory", 0)) for resources in nodes]
    return Session(
        workers=min(workers or cpus, cpus) or 1,
        memory=max(memories, default=0),
        total_memory=sum(memories),
        embedded=logs is not None,
        logs=logs,
        most_workers=workers,
    )


def _shut_down(ray: Any) -> None:
    """Stop Ray whole: a second Ctrl-C while it stops would leave processes and files behind, so it is held off."""
    if threading.current_thread() is not threading.main_thread():
        ray.shutdown()
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ray.shutdown()
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the session like Ctrl-C; Ray's own handler, set while it starts, prints a stack first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what Ray's processes say out of this process's output; the runtime says what matters itself."""
    from ray._private import worker

    # No public switch stops the lines about dead workers; without this attribute they are only noisy.
    enabled = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = enabled


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the time of the session; what the user has set stays, and what Ray sets goes with it."""
    before = set(os.environ)
    os.environ.update({name: value for name, value in values.items() if name not in before})
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            del os.environ[name]
