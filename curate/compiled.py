"""Kernels compiled by numba: one decorator, so that all of them are cached, release the GIL and round alike.

A kernel compiles on its first call on a machine and is read from the cache afterwards: beside its source where that can
be written, else in the user's cache folder, or where ``NUMBA_CACHE_DIR`` says. An entry is named by the source file's
time and size and by the kind of processor, so that unlike machines may share one folder. Compiling all takes half a
minute, reading them back a fraction of a second.

``warm_up`` does either for every kernel of the modules that are imported by then. A stage calls it where a worker opens
it, so that no item pays. Processes that warm up at once on a machine share the work: each compiles what no other is at,
and reads the rest. On a cluster let ``NUMBA_CACHE_DIR`` name a folder that every process of a node can write to (its
local disk, or one of the image in which the kernels were compiled already).
"""

from __future__ import annotations

import contextlib
import fcntl
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_warmers: list[Callable[[], None]] = []


def compiled(kernel: Kernel) -> Kernel:
    """Compile a function of numbers and arrays: cached on disk, without the GIL, IEEE arithmetic in source order.

    The body must stay inside its arrays by its own checks: nothing here tests an index.
    """
    return cast(Kernel, numba.njit(cache=True, nogil=True)(kernel))


def warms_up(call: Callable[[], None]) -> Callable[[], None]:
    """Register a function that calls kernels once, with every combination of types that they are used with."""
    _warmers.append(call)
    return call


def warm_up() -> int:
    """Compile, or read from the cache, every registered kernel. Returns how many functions were called."""
    left = [call for call in _warmers if not _call_alone(call, wait=False)]
    for call in left:  # another process was at these; what it has compiled is only read
        _call_alone(call, wait=True)
    return len(_warmers)


def _call_alone(call: Callable[[], None], *, wait: bool) -> bool:
    """Call unless another process is at the same module, or after that has done."""
    with _locked(Path(inspect.getfile(call)), wait=wait) as is_ours:
        if is_ours:
            call()
    return is_ours


@contextlib.contextmanager
def _locked(source: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a module's file. Where files cannot be locked everybody holds it: work is done twice then."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(source.open("rb"))
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass
        yield True
