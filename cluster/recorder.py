"""What a worker process was at when it died or hung: a small file on its node, and a timer that ends what hangs.

Each worker keeps one file, named by its process id: the unit, each item as it is begun, and the Python stack if the
process crashes or overruns its deadline. No text of an error and no value of an item gets there: keys, functions and
line numbers alone. The stack is written by C code that needs no lock of the interpreter, and the timer is the
kernel's (``setitimer``), so that an endless loop in C ends as well. A process that the system has stopped hears no
timer: ``reap``, called from another process of the node, kills it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GRACE_SECONDS = 30.0  # over its deadline before another process kills it
KEPT_SECONDS = 86_400.0  # how long the file of a dead process may lie
TAIL_LINES = 40
_TIMED_OUT = "deadline"


def default_folder() -> Path:
    """Where workers of this node and user keep their files, unless the session has a folder of its own."""
    return Path(tempfile.gettempdir(), f"curate-logs-{os.getuid()}")


@dataclass(frozen=True, slots=True)
class Tail:
    """The last words on one unit. ``item``: the key that was begun last; ``timed_out``: the deadline ended it."""

    lines: tuple[str, ...] = ()
    item: str | None = None
    timed_out: bool = False


class Recorder:
    """The file of this process. One a process: the latest gets what a crash writes.

    Raises ``OSError`` when the folder is not this user's or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.getuid() or folder.is_symlink():
            raise PermissionError("the folder of the workers' files belongs to somebody else")
        _forget_old(folder)
        self._file = (folder / f"{os.getpid()}.log").open("wb", buffering=0)
        os.fchmod(self._file.fileno(), 0o600)
        self._has_timer = False

    def begin(self, unit_id: str) -> None:
        """A unit begins: what the file said of the one before is forgotten, and a crash will write its stack here."""
        os.ftruncate(self._file.fileno(), 0)
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        self._file.write(f"unit {unit_id}\n".encode())
        if not self._has_timer:
            faulthandler.enable(file=self._file, all_threads=False)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            faulthandler.register(signal.SIGALRM, file=self._file, all_threads=False, chain=True)
            self._has_timer = True

    def item(self, key: str, seconds: float) -> None:
        """An item begins and has this long; then the kernel ends the process (SIGALRM)."""
        self._file.write(f"item {key} {time.monotonic():.3f} {seconds:.3f}\n".encode())
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def end(self) -> None:
        """The unit is settled: no timer runs."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.ftruncate(self._file.fileno(), 0)
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)


def read_tail(folder: Path, unit_id: str) -> Tail:
    """What processes of this node last said of a unit: the latest one that died with it. Empty if none did."""
    found = Tail()
    latest = 0.0
    for path, lines in _files(folder):
        if lines[0] != f"unit {unit_id}" or _is_alive(path):
            continue
        with contextlib.suppress(OSError):
            changed = path.stat().st_mtime
            if changed >= latest:
                latest, found = changed, _tail(lines)
    return found


def reap(folder: Path, *, grace: float = GRACE_SECONDS) -> int:
    """Kill this user's workers of this node whose item is overdue by ``grace`` seconds; how many."""
    killed = 0
    for path, lines in _files(folder):
        begun = [line.split() for line in lines if line.startswith("item ")]
        if not begun or not _is_alive(path):
            continue
        *_, started, allowed = begun[-1]
        if time.monotonic() > float(started) + float(allowed) + grace:
            with contextlib.suppress(OSError):
                with path.open("ab") as file:
                    file.write(f"{_TIMED_OUT}: overdue, killed\n".encode())
                os.kill(int(path.stem), signal.SIGKILL)
                killed += 1
    return killed


def _tail(lines: list[str]) -> Tail:
    begun = [line.split()[1] for line in lines if line.startswith("item ")]
    rest = [line for line in lines[1:] if not line.startswith("item ")]
    # the stack of a crash begins with "Fatal Python error", that of the timer does not
    fatal = any(line.startswith("Fatal Python error") for line in rest)
    is_stack = any("most recent call first" in line for line in rest)
    timed_out = any(line.startswith(_TIMED_OUT) for line in rest) or (is_stack and not fatal)
    words = [lines[0], *(f"item {key}" for key in begun), *map(_without_folder, rest)]
    return Tail(tuple(words[-TAIL_LINES:]), begun[-1] if begun else None, timed_out)


def _without_folder(line: str) -> str:
    """``File "/somewhere/curate/dicom/frames.py", line 3 in f`` without where it is installed."""
    before, quote, rest = line.partition('File "')
    path, closing, after = rest.partition('"')
    return f"{before}{quote}{'/'.join(path.split('/')[-3:])}{closing}{after}" if quote else line


def _files(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for path in sorted(folder.glob("*.log")) if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            lines = path.read_text("utf-8", "replace").splitlines()
            if lines and path.stem.isdecimal():
                yield path, lines


def _is_alive(path: Path) -> bool:
    """Whether the process of a file lives: a zombie does not."""
    try:
        state = Path(f"/proc/{path.stem}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def _forget_old(folder: Path) -> None:
    for path, _ in [*_files(folder)]:
        with contextlib.suppress(OSError):
            if not _is_alive(path) and time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
