"""How much memory there is, how it is shared out, and how much was used. All in bytes; Linux."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")
USABLE = 0.8  # of the machine; the rest is for the system, Ray's own processes and the page cache
_MEBIBYTE = 1 << 20


def machine_memory() -> int:
    """Memory of this machine or of the container it is limited to."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (*CGROUP_LIMITS, *own_limits(Path("/proc/self/cgroup"), CGROUP_ROOT)):
        with contextlib.suppress(OSError, ValueError):  # absent, or "max"
            physical = min(physical, int(limit.read_text()))
    return physical


def own_limits(membership: Path, root: Path) -> list[Path]:
    """Files with the limits of the control groups (version 2) that this process is in, as Slurm makes them for jobs."""
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            if line.startswith("0::/"):
                group = root / line.removeprefix("0::/")
                return [folder / "memory.max" for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return []


def usable_memory() -> int:
    """What workers on this machine may share, in whole MiB."""
    return int(machine_memory() * USABLE) // _MEBIBYTE * _MEBIBYTE


def lanes_for(memory: int, workers: int) -> tuple[int, ...]:
    """At most four amounts that units are given: half a fair share, a fair share, two shares, everything.

    Few on purpose: Ray schedules each distinct amount apart, and thousands of them make it a hundred times slower.
    """
    share = max(memory // max(workers, 1), 1)
    return tuple(sorted({max(share // 2, 1), share, min(2 * share, memory), memory}))


def count_memory_kills() -> int:
    """Processes of this container that the kernel has killed for their memory; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in CGROUP_EVENTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def reset_peak() -> None:
    """Start measuring the peak of this process anew."""
    # refused in some containers: then the peak is that of the process's life
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as references:
        references.write(b"5")


def measure_peak() -> int:
    """Largest resident size of this process since ``reset_peak``."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/status", "rb", buffering=0) as status:
        return int(status.read(1 << 16).partition(b"VmHWM:")[2].split(maxsplit=1)[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
