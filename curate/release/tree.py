"""What really lies in a release folder, compared with the list of digests."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from curate.release.findings import Finding, Kind
from curate.release.sums import SUMS, is_plain_path
from curate.storage import Store

_THREADS = 16  # that ask for sizes


def list_tree(root: Path) -> tuple[dict[str, int], list[Finding]]:
    """Path -> bytes of every regular file, and a finding for everything else. Links are never followed.

    Raises ``OSError`` when a folder cannot be read.
    """
    files: dict[str, int] = {}
    findings: list[Finding] = []
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        if not found:
            findings.append(Finding(plain(folder or "."), Kind.NOT_A_FILE, "an empty folder"))
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                findings.append(Finding(plain(path), Kind.NOT_A_FILE, "a symbolic link"))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                files[path] = entry.stat(follow_symlinks=False).st_size
            else:
                findings.append(Finding(plain(path), Kind.NOT_A_FILE, "a device, pipe or socket"))
    return dict(sorted(files.items())), findings


def list_objects(store: Store) -> dict[str, int]:
    """Path -> bytes of every object of a release that lies in a bucket, where there is nothing but objects."""
    paths = list(store.list())
    with ThreadPoolExecutor(_THREADS) as threads:
        return dict(zip(paths, threads.map(store.size, paths), strict=True))


def compare_digests(
    listed: Mapping[str, str], found: Mapping[str, str], show: Callable[[str], str] = str
) -> list[Finding]:
    """Changed, missing, extra and renamed files; both map path -> digest. ``show``: a path as it may be reported."""
    changed = [path for path in found if path in listed and found[path] != listed[path]]
    extra = sorted(set(found) - set(listed) - {SUMS})
    moved_to: dict[str, list[str]] = defaultdict(list)
    for path in reversed(extra):
        moved_to[found[path]].append(path)
    findings = [Finding(show(path), Kind.CHANGED, "its bytes are not those that were frozen") for path in changed]
    renamed = set()
    for path in sorted(set(listed) - set(found)):
        if moved_to[listed[path]]:
            renamed.add(new := moved_to[listed[path]].pop())
            findings.append(Finding(show(path), Kind.RENAMED, f"its bytes lie at {show(new)}"))
        else:
            findings.append(Finding(path, Kind.MISSING))
    findings.extend(
        Finding(show(path), Kind.EXTRA, "SHA256SUMS does not list it") for path in extra if path not in renamed
    )
    return findings


def plain(path: str) -> str:
    """A path as it may stand in a report: what a name of a release cannot hold becomes ``?``."""
    return path if is_plain_path(path) else re.sub(r"[^A-Za-z0-9._/+=-]", "?", path)
