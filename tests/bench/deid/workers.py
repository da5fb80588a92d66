"""``python -m tests.bench.deid.workers``: the same key gives the same bytes on any number of workers, in any order.

Prints one digest per way of running: one process forwards and backwards, two and three processes with small and large
chunks, and Ray. Also files a second, so that one and two processes can be compared.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import time
import warnings
from collections.abc import Callable, Sequence

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.errors import CurateError
from tests.bench.deid.midib_archive import Source, make_archive

KEY = bytes(range(3, 35))
_Task = tuple[int, bytes, str, str]


def deidentify_one(task: _Task) -> tuple[int, str, str]:
    """Number, digest of the output (or the reason of the refusal), digest of the audit."""
    number, raw, site, profile = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            done = deidentify_bytes(raw, load_profile(profile), Keyed(KEY), site=site)
        except CurateError as error:
            return number, str(error), ""
    audit = repr(sorted(done.audit.record().items()))
    return number, hashlib.sha256(done.content).hexdigest(), hashlib.sha256(audit.encode()).hexdigest()


def digest_of(results: Sequence[tuple[int, str, str]]) -> str:
    """One digest of all results, whatever order they came in."""
    return hashlib.sha256(repr(sorted(results)).encode()).hexdigest()


def run_here(tasks: Sequence[_Task]) -> list[tuple[int, str, str]]:
    """In this process."""
    return [deidentify_one(task) for task in tasks]


def run_pool(tasks: Sequence[_Task], *, processes: int, chunk: int) -> list[tuple[int, str, str]]:
    """In fresh processes, results as they come."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return list(pool.imap_unordered(deidentify_one, tasks, chunksize=chunk))


def run_ray(tasks: Sequence[_Task]) -> list[tuple[int, str, str]]:
    """As Ray tasks on two workers."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    try:
        remote = ray.remote(num_cpus=1)(deidentify_one)
        return list(ray.get([remote.remote(task) for task in tasks]))
    finally:
        ray.shutdown()


def tasks_of(sources: Sequence[Source], profile: str) -> list[_Task]:
    """What a worker is handed."""
    return [(source.number, source.raw, source.site, profile) for source in sources]


def main() -> None:
    """Run every way, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--profile", default="mira")
    parser.add_argument("--ray", action="store_true")
    arguments = parser.parse_args()
    archive = make_archive(patients=arguments.patients, pixels=False)
    tasks = tasks_of(archive.sources, arguments.profile)
    shuffled = random.Random(1).sample(tasks, len(tasks))
    ways: dict[str, Callable[[], list[tuple[int, str, str]]]] = {
        "one process": lambda: run_here(tasks),
        "one process, backwards": lambda: run_here(tasks[::-1]),
        "two processes, one file a time": lambda: run_pool(tasks, processes=2, chunk=1),
        "two processes, shuffled": lambda: run_pool(shuffled, processes=2, chunk=16),
        "three processes": lambda: run_pool(shuffled, processes=3, chunk=5),
    }
    if arguments.ray:
        ways["Ray, two workers"] = lambda: run_ray(shuffled)
    digests = set()
    for name, way in ways.items():
        started = time.perf_counter()
        digest = digest_of(way())
        digests.add(digest)
        print(f"{name:34}{digest[:16]}  {time.perf_counter() - started:6.2f} s")
    print("identical" if len(digests) == 1 else "DIFFERENT")


if __name__ == "__main__":
    main()
