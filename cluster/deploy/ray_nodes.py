"""What every Ray node of a deployment is told, whoever starts it: versions, memory, switches. Bytes."""

from __future__ import annotations

import platform
from importlib import metadata

from cluster.memory import USABLE
from cluster.session import OBJECT_STORE_BYTES
from cluster.threads import one_thread_each

GIB = 1 << 30
MEBIBYTE = 1 << 20
SHARED_MEMORY_BYTES = 256 * MEBIBYTE  # /dev/shm: the object store, and room for what else lies there
METRICS_PORT = 8080
GCS_PORT = 6379

# From the least to the most drastic: units may ask for USABLE, Ray kills a task above this, the kernel the node at 1.
KILL_AT = 0.9


def versions() -> dict[str, str]:
    """Of python, ray and spine-curate: those that render, so that driver and nodes have the same."""
    return {
        "python": platform.python_version(),
        "ray": metadata.version("ray"),
        "spine-curate": metadata.version("spine-curate"),
    }


def environment() -> dict[str, str]:
    """Variables of every process on a node; ``RAY_<name>`` is Ray's own way to set what its system config holds."""
    return one_thread_each() | {
        "RAY_AUTH_MODE": "token",
        "RAY_memory_usage_threshold": str(KILL_AT),
        "RAY_task_oom_retries": "0",  # else a task that Ray's memory monitor kills is tried for ever
        "RAY_USAGE_STATS_ENABLED": "0",  # no calls home
    }


def start_options(cores: int, memory_gib: float) -> dict[str, str]:
    """Options of ``ray start`` on a node of that size; a small object store, for pixels never travel."""
    memory = int(memory_gib * GIB * USABLE) - OBJECT_STORE_BYTES
    return {
        "num-cpus": str(cores),
        "memory": str(memory // MEBIBYTE * MEBIBYTE),
        "object-store-memory": str(OBJECT_STORE_BYTES),
    }


def start_command(options: dict[str, str]) -> str:
    """The same on a command line."""
    return " ".join(f"--{name}={value}" for name, value in options.items())
