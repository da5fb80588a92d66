"""Kernels compiled by numba: one decorator, so that all of them are cached, release the GIL and round alike.

A kernel compiles on its first call on a machine and is read from the cache afterwards: beside its source where that can
be written, else in the user's cache folder, or where ``NUMBA_CACHE_DIR`` says. An entry is named by the source file's
time and size and by the kind of processor, so that unlike machines may share one folder; compiling all takes seconds to
a minute, reading them back a fraction of a second.

``warm_up`` does either for every kernel of the modules that are imported by then. A stage calls it where a worker opens
it, so that no item pays. On a cluster let ``NUMBA_CACHE_DIR`` name a folder that every process of a node can write to
(its local disk, or one of the image in which the kernels were compiled already): the first worker of a node compiles,
the others read. Two that compile at once do the same work, and each replaces an entry whole.
"""

from __future__ import annotations

from collections.abc import Callable
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
    for call in _warmers:
        call()
    return len(_warmers)
