"""A folder for the time of a process, removed at its end, or by the next process if this one was killed.

A lock on a file in the folder tells the living from the dead: the kernel drops it with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

LONGEST = 40  # Ray puts a socket up to 64 characters further down, and a socket's path may have 107
REMOVING_SECONDS = 5.0  # processes that are ending may still write
_LOCK = "lock"


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A new folder (mode 0700) whose name begins with ``prefix``, below the system's temporary folder.

    Below /tmp where the system's temporary folder has too long a path for a socket. Folders of dead processes with the
    same prefix are removed first.
    """
    top = Path(tempfile.gettempdir())
    if len(str(top)) + 1 + len(prefix) + 8 > LONGEST:
        top = Path("/tmp")
    sweep(top, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=top))
    # locked under another name first: a folder is never seen with a lock file that nobody holds while its maker lives
    with (folder / f"{_LOCK}.new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{_LOCK}.new").rename(folder / _LOCK)
        try:
            yield folder
        finally:
            _remove(folder)


def sweep(top: Path, prefix: str) -> int:
    """Remove this user's folders with this prefix whose process is gone; how many."""
    removed = 0
    for folder in sorted(top.glob(f"{prefix}*")):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
                removed += 1
    return removed


def _remove(folder: Path) -> None:
    """The lock goes last: what cannot be removed while somebody still writes is left to the next process."""
    deadline = time.monotonic() + REMOVING_SECONDS
    while folder.exists():
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if path.name != _LOCK:
                    _remove_whole(path)
            if [path.name for path in folder.iterdir()] in ([_LOCK], []):
                shutil.rmtree(folder)
                return
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _remove_whole(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
